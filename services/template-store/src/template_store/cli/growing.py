"""Commands that let a library grow: drafts, trials, and an embedding model tuned on the library."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from reasonflux.client import ExecutorClient, NavigatorClient
from reasonflux.contracts import TemplateStatus, ThoughtTemplate
from reasonflux.engine import EngineConfig, OpenAIEngine, engine_http
from reasonflux.errors import Conflict, InvalidRequest
from reasonflux.http import http_client
from reasonflux.store_client import TemplateStoreClient
from template_store.cli.asking import (
    MATH,
    ByOption,
    LibraryOption,
    NoteOption,
    console,
    every,
    faulty,
    plain,
    progress,
    report,
    said,
)
from template_store.cli.checking import embedded
from template_store.ports import Vectors
from template_store.quality.duplicates import duplicates, meaning
from template_store.quality.validation import Finding
from template_store.settings import CliSettings


def extract(
    pairs: Annotated[Path | None, typer.Argument(help="JSON lines: problem, solution, answer")] = None,
    session: Annotated[list[str] | None, typer.Option(help="a solved session's id; may be given several times")] = None,
    repairs: Annotated[int, typer.Option(min=0, help="how often the checks' findings are told to the LLM")] = 2,
    library: LibraryOption = MATH,
    by: ByOption = "extract",
    note: NoteOption = "",
) -> None:
    """Let an LLM draft templates from solved problems (REASONFLUX_TEACHER_URL, …_MODEL, …_KEY say which LLM).

    Drafts are checked and enter quarantined; `templates trial` and `templates activate` take them further."""
    asyncio.run(_extract(pairs, session or [], repairs, library, by, note))


async def _extract(pairs: Path | None, sessions: list[str], repairs: int, library: str, by: str, note: str) -> None:
    from calculator import Calculator
    from template_store.growth.extraction import SolvedProblem, extract, from_session, read_pairs
    from template_store.quality.checks import Checks

    config = _teacher()
    problems: list[SolvedProblem] = read_pairs(pairs) if pairs else []
    async with _services() as services, Calculator(processes=1) as calculator, engine_http(config) as line:
        for session in sessions:
            problems += from_session(await services.navigator.get(session))
        if not problems:
            raise InvalidRequest("there is no solved problem to learn from", hint="give a file of pairs, or --session")
        held = await every(services.store, library)
        likeness = await _Likeness.to(held)
        kept, refused = 0, []
        for number, pair in enumerate(problems, 1):
            progress.print(plain(f"{number}/{len(problems)} {pair.source}", style="dim"))
            found = await extract(pair, OpenAIEngine(line, config), Checks(calculator), held, repairs=repairs)
            refused += faulty(found.source, found.faults)
            if found.template is None or any(fault.field == "name" for fault in found.faults):
                continue
            alike = await likeness.of(found.template)
            if alike:
                refused += [(found.source, finding.where, finding.message) for finding in alike]
                continue
            try:
                said(await services.store.create(found.template, library=library, by=by, note=note))
            except (Conflict, InvalidRequest) as error:  # the other drafts are not held up
                refused.append((found.source, error.param or "", error.failure.message))
                continue
            held.append(found.template)
            kept += 1
    console.print(f"{len(problems)} solved problems: {kept} drafts, all quarantined")
    if refused:
        report(refused, first="from")


class _Likeness:
    """Whether a draft is a template that is there already, by its meaning and its formulas."""

    def __init__(self, held: list[ThoughtTemplate], vectors: Vectors) -> None:
        self._held, self._vectors = held, vectors

    @classmethod
    async def to(cls, held: list[ThoughtTemplate]) -> "_Likeness":
        return cls(list(held), await embedded([meaning(template) for template in held]))

    async def of(self, draft: ThoughtTemplate) -> list[Finding]:
        """What it repeats; a draft that repeats nothing is remembered for the next one."""
        vectors = np.concatenate([self._vectors, await embedded([meaning(draft)])])
        found = [f for f in duplicates([*self._held, draft], vectors) if f.template_id == draft.id]
        if not found:
            self._held, self._vectors = [*self._held, draft], vectors
        return found


def _teacher() -> EngineConfig:
    settings = CliSettings()
    if not settings.teacher_url or not settings.teacher_model:
        raise InvalidRequest(
            "no LLM is named that could write drafts",
            hint="set REASONFLUX_TEACHER_URL (http://127.0.0.1:8010/v1) and REASONFLUX_TEACHER_MODEL",
        )
    key = settings.teacher_key.get_secret_value() if settings.teacher_key else None
    return EngineConfig(url=settings.teacher_url, model=settings.teacher_model, key=key)


@dataclass(frozen=True)
class _Services:
    store: TemplateStoreClient
    executor: ExecutorClient
    navigator: NavigatorClient


@asynccontextmanager
async def _services() -> AsyncIterator[_Services]:
    settings = CliSettings()
    async with http_client() as http:
        yield _Services(
            TemplateStoreClient(http, settings.template_store_url),
            ExecutorClient(http, settings.executor_url),
            NavigatorClient(http, settings.navigator_url),
        )


def trial(
    template_id: str,
    variants: Annotated[int, typer.Option(min=1, help="fresh variants of its example")] = 20,
    margin: Annotated[float, typer.Option(min=0, max=0.99, help="what it must add to the success rate")] = 0.1,
    seed: int = 0,
    activate: Annotated[bool, typer.Option(help="activate it when it passes")] = False,
    library: LibraryOption = MATH,
    by: ByOption = "trial",
) -> None:
    """Let the running executor solve fresh variants with the template and without.

    Exit code 1 when the template does not add the margin, 95% sure."""
    asyncio.run(_trial(template_id, variants, margin, seed, activate, library, by))


async def _trial(template_id: str, count: int, margin: float, seed: int, activate: bool, library: str, by: str) -> None:
    from calculator import Calculator
    from template_store.growth.trial import trial

    async with _services() as services, Calculator(processes=1) as calculator:
        template = await services.store.get(template_id, library=library)
        with progress.status(f"solving {count} variants twice"):
            found = await trial(template, services.executor, calculator, count=count, seed=seed, margin=margin)
        table = Table("variant", "answer", "with", "without")
        for pair in found.pairs:
            marks = ("right" if right else "wrong" for right in (pair.with_template, pair.without))
            table.add_row(plain(pair.variant.problem), pair.variant.answer, *marks)
        console.print(table)
        console.print(plain(str(found)))
        if not found.passed:
            console.print("not passed")
            raise typer.Exit(1)
        console.print("passed")
        if activate and template.status is not TemplateStatus.ACTIVE:
            note = f"trial: {found}"
            said(await services.store.activate(template_id, library=library, by=by, note=note))


def tune(
    to: Annotated[Path, typer.Option(help="folder for the tuned model")] = Path(".reasonflux/embedding"),
    folder: Annotated[Path | None, typer.Argument(help="a library folder; default: the configured one")] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="stop training after this long")] = 6.0,
) -> None:
    """Fine-tune the embedding model on the library's own queries. REASONFLUX_EMBEDDING_MODEL takes the folder."""
    from template_store import library
    from template_store.retrieval import tuning
    from template_store.settings import Settings

    templates = library.read(folder or Settings().library_dir)
    console.print(plain(str(tuning.tune(templates, to, minutes=minutes))))
