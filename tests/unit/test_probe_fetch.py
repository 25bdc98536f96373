# SPDX-License-Identifier: MIT
"""Compiled fetches, run by the observers' own code (images/abi/fetch.h) on a program's memory.

The program is compiled from C with its data initialised, and the C source is where the expected
values come from. Structures of FreeRTOS and Zephyr have the members that their profiles name.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import records
from orchestrator.errors import ConfigError, UsageError
from orchestrator.guest.dwarf import Dwarf
from orchestrator.guest.rtos import detect, load_profile, profiles
from orchestrator.guest.symbols_elf import read_symbols
from orchestrator.probe.fetch import compile_fetch
from orchestrator.probe.program import Code, assemble, words

ABI = Path(__file__).parents[2] / "images" / "abi"

RUNNER = """
#include "fetch.h"
static uint32_t base, size;
static const uint8_t *memory;
static bool read_memory(void *context, uint32_t va, void *to, uint32_t bytes)
{
    (void)context;
    if (va < base || va + bytes > base + size)
        return false;
    for (uint32_t i = 0; i < bytes; i++)
        ((uint8_t *)to)[i] = memory[va - base + i];
    return true;
}
void run(const uint8_t *m, uint32_t b, uint32_t s, const uint32_t *reg,
         const struct trace_op *program, uint32_t count, struct trace_record *record)
{
    struct fetch_state state = {.read = read_memory};

    memory = m, base = b, size = s;
    for (int i = 0; i < 19; i++)
        state.reg[i] = reg[i];
    record->words = 0xff;
    if (fetch_valid(program, count))
        fetch_run(&state, program, record);
}
"""

GUEST = """
typedef unsigned char u8;
typedef struct os_event { u8 type; short count; } OS_EVENT;
typedef struct os_tcb {
    unsigned *OSTCBStkPtr; short OSTCBId; struct os_tcb *OSTCBNext; OS_EVENT *OSTCBEventPtr;
    unsigned OSTCBDly; u8 OSTCBStat; u8 OSTCBPrio; u8 *OSTCBTaskName; signed char delta;
    struct { int x, y; } point[3]; char label[12]; long long wide; int *numbers; unsigned bits : 3;
} OS_TCB;
unsigned stack[8] = {11, 22, 33, 44, 55, 66, 77, 88};
int numbers[4] = {-1, -2, -3, -4};
OS_EVENT event = {7, -300};
OS_TCB second = {.OSTCBPrio = 99, .OSTCBTaskName = (u8 *)"second", .OSTCBId = 2};
OS_TCB first = {
    .OSTCBStkPtr = stack, .OSTCBId = 513, .OSTCBNext = &second, .OSTCBEventPtr = &event,
    .OSTCBDly = 70000, .OSTCBStat = 8, .OSTCBPrio = 12, .OSTCBTaskName = (u8 *)"RTOS-Task1",
    .delta = -5, .point = {{1, 2}, {3, 4}, {5, 6}}, .label = "a label", .numbers = numbers,
    .wide = 0x123456789abcdef0ll,
};
OS_TCB *OSTCBCur = &first, *OSTCBHighRdy = &second, *OSTCBPrioTbl[64] = {0, &first};
int far[500] = {[400] = 4711};
OS_TCB table[2] = {{.OSTCBPrio = 1}, {.OSTCBPrio = 2}};
u8 one = 200;
u8 OSRdyTbl[8] = {1 << 5, 1 << 4, 0, 0, 0, 0, 0, 1 << 7}; /* priorities 5, 8 + 4, 56 + 7 */
void OSTaskSwHook(void) { }
/* FreeRTOS */
typedef struct { unsigned n; } List;
typedef struct { unsigned v; List *pxContainer; } Item;
typedef struct tskTaskControlBlock {
    volatile unsigned *pxTopOfStack; Item xStateListItem; unsigned uxPriority;
    char pcTaskName[16]; unsigned uxTCBNumber;
} TCB_t;
List pxReadyTasksLists[5];
TCB_t rtos_task = {stack, {1, &pxReadyTasksLists[3]}, 3, "IDLE", 4};
TCB_t *volatile pxCurrentTCB = &rtos_task;
void vTaskSwitchContext(void) { }
/* Zephyr */
struct k_thread {
    struct { void *link[2]; union { struct { signed char prio; u8 locked; }; short preempt; };
             u8 thread_state; } base;
    struct { unsigned v[8]; unsigned psp; } callee_saved; char name[32];
};
struct z_kernel { struct { unsigned nested; char *irq_stack; struct k_thread *current; } cpus[2]; };
struct k_thread main_thread = {.base.prio = -3, .base.thread_state = 4, .callee_saved.psp = 0x500,
                               .name = "a thread with a long name"};
