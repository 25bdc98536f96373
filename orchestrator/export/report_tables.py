# SPDX-License-Identifier: MIT
"""The tables and texts of `report.html`, which can be read without any script."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from orchestrator.export import analysis
from orchestrator.export.report_data import Distribution, Report
from orchestrator.trace.timeline import LEFT_OUT_ADVICE, Timeline

_NS_STEPS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))


def parts(timeline: Timeline, report: Report) -> dict[str, str]:
    """HTML for each mark of page.html that is no script."""
    begin, end = analysis.span_ns(timeline)
    return {
        "title": escape(timeline.host.get("config", "run")),
        "summary": " · ".join(
            (
                f"{len(timeline):,} events",
                f"{duration(end - begin)} of guest time",
                f"{timeline.cores} cores",
                escape(", ".join(source.name for source in timeline.sources)),
            )
        ),
        "notice": _notice(timeline),
        "tasks": _tasks(timeline, report),
        "wakeups": _times(report.wakeups, "guest"),
        "preemptions": _times(report.preemptions, "guest"),
        "exits": _times(report.exits, "reason"),
        "probes": _probes(report),
        "sources": _sources(timeline),
        "facts": _facts(timeline),
    }


def duration(ns: float) -> str:
    """A time with three digits and its unit, such as "1.25 ms"."""
    for step, unit in _NS_STEPS:
        if ns >= step:
            value = ns / step
            return f"{value:.{max(0, 3 - len(str(int(value))))}f} {unit}"
    return f"{ns:.0f} ns"


def _notice(timeline: Timeline) -> str:
    gaps = timeline.gaps()
    told = [
        *(f"{each.source}, core {each.cpu}: {each.events:,} events lost" for each in gaps["lost"]),
        *(
            f"{each.source}, core {each.cpu}: {each.events:,} events left out: {LEFT_OUT_ADVICE}"
            for each in gaps["left_out"]
        ),
        *(f"contradiction: {each}" for each in timeline.contradictions),
    ]
    if not told:
        return '<p class="notice good">Nothing is missing, and no order of events contradicts itself.</p>'
    items = "".join(f"<li>{escape(each)}</li>" for each in told)
    return f'<div class="notice bad"><strong>This timeline is not whole.</strong><ul>{items}</ul></div>'


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: frozenset[int], nothing: str
) -> str:
    """A table whose cells are HTML already; the sentence `nothing` if there is no row."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=number' if at in numbers else ''}>{cell}</{tag}>"
            for at, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line('td', cells)}</tr>" for cells in rows)
    if not body:
        return f'<p class="nothing">{nothing}</p>'
    return (
        f'<div class="scroll"><table><thead><tr>{line("th", head)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _tasks(timeline: Timeline, report: Report) -> str:
    begin, end = analysis.span_ns(timeline)
    span = max(1, end - begin)
    return _table(
        ("task", "pid", "guest", "time", "of one core", "runs", "mean run"),
        (
            (
                f'<span class="swatch" style="background:{task.color}"></span>{escape(task.name)}',
                task.number,
                escape(timeline.sources[task.source].name),
                duration(task.busy_ns),
                f"{100 * task.busy_ns / span:.2f} %",
                f"{task.runs:,}",
                duration(task.busy_ns / task.runs),
            )
            for task in report.tasks
        ),
        numbers=frozenset({1, 3, 4, 5, 6}),
        nothing="No task switch was traced.",
    )


def _times(distributions: Sequence[Distribution], what: str) -> str:
    return _table(
        (what, "count", "least", "median", "99 %", "99.9 %", "most"),
        (
            (
                escape(each.name),
                f"{len(each.values):,}",
                *(duration(value) for value in each.quantiles([0, 0.5, 0.99, 0.999, 1]).tolist()),
            )
            for each in distributions
        ),
        numbers=frozenset(range(1, 7)),
        nothing="No such events were traced.",
    )


def _probes(report: Report) -> str:
    return _table(
        ("probe", "hits", "least", "median", "most", "all together"),
        (
            (
                escape(each.name),
                f"{len(each.values):,}",
                *(
                    f"{value:,.0f}"
                    for value in (
                        each.values.min(),
                        np.median(each.values),
                        each.values.max(),
                        each.values.sum(),
                    )
                ),
            )
            for each in report.probes
        ),
        numbers=frozenset(range(1, 6)),
        nothing="None: no probe was hit, or all were shadow probes, which take no instruction.",
    )


def _sources(timeline: Timeline) -> str:
    counts = np.bincount(timeline.source, minlength=len(timeline.sources)).tolist()
    return _table(
        (
            "source",
            "kind",
            "cores",
            "events",
            "lost",
            "left out",
            "clock",
            "added to it",
            "error at most",
            "from",
        ),
        (
            (
                escape(source.name),
                source.kind,
                ", ".join(map(str, source.cores)),
                f"{count:,}",
                f"{sum(source.lost.values()):,}",
                f"{sum(source.left_out.values()):,}",
                escape(source.clock.clock),
                f"{source.clock.offset_ns:+,} ns" if source.clock.samples else "—",
                f"{source.clock.residual_ns:,} ns" if source.clock.samples else "exact",
                f"{source.clock.samples:,} samples"
                if source.clock.samples
                else "the counter itself",
            )
            for source, count in zip(timeline.sources, counts, strict=True)
        ),
        numbers=frozenset({3, 4, 5, 7, 8, 9}),
        nothing="This timeline has no sources.",
    )


def _facts(timeline: Timeline) -> str:
    begin, end = analysis.span_ns(timeline)
    facts = {
        **timeline.host,
        "Linux kernel": timeline.uname or "—",
        "first event": f"{begin:,} ns after power-on",
        "last event": f"{end:,} ns after power-on",
    }
    return _table(
        ("fact", "value"),
        ((escape(name), escape(value)) for name, value in sorted(facts.items())),
        numbers=frozenset(),
        nothing="",
    )
