# SPDX-License-Identifier: MIT
"""The program `orchestrate`, which is also `python -m orchestrator`. All it does is in `cli`."""

import signal
import sys

# Until `cli` has handlers of its own, Ctrl-C ends the program as SIGTERM does: without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from orchestrator.cli import main  # noqa: E402 - loading takes a moment, in which a user may go

if __name__ == "__main__":
    sys.exit(main())
