# SPDX-License-Identifier: MIT
"""Finds ftrace's pages in the memory of a Linux guest that cannot hand them over any more.

A kernel that has panicked or hangs still has its ring buffers in RAM. Debian's kernels have no BTF,
and their symbol table names functions only, so the way to the data is read from the code: two small
functions tell where the buffer is and where in it the list of CPUs. What follows is recognised by
what it must look like, not by offsets: a layout that is not the expected one is an error.

The structures are those of kernel/trace/ring_buffer.c, Linux 3.10 and later. Who decodes the pages:
`orchestrator.trace` too, as it decodes those that a living guest has handed over.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import capstone
from capstone import arm

from orchestrator.errors import GuestError

ReadVirtual = Callable[[int, int], bytes]
"""Reads bytes of the guest kernel's virtual memory: address, size. Raises LookupError."""

RESCUED: Final = "rescued"
"""Folder, among a run's streams, of pages that were found so: cpu0.raw and so on."""

PAGE_BYTES: Final = 4096
_HEADER: Final = struct.Struct("<QI")  # struct buffer_data_page: time_stamp, commit
_MAX_DATA_BYTES: Final = PAGE_BYTES - 12
_COMMIT_MASK: Final = 0xFFFFF  # above it: flags for events that were missed
_FUNCTION_BYTES: Final = 128
_CPU_BUFFER_WORDS: Final = 64
_POINTERS: Final = 5  # pages, head_page, tail_page, commit_page, reader_page
_LOG2_POINTER_BYTES: Final = 2
_MAX_PAGES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class CpuPages:
    """What one CPU's ring buffer holds.

    Attributes:
        cpu: Linux's number of the CPU.
        pages: Data pages of 4096 bytes as `trace_pipe_raw` would give them, the oldest first; only
            the padding at a page's end is still there.
    """

    cpu: int
    pages: tuple[bytes, ...]


def ring_pages(
    read: ReadVirtual, functions: Mapping[str, int], *, cpus: int
) -> tuple[CpuPages, ...]:
    """Collects the pages of ftrace's main buffer that hold events.

    Args:
        read: The guest kernel's memory. The guest must not run meanwhile.
        functions: Address of each kernel function; needs `tracing_on`, `ring_buffer_entries_cpu`.
        cpus: Number of CPUs to look at.

    Raises:
        GuestError: This kernel's code or data does not look as it must; says what does not.
    """
    try:
        buffer = _word(read, _buffer_pointer(read, functions))
        buffers = _word(read, buffer + _cpu_list_offset(read, functions))
        found = []
        for cpu in range(cpus):
            cpu_buffer = _word(read, buffers + 4 * cpu)
            if cpu_buffer:
                found.append(CpuPages(cpu=cpu, pages=tuple(_pages(read, cpu_buffer))))
    except LookupError as error:
        raise GuestError(f"ftrace's buffer in the guest's memory: {error}") from error
    return tuple(found)


def _word(read: ReadVirtual, va: int) -> int:
    return int.from_bytes(read(va, 4), "little")


def _code(read: ReadVirtual, functions: Mapping[str, int], name: str) -> Iterator[Any]:
    if name not in functions:
        raise LookupError(f"the kernel has no function {name}; is it built with CONFIG_TRACING?")
    va = functions[name]
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM)
    decoder.detail = True
    instructions: Iterator[Any] = decoder.disasm(read(va, _FUNCTION_BYTES), va)
    return instructions


def _buffer_pointer(read: ReadVirtual, functions: Mapping[str, int]) -> int:
    """Address of `global_trace.array_buffer.buffer`, the first thing that tracing_on() loads."""
    value: dict[int, int] = {}
    for insn in _code(read, functions, "tracing_on"):
        operands = insn.operands
        if insn.mnemonic == "movw":
            value[operands[0].reg] = operands[1].imm
        elif insn.mnemonic == "movt":
            value[operands[0].reg] = value.get(operands[0].reg, 0) | operands[1].imm << 16
        elif insn.mnemonic == "ldr" and operands[1].type == arm.ARM_OP_MEM:
            memory = operands[1].mem
            if memory.base == arm.ARM_REG_PC:
                value[operands[0].reg] = _word(read, insn.address + 8 + memory.disp)
            elif memory.base in value:
                return value[memory.base] + int(memory.disp)
    raise LookupError("tracing_on() does not load the buffer in a way that is known")


