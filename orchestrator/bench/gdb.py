# SPDX-License-Identifier: MIT
"""A probe as gdb would have it: a breakpoint whose Python command notes registers and goes on.

It is what one would do without this project, and the measure for `bench.probes`.
"""

import asyncio
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from orchestrator.bench.board import machine_of, prepare
from orchestrator.bench.places import places_symbols, places_toml, set_rounds
from orchestrator.errors import CheckFailed, MissingToolError
from orchestrator.machine.private_dir import private_dir

_SECONDS: Final = 10.0
_ROUNDS: Final = 1_000_000_000
"""More than gdb will ever see."""

_SCRIPT: Final = """
import gdb, time
gdb.execute("set pagination off")
gdb.execute("set architecture armv7")
gdb.execute("target remote {socket}")
out = open("{out}", "w")
count = 0
began = time.monotonic()
class Probe(gdb.Breakpoint):
    def stop(self):
        global count
        frame = gdb.newest_frame()
        values = [int(frame.read_register(name)) for name in ("pc", "sp", "lr", "cpsr")]
        out.write(repr(values) + "\\\\n")
        count += 1
        return time.monotonic() - began > {seconds}
Probe("*{va}")
gdb.execute("continue")
print("hits", count / (time.monotonic() - began), flush=True)
"""


async def gdb_rate() -> float:
    """Hits a second of a breakpoint whose Python command notes four registers.

    Raises:
        MissingToolError: gdb is not installed.
        CheckFailed: gdb did not come to an end of its measurement.
    """
    gdb = shutil.which("gdb-multiarch")
    if gdb is None:
        raise MissingToolError("gdb-multiarch is not installed: apt install gdb-multiarch")
    with tempfile.TemporaryDirectory(prefix="orchestrate-bench-") as name, private_dir() as sockets:
        folder = Path(name)
        made = prepare(folder, sockets, places_toml(1), plugin=False)
        socket = sockets / "gdb.sock"
        script = _SCRIPT.format(
            socket=socket,
            out=folder / "hits",
            seconds=_SECONDS,
            va=hex(places_symbols()["place_0"]),
        )
        (folder / "probe.py").write_text(script)
        options = ("-gdb", f"unix:{socket},server=on,wait=off")
        async with machine_of(made, folder, *options) as machine:
            await machine.start(timeout_s=30)
            set_rounds(made.layout, machine.pid, _ROUNDS)
            done = await asyncio.to_thread(
                subprocess.run,
                (gdb, "-nx", "-batch", "-x", folder / "probe.py"),
                capture_output=True,
                text=True,
                timeout=6 * _SECONDS,
                check=False,
            )
    for line in done.stdout.splitlines():
        if line.startswith("hits "):
            return float(line.split()[1])
    raise CheckFailed(f"gdb gave no figure: {done.stdout}{done.stderr}")
