# SPDX-License-Identifier: MIT
"""A sweep as one HTML page that needs nothing else: what is done, a figure a benchmark, a table.

Figures are SVG drawn with matplotlib, as those of `orchestrate bench`. Equal books give equal pages.
"""

import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.bench.figures import COLOURS, STYLE
from orchestrator.bench.model import REFERENCE
from orchestrator.bench.report import percent
from orchestrator.bench.sweep.book import Row
from orchestrator.bench.sweep.plan import label
from orchestrator.bench.sweep.table import records

_GROUP_WIDTH: Final = 0.8
_MOST_POINTS: Final = 60
"""Beyond this the bars of a figure are too thin to be told apart: the table has them all."""
_LAST_NAME: Final = re.compile(r"[\w.-]*\.(\w+)=")
"""In a point's label: a parameter by its dotted path."""
_CSS: Final = """
body { font: 14px/1.4 sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; }
table { border-collapse: collapse; }
th, td { padding: .15em .8em; text-align: right; border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #888; }
td:first-child, th:first-child { text-align: left; }
pre { background: #f4f4f4; padding: .6em; overflow: auto; }
svg { max-width: 100%; height: auto; }
"""

Cost = dict[tuple[str, str], float]
"""Of one benchmark: what an operation costs, by the point's label and the variant."""


def page(rows: Sequence[Row], *, title: str) -> bytes:
    """The whole page.

    Args:
        rows: The sweep's jobs, finished or not.
        title: Its heading.
    """
    counts = {state: sum(row.state == state for row in rows) for state in _STATES}
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        "<p>" + ", ".join(f"{count} {state}" for state, count in counts.items()) + "</p>",
        *_different(rows),
    ]
    for bench in dict.fromkeys(row.bench for row in rows if row.result is not None):
        cost, unit = _costs([row for row in rows if row.bench == bench])
        parts += [f"<h2>{html.escape(bench)}</h2>", _figure(cost, unit), _overheads(cost, unit)]
    parts += _failures(rows)
    parts += ["<h2>All runs</h2>", _table(records(rows))]
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_CSS}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    ).encode()


_STATES: Final = ("done", "failed", "waiting")


def different_repeats(rows: Iterable[Row]) -> list[str]:
    """Titles of the jobs whose repeats do not have one result: in this clock they must."""
    results: dict[str, list[Any]] = {}
    for row in rows:
        if row.result is not None:
            name = f"{row.bench} {row.variant} {label(row.point)}".rstrip()
            results.setdefault(name, []).append(row.result)
    return [name for name, found in results.items() if any(one != found[0] for one in found)]


def _different(rows: Sequence[Row]) -> list[str]:
    names = different_repeats(rows)
    if not names:
        return []
    listed = "".join(f"<li>{html.escape(name)}</li>" for name in names)
    return [f"<p><b>Repeats that differ:</b></p><ul>{listed}</ul>"]


def _costs(rows: Sequence[Row]) -> tuple[Cost, str]:
    """Instructions of an operation if all runs counted them, else its guest time."""
    found = [row for row in rows if row.result is not None]
    table = records(found)
    counted = all(each.get("instructions_per_operation") is not None for each in table)
    column, unit = (
        ("instructions_per_operation", "instructions")
        if counted
        else ("ns_per_operation", "ns of guest time")
    )
    cost = {
        (label(row.point), row.variant): each[column]
        for row, each in zip(found, table, strict=True)
    }
    return cost, f"{unit} per {table[0]['unit']}"


def _figure(cost: Cost, unit: str) -> str:
    points = list(dict.fromkeys(point for point, _ in cost))
    variants = list(dict.fromkeys(variant for _, variant in cost))
    if len(points) > _MOST_POINTS:
        return ""
    width = _GROUP_WIDTH / len(variants)
    with mpl.rc_context(STYLE):  # type: ignore[arg-type] # its stub wants literal keys
        # Narrow enough to stand side by side; the table has the whole names.
        names = [_LAST_NAME.sub(r"\1=\n", point).replace(" ", "\n") for point in points]
        figure, axes = _canvas(names, variants)
        for index, variant in enumerate(variants):
            places = [i for i, point in enumerate(points) if (point, variant) in cost]
            axes.bar(
                [i + (index - (len(variants) - 1) / 2) * width for i in places],
                [cost[points[i], variant] for i in places],
                width,
                label=variant,
                color=COLOURS[index % len(COLOURS)],
            )
        axes.set_xticks(range(len(points)), names, fontsize=7)
        axes.set_ylabel(unit)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": "orchestrate"})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _canvas(names: Sequence[str], variants: Sequence[str]) -> tuple[Figure, Axes]:
    """A figure with room for its labels. matplotlib's layouts draw all of it once more to find out."""
    left, top = 0.9, 0.15  # inches, as all here
    right = 0.6 + 0.09 * max(map(len, variants))
    bottom = 0.2 + 0.14 * max(name.count("\n") + 1 for name in names)
    width, height = min(14.0, 0.9 * len(names) + 4), 3.2 + bottom
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    return figure, figure.add_subplot()


def _overheads(cost: Cost, unit: str) -> str:
    points = list(dict.fromkeys(point for point, _ in cost))
    variants = list(dict.fromkeys(variant for _, variant in cost))
    head = ["point", *(f"{variant}" for variant in variants)]
    lines = []
    for point in points:
        cells = [point or "(as the config has it)"]
        reference = cost.get((point, REFERENCE))
        for variant in variants:
            value = cost.get((point, variant))
            text = "" if value is None else f"{value:,.1f}"
            if value is not None and reference and variant != REFERENCE:
                text += f" ({percent(value / reference - 1)})"
            cells.append(text)
        lines.append(cells)
    return f"<p>{html.escape(unit)}</p>\n" + _html_table(head, lines)


def _failures(rows: Sequence[Row]) -> list[str]:
    failed = [row for row in rows if row.state == "failed"]
    if not failed:
        return []
    return ["<h2>Failed</h2>"] + [
        f"<p>{html.escape(f'{row.bench} {row.variant} {label(row.point)}')}</p>"
        f"<pre>{html.escape(row.error)}</pre>"
        for row in failed
    ]


def _table(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "<p>None is done.</p>"
    return _html_table(list(found[0]), [[_cell(value) for value in row.values()] for row in found])


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _html_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "\n".join(
        ["<table>", row(head, "th"), *(row(cells, "td") for cells in lines), "</table>"]
    )
