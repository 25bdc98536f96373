# SPDX-License-Identifier: MIT
"""A sweep as a flat table: one row a job, one column a parameter or figure; CSV and Parquet."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from orchestrator.bench.sweep.book import Row
from orchestrator.bench.sweep.plan import shown
from orchestrator.errors import MissingToolError


def records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The jobs that are done, each with the same columns in the same order.

    A parameter's column is called after its dotted path; what one job has and another has not is
    None there. Host times are not in it: equal sweeps give equal tables.
    """
    done = [row for row in rows if row.result is not None]
    columns: dict[str, None] = {}
    found = [_record(row) for row in done]
    for each in found:
        columns |= dict.fromkeys(each)
    return [{name: each.get(name) for name in columns} for each in found]


def _record(row: Row) -> dict[str, Any]:
    result = row.result or {}
    operations = result["operations"]
    counted = result["instructions"]
    out: dict[str, Any] = {
        **{key: _plain(value) for key, value in row.point.items()},
        "bench": row.bench,
        "variant": row.variant,
        "repeat": row.repeat,
        "vm": result["vm"],
        "unit": result["unit"],
        "operations": operations,
        "elapsed_ns": result["elapsed_ns"],
        "ns_per_operation": result["elapsed_ns"] / operations,
        "events": result["events"],
    }
    if counted is not None:
        on_behalf = counted["guest"] + counted["hypervisor"]
        out["instructions_per_operation"] = on_behalf / operations
        out |= {f"instructions_{name}": count for name, count in counted.items()}
    out["probe_hits"] = sum(probe["hits"] for probe in result["probes"])
    out["probe_instructions"] = sum(probe["instructions"] for probe in result["probes"])
    return out | {f"figure_{name}": value for name, value in result["figures"].items()}


def _plain(value: object) -> object:
    """Lists and tables have no place in a cell; numbers and words stay what they are."""
    return shown(value) if isinstance(value, list | dict) else value


def to_csv(rows: Sequence[Row]) -> bytes:
    """The table as CSV with a head line; UTF-8, lines end as RFC 4180 has it."""
    found = records(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(found[0]) if found else [])
    writer.writeheader()
    writer.writerows(found)
    return out.getvalue().encode()


def to_parquet(rows: Sequence[Row]) -> bytes:
    """The table as a Parquet file.

    Raises:
        MissingToolError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra that few need
        import pyarrow.parquet as pq  # noqa: PLC0415 - the same
    except ImportError as error:
        raise MissingToolError("Parquet needs pyarrow: pip install 'orchestrator[parquet]'") from (
            error
        )
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(_uniform(records(rows))), out)
    return out.getvalue()


def _uniform(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A column has one type: where a parameter has words and numbers, all are words."""
    mixed = {
        name
        for name in (found[0] if found else {})
        if len({isinstance(each[name], str) for each in found if each[name] is not None}) > 1
    }
    return [
        {name: shown(value) if name in mixed else value for name, value in each.items()}
        for each in found
    ]