def _cpu_list_offset(read: ReadVirtual, functions: Mapping[str, int]) -> int:
    """Offset of `buffers` in struct trace_buffer: what is indexed by the cpu, shifted by two."""
    loaded: dict[int, int] = {}
    for insn in _code(read, functions, "ring_buffer_entries_cpu"):
        if not insn.mnemonic.startswith("ldr"):
            continue
        target, memory = insn.operands[0].reg, insn.operands[1].mem
        if (
            memory.base in loaded
            and memory.index
            and insn.operands[1].shift.value == _LOG2_POINTER_BYTES
        ):
            return loaded[memory.base]
        if memory.base == arm.ARM_REG_R0 and not memory.index:
            loaded[target] = memory.disp
    raise LookupError("ring_buffer_entries_cpu() does not index the CPUs in a way that is known")


@dataclass(frozen=True, kw_only=True)
class _BufferPage:
    """struct buffer_page: list.next with its two flag bits, and the data page."""

    next: int
    data: int


def _buffer_page(read: ReadVirtual, va: int) -> _BufferPage | None:
    """The structure at an address, if there can be one."""
    if va == 0 or va % 4:
        return None
    try:
        words = struct.unpack("<7I", read(va, 28))
        data = words[6]
        if data == 0 or data % PAGE_BYTES:
            return None
        commit = _HEADER.unpack(read(data, _HEADER.size))[1] & _COMMIT_MASK
        read(words[0] & ~3, 4)
    except LookupError:
        return None
    return _BufferPage(next=words[0], data=data) if commit <= _MAX_DATA_BYTES else None


def _pages(read: ReadVirtual, cpu_buffer: int) -> Iterator[bytes]:
    """The reader's page, then those from the head of the ring to the one being written."""
    head, commit, reader = _ends(read, cpu_buffer)
    # Where the reader has caught up, the writer is on its page and the ring holds nothing.
    written = () if commit == reader else _ring(read, head, commit)
    for va in (reader, *written):
        page = _buffer_page(read, va)
        if page is None:
            raise LookupError(f"the list of pages breaks off at {va:#x}")
        data = read(page.data, PAGE_BYTES)
        if _HEADER.unpack_from(data)[1] & _COMMIT_MASK:
            yield data


def _ends(read: ReadVirtual, cpu_buffer: int) -> tuple[int, int, int]:
    """Head, commit and reader page, from the five pointers that lie side by side."""
    words = struct.unpack(f"<{_CPU_BUFFER_WORDS}I", read(cpu_buffer, 4 * _CPU_BUFFER_WORDS))
    for at in range(_CPU_BUFFER_WORDS - _POINTERS + 1):
        five = words[at : at + _POINTERS]
        if all(_buffer_page(read, va) for va in five):
            pages, _head, _tail, commit, reader = five
            return _true_head(read, pages), commit, reader
    raise LookupError(f"no pages belong to the CPU's buffer at {cpu_buffer:#x}")


def _true_head(read: ReadVirtual, start: int) -> int:
    """The page whose predecessor marks it: `head_page` itself may lag behind."""
    va = start
    for _ in range(_MAX_PAGES):
        page = _buffer_page(read, va)
        if page is None:
            break
        va = page.next & ~3
        if page.next & 3:
            return va
        if va == start:
            break
    raise LookupError("no page of the ring is marked as its head")


def _ring(read: ReadVirtual, head: int, last: int) -> Iterator[int]:
    """Addresses of the ring's pages from the head to the last one written."""
    va = head
    for _ in range(_MAX_PAGES):
        yield va
        if va == last:
            return
        page = _buffer_page(read, va)
        if page is None or page.next & ~3 == head:
            break
        va = page.next & ~3
    raise LookupError(f"the page being written, {last:#x}, is not in the ring")
