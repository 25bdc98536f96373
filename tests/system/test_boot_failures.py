# SPDX-License-Identifier: MIT
"""Everything that can go wrong with a boot: the right exit code, a message that tells, no litter.

Most guests here are a few instructions of bare-metal code on the bare board, so that each failure
is exactly the one that the test means.
"""

import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pexpect.socket_pexpect import SocketSpawn

pytestmark = pytest.mark.system

HOST_LIMIT_S = 400

# The guest writes a line, then does one of these.
BEHAVIOUR = {
    "waits": "1: wfi\n    b 1b",
    "powers_off": "ldr r0, =0x84000008\n    .arch_extension virt\n    hvc #0\n1: b 1b",
    "resets": "ldr r0, =0x84000009\n    .arch_extension virt\n    hvc #0\n1: b 1b",
    "floods": "1: ldr r4, =text\n    bl print\n    b 1b",
    "strays": "mov r0, #0\n    str r0, [r0]\n1: b 1b",
    "echoes": "1: ldr r1, [r2, #0x18]\n    tst r1, #0x10\n    bne 1b\n"
    "    ldr r0, [r2]\n    str r0, [r2]\n    b 1b",
}
SOURCE = """
    .arm
    .global _start
_start:
    ldr r2, =0x09000000
    ldr r4, =text
    bl print
    {behaviour}
print:
    ldrb r0, [r4], #1
    cmp r0, #0
    strne r0, [r2]
    bne print
    bx lr
    .ltorg
text:
    .asciz "{text}"
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a call of `orchestrate` ended."""

    code: int
    stdout: str
    stderr: str


class Lab:
    """A directory with a config, and what is left after a run of it."""

    def __init__(self, directory: Path, runtime: Path) -> None:
        self.directory = directory
        self.out = directory / "run"
        self.runtime = runtime
        self.config = directory / "system.toml"
        self.env = {**os.environ, "XDG_RUNTIME_DIR": str(self.runtime)}
        self.started: list[subprocess.Popen[str]] = []

    def guest(self, behaviour: str, *, text: str = "guest: hello\\n") -> Path:
        """Builds a guest that says something and then behaves so."""
        compiler = shutil.which("arm-linux-gnueabihf-gcc")
        assert compiler, "the tests need gcc-arm-linux-gnueabihf"
        (self.directory / "guest.S").write_text(
            SOURCE.format(behaviour=BEHAVIOUR[behaviour], text=text)
        )
        command = [
            *(compiler, "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none"),
            *("-Wl,-Ttext=0x40080000", "-Wl,-z,max-page-size=0x1000"),
            *("-o", "guest.elf", "guest.S"),
        ]
        subprocess.run(command, check=True, cwd=self.directory)
        return self.directory / "guest.elf"

    def configure(self, behaviour: str = "waits", *, vm: str = "", machine: str = "") -> None:
        """One guest on the bare board unless `machine` says otherwise."""
        # Who floods does it in long lines: it is the lines that take the host's time.
        self.guest(behaviour, text="guest: hello" + "o" * 300 * (behaviour == "floods") + "\\n")
        machine = machine or 'cores = 1\nhypervisor = "none"'
        pin = "" if "none" in machine else "pin = [0]\n"
        self.config.write_text(
            f'[machine]\n{machine}\n[vm.guest]\ntype = "elf"\nram = "2M"\n'
            f'image = "guest.elf"\n{pin}{vm}\n'
        )

    def start(self, *words: str, **more: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "orchestrator.cli", "boot"]
        command += ["--config", str(self.config), "--out", str(self.out), *words]
        process: subprocess.Popen[str] = subprocess.Popen(  # type: ignore[call-overload]
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **{"env": self.env, **more},
        )
        self.started.append(process)
        return process

    def run(self, *words: str, **more: object) -> Outcome:
        """Boots, waits for the end and looks for litter."""
        return self.wait(self.start(*words, **more))

    def wait(self, process: "subprocess.Popen[str]") -> Outcome:
        """The end of a run. No process and no socket may be left, in any case."""
        stdout, stderr = process.communicate(timeout=HOST_LIMIT_S)
        assert self.processes() == []
        assert list(self.runtime.iterdir()) == []
        assert list(self.directory.rglob("*.sock")) == []
        assert list(self.directory.rglob("live.json")) == []
        assert list(self.directory.rglob("*.part")) == []
        assert "Traceback" not in stderr
        return Outcome(code=process.returncode, stdout=stdout, stderr=stderr)

    def processes(self) -> list[str]:
        """Command lines of processes that work for this lab."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if any(os.fsencode(self.directory) in word for word in words):
                    found.append(" ".join(os.fsdecode(word) for word in words))
        return found

    def live(self) -> dict[str, object]:
        """Waits until the run can be joined and its guest has spoken."""
        self.until(lambda: "hello" in self.log())
        document: dict[str, object] = json.loads((self.out / "live.json").read_text())
        return document

    def log(self) -> str:
        with contextlib.suppress(OSError):
            return (self.out / "guest.log").read_text(errors="replace")
        return ""

    def result(self) -> dict[str, object]:
        document: dict[str, object] = json.loads((self.out / "run.json").read_text())
        return document

    @staticmethod
    def until(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + HOST_LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.02)


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A fresh lab; runs that a failed test left are ended."""
    # A socket's path must be short, and those of pytest are not.
    with tempfile.TemporaryDirectory(prefix="lab-") as runtime:
        lab = Lab(tmp_path_factory.mktemp("lab"), Path(runtime))
        try:
            yield lab
        finally:
            for process in lab.started:
                process.kill()
                process.communicate(timeout=HOST_LIMIT_S)


