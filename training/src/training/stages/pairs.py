"""Stage pairs: from rewarded rollouts to preferences (T+, T−).

in    rewards.jsonl
out   FOLDER/pairs.jsonl: one Pair a line; pairs.json and pairs.md: statistics and examples
run   reasonflux train pairs --config …

A pair is made of two rollouts of one problem whose rewards differ beyond the interval of their difference (a paired
bootstrap: both were tried on the same problems), and at the first exchange where they part: equal prompts, different
replies. For trajectories planned whole that is the only exchange.

Preference training takes to length whenever length tells the sides apart. So replies whose lengths are too far apart
make no pair, of equally good pairs the ones are taken that keep the sum of the length differences near 0, and at most
a share of the pairs is left out to bring it nearer.

Not as in the paper, which pairs by the sign of the difference alone: with few trials most differences are noise.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import permutations
from pathlib import Path

from pydantic import Field

from evaluation import estimates
from reasonflux.contracts import Contract
from reasonflux.engine import Message
from training.records import Pair, Rewarded, Rollout
from training.running.ledger import read, write
from training.running.parallel import Say, aloud

_ROUNDING = 1e-9


class PairConfig(Contract):
    """Which differences count, and how many pairs there may be."""

    least_difference: float = Field(default=0.0, ge=0, description="of the two rewards, however sure it is")
    least_difference_alone: float = Field(
        default=1.0, gt=0, description="of the two rewards where there is one trial only, which has no interval"
    )
    unreadable: bool = Field(default=False, description="whether an unreadable reply may be the rejected one")
    per_problem: int = Field(default=4, ge=1, description="pairs made of one problem's rollouts, at most")
    longest_ratio: float = Field(default=2.0, ge=1, description="of the longer reply's characters to the shorter's")
    left_out: float = Field(default=0.2, ge=0, lt=1, description="share of pairs that balancing lengths may cost")
    examples: int = Field(default=5, ge=0, description="pairs shown in the report")


class Lengths(Contract):
    """Mean characters of the replies."""

    chosen: float
    rejected: float

    @property
    def difference(self) -> float:
        return self.chosen - self.rejected


class PairReport(Contract):
    """What became of the rollouts."""

    config: PairConfig
    problems: int
    problems_with_pairs: int
    rollouts: int
    unreadable: int
    pairs: int
    by_depth: dict[int, int]
    refused: dict[str, int] = Field(description="why two different replies to one prompt made no pair")
    chosen_reward: float
    rejected_reward: float
    before_balancing: Lengths
    lengths: Lengths


def run(config: PairConfig, rewards: Path, folder: Path, say: Say = aloud) -> Path:
    """Make the pairs and their report anew; it takes no resuming. Raises InvalidRequest."""
    rewarded = list(read(rewards, Rewarded))
    made, report = paired(rewarded, config)
    path = write(folder / "pairs.jsonl", made)
    (folder / "pairs.json").write_text(report.model_dump_json(indent=1) + "\n")
    (folder / "pairs.md").write_text(told(report, made[: config.examples]))
    say(
        f"pairs: {report.pairs} of {report.problems_with_pairs}/{report.problems} problems; mean length difference "
        f"{report.lengths.difference:+.1f} characters (before balancing {report.before_balancing.difference:+.1f})"
    )
    return path


def paired(rewarded: Iterable[Rewarded], config: PairConfig) -> tuple[list[Pair], PairReport]:
    """All pairs, and what became of the rest."""
    by_problem: dict[str, list[Rewarded]] = defaultdict(list)
    for one in rewarded:
        by_problem[one.rollout.problem.id].append(one)
    refused, drawn, slant = Counter[str](), list[Pair](), 0
    for group in by_problem.values():
        for pair in _drawn(candidates(group, config, refused), config.per_problem, slant):
            drawn.append(pair)
            slant += lead(pair)
    kept = balanced(drawn, config.left_out)
    rollouts = [one.rollout for group in by_problem.values() for one in group]
    report = PairReport(
        config=config,
        problems=len(by_problem),
        problems_with_pairs=len({pair.problem.id for pair in kept}),
        rollouts=len(rollouts),
        unreadable=sum(rollout.trajectory is None for rollout in rollouts),
        pairs=len(kept),
        by_depth=dict(sorted(Counter(pair.problem.depth for pair in kept).items())),
        refused=dict(refused),
        chosen_reward=_mean([pair.chosen_reward for pair in kept]),
        rejected_reward=_mean([pair.rejected_reward for pair in kept]),
        before_balancing=_lengths(drawn),
        lengths=_lengths(kept),
    )
    return kept, report


# --- two rollouts ---------------------------------------------------------------------------------------------------


def candidates(group: Sequence[Rewarded], config: PairConfig, refused: Counter[str]) -> list[Pair]:
    """One problem's pairs, one for every two replies. `refused` counts why others are none."""
    found: dict[tuple[tuple[Message, ...], str, str], Pair] = {}
    for better, worse in permutations(group, 2):
        fork = parting(better.rollout, worse.rollout)
        if fork is None or better.reward <= worse.reward:
            continue
        prompt, chosen, rejected = fork
        reason = objection(better, worse, chosen, rejected, config)
        if reason is not None:
            refused[reason] += 1
            continue
        pair = Pair(
            problem=better.rollout.problem,
            prompt=prompt,
            chosen=chosen,
            rejected=rejected,
            chosen_reward=better.reward,
            rejected_reward=worse.reward,
            trials=len(better.trials),
        )
        key = (prompt, chosen, rejected)
        if key not in found or margin(found[key]) < margin(pair):
            found[key] = pair
    # the same reply can end well and badly where more is planned after it: then it is no preference
    clear = [pair for (prompt, one, other), pair in found.items() if (prompt, other, one) not in found]
    refused["better here, worse there"] += len(found) - len(clear)
    return clear


