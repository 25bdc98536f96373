# SPDX-License-Identifier: MIT
"""The directory that a run leaves behind, and how to tell whether it is complete.

::

    DIR/run.json         written last, in one step: a run without it has not ended
    DIR/live.json        only while the run lives: process ids and sockets
    DIR/NAME.log         console of a VM, and `hypervisor.log`
    DIR/qemu.log         what QEMU itself had to say
    DIR/inputs/          files made for this run that QEMU loads
    DIR/NAME.stdout ...  output of the command that ran in a Linux VM; `.part` until it has ended
    DIR/results/         what the command left in the guest's /results
"""

import contextlib
import errno
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from orchestrator.errors import StorageError, UsageError

if sys.version_info >= (3, 12):
    import tarfile
else:  # Debian 12's Python 3.11.2 lacks the extraction filters, which came with 3.11.4.
    from backports import tarfile

RUN_JSON: Final = "run.json"
LIVE_JSON: Final = "live.json"
_INPUTS: Final = "inputs"
_FULL_BYTES: Final = 256 * 1024
"""Less room than this counts as a full disk: logs would lose lines next."""
_FULL_ERRNOS: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file size limit is reached (ulimit -f)",
}


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns an OSError on this path into the message that a user can act on.

    Raises:
        StorageError: In place of any OSError.
    """
    try:
        yield
    except OSError as error:
        full = _FULL_ERRNOS.get(error.errno or 0)
        if full is not None:  # of a copy the error names what was read
            raise StorageError(f"{path}: {full}") from error
        raise StorageError(f"{error.filename or path}: {error.strerror or error}") from error


def is_stream(path: Path) -> bool:
    """Whether a path is a device or a pipe: something to write into, which is never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def final_place(path: Path) -> Path:
    """Where a file is that shall be replaced: behind links, in a folder that is there.

    Raises:
        StorageError: There is no such folder.
    """
    place = path.resolve()
    if not place.parent.is_dir():
        raise StorageError(f"{path}: there is no folder {place.parent}; make it first")
    return place


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file in one step; writes into a device or a pipe.

    Raises:
        StorageError: It cannot be written; the old file, if any, is still there.
    """
    with storage_errors(path):
        if is_stream(path):
            path.write_bytes(content)
            return
        path = final_place(path)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def swap_in(made: Path, final: Path, old: Path) -> None:
    """Gives a finished file or folder its name; what had it goes to `old`, beside it.

    Whatever fails or interrupts it: what had the name before has it again.
    """
    try:
        if final.exists():
            final.rename(old)
        made.rename(final)
    finally:
        if old.exists() and not final.exists():
            old.rename(final)


def default_root() -> Path:
    """Where runs go that were not given a directory."""
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    return base / "orchestrate" / "runs"


class RunDir:
    """A run's directory, from its making to the final word.

    Args:
        path: The directory; use `create` to make one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, out: Path | None, config_path: Path) -> Self:
        """Makes an empty run directory.

        Args:
            out: Where; None: a new place below `default_root`, called after config and time.
            config_path: Gives a new place its name.

        Raises:
            UsageError: `out` holds something; nothing was changed.
            StorageError: It cannot be made.
        """
        path = cls.place(out, config_path)
        with storage_errors(path):
            if path.exists() and any(path.iterdir()):
                if not _is_abandoned(path):
                    raise UsageError(
                        f"--out {path}: holds files already; remove it or name another directory"
                    )
                shutil.rmtree(path)
            (path / _INPUTS).mkdir(parents=True)
        return cls(path)

    @staticmethod
    def place(out: Path | None, config_path: Path) -> Path:
        """Where `create` would make a directory now."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        new = default_root() / f"{config_path.stem}-{stamp}-{os.getpid()}"
        return out.absolute() if out else new

    def file(self, name: str) -> Path:
        """A file of the run by its name."""
        return self.path / name

    def input(self, name: str) -> Path:
        """A file that QEMU loads, by its name."""
        return self.path / _INPUTS / name

    def write_input(self, name: str, content: bytes) -> Path:
        """Writes a file that QEMU will load.

        Raises:
            StorageError: It cannot be written.
        """
        path = self.input(name)
        with storage_errors(path):
            path.write_bytes(content)
        return path

    def check_room(self) -> None:
        """Looks whether logs can still grow.

        Raises:
            StorageError: They cannot.
        """
        with storage_errors(self.path):
            status = os.statvfs(self.path)
        if status.f_bavail * status.f_frsize < _FULL_BYTES:
            raise StorageError(f"{self.path}: {_FULL_ERRNOS[errno.ENOSPC]}")
        limit_bytes = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if limit_bytes == resource.RLIM_INFINITY:
            return
        # QEMU is not killed for it: its threads that run guests block all signals.
        for file in self.path.iterdir():
            with storage_errors(file):
                is_full = file.stat().st_size >= limit_bytes
            if is_full:
                raise StorageError(f"{file}: {_FULL_ERRNOS[errno.EFBIG]}")

    def set_live(self, document: Mapping[str, Any]) -> None:
        """Tells other processes how to reach this run.

        Raises:
            StorageError: It cannot be written.
        """
        write_atomically(self.file(LIVE_JSON), _json(document))

    def finish(self, document: Mapping[str, Any]) -> None:
        """Ends the run with its final word, `run.json`.

        Raises:
            StorageError: It cannot be written; the directory stays without it.
        """
        for leftover in self.path.glob("*.part"):
            leftover.unlink(missing_ok=True)
        write_atomically(self.file(RUN_JSON), _json(document))
        self.file(LIVE_JSON).unlink(missing_ok=True)

    def discard(self) -> None:
        """Removes all of it: nothing half-written is left, and its room is free again."""
        shutil.rmtree(self.path, ignore_errors=True)

    def keep_part(self, name: str) -> Path:
        """Gives a complete file its final name.

        Raises:
            StorageError: It cannot be renamed.
        """
        path = self.file(name)
        with storage_errors(path):
            self.file(f"{name}.part").replace(path)
        return path

    def unpack_results(self, archive: Path) -> None:
        """Unpacks a guest's tar stream below `results`; names that lead outside are refused.

        Raises:
            StorageError: It is damaged or cannot be unpacked.
        """
        target = self.file("results")
        with storage_errors(target):
            try:
                # "r:" takes it as it is: what is packed could unpack to any size.
                with tarfile.open(archive, "r:") as tar:
                    if any(member.issparse() for member in tar):
                        raise StorageError(f"{target}: the guest's results have holes")
                    tar.extractall(target, filter="data")
            except (tarfile.TarError, ValueError, OverflowError) as error:
                raise StorageError(f"{target}: the guest's results are damaged: {error}") from error


def read_live(path: Path) -> dict[str, Any]:
    """What a running run says about itself.

    Raises:
        UsageError: No such run, or it does not run any more.
    """
    try:
        document: dict[str, Any] = json.loads((path / LIVE_JSON).read_text())
    except (OSError, ValueError):
        raise UsageError(f"{path}: no running system; see `orchestrate boot --out`") from None
    if not _is_alive(document["pid"]):
        raise UsageError(f"{path}: the run was killed, process {document['pid']} is gone")
    return document


def find_live(root: Path) -> list[Path]:
    """The running runs below a directory, the newest last."""
    lives = sorted(root.glob(f"*/{LIVE_JSON}"), key=lambda path: path.stat().st_mtime)
    found = []
    for live in lives:
        with contextlib.suppress(UsageError):
            read_live(live.parent)
            found.append(live.parent)
    return found


def find_console(run_dir: Path | None, vm: str) -> Path:
    """The socket on which a console of a running system can be joined.

    Args:
        run_dir: The run; None: the only one that is running.
        vm: Name of a VM, or "hypervisor".

    Raises:
        UsageError: No such run or console, or several runs to choose from.
    """
    run_dir = run_dir or _the_running_one()
    consoles: dict[str, str] = read_live(run_dir)["consoles"]
    if vm not in consoles:
        raise UsageError(f"{run_dir}: no console {vm!r}; there are {', '.join(consoles)}")
    return Path(consoles[vm])


def find_control(run_dir: Path | None) -> Path:
    """The socket on which a running system can be asked: `orchestrator.control`.

    Args:
        run_dir: The run; None: the only one that is running.

    Raises:
        UsageError: No such run, or several runs to choose from.
    """
    return Path(read_live(run_dir or _the_running_one())["control"])


def _the_running_one() -> Path:
    running = find_live(default_root())
    if len(running) != 1:
        several = "\n".join(f"  {path}" for path in running)
        what = f"{len(running)} systems run:\n{several}\nname one"
        if not running:
            what = (
                f"no system has its run directory in {default_root()}; name that of another place"
            )
        raise UsageError(f"{what} with --run DIR")
    return running[0]


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()


def _is_abandoned(path: Path) -> bool:
    """Whether this is an unfinished run whose process is gone."""
    if (path / RUN_JSON).exists() or not (path / LIVE_JSON).exists():
        return False
    try:
        read_live(path)
    except UsageError:
        return True
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
