# SPDX-License-Identifier: MIT
"""pytest fixtures for tests on the emulated board, as on a hardware-in-the-loop bench.

::

    def test_tasks_meet_their_deadlines(dual_system, trace):
        dual_system.probe("rtos:OSTaskSwHook mode=shadow")
        dual_system.run("context1", "20000")
        assert trace["rtos/RTOS-Task4/response_max"] <= 20_000_000

`dual_system` boots the system of a config file: ``orchestrate_config`` in pytest's configuration,
or ``@pytest.mark.orchestrate(config="other.toml")`` at a test. `trace` is what the test's last run
has recorded. A phase that does not end in the time that the config or the mark gives it fails the
test with the last lines of all consoles. What a failed test has left (consoles, run.json, streams)
is kept below ``--orchestrate-artifacts`` and named in the report; that of others is removed.

docs/pytest.md describes all of it. The work is done by `session` and `trace`.
"""

import re
import shutil
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from orchestrator.errors import OrchestrateError

if TYPE_CHECKING:
    from orchestrator.trace.timeline import Timeline

_ARTIFACTS: Final = "orchestrate-artifacts"
_MARK_OPTIONS: Final = frozenset({"config", "start_s", "ready_s", "command_s"})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where systems and artifacts are."""
    parser.addini("orchestrate_config", "config file of the fixture dual_system", default="")
    parser.getgroup("orchestrate").addoption(
        "--orchestrate-artifacts",
        type=Path,
        default=Path(_ARTIFACTS),
        metavar="DIR",
        help=f"folder for the runs of tests that failed (default: {_ARTIFACTS})",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Makes the mark known."""
    config.addinivalue_line(
        "markers",
        "orchestrate(config, start_s, ready_s, command_s): the system of dual_system, and the host "
        "seconds that its phases may take",
    )


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that ended well.

    Attributes:
        path: Its directory.
        exit_code: Of the command in Linux; 0 without one.
    """

    path: Path
    exit_code: int

    def console(self, vm: str) -> str:
        """All that a VM, or "hypervisor", said on its console."""
        return (self.path / f"{vm}.log").read_text(errors="replace").replace("\r\n", "\n")

    @cached_property
    def stdout(self) -> str:
        """What the command in Linux wrote to its standard output."""
        (path,) = self.path.glob("*.stdout")
        return path.read_text(errors="replace")

    @cached_property
    def timeline(self) -> "Timeline":
        """Everything that was recorded, in one order.

        Raises:
            OrchestrateError: Nothing was recorded.
        """
        from orchestrator.trace.run import merge_run

        return merge_run(self.path)


class System:
    """The system of one test; each `run` boots it anew.

    Args:
        config: Its config file.
        folder: Where runs go.
        timeouts: By the name of `TimeoutOverrides`' attributes.
    """

    def __init__(self, config: Path, folder: Path, timeouts: Mapping[str, float]) -> None:
        self.runs: list[Run] = []
        self._config = config
        self._folder = folder
        self._timeouts = timeouts
        self._probes: list[str] = []
        self._begun = 0

    def probe(self, *probes: str) -> None:
        """Places probes in all runs from now on, in the words of ``orchestrate boot --probe``."""
        self._probes += probes

    def run(self, *command: str, until: str | None = None, ftrace: bool = False) -> Run:
        """Boots the system and runs it to its end.

        Args:
            command: Runs in the first Linux VM; without it the system only boots.
            until: Guest time at which the run ends, such as "2s", in place of a command.
            ftrace: Whether Linux's own tracing records the command.

        Returns:
            The run, also when the command ended with another exit code than 0.

        Raises:
            OrchestrateError: A guest crashed, a phase took too long, ...: the test fails.
        """
        from orchestrator import config, session
        from orchestrator.bench.run import SilentReporter
        from orchestrator.config.probes import parse_probe
        from orchestrator.options import BootOptions, TimeoutOverrides
        from orchestrator.units import parse_duration_ns

        self._begun += 1
        options = BootOptions(
            out=self._folder / f"run{self._begun}",
            command=command or None,
            for_ns=None if until is None else parse_duration_ns(until),
            until_ready=not command and until is None,
            timeouts=TimeoutOverrides(**self._timeouts),
            probes=tuple(parse_probe(text) for text in self._probes),
            ftrace=ftrace,
        )
        result = session.boot(config.load(self._config), options, SilentReporter())
        self.runs.append(Run(path=result.run_dir, exit_code=result.exit_code))
        return self.runs[-1]


class Trace:
    """What the last run of a test has recorded, as a timeline and as figures.

    Args:
        system: The test's system.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._figures: tuple[Run, dict[str, float]] | None = None

    @property
    def timeline(self) -> "Timeline":
        """The timeline.

        Raises:
            OrchestrateError: No run, or nothing was recorded.
        """
        return self._run().timeline

    @property
    def figures(self) -> Mapping[str, float]:
        """The figures that ``orchestrate compare`` compares, by name without ``trace/``.

        Times are in ns of guest time, such as "rtos/RTOS-Task1/response_max".
        """
        from orchestrator.bench.measures import of_timeline

        run = self._run()
        if self._figures is None or self._figures[0] is not run:
            found = {f.name.removeprefix("trace/"): f.value for f in of_timeline(run.timeline)}
            self._figures = (run, found)
        return self._figures[1]

    def __getitem__(self, name: str) -> float:
        """A figure by its name.

        Raises:
            AssertionError: There is none: what it is about did not happen.
        """
        figures = self.figures
        if name not in figures:
            place = name.rpartition("/")[0]
            near = [each for each in figures if each.startswith(place)] or list(figures)
            raise AssertionError(f"the trace has no {name}; it has {', '.join(near)}")
        return figures[name]

    def _run(self) -> Run:
        if not self._system.runs:
            raise OrchestrateError("nothing was recorded: dual_system.run() comes first")
        return self._system.runs[-1]