def test_a_healthy_guest_ends_with_zero(lab: Lab) -> None:
    """The counterpart of all that follows: the same guest, and nothing goes wrong."""
    lab.configure()
    outcome = lab.run("--until", "ready")
    assert outcome.code == 0, outcome.stderr
    result = lab.result()
    assert (result["status"], result["vms"]) == ("ok", {"guest": "ready"})
    assert lab.log() == "guest: hello\n"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_all_and_shows_the_last_console_lines(
    lab: Lab, number: signal.Signals, code: int
) -> None:
    lab.configure()
    process = lab.start()
    lab.live()
    process.send_signal(number)
    outcome = lab.wait(process)
    assert outcome.code == code
    assert "guest: guest: hello" in outcome.stderr
    assert number.name in outcome.stderr
    result = lab.result()
    assert (result["status"], result["exit_code"]) == ("interrupted", code)
    assert lab.log() == "guest: hello\n"


def test_many_signals_are_like_one(lab: Lab) -> None:
    lab.configure()
    process = lab.start()
    lab.live()
    for _ in range(5):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    assert lab.wait(process).code == 130
    assert lab.result()["status"] == "interrupted"


def test_a_signal_while_images_are_made_ends_at_once(lab: Lab) -> None:
    """Make is busy there, and must go too. A compiler that never ends stands in for it."""
    lab.configure(machine="cores = 1")
    tools = lab.directory / "tools"
    tools.mkdir()
    make = tools / "make"
    making = lab.directory / "making"
    make.write_text(
        f"#!/bin/sh\necho $$ >{making}.part\nmv {making}.part {making}\nexec sleep 1000\n"
    )
    make.chmod(0o755)
    process = lab.start(env={**lab.env, "PATH": f"{tools}:{os.environ['PATH']}"})
    lab.until(making.exists)
    process.send_signal(signal.SIGINT)
    assert lab.wait(process).code == 130
    lab.until(lambda: not Path(f"/proc/{making.read_text().strip()}").exists())


