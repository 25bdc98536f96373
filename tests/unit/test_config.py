# SPDX-License-Identifier: MIT
"""The config file: what it becomes, and that every fault is told where it is."""

import bz2
import errno
import gzip
import lzma
import re
import struct
import subprocess
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import config
from orchestrator.config import (
    ClockConfig,
    Config,
    ElfVm,
    LinuxVm,
    MachineConfig,
    Timeouts,
    faults,
    schema,
)
from orchestrator.errors import ConfigError

ROOT = Path(__file__).parents[2]
FAULTS = sorted((Path(__file__).parent / "config_faults").glob("*.toml"))
ZIMAGE = bytes(0x24) + bytes.fromhex("18286f01")  # Documentation/arch/arm/booting.rst
MINIMAL = '[vm.linux]\ntype = "linux"\nram = "128M"\npin = [0]\n'


def load_text(folder: Path, text: str) -> Config:
    path = folder / "c.toml"
    path.write_text(text)
    return config.load(path)


def told(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_text(folder, text)
    return caught.value.faults


def elf_header(*, elf_class: int = 1, data: int = 1, machine: int = 40) -> bytes:
    """The first 20 bytes of an ELF file, after the System V ABI, chapter 4."""
    ident = b"\x7fELF" + bytes([elf_class, data, 1]) + bytes(9)
    return ident + struct.pack("<HH" if data == 1 else ">HH", 2, machine)


def expected_faults(path: Path) -> list[str]:
    """What a file of `config_faults` announces: after each ``# <--``, on the line at fault."""
    expected = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        before, *marks = line.split("# <-- ")
        place = f"{path}:{number}" if before else f"{path}"
        expected += [f"{place}: {mark.strip()}" for mark in marks]
    return [fault.replace("{here}", str(path.parent)) for fault in expected]


@pytest.mark.parametrize("path", FAULTS, ids=lambda path: path.stem)
def test_fault_is_told_with_its_line_and_a_way_out(path: Path) -> None:
    """Exactly the announced faults, no more: one fault must not drag others behind it."""
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert list(caught.value.faults) == expected_faults(path)


@pytest.mark.parametrize("path", FAULTS, ids=lambda path: path.stem)
def test_fault_file_announces_a_fault(path: Path) -> None:
    assert expected_faults(path)


def test_every_fault_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Wrong types, unknown keys and relations between keys, all in one go."""
    text = """\
[machine]
corse = 2
[clock]
shift = 11
[vm.linux]
type = "linux"
ram = "129M"
kernl = "armmp"
pin = [5]
[vm.Rtos]
type = "elv"
image = "rtso"
"""
    assert [re.match(r".*:(\d+): ([^:]*):", fault).groups() for fault in told(tmp_path, text)] == [  # type: ignore[union-attr] # a fault without this shape has to fail here
        ("2", "machine.corse"),
        ("4", "clock.shift"),
        ("7", "vm.linux.ram"),
        ("8", "vm.linux.kernl"),
        ("9", "vm.linux.pin"),
        ("10", "vm.Rtos"),
        ("10", "vm.Rtos.ram"),
        ("10", "vm.Rtos.pin"),
        ("11", "vm.Rtos.type"),
        ("12", "vm.Rtos.image"),
    ]


def test_minimal_file_has_the_defaults(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, MINIMAL)
    assert loaded == Config(
        path=tmp_path / "c.toml",
        machine=MachineConfig(),
        clock=ClockConfig(),
        vms=(LinuxVm(name="linux", ram_bytes=128 << 20),),
        timeouts=Timeouts(),
    )


def test_every_key_arrives(tmp_path: Path) -> None:
    """Each key of the file is given a value that is not its default, and is found again."""
    for name in ("hv.elf", "own.elf"):
        (tmp_path / name).write_bytes(elf_header())
    (tmp_path / "zImage").write_bytes(ZIMAGE)
    (tmp_path / "root.cpio").write_bytes(b"070701")
    for name in ("job.sh",):
        (tmp_path / name).write_bytes(b"x")
    text = """\
[machine]
cores = 4
ram = "1G"
hypervisor = "hv.elf"
time_slice = "5ms"
qemu = "/opt/qemu"
[clock]
mode = "realtime"
shift = 4
quantum = "100us"
epoch = 2030-02-03T04:05:06+01:00
[timeouts]
start = "10s"
ready = "2min"
command = "1h"
silence = "1500ms"
[vm.b]
type = "linux"
ram = "256M"
vcpus = 2
pin = [1, 3]
priority = 7
kernel = "zImage"
initramfs = "root.cpio"
append = "quiet"
ready = "login:"
silence = "30s"
[vm.b.files]
"/run/job.sh" = "job.sh"
[vm.a]
type = "elf"
ram = "16M"
pin = [2]
priority = 9
image = "own.elf"
ram_ipa = 0x80000000
console = false
"""
    assert load_text(tmp_path, text) == Config(
        path=tmp_path / "c.toml",
        machine=MachineConfig(
            cores=4,
            ram_bytes=1 << 30,
            hypervisor=tmp_path / "hv.elf",
            time_slice_ns=5_000_000,
            qemu="/opt/qemu",
        ),
        clock=ClockConfig(
            mode="realtime",
            shift=4,
            quantum_ns=100_000,
            epoch=datetime(2030, 2, 3, 3, 5, 6, tzinfo=UTC),
        ),
        timeouts=Timeouts(start_s=10.0, ready_s=120.0, command_s=3600.0, silence_s=1.5),
        vms=(
            LinuxVm(
                name="b",
                ram_bytes=256 << 20,
                vcpus=2,
                pin=(1, 3),
                priority=7,
                ready="login:",
                silence_ns=30_000_000_000,
                kernel=tmp_path / "zImage",
                initramfs=tmp_path / "root.cpio",
                append="quiet",
                files=((tmp_path / "job.sh", "/run/job.sh"),),
            ),
            ElfVm(
                name="a",
                ram_bytes=16 << 20,
                vcpus=1,
                pin=(2,),
                priority=9,
                image=tmp_path / "own.elf",
                ram_ipa=0x8000_0000,
                console=False,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("table", "model"),
    [
        (schema.MachineTable, MachineConfig),
        (schema.ClockTable, ClockConfig),
        (schema.TimeoutsTable, Timeouts),
    ],
)
def test_every_attribute_of_the_model_has_a_key(table: type, model: type) -> None:
    assert set(table.model_fields) == {f.name for f in fields(model)}  # type: ignore[attr-defined] # both are classes of the parameter list


def test_objects_are_frozen(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, MINIMAL)
    with pytest.raises(FrozenInstanceError):
        loaded.machine.cores = 3  # type: ignore[misc] # what must fail


def test_two_cores_of_one_vm_may_be_the_same(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, MINIMAL.replace("[0]", "[0, 0]"))
    assert (loaded.vms[0].vcpus, loaded.vms[0].pin) == (2, (0, 0))


def test_without_hypervisor_the_vm_has_the_cores(tmp_path: Path) -> None:
    text = (
        '[machine]\nhypervisor = "none"\ncores = 2\n'
        '[vm.linux]\ntype = "linux"\nram = "128M"\nvcpus = 2\n'
    )
    assert load_text(tmp_path, text).vms[0].pin == (0, 1)


def test_the_limits_of_the_board_are_reachable(tmp_path: Path) -> None:
    """Eight VMs, four of them Linux, five consoles, eight cores, all of 3G: no fault."""
    linux = "".join(MINIMAL.replace("linux]", f"l{i}]") for i in range(4))
    elf = "".join(
        f'[vm.e{i}]\ntype = "elf"\nram = "2M"\npin = [7]\nconsole = {str(i == 0).lower()}\n'
        for i in range(4)
    )
    loaded = load_text(tmp_path, f'[machine]\ncores = 8\nram = "3G"\n{linux}{elf}')
    assert (len(loaded.vms), len(loaded.linux_vms)) == (8, 4)
    assert sum(vm.console for vm in loaded.vms) == 5


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (elf_header(elf_class=2), "not for 32-bit little-endian ARM"),
        (elf_header(data=2), "not for 32-bit little-endian ARM"),
        (elf_header(machine=183), "not for 32-bit little-endian ARM"),
        (elf_header()[:-1], "is not an ELF file"),
        (b"", "is not an ELF file"),
    ],
    ids=["64-bit", "big-endian", "aarch64", "cut-off", "empty"],
)
def test_elf_for_another_machine_is_refused(tmp_path: Path, header: bytes, what: str) -> None:
    (tmp_path / "x.elf").write_bytes(header)
    text = '[vm.rtos]\ntype = "elf"\nram = "16M"\npin = [0]\nimage = "x.elf"\n'
    (fault,) = told(tmp_path, text)
    assert fault.startswith(f"{tmp_path}/c.toml:5: vm.rtos.image: ")
    assert what in fault


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (elf_header(), "is an ELF file; name a zImage, or an Image"),
        (bytes(0x24) + bytes.fromhex("016f2818"), "is no kernel for 32-bit ARM"),  # big-endian
        (b"MZ" + bytes(0x36) + b"ARMd" + bytes(200), "is no kernel for 32-bit ARM"),  # arm64
        (gzip.compress(b"x"), "is no kernel for 32-bit ARM"),
        (b"", "is no kernel for 32-bit ARM"),
        (ZIMAGE, None),
        (ZIMAGE + bytes(500), None),
        (bytes(32) + bytes.fromhex("028948e2"), None),  # sub r8, r8, #0x8000
    ],
    ids=["elf", "big-endian", "arm64", "gzip", "empty", "cut off", "zImage", "Image"],
)
def test_a_kernel_is_known_by_its_head(tmp_path: Path, head: bytes, what: str | None) -> None:
    (tmp_path / "x").write_bytes(head)
    text = MINIMAL + 'kernel = "x"\n'
    if what is None:
        assert load_text(tmp_path, text).linux_vms[0].kernel == tmp_path / "x"
        return
    (fault,) = told(tmp_path, text)
    assert fault.startswith(f"{tmp_path}/c.toml:5: vm.linux.kernel: {tmp_path}/x {what}")


def by_program(*command: str) -> Callable[[bytes], bytes]:
    def run(data: bytes) -> bytes:
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    return run


@pytest.mark.parametrize(
    "pack",
    [
        pytest.param(lambda data: data, id="cpio"),
        pytest.param(lambda data: bytes(8) + data, id="zeros before it"),
        pytest.param(gzip.compress, id="gzip"),
        pytest.param(bz2.compress, id="bzip2"),
        pytest.param(lzma.compress, id="xz"),
        pytest.param(partial(lzma.compress, format=lzma.FORMAT_ALONE), id="lzma"),
        pytest.param(by_program("lz4", "-l", "-c"), id="lz4"),
        pytest.param(by_program("zstd", "-c"), id="zstd"),
    ],
)
def test_an_archive_may_be_packed_as_linux_unpacks_it(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    """Made by the programs that people make them with."""
    (tmp_path / "init").write_text("#!/bin/sh\n")
    cpio = subprocess.run(
        ("cpio", "-o", "-H", "newc", "--quiet"),
        input=b"init\n",
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout
    (tmp_path / "root").write_bytes(pack(cpio))
    loaded = load_text(tmp_path, MINIMAL + 'initramfs = "root"\n')
    assert loaded.linux_vms[0].initramfs == tmp_path / "root"


@pytest.mark.parametrize(
    "head",
    [b"", bytes(5000), b"070707", elf_header(), b"#!/bin/sh\n"],
    ids=["empty", "zeros", "old cpio", "elf", "script"],
)
def test_what_linux_does_not_unpack_is_refused(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "x").write_bytes(head)
    (fault,) = told(tmp_path, MINIMAL + 'initramfs = "x"\n')
    assert fault.startswith(f"{tmp_path}/c.toml:5: vm.linux.initramfs: {tmp_path}/x is no cpio")


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    """Editors of Windows write one; keys are on their lines all the same."""
    assert load_text(tmp_path, "\ufeff" + MINIMAL) == load_text(tmp_path, MINIMAL)
    (fault,) = told(tmp_path, "\ufeff[machine]\ncorse = 1\n" + MINIMAL)
    assert ":2: machine.corse:" in fault


def test_a_folder_that_is_closed_is_a_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a user who is not root."""

    def closed(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", closed)
    (fault,) = told(tmp_path, MINIMAL + 'kernel = "x/zImage"\n')
    assert f"vm.linux.kernel: {tmp_path}/x/zImage cannot be looked at: Permission denied" in fault


def test_paths_start_from_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "zImage").write_bytes(ZIMAGE)
    (tmp_path / "sub" / "c.toml").write_text(MINIMAL + 'kernel = "../zImage"\n')
    monkeypatch.chdir(tmp_path)
    loaded = config.load(Path("sub/c.toml"))
    assert loaded.path == tmp_path / "sub" / "c.toml"
    assert loaded.linux_vms[0].kernel == tmp_path / "zImage"


def test_faults_name_the_file_as_the_user_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.toml").write_text("[zzz]\n" + MINIMAL)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"\Ac\.toml:1: zzz: "):
        config.load(Path("c.toml"))


def test_unreadable_files_are_one_line_each(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: No such file or directory\Z"):
        config.load(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match=r": Is a directory\Z"):
        config.load(tmp_path)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"b\.toml: is not UTF-8 text \(byte 0\)\Z"):
        config.load(tmp_path / "b.toml")
    (fault,) = told(tmp_path, "[vm.linux]\ntype = \n")
    assert re.search(r"c\.toml: is not valid TOML: .*line 2", fault)


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    (fault,) = told(tmp_path, MINIMAL + MINIMAL)
    assert "is not valid TOML" in fault
    assert "line 5" in fault


def test_example_says_the_true_defaults(tmp_path: Path) -> None:
    """With its commented lines made real, dual.toml must describe the same system."""
    text, _, examples = (ROOT / "dual.toml").read_text().partition("[trace]")
    without_default = ("ram =", 'ready = "..."', 'silence = "60s"')
    skipped = "|".join(map(re.escape, without_default))
    made_real, count = re.subn(rf"^# (?!{skipped})(\w+ = )", r"\1", text, flags=re.MULTILINE)
    assert count == 18
    real, example = load_text(tmp_path, made_real), config.load(ROOT / "dual.toml")
    assert (real.machine, real.clock, real.vms, real.timeouts) == (
        example.machine,
        example.clock,
        example.vms,
        example.timeouts,
    )
    # Probes have no default; the examples must be sound, though.
    (tmp_path / "my-bench").touch()
    made_real += "[trace]" + re.sub(r"^# (\w+ = |\[)", r"\1", examples, flags=re.MULTILINE)
    loaded = load_text(tmp_path, made_real)
    (probe,) = loaded.probes
    assert probe.vm == "rtos"
    assert [(bench.name, bench.args) for bench in loaded.benches] == [("mine", ("1000",))]


def test_example_shows_every_key() -> None:
    text = (ROOT / "dual.toml").read_text()
    tables: list[type[schema._Table]] = [
        *schema.TABLES.values(),
        *schema.VM_TYPES.values(),
        schema.ProbeTable,
        schema.BenchTable,
    ]
    for table in tables:
        for key in schema.keys_of(table):
            assert re.search(rf"^(# )?(\[vm\.linux\.)?{key}( =|\])", text, re.MULTILINE), key


def test_lines_of_keys_in_awkward_toml() -> None:
    text = '''\
top = """
[not.a.table]
no = 1
"""
a.b = [
  "x = 1", # ]
  [1],
]
[ t . "q.r" ]
'lit' = { in = 1 }
s = \'\'\'one line\'\'\'
z = 2
'''
    assert faults.key_lines(text) == {
        ("top",): 1,
        ("a", "b"): 5,
        ("t", "q.r"): 9,
        ("t", "q.r", "lit"): 10,
        ("t", "q.r", "s"): 11,
        ("t", "q.r", "z"): 12,
    }


_VALUES = st.one_of(
    st.integers(-5, 5000),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="ascii", categories=("L", "N", "P")), max_size=6).filter(
        lambda text: not set(text) & set("\"\\'")
    ),
    st.lists(st.integers(-2, 9), max_size=3),
)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


