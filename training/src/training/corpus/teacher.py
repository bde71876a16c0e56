"""Stage teacher: solved problems to trajectories over a library, by an LLM that reads the solutions.

in    JSON lines {"problem": …, "solution": …, "answer": …}; a template library and its store's search; an LLM
out   folder/trajectories.jsonl (`Taught`) and folder/rejects.jsonl (`Rejected`), a line a problem
how   The templates that the store finds for the problem and for the sentences of its solution are shown to the LLM
      (prompts/teacher.jinja), which tells the solution as steps: goal, template, what it uses, result. What does not
      fit the contracts is told back to it a few times.

The last result must be the known answer; where none is given, the one that the solution ends with. That catches slips,
not a teacher that copies the answer behind steps that do not lead there: look at samples, and let the rewards of the
later stages judge. A run that was stopped goes on with the problems that have no line yet.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import Field, ValidationError

from evaluation.grading import grade
from evaluation.ladder.problem import digest
from reasonflux.contracts import (
    Contract,
    Problem,
    Query,
    SearchRequest,
    SearchResponse,
    Statement,
    ThoughtTemplate,
    Tokens,
)
from reasonflux.contracts.problem import split_sentences
from reasonflux.engine_port import Engine, Message
from reasonflux.errors import EngineError
from template_store.growth.extraction import SolvedProblem, read_pairs
from training.corpus import lines
from training.corpus.mixture import Library
from training.corpus.taught import REJECTS, TRAJECTORIES, Rejected, Taught, read_rejects, read_taught
from training.corpus.teacher_reply import (
    MAX_STEPS,
    AnswerDiffers,
    NoTrajectory,
    ProblemUnusable,
    ReplyUnusable,
    read_reply,
    reply_schema,
)

GIVE_UP_AFTER = 8
"""Engine failures in a row that end the run: nothing more would come of it."""
_MAX_SENTENCES = 16
_MIN_SENTENCE = 20


class Search(Protocol):
    """Finds templates: `reasonflux.store_client.TemplateStoreClient` is the real one."""

    async def search(self, request: SearchRequest) -> SearchResponse: ...


class TeacherConfig(Contract):
    pairs: Path = Field(description="JSON lines of problem, solution and answer")
    library: str = Field(default="math", description="the library that the store searches")
    candidates: int = Field(default=12, ge=1, le=100, description="templates shown to the teacher")
    repairs: int = Field(default=2, ge=0, description="how often an unusable reply is told back")
    concurrency: int = Field(default=8, ge=1, le=512)
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=2048, ge=64)


class Progress(Contract):
    total: int
    kept: int = 0
    verified: int = 0
    rejected: int = 0
    unanswered: int = Field(default=0, description="the engine failed; the next run tries them again")
    tokens: Tokens = Tokens()

    @property
    def left(self) -> int:
        return self.total - self.kept - self.rejected - self.unanswered


# --- the run --------------------------------------------------------------------------------------------------------


async def run(
    config: TeacherConfig,
    library: Library,
    engine: Engine,
    search: Search,
    folder: Path,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Every pair that has no line yet. Raises InvalidRequest, EngineError and what the search raises; what is done
    stays done."""
    pairs: dict[str, SolvedProblem] = {}
    for pair in read_pairs(config.pairs):
        pairs.setdefault(digest(pair.problem), pair)
    with lines.Appender(folder / TRAJECTORIES) as kept, lines.Appender(folder / REJECTS) as rejected:
        taught = {each.id: each for each in read_taught(folder) if each.id in pairs}
        refused = {each.id for each in read_rejects(folder)} & pairs.keys() - taught.keys()
        verified = sum(each.answer is not None for each in taught.values())
        so_far = Progress(total=len(pairs), kept=len(taught), verified=verified, rejected=len(refused))
        tally = _Tally(so_far, on_progress)
        waiting = iter([pair for name, pair in pairs.items() if name not in taught and name not in refused])

        async def work() -> None:
            for pair in waiting:
                try:
                    outcome = await teach(pair, config, library, engine, search)
                except EngineError as error:
                    tally.unanswered(error)
                    continue
                (kept if isinstance(outcome, Taught) else rejected).add(outcome)
                tally.add(outcome)

        await _all([work() for _ in range(config.concurrency)])
    return tally.progress


async def _all(works: Sequence[Coroutine[None, None, None]]) -> None:
    """The works at the same time; the first error ends them all and is raised."""
    workers = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


