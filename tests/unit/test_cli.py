# SPDX-License-Identifier: MIT
"""The command line: what it asks of the session, and how failures become messages and codes.

The session is replaced by a recorder here, because what a machine does is not this layer's
business; tests/system runs the real one.
"""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pexpect
import pytest
from children import ended, running

from orchestrator import __version__, cli, config, errors, session, terminal
from orchestrator.errors import (
    CheckFailed,
    ConfigError,
    GuestError,
    Interrupted,
    MachineError,
    MissingToolError,
    OrchestrateError,
    PhaseTimeout,
    StorageError,
    UsageError,
)
from orchestrator.options import BootOptions, Reporter, TimeoutOverrides

ROOT = Path(__file__).parents[2]
DUAL = str(ROOT / "dual.toml")

Act = Callable[[Reporter], None]


@dataclass
class Recorder:
    """Stands where `session.boot` stands: keeps what it is asked, does what a test wants."""

    exit_code: int = 0
    act: Act = lambda _reporter: None
    asked: list[BootOptions] = field(default_factory=list)

    def boot(
        self, _config: config.Config, options: BootOptions, reporter: Reporter
    ) -> session.BootResult:
        self.asked.append(options)
        self.act(reporter)
        return session.BootResult(
            exit_code=self.exit_code,
            ended_by="ready",
            run_dir=Path("/runs/one"),
            qemu_command=("qemu-system-arm", "-M", "a b"),
            guest_ns=2_500_000_000,
            boot_host_s=1.5,
            phases_host_s={"start": 0.5},
            vms={"linux": "ready"},
        )


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr(session, "boot", made.boot)
    return made


def failing(error: BaseException) -> Act:
    def act(_reporter: Reporter) -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], BootOptions()),
        (["--until", "ready"], BootOptions(until_ready=True)),
        (["--for", "5s"], BootOptions(for_ns=5_000_000_000)),
        (["--dry-run"], BootOptions(dry_run=True)),
        (["--out", "d"], BootOptions(out=Path("d"))),
        (["--json"], BootOptions(json=True)),
        (
            ["--timeout-start", "3", "--timeout-ready", "1.5", "--timeout-command", "2min"],
            BootOptions(timeouts=TimeoutOverrides(start_s=3.0, ready_s=1.5, command_s=120.0)),
        ),
        (["--", "uname", "-a"], BootOptions(command=("uname", "-a"))),
        (["--", "sh", "--", "--json", ""], BootOptions(command=("sh", "--", "--json", ""))),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_boot_asks_for_what_was_typed(
    recorder: Recorder, arguments: list[str], options: BootOptions
) -> None:
    assert cli.main(["boot", "--config", DUAL, *arguments]) == 0
    assert recorder.asked == [options]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "the following arguments are required: COMMAND; see orchestrate --help"),
        (["bot"], "invalid choice: 'bot'"),
        (["boot"], "required: -c/--config; see orchestrate boot --help"),
        (
            ["boot", "-c", DUAL, "--unti", "ready"],
            "unrecognized arguments: --unti (did you mean --until?); see orchestrate boot --help",
        ),
        (["boot", "--confg", DUAL], "unrecognized arguments: --confg (did you mean --config?)"),
        (
            ["boot", "-c", DUAL, "--sideways=1"],
            "arguments: --sideways=1; see orchestrate boot --help",
        ),
        (["boot", "-c", DUAL, "-z"], "arguments: -z; see orchestrate boot --help"),
        (["boot", "-c", DUAL, "--until", "done"], "invalid choice: 'done'"),
        (["boot", "-c", DUAL, "--until", "ready", "--for", "1s"], "not allowed with"),
        (["boot", "-c", DUAL, "--for", "5"], '"5" has no unit'),
        (["boot", "-c", DUAL, "--for", "0s"], "must be more than zero"),
        (["boot", "-c", DUAL, "--for", "9999999h"], '"9999999h" is too long; at most 1111111h'),
        (["boot", "-c", DUAL, "-p", "linux:f until=9999999h"], "is too long; at most 1111111h"),
        (["probe", "check", "linux:f", "-c", DUAL, "--run", "d"], "not allowed with argument"),
        (["boot", "-c", DUAL, "--timeout-ready", "x"], "is not a number with a unit"),
        (["boot", "-c", DUAL, "--timeout-ready", "0"], "must be more than zero"),
        (["boot", "-c", DUAL, "--until", "ready", "--", "ls"], "remove --until and --for"),
        (["boot", "-c", DUAL, "--for", "1s", "--", "ls"], "remove --until and --for"),
        (["boot", "-c", DUAL, "--"], "not followed by a command"),
        (
            ["boot", "-c", DUAL, "ls"],
            'unrecognized arguments: ls (a command for the guest comes after "--"); see',
        ),
        (["compare", "a", "b", "c"], "arguments: c; see orchestrate compare --help"),
        (
            ["probe", "check", "--rum", "x", "linux:f"],
            "--rum (did you mean --run?); see orchestrate probe check --help",
        ),
        (["--bogus", "images", "list"], "unrecognized arguments: --bogus; see orchestrate --help"),
        (["images", "list", "--", "ls"], '"images" takes no command after --'),
        (["images"], "required: ACTION"),
        (["images", "build", "armp"], 'there is no image "armp"; did you mean "armmp"?'),
        (["probe", "check", "linux", "-c", DUAL], "is not a place"),
        (["walk", "linux"], "is not a place"),
        *(
            (["sweep", "run", "s.toml", "--scheduler", each], f'"{each}" is no address such as')
            for each in ("y", ":", "host", "host:", "host:x", "host:0", "host:65536", ":8786")
        ),
        (["completion", "tcsh"], "invalid choice: 'tcsh'"),
    ],
    ids=lambda value: " ".join(value).replace(DUAL, "F") if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_and_code_2(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], arguments: list[str], what: str
) -> None:
    assert cli.main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("orchestrate: error: ")
    assert what in told.err
    assert told.err.count("\n") == 1
    assert recorder.asked == []


