"""Drafts of templates from solved problems: an LLM writes them, the calculator checks them, and none is trusted.

Every draft enters quarantined, with where it came from. Sources are problem–solution pairs (JSON lines) and the traces
of sessions that solved a step without a template.
"""

import json
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import Field, ValidationError

from calculator import USAGES
from reasonflux.contracts import (
    Contract,
    Fault,
    Instantiation,
    Outcome,
    Provenance,
    Session,
    TemplateStatus,
    TemplateStep,
    TemplateType,
    ThoughtTemplate,
    Tokens,
    WorkedExample,
)
from reasonflux.engine import Engine, Message
from reasonflux.errors import InvalidRequest, ReasonFluxError
from reasonflux.json_reply import parse_reply
from template_store.exchange.v1 import slug
from template_store.growth import DRAFTED
from template_store.quality.checks import Checks
from template_store.retrieval.ranking import fold

MAX_TOKENS = 2_048
MAX_TAKEN = 40
"""Names shown to the LLM; a name that is taken all the same is a fault like any other."""


class SolvedProblem(Contract):
    """A problem and how it was solved. `source` says where it came from: a file's line, a session."""

    problem: str = Field(min_length=1)
    solution: str = Field(min_length=1)
    answer: str = ""
    source: str = ""


class Draft(Contract):
    """What the LLM writes: a template without what the library adds to it."""

    name: str = Field(min_length=3, max_length=120)
    type: TemplateType
    field: str
    tags: tuple[str, ...]
    description: str
    scope: tuple[str, ...]
    pitfalls: tuple[str, ...]
    variables: dict[str, str]
    steps: tuple[TemplateStep, ...]
    example: WorkedExample


class Extracted(Contract):
    """What became of one solved problem: a quarantined template, what is still wrong with it, and the tokens spent.
    Without a template, `faults` says why there is none."""

    source: str
    template: ThoughtTemplate | None = None
    faults: tuple[Fault, ...] = ()
    tokens: Tokens = Tokens()


def read_pairs(path: Path) -> list[SolvedProblem]:
    """The pairs of a JSON-lines file, each {"problem": …, "solution": …, "answer": …}.

    Raises InvalidRequest with the line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}", hint="give a file of JSON lines") from error
    return [_pair(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _pair(path: Path, number: int, line: str) -> SolvedProblem:
    try:
        data = json.loads(line)
        answer = str(data.get("answer") or "")
        return SolvedProblem(
            problem=data["problem"], solution=data["solution"], answer=answer, source=f"{path.name}:{number}"
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{path}, line {number}: no problem and solution in it"
        raise InvalidRequest(reason, hint='a line is {"problem": "…", "solution": "…"}') from error


def from_session(session: Session) -> list[SolvedProblem]:
    """The steps that a solved session carried out without a template, each as a problem of its own."""
    if session.outcome is not Outcome.SOLVED:
        return []
    return [
        SolvedProblem(
            problem=f"{session.problem.text} ({state.step.goal})",
            solution=_carried_out(state.instantiations[-1]),
            answer=state.result,
            source=f"session {session.id}, step {state.step.id}",
        )
        for state in session.steps
        if state.result is not None and (state.retrieval is None or state.retrieval.template is None)
    ]


def _carried_out(done: Instantiation) -> str:
    lines = [done.reasoning, *(f"{c.statement} gives {c.value}" for c in done.calculations if c.value is not None)]
    return "\n".join(line for line in lines if line.strip()) or f"It is {done.result}."


async def extract(
    pair: SolvedProblem, engine: Engine, checks: Checks, library: Sequence[ThoughtTemplate], *, repairs: int = 2
) -> Extracted:
    """One draft from one solved problem. What the checks find is told to the LLM up to `repairs` times.

    Raises EngineError and CalculatorUnavailable."""
    messages = _request(pair, library)
    spent = Tokens()
    outcome = Extracted(source=pair.source)
    for _ in range(repairs + 1):
        reply = await engine.chat(
            messages, schema=Draft.model_json_schema(), schema_name="template", max_tokens=MAX_TOKENS
        )
        spent += reply.tokens
        outcome = await _checked(reply.text, pair, checks, library)
        if not outcome.faults:
            break
        mend = _text("mend", faults=outcome.faults)
        messages = [*messages, Message(role="assistant", content=reply.text), Message(role="user", content=mend)]
    return outcome.model_copy(update={"tokens": spent})


def _request(pair: SolvedProblem, library: Sequence[ThoughtTemplate]) -> list[Message]:
    fields = sorted({template.field for template in library})
    system = _text("draft_system", types=[kind.value for kind in TemplateType], fields=fields, usages=USAGES)
    near = sorted(library, key=lambda template: -_shared(pair.problem, template))
    taken = [template.name for template in near[:MAX_TAKEN]]
    return [
        Message(role="system", content=system),
        Message(role="user", content=_text("draft", pair=pair, taken=taken)),
    ]


def _shared(problem: str, template: ThoughtTemplate) -> int:
    return len(set(fold(problem).split()) & set(fold(f"{template.name} {' '.join(template.tags)}").split()))


async def _checked(text: str, pair: SolvedProblem, checks: Checks, library: Sequence[ThoughtTemplate]) -> Extracted:
    try:
        draft = Draft.model_validate(parse_reply(text))
        template = _template(draft, pair, {held.id for held in library})
    except ValidationError as error:
        faults = tuple(Fault(field=".".join(map(str, d["loc"])) or "reply", message=d["msg"]) for d in error.errors())
        return Extracted(source=pair.source, faults=faults)
    except ReasonFluxError as error:
        return Extracted(source=pair.source, faults=(Fault(field="reply", message=error.failure.message),))
    faults = await checks.faults(template)
    holder = next((held.id for held in library if fold(held.name) == fold(template.name)), None)
    if holder is not None:
        faults += (Fault(field="name", message=f"is also the name of {holder}"),)
    return Extracted(source=pair.source, template=template, faults=faults)


def _template(draft: Draft, pair: SolvedProblem, taken: Collection[str]) -> ThoughtTemplate:
    base = slug(draft.name)
    ids = (base, *(f"{base[:76]}-{number}" for number in range(2, 1000)))
    return ThoughtTemplate(
        id=next(candidate for candidate in ids if candidate not in taken),
        provenance=Provenance(source=DRAFTED, detail=pair.source or None),
        status=TemplateStatus.QUARANTINED,
        **draft.model_dump(),
    )


def _text(name: str, **values: Any) -> str:
    return _environment().get_template(f"{name}.jinja").render(**values).strip()


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("template_store", "growth/prompts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
