"""OpenAI's Responses API, spoken by OpenAI's own Python client, unmodified, over a real connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response

from navigator.journal import MemoryJournal
from navigator.testing import is_review, on_fakes, plan, review, step
from reasonflux.contracts import InstantiateRequest, Instantiation, Outcome, SessionFinished
from reasonflux.errors import EngineRefused
from reasonflux.testing.fake_engine import Call
from reasonflux.testing.serving import served

PROBLEM = "What is the sum of 3 and 4?"


class Gate:
    """An executor that says when it is called, and waits to be let through."""

    def __init__(self, *, open_: bool = True) -> None:
        self.called, self.open = asyncio.Event(), asyncio.Event()
        if open_:
            self.open.set()

    async def __call__(self, request: InstantiateRequest) -> Instantiation:
        self.called.set()
        await self.open.wait()
        return Instantiation(reasoning="3 + 4 = 7.", result="7")


def llm(call: Call) -> Any:
    said = " ".join(message.content for message in call.messages)
    if "refused" in said:
        return EngineRefused("the engine has no such model")
    if is_review(call):
        return review("finish", "it adds up", answer="r1")
    if "Which template" in said:
        return plan().replace('"complete"', '"reply": "You used Adding up.", "complete"')
    return plan(step("add them up", "s1", template="Adding up"), abstraction="a sum")


@asynccontextmanager
async def speaking(executor: Any = None, journal: MemoryJournal | None = None) -> AsyncIterator[openai.AsyncOpenAI]:
    app = on_fakes(llm, executor or Gate(), journal=journal)
    async with served(app) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def check(response: Response) -> None:
    assert (response.object, response.status) == ("response", "completed")
    assert response.output_text == r"The answer is \boxed{7}"
    reasoning, message = response.output
    assert (reasoning.type, message.type) == ("reasoning", "message")
    assert "3 + 4 = 7." in reasoning.summary[0].text
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0
    assert response.usage.output_tokens_details.reasoning_tokens == response.usage.output_tokens
    assert response.usage.input_tokens_details.cached_tokens > 0
    Response.model_validate(response.model_dump(), strict=False)  # every field that the client's type wants is there


async def test_a_plain_response_and_its_retrieval() -> None:
    async with speaking() as client:
        made = await client.responses.create(model="reasonflux", input=PROBLEM, metadata={"course": "algebra"})
        found = await client.responses.retrieve(made.id)

    check(made)
    assert found == made
    assert (made.model, made.metadata, made.background) == ("reasonflux/math", {"course": "algebra"}, False)


async def test_a_stream_adds_up_to_the_response() -> None:
    async with speaking() as client:
        events = [
            event async for event in await client.responses.create(model="reasonflux", input=PROBLEM, stream=True)
        ]

    kinds = [event.type for event in events]
    numbers = [event.sequence_number for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert numbers == sorted(set(numbers))
    last: Any = events[-1]
    check(last.response)
    text = [event.delta for event in events if event.type == "response.output_text.delta"]
    thought = "".join(event.delta for event in events if event.type == "response.reasoning_summary_text.delta")
    (whole,) = [event.text for event in events if event.type == "response.reasoning_summary_text.done"]
    assert "".join(text) == last.response.output_text
    assert "Plan: a sum" in thought
    assert "3 + 4 = 7." in whole
    entries = [event.reasonflux["entry"]["event"]["type"] for event in events if hasattr(event, "reasonflux")]  # type: ignore[attr-defined]
    assert entries[0] == "session.started"
    assert entries[-1] == "session.finished"


async def test_the_streaming_helper_of_the_client_accepts_the_events() -> None:
    async with speaking() as client, client.responses.stream(model="reasonflux", input=PROBLEM) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()

    assert kinds[-1] == "response.completed"
    assert final.output_text == r"The answer is \boxed{7}"


async def test_a_background_response_is_answered_at_once_and_goes_on() -> None:
    gate = Gate(open_=False)
    async with speaking(gate) as client:
        made = await client.responses.create(model="reasonflux", input=PROBLEM, background=True)
        await gate.called.wait()
        running = await client.responses.retrieve(made.id)
        gate.open.set()
        stream = await client.responses.retrieve(made.id, stream=True)
        last: Any = [event async for event in stream][-1]

    assert made.status in ("queued", "in_progress")
    assert (running.status, running.output, running.usage) == ("in_progress", [], None)
    check(last.response)


async def test_a_stream_is_resumed_after_any_event_without_gap_or_repeat() -> None:
    async with speaking() as client:
        made = await client.responses.create(model="reasonflux", input=PROBLEM)
        whole = [event async for event in await client.responses.retrieve(made.id, stream=True)]
        for place, event in enumerate(whole):
            stream = await client.responses.retrieve(made.id, stream=True, starting_after=event.sequence_number)
            assert [rest async for rest in stream] == whole[place + 1 :]


async def test_a_live_stream_that_broke_off_goes_on_where_it_was() -> None:
    gate = Gate(open_=False)
    async with speaking(gate) as client:
        seen = []
        stream = await client.responses.create(model="reasonflux", input=PROBLEM, background=True, stream=True)
        async for event in stream:
            seen.append(event)
            if gate.called.is_set():
                break
        await stream.close()
        gate.open.set()
        first: Any = seen[0]
        rest = await client.responses.retrieve(first.response.id, stream=True, starting_after=seen[-1].sequence_number)
        seen += [event async for event in rest]

    numbers = [event.sequence_number for event in seen]
    assert numbers == sorted(set(numbers))
    check(seen[-1].response)  # type: ignore[union-attr]


async def test_a_cursor_beyond_the_end_has_expired() -> None:
    async with speaking() as client:
        made = await client.responses.create(model="reasonflux", input=PROBLEM)
        with pytest.raises(openai.APIStatusError) as error:
            await client.responses.retrieve(made.id, stream=True, starting_after=10**12)

    assert error.value.status_code == 410


async def test_cancelling_ends_the_response_and_its_session() -> None:
    gate, journal = Gate(open_=False), MemoryJournal()
    async with speaking(gate, journal) as client:
        made = await client.responses.create(model="reasonflux", input=PROBLEM, background=True)
        await gate.called.wait()
        cancelled = await client.responses.cancel(made.id)
        again = await client.responses.cancel(made.id)

    assert cancelled.status == again.status == "cancelled"


async def test_a_client_that_leaves_cancels_what_is_not_in_the_background() -> None:
    gate, journal = Gate(open_=False), MemoryJournal()
    async with speaking(gate, journal) as client:
        stream = await client.responses.create(model="reasonflux", input=PROBLEM, stream=True)
        await gate.called.wait()
        await stream.close()
        (session_id,) = await journal.list()
        entries = [item async for item in journal.follow(session_id)]

    assert entries[-1].event.outcome is Outcome.CANCELLED  # type: ignore[union-attr]


async def test_a_deleted_response_is_gone_and_so_is_its_session() -> None:
    journal = MemoryJournal()
    async with speaking(journal=journal) as client:
        made = await client.responses.create(model="reasonflux", input=PROBLEM)
        await client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)

    assert await journal.list() == ()


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_not_stored_is_forgotten(stream: Any) -> None:
    journal = MemoryJournal()
    async with speaking(journal=journal) as client:
        made: Any = await client.responses.create(model="reasonflux", input=PROBLEM, store=False, stream=stream)
        if stream:
            assert [event.type async for event in made][-1] == "response.completed"

    assert await journal.list() == ()


async def test_a_follow_up_sees_the_response_before_it() -> None:
    async with speaking() as client:
        first = await client.responses.create(model="reasonflux", input=PROBLEM)
        second = await client.responses.create(
            model="reasonflux", input="Which template did you use?", previous_response_id=first.id
        )
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.responses.create(model="reasonflux", input="Why?", previous_response_id="resp_none")

    assert second.output_text == "You used Adding up."
    assert second.previous_response_id == first.id
    assert unknown.value.param == "previous_response_id"


async def test_a_session_can_be_read_as_a_response() -> None:
    async with speaking() as client:
        session = await client.post("/sessions", body={"problem": PROBLEM}, cast_to=dict[str, Any])
        stream = await client.responses.retrieve(f"resp_{session['id']}", stream=True)
        last: Any = [event async for event in stream][-1]

    check(last.response)


async def test_a_budget_that_runs_out_makes_an_incomplete_response() -> None:
    async with speaking() as client:
        made = await client.responses.create(model="reasonflux", input=PROBLEM, max_output_tokens=2)

    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"


async def test_a_failure_is_an_error_and_a_failed_response() -> None:
    async with speaking() as client:
        with pytest.raises(openai.InternalServerError) as error:
            await client.responses.create(model="reasonflux", input="A refused call?")
        stream = await client.responses.create(model="reasonflux", input="A refused call?", stream=True)
        last: Any = [event async for event in stream][-1]

    assert error.value.status_code == 502
    assert last.type == "response.failed"
    assert last.response.error.message == "the engine has no such model"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"text": {"format": {"type": "json_object"}}}, "text"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True, "store": False}, "body"),
        ({"input": []}, "input"),
        ({"input": " "}, "input"),
        ({"previous_response_id": "resp_" + "x" * 200}, "previous_response_id"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(asked: Any, param: str) -> None:
    async with speaking() as client:
        with pytest.raises(openai.BadRequestError) as error:
            await client.responses.create(**{"model": "reasonflux", "input": PROBLEM, **asked})

    assert error.value.param == param


async def test_a_list_of_messages_is_a_conversation() -> None:
    messages: Any = [
        {"role": "developer", "content": "Be terse."},
        {"role": "user", "content": "What is 1 + 1?"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "2", "annotations": []}]},
        {"role": "user", "content": [{"type": "input_text", "text": PROBLEM}]},
    ]
    journal = MemoryJournal()
    async with speaking(journal=journal) as client:
        check(await client.responses.create(model="reasonflux", input=messages))
        (session_id,) = await journal.list()
        first = (await journal.read(session_id))[0].event

    assert not isinstance(first, SessionFinished)
    assert [(turn.problem, turn.reply) for turn in first.turns] == [("What is 1 + 1?", "2")]  # type: ignore[union-attr]


async def test_an_id_that_is_no_response_s_is_not_found() -> None:
    async with speaking() as client, httpx.AsyncClient() as http:
        found = await http.get(f"{client.base_url}responses/none")

    assert found.status_code == 404
