# SPDX-License-Identifier: MIT
"""Results as a table for people and as JUnit XML for CI. Text only; figures are in `figures`."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.bench.limits import Verdict
from orchestrator.bench.model import REFERENCE, BenchResult, by_bench, overhead

_NONE = "-"


def text_table(results: Sequence[BenchResult], about: Mapping[str, str]) -> str:
    """A block for each benchmark, and where there are several an overview of all overheads.

    Args:
        results: What was measured.
        about: What each benchmark measures, by its name.
    """
    table = by_bench(results)
    blocks = [_block(name, variants, about.get(name, "")) for name, variants in table.items()]
    if len(table) > 1:
        blocks.append(overview(results))
    return "\n\n".join(blocks) + "\n"


def _block(name: str, variants: Mapping[str, BenchResult], about: str) -> str:
    first = next(iter(variants.values()))
    head = f"{name}: {about}" if about else name
    rows = [
        [
            f"variant ({first.unit})",
            *("instructions", "guest", "hypervisor", "probes", "overhead", "guest ns", "events"),
        ]
    ]
    reference = variants.get(REFERENCE)
    rows += [_row(result, reference) for result in variants.values()]
    figures = [
        f"  {result.variant}: "
        + ", ".join(f"{key} {value:g}" for key, value in result.figures.items())
        for result in variants.values()
        if result.figures
    ]
    return "\n".join([head, *_aligned(rows), *figures])


def _row(result: BenchResult, reference: BenchResult | None) -> list[str]:
    counted = result.instructions
    return [
        result.variant,
        _number(result.instructions_per_operation),
        _each(result, counted.guest if counted else None),
        _each(result, counted.hypervisor if counted else None),
        _each(result, sum(probe.instructions for probe in result.probes) or None),
        _overhead(result, reference),
        _number(result.ns_per_operation),
        str(result.events + sum(probe.hits for probe in result.probes) or _NONE),
    ]


def overview(results: Iterable[BenchResult]) -> str:
    """All overheads: a row for each benchmark, a column for each variant."""
    table = by_bench(results)
    names = list(dict.fromkeys(name for variants in table.values() for name in variants))
    rows = [["overhead", *(name for name in names if name != REFERENCE)]]
    for bench, variants in table.items():
        reference = variants.get(REFERENCE)
        rows.append(
            [
                bench,
                *(
                    _overhead(variants[name], reference) if name in variants else _NONE
                    for name in names
                    if name != REFERENCE
                ),
            ]
        )
    return "\n".join(_aligned(rows))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.1f}"


def _each(result: BenchResult, total: int | None) -> str:
    return _number(None if total is None else total / result.operations)


def _overhead(result: BenchResult, reference: BenchResult | None) -> str:
    if reference is None or result is reference:
        return _NONE
    return percent(overhead(result, reference))


def percent(share: float) -> str:
    """An overhead for people: "+3.00 %", beyond +900 % "16.2x"."""
    many = 9
    return f"{1 + share:.1f}x" if share > many else f"{share:+.2%}".replace("%", " %")


def junit(
    results: Iterable[BenchResult],
    verdicts: Iterable[Verdict] = (),
    failures: Mapping[tuple[str, str], str] | None = None,
) -> bytes:
    """A JUnit file: a suite for each benchmark, a case for each variant.

    Args:
        results: What was measured; a case's time is its guest time.
        verdicts: Overheads with limits; one that does not hold is the failure of its case.
        failures: What went wrong where there is no result, by benchmark and variant.
    """
    broken = {
        (each.result.bench, each.result.variant): (
            f"overhead {percent(each.overhead)}, allowed {percent(each.most)}"
        )
        for each in verdicts
        if not each.holds
    }
    errors = dict(failures or {})
    root = ET.Element("testsuites", name="orchestrate bench")
    table = by_bench(results)
    for bench in dict.fromkeys([*table, *(bench for bench, _ in errors)]):
        variants = table.get(bench, {})
        missing = [variant for name, variant in errors if name == bench]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=bench,
            tests=str(len(variants) + len(missing)),
            failures=str(sum(name == bench for name, _ in broken)),
            errors=str(len(missing)),
        )
        for result in variants.values():
            case = _case(suite, bench, result.variant, result.elapsed_ns / 1e9)
            properties = ET.SubElement(case, "properties")
            for name, value in _properties(result).items():
                ET.SubElement(properties, "property", name=name, value=value)
            if message := broken.get((bench, result.variant)):
                ET.SubElement(case, "failure", message=message)
        for variant in missing:
            ET.SubElement(_case(suite, bench, variant, 0), "error", message=errors[bench, variant])
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _case(suite: ET.Element, bench: str, variant: str, seconds: float) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname=f"bench.{bench}", name=variant, time=f"{seconds:.9f}"
    )


def _properties(result: BenchResult) -> dict[str, str]:
    values: dict[str, str] = {
        "operations": str(result.operations),
        "unit": result.unit,
        "ns_per_operation": f"{result.ns_per_operation:.3f}",
    }
    if result.instructions_per_operation is not None:
        values["instructions_per_operation"] = f"{result.instructions_per_operation:.3f}"
    return values | {name: f"{value:g}" for name, value in result.figures.items()}
