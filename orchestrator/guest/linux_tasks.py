# SPDX-License-Identifier: MIT
"""Where a Linux kernel has its tasks: read from its own code, since Debian's come without types.

A kernel's trace events copy a task's name, pid and priority to places that its event formats fix for
all kernels (kernel: `include/trace/events/sched.h`), so the instructions of those functions tell
where they are in `struct task_struct`. Functions that put a task to sleep store well-known constants
into its state. They find the running task in TPIDRURO (kernel: `arch/arm/include/asm/current.h`,
CONFIG_CURRENT_POINTER_IN_TPIDRURO; since 5.17). A kernel that does it in another way, or in which two
of these functions contradict each other, has no tasks for us. The number of a task's process is what ftrace,
and BPF, read beside its pid; a kernel that has neither has tasks, but not their processes.

What is fetched of a task is in linux.toml, which is a profile as an RTOS has one.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import capstone
from capstone import arm_const

from orchestrator.errors import UsageError
from orchestrator.guest.symbols import SymbolTable
from orchestrator.guest.symbols_kallsyms import page_offset
from orchestrator.guest.types import Kind, Member, closest

_TASK: Final = "struct task_struct"
_COMM_BYTES: Final = 16
_WORD_BYTES: Final = 4

# Of a trace event: its function, the argument that is a task, and where the event has the task's
# comm, pid and prio.
_COPIES: Final = (
    ("trace_event_raw_event_sched_switch", 2, 8, 24, 28),
    ("trace_event_raw_event_sched_switch", 3, 36, 52, 56),
    ("trace_event_raw_event_sched_wakeup_template", 1, 8, 24, 28),
)
# Functions that store a state into the running task: TASK_INTERRUPTIBLE and so on.
_SLEEPS: Final = (
    ("schedule_timeout_interruptible", 0x1),
    ("schedule_timeout_uninterruptible", 0x2),
    ("schedule_timeout_killable", 0x102),
)
# Functions that read a task's pid and tgid, and nothing else of it but its name: that of their first
# argument (kernel/trace), or of the running one (kernel/bpf/helpers.c).
_PID_AND_TGID: Final = ("tracing_record_taskinfo", "bpf_get_current_pid_tgid")
_ENTRY: Final = ("__entry_text_start", "__entry_text_end")
_VECTORS_VA: Final = 0xFFFF_0000
_USER_HELPERS: Final = range(0xFFFF_0F60, 0xFFFF_1000)
_MODULES_BYTES: Final = 16 << 20  # below the linear map

ReadCode = Callable[[str], tuple[int, bytes]]
"""Address and bytes of a function; empty if the kernel has none of that name."""


@dataclass(frozen=True, kw_only=True)
class PlainType:
    """A C type that is told in full; see `orchestrator.guest.types.CType`."""

    name: str
    kind: Kind
    bytes: int
    signed: bool = False
    is_char: bool = False
    inner: "PlainType | None" = None
    count: int = 0
    members: Mapping[str, Member] = field(default_factory=dict)

    @property
    def target(self) -> "PlainType":
        """Of a pointer or an array: of what."""
        return self.inner or self

    def member(self, name: str) -> Member:
        """The member of that name.

        Raises:
            UsageError: No structure, or no such member; the message has those that are known.
        """
        if name not in self.members:
            raise UsageError(
                f"{self} has no member {name!r} that is known{closest(name, self.members)}; "
                f"known are {', '.join(self.members)}"
                if self.members
                else f"{self} has no members, so no {name!r}"
            )
        return self.members[name]

    def __str__(self) -> str:
        return self.name


class TaskTypes:
    """The one type that is known of a kernel: see `orchestrator.guest.types.Types`.

    Args:
        task: `struct task_struct`, as far as it is known.
    """

    def __init__(self, task: PlainType) -> None:
        self._task = task

    def variable(self, name: str) -> None:
        """None: kallsyms has no variables."""

    def pointer_to(self, name: str) -> PlainType:
        """A pointer to `struct task_struct`.

        Raises:
            UsageError: Another type.
        """
        if name != _TASK:
            raise UsageError(f"no type {name!r}; of a kernel only {_TASK!r} is known")
        return PlainType(name=f"{_TASK} *", kind="pointer", bytes=_WORD_BYTES, inner=self._task)


def task_types(read: ReadCode) -> TaskTypes | None:
    """Reads the type of a kernel's tasks from its code; None: it is not what we know."""
    offsets = task_offsets(read)
    if offsets is None:
        return None
    char = PlainType(name="char", kind="integer", bytes=1, is_char=True)
    integer = PlainType(name="int", kind="integer", bytes=_WORD_BYTES, signed=True)
    types = {
        "comm": PlainType(
            name=f"char[{_COMM_BYTES}]",
            kind="array",
            bytes=_COMM_BYTES,
            inner=char,
            count=_COMM_BYTES,
        ),
        "pid": integer,
        "tgid": integer,
        "prio": integer,
        "__state": PlainType(name="unsigned int", kind="integer", bytes=_WORD_BYTES),
    }
    members = {
        name: Member(name=name, offset=offsets[name], type=kind)
        for name, kind in types.items()
        if name in offsets
    }
    return TaskTypes(PlainType(name=_TASK, kind="struct", bytes=0, members=members))


