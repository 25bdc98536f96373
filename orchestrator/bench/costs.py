# SPDX-License-Identifier: MIT
"""What the hypervisor and the quantum cost: `python -m orchestrator.bench.costs`.

Every figure is taken from runs made now, on this machine. Counts are instructions of the
deterministic clock at shift 0, in which one instruction is a nanosecond: they are exact and do
not depend on the machine. Host times are the least of some runs, taken in turns.

A figure is one function that returns `Figure`s; to add one, write it and name it in `FIGURES`.
"""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    # Loading takes a moment, in which Ctrl-C ends the program as SIGTERM does: without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator import config, session
from orchestrator.bench.printed import Figure, print_figures
from orchestrator.errors import CheckFailed
from orchestrator.images import sources
from orchestrator.options import BootOptions

_HOST_RUNS = 3
_SWITCHES = 20_000
_LOAD_SWITCHES = 30_000

_LINUX = """
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
"""
_RTOS = """
[vm.rtos]
type = "elf"
ram = "16M"
pin = [{core}]
"""


class _Silent:
    """A reporter for runs whose result alone matters."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_args, **_kwargs: None


@contextmanager
def _run(toml: str, **options: object) -> Iterator[session.BootResult]:
    with tempfile.TemporaryDirectory(prefix="orchestrate-bench-") as name:
        path = Path(name, "bench.toml")
        path.write_text(toml)
        wanted = BootOptions(out=Path(name, "run"), **options)  # type: ignore[arg-type]
        yield session.boot(config.load(path), wanted, _Silent())


def _bench_vm(name: str) -> str:
    elf = sources.build("bench")
    return f"""
[vm.{name}]
type = "elf"
image = "{elf}"
ram = "4M"
pin = [0]
ready = "bench: done"
"""


def _bench_figures(hypervisor: str, vms: int) -> dict[str, float]:
    toml = f'[machine]\ncores = 1\nhypervisor = "{hypervisor}"\n'
    toml += "".join(_bench_vm(f"b{i}") for i in range(vms))
    with _run(toml, until_ready=True) as result:
        log = (result.run_dir / "b0.log").read_text()
    return {m[1]: float(m[2]) for m in re.finditer(r"bench: (\w+) ([\d.]+)", log)}


def hypervisor_paths() -> list[Figure]:
    """A null hypercall, a virtual timer interrupt and a switch between two vCPUs."""
    native = _bench_figures("none", 1)
    alone = _bench_figures("builtin", 1)
    pair = _bench_figures("builtin", 2)
    loop = alone["empty_loop"]
    return [
        Figure(
            name="null hypercall",
            value=alone["null_hypercall"] - loop,
            unit="instructions",
            most=120,
        ),
        Figure(
            name="virtual timer interrupt, expiry to return",
            value=alone["timer_interrupt"],
            unit="instructions",
        ),
        Figure(
            name="  of these added by the hypervisor",
            value=alone["timer_interrupt"] - native["timer_interrupt"],
            unit="instructions",
            most=500,
        ),
        Figure(
            name="switch between two vCPUs, VFP untouched",
            value=(pair["yield"] - loop) / 2,
            unit="instructions",
            most=1500,
        ),
    ]


def _linux_switch_ns(hypervisor: str) -> int:
    toml = f'[machine]\ncores = 1\nhypervisor = "{hypervisor}"\n{_LINUX}'
    with _run(toml, command=("context1", str(_SWITCHES))) as result:
        output = (result.run_dir / "linux.stdout").read_text()
    found = re.search(r"TIME\|(\d+)\|", output)
    if not found:
        raise CheckFailed(f"context1 printed no time: {output!r}")
    return int(found[1])


def linux_switch() -> list[Figure]:
    """A context switch in Linux, two processes over pipes, with and without the hypervisor."""
    native, guest = _linux_switch_ns("none"), _linux_switch_ns("builtin")
    return [
        Figure(
            name="Linux context switch without hypervisor",
            value=native / (2 * _SWITCHES),
            unit="instructions",
        ),
        Figure(
            name="Linux context switch under the hypervisor, to the one without",
            value=guest / native,
            unit="x",
            most=1.002,
        ),
    ]


def _tick_jitter(toml: str) -> tuple[float, str]:
    load = ("sh", "-c", f"context1 {_LOAD_SWITCHES}; dd if=/dev/zero of=/dev/null bs=1M count=6000")
    with _run(toml, command=load) as result:
        log = (result.run_dir / "rtos.log").read_text()
    lines = re.findall(r"tick jitter ns min=\d+ max=(\d+) .*hist=(\S*)", log)
    if not lines:
        raise CheckFailed(f"the RTOS printed no tick jitter: {log!r}")
    worst, histogram = max(lines, key=lambda line: int(line[0]))
    return int(worst) / 1000, histogram


def tick_jitter() -> list[Figure]:
    """The RTOS's tick against its programmed time, while Linux is busy."""
    own, own_histogram = _tick_jitter(
        f'[machine]\ncores = 2\n[clock]\nquantum = "20us"\n{_LINUX}{_RTOS.format(core=1)}'
    )
    shared, shared_histogram = _tick_jitter(f"[machine]\ncores = 1\n{_LINUX}{_RTOS.format(core=0)}")
    return [
        Figure(
            name=f"tick jitter, own core, quantum 20 us; worst second in ns: {own_histogram}",
            value=own,
            unit="us",
            most=25,
        ),
        Figure(
            name=f"tick jitter, core shared with Linux; worst second in ns: {shared_histogram}",
            value=shared,
            unit="us",
            most=100,
        ),
    ]


