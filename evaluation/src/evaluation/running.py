"""The work of the command line: runs carried out on a terminal, from their begin or from where they stopped."""

import time
from pathlib import Path

from rich.console import Console

from evaluation.opening import Places, engine_named, needs_engine, opened
from evaluation.report import report
from evaluation.runs import Journal, RunSpec
from evaluation.showing import live, show, store
from evaluation.strategies.catalogue import label
from evaluation.strategies.solver import Solver
from reasonflux.errors import InvalidRequest, ReasonFluxError

RESULTS = Path(".reasonflux/eval")
"""Where result files go that nobody named."""

out = Console(highlight=False)


async def start(
    spec: RunSpec,
    path: Path | None,
    places: Places,
    concurrency: int,
    engine: str | None = None,
    model: str | None = None,
    *,
    plots: bool = False,
) -> int:
    """A new run, stored at `path` or under `.reasonflux/eval`. Returns the exit code."""
    if needs_engine(spec):
        if engine is None:
            hint = "say where its engine runs: --engine http://HOST:PORT/v1 (any OpenAI-compatible server)"
            raise InvalidRequest(f"{label(spec.strategy)} calls an engine itself", hint=hint)
        spec = spec.model_copy(update={"engine": await engine_named(engine, model, places.engine_key)})
    async with opened(spec, places):  # refuses what is not there before a file is made
        journal = Journal.begin(path or _unused(spec), spec)
    return await finish(journal, places, concurrency, plots=plots)


async def finish(journal: Journal, places: Places, concurrency: int, *, plots: bool = False) -> int:
    """Carry a run out to its end, store and show its report. Returns the exit code."""
    spec = journal.run.spec
    try:
        async with opened(spec, places) as means:
            solver = Solver(spec.strategy, means, journal.run.id, spec.seed, spec.samples)
            began = time.monotonic()
            await live(out, journal, solver, concurrency)
            out.print(f"[dim]{time.monotonic() - began:.0f} s[/]")
    except ReasonFluxError as error:
        if journal.path is None or not journal.attempts:
            raise
        hint = f"what is done is kept: go on with `reasonflux eval {spec.questions.name} --resume {journal.path}`"
        told = f"{error.failure.hint}; {hint}" if error.failure.hint else hint
        raise ReasonFluxError(error.failure.message, hint=told, kind=error.failure.kind) from error
    finally:
        journal.close()
    found = report(journal.run, journal.attempts)
    if journal.path is not None:
        written = store(found, journal.path, plots=plots)
        out.print(f"[dim]{', '.join(map(str, (journal.path, *written)))}[/]", soft_wrap=True)
    show(out, found)
    return 0


def _unused(spec: RunSpec) -> Path:
    """A result file that is not there yet."""
    name = "".join(sign if sign.isalnum() or sign in "@.-" else "-" for sign in spec.title.replace(", ", "."))
    numbered = (RESULTS / f"{name}.{number}.jsonl" for number in range(1, 10_000))
    return next(path for path in numbered if not path.exists())
