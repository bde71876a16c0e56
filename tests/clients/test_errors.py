"""What clients make of a refusal: their own typed errors with our words, and another try when they were told to.

The navigator is the real one with keys; its engines are scripted, as no request here is about what they say.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from clients.installed import PROBLEM, Workplace, know_the_model, need

from navigator.access.keys import mint
from navigator.access.limits import Ask, Limits, Refusal, Room, Standing, Verdict
from navigator.access.memory import MemoryAdmission, MemoryKeys
from navigator.testing import is_review, on_fakes, plan, review, step
from reasonflux.testing.fake_engine import Call
from reasonflux.testing.serving import served

PAUSE = 3
"""Seconds, as Retry-After: longer than what any of the clients would wait by itself before its first other try."""

ERRORS = {
    "refused_openai.py": ("AuthenticationError", "NotFoundError", "RateLimitError"),
    "refused_langchain.py": ("AuthenticationError", "NotFoundError", "RateLimitError"),
    "refused_litellm.py": ("AuthenticationError", "NotFoundError", "RateLimitError"),
    "refused_ai_sdk.mjs": ("APICallError", "APICallError", "APICallError"),
    "refused_ours.py": ("Unauthorized", "InvalidRequest", "RateLimited"),
}
NEEDS = {
    "refused_langchain.py": "langchain_openai",
    "refused_litellm.py": "litellm",
    "refused_ai_sdk.mjs": "@ai-sdk/openai-compatible",
}


class Reluctant(MemoryAdmission):
    """Turns the tenant `busy` away so many times, and remembers when it came."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self._refusals, self.came = refusals, list[float]()

    async def admit(self, ask: Ask, limits: Limits, room: Room) -> Verdict:
        if ask.tenant != "busy":
            return await super().admit(ask, limits, room)
        self.came.append(time.monotonic())
        if len(self.came) > self._refusals:
            return await super().admit(ask, limits, room)
        return Verdict(standing=Standing(), refusal=Refusal(reason="requests", seconds=PAUSE))


@dataclass(frozen=True)
class House:
    url: str
    good: str
    busy: str
    admission: Reluctant


@asynccontextmanager
async def house(refusals: int) -> AsyncIterator[House]:
    """A navigator that asks for keys."""

    def replies(call: Call) -> str:
        return review("finish", answer="r1") if is_review(call) else plan(step("add", "s1"))

    keys, admission = MemoryKeys(), Reluctant(refusals)
    told = {}
    for tenant in ("good", "busy"):
        told[tenant], record = mint(tenant, datetime.now(UTC))
        await keys.keep(record)
    limits: Any = {"tenant_requests": 1_000}
    app = on_fakes(replies, lambda _: "820", keys=keys, admission=admission, access="keys", **limits)
    async with served(app) as url:
        yield House(url, told["good"], told["busy"], admission)


@pytest.mark.parametrize("program", ERRORS)
async def test_a_client_names_what_it_was_refused_for_and_comes_back_when_told(program: str, tmp_path: Path) -> None:
    if program in NEEDS:
        need(NEEDS[program])
    async with house(refusals=2) as at:
        workplace = Workplace(tmp_path, at.url)
        command = workplace.program(program, at.url, at.good, at.busy, PROBLEM)
        printed = await asyncio.to_thread(workplace.run, *command, ours=program not in NEEDS)
    report: Any = json.loads(printed.splitlines()[-1])

    refusals = [report[what] for what in ("bad key", "no such model", "too many")]
    assert tuple(refusal["error"] for refusal in refusals) == ERRORS[program]
    assert [refusal["status"] for refusal in refusals] == [401, 400 if "ours" in program else 404, 429]
    for refusal, words in zip(refusals, ("API key", "poems", "requests a minute"), strict=True):
        assert words in refusal["says"]
    assert report["answer"] == r"The answer is \boxed{820}"
    _, refused, let_in = at.admission.came
    assert let_in - refused >= PAUSE


async def test_llm_sends_its_key_says_what_is_wrong_and_comes_back_when_told(tmp_path: Path) -> None:
    need("llm")
    async with house(refusals=1) as at:
        workplace = Workplace(tmp_path, at.url)
        await asyncio.to_thread(know_the_model, workplace, api_key_name="reasonflux")
        ask = ("llm", "-m", "reasonflux", "--key")
        with pytest.raises(AssertionError, match="API key"):
            await asyncio.to_thread(workplace.run, *ask, "wrong", PROBLEM)
        printed = await asyncio.to_thread(workplace.run, *ask, at.busy, PROBLEM)
    assert printed.strip() == r"The answer is \boxed{820}"
    refused, let_in = at.admission.came
    assert let_in - refused >= PAUSE


async def test_the_command_line_says_what_is_wrong_with_a_key(tmp_path: Path) -> None:
    async with house(refusals=0) as at:
        workplace = Workplace(tmp_path, at.url)
        with pytest.raises(AssertionError, match="key"):
            await asyncio.to_thread(workplace.run, "reasonflux", "solve", PROBLEM, ours=True)
        keyed = ("env", f"REASONFLUX_API_KEY={at.good}", "reasonflux", "solve", PROBLEM)
        assert "820" in await asyncio.to_thread(workplace.run, *keyed, ours=True)
