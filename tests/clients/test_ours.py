"""Our own Python SDK and command line, used as docs/clients.md shows."""

import json
from contextlib import aclosing

import pytest
from clients.installed import FOLLOW_UP, PROBLEM, Workplace

from reasonflux.client import NavigatorClient
from reasonflux.contracts import CreateSession, Delta, Entry, Outcome, SessionFinished

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]


async def test_the_sdk_solves_follows_and_goes_on(url: str) -> None:
    async with NavigatorClient.open(url) as navigator:
        heard: list[Entry | Delta] = []

        async def hear(item: Entry | Delta) -> None:
            heard.append(item)

        first = await navigator.solve(PROBLEM, on_event=hear)
        second = await navigator.solve(FOLLOW_UP, parent=first.id)
    assert (first.outcome, first.answer, second.answer) == (Outcome.SOLVED, "820", "1000")
    entries = [item for item in heard if isinstance(item, Entry)]
    assert [entry.seq for entry in entries] == [*range(1, len(entries) + 1)]
    assert isinstance(entries[-1].event, SessionFinished)
    assert any(isinstance(item, Delta) for item in heard)


async def test_the_sdk_s_repeated_create_is_one_session(url: str, tmp_path: object) -> None:
    asked, key = CreateSession(problem=PROBLEM), f"clients-{tmp_path}"
    async with NavigatorClient.open(url) as navigator:
        once, again = await navigator.create(asked, key), await navigator.create(asked, key)
        assert once.id == again.id
        async with aclosing(navigator.events(once.id)) as events:
            async for _ in events:
                pass


def test_the_command_line_prints_a_journal_that_programs_read(workplace: Workplace) -> None:
    printed = workplace.run("reasonflux", "solve", "--json", PROBLEM, ours=True)
    entries = [json.loads(line) for line in printed.splitlines()]
    assert entries[-1]["event"]["answer"] == "820"
