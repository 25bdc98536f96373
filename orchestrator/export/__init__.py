# SPDX-License-Identifier: MIT
"""Timelines as files that other tools open: one module a format, behind `write`.

To add a format: a module here with ``write(timeline, path)`` that makes the file, or folder, and a
line in `FORMATS`. A module sees only the timeline; equal timelines give equal bytes, so nothing of
the time, place or process of writing may get in. Atomic replacement is done here, for all of them.
"""

import importlib.util
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.errors import MissingToolError, StorageError
from orchestrator.rundir import final_place, is_stream, storage_errors, swap_in
from orchestrator.trace.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format that a timeline can be written in.

    Attributes:
        file: Usual name of the file, or folder, in a run's directory.
        about: What opens it, in a few words.
        module: The part of this package that writes it.
        needs: What not every machine has: a Python module, or the path of a file.
    """

    file: str
    about: str
    module: str
    needs: str = ""


FORMATS: Final[Mapping[str, Format]] = {
    "trace.dat": Format(
        file="trace.dat", about="trace-cmd report and KernelShark", module="trace_dat"
    ),
    "ctf": Format(file="ctf", about="babeltrace2, Trace Compass (as LTTng's kernel)", module="ctf"),
    "report": Format(
        file="report.html",
        about="any browser, offline",
        module="report",
        needs="/usr/share/javascript/chart.js/chart.min.js",
    ),
    "text": Format(file="trace.txt", about="ftrace's own text, to read and grep", module="text"),
    "parquet": Format(
        file="trace.parquet", about="notebooks (pandas, polars)", module="table", needs="pyarrow"
    ),
    "perfetto": Format(file="trace.perfetto", about="ui.perfetto.dev", module="perfetto"),
}
"""By the name that the command line knows."""


def available() -> tuple[str, ...]:
    """The formats that this machine can write."""
    return tuple(name for name, each in FORMATS.items() if _is_here(each.needs))


def _is_here(need: str) -> bool:
    if need.startswith("/"):
        return Path(need).exists()
    return not need or importlib.util.find_spec(need) is not None


def write(timeline: Timeline, name: str, path: Path) -> None:
    """Writes a timeline in one format, replacing what the path held in one step.

    Args:
        timeline: What to write.
        name: A key of `FORMATS`.
        path: The file, or a device or a pipe to write into; of a format that is a folder, the
            folder.

    Raises:
        MissingToolError: The format needs a Python package that is not here.
        StorageError: It cannot be written; what was there is still there.
    """
    try:
        writer = importlib.import_module(f"{__name__}.{FORMATS[name].module}")
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        raise MissingToolError(
            f"format {name}: the Python package {package} is not here; "
            f"install it with: pip install {package}"
        ) from error
    with storage_errors(path):
        if path.is_dir() and not _is_replaceable(path):
            raise StorageError(f"{path}: is a folder that holds something else; name another path")
        final = None if is_stream(path) else final_place(path)
        beside = None if final is None else final.parent
        place = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=beside))
        try:
            # In a folder of its own, so that file and folder formats are handled alike.
            made = place / "made"
            writer.write(timeline, made)
            if made.is_dir() and path.exists() and not path.is_dir():
                raise StorageError(f"{path}: is a file, but {name} is a folder; name another path")
            if final is None:
                with made.open("rb") as source, path.open("wb") as stream:
                    shutil.copyfileobj(source, stream)
                return
            if final.is_dir():
                swap_in(made, final, place / "old")
            else:
                made.replace(final)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _is_replaceable(folder: Path) -> bool:
    """Whether a folder is an earlier export (or empty), not something of the user's."""
    return not any(folder.iterdir()) or (folder / "metadata").is_file()
