# SPDX-License-Identifier: MIT
"""FreeRTOS and Zephyr as their profiles see them: guests with these kernels' public structures.

Each guest goes through a written list of switches, so what the timeline must show is known.
"""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from orchestrator import config, session
from orchestrator.config.probes import parse_probe
from orchestrator.export.columns import column
from orchestrator.options import BootOptions
from orchestrator.trace.run import merge_run

pytestmark = pytest.mark.system

CONFIG = '[vm.rtos]\ntype = "elf"\nimage = "{elf}"\nram = "4M"\npin = [0]\n'
START = """
__attribute__((naked, section(".text.start"))) void _start(void)
{
    __asm__("ldr sp, =0x40100000\\n bl play\\n1: wfi\\n b 1b");
}
"""
# V11 on one core with configUSE_TRACE_FACILITY, without MPU: task.c and list.h.
FREERTOS = """
#include <stdint.h>
typedef struct xLIST_ITEM {
    uint32_t xItemValue;
    struct xLIST_ITEM *pxNext, *pxPrevious;
    void *pvOwner;
    struct xLIST *pxContainer;
} ListItem_t;
typedef struct xLIST {
    uint32_t uxNumberOfItems;
    ListItem_t *pxIndex;
    struct { uint32_t xItemValue; ListItem_t *pxNext, *pxPrevious; } xListEnd;
} List_t;
typedef struct tskTaskControlBlock {
    volatile uint32_t *pxTopOfStack;
    ListItem_t xStateListItem, xEventListItem;
    uint32_t uxPriority;
    uint32_t *pxStack;
    char pcTaskName[16];
    uint32_t uxTCBNumber, uxTaskNumber;
} TCB_t;
static List_t pxReadyTasksLists[5], xDelayedTaskList1;
static TCB_t task[3] = {
    {.uxPriority = 2, .pcTaskName = "Blinky", .uxTCBNumber = 1},
    {.uxPriority = 2, .pcTaskName = "Worker", .uxTCBNumber = 2},
    {.uxPriority = 0, .pcTaskName = "IDLE", .uxTCBNumber = 3},
};
TCB_t *volatile pxCurrentTCB = &task[0];
static int to;
__attribute__((noinline)) void vTaskSwitchContext(void) { pxCurrentTCB = &task[to]; }
void play(void)
{
    static const struct { int blocks, to; } step[] = {%(steps)s};
    for (unsigned i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
        pxCurrentTCB->xStateListItem.pxContainer =
            step[i].blocks ? &xDelayedTaskList1 : &pxReadyTasksLists[pxCurrentTCB->uxPriority];
        to = step[i].to;
        vTaskSwitchContext();
    }
}
"""
# 3.7 for Cortex-A and -R: kernel/thread.h and arch/arm/thread.h.
ZEPHYR = """
#include <stdint.h>
struct k_thread {
    struct {
        void *qnode_dlist[2], *pended_on;
        uint8_t user_options, thread_state;
        union { struct { int8_t prio; uint8_t sched_locked; }; uint16_t preempt; };
        uint32_t order_key;
        void *swap_data;
    } base;
    struct { uint32_t v1, v2, v3, v4, v5, v6, v7, v8, psp, lr; } callee_saved;
    void *init_data;
    char name[32];
    void *switch_handle;
};
struct z_kernel {
    struct { uint32_t nested; char *irq_stack; struct k_thread *current, *idle_thread; } cpus[1];
};
static struct k_thread thread[3] = {
    {.base.prio = 2, .name = "Blinky"}, {.base.prio = 2, .name = "Worker"},
    {.base.prio = 15, .name = "IDLE"},
};
struct z_kernel _kernel = {.cpus[0].current = &thread[0]};
__attribute__((noinline)) void z_arm_context_switch(struct k_thread *new, struct k_thread *old)
{
    (void)old;
    _kernel.cpus[0].current = new;
}
void play(void)
{
    static const struct { int blocks, to; } step[] = {%(steps)s};
    for (unsigned i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
        struct k_thread *old = _kernel.cpus[0].current;
        /* Pending, or in the ready queue. */
        old->base.thread_state = step[i].blocks ? 0x02 : 0x80;
        if (old != &thread[step[i].to])
            z_arm_context_switch(&thread[step[i].to], old);
    }
}
"""
NAMES = ("Blinky", "Worker", "IDLE")
# Whether the running task blocks, and which one comes; some let the same one go on.
STEPS = ((0, 1), (0, 0), (1, 1), (0, 1), (1, 2), (0, 2), (0, 0), (0, 1), (1, 0), (1, 2), (0, 1))


