# SPDX-License-Identifier: MIT
"""`orchestrate bench`: measure benchmarks in several variants of one system."""

import argparse
import difflib
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.commands import Commands, add_command
from orchestrator.errors import CheckFailed, GuestError, MachineError, PhaseTimeout, UsageError

if TYPE_CHECKING:
    from orchestrator.bench.limits import Limit, Verdict
    from orchestrator.bench.model import BenchResult
    from orchestrator.bench.registry import Benchmark
    from orchestrator.bench.variants import Variant
    from orchestrator.config import Config


def add(commands: Commands) -> None:
    """Describes the command."""
    bench = add_command(commands, "bench", _bench, "measure benchmarks in variants of one system")
    bench.usage = "orchestrate bench --config FILE --bench NAME[,NAME...] [options]"
    bench.epilog = (
        "Each variant of each benchmark is a run of its own; a variant that a benchmark cannot "
        "have (Linux's tracers, for one of the RTOS) is left out. The directory gets the results "
        "(bench.json, for compare and baseline), bench.txt, bench.xml (JUnit), two figures (SVG) "
        "and the runs. A run that fails does not stop the others; the exit code is its own. "
        "--list shows all benchmarks and variants."
    )
    bench.add_argument("-c", "--config", type=Path, metavar="FILE", help="the system to measure")
    bench.add_argument(
        "--bench",
        type=_words,
        metavar="NAME,...",
        help="benchmarks, or groups of them: unixbench, kernels, scheduler, rtos, user, all",
    )
    bench.add_argument(
        "--variants",
        type=_words,
        default=["none", "hvc", "shadow"],
        metavar="NAME,...",
        help="ways to observe; overheads are against none (default: none,hvc,shadow)",
    )
    bench.add_argument(
        "--limit",
        type=_limit,
        action="append",
        default=[],
        metavar="[BENCH:]VARIANT=P%",
        help="exit code 1 if an overhead is greater, such as hvc=1%% or context1:hvc=3%%",
    )
    bench.add_argument(
        "-o", "--out", type=Path, metavar="DIR", help="directory to make for results and runs"
    )
    bench.add_argument("--list", action="store_true", help="only list benchmarks and variants")


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _limit(text: str) -> "Limit":
    from orchestrator.bench.limits import parse_limit

    try:
        return parse_limit(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _bench(args: argparse.Namespace) -> int:
    from orchestrator import config
    from orchestrator.bench import limits
    from orchestrator.bench.registry import benchmarks
    from orchestrator.bench.variants import VARIANTS

    loaded = config.load(args.config) if args.config else None
    known = benchmarks(loaded)
    if args.list:
        _list(known.values(), VARIANTS.values())
        return 0
    if loaded is None or not args.bench:
        raise UsageError("--config and --bench are needed; --list shows what there is")
    benches = _chosen_benches(args.bench, known)
    variants = [VARIANTS[_known(name, VARIANTS, "variant")] for name in args.variants]
    _check_limits(args.limit, benches, variants)
    pairs = _pairs(loaded, benches, variants)
    out = _directory(args.out, loaded.path)
    results, failures = _measure(loaded, pairs, out)
    verdicts = limits.verdicts(results, args.limit)
    _write(out, results, verdicts, failures, {each.name: each.about for each in benches})
    for verdict in verdicts:
        if not verdict.holds:
            result = verdict.result
            print(
                f"orchestrate: {result.bench} in variant {result.variant} costs "
                f"{verdict.overhead:+.3%}, allowed are {verdict.most:+.3%}",
                file=sys.stderr,
            )
    print(f"results and runs: {out}")
    if failures:
        return next(iter(failures.values())).status
    return 0 if all(verdict.holds for verdict in verdicts) else CheckFailed.exit_code


def _list(benches: "Iterable[Benchmark]", variants: "Iterable[Variant]") -> None:
    for bench in benches:
        print(f"{bench.group:10} {bench.name:16} {bench.about}")
    for variant in variants:
        print(f"{'variant':10} {variant.name:16} {variant.about}")


def _known(name: str, known: Iterable[str], what: str) -> str:
    names = list(known)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1)
    hint = f'did you mean "{near[0]}"?' if near else "valid: " + ", ".join(names)
    raise UsageError(f'there is no {what} "{name}"; {hint}')


