"""Similar problems: what a trajectory is carried out on for its reward, beside the problem that it was planned for.

in    a problem with its answer (training.records.TrainingProblem), and how many similar ones are wanted
out   up to so many others with known answers: fewer, or none, where the source has no more

Three sources stand behind one port: the ladder refills the problem's sketch with other numbers; a data set has
embedding neighbours; an LLM writes variants, whose answers it has to find again. A similar problem always lies on the
problem's own side of the train/held-out split (one text in five is held out), so that rewards leak nothing.

The paper has people collect the similar problems; here they are generated, found or written.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import Field, ValidationError

from evaluation.grading import extract, grade
from evaluation.ladder import LadderProblem, Split
from evaluation.ladder import similar as refilled
from evaluation.ladder.problem import HELDOUT_SHARE, digest, split_of
from reasonflux.contracts import Contract, Tokens
from reasonflux.engine_port import Engine, Message
from reasonflux.errors import InvalidRequest, ReasonFluxError
from reasonflux.json_reply import parse_reply
from reasonflux.observing import logger
from training.records import TrainingProblem

if TYPE_CHECKING:
    from template_store.ports import Embedder

_LINE_HINT = 'a line is {"problem": "…", "answer": "…"}; further fields are passed over'


class SimilarConfig(Contract):
    """Where similar problems come from."""

    source: Literal["ladder", "neighbours", "llm", "none"] = Field(
        default="ladder", description="none: the reward is taken on the same problem only"
    )
    count: int = Field(default=4, ge=0, le=64, description="similar problems of each problem")
    seed: int = 0
    dataset: Path | None = Field(
        default=None, description="neighbours: JSON lines with problem and answer; None: the run's own problems"
    )
    minimum_similarity: float = Field(default=0.6, ge=-1, le=1, description="neighbours: cosine of the embeddings")
    temperature: float = Field(default=0.7, gt=0, le=2, description="llm: of the variants and of their solutions")
    rounds: int = Field(default=3, ge=1, le=10, description="llm: how often it is asked for those that are missing")
    max_tokens: int = Field(default=2_048, ge=64, description="llm: of one reply")


class SimilarProblems(Protocol):
    """A source of similar problems."""

    async def of(self, problem: TrainingProblem, count: int) -> tuple[TrainingProblem, ...]:
        """Up to `count` problems, none of them `problem` and no two the same. Raises ReasonFluxError."""
        ...


class NoSimilar:
    """No similar problems: the ablation in which a trajectory is rewarded on its own problem only."""

    async def of(self, problem: TrainingProblem, count: int) -> tuple[TrainingProblem, ...]:
        return ()


async def open_source(
    config: SimilarConfig,
    *,
    ladder: Iterable[LadderProblem] = (),
    embedder: "Embedder | None" = None,
    engine: Engine | None = None,
) -> SimilarProblems:
    """The source that the config names, on what it needs. Raises InvalidRequest where that was not given."""
    match config.source:
        case "none":
            return NoSimilar()
        case "ladder":
            return LadderVariants(ladder, config.seed)
        case "neighbours" if embedder is not None and config.dataset is not None:
            dataset = await asyncio.to_thread(read_dataset, config.dataset)
            return await Neighbours.open(dataset, embedder, config.minimum_similarity)
        case "llm" if engine is not None:
            return WrittenVariants(engine, config)
        case _:
            needed = "an embedder and a dataset" if config.source == "neighbours" else "an engine"
            raise InvalidRequest(
                f"similar problems from {config.source} need {needed}", hint="give it, or take another"
            )


# The ladder


def from_ladder(problem: LadderProblem) -> TrainingProblem:
    return TrainingProblem(
        id=digest(problem.text),
        text=problem.text,
        answer=problem.answer,
        depth=problem.depth,
        families=tuple(stage.family for stage in problem.stages),
    )


class LadderVariants:
    """The same sketch with other numbers: the gold trajectory of the one is the gold trajectory of all."""

    def __init__(self, problems: Iterable[LadderProblem], seed: int = 0) -> None:
        self._problems = {digest(problem.text): problem for problem in problems}
        self._seed = seed

    async def of(self, problem: TrainingProblem, count: int) -> tuple[TrainingProblem, ...]:
        known = self._problems.get(problem.id)
        if known is None:
            reason = f"the ladder did not make problem {problem.id[:16]}"
            raise InvalidRequest(reason, hint="take similar problems of a data set's problems from neighbours or llm")
        return tuple(from_ladder(other) for other in refilled(known, count, self._seed))


# A data set


def read_dataset(path: Path) -> tuple[TrainingProblem, ...]:
    """The problems of a JSON-lines file. Raises InvalidRequest with the line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        hint = "mend `dataset` in the config; a path is read from where the command runs"
        raise InvalidRequest(f"there is no data set {path}", hint=hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}", hint="give a file of JSON lines") from error
    if not any(line.strip() for line in lines):
        raise InvalidRequest(f"{path} is empty", hint=_LINE_HINT)
    return tuple(_problem(path, number, line) for number, line in enumerate(lines, 1) if line.strip())


def _problem(path: Path, number: int, line: str) -> TrainingProblem:
    try:
        told = json.loads(line)
    except ValueError as error:
        raise InvalidRequest(f"{path}, line {number}: this is no JSON: {error}", hint=_LINE_HINT) from error
    try:
        answer = told["answer"]
        variant = Variant(problem=told["problem"], answer=answer if isinstance(answer, str) else json.dumps(answer))
        if answer is None:
            raise ValueError("no answer")
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"{path}, line {number}: no problem and answer in it", hint=_LINE_HINT) from error
    return variant.as_problem(f"{path.name}:{number}")


