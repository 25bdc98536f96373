# SPDX-License-Identifier: MIT
"""Symbols and types against the cross compiler's own tools and against tables encoded here."""

from __future__ import annotations

import shutil
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from orchestrator.errors import Interrupted, StorageError, UsageError
from orchestrator.guest.dwarf import Dwarf
from orchestrator.guest.symbols import Encoding
from orchestrator.guest.symbols_elf import read_symbols
from orchestrator.guest.symbols_exports import with_exported_data
from orchestrator.guest.symbols_kallsyms import parse_kallsyms, read_kallsyms

PREFIX = "arm-linux-gnueabihf-"
SOURCE = """
#include <stddef.h>
typedef unsigned char u8;
enum colour { RED, BLUE };
struct inner { short a; union { int b; char c[8]; }; };
struct node {
    struct node *next;
    const volatile u8 prio;
    signed char delta;
    struct inner in[3];
    char name[16];
    enum colour colour;
    unsigned flag : 3;
    long long wide;
};
struct node *head, table[5];
int matrix[2][3];
static int twice(int x) { return 2 * x; }
__attribute__((noinline)) int work(int x) { return table[x].delta + 0x12345678 * twice(x); }
__attribute__((noinline, target("thumb"))) int thumb(int x) { return work(x) + matrix[1][x]; }
void _start(void) { head = &table[thumb(1)]; for (;;) { } }
const unsigned told[] = {
    offsetof(struct node, prio), offsetof(struct node, delta), offsetof(struct node, in),
    offsetof(struct node, name), offsetof(struct node, colour), offsetof(struct node, wide),
    sizeof(struct node), sizeof(struct inner), offsetof(struct inner, b),
};
"""


def run(*words: str | Path) -> str:
    assert shutil.which(str(words[0])), f"the tests need {words[0]}: run ci/setup"
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elf")
    source, path = folder / "t.c", folder / "t.elf"
    source.write_text(SOURCE)
    run(
        *(f"{PREFIX}gcc", "-marm", "-mcpu=cortex-a15", "-g", "-O1", "-nostdlib", "-static"),
        *("-Wl,--build-id=none", "-o", path, source),
    )
    return path


@pytest.fixture(scope="module")
def told(elf: Path) -> list[int]:
    """What the compiler says of the offsets: the words of the array `told`."""
    out = elf.parent / "rodata"
    run(f"{PREFIX}objcopy", "-O", "binary", "-j", ".rodata", elf, out)
    return list(struct.unpack_from("<9I", out.read_bytes()))


def test_functions_and_their_sizes_are_those_that_nm_tells(elf: Path) -> None:
    table = read_symbols(elf)
    expected = {
        words[3]: (int(words[0], 16) & ~1, int(words[1], 16))
        for line in run(f"{PREFIX}nm", "-S", elf).splitlines()
        if len(words := line.split()) == 4 and words[2] in "tT"
    }
    assert {each.name: (each.va, each.bytes) for each in table.functions if each.bytes} == expected
    assert {"work", "thumb", "_start"} <= expected.keys()
    assert "twice" not in expected  # inlined


def test_encodings_follow_the_mapping_symbols(elf: Path) -> None:
    table = read_symbols(elf)
    assert table.encoding(table.find("work").va) is Encoding.A32
    assert table.encoding(table.find("thumb").va) is Encoding.T32
    work = table.find("work")
    disassembly = run(f"{PREFIX}objdump", "-d", "--disassemble=work", elf).splitlines()
    literals = [int(line.split(":")[0], 16) for line in disassembly if "\t.word\t" in line]
    for va in range(work.va, table.end_of(work), 4):
        assert (table.encoding(va) is Encoding.DATA) == (va in literals)


def test_an_address_has_a_name(elf: Path) -> None:
    table = read_symbols(elf)
    work = table.find("work")
    assert table.name_of(work.va) == "work"
    assert table.name_of(work.va + 8) == "work+0x8"
    assert table.at(table.functions[-1].va + 0x1000) is None
    assert table.name_of(4) == "0x4"


def test_an_unknown_name_is_answered_with_the_closest(elf: Path) -> None:
    with pytest.raises(UsageError, match=r"no symbol 'wrok'; the closest are work"):
        read_symbols(elf).find("wrok")
    with pytest.raises(UsageError, match=r"no function matches 'nothing\*'"):
        read_symbols(elf).matching("nothing*")


def test_offsets_and_sizes_are_the_compilers(elf: Path, told: list[int]) -> None:
    node = Dwarf(elf).type("struct node")
    inner = Dwarf(elf).type("struct inner")
    found = [node.member(n).offset for n in ("prio", "delta", "in", "name", "colour", "wide")]
    assert [*found, node.bytes, inner.bytes, inner.member("b").offset] == told