def _chosen_benches(words: Sequence[str], known: "dict[str, Benchmark]") -> "tuple[Benchmark, ...]":
    groups: dict[str, list[str]] = {"all": list(known)}
    for bench in known.values():
        groups.setdefault(bench.group, []).append(bench.name)
    names: list[str] = []
    for word in words:
        names += groups.get(word) or [_known(word, [*known, *groups], "benchmark")]
    return tuple(known[name] for name in dict.fromkeys(names))


def _check_limits(
    limits: "Iterable[Limit]", benches: "Iterable[Benchmark]", variants: "Iterable[Variant]"
) -> None:
    """A limit for what is not measured would always hold."""
    from orchestrator.bench.model import REFERENCE

    benched, observed = ([each.name for each in group] for group in (benches, variants))
    for limit in limits:
        if limit.variant not in observed:
            raise UsageError(f"--limit {limit.variant}: not measured; it is not among --variants")
        if limit.bench is not None and limit.bench not in benched:
            raise UsageError(f"--limit {limit.bench}: not measured; it is not among --bench")
        if REFERENCE not in observed:
            raise UsageError(f"--limit is against the variant {REFERENCE}; add it to --variants")


def _pairs(
    config: "Config", benches: "Sequence[Benchmark]", variants: "Sequence[Variant]"
) -> "list[tuple[Benchmark, Variant]]":
    """All that is to run. A variant that does not fit a benchmark is left out, unless none fits."""
    from orchestrator.bench.run import applies, check

    pairs = []
    for bench in benches:
        fitting = [variant for variant in variants if applies(config, bench, variant)]
        if not fitting:
            check(config, bench, variants[0])
        pairs += [(bench, variant) for variant in fitting]
    return pairs


def _directory(out: Path | None, config_path: Path) -> Path:
    from orchestrator.rundir import default_root, storage_errors

    if out is None:
        name = f"{config_path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        out = default_root().parent / "bench" / name
    with storage_errors(out):
        if out.exists() and any(out.iterdir()):
            raise UsageError(f"--out {out}: holds files already; name another directory")
        out.mkdir(parents=True, exist_ok=True)
    return out.absolute()


def _measure(
    config: "Config", pairs: "Sequence[tuple[Benchmark, Variant]]", out: Path
) -> "tuple[list[BenchResult], dict[tuple[str, str], CheckFailed | GuestError | MachineError | PhaseTimeout]]":
    from tqdm import tqdm

    from orchestrator.bench.run import run_bench

    results: list[BenchResult] = []
    failures: dict[tuple[str, str], CheckFailed | GuestError | MachineError | PhaseTimeout] = {}
    for bench, variant in tqdm(pairs, unit="run", disable=None):
        place = out / "runs" / f"{bench.name}-{variant.name}"
        try:
            results.append(run_bench(config, bench, variant, out=place, saved_start=True))
        except (CheckFailed, GuestError, MachineError, PhaseTimeout) as error:
            failures[bench.name, variant.name] = error
            tqdm.write(
                f"orchestrate: {bench.name} in variant {variant.name}: {error}", file=sys.stderr
            )
    return results, failures


def _write(
    out: Path,
    results: "Sequence[BenchResult]",
    verdicts: "Sequence[Verdict]",
    failures: "dict[tuple[str, str], CheckFailed | GuestError | MachineError | PhaseTimeout]",
    about: dict[str, str],
) -> None:
    from orchestrator.bench import figures, report
    from orchestrator.bench.model import RESULTS_NAME, to_json
    from orchestrator.rundir import write_atomically

    table = report.text_table(results, about) if results else ""
    messages = {pair: str(error) for pair, error in failures.items()}
    for name, content in (
        ("bench.txt", table.encode()),
        ("bench.xml", report.junit(results, verdicts, messages)),
        (figures.PERFORMANCE_NAME, figures.performance(results)),
        (figures.OVERHEAD_NAME, figures.overhead_figure(results)),
        (RESULTS_NAME, to_json(results)),
    ):
        write_atomically(out / name, content)
    print(table)