struct z_kernel _kernel = {.cpus[0].current = &main_thread};
void z_arm_context_switch(struct k_thread *new, struct k_thread *old) { (void)new; (void)old; }
void _start(void) { for (;;) { } }
"""


def tool(name: str) -> str:
    found = shutil.which(name)
    assert found, f"the tests need {name}: run ci/setup"
    return found


class Guest:
    """A program's memory, and the C code that fetches from it."""

    def __init__(self, folder: Path) -> None:
        (folder / "guest.c").write_text(GUEST)
        self.elf = folder / "guest.elf"
        flags = ("-mcpu=cortex-a15", "-g", "-O1", "-nostdlib", "-static", "-Wl,-Tdata=0x20000")
        compiler = tool("arm-linux-gnueabihf-gcc")
        subprocess.run((compiler, *flags, "-o", self.elf, folder / "guest.c"), check=True)
        (folder / "run.c").write_text(RUNNER)
        library = folder / "run.so"
        subprocess.run(
            (tool("gcc"), "-shared", "-fPIC", f"-I{ABI}", "-o", library, folder / "run.c"),
            check=True,
        )
        self.run = ctypes.CDLL(str(library)).run
        self.symbols, self.dwarf = read_symbols(self.elf), Dwarf(self.elf)
        with self.elf.open("rb") as file:
            segments = list(ELFFile(file).iter_segments(type="PT_LOAD"))
            self.base = min(s["p_vaddr"] for s in segments)
            top = max(s["p_vaddr"] + s["p_memsz"] for s in segments)
            self.memory = bytearray(top - self.base)
            for segment in segments:
                at = segment["p_vaddr"] - self.base
                self.memory[at : at + segment["p_filesz"]] = segment.data()

    def va(self, name: str) -> int:
        return self.symbols.find(name).va

    def fetch(self, *texts: str, **registers: int) -> Any:
        """The record that the observers would make."""
        compiled = [compile_fetch(t, symbols=self.symbols, types=self.dwarf) for t in texts]
        program = assemble(compiled)
        assert words(program) == sum(each.words for each in compiled)
        record = np.zeros(1, records.RECORD)
        names = [f"r{i}" for i in range(13)] + ["sp", "lr", "pc", "cpsr", "none", "tpidruro"]
        values = (ctypes.c_uint32 * 19)(*(registers.get(name, 0) for name in names))
        self.run(
            bytes(self.memory),
            self.base,
            len(self.memory),
            values,
            program.ctypes.data_as(ctypes.c_void_p),
            len(program),
            record.ctypes.data_as(ctypes.c_void_p),
        )
        assert record["words"][0] == sum(each.words for each in compiled)
        return record[0]

    def one(self, text: str, **registers: int) -> Any:
        """The value of one fetch as its type says; None: not mapped."""
        record = self.fetch(text, **registers)
        compiled = compile_fetch(text, symbols=self.symbols, types=self.dwarf)
        if int(record["valid"]) != (1 << compiled.words) - 1:
            assert not record["word"].any()
            return None
        data = record["word"].tobytes()[: compiled.bytes]
        if compiled.type == "string":
            return data.split(b"\0")[0].decode()
        return int.from_bytes(data, "little", signed=compiled.type.startswith("s"))


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    return Guest(tmp_path_factory.mktemp("fetch"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("OSTCBCur->OSTCBPrio", 12),
        ("OSTCBCur->OSTCBId", 513),
        ("OSTCBCur->OSTCBDly", 70000),
        ("OSTCBCur->delta", -5),
        ("OSTCBCur->OSTCBEventPtr->count", -300),
        ("OSTCBCur->OSTCBNext->OSTCBPrio", 99),
        ("OSTCBCur->OSTCBTaskName:string", "RTOS-Task1"),
        ("OSTCBCur->OSTCBTaskName:string[5]", "RTOS-"),
        ("OSTCBCur->OSTCBNext->OSTCBTaskName:string", "second"),
        ("OSTCBCur->label", "a label"),
        ("OSTCBCur->label[2]", ord("l")),
        ("OSTCBCur->point[1].y", 4),
        ("OSTCBCur->wide", 0x1234_5678_9ABC_DEF0),
        ("OSTCBCur->numbers[2]", -3),
        ("*OSTCBCur->numbers", -1),
        ("OSTCBCur->OSTCBStkPtr[3]", 44),
        ("OSTCBPrioTbl[1]->OSTCBPrio", 12),
        ("table[1].OSTCBPrio", 2),
        ("first.point[2].x", 5),
        ("(*OSTCBCur).OSTCBPrio", 12),
        ("one", 200),
        ("one:s8", -56),
        ("@one:u8", 200),
        ("OSTCBPrioTbl[0]->OSTCBPrio", None),
        ("pxCurrentTCB->pcTaskName", "IDLE"),
        ("_kernel.cpus[0].current->base.prio", -3),
    ],
)
def test_what_a_fetch_finds_is_what_the_source_says(
    guest: Guest, text: str, expected: int | str | None
) -> None:
    assert guest.one(text) == expected