def test_without_mapping_symbols_functions_tell_their_instruction_set(
    elf: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    subprocess.run((PREFIX + "objcopy", "-w", "-N", "$[atd]*", elf, bare), check=True)
    table = read_symbols(bare)
    assert table.encoding(table.find("work").va) is Encoding.A32
    assert table.encoding(table.find("thumb").va) is Encoding.T32


def test_a_stripped_file_has_no_names_and_says_so(elf: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run((PREFIX + "strip", "-o", bare, elf), check=True)
    table = read_symbols(bare)
    assert table.encoding(0x8000) is None
    with pytest.raises(UsageError, match=r"no symbol 'work'; it has no symbol table.*an address"):
        table.find("work")
    with pytest.raises(UsageError, match="no symbol table"):
        table.matching("w*")


def test_types_of_globals(elf: Path) -> None:
    dwarf = Dwarf(elf)
    head, table, matrix = (dwarf.variable(name) for name in ("head", "table", "matrix"))
    assert head is not None
    assert table is not None
    assert matrix is not None
    assert (head.kind, head.target.kind, head.target.member("next").type.kind) == (
        "pointer",
        "struct",
        "pointer",
    )
    assert (table.count, table.bytes) == (5, 5 * table.target.bytes)
    assert (matrix.kind, matrix.count, matrix.bytes) == ("array", 6, 24)
    members = table.target.members
    assert [members[n].type.signed for n in ("prio", "delta", "wide")] == [False, True, True]
    assert members["name"].type.target.is_char
    assert [members[n].bit_field for n in ("flag", "colour")] == [True, False]
    assert dwarf.variable("nobody") is None


def test_damaged_types_are_told(elf: Path, tmp_path: Path) -> None:
    whole = elf.read_bytes()
    with elf.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".debug_info")
        assert section is not None
        at, size = section["sh_offset"], section["sh_size"]
    (tmp_path / "x.elf").write_bytes(whole[:at] + b"\xff" * size + whole[at + size :])
    with pytest.raises(UsageError, match=r"x\.elf: its debug information cannot be read"):
        Dwarf(tmp_path / "x.elf").variable("table")


def test_who_interrupts_a_run_while_types_are_read_is_not_told_of_damage(
    elf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_self: Dwarf) -> None:
        raise Interrupted("by SIGINT")

    monkeypatch.setattr(Dwarf, "_read", interrupted)
    with pytest.raises(Interrupted):
        Dwarf(elf).variable("table")


def test_wrong_members_and_types_are_told_with_the_closest(elf: Path) -> None:
    dwarf = Dwarf(elf)
    with pytest.raises(UsageError, match="no member 'pri'; did you mean prio"):
        dwarf.type("struct node").member("pri")
    with pytest.raises(UsageError, match="no type 'struct nod'; did you mean struct node"):
        dwarf.type("struct nod")
    with pytest.raises(UsageError, match="has no members"):
        dwarf.type("u8").member("x")


def test_files_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"no ELF at all")
    with pytest.raises(UsageError, match="not an ELF file"):
        read_symbols(other)
    with pytest.raises(StorageError, match="cannot be read"):
        read_symbols(tmp_path / "nothing")
    with pytest.raises(UsageError, match="no kallsyms tables"):
        parse_kallsyms(bytes(100_000), source="zeros")


# kallsyms, encoded as scripts/kallsyms.c does it, in each layout that there has been.

NAMES = [
    (
        0xC000_8000 + 12 * i,
        "tTW"[i % 3],
        f"{('do', 'sys', '__x')[i % 3]}_name_{i:04}" + "y" * (i % 7),
    )
    for i in range(700)
]
NAMES[300] = (NAMES[300][0], "t", "long_" + "z" * 180)


