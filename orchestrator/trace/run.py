# SPDX-License-Identifier: MIT
"""A run's directory as a timeline: finds what the run has left, and has it merged.

What the parts hold is `linux`'s and `streams`' to read; how they come onto one clock is `merge`'s.
"""

import json
from pathlib import Path
from typing import Final

from orchestrator.errors import UsageError
from orchestrator.trace.linux import LinuxTrace, read_linux, read_rescued
from orchestrator.trace.memory import PAGES_FOLDER
from orchestrator.trace.merge import Vm, merge
from orchestrator.trace.streams import read_streams
from orchestrator.trace.timeline import Timeline

RUN_JSON: Final = "run.json"
RUN_FORMAT: Final = 1
"""Of `run.json`, as `orchestrator.run_record` writes it."""
LINUX_FOLDER: Final = "results/trace"
STREAMS_FOLDER: Final = "trace"
REFERENCE_FOLDER: Final = "reference"
"""A run of the same config that ended well, made where this one's Linux died."""


def merge_run(run: Path) -> Timeline:
    """Makes the timeline of a run from its directory.

    Raises:
        UsageError: It is no directory of a run, or nothing was traced in it.
        OrchestrateError: What it holds is damaged, or contradicts itself where it must not.
    """
    try:
        document = json.loads((run / RUN_JSON).read_text())
        form, config = document["format"], document["config"]
    except OSError as error:
        raise UsageError(
            f"{run}: is not the directory of a run that has ended: {RUN_JSON}: {error.strerror}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{run / RUN_JSON}: is damaged: {error}") from error
    if form != RUN_FORMAT:
        raise UsageError(
            f"{run / RUN_JSON}: is of format {form}, of another version; this orchestrate reads "
            f"format {RUN_FORMAT}: make the run again"
        )
    vms = [
        Vm(name=each["name"], is_linux="kernel" in each, cores=tuple(each["pin"]))
        for each in config["vms"]
    ]
    linux = linux_of_run(run)
    observed = read_streams(run / STREAMS_FOLDER)
    if linux is None and not len(observed.hits) and not len(observed.hypervisor):
        raise UsageError(f"{run}: nothing was traced in this run; see orchestrate trace")
    host = {
        "config": Path(config["path"]).name,
        "clock": config["clock"]["mode"],
        "clock shift": str(config["clock"]["shift"]),
        "orchestrate": document["orchestrate"],
        "qemu": document["qemu"],
    }
    return merge(
        vms=vms, cores=config["machine"]["cores"], linux=linux, observed=observed, host=host
    )


def linux_of_run(run: Path) -> LinuxTrace | None:
    """What the first Linux VM of a run has left; None: nothing.

    Raises:
        GuestError: Something is missing, damaged, or in a form that is not known.
    """
    reference = run / REFERENCE_FOLDER / LINUX_FOLDER
    taken = run / STREAMS_FOLDER / PAGES_FOLDER
    if (run / LINUX_FOLDER).is_dir():
        # Where the pages could not be taken the agent has handed over all of them.
        handed_over = any((run / LINUX_FOLDER).glob("cpu*.raw"))
        return read_linux(run / LINUX_FOLDER, None if handed_over or not taken.is_dir() else taken)
    if taken.is_dir() and reference.is_dir():
        return read_rescued(taken, reference)
    return None