class _Tally:
    """Counts, and ends a run whose engine has gone."""

    def __init__(self, progress: Progress, on_progress: Callable[[Progress], None]) -> None:
        self.progress, self._on_progress, self._in_a_row = progress, on_progress, 0

    def add(self, outcome: Taught | Rejected) -> None:
        self._in_a_row = 0
        if isinstance(outcome, Taught):
            self._count("kept", *(["verified"] if outcome.answer is not None else []), tokens=outcome.tokens)
        else:
            self._count("rejected", tokens=outcome.tokens)

    def unanswered(self, error: EngineError) -> None:
        self._in_a_row += 1
        self._count("unanswered", tokens=error.tokens)
        if self._in_a_row >= GIVE_UP_AFTER:
            raise error

    def _count(self, *names: str, tokens: Tokens) -> None:
        counted = {name: getattr(self.progress, name) + 1 for name in names}
        self.progress = self.progress.model_copy(update={**counted, "tokens": self.progress.tokens + tokens})
        self._on_progress(self.progress)


# --- one problem ----------------------------------------------------------------------------------------------------


async def teach(
    pair: SolvedProblem, config: TeacherConfig, library: Library, engine: Engine, search: Search
) -> Taught | Rejected:
    """The pair's trajectory, or why there is none. Raises EngineError with the tokens spent."""
    try:
        statements = Problem(text=pair.problem).statements
    except ValidationError as error:
        return _rejected(pair, ProblemUnusable(error.errors()[0]["msg"]), "", Tokens())
    templates = await candidates(pair, config, library, search)
    messages, spent, reply = _ask(pair, statements, templates), Tokens(), ""
    schema = reply_schema(statements, templates)
    for attempt in range(config.repairs + 1):
        try:
            said = await engine.chat(
                messages,
                schema=schema,
                schema_name="trajectory",
                temperature=config.temperature,
                max_tokens=config.max_tokens,
                seed=attempt,
            )
            spent, reply = spent + said.tokens, said.text
            taught = read_reply(reply, pair, statements, templates)
            verified = await asyncio.to_thread(_verified, taught)
            return verified.model_copy(update={"tokens": spent})
        except EngineError as error:
            error.tokens = spent
            raise
        except NoTrajectory as error:
            if attempt == config.repairs or not isinstance(error, ReplyUnusable):
                return _rejected(pair, error, reply, spent)
            mend = _text("teacher_mend", fault=error.failure.message)
            messages = [*messages, Message(role="assistant", content=reply), Message(role="user", content=mend)]
    raise AssertionError("the last attempt returns or raises")


def _rejected(pair: SolvedProblem, error: NoTrajectory, reply: str, spent: Tokens) -> Rejected:
    return Rejected(
        id=digest(pair.problem),
        source=pair.source,
        reason=error.reason,
        message=error.failure.message,
        reply=reply,
        tokens=spent,
    )


async def candidates(
    pair: SolvedProblem, config: TeacherConfig, library: Library, search: Search
) -> tuple[ThoughtTemplate, ...]:
    """The templates that the store finds for the problem and the solution's sentences, the likeliest first."""
    sentences = [text for text in split_sentences(pair.solution) if len(text) >= _MIN_SENTENCE][:_MAX_SENTENCES]
    queries = tuple(Query(text=text) for text in dict.fromkeys([pair.problem, pair.solution, *sentences]))
    found = await search.search(SearchRequest(queries=queries, top_k=config.candidates, library=config.library))
    best: dict[str, float] = {}
    for candidate in (candidate for retrieval in found.retrievals for candidate in retrieval.candidates):
        if candidate.template_id in library:  # the store may have grown since
            best[candidate.template_id] = max(candidate.score, best.get(candidate.template_id, 0.0))
    ranked = sorted(best, key=lambda name: (-best[name], name))
    return tuple(library[name] for name in ranked[: config.candidates])


def _ask(pair: SolvedProblem, statements: Sequence[Statement], templates: Sequence[ThoughtTemplate]) -> list[Message]:
    told = {"statements": statements, "solution": pair.solution, "answer": pair.answer, "templates": templates}
    return [Message(role="user", content=_text("teacher", max_steps=MAX_STEPS, **told))]


def _verified(taught: Taught) -> Taught:
    """Raises AnswerDiffers."""
    last = taught.steps[-1].result
    if taught.answer is not None and not grade(last, taught.answer):
        raise AnswerDiffers(f"the last step gives {last}, but the answer is {taught.answer}")
    return taught


def _text(name: str, **values: object) -> str:
    return _environment().get_template(f"{name}.jinja").render(**values).strip()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("training", "prompts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["line"] = lambda text: " ".join(text.split())
    return environment
