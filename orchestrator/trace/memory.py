# SPDX-License-Identifier: MIT
"""Finds ftrace's pages in the memory of a Linux guest, which takes the guest no time.

It works for a kernel that has panicked or hangs, too: its ring buffers are still in RAM. Debian's
kernels have no BTF, and their symbol table names functions only, so the way to the data is read from
the code: two small functions tell where the first buffer is and where in it the list of CPUs. What
follows is recognised by what it must look like, not by offsets: a layout that is not the expected one
is an error.

The structures are those of kernel/trace/ring_buffer.c and trace.h, Linux 3.10 and later. Who decodes
the pages: `pages`, as it decodes those that a guest has handed over.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import capstone
import numpy as np
from capstone import arm
from numpy.typing import NDArray

from orchestrator.errors import GuestError
from orchestrator.trace.pages import COMMIT_MASK, DATA_BYTES, PAGE_BYTES

PAGES_FOLDER: Final = "ftrace"
"""Folder, among a run's streams, of pages that were found so: cpu0.raw and so on."""

FUNCTIONS: Final = ("tracing_on", "ring_buffer_entries_cpu")
"""Those whose code tells the way."""

_FUNCTION_BYTES: Final = 128
_CPU_BUFFER_WORDS: Final = 64
_POINTERS: Final = 5  # pages, head_page, tail_page, commit_page, reader_page
_NEXT, _PREV, _READ, _ENTRIES = 0, 1, 3, 4
"""Words of struct buffer_page: list, write, read, entries, real_end."""
_DATA_WORDS: Final = (6, 8)
"""Where its `page` is: next; behind `order` and `id`, since Linux 6.8."""
_FLAGS: Final = 3
"""In the low bits of `list.next`: the page that follows is the ring's head, or is becoming it."""
_COUNT_MASK: Final = 0xFFFFF
"""Of `entries`; above it the kernel counts writers that interrupt each other."""
_LOG2_POINTER_BYTES: Final = 2
_MAX_PAGES: Final = 1 << 20
_MAX_INSTANCES: Final = 1 << 10
_NAME_OFFSET: Final = 8  # of struct trace_array: list, name
_MAX_NAME_BYTES: Final = 256
_BLOCK_BITS: Final = 20
_BLOCK_MASK: Final = (1 << _BLOCK_BITS) - 1


@dataclass(frozen=True, kw_only=True)
class CpuPages:
    """What one CPU's ring buffer holds.

    Attributes:
        cpu: Linux's number of the CPU.
        offsets: Of its data pages in RAM, the oldest first; int64[n]. Each has 4096 bytes as
            `trace_pipe_raw` gives them, only that what lies behind its data was never cleared.
        entries: Events in them, as the kernel counts those of each page.
    """

    cpu: int
    offsets: NDArray[np.int64]
    entries: int


class KernelMemory:
    """A guest kernel's memory. The guest must not run meanwhile.

    Args:
        ram: The board's; uint8[n], n a multiple of four.
        translate: Offset in `ram` of a virtual address. Raises LookupError: it is not mapped.
    """

    def __init__(self, ram: NDArray[np.uint8], translate: Callable[[int], int]) -> None:
        self.ram = ram
        self._words = memoryview(ram.data).cast("B").cast("I")
        self._translate = translate
        self._blocks: dict[int, int] = {}

    def read(self, va: int, size: int) -> bytes:
        """Bytes at any address.

        Raises:
            LookupError: Not all of them are mapped to RAM.
        """
        out = b""
        while len(out) < size:
            at = va + len(out)
            part = min(size - len(out), PAGE_BYTES - at % PAGE_BYTES)
            start = self._translate(at)
            data = self.ram[start : start + part].tobytes()
            if start < 0 or len(data) != part:
                raise LookupError(f"{at:#x} is not in RAM")
            out += data
        return out

    def word(self, va: int) -> int:
        """A word at any address.

        Raises:
            LookupError: It is not mapped to RAM.
        """
        return int.from_bytes(self.read(va, 4), "little")

    def linear(self, va: int) -> int:
        """As `translate`, for the kernel's linear map, of which one address tells of its MiB.

        Raises:
            LookupError: It is not mapped to RAM.
        """
        start = self._blocks.get(va >> _BLOCK_BITS)
        if start is None:
            start = self._translate(va) - (va & _BLOCK_MASK)
            self._blocks[va >> _BLOCK_BITS] = start
        at = start + (va & _BLOCK_MASK)
        if not 0 <= at <= len(self.ram) - 4:
            raise LookupError(f"{va:#x} is not in RAM")
        return at

    def linear_word(self, va: int, index: int) -> int:
        """A word of a structure in the linear map.

        Args:
            va: Of the structure, a multiple of four.
            index: Of the word in it.

        Raises:
            LookupError: As `linear`.
        """
        return self._words[self.linear(va + 4 * index) >> 2]


