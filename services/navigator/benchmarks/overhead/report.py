"""The report: ratios of one run, for people (Markdown) and for programs (JSON)."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from timing import Sample

BY_HAND = "<!-- what follows is written by hand -->"
HEAD = """# Overhead

`make bench-overhead` wrote this on {cores} CPU cores, {system}, Python {python}.

What everything but the LLM costs. One problem is solved by a fixed trajectory of five calls (plan, two steps of
instantiation and review) against a stand-in that answers at once. `ReasonFlux` is the real navigator and executor with
a real Redis that syncs every commit to disk, asked over HTTP for a chat completion. The bare loop repeats the same five
calls with httpx, and LangGraph runs them as a graph; neither stores anything nor is a server. OptiLLM and its_hub are
asked over HTTP for self-consistency over five samples, which is five calls too (its_hub makes them at the same time).

The contenders take turns, {rounds} rounds; every figure is the median over the rounds (p99: of all runs together).
{shared}
Compare within a row, not with other machines.

"""


def write(into: Path, samples: Mapping[tuple[str, int], Sequence[Sample]], facts: Mapping[str, object]) -> None:
    """`samples`: by contender and concurrency, one of each round. The first contender is the bare loop."""
    calls = facts["calls"]
    assert isinstance(calls, dict)
    rows = [_row(name, level, found, samples, calls) for (name, level), found in samples.items()]
    into.with_suffix(".json").write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    told = HEAD.format(
        cores=os.cpu_count(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        rounds=facts["rounds"],
        shared=facts["shared"],
    )
    told += _table(rows) + _verdicts(rows) + _profile(facts)
    kept = into.read_text().partition(BY_HAND)[2] if into.exists() else "\n"
    into.write_text(f"{told}\n{BY_HAND}{kept}")


def _row(
    name: str,
    level: int,
    found: Sequence[Sample],
    samples: Mapping[tuple[str, int], Sequence[Sample]],
    calls: Mapping[str, int],
) -> dict[str, object]:
    first = next(iter(samples))[0]
    bare, own, its = samples[first, level], calls[name], calls[first]
    each = sorted(second for sample in found for second in sample.each)
    return {
        "contender": name,
        "concurrency": level,
        "runs": len(each),
        "p50_ms": 1e3 * median(median(sample.each) for sample in found),
        "p99_ms": 1e3 * each[min(len(each) - 1, int(0.99 * len(each)))],
        "sessions_per_second": median(sample.rate for sample in found),
        "cpu_ms": 1e3 * median(sample.cpu for sample in found),
        "added_ms_per_call": 1e3
        * median(median(s.each) / own - median(b.each) / its for s, b in zip(found, bare, strict=True)),
        "added_cpu_ms_per_call": 1e3 * median(s.cpu / own - b.cpu / its for s, b in zip(found, bare, strict=True)),
    }


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    lines = [
        "| contender | at a time | p50 ms | p99 ms | requests/s | CPU ms per request "
        "| added ms per call | added CPU ms per call |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        figures = ("p50_ms", "p99_ms", "sessions_per_second", "cpu_ms", "added_ms_per_call", "added_cpu_ms_per_call")
        told = " | ".join(f"{row[key]:.1f}" for key in figures)
        lines.append(f"| {row['contender']} | {row['concurrency']} | {told} |")
    return "\n".join(lines) + "\n\n"


def _verdicts(rows: Sequence[Mapping[str, object]]) -> str:
    by = {(str(row["contender"]), int(str(row["concurrency"]))): row for row in rows}
    ours = by["ReasonFlux", 1]
    added = float(str(ours["added_ms_per_call"]))
    lines = [f"- Added per upstream call at concurrency 1: {added:.1f} ms (target: at most 3); {_met(added <= 3)}."]
    for what, suffix in (("five calls", ""), ("one plain call", ", one plain call")):
        if (f"OptiLLM{suffix}", 1) in by:
            times = _best(by, f"ReasonFlux{suffix}") / _best(by, f"OptiLLM{suffix}")
            lines.append(
                f"- Throughput against OptiLLM's, {what} a request, each at its best: {times:.1f}× (target: 10×); "
                f"{_met(times >= 10)}."
            )
    return "\n".join(lines) + "\n"


def _best(rows: Mapping[tuple[str, int], Mapping[str, object]], name: str) -> float:
    return max(float(str(row["sessions_per_second"])) for (who, _), row in rows.items() if who == name)


def _met(reached: bool) -> str:
    return "met" if reached else "**missed**"


def _profile(facts: Mapping[str, object]) -> str:
    profiles = facts["profile"]
    assert isinstance(profiles, dict)
    if not profiles:
        return "\nNo CPU profile: py-spy could not be installed, or may not look into processes here.\n"
    names = list(profiles)
    parts = list(dict.fromkeys(part for shares in profiles.values() for part in shares))
    lines = [
        "\n## Where the CPU time goes",
        "Samples of py-spy while 16 sessions are under way, by the innermost frame that belongs to a part; the "
        "collapsed stacks are in `overhead-profile-*.txt` (speedscope and flamegraph tools read them).\n",
        f"| part | {' | '.join(names)} |",
        f"| --- |{' --- |' * len(names)}",
    ]
    lines += [f"| {part} | {' | '.join(f'{profiles[name].get(part, 0):.0%}' for name in names)} |" for part in parts]
    return "\n".join(lines) + "\n"
