"""The problems of a run: those that trajectories are sampled for, those that are watched, those held out, and what is
similar to them."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from random import Random

from evaluation.ladder import LadderProblem, Split, generate
from evaluation.ladder.problem import split_of
from navigator.view import horizon_for
from reasonflux.contracts import Problem
from reasonflux.errors import InvalidRequest
from training import similar
from training.records import TrainingProblem
from training.settings import EvaluateConfig, RunConfig
from training.similar import SimilarProblems

_ROUND_SEEDS = 7_919
"""Between the rounds' seeds: each round samples other problems."""
_WATCHED_FROM = 50
"""Problems looked at for one that can be watched, before it is given up."""


@dataclass(frozen=True)
class Problems:
    config: RunConfig

    def of_round(self, number: int) -> list[TrainingProblem]:
        """What is sampled in a round: generated problems, or the data set's training side in the round's own order."""
        config = self.config.problems
        if config.dataset is None:
            return [similar.from_ladder(problem) for problem in self.ladder(number)]
        known = [one for one in similar.read_dataset(config.dataset) if split_of(one.text) is Split.TRAIN]
        Random(config.seed + number).shuffle(known)
        return known[: config.count]

    def ladder(self, number: int) -> list[LadderProblem]:
        """A round's generated problems; none where it samples a data set."""
        config = self.config.problems
        if config.dataset is not None:
            return []
        stream = generate(Split.TRAIN, config.depths, seed=config.seed + _ROUND_SEEDS * number)
        return list(islice(stream, config.count))

    def watched(self) -> list[LadderProblem]:
        """Training problems that no round samples, planned whole. Raises InvalidRequest where there are too few."""
        config = self.config.problems
        taken = {one.id for number in range(1, self.config.iterations + 1) for one in self.ladder(number)}
        stream = islice(generate(Split.TRAIN, config.depths, seed=config.seed - 1), _WATCHED_FROM * config.watched)
        always = self.config.rollouts.horizon is None
        whole = (one for one in stream if always or horizon_for(Problem(text=one.text)) is None)
        fit = (one for one in whole if one.id not in taken)
        found = list(islice(fit, config.watched))
        if len(found) < config.watched:
            raise InvalidRequest(
                f"problems.watched: only {len(found)} problems of depths {config.depths} are planned whole",
                hint="watch fewer, or add depth 1",
            )
        return found

    async def similar_to(self, ladder: Sequence[LadderProblem], stack: AsyncExitStack) -> SimilarProblems:
        """The source of similar problems; what it opens is closed with `stack`."""
        config = self.config.similar
        if config.source == "llm":
            raise InvalidRequest(
                "similar.source llm: a run has no engine for it",
                hint="write the variants to a data set first and take source: neighbours",
            )
        embedder = None
        if config.source == "neighbours":
            from template_store.retrieval.embedding import SentenceEmbedder  # loads a model

            embedder = await SentenceEmbedder.open()
            stack.callback(embedder.close)
        return await similar.open_source(config, ladder=ladder, embedder=embedder)


def heldout(config: EvaluateConfig) -> list[LadderProblem]:
    """The problems that every evaluation with this section is made on."""
    return list(islice(generate(Split.HELDOUT, config.depths, seed=config.seed), config.count))