_FAILED: Final = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """Remembers whether the test failed, and shows the console lines of an error."""
    report: Any = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, OrchestrateError):
        report.longrepr = "\n".join((f"{type(error).__name__}: {error.message}", *error.details))
    return report


@pytest.fixture
def dual_system(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[System]:
    """The system of the test's config, ready to be run."""
    options = _mark_options(request)
    config = _config_path(request, options.pop("config", ""))
    folder: Path = tmp_path_factory.mktemp("orchestrate")
    yield System(config, folder, options)
    if request.node.stash.get(_FAILED, False):
        kept = _keep(request, folder)
        request.node.add_report_section("teardown", "orchestrate", f"runs are kept in {kept}")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def trace(dual_system: System) -> Trace:
    """What the last run of `dual_system` has recorded."""
    return Trace(dual_system)


def _mark_options(request: pytest.FixtureRequest) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("orchestrate"))):
        options |= mark.kwargs
        if mark.args or not options.keys() <= _MARK_OPTIONS:
            valid = ", ".join(sorted(_MARK_OPTIONS))
            raise pytest.UsageError(f"mark orchestrate: takes {valid}, each by its name")
    return options


def _config_path(request: pytest.FixtureRequest, given: str) -> Path:
    """A mark's path starts from the test's folder, that of the configuration from pytest's."""
    if given:
        return request.path.parent / given
    name = request.config.getini("orchestrate_config")
    if not name:
        raise pytest.UsageError(
            "which system? Set orchestrate_config = FILE in pytest's configuration, or mark the "
            'test with @pytest.mark.orchestrate(config="FILE")'
        )
    return request.config.rootpath / str(name)


def _keep(request: pytest.FixtureRequest, folder: Path) -> Path:
    name = re.sub(r"[^\w.-]+", "_", request.node.nodeid)
    top: Path = request.config.getoption("--orchestrate-artifacts")
    kept = (request.config.invocation_params.dir / top / name).absolute()
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, kept)
    return kept
