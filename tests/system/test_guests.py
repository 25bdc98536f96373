# SPDX-License-Identifier: MIT
"""Bare-metal guests by config alone: any address, MMU on or off, and what they must not do.

The guests are assembled here, in the architecture's own terms; what they print is the evidence.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from orchestrator.bench.board import Board

pytestmark = pytest.mark.system

PRINT = """
    .arm
    .arch_extension virt
    .arch_extension sec
    .macro say text
    adr r0, 8f
    bl print
    b 9f
8:  .asciz "\\text"
    .balign 4
9:
    .endm
    .global _start
_start:
    ldr r10, =0x09000000        @ the UART
    b main
print:
    ldrb r1, [r0], #1
    cmp r1, #0
    strne r1, [r10]
    bne print
    bx lr
"""
REST = 'say "{text}"\n1: wfi\n    b 1b'
PLAIN = PRINT + "main:\n" + REST.format(text=r"guest: ready\n")
# One section of RAM and the UART at addresses of their own, so that only the tables lead there.
WITH_MMU = (
    PRINT
    + """
main:
    ldr r4, =table
    ldr r5, =0x00000c02         @ section, full access, strongly ordered
    mov r6, #0
1:  lsl r7, r6, #20
    orr r7, r7, r5
    str r7, [r4, r6, lsl #2]
    add r6, r6, #1
    cmp r6, #4096
    bne 1b
    ldr r7, =(0x09000000 + 0xc02)
    ldr r9, =0xf90
    str r7, [r4, r9, lsl #2]
    adr r8, there
    lsr r9, r8, #20
    orr r7, r5, r9, lsl #20
    ldr r9, =0xc00
    str r7, [r4, r9, lsl #2]
    mov r0, #0
    mcr p15, 0, r0, c2, c0, 2   @ TTBCR
    mcr p15, 0, r4, c2, c0, 0   @ TTBR0
    mvn r0, #0
    mcr p15, 0, r0, c3, c0, 0   @ DACR: manager
    mcr p15, 0, r0, c8, c7, 0   @ TLBIALL
    dsb
    isb
    mrc p15, 0, r0, c1, c0, 0
    orr r0, r0, #1
    mcr p15, 0, r0, c1, c0, 0
    isb
    bfc r8, #20, #12
    orr r8, r8, #0xc0000000
    ldr r10, =0xf9000000
    bx r8
    .ltorg
there:
    say "guest: MMU on\\n"
    mov r2, pc
    lsr r2, r2, #20
    ldr r3, =0xc00
    cmp r2, r3
    bne .
"""
    + REST.format(text=r"guest: ready\n")
    + "\n    .ltorg\n    .bss\n    .balign 16384\ntable: .space 16384\n"
)
# Each forbidden thing, and the letter of the exception that the architecture has for it.
FORBIDDEN = (
    PRINT
    + """
    .balign 32
vectors:
    b .
    b undefined
    b .
    b prefetch
    b data
    b .
    b .
    b .
    .macro letter c, back
    mov r1, #\\c
    str r1, [r10]
    \\back
    .endm
undefined:
    letter 'U', "movs pc, lr"
data:
    letter 'D', "subs pc, lr, #4"
prefetch:
    letter 'P', "movs pc, r7"
main:
    adr r0, vectors
    mcr p15, 0, r0, c12, c0, 0  @ VBAR
    say "guest: "
    mov r4, #0x20000000
    ldr r0, [r4]                @ nothing is mapped there
    str r0, [r4]
    ldr r4, =0x7ffffffc
    ldr r0, [r4]                @ behind the RAM
    hvc #0x1234                 @ nobody's
    mrc p15, 7, r0, c11, c7, 7  @ no such register
    mrc p15, 4, r0, c1, c1, 0   @ HCR, which is the hypervisor's
    ldr r4, =0x08030000         @ the hypervisor's own interrupt registers
    ldr r0, [r4]
    mov r4, #0x20000000
    adr r7, 1f
    bx r4
1:
    say "\\n"
"""
    + REST.format(text=r"guest: ready\n")
)
EXPECTED = "guest: DDDUUUDP\nguest: ready\n"
# One vCPU interrupts the other, which waits for that, and goes on without touching a device. A tick of
# the counter is 16 ns, and a core that alone has work runs for a millisecond.
INTERRUPTING = (
    PRINT
    + """
main:
    ldr r4, =0x08000000
    mov r0, #1
    str r0, [r4]                @ GICD_CTLR
    ldr r0, =0x84000003         @ CPU_ON
    mov r1, #1
    ldr r2, =second
    hvc #0
    ldr r5, =waiting
1:  ldr r0, [r5]
    cmp r0, #0
    beq 1b
    mov r0, #4096
1:  subs r0, r0, #1
    bne 1b
    isb
    mrrc p15, 1, r6, r7, c14    @ CNTVCT
    mov r0, #0x20000
    str r0, [r4, #0xf00]        @ GICD_SGIR: number 0, to the other one
1:  ldr r0, [r5, #4]
    cmp r0, #0
    beq 1b
    sub r6, r0, r6
    ldr r7, =20000 / 16
    cmp r6, r7
    bhi late
    say "guest: woken within 20 us\\n"
    b rest
late:
    say "guest: woken late\\n"
rest:
"""
    + REST.format(text=r"guest: ready\n")
    + """
    .ltorg
second:
    ldr r4, =0x08000000
    mov r0, #1
    str r0, [r4, #0x100]        @ GICD_ISENABLER0
    ldr r4, =0x08010000
    str r0, [r4]                @ GICC_CTLR
    mov r0, #0xff
    str r0, [r4, #4]            @ GICC_PMR
    ldr r5, =waiting
    mov r0, #1
    str r0, [r5]
    wfi
    isb
    mrrc p15, 1, r0, r1, c14
    str r0, [r5, #4]
1:  b 1b
    .ltorg
    .bss
waiting: .space 8
"""
)
# No vectors: the exception leads to where nothing is, and that again.
STRAYS = PRINT + 'main:\n    say "guest: lost\\n"\n    mov r0, #0\n    ldr r0, [r0]\n    b .\n'


def guest(folder: Path, source: str, address: int) -> Path:
    """Assembles and links a guest for an address."""
    compiler = shutil.which("arm-linux-gnueabihf-gcc")
    assert compiler, "the tests need gcc-arm-linux-gnueabihf"
    path = folder / f"{address:x}.S"
    path.write_text(source)
    subprocess.run(
        [
            *(compiler, "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none"),
            *(f"-Wl,-Ttext={address:#x}", "-Wl,-z,max-page-size=0x1000"),
            *("-mcpu=cortex-a15", "-o", path.with_suffix(".elf"), path),
        ],
        check=True,
    )
    return path.with_suffix(".elf")


def vm(name: str, image: Path | str, *, core: int = 1) -> str:
    ready = "" if image == "rtos" else 'ready = "guest: ready"'
    return f'[vm.{name}]\ntype = "elf"\nimage = "{image}"\nram = "16M"\npin = [{core}]\n{ready}\n'


def boot(folder: Path, toml: str) -> dict[str, str]:
    """Boots until every guest is ready. Returns the console logs by name."""
    (folder / "test.toml").write_text(toml)
    end = subprocess.run(
        (
            *(sys.executable, "-m", "orchestrator.cli", "boot", "--until", "ready"),
            *("--timeout-ready", "700"),
            *("--config", folder / "test.toml", "--out", folder / "run"),
        ),
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert end.returncode == 0, end.stderr
    return {path.stem: path.read_text() for path in (folder / "run").glob("*.log")}


def test_four_vms_at_once(tmp_path: Path) -> None:
    """Linux, the RTOS, a guest with its MMU on and one that tries all that is forbidden."""
    linux = '[vm.linux]\ntype = "linux"\nram = "256M"\npin = [0]\n'
    others = (
        vm("rtos", "rtos"),
        vm("mapped", guest(tmp_path, WITH_MMU, 0x4065_4000)),
        vm("rogue", guest(tmp_path, FORBIDDEN, 0x4001_2340)),
    )
    logs = boot(tmp_path, "[machine]\ncores = 2\n" + linux + "".join(others))
    assert "orchestrate: ready" in logs["linux"]
    assert "rtos: ready" in logs["rtos"]
    assert logs["mapped"] == "guest: MMU on\nguest: ready\n"
    assert logs["rogue"] == EXPECTED


def test_a_core_that_is_woken_runs_at_once(tmp_path: Path) -> None:
    """Not when the one that woke it has come to the end of its slice."""
    config = vm("guest", guest(tmp_path, INTERRUPTING, 0x4000_8000))
    config = "[machine]\ncores = 2\n" + config.replace("pin = [1]", "pin = [0, 1]")
    assert boot(tmp_path, config)["guest"] == "guest: woken within 20 us\nguest: ready\n"


@pytest.mark.parametrize("hypervisor", ["builtin", "none"])
@pytest.mark.parametrize("address", [0x4000_8000, 0x4065_4320, 0x40FF_0000])
def test_any_address_in_ram(tmp_path: Path, hypervisor: str, address: int) -> None:
    """The same ELF under the hypervisor and on the bare board."""
    machine = f'[machine]\ncores = 1\nhypervisor = "{hypervisor}"\n'
    config = vm("guest", guest(tmp_path, PLAIN, address), core=0)
    if hypervisor == "none":
        config = config.replace("pin = [0]\n", "")
    assert boot(tmp_path, machine + config)["guest"] == "guest: ready\n"


def test_a_guest_that_is_stopped_leaves_the_others_alone(
    board: Callable[..., AbstractAsyncContextManager[Board]], tmp_path: Path
) -> None:
    """It strays at once, on the core of the RTOS and before it; the RTOS is ready 0.1 s later."""
    stray = vm("stray", guest(tmp_path, STRAYS, 0x4000_8000)) + "priority = 250\n"
    toml = "[machine]\ncores = 2\n" + stray + vm("rtos", "rtos")

    async def scenario() -> dict[str, str]:
        async with board(toml, stop_ns=200_000_000) as made:
            await made.run_to_stop()
            return {name: path.read_text() for name, path in made.paths.console_logs.items()}

    logs = asyncio.run(scenario())
    assert logs["stray"] == "guest: lost\n"
    assert "rtos: ready" in logs["rtos"]
    (report,) = [line for line in logs["hypervisor"].splitlines() if "vm stray: stopped" in line]
    assert "fault" in report


def test_guests_run_in_the_realtime_clock_too(tmp_path: Path) -> None:
    """Where ticks come late, none may be lost: QEMU's GIC forgets those that a guest ends late."""
    linux = '[vm.linux]\ntype = "linux"\nram = "256M"\npin = [0]\n'
    clock = '[clock]\nmode = "realtime"\n'
    logs = boot(tmp_path, "[machine]\ncores = 2\n" + clock + linux + vm("rtos", "rtos"))
    assert "orchestrate: ready" in logs["linux"]
    assert "rtos: ready" in logs["rtos"]