def ring_pages(
    memory: KernelMemory, functions: Mapping[str, int], *, cpus: int, instance: str = ""
) -> tuple[CpuPages, ...]:
    """Finds the pages of a buffer of ftrace's that hold events.

    Args:
        memory: The guest kernel's.
        functions: Address of each of `FUNCTIONS`; a kernel may lack them.
        cpus: Number of CPUs to look at.
        instance: Name of the buffer's instance; "" for the first one.

    Raises:
        GuestError: This kernel's code or data does not look as it must; says what does not.
    """
    try:
        pointer = _buffer_pointer(memory, functions)
        if instance:
            pointer = _instance_pointer(memory, pointer, instance)
        buffers = memory.word(memory.word(pointer) + _cpu_list_offset(memory, functions))
        found = []
        for cpu in range(cpus):
            cpu_buffer = memory.word(buffers + 4 * cpu)
            if cpu_buffer:
                found.append(_cpu_pages(memory, cpu, cpu_buffer))
    except LookupError as error:
        raise GuestError(f"ftrace's buffer in the guest's memory: {error}") from error
    return tuple(found)


def _code(memory: KernelMemory, functions: Mapping[str, int], name: str) -> Iterator[Any]:
    if name not in functions:
        raise LookupError(f"the kernel has no function {name}; is it built with CONFIG_TRACING?")
    va = functions[name]
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM)
    decoder.detail = True
    instructions: Iterator[Any] = decoder.disasm(memory.read(va, _FUNCTION_BYTES), va)
    return instructions


def _buffer_pointer(memory: KernelMemory, functions: Mapping[str, int]) -> int:
    """Address of `global_trace.array_buffer.buffer`, the first thing that tracing_on() loads."""
    value: dict[int, int] = {}
    for insn in _code(memory, functions, "tracing_on"):
        operands = insn.operands
        if insn.mnemonic == "movw":
            value[operands[0].reg] = operands[1].imm
        elif insn.mnemonic == "movt":
            value[operands[0].reg] = value.get(operands[0].reg, 0) | operands[1].imm << 16
        elif insn.mnemonic == "ldr" and operands[1].type == arm.ARM_OP_MEM:
            source = operands[1].mem
            if source.base == arm.ARM_REG_PC:
                value[operands[0].reg] = memory.word(insn.address + 8 + source.disp)
            elif source.base in value:
                return value[source.base] + int(source.disp)
    raise LookupError("tracing_on() does not load the buffer in a way that is known")


def _instance_pointer(memory: KernelMemory, pointer: int, name: str) -> int:
    """The same pointer of an instance: all struct trace_array are in one list, their first member.

    Right before the pointer, `array_buffer.tr` points to the structure that it is in.
    """
    first = memory.word(pointer - 4)
    offset = pointer - first
    va = memory.word(first)
    for _ in range(_MAX_INSTANCES):
        if va == first:
            raise LookupError(f"there is no instance {name!r}")
        # The list's head is in the list, too, and is no such structure.
        if memory.word(va + offset - 4) == va and _text(memory, va + _NAME_OFFSET) == name:
            return va + offset
        va = memory.word(va)
    raise LookupError("the list of instances has no end")


def _text(memory: KernelMemory, pointer: int) -> str:
    """What a `char *` points to."""
    va = memory.word(pointer)
    text = b""
    while va and len(text) < _MAX_NAME_BYTES:
        byte = memory.read(va + len(text), 1)
        if byte == b"\0":
            break
        text += byte
    return text.decode(errors="replace")


