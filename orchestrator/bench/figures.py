# SPDX-License-Identifier: MIT
"""Two figures of a set of results, in the manner of the paper's Fig. 12 and 13, as SVG.

`performance` shows how fast the observed system is, 100 % being the one that is not observed;
`overhead` how much more an operation costs, on a scale that has room for one per mille and for a
factor of fifty. Equal results give equal bytes: no date, no random identifiers.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.bench.model import REFERENCE, BenchResult, by_bench, overhead

PERFORMANCE_NAME: Final = "performance.svg"
OVERHEAD_NAME: Final = "overhead.svg"

STYLE: Final = {
    "svg.hashsalt": "orchestrate",
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS: Final = ("#000000", "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7")
_GROUP_WIDTH: Final = 0.8
_LEAST_PERCENT: Final = 0.1
"""Below this the overhead's scale is linear, so that 0 has a place on it."""


def performance(results: Sequence[BenchResult]) -> bytes:
    """Operations in a given time against the reference, in percent."""
    return _bars(
        results,
        title="performance, not observed = 100 %",
        value=lambda share: 100 / (1 + share),
        finish=lambda axes: axes.axhline(100, color="grey", linewidth=0.6),
    )


def overhead_figure(results: Sequence[BenchResult]) -> bytes:
    """Cost of an operation above the reference's, in percent."""

    def finish(axes: Axes) -> None:
        axes.set_yscale("symlog", linthresh=_LEAST_PERCENT)
        axes.axhline(0, color="grey", linewidth=0.6)
        axes.axhline(1, color="grey", linewidth=0.6, linestyle=":")

    return _bars(
        results,
        title="overhead in %, not observed = 0; dotted: 1 %",
        value=lambda s: 100 * s,
        finish=finish,
    )


def _bars(
    results: Sequence[BenchResult],
    *,
    title: str,
    value: Callable[[float], float],
    finish: Callable[[Axes], object],
) -> bytes:
    table = {
        bench: variants
        for bench, variants in by_bench(results).items()
        if REFERENCE in variants and len(variants) > 1
    }
    names = list(dict.fromkeys(name for variants in table.values() for name in variants))
    names = [name for name in names if name != REFERENCE]
    with mpl.rc_context(STYLE):  # type: ignore[arg-type] # its stub wants literal keys
        figure = Figure(figsize=(max(5.0, 1.0 * len(table) + 2), 3.6), layout="constrained")
        axes = figure.add_subplot()
        for index, name in enumerate(names):
            _series(axes, table, name, place=(index, len(names)), value=value)
        axes.set_xticks(range(len(table)), list(table), rotation=30, ha="right")
        axes.margins(x=0.01)
        axes.set_title(title, loc="left")
        finish(axes)
        if names:
            axes.legend(frameon=False, ncols=len(names), loc="upper left", bbox_to_anchor=(0, -0.3))
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": "orchestrate"})
    return out.getvalue()


def _series(
    axes: Axes,
    table: Mapping[str, Mapping[str, BenchResult]],
    name: str,
    *,
    place: tuple[int, int],
    value: Callable[[float], float],
) -> None:
    index, count = place
    width = _GROUP_WIDTH / count
    shares = {
        i: overhead(variants[name], variants[REFERENCE])
        for i, variants in enumerate(table.values())
        if name in variants
    }
    axes.bar(
        [i + (index - (count - 1) / 2) * width for i in shares],
        [value(share) for share in shares.values()],
        width,
        label=name,
        color=COLOURS[(index + 1) % len(COLOURS)],
    )