def test_a_killed_qemu_is_reported_with_the_guests_last_words(lab: Lab) -> None:
    lab.configure()
    process = lab.start()
    pid = lab.live()["qemu_pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    outcome = lab.wait(process)
    assert outcome.code == 4
    assert "QEMU was killed by SIGKILL" in outcome.stderr
    assert "guest: guest: hello" in outcome.stderr
    assert lab.result()["error"] == "MachineError"


def test_qemu_does_not_outlive_a_killed_orchestrator(lab: Lab) -> None:
    """Nothing can be tidied up then, except by the kernel, and by the next run."""
    lab.configure()
    process = lab.start()
    lab.live()
    process.kill()
    process.communicate(timeout=HOST_LIMIT_S)
    lab.until(lambda: lab.processes() == [])
    (stale,) = lab.runtime.iterdir()
    then = time.time() - 3600
    os.utime(stale, (then, then))
    assert not (lab.out / "run.json").exists()
    outcome = lab.run("--until", "ready")  # into the same directory
    assert outcome.code == 0, outcome.stderr


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """Mounts 1 MiB at the path; the mount is undone in any case."""
    libc = ctypes.CDLL(None, use_errno=True)
    path.mkdir()
    where = os.fsencode(path)
    if libc.mount(b"none", where, b"tmpfs", 0, b"size=1m") != 0:
        pytest.skip(f"cannot mount a small disk here: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        libc.umount2(where, 2)  # MNT_DETACH


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_ends_the_run_and_leaves_nothing_on_it(lab: Lab) -> None:
    lab.configure("floods")
    disk = lab.directory / "disk"
    with small_disk(disk):
        lab.out = disk / "run"
        outcome = lab.run()
        assert outcome.code == 6, outcome.stderr
        assert "the disk is full" in outcome.stderr
        assert list(disk.iterdir()) == []


@pytest.mark.parametrize("limit_mib", [1, 2], ids=["ram", "log"])
def test_the_limit_on_file_sizes_is_named(lab: Lab, limit_mib: int) -> None:
    """The guest's RAM of 2 MiB is a file too: QEMU is killed for it, but not for a log."""
    lab.configure("floods")
    limit = limit_mib << 20
    outcome = lab.run(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert outcome.code == 6, outcome.stderr
    assert "file size limit is reached" in outcome.stderr
    assert not lab.out.exists()


def test_a_run_directory_in_use_is_left_alone(lab: Lab) -> None:
    lab.configure()
    lab.out.mkdir()
    (lab.out / "precious").write_text("data")
    outcome = lab.run("--until", "ready")
    assert outcome.code == 2
    assert "holds files already" in outcome.stderr
    assert (lab.out / "precious").read_text() == "data"


def test_a_run_directory_that_cannot_be_made_is_named(lab: Lab) -> None:
    lab.configure()
    (lab.directory / "file").write_text("")
    lab.out = lab.directory / "file" / "run"
    outcome = lab.run("--until", "ready")
    assert outcome.code == 6
    assert str(lab.directory / "file") in outcome.stderr


@pytest.mark.parametrize("program", ["setpriv", "qemu-system-arm"])
def test_a_missing_tool_is_named_with_its_package(lab: Lab, program: str) -> None:
    """The tools that this machine has, except one."""
    lab.configure()
    tools = lab.directory / "tools"
    tools.mkdir()
    for name in ("setpriv", "qemu-system-arm", "make", "gcc", "as", "ld", "mkdir", "rm", "sh"):
        found = shutil.which(name)
        if found and name != program:
            (tools / name).symlink_to(found)
    for cross in Path("/usr/bin").glob("arm-linux-gnueabihf-*"):
        (tools / cross.name).symlink_to(cross)
    outcome = lab.run("--until", "ready", env={**lab.env, "PATH": str(tools)})
    assert outcome.code == 3, outcome.stderr
    package = {"setpriv": "util-linux"}.get(program, program)
    assert re.search(rf"{program} .*\b{package}$", outcome.stderr, re.MULTILINE)


def test_a_qemu_that_is_none_is_reported(lab: Lab) -> None:
    lab.configure(machine='cores = 1\nhypervisor = "none"\nqemu = "/bin/false"')
    outcome = lab.run("--until", "ready")
    assert outcome.code == 4
    assert "QEMU did not start, exit code 1" in outcome.stderr


def test_qemus_own_complaint_reaches_the_user(lab: Lab) -> None:
    fake = lab.directory / "qemu"
    fake.write_text("#!/bin/sh\necho 'qemu: no such board' >&2\nexit 7\n")
    fake.chmod(0o755)
    lab.configure(machine=f'cores = 1\nhypervisor = "none"\nqemu = "{fake}"')
    outcome = lab.run("--until", "ready")
    assert outcome.code == 4
    assert "qemu: no such board" in outcome.stderr


def test_a_qemu_that_does_not_answer_runs_out_of_time(lab: Lab) -> None:
    fake = lab.directory / "qemu"
    fake.write_text("#!/bin/sh\nexec sleep 1000\n")
    fake.chmod(0o755)
    lab.configure(machine=f'cores = 1\nhypervisor = "none"\nqemu = "{fake}"')
    outcome = lab.run("--until", "ready", "--timeout-start", "0.5")
    assert outcome.code == 5
    assert "start: QEMU did not answer within 0.5 s" in outcome.stderr
    assert lab.result()["error"] == "PhaseTimeout"


def test_a_guest_that_never_is_ready_runs_out_of_time(lab: Lab) -> None:
    lab.configure(vm='ready = "guest: goodbye"')
    outcome = lab.run("--until", "ready", "--timeout-ready", "3")
    assert outcome.code == 5
    assert "vm guest not ready after 3 s" in outcome.stderr
    assert "guest: guest: hello" in outcome.stderr
    assert str(lab.out / "guest.log") in outcome.stderr


def test_a_silent_guest_is_told_from_a_slow_one(lab: Lab) -> None:
    lab.configure(vm='ready = "guest: goodbye"\nsilence = "500ms"')
    outcome = lab.run("--until", "ready")
    assert outcome.code == 4
    assert "vm guest has been silent for 0.5 s" in outcome.stderr


@pytest.mark.parametrize("machine", ["", "cores = 1"], ids=["bare", "hypervisor"])
@pytest.mark.parametrize(
    ("behaviour", "says"),
    [("powers_off", "powered off before it was ready"), ("resets", "reset")],
)
def test_a_guest_that_goes_by_itself_too_early(
    lab: Lab, machine: str, behaviour: str, says: str
) -> None:
    lab.configure(behaviour, vm='ready = "guest: goodbye"', machine=machine)
    outcome = lab.run("--until", "ready")
    assert outcome.code == 4, outcome.stderr
    assert says in outcome.stderr.splitlines()[-1]
    assert "guest: guest: hello" in outcome.stderr


@pytest.mark.parametrize("machine", ["", "cores = 1"], ids=["bare", "hypervisor"])
def test_a_guest_that_powers_off_after_it_was_ready_is_a_good_end(lab: Lab, machine: str) -> None:
    lab.configure("powers_off", machine=machine)
    outcome = lab.run()
    assert outcome.code == 0, outcome.stderr
    assert lab.result()["ended_by"] == "power-off"


def test_a_guest_that_strays_is_stopped_and_named(lab: Lab) -> None:
    """It has no vectors: the abort that the hypervisor gives it leads nowhere."""
    lab.configure("strays", machine="cores = 1")
    outcome = lab.run()
    assert outcome.code == 4, outcome.stderr
    assert re.search(r"vm guest was stopped: .*fault", outcome.stderr)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not an ELF file", "not an ELF file"),
        (Path("/bin/true").resolve().read_bytes(), "not for 32-bit little-endian ARM"),
        (b"", "not an ELF file"),
    ],
    ids=["text", "host-program", "empty"],
)
def test_a_wrong_image_is_refused_before_anything_starts(
    lab: Lab, content: bytes, says: str
) -> None:
    lab.configure()
    (lab.directory / "guest.elf").write_bytes(content)
    outcome = lab.run("--until", "ready")
    assert outcome.code == 2, outcome.stderr
    assert says in outcome.stderr
    assert "guest.elf" in outcome.stderr


def test_an_image_outside_of_the_ram_is_refused(lab: Lab) -> None:
    lab.configure(machine="cores = 1", vm="ram_ipa = 0x60000000")
    outcome = lab.run("--until", "ready")
    assert outcome.code == 2, outcome.stderr
    assert "wants memory at 0x400" in outcome.stderr


def test_a_console_can_be_joined_and_a_stuck_viewer_harms_nobody(lab: Lab) -> None:
    lab.configure("echoes")
    process = lab.start()
    consoles = lab.live()["consoles"]
    assert isinstance(consoles, dict)
    with (
        socket.socket(socket.AF_UNIX) as stuck,
        socket.socket(socket.AF_UNIX) as viewer,
    ):
        stuck.connect(consoles["guest"])
        viewer.connect(consoles["guest"])
        spawn = SocketSpawn(viewer, timeout=HOST_LIMIT_S)
        spawn.expect_exact("guest: hello")
        spawn.send("over to you\n")
        spawn.expect_exact("over to you")
    process.send_signal(signal.SIGINT)
    assert lab.wait(process).code == 130
    assert "over to you" in lab.log()
