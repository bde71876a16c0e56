"""Whoever closes a client stops the engine: reasoning is seen while it is made, and no token is made after.

The engine goes on for TOKENS tokens (tests/unending.py), so a client that hears of the plan hears of it before its
end, and only its leaving can stop what follows. A program tells what it heard, leaves, and stays.
"""

import asyncio
import re
import signal
from pathlib import Path

import pytest
from clients.installed import PROBLEM, Workplace, know_the_model, need
from unending import TOKENS, WITHIN_SECONDS, Metrics, endless_navigator

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]

WAYS = {
    "leave_openai.py": ("stream", "responses", "timeout", "task"),
    "leave_langchain.py": ("stream", "timeout"),
    "leave_litellm.py": ("stream", "timeout"),
    "leave_ai_sdk.mjs": ("stream", "timeout"),
    "leave_ours.py": ("stream", "timeout"),
}
NEEDS = {
    "leave_langchain.py": "langchain_openai",
    "leave_litellm.py": "litellm",
    "leave_ai_sdk.mjs": "@ai-sdk/openai-compatible",
}
OURS = ("leave_openai.py", "leave_ours.py")
COMMANDS = {
    "llm": ("llm", "-m", "reasonflux", PROBLEM),
    "reasonflux": ("reasonflux", "solve", PROBLEM),
}

PATIENCE = 240.0
"""Seconds until a command has begun, at most: its imports alone take half a minute on a busy machine."""


async def stopped(engine: Metrics, before: float) -> None:
    await asyncio.sleep(WITHIN_SECONDS)
    assert await engine.running() == 0
    assert 0 < await engine.generated() - before < TOKENS


@pytest.mark.parametrize(("program", "way"), [(program, way) for program, ways in WAYS.items() for way in ways])
async def test_a_client_that_is_closed_stops_the_engine(
    program: str, way: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if program in NEEDS:
        need(NEEDS[program])
    engine = Metrics(request.getfixturevalue("engine"))
    before = await engine.generated()
    async with endless_navigator(engine.url) as url:
        workplace = Workplace(tmp_path, url)
        command = workplace.program(program, url, PROBLEM, way)
        async with workplace.running(*command, ours=program in OURS) as client:
            assert client.stdout is not None
            assert client.stderr is not None
            told = ""
            async for line in client.stdout:
                told += line.decode()
                if line.strip() == b"left":
                    break
            else:
                pytest.fail(f"{told}\n{(await client.stderr.read()).decode()}")
            await stopped(engine, before)
    assert bool(re.search(r"^heard \S", told, re.M)) is (way in ("stream", "responses"))
    gave_up = way == "timeout" or program == "leave_ours.py"
    assert bool(re.search(r"^error \w*(Timeout|Enough)", told, re.M)) is gave_up


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_that_is_interrupted_stops_the_engine(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if name == "llm":
        need("llm")
    engine = Metrics(request.getfixturevalue("engine"))
    before = await engine.generated()
    async with endless_navigator(engine.url) as url:
        workplace = Workplace(tmp_path, url)
        if name == "llm":
            know_the_model(workplace)
        async with workplace.running(*COMMANDS[name], ours=name != "llm") as command:
            assert command.stdin is not None
            command.stdin.close()  # llm reads it to its end first
            await engine.until_running(PATIENCE)
            command.send_signal(signal.SIGINT)
            await command.wait()
            await stopped(engine, before)