def encode(layout: str) -> bytes:
    # Characters stand for themselves, except a few that are not in any name: words instead.
    tokens = [bytes([i]) if i else b"name" for i in range(256)]
    tokens[1], tokens[2] = b"do_", b"sys_"

    def compress(text: str) -> bytes:
        raw = text.encode()
        for code in (1, 2):
            raw = raw.replace(tokens[code], bytes([code]))
        size = len(raw)
        return (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + raw

    def pad(data: bytes) -> bytes:
        return data + bytes(-len(data) % 4)

    packed = [compress(kind + name) for _, kind, name in NAMES]
    marks = [sum(map(len, packed[:i])) for i in range(0, len(packed), 256)]
    names = struct.pack("<I", len(NAMES)) + pad(b"".join(packed))
    names += struct.pack(f"<{len(marks)}I", *marks)
    if layout == "seqs":
        names += pad(b"".join(i.to_bytes(3, "big") for i in range(len(NAMES))))
    starts = [sum(len(token) + 1 for token in tokens[:i]) for i in range(256)]
    table = pad(b"".join(token + b"\0" for token in tokens)) + struct.pack("<256H", *starts)
    vas = [va for va, _, _ in NAMES]
    base = vas[0]
    offsets = struct.pack(f"<{len(vas)}I", *(va - base for va in vas)) + struct.pack("<I", base)
    if layout == "since-6.4":
        body = names + table + offsets
    elif layout == "absolute":
        body = struct.pack(f"<{len(vas)}I", *vas) + names + table
    else:
        body = offsets + names + table
    return b"\xff\x12" * 5000 + body + b"".join(b"%c\0" % c for c in b"0123456789") * 3


@pytest.mark.parametrize("layout", ["relative", "seqs", "since-6.4", "absolute"])
def test_kallsyms_of_every_layout(layout: str) -> None:
    assert list(parse_kallsyms(encode(layout), source="test")) == NAMES


def test_functions_of_a_kernel_end_where_the_next_begins() -> None:
    table = read_kallsyms(encode("relative"), source="test")
    for symbol, following in pairwise(table.functions):
        assert table.end_of(symbol) == following.va
    found = table.at(NAMES[10][0] + 8)
    assert found is not None
    assert (found[0].name, found[1]) == (NAMES[10][2], 8)


def test_a_name_of_several_places_must_be_given_by_address() -> None:
    NAMES[5], kept = (NAMES[5][0], "t", NAMES[8][2]), NAMES[5]
    try:
        table = read_kallsyms(encode("relative"), source="test")
    finally:
        NAMES[5] = kept
    with pytest.raises(UsageError, match=rf"2 places.*{NAMES[5][0]:#x}, {NAMES[8][0]:#x}"):
        table.find(NAMES[8][2])


def exports(entries: list[tuple[str, int]], *, image_va: int) -> bytes:
    """`__ksymtab` and its strings, as the linker leaves them: some names are the ends of others."""
    strings = bytearray(b"code\0")
    no_namespace = image_va + 4
    ends: dict[str, int] = {}
    for name, _ in sorted(entries, key=lambda entry: -len(entry[0])):
        at = strings.find(name.encode() + b"\0")
        if at < 0:
            at = len(strings)
            strings += name.encode() + b"\0"
        ends[name] = at
    strings += bytes(-len(strings) % 4)
    table = b"".join(
        struct.pack("<3I", va, image_va + ends[name], no_namespace) for name, va in sorted(entries)
    )
    return bytes(strings) + table


def test_data_that_a_kernel_exports_has_names() -> None:
    code = [(name, va) for va, _, name in NAMES[:150]]
    data = [("jiffies", 0xC140_4D40), ("my_jiffies", 0xC140_4D80), ("init_task", 0xC140_F5C0)]
    image_va = 0xC000_0000
    image = exports(code + data, image_va=image_va)
    known = read_kallsyms(encode("relative"), source="test")
    table = with_exported_data(known, image, image_va=image_va)
    assert {each.name: each.va for each in table.symbols if each.kind == "object"} == dict(data)
    assert table.functions == known.functions
    with pytest.raises(UsageError, match="CONFIG_KALLSYMS_ALL"):
        table.find("swapper_pg_dir")


def test_what_only_looks_like_exports_has_no_names() -> None:
    """Tables of names and numbers are frequent; here the functions are not where they should be."""
    image = exports([(name, va + 4) for va, _, name in NAMES[:150]], image_va=0xC000_0000)
    known = read_kallsyms(encode("relative"), source="test")
    assert with_exported_data(known, image, image_va=0xC000_0000).symbols == known.symbols
    nothing = with_exported_data(known, bytes(64), image_va=0xC000_0000)
    assert nothing.symbols == known.symbols


def test_code_that_is_gone_after_the_boot_is_no_function() -> None:
    first, last = NAMES[600], NAMES[610]
    NAMES[600], NAMES[610] = (first[0], "T", "_sinittext"), (last[0], "T", "_einittext")
    try:
        table = read_kallsyms(encode("relative"), source="test")
    finally:
        NAMES[600], NAMES[610] = first, last
    assert {each.va for each in table.symbols if each.kind == "init"} == {
        va for va, _, _ in NAMES[600:611]
    }
    assert table.init == range(first[0], last[0])
    assert NAMES[605][2] not in {each.name for each in table.functions}
