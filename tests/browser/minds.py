"""A navigator for the browser tests, as a process of its own: the real service on scripted minds.

`uvicorn browser.minds:create --factory --port N`; the stories that it can tell are in `stories.py`.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import yaml
from browser.long_sessions import Flood, finished, flood
from browser.payloads import HOSTILE
from browser.stories import STORIES, Story, story_of
from fastapi import FastAPI, Request

from navigator.access.keys import Scope, mint
from navigator.access.memory import MemoryKeys
from navigator.app import build
from navigator.journal import MemoryJournal
from navigator.llm import NavigatorLLM
from navigator.planning import Profile
from navigator.settings import Settings
from navigator.testing import is_review, plan, review
from reasonflux.contracts import (
    Candidate,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    Message,
    Prompt,
    Retrieval,
    SearchRequest,
    SearchResponse,
    ThoughtTemplate,
    Tokens,
)
from reasonflux.testing.fake_engine import Call, FakeEngine
from reasonflux.testing.fakes import FakeTemplateStore

LIBRARY = Path(__file__).resolve().parents[2] / "services" / "template-store" / "library"
FIELDS = ("algebra", "number-theory")
WORDS = re.compile(r"\s*\S+")


def create() -> FastAPI:
    """The uvicorn factory. With REASONFLUX_ACCESS=keys it asks for keys; POST /test/key makes one."""
    journal, keys, templates = MemoryJournal(), MemoryKeys(), library()
    app = build(
        journal=journal,
        llm=NavigatorLLM(FakeEngine(reply, pace=0.002), Profile.INSTRUCT),
        templates=Shelf([*templates, hostile(templates[0])]),
        executor=Executor(),
        keys=keys,
        settings=Settings(navigator_workers=4),
    )
    _add_doors(app, journal, keys, templates[0])
    return app


class Shelf(FakeTemplateStore):
    """Ranks by the name as much as by all words, and tells what matched, as the real store does."""

    async def search(self, request: SearchRequest) -> SearchResponse:
        wide = await super().search(request.model_copy(update={"top_k": 100}))
        return SearchResponse(retrievals=tuple([await self._ranked(one, request.top_k) for one in wide.retrievals]))

    async def _ranked(self, found: Retrieval, top_k: int) -> Retrieval:
        rescored = (_rescored(one, found.query.name or found.query.text) for one in found.candidates)
        best = tuple(sorted(rescored, key=lambda one: (-one.score, one.name))[:top_k])
        fits = bool(best) and best[0].score >= 0.5
        template = await self.get(best[0].template_id) if fits else None
        return Retrieval(query=found.query, candidates=best, template=template)


def _rescored(one: Candidate, asked: str) -> Candidate:
    mine, theirs = (set(re.findall(r"[a-z0-9]+", text.lower())) for text in (asked, one.name))
    named = len(mine & theirs) / max(1, len(mine | theirs))
    told = {"parts": {"words": one.score, "name": named}, "matched": ("name",) if named >= 0.5 else ()}
    return one.model_copy(update={"score": (one.score + named) / 2, **told})


def library() -> list[ThoughtTemplate]:
    """Some fields of the shipped library."""
    files = [file for field in FIELDS for file in sorted((LIBRARY / field).rglob("*.yaml"))]
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [ThoughtTemplate.model_validate(yaml.load(file.read_text(encoding="utf-8"), loader)) for file in files]


def hostile(template: ThoughtTemplate) -> ThoughtTemplate:
    """A template with payloads wherever it has room for text."""
    instructed = tuple(template.steps[0].model_copy(update={"instruction": text}) for text in HOSTILE)
    told = {"description": " ".join(HOSTILE), "tags": HOSTILE[:12], "scope": HOSTILE, "pitfalls": HOSTILE}
    example = template.example.model_copy(update={"problem": " ".join(HOSTILE), "steps": HOSTILE})
    changed = {**told, "id": "hostile", "name": f"hostile {HOSTILE[0]}", "steps": instructed, "example": example}
    return template.model_copy(update=changed)


def reply(call: Call) -> str:
    """What the navigator LLM says."""
    asked = next(message.content for message in call.messages if message.content.startswith(("Problem:", "Earlier")))
    story = story_of(asked.rpartition("The reader now goes on:")[2])
    if not is_review(call):
        return plan(*story.steps, abstraction=story.abstraction)
    return _review(call.messages[-1].content, story)


def _review(outcome: str, story: Story) -> str:
    reviewed = int(re.findall(r"Step (\d+)", outcome)[0])
    if reviewed in story.reviews:
        return json.dumps(story.reviews[reviewed])
    if "Steps left in the plan: none." not in outcome:
        return review("continue", "the result is right")
    return review("finish", "every step is done", answer=f"r{reviewed}")


class Executor:
    """Carries steps out as their story tells, word by word."""

    async def prompt(self, request: InstantiateRequest) -> Prompt:
        return Prompt(messages=(Message(role="user", content=f"goal: {request.goal}"),))

    async def instantiate(
        self, request: InstantiateRequest, on_event: Callable[[InstantiateEvent], Awaitable[None]] | None = None
    ) -> Instantiation:
        story = story_of(" ".join(statement.text for statement in request.statements))
        told = story.results.get(request.goal) or _by_goal(request.goal)
        for word in WORDS.findall(told.reasoning):
            await asyncio.sleep(story.pace)
            if on_event is not None:
                await on_event(InstantiateEvent(delta=word))
        return told.model_copy(update={"usage": Tokens(prompt=165, cached=96, completion=47, calls=1)})


def _by_goal(goal: str) -> Instantiation:
    """A step that is shown none of the problem does not say whose it is; its goal does."""
    return next(story.results[goal] for story in STORIES if goal in story.results)


def _add_doors(app: FastAPI, journal: MemoryJournal, keys: MemoryKeys, template: ThoughtTemplate) -> None:
    """The long session is there from the start; the tests' own doors make a flood, let it go, and make a key."""
    begun, flooding = app.router.lifespan_context, set[asyncio.Task[None]]()
    held: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def lifespan(running: FastAPI) -> AsyncIterator[None]:
        await finished(journal, template)
        async with begun(running):
            yield

    app.router.lifespan_context = lifespan

    @app.post("/test/flood")
    async def start_flood(request: Request) -> dict[str, str]:
        asked = await request.json()
        held[asked["id"]] = go = asyncio.Event()
        of = Flood(asked["rate"], asked["seconds"], go)
        task = asyncio.create_task(flood(journal, asked["id"], of, template))
        flooding.add(task)
        task.add_done_callback(flooding.discard)
        return {"id": asked["id"]}

    @app.post("/test/flood/{session_id}/go")
    async def let_go(session_id: str) -> dict[str, str]:
        held.pop(session_id).set()
        return {"id": session_id}

    @app.post("/test/key")
    async def make_key(request: Request) -> dict[str, str]:
        scopes = frozenset(Scope(name) for name in (await request.json())["scopes"])
        key, record = mint("default", datetime.now(UTC), scopes=scopes)
        await keys.keep(record)
        return {"key": key}
