"""The end of a run: the best round's weights take the place of what is published, if they are better."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.reporting.cards import card
from training.settings import Role, RunConfig
from training.stages import publish as stage
from training.stages.evaluate import Evaluation
from training.weights.registry import Registry


def publish(
    config: RunConfig,
    versions: Path,
    roles: Mapping[Role, Path],
    reached: Evaluation,
    before: Evaluation | None,
    out: Path,
) -> str:
    """Each role's weights through the gate; its decision is kept as `out`/<role>.json.

    `roles`: the folder in which each was made. `reached`: what they came to; `before`: what was published came to.
    """
    to = config.publish
    assert to is not None
    out.mkdir(parents=True, exist_ok=True)
    told = []
    for role, made in roles.items():
        registry = Registry(versions / role, copy=to.to / role)
        about = card(config, role, reached, before)
        scores = reached.greedy, before.greedy if before else None
        decision = stage.publish_if_better(to, role, made, registry, *scores, about)
        (out / f"{role}.json").write_text(decision.model_dump_json(indent=1) + "\n")
        told.append(f"{role}: {decision.reason}")
    return f"{reached.name}; {'; '.join(told)}"


def best_round(rounds: Sequence[Evaluation]) -> int:
    """The round with the best trajectory reward, the earliest of equals. The gate then judges by other problems: the
    reward is taken on similar problems, the gate's success on the problems themselves. Without rewards success decides.
    """

    def reached(number: int) -> tuple[float, int]:
        rewarded = rounds[number].reward
        return (rewarded if rewarded.n else rounds[number].success()).mean, -number

    return max(range(len(rounds)), key=reached)
