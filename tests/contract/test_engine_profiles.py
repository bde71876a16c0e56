"""Engine profiles: operators name engines, clients choose one by name, and both roles run on it."""

import json
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from executor.app import create as create_executor
from executor.settings import Settings as ExecutorSettings
from navigator.journal import MemoryJournal
from navigator.settings import Settings
from navigator.testing import on_fakes, opened, plan, review, script, step
from reasonflux.client import ExecutorClient
from reasonflux.contracts import ErrorBody, FailureKind, InstantiateRequest, Outcome, Session
from reasonflux.errors import InvalidRequest
from reasonflux.testing.fake_engine import fake_openai_app
from reasonflux.testing.fakes import FakeExecutor
from reasonflux.testing.serving import served

PROBLEM = {"problem": "What is 3 + 4?"}
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "What is 3 + 4?"}]
STEP = '{"fits": true, "reasoning": "add", "expressions": ["3 + 4"]}'


def solves(times: int = 5) -> Any:
    return script([plan(step("add", "s1"))] * times, [review("finish", answer="r1")] * times)


class House:
    """A navigator whose own engine must not be asked, and another one by the name `large`."""

    def __init__(self, **fields: Any) -> None:
        self.executor, self.journal = FakeExecutor(lambda _: "7"), MemoryJournal()
        settings = {"engines": {"large": solves()}, **fields}
        self.app = on_fakes(_never, executor=self.executor, journal=self.journal, **settings)


def _never(call: object) -> str:
    raise AssertionError("another engine was chosen")


async def finished(client: httpx.AsyncClient, made: httpx.Response) -> Session:
    await client.get(f"{made.headers['location']}/events", headers={"Accept": "text/event-stream"})
    return Session.model_validate_json((await client.get(made.headers["location"])).content)


async def test_a_session_runs_on_the_engine_that_it_names_in_both_roles() -> None:
    house = House()
    async with opened(house.app) as client:
        session = await finished(client, await client.post("/v1/sessions", json={**PROBLEM, "engine": "large"}))
        metrics = (await client.get("/metrics")).text

    assert (session.outcome, session.options.engine) == (Outcome.SOLVED, "large")
    assert [request.engine for request in house.executor.requests] == ["large"]
    assert f'engine="large",kind="prompt",role="navigator"}} {float(session.usage.navigator.prompt)}' in metrics
    assert 'engine="default"' not in metrics


@pytest.mark.parametrize("model", ["reasonflux@large", "reasonflux/math@large"])
async def test_openai_clients_choose_an_engine_with_the_model(model: str) -> None:
    async with opened(House().app) as client:
        chat = await client.post(CHAT, json={"model": model, "messages": MESSAGES})
        response = await client.post("/v1/responses", json={"model": model, "input": "What is 3 + 4?"})

    assert chat.json()["choices"][0]["message"]["content"] == r"The answer is \boxed{7}"
    assert (chat.json()["model"], response.json()["model"]) == (model, "reasonflux/math@large")


async def test_a_plain_call_goes_to_the_engine_that_it_names() -> None:
    async with opened(House(engines={"large": ["a title"]}).app) as client:
        reply = (await client.post(CHAT, json={"model": "reasonflux-direct@large", "messages": MESSAGES})).json()
    assert (reply["choices"][0]["message"]["content"], reply["model"]) == ("a title", "reasonflux-direct@large")


@pytest.mark.parametrize("name", ["huge", "http://169.254.169.254/v1", "LARGE", "", "large/../default"])
async def test_a_name_that_is_none_is_refused_before_anything_runs(name: str) -> None:
    house = House()
    async with opened(house.app) as client:
        refused = await client.post("/v1/sessions", json={**PROBLEM, "engine": name})
        chat = await client.post(CHAT, json={"model": f"reasonflux@{name}", "messages": MESSAGES})

    assert (refused.status_code, chat.status_code) == (400, 404)
    error = ErrorBody.model_validate_json(refused.content).error
    assert (error.type, error.param) == ("invalid_request", "engine")
    assert await house.journal.list() == ()