def has_current(va: int, symbols: SymbolTable) -> bool:
    """Whether TPIDRURO holds the running task at a place.

    It does not in user space, in the exception vectors, and on the kernel's way in and out, where it
    is the user's.
    """
    start, end = (symbols.get(name) for name in _ENTRY)
    on_the_way = start is not None and end is not None and start.va <= va < end.va
    return va < _VECTORS_VA and not on_the_way and not is_user(va, symbols)


def is_user(va: int, symbols: SymbolTable) -> bool:
    """Whether code at an address runs in User mode: a program's, or a helper of the kernel's.

    The helpers are in the vectors' page (kernel: `Documentation/arm/kernel_user_helpers.rst`).
    """
    return va < page_offset(symbols) - _MODULES_BYTES or va in _USER_HELPERS


def task_offsets(read: ReadCode) -> dict[str, int] | None:
    """Where comm, pid, prio, __state and, if it is known, tgid are in `struct task_struct`.

    None: where the first four are is not known for sure.
    """
    found: defaultdict[str, set[int | None]] = defaultdict(set)
    for function, task, comm_at, pid_at, prio_at in _COPIES:
        copied = {
            to.offset: value.at.offset
            for value, to in _stores(*read(function))
            if isinstance(value, _Loaded) and value.at.base == task and to.base == _RESULT
        }
        comm = copied.get(comm_at)
        words = range(0, _COMM_BYTES, _WORD_BYTES)
        if comm is not None and any(copied.get(comm_at + i) != comm + i for i in words):
            comm = None
        found["comm"].add(comm)
        found["pid"].add(copied.get(pid_at))
        found["prio"].add(copied.get(prio_at))
    for function, state in _SLEEPS:
        stored = [
            to.offset
            for value, to in _stores(*read(function))
            if value == state and to.base == _CURRENT
        ]
        found["__state"].add(stored[0] if len(stored) == 1 else None)
    offsets = {name: values.pop() for name, values in found.items() if len(values) == 1}
    known = {name: offset for name, offset in offsets.items() if offset is not None}
    if len(known) != len(found):
        return None
    others = {known["pid"], *range(known["comm"], known["comm"] + _COMM_BYTES)}
    beside = [_words_of_task(*read(function)) - others for function in _PID_AND_TGID]
    tgid = set[int]().union(*beside)
    return known | {"tgid": tgid.pop()} if len(tgid) == 1 else known


# A little of what the instructions of straight-line code do.

_CURRENT: Final = "current"
_RESULT: Final = "result"
_CALLED_WITH: Final = (
    *(arm_const.ARM_REG_R0, arm_const.ARM_REG_R1, arm_const.ARM_REG_R2, arm_const.ARM_REG_R3),
)
_CALL_CLOBBERS: Final = (*_CALLED_WITH, arm_const.ARM_REG_R12, arm_const.ARM_REG_LR)
_CALLS: Final = frozenset({"bl", "blx"})
_WORDS_LOADED: Final = {arm_const.ARM_INS_LDR: 1, arm_const.ARM_INS_LDRD: 2}
_READ_CURRENT: Final = re.compile(r"p15, #?0, (\w+), c13, c0, #?3")


@dataclass(frozen=True)
class _Address:
    """So many bytes behind a pointer: the argument of that number, or `_CURRENT`, or `_RESULT`."""

    base: int | str
    offset: int


@dataclass(frozen=True)
class _Loaded:
    """The word at an address."""

    at: _Address


_Known = _Address | _Loaded | int
"""What is in a register; an int is a constant."""


