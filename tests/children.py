# SPDX-License-Identifier: MIT
"""Programs that tests start on a terminal."""

import signal

import pexpect


def ended(child: "pexpect.spawn[str]") -> None:
    """Ends a child. Its own `close` gives up when the host takes a fraction of a second for it."""
    if child.isalive():
        child.kill(signal.SIGKILL)
        child.wait()
    child.close()