def test_registers_arguments_and_the_stack(guest: Guest) -> None:
    sp = guest.va("stack")
    assert guest.one("%r3", r3=77) == 77
    assert guest.one("$arg2", r1=5) == 5
    assert guest.one("$arg5", sp=sp) == 11
    assert guest.one("$stack", sp=sp) == sp
    assert guest.one("$stack2", sp=sp) == 33
    assert guest.one("+8(%sp)", sp=sp) == 33
    assert guest.one("-4(%r1)", r1=sp + 8) == 22
    assert guest.one("+0(+16(%r1)):u8", r1=guest.va("first") - 4) == 7  # OSTCBEventPtr->type
    assert guest.one("%cpsr", cpsr=0x1D3) == 0x1D3
    assert guest.one("%tpidruro", tpidruro=0xC101_0000) == 0xC101_0000
    assert guest.one("+4(%tpidruro)", tpidruro=sp) == 22
    assert guest.one("%r0:string", r0=guest.va("first") + 64) is not None
    assert guest.one(f"@{sp + 4:#x}") == 22


def test_casts_give_registers_a_type(guest: Guest) -> None:
    first = guest.va("first")
    assert guest.one("((struct os_tcb *)%r0)->OSTCBPrio", r0=first) == 12
    assert guest.one("((OS_TCB *)%r0)->OSTCBNext->OSTCBPrio", r0=first) == 99
    assert guest.one("((OS_TCB *)%r0)[1].OSTCBPrio", r0=guest.va("table")) == 2


def test_an_address_that_is_not_mapped_is_marked_and_does_not_hide_the_next(guest: Guest) -> None:
    record = guest.fetch("one", "+0(%r0):u64", "OSTCBCur->OSTCBPrio", r0=0xF000_0000)
    assert int(record["valid"]) == 0b1001
    assert list(record["word"][:4]) == [200, 0, 0, 12]


