# SPDX-License-Identifier: MIT
"""What is known of a run so far, and the document that becomes its run.json.

`orchestrator.session` and `orchestrator.prepare` fill it in; `orchestrator.rundir` writes files.
"""

import dataclasses
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orchestrator
from orchestrator.config import Config
from orchestrator.errors import OrchestrateError
from orchestrator.machine.board import Layout
from orchestrator.options import BootOptions
from orchestrator.rundir import RunDir, storage_errors

_RUN_FORMAT: Final = 1


@dataclass(kw_only=True)
class Run:
    """What is known of a run so far; `run.json` is made of it."""

    config: Config
    options: BootOptions
    run_dir: RunDir
    began_s: float = field(default_factory=time.monotonic)
    started: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S%z"))
    phases_s: dict[str, float] = field(default_factory=dict)
    symbols: dict[str, Path] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Path] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    layout: Layout | None = None
    command: tuple[str, ...] = ()
    qemu_version: str = ""
    saved_start: Path | None = None
    vms: dict[str, str] = field(default_factory=dict)


def hash_inputs(
    inputs: Mapping[str, Path], known: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """By input, the SHA-256 of its file; a directory has none. What is known is not read again."""
    hashes = dict(known)
    for name, path in inputs.items():
        if path.is_dir() or name in known:
            continue
        with storage_errors(path), path.open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def run_document(
    run: Run,
    *,
    status: str,
    exit_code: int,
    ended_by: str | None = None,
    error: OrchestrateError | None = None,
) -> dict[str, Any]:
    """The content of run.json. What may differ between two runs of one config is in `host`."""
    inputs = {
        name: {"sha256": digest} | ({"version": run.versions[name]} if name in run.versions else {})
        for name, digest in sorted(run.hashes.items())
    }
    host: dict[str, Any] = {
        "started": run.started,
        "run_dir": str(run.run_dir.path),
        "command": list(run.command),
        "inputs": {name: str(path) for name, path in sorted(run.inputs.items())},
        "phases_s": {name: round(seconds, 3) for name, seconds in run.phases_s.items()},
        "total_s": round(time.monotonic() - run.began_s, 3),
    }
    if run.saved_start is not None:
        host["saved_start"] = str(run.saved_start)
    if error is not None:
        host["error"] = {"message": error.message, "details": list(error.details)}
    return {
        "format": _RUN_FORMAT,
        "orchestrate": orchestrator.__version__,
        "status": status,
        "ended_by": ended_by,
        "exit_code": exit_code,
        "error": type(error).__name__ if error else None,
        "guest_ns": run.options.for_ns if ended_by == "guest-time" else None,
        "vms": run.vms,
        "qemu": run.qemu_version,
        "config": _plain(dataclasses.asdict(run.config)),
        "guest_command": list(run.options.command or ()),
        "memory": _memory(run.layout) if run.layout else [],
        "inputs": inputs,
        "host": host,
    }


def _memory(layout: Layout) -> list[dict[str, str | int]]:
    """Who owns which physical memory, in ascending order."""
    areas: list[tuple[int, int, str]] = [
        *((vm.ram_pa, vm.config.ram_bytes, f"RAM of {vm.name}") for vm in layout.vms),
        *((blob.pa, blob.bytes, blob.name) for blob in layout.blobs),
    ]
    return [{"pa": f"{pa:#x}", "bytes": size, "what": what} for pa, size, what in sorted(areas)]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path | datetime) else value
