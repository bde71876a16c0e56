"""The problems of a run: those that trajectories are sampled for, those that are watched, those held out, and what is
similar to them. Each is the ladder's, or of the run's own data set."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

from evaluation.ladder import LadderProblem, Split, generate
from evaluation.ladder.problem import split_of
from navigator.view import horizon_for
from reasonflux.contracts import Problem
from reasonflux.engine import OpenAIEngine, engine_http
from reasonflux.errors import InvalidRequest
from training import similar
from training.records import TrainingProblem
from training.settings import RunConfig
from training.similar import LadderVariants, NoSimilar, SimilarProblems
from training.weights.serving import reached

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
        known = _side(config.dataset, Split.TRAIN)
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

    def heldout(self) -> list[TrainingProblem]:
        """What every evaluation with this section asks: generated problems, or of the data set's held-out side."""
        config, dataset = self.config.evaluate, self.config.evaluated
        if dataset is None:
            return [similar.from_ladder(problem) for problem in self.heldout_ladder()]
        known = _side(dataset, Split.HELDOUT)
        Random(config.seed).shuffle(known)
        return known[: config.count]

    def heldout_ladder(self) -> list[LadderProblem]:
        """The generated ones of them; none where a data set is asked."""
        config = self.config.evaluate
        if self.config.evaluated is not None:
            return []
        return list(islice(generate(Split.HELDOUT, config.depths, seed=config.seed), config.count))

    async def similar_to(self, ladder: Sequence[LadderProblem], stack: AsyncExitStack) -> SimilarProblems:
        """The source of similar problems; what it opens is closed with `stack`."""
        config, embedder, engine = self.config.similar, None, None
        if config.source == "neighbours":
            from template_store.retrieval.embedding import SentenceEmbedder  # loads a model

            config = config.model_copy(update={"dataset": config.dataset or self.config.problems.dataset})
            embedder = await SentenceEmbedder.open()
            stack.callback(embedder.close)
        if config.source == "llm" and self.config.engines.writer is not None:
            writer = reached(self.config.engines.writer)
            engine = OpenAIEngine(await stack.enter_async_context(engine_http(writer)), writer)
        return await similar.open_source(config, ladder=ladder, embedder=embedder, engine=engine)

    async def similar_to_heldout(self, stack: AsyncExitStack) -> SimilarProblems:
        """What is similar to the held-out problems: the ladder refills its own, whatever rewards are taken on."""
        if self.config.evaluated is None:
            return LadderVariants(self.heldout_ladder())
        if self.config.similar.source == "ladder":
            return NoSimilar()
        return await self.similar_to((), stack)


def _side(dataset: Path, side: Split) -> list[TrainingProblem]:
    """The problems of one side of the split by hash. Raises InvalidRequest where there is none."""
    known = [one for one in similar.read_dataset(dataset) if split_of(one.text) is side]
    if not known:
        wanted = "to train on" if side is Split.TRAIN else "held out"
        raise InvalidRequest(
            f"{dataset} has no problem {wanted}", hint="give it more problems: about one in five is held out, by hash"
        )
    return known
