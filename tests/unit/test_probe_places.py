# SPDX-License-Identifier: MIT
"""Places of probes: data between code, the HVC itself, numbers and tables, requests of others."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator import cli, control, records
from orchestrator.config import ElfVm, LinuxVm
from orchestrator.config.probes import parse_probe
from orchestrator.errors import CheckFailed, UsageError
from orchestrator.guest.symbols import Encoding, Symbol, SymbolTable
from orchestrator.guest.symbols_elf import read_symbols
from orchestrator.mmu import Mmu, Registers
from orchestrator.probe.arm import Hits, hvc
from orchestrator.probe.fetch import compile_fetch
from orchestrator.probe.guest import Guest, View, literals
from orchestrator.probe.offline import image_views
from orchestrator.probe.place import Place, Refusal, find
from orchestrator.probe.program import assemble
from orchestrator.probe.spec import resolve
from orchestrator.probe.survey import survey
from orchestrator.probe.table import Numbers, ProgramTable

PREFIX = "arm-linux-gnueabihf-"
SOURCE = """
extern int far[];
double scale = 1.5;
__attribute__((noinline)) int constants(int x)
{
    return x * 0x12345678 + far[0] + (int)(scale * 3.14159265358979);
}
__attribute__((noinline)) int choice(int x)
{
    switch (x) {
    case 0: return constants(7);
    case 1: return constants(x) + 3;
    case 2: return far[2] * 5;
    case 3: return constants(far[3]);
    case 4: return 99 - constants(1);
    case 5: return constants(far[5]) ^ 0x5555aaaa;
    case 6: return constants(2) & 0xff;
    default: return -1;
    }
}
int far[10];
void _start(void) { for (;;) far[1] = choice(far[0]); }
"""


def tool(name: str) -> str:
    found = shutil.which(PREFIX + name)
    assert found, f"the tests need {PREFIX}{name}: run ci/setup"
    return found


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("places")
    (folder / "t.c").write_text(SOURCE)
    flags = ("-marm", "-march=armv6", "-mfpu=vfp", "-g", "-O2", "-nostdlib", "-static")
    # Without movw and movt constants come from literal pools.
    subprocess.run((tool("gcc"), *flags, "-o", folder / "t.elf", folder / "t.c"), check=True)
    return folder / "t.elf"


def test_literals_are_found_where_the_mapping_symbols_have_them(elf: Path) -> None:
    table = read_symbols(elf)
    binary = elf.parent / "text"
    subprocess.run((tool("objcopy"), "-O", "binary", "-j", ".text", elf, binary), check=True)
    text = np.frombuffer(binary.read_bytes(), "<u4").astype(np.int64)
    start = min(each.va for each in table.functions)
    count = 0
    for function in (table.find("constants"), table.find("choice")):
        end = table.end_of(function)
        words = text[(function.va - start) // 4 : (end - start) // 4]
        expected = {va for va in range(function.va, end, 4) if table.encoding(va) is Encoding.DATA}
        found = {va for va in literals(words, function.va) if va < end}
        assert found == expected
        count += len(expected)
    assert count > 5


@pytest.mark.parametrize("number", [1, 15, 16, 255, 4095, 4096, 8191])
def test_the_hvc_is_what_the_assembler_makes(tmp_path: Path, number: int) -> None:
    (tmp_path / "t.s").write_text(
        f".syntax unified\n.arch armv7ve\n.arm\nhvc #{number}\n.thumb\nhvc #{number}\n"
    )
    subprocess.run((tool("as"), "-o", tmp_path / "t.o", tmp_path / "t.s"), check=True)
    subprocess.run(
        (tool("objcopy"), "-O", "binary", "-j", ".text", tmp_path / "t.o", tmp_path / "t.bin"),
        check=True,
    )
    code = (tmp_path / "t.bin").read_bytes()
    assert hvc(number, Encoding.A32) + hvc(number, Encoding.T32) == code


def guest_of(elf: Path) -> Guest:
    return Guest(ElfVm(name="t", ram_bytes=2 << 20), index=0, image=elf)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("t:choise", "closest are choice"),
        ("t:far", "is data, no code"),
        ("t:constants+0x1000", "choose an offset below"),
        ("t:nothing*", "no function matches"),
        ("t:choice far[0] far[0]", "two fetches are called 'far_0'; give yours another name"),
        ("t:choice limits=3", "3 is a number; what is in memory there is @3"),
        ("t:choice a=%r0:string[32] b=%r0:string[32] c=%r0:string[32]", "a record holds 19"),
    ],
)
def test_a_probe_that_cannot_be_is_refused_with_the_reason(elf: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        resolve(parse_probe(text), guest_of(elf))


@pytest.mark.parametrize("mode", ["hvc", "shadow"])
def test_places_in_thumb_code_are_where_the_disassembler_has_instructions(
    tmp_path: Path, mode: str
) -> None:
    """An HVC has 32 bits: 16-bit instructions and IT blocks are refused, with what works nearby."""
    (tmp_path / "t.c").write_text(
        "int far[9];\n__attribute__((noinline)) int f(int x, int y) { return x * 0x12345678 + y; }\n"
        "int g(int x, int y) { if (x > 3) y += 7; else y -= 2; return f(y, 9) + far[x]; }\n"
        "void _start(void) { far[1] = g(far[0], far[2]); }\n"
    )
    flags = ("-mthumb", "-mcpu=cortex-a15", "-g", "-O2", "-nostdlib", "-static")
    subprocess.run((tool("gcc"), *flags, "-o", tmp_path / "t.elf", tmp_path / "t.c"), check=True)
    guest = guest_of(tmp_path / "t.elf")
    listing = subprocess.run(
        (tool("objdump"), "-d", "--disassemble=g", tmp_path / "t.elf"),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = [line.split("\t") for line in listing.splitlines() if line.startswith("   ")]
    instructions = {
        int(row[0].strip(" :"), 16): (len(row[1].replace(" ", "")) // 2, row[2])
        for row in rows
        if ".word" not in row[2]
    }
    blocks = [va for va, (_, name) in instructions.items() if name.startswith("it")]
    function = guest.symbols.find("g")
    view = image_views({"t": guest})["t"]
    possible = {}
    for va in range(function.va, guest.symbols.end_of(function), 2):
        (wanted,) = resolve(parse_probe(f"t:{va:#x} mode={mode}"), guest)
        found = find(wanted, view)
        if isinstance(found, Place):
            possible[va] = found.size
        elif va not in instructions:
            assert "middle" in found.reason or "literal" in found.reason
        elif va in blocks:
            assert "IT block" in found.reason
            assert found.nearest
    sizes = {va: size for va, (size, _) in instructions.items()}
    if mode == "hvc":
        sizes = {va: size for va, size in sizes.items() if size == 4}
    assert possible == sizes
    assert len(set(sizes.values())) == (1 if mode == "hvc" else 2)


@pytest.mark.parametrize("offset", [1, 2, 3, 70])
def test_no_instruction_of_a32_begins_between_words(elf: Path, offset: int) -> None:
    guest = guest_of(elf)
    va = guest.symbols.find("choice").va + offset
    for mode in ("hvc", "shadow"):
        (wanted,) = resolve(parse_probe(f"t:{va:#x} mode={mode}"), guest)
        found = find(wanted, image_views({"t": guest})["t"])
        assert isinstance(found, Refusal)
        assert ("T32" if offset % 2 else "middle of an instruction") in found.reason
        assert len(found.nearest) == len(set(found.nearest)) > 0


def test_what_an_image_does_not_have_is_told_so_and_not_as_a_failed_walk(elf: Path) -> None:
    guest = guest_of(elf)
    (wanted,) = resolve(parse_probe("t:0x10 mode=shadow"), guest)
    found = find(wanted, image_views({"t": guest})["t"])
    assert isinstance(found, Refusal)
    assert found.reason.startswith("it is not in the image; boot the system")


def test_user_space_is_not_in_a_kernel_and_depends_on_who_runs() -> None:
    """By `mode=hvc` it is refused for another reason, before."""
    vm = LinuxVm(name="l", ram_bytes=1 << 26, pin=(0,))
    guest = Guest(vm, index=0, image=Path("kernel"))
    start = Symbol(name="_text", va=0xC000_8000, bytes=4, kind="function")
    guest.__dict__.update(symbols=SymbolTable([start], source="l"), types=None)  # what was read
    (wanted,) = resolve(parse_probe("l:0x10548 mode=shadow tasks=no"), guest)
    view = image_views({"l": guest})["l"]
    offline = find(wanted, view)
    running = find(wanted, View(guest, Mmu(Registers(), lambda _pa, _size: b"")))
    assert isinstance(offline, Refusal)
    assert isinstance(running, Refusal)
    assert offline.reason.startswith("it is in user space, whose programs are not in the kernel's")
    assert "those of the program that has the core at this instant" in running.reason


def test_a_survey_names_the_address_of_what_is_refused_alone(elf: Path) -> None:
    guest = guest_of(elf)
    view = View(guest, Mmu(Registers(), lambda _pa, _size: b""))
    wanted = [resolve(parse_probe(f"t:{va:#x}"), guest)[0] for va in (0x5000, 0x6000)]
    (alone,) = survey(view, wanted[:1]).refused
    (both,) = survey(view, wanted).refused
    assert "0x5000" in alone
    assert "0x" not in both


def test_a_survey_looks_around_a_few_refused_places_but_not_around_many(elf: Path) -> None:
    guest = guest_of(elf)
    view = image_views({"t": guest})["t"]
    function = guest.symbols.find("choice")
    data = range(function.va, guest.symbols.end_of(function), 4)
    literal = next(va for va in data if guest.symbols.encoding(va) is Encoding.DATA)
    refused = resolve(parse_probe(f"t:{literal:#x}"), guest)
    for count, looks in ((1, True), (20, True), (21, False)):
        found = survey(view, refused * count)
        (which,) = found.document()["refused"].values()
        assert which["count"] == count
        assert bool(which["nearest"]) is looks
    (which,) = survey(view, refused).document()["refused"].values()
    ((where, nearest),) = which["nearest"].items()
    assert which["such_as"] == [where]
    assert len(nearest) == 2
    for text in nearest:
        (wanted,) = resolve(parse_probe(text), guest)
        assert isinstance(find(wanted, view), Place)


def test_a_check_of_one_place_tells_the_nearest_that_work(
    elf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.toml"
    path.write_text(
        f'[machine]\ncores = 1\n[vm.t]\ntype = "elf"\nram = "2M"\npin = [0]\nimage = "{elf}"\n'
    )
    symbols = read_symbols(elf)
    function = symbols.find("choice")
    words = range(function.va, symbols.end_of(function), 4)
    literal = next(va for va in words if symbols.encoding(va) is Encoding.DATA)
    assert cli.main(["probe", "check", f"t:{literal:#x}", "-c", str(path)]) == 1
    told = capsys.readouterr().err
    assert "is literal data, not code; the nearest that work: t:choice+0x" in told
    nearest = told.split("the nearest that work: ")[1].split()[0].strip(",")
    assert cli.main(["probe", "check", nearest, "-c", str(path)]) == 0


def test_a_pattern_is_a_probe_for_each_function(elf: Path) -> None:
    found = resolve(parse_probe("t:c* name=x"), guest_of(elf))
    assert [each.name for each in found] == ["t:" + each.label for each in found]
    assert {each.label for each in found} >= {"constants", "choice"}
    (one,) = resolve(parse_probe("t:choice+4 name=x"), guest_of(elf))
    assert (one.name, one.label) == ("x", "choice+0x4")


def test_code_is_read_through_the_tables(elf: Path) -> None:
    guest = guest_of(elf)
    function = guest.symbols.find("constants")
    memory = {function.va + i: bytes([i]) for i in range(8)}

    def read(pa: int, size: int) -> bytes:
        return b"".join(memory.get(pa + i, b"") for i in range(size))

    code = View(guest, Mmu(Registers(), read)).code(function.va)
    assert (code.pa, code.data, code.encoding) == (function.va, bytes(range(8)), Encoding.A32)
    last = View(guest, Mmu(Registers(), read)).code(function.va + 4)
    assert last.data == bytes(range(4, 8)), "what follows is not mapped"


class Memory:
    """RAM that remembers what was written."""

    def __init__(self) -> None:
        self.written: dict[int, bytes] = {}

    def read(self, pa: int, size: int) -> bytes:
        return self.written.get(pa, bytes(size))

    def write(self, pa: int, data: bytes) -> None:
        self.written[pa] = data


def test_probes_that_fetch_the_same_share_their_programs(elf: Path) -> None:
    guest = guest_of(elf)
    ram = Memory()
    table = ProgramTable(ram)
    where = records.HV_TRACE_PA + records.HV_TRACE_OPS

    def program(*texts: str) -> Any:
        return assemble([compile_fetch(t, symbols=guest.symbols, types=guest.types) for t in texts])

    pair, other = program("%r0", "far[1]"), program("%r2")
    assert (len(pair), len(other)) == (4, 2)
    taken = [table.take(each) for each in (pair, other, pair, program())]
    assert taken == [where, where + 8 * 4, where, where + 8 * 6]
    assert ram.written[where] == pair.tobytes()
    table.free(pair)
    assert table.take(program("%r3", "%r4")) == where + 8 * 7, "the first is still used"
    table.free(pair)
    assert table.take(program("%r5")) == where


def test_numbers_are_used_again_and_run_out() -> None:
    numbers = Numbers()
    assert [numbers.take(hvc=True) for _ in range(3)] == [1, 2, 3]
    assert numbers.take(hvc=False) == records.MAX_PROBES
    numbers.free(2)
    assert numbers.take(hvc=True) == 2
    for _ in range(records.MAX_PROBES - 4):
        numbers.take(hvc=True)
    with pytest.raises(CheckFailed, match="remove some"):
        numbers.take(hvc=True)
    numbers.free(7)
    numbers.check(1, hvc=True)
    with pytest.raises(CheckFailed, match=r"2 probes of mode hvc .* room for 1 more"):
        numbers.check(2, hvc=True)
    numbers.check(40_000, hvc=False)


def test_observers_that_disagree_are_told() -> None:
    assert Hits(cpu=(1, 2), recorded=3, hypervisor=(1, 2)).contradiction() is None
    assert Hits(cpu=(1, 2), recorded=3, hypervisor=None).contradiction() is None
    told = Hits(cpu=(1, 2), recorded=3, hypervisor=(2, 1)).contradiction()
    assert told == "the plugin counted [1, 2], the hypervisor [2, 1]"


def test_another_process_asks_and_gets_answers_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def double(request: Mapping[str, Any]) -> int:
        return int(request["n"]) * 2

    async def fail(_request: Mapping[str, Any]) -> None:
        raise CheckFailed("no", details=("because",))

    async def serve() -> list[Any]:
        server = control.ControlServer(path, {"double": double, "fail": fail})
        await server.start()
        try:
            answers: list[Any] = [
                await asyncio.to_thread(control.ask, path, {"do": "double", "n": 4})
            ]
            for request in ({"do": "fail"}, {"do": "nothing"}, {"do": "double"}):
                with pytest.raises((CheckFailed, UsageError)) as caught:
                    await asyncio.to_thread(control.ask, path, request)
                answers.append(caught.value)
        finally:
            await server.close()
        return answers

    answer, failed, unknown, incomplete = asyncio.run(serve())
    assert answer == 8
    assert (type(failed), failed.message, failed.details) == (CheckFailed, "no", ("because",))
    assert "no such request" in unknown.message
    assert isinstance(incomplete, UsageError)
    with pytest.raises(UsageError, match="does not answer"):
        control.ask(path, {"do": "double", "n": 1})