def parting(one: Rollout, other: Rollout) -> tuple[tuple[Message, ...], str, str] | None:
    """The first exchange in which the same prompt got different replies."""
    for ours, theirs in zip(one.exchanges, other.exchanges, strict=False):
        if ours.prompt != theirs.prompt:
            return None
        if ours.reply != theirs.reply:
            return ours.prompt, ours.reply, theirs.reply
    return None


def objection(better: Rewarded, worse: Rewarded, chosen: str, rejected: str, config: PairConfig) -> str | None:
    """Why the two are no pair, or None."""
    if better.rollout.trajectory is None or not better.trials:
        return "the better one was not tried"
    if worse.rollout.trajectory is None and not config.unreadable:
        return "one reply is unreadable"
    if not surely_better(better, worse, config):
        return "the difference is within its interval"
    short, long = sorted((len(chosen), len(rejected)))
    return None if long <= config.longest_ratio * max(1, short) else "lengths too far apart"


def surely_better(better: Rewarded, worse: Rewarded, config: PairConfig) -> bool:
    """Whether the difference of the rewards is beyond its interval. What was not readable failed in every trial."""
    difference = better.reward - worse.reward
    theirs = {trial.problem: trial.right for trial in worse.trials}
    if worse.rollout.trajectory is None:
        theirs = {trial.problem: False for trial in better.trials}
    both = [(trial.right, theirs[trial.problem]) for trial in better.trials if trial.problem in theirs]
    if difference <= 0 or difference < config.least_difference or not both:
        return False
    if len(both) == 1:
        return difference >= config.least_difference_alone
    by_trial = sorted(float(ours) - float(other) for ours, other in both)
    low, mean = _lower_end(tuple(by_trial))
    # costs are known and only shift the interval
    return low + (difference - mean) > _ROUNDING


@cache
def _lower_end(differences: tuple[float, ...]) -> tuple[float, float]:
    found = estimates.mean(differences)
    return found.low, found.mean


# --- a balanced choice ----------------------------------------------------------------------------------------------


def margin(pair: Pair) -> float:
    return pair.chosen_reward - pair.rejected_reward


def lead(pair: Pair) -> int:
    """By how many characters the chosen reply is longer."""
    return len(pair.chosen) - len(pair.rejected)


def _drawn(found: list[Pair], count: int, slant: int) -> Iterator[Pair]:
    """The clearest pairs; of equally clear ones, those that bring the sum of the leads nearest to 0."""
    left = list(found)
    for _ in range(min(count, len(left))):
        best = min(left, key=lambda pair: (-round(margin(pair), 9), abs(slant + lead(pair))))
        left.remove(best)
        slant += lead(best)
        yield best


def balanced(pairs: Sequence[Pair], left_out: float) -> list[Pair]:
    """The pairs without those, at most a share of `left_out`, whose lengths pull the mean difference away from 0."""
    slant, room, dropped = sum(map(lead, pairs)), int(left_out * len(pairs)), set[int]()
    for n in sorted(range(len(pairs)), key=lambda n: -abs(lead(pairs[n]))):
        if len(dropped) == room:
            break
        if abs(slant - lead(pairs[n])) < abs(slant):
            slant -= lead(pairs[n])
            dropped.add(n)
    return [pair for n, pair in enumerate(pairs) if n not in dropped]


# --- the report -----------------------------------------------------------------------------------------------------


def told(report: PairReport, examples: Sequence[Pair]) -> str:
    """The report as Markdown."""
    rows = [
        ("problems", report.problems),
        ("… with pairs", report.problems_with_pairs),
        ("rollouts", report.rollouts),
        ("… unreadable", report.unreadable),
        ("pairs", report.pairs),
        *((f"… at depth {depth or '?'}", count) for depth, count in report.by_depth.items()),
        ("mean reward, chosen", f"{report.chosen_reward:.3f}"),
        ("mean reward, rejected", f"{report.rejected_reward:.3f}"),
        ("mean characters, chosen", f"{report.lengths.chosen:.1f}"),
        ("mean characters, rejected", f"{report.lengths.rejected:.1f}"),
        ("mean length difference", f"{report.lengths.difference:+.1f}"),
        ("… before balancing", f"{report.before_balancing.difference:+.1f}"),
        *((f"no pair: {reason}", count) for reason, count in sorted(report.refused.items()) if count),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    shown = "\n".join(_example(pair) for pair in examples)
    return f"# Preference pairs\n\n| | |\n| --- | ---: |\n{table}\n\n## Examples\n\n{shown or 'There are none.'}\n"


def _example(pair: Pair) -> str:
    return (
        f"**{pair.problem.text}**\n\n"
        f"- chosen, {pair.chosen_reward:.2f} over {pair.trials} trials: `{pair.chosen}`\n"
        f"- rejected, {pair.rejected_reward:.2f}: `{pair.rejected}`\n"
    )


def _lengths(pairs: Sequence[Pair]) -> Lengths:
    return Lengths(chosen=_mean([len(p.chosen) for p in pairs]), rejected=_mean([len(p.rejected) for p in pairs]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