@given(
    table=st.sampled_from(["machine", "clock", "timeouts", "vm.linux", "vm.rtos"]),
    data=st.data(),
)
def test_any_value_is_taken_or_told(
    tmp_path_factory: pytest.TempPathFactory, table: str, data: st.DataObject
) -> None:
    """Whatever a key holds, there is a config or a fault in this table; never another exception."""
    kinds: dict[str, type[schema._Table]] = {
        **schema.TABLES,
        "vm.linux": schema.LinuxTable,
        "vm.rtos": schema.ElfTable,
    }
    key = data.draw(st.sampled_from(sorted(set(schema.keys_of(kinds[table])) - {"type"})))
    line = f"{key} = {_toml(data.draw(_VALUES))}\n"
    tables = {
        "machine": "",
        "clock": "",
        "timeouts": "",
        "vm.linux": 'type = "linux"\nram = "128M"\npin = [0]\n',
        "vm.rtos": 'type = "elf"\nram = "16M"\npin = [1]\n',
    }
    tables[table] = re.sub(rf"^{key} = .*\n", "", tables[table], flags=re.MULTILINE) + line
    text = "".join(f"[{name}]\n{body}" for name, body in tables.items())
    try:
        loaded = load_text(tmp_path_factory.mktemp("c"), text)
    except ConfigError as error:
        assert error.faults  # noqa: PT017 - the loop over values needs both outcomes
        for fault in error.faults:
            # A change of the board can be the fault of what lies on it.
            assert re.search(rf"c\.toml:\d+: ({re.escape(table)}|vm\.)", fault)
    else:
        assert len(loaded.vms) == 2
