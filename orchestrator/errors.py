# SPDX-License-Identifier: MIT
"""The one exception tree, and the exit codes of `orchestrate`.

::

    OrchestrateError
    ├── CheckFailed       1    a check ran to its end and the answer is no
    │   └── TranslationFault   an address is not mapped (mmu.faults)
    ├── UsageError        2    the command line asks for something impossible
    ├── ConfigError       2    the config file is wrong (every fault at once)
    ├── MissingToolError  3    a program, package or kernel is not on this machine
    ├── GuestError        4    a guest crashed, reset, fell silent or was stopped
    ├── MachineError      4    QEMU died or refused
    ├── PhaseTimeout      5    a phase did not end in its time
    ├── StorageError      6    a file cannot be written or read: disk full, permissions
    └── Interrupted     130    stopped by the user: 130 for Ctrl-C, 143 for SIGTERM

Exit code 0 is success. With ``boot … -- COMMAND`` a command that ran to its end passes its own
code (0..255) through; the tool's own failures are then told apart by the line
``orchestrate: error: …`` on stderr, and with ``--json`` by the field ``error``.
"""

from collections.abc import Sequence
from typing import ClassVar


class OrchestrateError(Exception):
    """Root of everything that this package raises on purpose.

    Args:
        message: What is wrong and what to do; one line, or one line a fault.
        details: Further lines for the reader, such as the last lines of a console.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)

    @property
    def status(self) -> int:
        """The process's exit code for this very error."""
        return self.exit_code


class CheckFailed(OrchestrateError):
    """A check ran to its end and the answer is no."""

    exit_code = 1


class UsageError(OrchestrateError):
    """The command line asks for something impossible."""

    exit_code = 2


class ConfigError(OrchestrateError):
    """The config file is wrong.

    Args:
        faults: Every fault found, each a line ``FILE:LINE: key.path: what; what to do``.
    """

    exit_code = 2

    def __init__(self, faults: Sequence[str] | str) -> None:
        self.faults = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))


class MissingToolError(OrchestrateError):
    """A program, package or kernel is not on this machine; the message names the package."""

    exit_code = 3


class GuestError(OrchestrateError):
    """A guest crashed, reset, fell silent or was stopped; details hold its last console lines."""

    exit_code = 4


class MachineError(OrchestrateError):
    """QEMU died or refused."""

    exit_code = 4


class PhaseTimeout(OrchestrateError):
    """A phase did not end in its time."""

    exit_code = 5


class StorageError(OrchestrateError):
    """A file cannot be written or read: disk full, permissions."""

    exit_code = 6


class Interrupted(OrchestrateError):
    """The user stopped the run.

    Args:
        signal_number: The signal that did it: 2 for Ctrl-C, 15 for SIGTERM.
    """

    exit_code = 130

    def __init__(
        self,
        message: str = "interrupted",
        *,
        signal_number: int = 2,
        details: Sequence[str] = (),
    ) -> None:
        super().__init__(message, details=details)
        self.signal_number = signal_number

    @property
    def status(self) -> int:
        """128 plus the signal's number, as a shell reports it."""
        return 128 + self.signal_number