def test_every_config_fault_is_a_line_of_its_own(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[a]\n[b]\n")
    assert cli.main(["boot", "-c", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"orchestrate: error: {path}") for line in lines)
    assert recorder.asked == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CheckFailed("no"), 1),
        (UsageError("no"), 2),
        (ConfigError("no"), 2),
        (MissingToolError("no"), 3),
        (GuestError("no"), 4),
        (MachineError("no"), 4),
        (PhaseTimeout("no"), 5),
        (StorageError("no"), 6),
        (RuntimeError("no"), 70),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_failure_has_its_code_and_one_message(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    recorder.act = failing(error)
    assert cli.main(["boot", "-c", DUAL]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("orchestrate: error: ")
    assert "no" in told.err
    assert "Traceback" not in told.err


def test_every_error_class_says_its_code_in_the_table() -> None:
    """The table in the docstring of `errors` is the documentation; it must be true."""
    table = errors.__doc__ or ""
    classes = OrchestrateError.__subclasses__()
    assert len(classes) >= 9
    for error in classes:
        (line,) = [line for line in table.splitlines() if f"─ {error.__name__} " in line]
        assert line.split("─ ")[1].split()[1] == str(error.exit_code)


def test_last_console_lines_come_before_the_message(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.act = failing(GuestError("vm linux: kernel panic", details=["[linux] oops", "end"]))
    assert cli.main(["boot", "-c", DUAL]) == 4
    assert capsys.readouterr().err.splitlines() == [
        "  [linux] oops",
        "  end",
        "orchestrate: error: vm linux: kernel panic",
    ]


def test_full_disk_is_a_storage_failure(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.act = failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/runs/log"))
    assert cli.main(["boot", "-c", DUAL]) == 6
    assert capsys.readouterr().err == ("orchestrate: error: /runs/log: No space left on device\n")


def test_debug_variable_shows_where_an_internal_error_is(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_DEBUG", "1")
    recorder.act = failing(ZeroDivisionError("x"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["boot", "-c", DUAL])


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_unwinds_and_gives_128_plus_its_number(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    unwound = []

    def act(_reporter: Reporter) -> None:
        try:
            signal.raise_signal(number)
        finally:
            unwound.append(True)

    recorder.act = act
    before = signal.getsignal(number)
    assert cli.main(["boot", "-c", DUAL]) == code
    assert unwound == [True]
    assert signal.getsignal(number) is before
    assert capsys.readouterr().err == "orchestrate: interrupted\n"


def test_a_library_that_makes_another_failure_of_a_signal_changes_nothing(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    """As NumPy does while it is loaded."""

    def act(_reporter: Reporter) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("could not import module datetime") from None

    recorder.act = act
    assert cli.main(["boot", "-c", DUAL]) == 143
    assert capsys.readouterr().err == "orchestrate: interrupted\n"


def test_what_a_guest_says_cannot_steer_the_terminal(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.act = failing(GuestError("vm linux says: \x1b]0;x\x07", details=["\x1b[2Jgone"]))
    assert cli.main(["boot", "-c", DUAL]) == 4
    told = capsys.readouterr().err
    assert "[2Jgone" in told
    assert "\x1b" not in told
    assert "\x07" not in told


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_interruption_told_by_the_session_is_no_error(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    recorder.act = failing(Interrupted("stopped while booting", signal_number=number))
    assert cli.main(["boot", "-c", DUAL]) == code
    assert capsys.readouterr().err == "orchestrate: stopped while booting\n"


@pytest.mark.parametrize("code", [0, 1, 2, 77, 255])
def test_command_passes_through(
    recorder: Recorder, capfdbinary: pytest.CaptureFixture[bytes], code: int
) -> None:
    """Bytes that are no text arrive unchanged, on their own stream, and console lines do not mix."""
    recorder.exit_code = code

    def act(reporter: Reporter) -> None:
        reporter.console("linux", "not shown")
        reporter.command_output("stdout", b"\xff\x00\r\n")
        reporter.command_output("stderr", b"\xfe")

    recorder.act = act
    assert cli.main(["boot", "-c", DUAL, "--", "cat"]) == code
    told = capfdbinary.readouterr()
    assert told.out == b"\xff\x00\r\n"
    assert told.err.startswith(b"\xfe")
    assert b"orchestrate: error:" not in told.err


def test_command_without_linux_is_refused(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[vm.rtos]\ntype = "elf"\nram = "16M"\npin = [0]\n')
    assert cli.main(["boot", "-c", str(path), "--", "ls"]) == 2
    assert "c.toml has no Linux VM" in capsys.readouterr().err
    assert recorder.asked == []


def test_exact_guest_time_needs_the_deterministic_clock(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[clock]\nmode = "realtime"\n[vm.rtos]\ntype = "elf"\nram = "16M"\npin = [0]\n')
    assert cli.main(["boot", "-c", str(path), "--for", "1s"]) == 2
    assert 'clock.mode = "deterministic"' in capsys.readouterr().err
    assert recorder.asked == []


def test_console_lines_show_their_vm_and_cannot_steer_the_terminal(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.act = lambda reporter: reporter.console("linux", "a\x1b[2Jb\tü\r")
    assert cli.main(["boot", "-c", DUAL, "--until", "ready"]) == 0
    told = capsys.readouterr()
    assert told.out == "[linux] a�[2Jb\tü�\n"
    assert "guest time 2.500000 s" in told.err
    assert "logs in /runs/one" in told.err


def test_dry_run_prints_a_line_for_the_shell(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["boot", "-c", DUAL, "--dry-run"]) == 0
    assert capsys.readouterr().out == "qemu-system-arm -M 'a b'\n"
    assert len(recorder.asked) == 1


def test_json_is_one_object_on_stdout(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(reporter: Reporter) -> None:
        reporter.phase("start")
        reporter.note("fetching")
        reporter.vm_state("linux", "ready")
        reporter.console("linux", "hello")
        reporter.command_output("stdout", b"out\n")
        reporter.command_output("stdout", b"more\n")
        reporter.command_output("stderr", b"err\n")

    recorder.act, recorder.exit_code = act, 7
    assert cli.main(["boot", "-c", DUAL, "--json", "--", "x"]) == 7
    assert json.loads(capsys.readouterr().out) == {
        "exit_code": 7,
        "ended_by": "ready",
        "run_dir": "/runs/one",
        "qemu_command": ["qemu-system-arm", "-M", "a b"],
        "guest_ns": 2_500_000_000,
        "boot_host_s": 1.5,
        "phases_host_s": {"start": 0.5},
        "vms": {"linux": "ready"},
        "stdout": "out\nmore\n",
        "stderr": "err\n",
        "error": None,
    }


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [(["-c", DUAL], "GuestError", 4), (["--bogus", "-c", DUAL], "UsageError", 2)],
)
def test_json_tells_failures_apart_from_a_commands_code(
    recorder: Recorder,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    kind: str,
    code: int,
) -> None:
    recorder.act = failing(GuestError("vm linux: panic", details=["last"]))
    assert cli.main(["boot", "--json", *arguments]) == code
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["exit_code"] == code
    assert document["error"]["kind"] == kind
    assert f"orchestrate: error: {document['error']['message']}" in told.err


def run_cli(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=400,
        **options,
    )


def test_version_and_help_of_every_command() -> None:
    assert run_cli("--version").stdout == f"orchestrate {__version__}\n"
    for arguments in ([], ["boot"], ["console"], ["images"], ["images", "build"], ["completion"]):
        result = run_cli(*arguments, "--help")
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith("usage: orchestrate " + " ".join(arguments))


def test_help_names_every_exit_code() -> None:
    told = run_cli("--help").stdout
    for code in {error.exit_code for error in OrchestrateError.__subclasses__()} | {0, 143}:
        assert f"  {code} " in told or f"({code}:" in told


def test_help_loads_nothing_that_is_slow() -> None:
    """What makes help take longer than 100 ms is imports; they are counted, not timed."""
    program = (
        "import sys; from orchestrator import cli; cli.main(['boot', '--help']);"
        "print(*(m for m in sys.modules if m.split('.')[0] in"
        " {'pydantic', 'qemu', 'pexpect', 'elftools', 'libfdt', 'tqdm', 'shtab', 'asyncio'}),"
        "file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stderr == "\n"


def test_reader_that_goes_away_is_no_error() -> None:
    """As in `orchestrate completion bash | head -1`, with a pipe nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "orchestrator.cli", "completion", "bash"],
            stdout=writer,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            check=False,
        )
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (141, b"")


class EchoGuest:
    """A console socket whose guest greets and then echoes in capitals."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.received = b""
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        try:
            connection, _ = self._server.accept()
        except OSError:
            return  # nobody has come
        with connection:
            connection.sendall(b"login: ")
            while data := connection.recv(100):
                self.received += data
                connection.sendall(data.upper())
                if b"\x04" in data:
                    return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever was there has gone; if nobody came, this ends the waiting.
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()


def attach_program(guest: EchoGuest) -> str:
    return (
        "import sys, pathlib; from orchestrator import terminal;"
        f"sys.exit(terminal.attach(pathlib.Path({str(guest.path)!r}), name='linux'))"
    )


def test_console_on_a_terminal_types_detaches_and_restores_it(tmp_path: Path) -> None:
    """Ctrl-C goes to the guest, Ctrl-] ends, and the terminal is as it was before."""
    with EchoGuest(tmp_path / "s") as guest:
        child = pexpect.spawn(
            "sh",
            ["-c", f'stty -g; {sys.executable} -c "$0"; stty -g', attach_program(guest)],
            cwd=str(ROOT),
            encoding="utf-8",
            timeout=400,
        )
        try:
            before = child.readline().strip()
            child.expect_exact("login: ")
            child.send("ab\x03")
            child.expect_exact("AB\x03")
            child.send("\x1d")
            child.expect_exact("detached from linux")
            rest = child.read().split()
        finally:
            ended(child)
    assert guest.received == b"ab\x03"
    assert rest[-1] == before


def test_console_in_a_pipe_sends_its_input_and_waits_for_the_end(tmp_path: Path) -> None:
    with EchoGuest(tmp_path / "s") as guest:
        result = subprocess.run(
            [sys.executable, "-c", attach_program(guest)],
            input=b"hello\x04",
            capture_output=True,
            check=False,
            timeout=400,
            cwd=ROOT,
        )
    assert (result.returncode, result.stdout) == (0, b"login: HELLO\x04")


def test_console_of_a_system_that_ended_says_so(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="the system may have ended"):
        terminal.attach(tmp_path / "gone", name="linux")


def test_ctrl_c_while_the_program_is_loaded_shows_no_traceback(tmp_path: Path) -> None:
    """It ends as any program does that has no handler yet; a stand-in for `cli` shows the moment."""
    (tmp_path / "orchestrator").mkdir()
    (tmp_path / "orchestrator" / "__init__.py").touch()
    shutil.copy(ROOT / "orchestrator" / "__main__.py", tmp_path / "orchestrator")
    (tmp_path / "orchestrator" / "cli.py").write_text(
        "import time; print(flush=True); time.sleep(400)"
    )
    with running(
        [sys.executable, "-m", "orchestrator"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=400)
    assert (process.returncode, told) == (-signal.SIGINT, b"")


def test_sigterm_ends_a_real_process_with_143(tmp_path: Path) -> None:
    """The handler works in a real process that waits, not only when raised by itself."""
    program = (
        "import pathlib, sys, time; from orchestrator import cli, session;"
        f"flag = pathlib.Path({str(tmp_path / 'flag')!r});"
        "session.boot = lambda *_: (flag.touch(), time.sleep(1000));"
        f"sys.exit(cli.main(['boot', '-c', {DUAL!r}]))"
    )
    with running([sys.executable, "-c", program], stderr=subprocess.PIPE, cwd=ROOT) as process:
        deadline = time.monotonic() + 400
        while not (tmp_path / "flag").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.terminate()
        _, told = process.communicate(timeout=400)
    assert (process.returncode, told) == (143, b"orchestrate: interrupted\n")
