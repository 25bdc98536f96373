# SPDX-License-Identifier: MIT
"""How fast this machine is at the moment, for the tests of what may take how many seconds."""

import json
import time
from typing import Final

_ROWS: Final = 20_000
_REFERENCE_S: Final = 0.05
"""Processor time that the work takes on the machine for which the limits are stated."""


def slowness() -> float:
    """How many times as much processor time as there a piece of work takes here and now.

    At least 1: a limit is not made tighter by a fast machine.
    """
    began_s = time.thread_time()
    rows = [{"name": f"row {i * 7919 % _ROWS}", "values": [i, i * 0.5]} for i in range(_ROWS)]
    again = json.loads(json.dumps(rows))
    again.sort(key=lambda row: row["name"])
    sum(row["values"][1] for row in again)
    return max(1.0, (time.thread_time() - began_s) / _REFERENCE_S)