def _cpu_list_offset(memory: KernelMemory, functions: Mapping[str, int]) -> int:
    """Offset of `buffers` in struct trace_buffer: what is indexed by the cpu, shifted by two."""
    loaded: dict[int, int] = {}
    for insn in _code(memory, functions, "ring_buffer_entries_cpu"):
        if not insn.mnemonic.startswith("ldr"):
            continue
        target, source = insn.operands[0].reg, insn.operands[1].mem
        if (
            source.base in loaded
            and source.index
            and insn.operands[1].shift.value == _LOG2_POINTER_BYTES
        ):
            return loaded[source.base]
        if source.base == arm.ARM_REG_R0 and not source.index:
            loaded[target] = source.disp
    raise LookupError("ring_buffer_entries_cpu() does not index the CPUs in a way that is known")


def _cpu_pages(memory: KernelMemory, cpu: int, cpu_buffer: int) -> CpuPages:
    """Follows the five pointers of struct ring_buffer_per_cpu that lie side by side."""
    words = struct.unpack(f"<{_CPU_BUFFER_WORDS}I", memory.read(cpu_buffer, 4 * _CPU_BUFFER_WORDS))
    for data_word in _DATA_WORDS:
        ring = _Ring(memory, data_word)
        for at in range(_CPU_BUFFER_WORDS - _POINTERS + 1):
            five = words[at : at + _POINTERS]
            if all(ring.is_page(va) for va in five):
                pages, _head, _tail, commit, reader = five
                return ring.held(cpu, pages, commit=commit, reader=reader)
    raise LookupError(f"no pages belong to the CPU's buffer at {cpu_buffer:#x}")


class _Ring:
    """A list of struct buffer_page.

    Args:
        memory: The kernel's.
        data_word: Which word of the structure points to the data.
    """

    def __init__(self, memory: KernelMemory, data_word: int) -> None:
        self._memory = memory
        self._data = data_word

    def is_page(self, va: int) -> bool:
        """Whether such a structure can be at an address: two links, and a page with a header."""
        word = self._memory.linear_word
        if va == 0 or va % 4:
            return False
        try:
            data = word(va, self._data)
            if data == 0 or data % PAGE_BYTES:
                return False
            word(word(va, _NEXT) & ~_FLAGS, _PREV)
            return word(data, 2) & COMMIT_MASK <= DATA_BYTES
        except LookupError:
            return False

    def held(self, cpu: int, start: int, *, commit: int, reader: int) -> CpuPages:
        """The reader's page, then those from the head of the ring to the one being written.

        Args:
            cpu: Whose.
            start: Any page of the ring.
            commit: The page being written.
            reader: The page that a reader has taken out of the ring.
        """
        word, linear = self._memory.linear_word, self._memory.linear
        # Where the reader has caught up, the writer is on its page and the ring holds nothing.
        pages = [reader, *(self._ring(start, commit) if commit != reader else ())]
        data = [word(va, self._data) for va in pages]
        if any(va == 0 or va % PAGE_BYTES for va in data):
            raise LookupError(f"the list of pages breaks off; one of CPU {cpu} has no data")
        if len(set(data)) != len(data):
            raise LookupError(f"two pages of CPU {cpu} have the same data")
        offsets = np.array([linear(va) for va in data], np.int64)
        size = self._memory.ram.view("<u4")[offsets // 4 + 2] & np.uint32(COMMIT_MASK)
        if (size > DATA_BYTES).any():
            raise LookupError(f"a page of CPU {cpu} says that it holds more than a page")
        entries = np.array([word(va, _ENTRIES) & _COUNT_MASK for va in pages], np.int64)
        kept = size > 0
        kept[0] &= word(reader, _READ) < size[0]
        return CpuPages(cpu=cpu, offsets=offsets[kept], entries=int(entries[kept].sum()))

    def _ring(self, start: int, last: int) -> list[int]:
        """Addresses of the pages from the head to the last one written.

        The head is the page whose predecessor marks it; `head_page` itself may lag behind.
        """
        word = self._memory.linear_word
        around: list[int] = []
        va, head = start, 0
        for _ in range(_MAX_PAGES):
            around.append(va)
            link = word(va, _NEXT)
            after = link & ~_FLAGS
            if link & _FLAGS:
                head = len(around)
            if word(after, _PREV) & ~_FLAGS != va:
                raise LookupError(f"the list of pages is torn behind {va:#x}")
            va = after
            if va == start:
                break
        else:
            raise LookupError("the ring of pages has no end")
        if head == 0:
            raise LookupError("no page of the ring is marked as its head")
        ordered = around[head:] + around[:head]
        if last not in ordered:
            raise LookupError(f"the page being written, {last:#x}, is not in the ring")
        return ordered[: ordered.index(last) + 1]