def _stores(va: int, code: bytes) -> Iterator[tuple[_Known | None, _Address]]:
    """Words that A32 code stores, and where to, as far as it can be followed.

    Branches are not: code is read from top to bottom, as compilers lay out what is usual.
    """
    reader = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM)
    reader.detail = True
    values: dict[int, _Known] = {
        register: _Address(number, 0) for number, register in enumerate(_CALLED_WITH)
    }
    for insn in reader.disasm(code, va):
        words = tuple(_accessed(insn, values))
        if insn.mnemonic in _CALLS:
            yield from _copied(values)
        if insn.mnemonic in {"str", "stm"}:
            yield from ((values.get(register), at) for register, at in words)
        results = dict(_results(insn, values))
        if insn.mnemonic in {"ldr", "ldm"}:
            results |= {register: _Loaded(at) for register, at in words}
        called = insn.mnemonic in _CALLS
        for register in _CALL_CLOBBERS if called else insn.regs_access()[1]:
            values.pop(register, None)
        values |= results


def _words_of_task(va: int, code: bytes) -> set[int]:
    """Offsets of words that A32 code loads from its first argument or from the running task.

    It is read from top to bottom, all branches alike: what follows a jump or a return is reached with
    the registers of before it.
    """
    reader = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM)
    reader.detail = True
    tasks = {_CALLED_WITH[0]}
    offsets = set()
    for insn in reader.disasm(code, va):
        operands, written = insn.operands, set(insn.regs_access()[1])
        if insn.id in {arm_const.ARM_INS_BL, arm_const.ARM_INS_BLX}:
            tasks -= {*_CALL_CLOBBERS}
            continue
        if arm_const.ARM_REG_PC in written:
            continue
        copy: int | None = None
        if insn.id in _WORDS_LOADED and operands[-1].mem.base in tasks:
            first = operands[-1].mem.disp
            offsets |= {first + _WORD_BYTES * at for at in range(_WORDS_LOADED[insn.id])}
        elif insn.id == arm_const.ARM_INS_MOV and operands[1].reg in tasks:
            copy = operands[0].reg
        elif insn.id == arm_const.ARM_INS_MRC and _READ_CURRENT.fullmatch(insn.op_str):
            copy = operands[2].reg
        tasks -= written
        if copy is not None:
            tasks.add(copy)
    return offsets


def _copied(values: Mapping[int, _Known]) -> Iterator[tuple[_Known | None, _Address]]:
    """The words that a call copies, if it is one as of memcpy() with a name's length."""
    to, source, size = (values.get(register) for register in _CALLED_WITH[:3])
    if isinstance(to, _Address) and isinstance(source, _Address) and size == _COMM_BYTES:
        for at in range(0, _COMM_BYTES, _WORD_BYTES):
            yield (
                _Loaded(_Address(source.base, source.offset + at)),
                _Address(to.base, to.offset + at),
            )


def _accessed(
    insn: capstone.CsInsn, values: Mapping[int, _Known]
) -> Iterator[tuple[int, _Address]]:
    """Registers that a load or store moves whole, and the words that it moves them from or to."""
    name, operands = insn.mnemonic, insn.operands
    if name in {"ldr", "str"} and not insn.writeback and not operands[1].mem.index:
        base = values.get(operands[1].mem.base)
        if isinstance(base, _Address):
            yield operands[0].reg, _Address(base.base, base.offset + operands[1].mem.disp)
    elif name in {"ldm", "stm"}:
        base = values.get(operands[0].reg)
        if isinstance(base, _Address):
            for number, each in enumerate(operands[1:]):
                yield each.reg, _Address(base.base, base.offset + _WORD_BYTES * number)


def _results(insn: capstone.CsInsn, values: Mapping[int, _Known]) -> Iterator[tuple[int, _Known]]:
    """What is in registers after an instruction that is no load."""
    name, operands = insn.mnemonic, insn.operands
    source: _Known | None = None
    if len(operands) > 1:
        last = operands[1]
        source = last.imm if last.type == arm_const.ARM_OP_IMM else values.get(last.reg)
    if name in _CALLS:
        yield arm_const.ARM_REG_R0, _Address(_RESULT, 0)
    elif name == "mrc" and _READ_CURRENT.fullmatch(insn.op_str):
        yield operands[2].reg, _Address(_CURRENT, 0)
    elif name in {"mov", "movw"} and source is not None:
        yield operands[0].reg, source
    elif name in {"add", "sub", "subs"} and isinstance(source, _Address):
        last = operands[2]
        by = last.imm if last.type == arm_const.ARM_OP_IMM else values.get(last.reg)
        if isinstance(by, int):  # `subs r, r, #0` moves and tests
            offset = source.offset + (by if name == "add" else -by)
            yield operands[0].reg, _Address(source.base, offset)
    elif name in {"ldm", "stm"} and insn.writeback:
        base = values.get(operands[0].reg)
        if isinstance(base, _Address):
            after = base.offset + _WORD_BYTES * (len(operands) - 1)
            yield operands[0].reg, _Address(base.base, after)
