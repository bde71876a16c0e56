"""The report on the loop: shares and ratios of one run."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from calls import cached_share
from engine_line import BLOCK, Pace
from scripted import PROBLEMS, STEP_TOKENS

if TYPE_CHECKING:
    from __main__ import Run

BY_HAND = "<!-- what follows is written by hand -->"
HEAD = """# The loop

`make bench-loop` wrote this on {cores} CPU cores, {system}, Python {python}. {note}

What the loop costs beside its engines, and what it saves by doing things at the same time. The services, Redis (every
commit synced) and the calculator are the real ones; a line in front of the engines notes every call. Three kinds:

- **real**: the shipped tiny weights on vLLM, held-out problems of the ladder, one session at a time. Both engines and
  all services share the cores, so there is little to win by doing two things at once, and an engine's call is so short
  that everything around it shows.
- **replayed**: the same problems and the same replies at the pace of a larger engine: {first:.0f} ms to a call's first
  token, {prompt:.1f} ms for each prompt token that is not cached, {token:.0f} ms for each token.
- **scripted**: replies as long as an instructed LLM's ({step} tokens a step), fixed, at the same pace, in the instruct
  prompts.

One call at a time is the sequential loop: the line lets a session's next call begin when the last has ended.
"""


def write(into: Path, runs: Sequence["Run"], pace: Pace, modes: Sequence[str], note: str) -> None:
    rows = [row for kind in ("real", "replayed", "scripted") for row in _rows(runs, kind, modes)]
    each = [_row([run], _sequential(runs, run)) | {"problem": run.problem} for run in runs]
    cached = {kind: cached_share(call for run in _cold(runs, kind, modes) for call in run.calls) for kind in _KINDS}
    shares = {kind: {role: _share(*found) for role, found in roles.items()} for kind, roles in cached.items()}
    facts = {"note": note, "summary": rows, "runs": each, "cached_from_round_2": shares}
    into.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    told = HEAD.format(
        cores=os.cpu_count(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        note=note,
        first=1e3 * pace.first,
        prompt=1e3 * pace.prompt,
        token=1e3 * pace.token,
        step=STEP_TOKENS,
    )
    told += _summary(rows) + _by_problem(each, modes) + _cache(shares) + _verdicts(rows, each, shares, modes)
    kept = into.read_text().partition(BY_HAND)[2] if into.exists() else "\n"
    into.write_text(f"{told}\n{BY_HAND}{kept}")


_KINDS = ("real", "scripted")
"""Whose cache is counted; what is replayed has the cache of the real ones."""


def _cold(runs: Sequence["Run"], kind: str, modes: Sequence[str]) -> list["Run"]:
    """Each problem the first time it was asked, so that no other session has filled the cache for it."""
    return [run for run in runs if run.kind == kind and run.mode == modes[0]]


def _sequential(runs: Sequence["Run"], own: "Run") -> list["Run"]:
    first = next(run.mode for run in runs)
    return [run for run in runs if (run.kind, run.problem, run.mode) == (own.kind, own.problem, first)]


def _rows(runs: Sequence["Run"], kind: str, modes: Sequence[str]) -> list[dict[str, object]]:
    of = {mode: [run for run in runs if (run.kind, run.mode) == (kind, mode)] for mode in modes}
    return [_row(of[mode], of[modes[0]]) for mode in modes]


def _row(runs: Sequence["Run"], sequential: Sequence["Run"]) -> dict[str, object]:
    answers = {run.problem: run.session.answer for run in sequential}
    walls = {run.problem: run.wall for run in sequential}
    count = len(runs)
    return {
        "kind": runs[0].kind,
        "mode": runs[0].mode,
        "problems": count,
        "solved": sum(run.session.answer is not None for run in runs),
        "same_answers": sum(run.session.answer == answers[run.problem] for run in runs),
        "seconds": sum(run.wall for run in runs) / count,
        "of_sequential": median(run.wall / walls[run.problem] for run in runs),
        "outside": 1 - sum(run.engines for run in runs) / sum(run.wall for run in runs),
        "outside_ms_per_call": 1e3
        * sum(run.wall - run.engines for run in runs)
        / max(1, sum(len(run.calls) for run in runs)),
        "tokens": sum(run.session.usage.all.total for run in runs) / count,
        "lost": sum(run.session.speculated for run in runs) / count,
        "calls": sum(run.session.usage.all.calls for run in runs) / count,
    }


def _summary(rows: Iterable[Mapping[str, object]]) -> str:
    lines = [
        "\n| engines | mode | seconds a problem | of sequential | outside the engines | the same, ms per call "
        "| calls | tokens | of them lost to bets | same answers |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['kind']} | {row['mode']} | {row['seconds']:.2f} | {row['of_sequential']:.2f} | {row['outside']:.1%} "
        f"| {row['outside_ms_per_call']:.1f} | {row['calls']:.1f} | {row['tokens']:.0f} | {row['lost']:.0f} "
        f"| {row['same_answers']} of {row['problems']} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n\n`of sequential` is the median over the problems.\n"


def _by_problem(each: Sequence[Mapping[str, object]], modes: Sequence[str]) -> str:
    lines = [
        "\n## The scripted problems, one by one",
        f"| problem | | {' | '.join(f'{mode}: s (of sequential)' for mode in modes)} | tokens lost to bets |",
        f"| --- | --- |{' --- |' * len(modes)} --- |",
    ]
    for problem in PROBLEMS:
        own = [row for row in each if row["kind"] == "scripted" and row["problem"] == problem.name]
        told = " | ".join(f"{row['seconds']:.2f} ({row['of_sequential']:.2f})" for row in own)
        lines.append(f"| {problem.name} | {problem.about} | {told} | {own[-1]['lost']:.0f} |")
    return "\n".join(lines) + "\n"


def _cache(shares: Mapping[str, Mapping[str, float]]) -> str:
    lines = [
        "\n## Prompt tokens served from the prefix cache, from round 2 on",
        "| engines | navigator | executor |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {kind} | {roles['navigator']:.0%} | {roles['executor']:.0%} |" for kind, roles in shares.items()]
    return (
        "\n".join(lines)
        + "\n\nEach problem when it was asked for the first time. Real: as vLLM reports it, in blocks of 32 tokens. "
        f"Scripted: whole blocks of {BLOCK} tokens from the prompt's beginning, vLLM's rule.\n"
    )


def _verdicts(
    rows: Sequence[Mapping[str, object]],
    each: Sequence[Mapping[str, object]],
    shares: Mapping[str, Mapping[str, float]],
    modes: Sequence[str],
) -> str:
    lines = ["\n## Against the targets"]
    for kind in ("real", "replayed", "scripted"):
        outside = _number(next(row for row in rows if (row["kind"], row["mode"]) == (kind, modes[0]))["outside"])
        lines.append(f"- Time outside the engines, {kind}: {outside:.1%} (target: below 5%); {_met(outside < 0.05)}.")
    for kind, roles in shares.items():
        for role, share in roles.items():
            lines.append(f"- Cached from round 2 on, {kind}, {role}: {share:.0%} (target: 80%); {_met(share >= 0.8)}.")
    allow = {problem.name for problem in PROBLEMS if problem.allows}
    for row in each:
        if row["kind"] == "scripted" and row["mode"] == modes[-1]:
            ratio = _number(row["of_sequential"])
            lines.append(
                f"- Wall time of {row['problem']}: {ratio:.2f} of sequential "
                + (f"(target: 0.7); {_met(ratio <= 0.7)}." if row["problem"] in allow else "(little can overlap).")
            )
    return "\n".join(lines) + "\n"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value


def _met(reached: bool) -> str:
    return "met" if reached else "**missed**"
