# SPDX-License-Identifier: MIT
"""Which part of the package may know which other: the arrows of the design, as a test.

The imports are read from the sources, those inside functions and ``if TYPE_CHECKING`` included.
To allow a new arrow, change `MAY_IMPORT`; that is a decision, not a formality.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "orchestrator"
GROUND = {"errors"}
EVERYTHING = {
    path.stem if path.suffix == ".py" else path.name
    for path in PACKAGE.iterdir()
    if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem != "__init__"
} - {"__main__"}
"""What may be imported: all but the program itself."""

# Part of the package -> parts it may import, besides itself and the package's own version.
MAY_IMPORT = {
    "errors": set[str](),
    "units": set[str](),
    "options": {"config"},
    "records": set[str](),
    # The form of a stream's file, for who writes and who reads it.
    "streamfile": {"errors", "records"},
    "mmu": GROUND,
    "trace": GROUND | {"units", "records", "streamfile"},
    "config": GROUND | {"units"},
    "images": GROUND | {"units"},
    "guest": GROUND | {"units", "config", "images"},
    "probe": GROUND
    | {"units", "records", "streamfile", "config", "images", "mmu", "guest", "machine"},
    "machine": GROUND | {"units", "config", "images", "records", "streamfile"},
    "rundir": GROUND | {"units"},
    # Sees timelines, and how files are replaced; nothing of machines and guests.
    "export": GROUND | {"units", "rundir", "trace"},
    "supervise": GROUND | {"units", "config", "options", "rundir", "guest", "machine"},
    "control": GROUND,
    # What a running system is asked for, and what is taken out of its memory.
    "service": GROUND | {"config", "control", "probe"},
    "pull": GROUND | {"images", "mmu", "machine", "probe", "rundir", "trace"},
    # Watches a running Linux, and makes lines of what is seen.
    "follow": GROUND | {"machine", "probe", "pull", "trace"},
    "live": GROUND | {"trace", "export"},
    # Traces a run that the session has made.
    "observe": GROUND
    | {"records", "config", "options", "rundir", "machine", "probe", "control", "service"}
    | {"pull", "follow", "trace"},
    # The state of a board and what it depends on; the session makes and loads it.
    "starts": GROUND | {"config", "rundir", "machine", "probe"},
    # Traces by running a session, and shows what came of it.
    "tracing": EVERYTHING - {"tracing", "bench", "cli", "commands", "pytest_plugin", "terminal"},
    "signals": GROUND,
    "interruptions": GROUND,
    # A run: what is known of it, and what it needs before QEMU starts.
    "run_record": GROUND | {"config", "machine", "options", "rundir"},
    "prepare": GROUND
    | {"config", "guest", "images", "machine", "observe", "options", "run_record", "rundir"}
    | {"starts"},
    "session": EVERYTHING
    - {"session", "tracing", "live", "export", "trace", "bench", "cli", "commands", "terminal"}
    - {"pytest_plugin"},
    # Measures by running sessions, as any other caller of them would; what a probe costs by hand,
    # on a board of its own (`bench.board`).
    "bench": GROUND
    | {"units", "config", "images", "options", "records", "trace", "export", "rundir", "session"}
    | {"machine", "probe", "tracing", "guest", "mmu", "streamfile", "signals"},
    "terminal": GROUND | {"session"},
    "commands": EVERYTHING - {"commands", "cli", "pytest_plugin"},
    "pytest_plugin": EVERYTHING - {"commands", "cli", "pytest_plugin", "terminal"},
    "cli": EVERYTHING - {"cli", "pytest_plugin"},
    "__main__": {"cli"},
}


def imports(source: str, *, package: str) -> Iterator[str]:
    """Names of modules of this package that a source imports, without ``orchestrator.``.

    Args:
        source: Python text.
        package: Dotted name of the package that the file is in, for relative imports.
    """
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # "from orchestrator import x" imports the module x.
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("orchestrator."):
                yield name.removeprefix("orchestrator.")


def part_of(path: Path) -> str:
    top = path.relative_to(PACKAGE).parts[0]
    return top.removesuffix(".py")


SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_only_what_its_part_may(path: Path) -> None:
    part = part_of(path)
    assert part in MAY_IMPORT, f"say in MAY_IMPORT what the new part {part} may import"
    package = ".".join(path.relative_to(PACKAGE.parent).parts[:-1])
    found = {name.split(".")[0] for name in imports(path.read_text(), package=package)}
    allowed = MAY_IMPORT[part] | {part, "__version__"}
    assert found <= allowed, f"{path.name} imports {sorted(found - allowed)}"


def test_package_itself_imports_nothing_of_its_own() -> None:
    """Else importing `errors` would load everything."""
    assert not list(imports((PACKAGE / "__init__.py").read_text(), package="orchestrator"))


def test_every_part_of_the_table_exists() -> None:
    assert set(MAY_IMPORT) == EVERYTHING | {"__main__"}


def test_arrows_never_point_back() -> None:
    """A walk along MAY_IMPORT that returns to where it began would be a cycle."""

    def reachable(part: str) -> set[str]:
        seen: set[str] = set()
        todo = set(MAY_IMPORT[part])
        while todo:
            one = todo.pop()
            seen.add(one)
            todo |= MAY_IMPORT[one] - seen
        return seen

    assert [part for part in MAY_IMPORT if part in reachable(part)] == []
    for part in ("images", "config", "machine", "guest"):
        assert not reachable(part) & {"session", "cli", "terminal"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import orchestrator.session", {"session"}),
        ("from orchestrator import session", {"session"}),
        ("from orchestrator.machine.elf import read_elf", {"machine.elf.read_elf"}),
        ("from . import store", {"images.store"}),
        ("from .. import cli", {"cli"}),
        ("from ..session import boot", {"session.boot"}),
        ("def f():\n    from orchestrator import cli", {"cli"}),
        ("import os\nfrom pathlib import Path", set()),
    ],
)
def test_the_reading_of_imports_misses_none(source: str, found: set[str]) -> None:
    assert set(imports(source, package="orchestrator.images")) == found


@pytest.mark.parametrize("name", ["compare", "difference", "measures", "model"])
def test_comparisons_know_records_and_timelines_but_no_machine(name: str) -> None:
    source = (PACKAGE / "bench" / f"{name}.py").read_text()
    found = {each.split(".")[0] for each in imports(source, package="orchestrator.bench")}
    assert found <= {"bench", "errors", "records", "trace", "export"}