def test_names_and_words(guest: Guest) -> None:
    def named(text: str) -> tuple[str, int, str]:
        each = compile_fetch(text, symbols=guest.symbols, types=guest.dwarf)
        return each.name, each.words, each.type

    assert named("prio=OSTCBCur->OSTCBPrio") == ("prio", 1, "u8")
    assert named("OSTCBCur->OSTCBPrio") == ("OSTCBCur_OSTCBPrio", 1, "u8")
    assert named("%r0") == ("r0", 1, "u32")
    assert named("OSTCBCur->OSTCBTaskName:string") == ("OSTCBCur_OSTCBTaskName", 4, "string")
    assert named("OSTCBCur->wide") == ("OSTCBCur_wide", 2, "s64")
    assert named("$stack2") == ("stack2", 1, "u32")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("OSTCBCur->OSTCBPri", "did you mean OSTCBPrio"),
        ("OSTCBCr->OSTCBPrio", "closest are OSTCBCur"),
        ("OSTCBCur.OSTCBPrio", "is a pointer; use ->"),
        ("first", "is a whole OS_TCB; name a member"),
        ("table", "name a element"),
        ("OSTCBCur->bits", "is a bit field"),
        ("OSTCBCur->", "is missing"),
        ("foo=", "something is missing at its end"),
        ("OSTCBCur OSTCBHighRdy", "is not expected"),
        ("%r16", "there is no register %r16"),
        ("$foo", r"\$foo is not known"),
        ("$arg0", r"\$arg0 is not known"),
        ("one:u7", "is not a type"),
        ("label=%r0:string[64]", "1 to 32 bytes"),
        ("%r0:u64", "a register has 4 bytes"),
        ("%r0->x", "needs a pointer to a structure"),
        ("table[2].OSTCBPrio", "has no element 2"),
        ("((struct os_tc *)%r0)->x", "no type 'struct os_tc'; did you mean struct os_tcb"),
        ("OSTaskSwHook", "is a function"),
        ("OSTCBCur" + "->OSTCBNext" * 7, "at most 6 are possible"),
        ("", "is missing"),
        ("a # b", "'#' has no meaning"),
    ],
)
def test_a_wrong_fetch_is_refused_with_the_reason(guest: Guest, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        compile_fetch(text, symbols=guest.symbols, types=guest.dwarf)


def test_a_guest_without_types_still_has_registers_and_memory(guest: Guest) -> None:
    each = compile_fetch("one:u8", symbols=guest.symbols, types=None)
    assert (each.value, each.offsets, each.bytes) == (guest.va("one"), (0,), 1)
    with pytest.raises(UsageError, match="has no type information"):
        compile_fetch("((OS_TCB *)%r0)->x", symbols=guest.symbols, types=None)


# Many fetches are one program.

MANY = [
    *("OSTCBCur", "OSTCBCur->OSTCBPrio", "OSTCBCur->OSTCBTaskName:string", "%r3", "$stack1"),
    *("OSTCBCur->OSTCBNext", "OSTCBCur->OSTCBNext->OSTCBTaskName:string[6]", "OSTCBCur->wide"),
    *("OSTCBPrioTbl[0]->OSTCBPrio", "OSTCBPrioTbl[1]->OSTCBPrio", "+1000(%r0)", "-4(%r1)"),
    *("+8(-900(%r2))", "+0(+0(%r4))", "OSTCBCur->OSTCBEventPtr->count", "one", "far[400]"),
    *("OSTCBCur->label", "_kernel.cpus[0].current->base.prio", "OSTCBCur:u16", "OSTCBCur:u64"),
]


@given(st.lists(st.sampled_from(MANY), min_size=1, max_size=8))
def test_together_fetches_find_what_each_finds_alone(guest: Guest, texts: list[str]) -> None:
    """In any order, some of them more than once, and some not mapped."""
    registers = {
        "r0": guest.va("second") - 1000,
        "r1": guest.va("first") + 4,
        "r2": guest.va("OSTCBCur") + 900,
        "r3": 33,
        "r4": 0xF000_0000,
        "sp": guest.va("stack"),
    }
    sizes = [compile_fetch(text, symbols=guest.symbols, types=guest.dwarf).words for text in texts]
    texts = [text for at, text in enumerate(texts) if sum(sizes[: at + 1]) <= records.WORDS]
    together = guest.fetch(*texts, **registers)
    at = 0
    for text, size in zip(texts, sizes, strict=False):
        alone = guest.fetch(text, **registers)
        assert together["word"][at : at + size].tolist() == alone["word"][:size].tolist()
        assert int(together["valid"]) >> at & (1 << size) - 1 == int(alone["valid"])
        at += size


def codes(guest: Guest, *texts: str) -> list[str]:
    program = assemble([compile_fetch(t, symbols=guest.symbols, types=guest.dwarf) for t in texts])
    return [Code(int(op["code"])).name for op in program]


def test_a_pointer_is_loaded_once(guest: Guest) -> None:
    task = (
        "OSTCBCur",
        "OSTCBCur->OSTCBId",
        "OSTCBCur->OSTCBPrio",
        "OSTCBCur->OSTCBTaskName:string",
    )
    assert codes(guest, *task) == ["SET", "POINTER", "U16", "U8", "LOAD", "NAME", "END"]
    assert codes(guest, "OSTCBCur->OSTCBPrio", "one") == ["SET", "LOAD", "U8", "SET", "U8", "END"]
    assert codes(guest, "%r0", "+4(%r0)", "+8(%r0)") == ["VALUE", "REGISTER", "U32", "U32", "END"]
    assert codes(guest, "+4(%r0)", "+1000(%r0)", "-4(%r0)") == (
        ["REGISTER", "U32", "ADD", "U32", "ADD", "U32", "END"]
    )


def test_what_lies_near_is_reached_from_where_one_is(guest: Guest) -> None:
    """Before anything was loaded through it; the variables are 4, 8 and 1,000 bytes apart."""
    cur = guest.va("OSTCBCur")
    assert codes(guest, f"@{cur:#x}", f"@{cur + 4:#x}", f"*@{cur + 8:#x}:u64") == (
        ["SET", "U32", "U32", "LOAD", "U64", "END"]
    )
    assert codes(guest, f"*@{cur:#x}", f"@{cur + 4:#x}") == (
        ["SET", "LOAD", "U32", "SET", "U32", "END"]
    )
    assert codes(guest, f"@{cur + 4:#x}", f"@{cur:#x}", f"@{cur + 1000:#x}") == (
        ["SET", "U32", "ADD", "U32", "ADD", "U32", "END"]
    )
    assert codes(guest, f"@{cur:#x}", "+4(%r0)") == ["SET", "U32", "REGISTER", "U32", "END"]


def test_what_is_read_behind_a_pointer_is_told(guest: Guest) -> None:
    """The hypervisor looks once whether all of it is there (struct trace_op, extent)."""
    program = assemble(
        [
            compile_fetch(text, symbols=guest.symbols, types=guest.dwarf)
            for text in ("+4(%r0):u16", "+20(%r0):u64", "+8(%r0)", "+1(%r1):string[8]")
        ]
    )
    moved = [(Code(int(op["code"])).name, int(op["extent"])) for op in program if op["extent"]]
    assert moved == [
        ("REGISTER", 28),  # 4 + 2, 20 + 8, 8 + 4
        *(("REGISTER", 5), ("LOAD", 8), ("STRING", 8)),
    ]


# RTOS profiles: files only, no code.

EXPECTED = {
    "ucos2": {"id": 513, "priority": 12, "state": 8, "delay": 70000, "name": "RTOS-Task1"},
    "freertos": {"id": 4, "priority": 3, "name": "IDLE"},
    "zephyr": {"priority": -3, "state": 4, "name": "a thread with a ", "stack": 0x500},
}


@pytest.mark.parametrize("key", EXPECTED)
def test_a_profile_reads_the_current_task(guest: Guest, key: str) -> None:
    (profile,) = [each for each in profiles() if each.key == key]
    found = {name: guest.one(profile.of_task(profile.current, name)) for name in EXPECTED[key]}
    assert found == EXPECTED[key]
    assert guest.symbols.find(profile.switch_at).kind == "function"
    assert guest.one(profile.switch_prev, r1=5) is not None


def test_the_ready_set_has_a_bit_for_each_priority(guest: Guest) -> None:
    (profile,) = [each for each in profiles() if each.key == "ucos2"]
    assert profile.ready_set
    assert guest.one(profile.ready_set) == 1 << 63 | 1 << 12 | 1 << 5


def test_every_profile_is_tested() -> None:
    assert {each.key for each in profiles()} == EXPECTED.keys()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def to_file(text: str) -> Path:
        path = tmp_path / "own.toml"
        path.write_text(text)
        return path

    return to_file


def test_a_profile_is_found_by_symbols(guest: Guest) -> None:
    found = detect(guest.symbols)
    assert found is not None
    assert found.key == "freertos"  # the first of the three whose symbols are all there


def test_a_wrong_profile_is_told_with_all_faults(write: Callable[[str], Path]) -> None:
    path = write('name = "x"\nunknown = 1\n[task]\nprio = "a"\n[switch]\nat = "f"\n')
    with pytest.raises(ConfigError) as caught:
        load_profile(path)
    told = "\n".join(caught.value.faults)
    for what in ("current is missing", "unknown is not a key", "task.prio", "switch.prev"):
        assert what in told
    with pytest.raises(ConfigError, match=r"own\.toml"):
        load_profile(write("not toml"))
