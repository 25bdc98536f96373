# SPDX-License-Identifier: MIT
"""The records' Python mirror against the C header that hypervisor and plugin are compiled with."""

from pathlib import Path

import numpy as np
import pytest
from cheader import measured

from orchestrator import records
from orchestrator.probe.program import Code

ABI = Path(__file__).parents[2] / "images" / "abi"
STRUCTS: dict[str, np.dtype[np.void]] = {
    "trace_record": records.RECORD,
    "trace_ring": records.RING,
    "trace_control": records.CONTROL,
    "trace_probe": records.PROBE,
    "trace_op": records.OP,
}
CONSTANTS = {
    "TRACE_MAGIC": records.MAGIC,
    "TRACE_VERSION": records.VERSION,
    "HV_TRACE_PA": records.HV_TRACE_PA,
    "HV_TRACE_BYTES": records.HV_TRACE_BYTES,
    "HV_TRACE_PROBES": records.HV_TRACE_PROBES,
    "HV_TRACE_OPS": records.HV_TRACE_OPS,
    "HV_TRACE_RINGS": records.HV_TRACE_RINGS,
    "HV_TRACE_RING_STRIDE": records.HV_TRACE_RING_STRIDE,
    "HV_TRACE_RING_RECORDS": records.HV_TRACE_RING_RECORDS,
    "TRACE_MAX_PROBES": records.MAX_PROBES,
    "TRACE_MAX_OPS": records.MAX_OPS,
    "TRACE_MAX_CPUS": records.MAX_CPUS,
    "TRACE_WORDS": records.WORDS,
    "TRACE_MAX_EXTENT": records.MAX_EXTENT,
    "TRACE_MAX_STRING": records.MAX_STRING,
    "TRACE_NAME_BYTES": records.NAME_BYTES,
    "TRACE_NO_VM": records.NO_VM,
    "TRACE_RING_HEADER_BYTES": records.RING_HEADER_BYTES,
    "TRACE_EXIT_IRQ": records.EXIT_IRQ,
    **{f"TRACE_{kind.name}": kind.value for kind in records.Kind},
    **{f"TRACE_OP_{code.name}": code.value for code in Code},
    **{f"TRACE_BY_{observer.name}": observer.value for observer in records.Observer},
}


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Every size, offset and constant of the header, as the host's compiler sees them."""
    names = [f"sizeof(struct {name})" for name in STRUCTS]
    names += [
        f"offsetof(struct {name}, {member})"
        for name, dtype in STRUCTS.items()
        for member in dtype.names or ()
    ]
    names += CONSTANTS
    return measured(ABI / "trace.h", names, tmp_path_factory.mktemp("header"))


def test_constants_are_the_headers(header: dict[str, int]) -> None:
    assert {name: header[name] for name in CONSTANTS} == CONSTANTS


@pytest.mark.parametrize("name", STRUCTS)
def test_members_lie_where_the_compiler_puts_them(header: dict[str, int], name: str) -> None:
    dtype = STRUCTS[name]
    assert dtype.itemsize == header[f"sizeof(struct {name})"]
    assert dtype.fields
    offsets = {member: place[1] for member, place in dtype.fields.items()}
    assert offsets == {
        member: header[f"offsetof(struct {name}, {member})"] for member in dtype.names or ()
    }


def test_regions_do_not_overlap() -> None:
    """Probes, programs and rings lie one behind the other in the trace region."""
    probes_end = records.HV_TRACE_PROBES + records.MAX_PROBES * records.PROBE.itemsize
    ops_end = records.HV_TRACE_OPS + records.MAX_OPS * records.OP.itemsize
    ring_bytes = records.RING_HEADER_BYTES + records.HV_TRACE_RING_RECORDS * records.RECORD.itemsize
    assert probes_end <= records.HV_TRACE_OPS
    assert ops_end <= records.HV_TRACE_RINGS
    assert ring_bytes <= records.HV_TRACE_RING_STRIDE
    rings_end = records.HV_TRACE_RINGS + records.MAX_CPUS * records.HV_TRACE_RING_STRIDE
    assert rings_end <= records.HV_TRACE_BYTES
