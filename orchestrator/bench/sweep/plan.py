# SPDX-License-Identifier: MIT
"""sweep.toml -> every job of the sweep; every fault at once, before anything runs.

docs/sweeps.md describes the file. A parameter is a key of the system's config file by its dotted
path, with the values that it takes; each combination of values is a point, and at each point every
benchmark runs in every variant that it can have.
"""

import copy
import itertools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator import config as configs
from orchestrator.bench.registry import benchmarks
from orchestrator.bench.run import applies
from orchestrator.bench.variants import VARIANTS
from orchestrator.config import Config
from orchestrator.config.faults import Faults, KeyPath, did_you_mean
from orchestrator.errors import ConfigError

_TABLES: Final = ("sweep", "parameters")
_KEYS: Final = ("config", "bench", "variants", "repeats")
_MAX_REPEATS: Final = 1000
_MAX_JOBS: Final = 100_000


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a sweep, before it is known what exactly its inputs are.

    Attributes:
        point: The value of each parameter, by its dotted path, as in the file.
        bench: Name of the benchmark.
        variant: How it is observed.
        repeat: Counts from 0.
        tables: The config's tables with the parameters in their place.
        config_path: The config file, absolute; relative paths in the tables start from its folder.
    """

    point: Mapping[str, Any]
    bench: str
    variant: str
    repeat: int
    tables: Mapping[str, Any]
    config_path: Path

    def config(self) -> Config:
        """The system of this job.

        Raises:
            ConfigError: A file that it names has gone since the sweep was read.
        """
        return configs.build(self.tables, path=self.config_path)

    @property
    def title(self) -> str:
        """What a reader calls it."""
        return f"{self.bench} {self.variant} {label(self.point)}".rstrip()


def label(point: Mapping[str, Any]) -> str:
    """A point for people: ``clock.shift=0 vm.linux.kernel=armmp``."""
    return " ".join(f"{key}={shown(value)}" for key, value in point.items())


def shown(value: object) -> str:
    """A parameter's value for people."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def load(path: Path) -> tuple[Job, ...]:
    """Reads and checks a sweep file.

    Returns:
        All jobs, those of one point together, in the order of the file.

    Raises:
        ConfigError: The file or the config that it names is wrong; every fault is in it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    return _Reader(path, text, raw).jobs()


class _Reader:
    """One sweep file on its way to jobs.

    Args:
        path: The file.
        text: Its text.
        raw: Its tables.
    """

    def __init__(self, path: Path, text: str, raw: Mapping[str, Any]) -> None:
        self._raw = raw
        self._base = path.absolute().parent
        self._faults = Faults(file=str(path), text=text)
        self._keys: dict[KeyPath, KeyPath] = {}  # of each parameter, as the file has it

    def jobs(self) -> tuple[Job, ...]:
        for name in self._raw:
            if name not in _TABLES:
                self._faults.add(
                    (name,), "is not a table of this file" + did_you_mean(name, _TABLES)
                )
        sweep = self._table("sweep")
        for name in sweep:
            if name not in _KEYS:
                hint = did_you_mean(name, _KEYS)
                self._faults.add(("sweep", name), "is not a key of this table" + hint)
        config_path = self._config_path(sweep.get("config"))
        repeats = self._repeats(sweep.get("repeats", 1))
        variants = self._words(sweep, "variants", VARIANTS, default=["none"])
        parameters = dict(self._parameters(self._table("parameters"), ("parameters",), ()))
        if config_path is None:
            self._faults.raise_if_any()
            raise AssertionError("a missing config is a fault")
        base = configs.read_raw(config_path)
        known = benchmarks(configs.build(base, path=config_path))
        benches = self._words(sweep, "bench", known, default=None)
        self._check_values(base, parameters, config_path)
        self._faults.raise_if_any()
        points = list(self._points(base, parameters, config_path))
        self._faults.raise_if_any()
        jobs = tuple(self._at(points, benches, variants, repeats, config_path))
        if len(jobs) > _MAX_JOBS:
            self._faults.add(("parameters",), f"make {len(jobs)} runs; at most {_MAX_JOBS}")
        self._faults.raise_if_any()
        return jobs

    def _table(self, name: str) -> Mapping[str, Any]:
        table = self._raw.get(name, {})
        if isinstance(table, Mapping):
            return table
        self._faults.add((name,), "must be a table")
        return {}

    def _config_path(self, value: object) -> Path | None:
        key = ("sweep", "config")
        if value is None:
            self._faults.add(key, 'is missing; give the system, such as config = "dual.toml"')
            return None
        if not isinstance(value, str):
            self._faults.add(key, "must be the path of a config file")
            return None
        path = self._base / Path(value).expanduser()
        if not path.is_file():
            self._faults.add(key, f"there is no file {path}")
            return None
        return path

    def _repeats(self, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_REPEATS:
            return value
        what = f"must be a whole number from 1 to {_MAX_REPEATS}, not {shown(value)}"
        self._faults.add(("sweep", "repeats"), what)
        return 1

    def _words(
        self,
        sweep: Mapping[str, Any],
        name: str,
        known: Mapping[str, object],
        *,
        default: list[str] | None,
    ) -> list[str]:
        key = ("sweep", name)
        words = sweep.get(name, default)
        if words is None:
            self._faults.add(key, "is missing; valid: " + ", ".join(known))
            return []
        if not isinstance(words, list) or not words:
            self._faults.add(key, 'must be a list of names such as ["context1"]')
            return []
        for index, word in enumerate(words):
            if not isinstance(word, str) or word not in known:
                hint = did_you_mean(str(word), known)
                self._faults.add(("sweep", f"{name}[{index}]"), f'there is no "{word}"{hint}')
            elif word in words[:index]:
                self._faults.add(("sweep", f"{name}[{index}]"), f'"{word}" is there twice')
        return [word for word in words if isinstance(word, str)]

    def _parameters(
        self, table: Mapping[str, Any], key: KeyPath, path: KeyPath
    ) -> Iterator[tuple[KeyPath, list[Any]]]:
        """Dotted keys come in quotes, as one key, or without, as tables in tables."""
        for name, value in table.items():
            place = (*path, *name.split("."))
            if isinstance(value, Mapping):
                yield from self._parameters(value, (*key, name), place)
            elif not isinstance(value, list) or not value:
                self._faults.add((*key, name), "must be a list of the values that the key takes")
            elif any(one in value[:index] for index, one in enumerate(value)):
                self._faults.add((*key, name), f"has a value twice: {shown(value)}")
            elif place in self._keys:
                self._faults.add((*key, name), "is there twice, with quotes and without")
            else:
                self._keys[place] = (*key, name)
                yield place, value

    def _check_values(
        self, base: Mapping[str, Any], parameters: Mapping[KeyPath, list[Any]], config_path: Path
    ) -> None:
        """Each value by itself, so that what is wrong with one is told at its parameter."""
        for path, values in parameters.items():
            if path[0] == "vm" and len(path) > 1 and path[1] not in base.get("vm", {}):
                hint = did_you_mean(path[1], base.get("vm", {}))
                self._fault(path, f'{config_path.name} has no VM "{path[1]}"{hint}')
                continue
            for value in values:
                for what in _faults_of(_with(base, {path: value}), config_path):
                    self._fault(path, f"{shown(value)}: {what}")

    def _fault(self, path: KeyPath, what: str) -> None:
        self._faults.add(self._keys[path], what)

    def _points(
        self, base: Mapping[str, Any], parameters: Mapping[KeyPath, list[Any]], config_path: Path
    ) -> Iterator[tuple[dict[str, Any], Mapping[str, Any], Config]]:
        for values in itertools.product(*parameters.values()):
            chosen = dict(zip(parameters, values, strict=True))
            point = {".".join(path): value for path, value in chosen.items()}
            tables = _with(base, chosen)
            try:
                yield point, tables, configs.build(tables, path=config_path)
            except ConfigError as error:
                for fault in error.faults:
                    what = _without_place(fault, config_path)
                    self._faults.add(("parameters",), f"{label(point)}: {what}")

    def _at(
        self,
        points: Sequence[tuple[dict[str, Any], Mapping[str, Any], Config]],
        benches: Sequence[str],
        variants: Sequence[str],
        repeats: int,
        config_path: Path,
    ) -> Iterator[Job]:
        for point, tables, config in points:
            known = benchmarks(config)
            for name in benches:
                fitting = [
                    each for each in variants if applies(config, known[name], VARIANTS[each])
                ]
                if not fitting:
                    what = f'"{name}" can run in none of the variants at {label(point)}'
                    self._faults.add(("sweep", "bench"), what.removesuffix(" at "))
                for variant, repeat in itertools.product(fitting, range(repeats)):
                    yield Job(
                        point=point,
                        bench=name,
                        variant=variant,
                        repeat=repeat,
                        tables=tables,
                        config_path=config_path,
                    )


def _with(base: Mapping[str, Any], values: Mapping[KeyPath, Any]) -> dict[str, Any]:
    tables = copy.deepcopy(dict(base))
    for path, value in values.items():
        table = tables
        for name in path[:-1]:
            inner = table.setdefault(name, {})
            if not isinstance(inner, dict):  # an array of tables, or a value: told as unknown key
                inner = table[name] = {}
            table = inner
        table[path[-1]] = value
    return tables


def _faults_of(tables: Mapping[str, Any], config_path: Path) -> list[str]:
    try:
        configs.build(tables, path=config_path)
    except ConfigError as error:
        return [_without_place(fault, config_path) for fault in error.faults]
    return []


def _without_place(fault: str, config_path: Path) -> str:
    """A config's fault names a line of the config, but the value is in the sweep's file."""
    return re.sub(r"^(:\d+)?: ", "", fault.removeprefix(str(config_path)))
