"""What the log says of failures: enough to act on, and never what a client or an engine wrote."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from reasonflux.contracts import Failure, FailureKind, Problem, Trajectory
from reasonflux.engine import EngineConfig, Message, OpenAIEngine
from reasonflux.errors import from_failure
from reasonflux.observing import of_session
from reasonflux.service import create_app
from reasonflux.tracebacks import told

SECRET = "Marigold has 3 apples"


async def asked(act: Callable[[], Any]) -> httpx.Response:
    """The answer of a service whose endpoint does this."""
    router = APIRouter()

    @router.post("/act")
    async def endpoint() -> Any:
        return await act()

    @asynccontextmanager
    async def nothing(_: FastAPI) -> AsyncIterator[None]:
        yield

    app = create_app(title="kit", version="0", lifespan=nothing, routers=[router])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kit") as client:
        return await client.post("/act", headers={"x-session-id": "s1"})


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(400, json={"error": {"message": f"cannot read the input {SECRET}"}}),
        httpx.Response(422, json={"detail": [{"loc": ["body"], "input": SECRET}]}),
        httpx.Response(503, text=f"upstream choked on {SECRET}"),
        httpx.Response(200, text=f"<html>{SECRET}</html>"),
        httpx.Response(200, json={"choices": [], "error": f"no idea about {SECRET}"}),
    ],
)
async def test_what_an_engine_says_of_a_prompt_reaches_the_client_and_not_the_log(
    answer: httpx.Response, capsys: pytest.CaptureFixture[str]
) -> None:
    async def call() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as http:
            engine = OpenAIEngine(http, EngineConfig(url="http://engine/v1", model="m", retries=0))
            await engine.chat([Message(role="user", content=SECRET)])

    told_client = (await asked(call)).json()["error"]
    failed = [line for line in lines(capsys) if line["event"] == "request failed"]
    assert "Marigold" in told_client["message"]
    assert [line["kind"] for line in failed] == [told_client["type"]]
    assert "http://engine/v1" in failed[0]["message"]
    assert failed[0]["session"] == "s1"
    assert "Marigold" not in json.dumps(failed)


async def test_what_another_service_says_is_in_its_own_log_only(capsys: pytest.CaptureFixture[str]) -> None:
    async def call() -> None:
        raise from_failure(Failure(kind=FailureKind.TEMPLATE_UNFIT, message=f"does not fit: {SECRET}"))

    await asked(call)
    written = lines(capsys)
    assert "Marigold" not in json.dumps(written)
    assert any("template_unfit" in json.dumps(line) for line in written)


async def test_a_crash_tells_where_and_what_and_not_on_which_values(capsys: pytest.CaptureFixture[str]) -> None:
    async def call() -> None:
        Trajectory.model_validate({"steps": SECRET})

    assert (await asked(call)).status_code == 500
    (crash,) = [line for line in lines(capsys) if line["event"] == "request crashed"]
    assert "Trajectory.model_validate" in crash["exception"]
    assert "steps: tuple_type" in crash["exception"]
    assert "Marigold" not in json.dumps(crash)


def test_the_chain_of_causes_is_told_the_first_one_first() -> None:
    def fail() -> None:
        try:
            Problem(text="  ")
        except ValueError as error:
            raise KeyError("step") from error

    with pytest.raises(KeyError) as caught:
        fail()
    text = told(caught.value)
    assert text.index("ValidationError") < text.index("KeyError")


def test_every_failure_of_a_group_is_told() -> None:
    group = ExceptionGroup("two", [ValueError("one"), RuntimeError("other")])
    assert "ValueError: one" in told(group)
    assert "RuntimeError: other" in told(group)


async def test_lines_about_a_session_name_it(capsys: pytest.CaptureFixture[str]) -> None:
    from reasonflux.observing import configure_logging, logger

    configure_logging()
    with of_session("s2"):
        logger.info("inside")
    logger.info("outside")
    inside, outside = lines(capsys)
    assert inside["session"] == "s2"
    assert "session" not in outside
