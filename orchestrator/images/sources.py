# SPDX-License-Identifier: MIT
"""Builds the project's own C parts by running make, which knows what is stale.

To add a part: give it a Makefile that takes ``O=`` (absolute output directory), and a line in
`PARTS`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from orchestrator.errors import MachineError, MissingToolError
from orchestrator.images.store import storage_errors

CROSS_COMPILE: Final = "arm-linux-gnueabihf-"

_CROSS_GCC: Final = (f"{CROSS_COMPILE}gcc", "gcc-arm-linux-gnueabihf")
_CROSS_LD: Final = (f"{CROSS_COMPILE}ld", "binutils-arm-linux-gnueabihf")
_CROSS_TOOLS: Final = (_CROSS_GCC, _CROSS_LD)
_HOST_TOOLS: Final = (("gcc", "gcc"),)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something that make builds.

    Attributes:
        directory: Where its Makefile is, from the top of the sources.
        artefact: What the caller is given, in the output directory; "" for that directory itself.
        tools: Programs that must be there, each with the Debian package that has it.
        variables: Further ones for make, as "NAME=VALUE".
    """

    directory: str
    artefact: str
    tools: tuple[tuple[str, str], ...]
    variables: tuple[str, ...] = ()


PARTS: Final[Mapping[str, Part]] = MappingProxyType(
    {
        "hypervisor": Part(
            directory="images/hypervisor", artefact="hypervisor.elf", tools=_CROSS_TOOLS
        ),
        "rtos": Part(directory="images/rtos", artefact="rtos.elf", tools=_CROSS_TOOLS),
        "rtos-bench": Part(
            directory="images/rtos",
            artefact="rtos.elf",
            tools=_CROSS_TOOLS,
            variables=("APP=benchmarks",),
        ),
        "rtos-thumb": Part(
            directory="images/rtos",
            artefact="rtos.elf",
            tools=_CROSS_TOOLS,
            variables=("ISA=thumb",),
        ),
        # For most other cores a compiler saves registers by another instruction.
        "thumb-bench": Part(
            directory="images/rtos",
            artefact="rtos.elf",
            tools=_CROSS_TOOLS,
            variables=("APP=benchmarks", "ISA=thumb", "TUNE=cortex-a7"),
        ),
        "bench": Part(directory="images/bench", artefact="bench.elf", tools=_CROSS_TOOLS),
        "linux": Part(directory="images/linux", artefact="", tools=_CROSS_TOOLS),
        "plugin": Part(directory="qemu_plugin", artefact="liborchestrate.so", tools=_HOST_TOOLS),
        "floor": Part(directory="qemu_plugin/floor", artefact="libfloor.so", tools=_HOST_TOOLS),
    }
)


def root() -> Path:
    """The top of the project's sources, which also hold the recipes that are data.

    Raises:
        MissingToolError: The package was installed without its sources.
    """
    top = Path(__file__).resolve().parents[2]
    if not (top / "images" / "abi").is_dir():
        raise MissingToolError(
            f"the sources of the images are not in {top}; install with pip install -e CHECKOUT"
        )
    return top


def _run(*command: str) -> tuple[int, str]:
    """Runs a make. If this process is interrupted make ends first, and so do its compilers.

    Returns:
        Exit code, and all that was said.
    """
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A make that runs this one (make test) must not pass its options on.
        env={k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MFLAGS"}},
    ) as process:
        try:
            told, _ = process.communicate()
        except BaseException:
            # It takes away what is half made, and says so: killed or unheard, it would leave it.
            process.terminate()
            process.communicate()
            raise
    return process.returncode, told


def build(name: str) -> Path:
    """Builds one of `PARTS` where that is needed. Processes that build at once take turns.

    Returns:
        The artefact, or the output directory of a part with several.

    Raises:
        MissingToolError: A compiler or make is missing; says which package has it.
        MachineError: The sources do not compile; `details` are make's last lines.
        StorageError: The output directory cannot be written.
    """
    part = PARTS[name]
    for tool, package in (("make", "make"), *part.tools):
        if shutil.which(tool) is None:
            raise MissingToolError(f"{tool} is not on this machine; install the package {package}")
    source = root() / part.directory
    output = root() / "build" / name
    with storage_errors(f"cannot build in {output}"):
        output.mkdir(parents=True, exist_ok=True)
        with (output / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            code, told = _run(
                *("make", "-C", str(source), f"O={output}"),
                *(f"CROSS_COMPILE={CROSS_COMPILE}", *part.variables),
            )
    if code:
        lines = told.strip().splitlines()
        raise MachineError(f"{part.directory} does not compile (make failed)", details=lines[-20:])
    return output / part.artefact
