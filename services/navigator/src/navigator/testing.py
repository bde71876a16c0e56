"""A whole navigator on fakes: the real loop, journal in memory, and engines that say what a test tells them to."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from navigator.access.ports import Admission, Keys
from navigator.app import Check, build
from navigator.journal import MemoryJournal
from navigator.llm import NavigatorLLM
from navigator.planning import Profile
from navigator.ports import Executor, Journal
from navigator.settings import Settings
from reasonflux.contracts import InstantiateRequest, ThoughtTemplate
from reasonflux.testing.fake_engine import Call, FakeEngine, Replies, Scripted
from reasonflux.testing.fakes import FakeExecutor, FakeTemplateStore, Outcome

Outcomes = Iterable[Outcome] | Callable[[InstantiateRequest], Outcome | Awaitable[Outcome]]


def step(goal: str, *uses: str, template: str = "") -> dict[str, Any]:
    """A step as the navigator LLM writes it; its number is its place in the plan unless `plan` is told otherwise."""
    return {"goal": goal, "template": template, "tags": [], "uses": list(uses)}


def plan(*steps: dict[str, Any], abstraction: str = "a small problem", first: int = 1, complete: bool = True) -> str:
    """The reply that tells a plan."""
    numbered = [{"id": number, **told} for number, told in enumerate(steps, first)]
    return json.dumps({"abstraction": abstraction, "steps": numbered, "complete": complete})


def review(verdict: str, reason: str = "", **fields: Any) -> str:
    """The reply that tells a review; `answer`, or `steps` as in `plan`."""
    return json.dumps({"reason": reason, "verdict": verdict, **fields})


def is_review(call: Call) -> bool:
    return "verdict" in (call.schema_ or {}).get("properties", {})


def script(plans: Iterable[Scripted], reviews: Iterable[Scripted] = ()) -> Callable[[Call], Scripted]:
    """Replies of a navigator LLM: plans and reviews used up one by one, whatever their order."""
    left = {False: iter(plans), True: iter(reviews)}

    def reply(call: Call) -> Scripted:
        return next(left[is_review(call)])

    return reply


def on_fakes(
    replies: Replies,
    outcomes: Outcomes = (),
    *,
    templates: Iterable[ThoughtTemplate] = (),
    journal: Journal | None = None,
    executor: Executor | None = None,
    http: httpx.AsyncClient | None = None,
    keys: Keys | None = None,
    admission: Admission | None = None,
    checks: Iterable[Check] = (),
    engines: Mapping[str, Replies] | None = None,
    workers: int = 4,
    **settings: Any,
) -> FastAPI:
    """The service with a scripted navigator engine and executor. What goes out of the house goes over `http`.

    `engines`: what the navigator LLM says on the engines that clients choose by name.
    """
    others = {name: NavigatorLLM(FakeEngine(told), Profile.INSTRUCT) for name, told in (engines or {}).items()}
    return build(
        journal=journal or MemoryJournal(),
        llm=NavigatorLLM(FakeEngine(replies), Profile.INSTRUCT, others=others),
        templates=FakeTemplateStore(templates),
        executor=executor or FakeExecutor(outcomes),
        http=http,
        keys=keys,
        admission=admission,
        checks=tuple(checks),
        settings=Settings(**{"navigator_workers": workers, "navigator_longest_back_off": 0.01, **settings}),
    )


@asynccontextmanager
async def opened(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running app, without a network. A response arrives when it is complete, streams too."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://navigator", timeout=None) as client:
            yield client