def _host_seconds(toml: str, **options: object) -> float:
    """Processor seconds of a run: of this process and of QEMU, which has ended by then."""
    before = os.times()
    with _run(toml, **options):
        after = os.times()
    return sum(after[:4]) - sum(before[:4])


def host_time() -> list[Figure]:
    """Host time from start to ready against a direct boot, and what the quantum costs."""
    dual = f"[machine]\ncores = 2\n{_LINUX}{_RTOS.format(core=1)}"
    direct = f'[machine]\ncores = 1\nhypervisor = "none"\n{_LINUX}'
    coarse = f'[machine]\ncores = 2\n[clock]\nquantum = "1ms"\n{_LINUX}{_RTOS.format(core=1)}'
    ready: dict[str, list[float]] = {"dual": [], "direct": [], "fine": [], "coarse": []}
    for _ in range(_HOST_RUNS):
        ready["dual"].append(_host_seconds(dual, until_ready=True))
        ready["direct"].append(_host_seconds(direct, until_ready=True))
        ready["fine"].append(_host_seconds(dual, for_ns=2_000_000_000))
        ready["coarse"].append(_host_seconds(coarse, for_ns=2_000_000_000))
    least = {name: min(seconds) for name, seconds in ready.items()}
    return [
        Figure(
            name=f"start to both guests ready ({least['dual']:.2f} s) to a direct boot",
            value=least["dual"] / least["direct"],
            unit="x",
            most=1.3,
        ),
        Figure(
            name="2 s of guest time, quantum 20 us to quantum 1 ms",
            value=least["fine"] / least["coarse"],
            unit="x",
            most=1.3,
        ),
    ]


FIGURES: dict[str, Callable[[], list[Figure]]] = {
    "paths": hypervisor_paths,
    "linux": linux_switch,
    "jitter": tick_jitter,
    "host": host_time,
}


def main(argv: list[str] | None = None) -> int:
    """Prints the figures; 0 if all hold, 1 if one does not, else the error's exit code."""
    return print_figures(
        FIGURES, prog="python -m orchestrator.bench.costs", about=__doc__, argv=argv
    )


if __name__ == "__main__":
    sys.exit(main())