def expected() -> list[tuple[str, int, str]]:
    """Who leaves, whether it sleeps, who comes."""
    out, running = [], 0
    for blocks, to in STEPS:
        if to != running:
            out.append((NAMES[running], blocks, NAMES[to]))
        running = to
    return out


def traced(folder: Path, source: str, place: str) -> list[tuple[Any, ...]]:
    """The switches of a guest as the timeline has them, with the pids and priorities."""
    steps = ", ".join(f"{{{blocks}, {to}}}" for blocks, to in STEPS)
    (folder / "guest.c").write_text(START + source % {"steps": steps})
    elf = folder / "guest.elf"
    flags = (
        *("-marm", "-mcpu=cortex-a15", "-mgeneral-regs-only", "-mfloat-abi=soft", "-g", "-O1"),
        *("-mno-unaligned-access", "-ffreestanding", "-nostdlib", "-static", "-no-pie"),
        *("-Wl,-Ttext=0x40008000", "-Wl,-e,_start", "-Wl,-z,max-page-size=4096"),
        *("-Wl,--build-id=none",),
    )
    subprocess.run(("arm-linux-gnueabihf-gcc", *flags, "-o", elf, folder / "guest.c"), check=True)
    path = folder / "test.toml"
    path.write_text(CONFIG.format(elf=elf))
    options = BootOptions(
        out=folder / "run", probes=(parse_probe(f"rtos:{place} record=both"),), for_ns=50_000_000
    )
    assert session.boot(config.load(path), options, Silent()).exit_code == 0
    timeline = merge_run(folder / "run")
    form = timeline.format_named("sched_switch")
    assert form is not None
    rows = timeline.rows("sched_switch")
    names = ("prev_comm", "prev_state", "next_comm", "prev_pid", "prev_prio", "next_pid")
    columns = [column(timeline, rows, form.field(name)) for name in names]
    return list(zip(*columns, strict=True))


class Silent:
    """A reporter that says nothing."""

    def phase(self, name: str) -> None: ...
    def vm_state(self, vm: str, state: str) -> None: ...
    def console(self, vm: str, line: str) -> None: ...
    def note(self, text: str) -> None: ...
    def command_output(self, stream: str, data: bytes) -> None: ...


def check(found: list[tuple[Any, ...]], wanted: list[tuple[str, int, str]], idle: int) -> None:
    assert [(prev, int(state != 0), to) for prev, state, to, *_ in found] == wanted
    pids = {prev: pid for prev, _, _, pid, _, _ in found}
    assert len(set(pids.values())) == len(NAMES), "tasks of one priority are two tasks"
    assert all(pids[to] == pid for _, _, to, _, _, pid in found)
    assert {prev: prio for prev, _, _, _, prio, _ in found} == dict(
        zip(pids, (2, 2, idle), strict=True)
    )


def test_freertos(tmp_path: Path) -> None:
    """Who comes is known when it leaves: the last switch is not, and one to itself is none."""
    found = traced(tmp_path, FREERTOS, "vTaskSwitchContext")
    check(found, expected()[:-1], idle=0)


def test_zephyr(tmp_path: Path) -> None:
    """Both threads are the switch's arguments; one in the ready queue does not sleep."""
    found = traced(tmp_path, ZEPHYR, "z_arm_context_switch")
    check(found, expected(), idle=15)