class Neighbours:
    """The problems of a data set that are nearest in meaning. `open` embeds the data set once."""

    def __init__(
        self, sides: dict[Split, list[TrainingProblem]], index: dict[Split, Any], embedder: "Embedder", minimum: float
    ) -> None:
        self._sides = sides
        self._index = index
        self._embedder = embedder
        self._minimum = minimum

    @classmethod
    async def open(
        cls, problems: Iterable[TrainingProblem], embedder: "Embedder", minimum: float = 0.6
    ) -> "Neighbours":
        """Texts that are told twice are taken once."""
        import faiss

        different = {digest(problem.text): problem for problem in problems}.values()
        sides = {split: [p for p in different if split_of(p.text) is split] for split in Split}
        index = {split: faiss.IndexFlatIP(embedder.dimension) for split in Split}
        for split, side in sides.items():
            if side:
                index[split].add(await embedder.embed([problem.text for problem in side]))
        return cls(sides, index, embedder, minimum)

    async def of(self, problem: TrainingProblem, count: int) -> tuple[TrainingProblem, ...]:
        """Nearest first. The problem itself is never among them, whatever its case and white space."""
        side = self._sides[split := split_of(problem.text)]
        if not side or count < 1:
            return ()
        query = await self._embedder.embed([problem.text])
        similarities, rows = self._index[split].search(query, min(count + 1, len(side)))
        near = [side[row] for row, found in zip(rows[0], similarities[0], strict=True) if found >= self._minimum]
        return tuple(other for other in near if digest(other.text) != digest(problem.text))[:count]


# An LLM


class Variant(Contract):
    problem: str = Field(min_length=1, max_length=8_000)
    answer: str = Field(min_length=1, max_length=400)

    def as_problem(self, source: str) -> TrainingProblem:
        return TrainingProblem(id=digest(self.problem), text=self.problem, answer=self.answer, source=source)


class Variants(Contract):
    """What the LLM is asked for."""

    variants: tuple[Variant, ...]


class Unreadable(Contract):
    """A reply that holds no variants."""

    reason: str


def read_variants(text: str) -> Variants | Unreadable:
    try:
        return Variants.model_validate(parse_reply(text))
    except ValidationError as error:
        return Unreadable(reason=f"{error.error_count()} fields are wrong: {error.errors()[0]['msg']}")
    except ReasonFluxError as error:
        return Unreadable(reason=error.failure.message)


class WrittenVariants:
    """An LLM writes variants. One is kept only where two sampled solutions both come to the answer it was written with.

    `tokens` is what was spent so far.
    """

    def __init__(self, engine: Engine, config: SimilarConfig) -> None:
        self._engine = engine
        self._config = config
        self.tokens = Tokens()

    async def of(self, problem: TrainingProblem, count: int) -> tuple[TrainingProblem, ...]:
        """Raises EngineError, GraderUnavailable."""
        split = split_of(problem.text)
        excess = HELDOUT_SHARE if split is Split.HELDOUT else 1  # most of what is written is on the training side
        kept: list[TrainingProblem] = []
        seen = {digest(problem.text): problem.text}
        for turn in range(self._config.rounds):
            missing = count - len(kept)
            if missing < 1:
                break
            fresh: dict[str, Variant] = {}
            for variant in await self._written(problem, missing * excess, list(seen.values())[1:], turn):
                if digest(variant.problem) not in seen:
                    fresh[digest(variant.problem)] = variant
            seen.update({key: variant.problem for key, variant in fresh.items()})
            usable = [v for v in fresh.values() if split_of(v.problem) is split][:missing]
            agreed = await asyncio.gather(*(self._agreed(variant) for variant in usable))
            kept += [v.as_problem("llm") for v, right in zip(usable, agreed, strict=True) if right]
        return tuple(kept)

    async def _written(
        self, problem: TrainingProblem, count: int, known: Sequence[str], turn: int
    ) -> tuple[Variant, ...]:
        prompt = _text("similar", problem=problem.text, count=count, known=known)
        variants = read_variants(await self._said(prompt, self._config.seed + turn, Variants.model_json_schema()))
        if isinstance(variants, Unreadable):
            logger.warning("no similar problems in the reply", problem=problem.id, reason=variants.reason)
            return ()
        return variants.variants

    async def _agreed(self, variant: Variant) -> bool:
        prompt = _text("solution", problem=variant.problem)
        solutions = await asyncio.gather(*(self._said(prompt, self._config.seed + n) for n in range(2)))
        for solution in solutions:
            if not await asyncio.to_thread(grade, extract(solution), variant.answer):
                return False
        return True

    async def _said(self, prompt: str, seed: int, schema: dict[str, Any] | None = None) -> str:
        reply = await self._engine.chat(
            [Message(role="user", content=prompt)],
            schema=schema,
            schema_name="variants",
            temperature=self._config.temperature,
            max_tokens=self._config.max_tokens,
            seed=seed,
        )
        self.tokens += reply.tokens
        return reply.text


def _text(name: str, **values: Any) -> str:
    return _environment().get_template(f"{name}.jinja").render(**values).strip()


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("training", "prompts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
