# SPDX-License-Identifier: MIT
"""Holds figures against those of a baseline: which differ by more than they may.

Knows results, records and timelines, not machines and not directories: where figures come from is
`measures`, what a path holds is `stored`. A figure is a number with a name such as
``bench/context1/hvc/instructions``; names are what tolerances are given for.

A tolerance file is TOML. The last pattern that fits a figure's name counts; without any, figures
must be equal, as they are between two runs of one system in the deterministic clock::

    [tolerances]
    "bench/*" = "1%"                 # of the baseline's value
    "bench/*/function/*" = "5%"
    "trace/rtos/*/response_max" = 2000   # in the figure's own unit
"""

import fnmatch
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from orchestrator.errors import ConfigError

_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*%")

Verdict = Literal["same", "within", "better", "worse", "missing", "new"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of a run.

    Attributes:
        name: Its parts separated by "/".
        value: The number, in `unit`.
        unit: "instructions", "ns", "%", "" for a count.
        less_is_better: Whether only more is a regression; else any difference is.
    """

    name: str
    value: float
    unit: str = ""
    less_is_better: bool = True


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far figures of some names may be from the baseline.

    Attributes:
        pattern: Shell pattern of names; "*" goes across "/".
        share: Of the baseline's value: 0.01 for 1 %.
        absolute: In the figure's unit.
    """

    pattern: str
    share: float = 0.0
    absolute: float = 0.0

    def allows(self, value: float, baseline: float) -> bool:
        """Whether the distance of two values is small enough."""
        return abs(value - baseline) <= max(self.absolute, self.share * abs(baseline))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure in both runs.

    Attributes:
        name: Of the figure.
        unit: Of the figure.
        value: In the run; None: it is not there.
        baseline: In the baseline; None: it is not there.
        verdict: "same" is equal; "within" the tolerance; "missing" and "new" are in one run only.
    """

    name: str
    unit: str
    value: float | None
    baseline: float | None
    verdict: Verdict

    @property
    def fails(self) -> bool:
        """Whether this is a reason for exit code 1."""
        return self.verdict in {"worse", "missing"}

    @property
    def change(self) -> float | None:
        """Against the baseline: 0.03 for 3 % more; None where there is nothing to divide."""
        if self.value is None or not self.baseline:
            return None
        return self.value / self.baseline - 1


def load_tolerances(path: Path) -> tuple[Tolerance, ...]:
    """Reads a tolerance file.

    Raises:
        ConfigError: It cannot be read or is wrong; every fault is told.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error
    table = document.get("tolerances")
    if not isinstance(table, Mapping) or document.keys() != {"tolerances"}:
        raise ConfigError(f"{path}: must hold one table, [tolerances]")
    tolerances, faults = [], []
    for pattern, value in table.items():
        match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
        if match:
            tolerances.append(Tolerance(pattern=pattern, share=float(match[1]) / 100))
        elif isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            tolerances.append(Tolerance(pattern=pattern, absolute=float(value)))
        else:
            faults.append(
                f'{path}: tolerances."{pattern}": must be a share such as "1%", or a number in '
                f"the figure's unit, not {value!r}"
            )
    if faults:
        raise ConfigError("\n".join(faults))
    return tuple(tolerances)


def compare(
    figures: Iterable[Figure], baseline: Iterable[Figure], tolerances: Sequence[Tolerance] = ()
) -> tuple[Row, ...]:
    """Compares by name: the baseline's figures in their order, then what is new.

    Args:
        figures: Of the run.
        baseline: What they are held against.
        tolerances: The last that fits a name counts; a figure without one must be equal.
    """
    now = {each.name: each for each in figures}
    before = {each.name: each for each in baseline}
    allowed = _Allowed(tolerances)
    rows = []
    for name, old in before.items():
        new = now.get(name)
        rows.append(
            Row(
                name=name,
                unit=old.unit,
                value=None if new is None else new.value,
                baseline=old.value,
                verdict="missing" if new is None else _verdict(new, old, allowed.of(name)),
            )
        )
    rows += [
        Row(name=name, unit=new.unit, value=new.value, baseline=None, verdict="new")
        for name, new in now.items()
        if name not in before
    ]
    return tuple(rows)


def _verdict(new: Figure, old: Figure, tolerance: Tolerance) -> Verdict:
    if new.value == old.value:
        return "same"
    if tolerance.allows(new.value, old.value):
        return "within"
    return "better" if old.less_is_better and new.value < old.value else "worse"


class _Allowed:
    """The tolerance of a name; patterns are compiled once, for thousands of names."""

    def __init__(self, tolerances: Sequence[Tolerance]) -> None:
        self._patterns = [
            (re.compile(fnmatch.translate(each.pattern)), each) for each in reversed(tolerances)
        ]

    def of(self, name: str) -> Tolerance:
        for pattern, tolerance in self._patterns:
            if pattern.match(name):
                return tolerance
        return Tolerance(pattern="*")
