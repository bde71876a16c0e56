"""The executor and the template store without their machinery, with the interface of their clients."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from reasonflux.contracts import (
    Calculation,
    Candidate,
    ChangeKind,
    Failure,
    FailureKind,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    LibraryInfo,
    Message,
    Prompt,
    Query,
    Retrieval,
    SearchRequest,
    SearchResponse,
    TemplateChange,
    TemplateHistory,
    TemplatePage,
    TemplateStatus,
    TemplateType,
    ThoughtTemplate,
    Tokens,
)
from reasonflux.errors import Conflict, NotFound, PreconditionFailed, ReasonFluxError

Outcome = Instantiation | str | ReasonFluxError
"""What the fake executor does: an instantiation, a plain result, or an error."""


class FakeExecutor:
    """Carries out steps as told: outcomes used up one by one, or a function of the request.

    `values` maps calculator statements to their values; any other statement is a calculation error. `requests` holds
    every request in order.
    """

    def __init__(
        self,
        outcomes: Iterable[Outcome] | Callable[[InstantiateRequest], Outcome | Awaitable[Outcome]] = (),
        *,
        values: Mapping[str, str] | None = None,
    ) -> None:
        self.requests: list[InstantiateRequest] = []
        self._function = outcomes if callable(outcomes) else None
        self._outcomes = iter(()) if callable(outcomes) else iter(outcomes)
        self._values = dict(values or {})

    async def instantiate(
        self, request: InstantiateRequest, on_event: Callable[[InstantiateEvent], Awaitable[None]] | None = None
    ) -> Instantiation:
        self.requests.append(request)
        outcome = await self._next(request)
        if isinstance(outcome, ReasonFluxError):
            if on_event is not None:
                await on_event(InstantiateEvent(failure=outcome.failure))
            raise outcome
        done = _instantiation(outcome) if isinstance(outcome, str) else outcome
        if on_event is not None:
            for word in re.findall(r"\s*\S+", done.reasoning):
                await on_event(InstantiateEvent(delta=word))
            for calculation in done.calculations:
                await on_event(InstantiateEvent(calculation=calculation))
            await on_event(InstantiateEvent(instantiation=done))
        return done

    async def prompt(self, request: InstantiateRequest) -> Prompt:
        return Prompt(messages=(Message(role="user", content=request.goal),))

    async def calculate(
        self, statements: Sequence[str], names: Mapping[str, str] | None = None
    ) -> tuple[Calculation, ...]:
        done: list[Calculation] = []
        for statement in statements:
            value = self._values.get(statement)
            error = None if value is not None else Failure(kind=FailureKind.CALCULATION_ERROR, message="not known here")
            done.append(Calculation(statement=statement, value=value, error=error))
            if error is not None:
                break
        return tuple(done)

    async def _next(self, request: InstantiateRequest) -> Outcome:
        if self._function is None:
            try:
                return next(self._outcomes)
            except StopIteration:
                raise AssertionError(f"no outcome is left for the request {request!r}") from None
        outcome = self._function(request)
        return await outcome if isinstance(outcome, Awaitable) else outcome


def _instantiation(result: str) -> Instantiation:
    return Instantiation(
        reasoning=f"It is {result}.",
        calculations=(Calculation(statement=result, value=result),),
        result=result,
        usage=Tokens(prompt=20, completion=5, calls=1),
    )


class FakeTemplateStore:
    """One library, `math`, in a dict. A query's score is the share of its words that a template's name, tags and
    description have; the best is chosen when it reaches `threshold`. `queries` holds every query in order. Templates
    are changed by revision as in the real store, but not checked."""

    def __init__(self, templates: Iterable[ThoughtTemplate] = (), *, threshold: float = 0.5) -> None:
        self.queries: list[Query] = []
        self._templates = {template.id: template for template in templates}
        self._earlier: dict[str, list[ThoughtTemplate]] = {key: [each] for key, each in self._templates.items()}
        self._threshold = threshold

    async def search(self, request: SearchRequest) -> SearchResponse:
        _only_math(request.library)
        return SearchResponse(retrievals=tuple(self._retrieve(query, request) for query in request.queries))

    async def get(self, template_id: str, *, library: str = "math", revision: int | None = None) -> ThoughtTemplate:
        _only_math(library)
        if template_id not in self._templates:
            raise NotFound(f"there is no template {template_id!r}")
        if revision is None:
            return self._templates[template_id]
        for template in self._earlier[template_id]:
            if template.revision == revision:
                return template
        raise NotFound(f"the template {template_id!r} has no revision {revision}")

    async def create(
        self, template: ThoughtTemplate, *, library: str = "math", by: str = "", note: str = ""
    ) -> ThoughtTemplate:
        _only_math(library)
        if template.id in self._templates:
            raise Conflict(f"id: there is a template {template.id!r} already", param="id")
        return self._keep(template, 1)

    async def update(
        self, template: ThoughtTemplate, *, library: str = "math", by: str = "", note: str = ""
    ) -> ThoughtTemplate:
        current = await self.get(template.id, library=library)
        if template.revision != current.revision:
            raise PreconditionFailed(f"the template {template.id!r} is at revision {current.revision}")
        return self._keep(template, current.revision + 1)

    async def activate(
        self, template_id: str, *, library: str = "math", by: str = "", note: str = ""
    ) -> ThoughtTemplate:
        return await self._move(template_id, library, TemplateStatus.ACTIVE)

    async def retire(self, template_id: str, *, library: str = "math", by: str = "", note: str = "") -> ThoughtTemplate:
        return await self._move(template_id, library, TemplateStatus.RETIRED)

    async def rollback(
        self, template_id: str, to: int, *, library: str = "math", by: str = "", note: str = ""
    ) -> ThoughtTemplate:
        earlier = await self.get(template_id, library=library, revision=to)
        return self._keep(earlier, self._templates[template_id].revision + 1)

    async def _move(self, template_id: str, library: str, status: TemplateStatus) -> ThoughtTemplate:
        current = await self.get(template_id, library=library)
        if current.status is status:
            return current
        return self._keep(current.model_copy(update={"status": status}), current.revision + 1)

    def _keep(self, template: ThoughtTemplate, revision: int) -> ThoughtTemplate:
        kept = template.model_copy(update={"revision": revision})
        self._templates[kept.id] = kept
        self._earlier.setdefault(kept.id, []).append(kept)
        return kept

    async def list(
        self,
        *,
        library: str = "math",
        field: str | None = None,
        type: TemplateType | None = None,
        tag: str | None = None,
        status: TemplateStatus | None = None,
        cursor: str = "",
        limit: int = 50,
    ) -> TemplatePage:
        _only_math(library)
        found = [
            template
            for name, template in sorted(self._templates.items())
            if name > cursor
            and (field is None or _under(template, field))
            and (type is None or template.type is type)
            and (tag is None or tag in template.tags)
            and (status is None or template.status is status)
        ]
        page = tuple(found[:limit])
        return TemplatePage(templates=page, next_cursor=page[-1].id if len(found) > limit else None)

    async def history(self, template_id: str, *, library: str = "math") -> TemplateHistory:
        current = await self.get(template_id, library=library)
        changes = tuple(
            TemplateChange(
                seq=seq,
                library=library,
                template_id=template_id,
                revision=template.revision,
                kind=ChangeKind.CREATED if seq == 1 else ChangeKind.UPDATED,
                at=datetime(2026, 1, 1, tzinfo=UTC),
                template=template,
            )
            for seq, template in enumerate(self._earlier[current.id], 1)
        )
        return TemplateHistory(library=library, template_id=template_id, changes=changes)

    async def libraries(self) -> tuple[LibraryInfo, ...]:
        counts = Counter(template.status for template in self._templates.values())
        revision = sum(map(len, self._earlier.values()))
        return (LibraryInfo(name="math", revision=revision, counts=dict(counts)),)

    def _retrieve(self, query: Query, request: SearchRequest) -> Retrieval:
        self.queries.append(query)
        asked = _words(query.name, query.text, *query.tags)
        allowed = [
            template
            for template in self._templates.values()
            if template.status is TemplateStatus.ACTIVE
            and (not request.types or template.type in request.types)
            and (not request.fields or any(_under(template, field) for field in request.fields))
        ]
        scored = [(len(asked & _searchable(template)) / max(1, len(asked)), template.id) for template in allowed]
        ranked = sorted(scored, key=lambda pair: (-pair[0], pair[1]))[: request.top_k]
        fits = bool(ranked) and ranked[0][0] >= self._threshold
        return Retrieval(
            query=query,
            candidates=tuple(
                Candidate(template_id=name, name=self._templates[name].name, score=score) for score, name in ranked
            ),
            template=self._templates[ranked[0][1]] if fits else None,
        )


def _only_math(library: str) -> None:
    if library != "math":
        raise NotFound(f"there is no library {library!r}", param="library")


def _under(template: ThoughtTemplate, field: str) -> bool:
    return template.field == field or template.field.startswith(f"{field}/")


def _searchable(template: ThoughtTemplate) -> set[str]:
    return _words(template.name, template.description, *template.tags)


def _words(*texts: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", " ".join(texts).lower()))