async def test_the_refusal_lists_the_engines_there_are() -> None:
    async with opened(House().app) as client:
        refused = await client.post("/v1/sessions", json={**PROBLEM, "engine": "huge"})
        chat = await client.post(CHAT, json={"model": "reasonflux@huge", "messages": MESSAGES})
    assert refused.json()["error"]["hint"] == "there are: default, large"
    assert "reasonflux/math@large" in chat.json()["error"]["hint"]


async def test_models_name_every_library_on_every_engine() -> None:
    async with opened(House().app) as client:
        cards = (await client.get("/v1/models")).json()["data"]
        one = await client.get("/v1/models/reasonflux/math@large")

    plain = ["reasonflux", "reasonflux/math", "reasonflux-direct"]
    assert [card["id"] for card in cards] == plain + [f"{name}@large" for name in plain]
    assert one.json()["reasonflux"] == {"library": "math", "engine": "large", "reads_instructions": True}


async def test_a_session_whose_engine_is_offered_no_more_fails_and_says_so() -> None:
    house = House(workers=0)
    async with opened(house.app) as client:
        made = await client.post("/v1/sessions", json={**PROBLEM, "engine": "large"})
    async with opened(on_fakes(_never, journal=house.journal)) as client:
        session = await finished(client, made)

    assert session.outcome is Outcome.FAILED
    assert session.last_failure is not None
    assert session.last_failure.kind is FailureKind.INVALID_REQUEST
    assert "large" in session.last_failure.message


# What operators set


def engines(**roles: Any) -> str:
    return json.dumps({"large": roles})


def test_engines_are_read_from_one_variable_and_keys_from_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    role = {"url": "http://big:8000/v1", "model": "big", "key_env": "BIG_KEY"}
    monkeypatch.setenv("REASONFLUX_ENGINES", engines(navigator=role))
    monkeypatch.setenv("BIG_KEY", "secret")

    chosen = Settings().other_engines["large"]
    assert chosen is not None
    config, profile = chosen
    assert (config.url, config.model, config.key, profile) == ("http://big:8000/v1", "big", "secret", "instruct")
    assert ExecutorSettings().other_engines == {"large": None}  # the executor stays on its own
    assert "secret" not in repr(Settings())


@pytest.mark.parametrize(
    "told",
    [
        engines(navigator={"url": "http://big:8000/v1", "model": "big", "key_env": "NOT_SET_ANYWHERE"}),
        engines(navigator={"url": "big:8000", "model": "big"}),
        engines(),
        json.dumps({"default": {"navigator": {"url": "http://big:8000/v1", "model": "big"}}}),
        json.dumps({"No Name": {"navigator": {"url": "http://big:8000/v1", "model": "big"}}}),
    ],
)
def test_engines_that_cannot_be_used_are_refused_at_start(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REASONFLUX_ENGINES", told)
    with pytest.raises(ValidationError):
        Settings()


async def test_the_executor_carries_a_step_out_on_the_engine_that_the_request_names() -> None:
    large = fake_openai_app([STEP], models=("big",))
    async with served(large) as url:
        settings = ExecutorSettings(
            calculator_processes=1,
            engines={"large": {"executor": {"url": f"{url}/v1", "model": "big"}}},
        )
        app = create_executor(settings, engine=fake_openai_app(_never).state.engine)
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as line:
            client = ExecutorClient(line, "http://executor")
            done = await client.instantiate(InstantiateRequest(goal="add", engine="large"))
            prompt = await client.prompt(InstantiateRequest(goal="add", engine="large"))
            with pytest.raises(InvalidRequest, match="huge") as refused:
                await client.instantiate(InstantiateRequest(goal="add", engine="huge"))

    assert done.result == "7"
    assert prompt.messages[0].role == "system"  # instruct, though the executor's own engine reads compact prompts
    assert refused.value.failure.hint == "there are: default, large"
