"""Questions that follow up: what the navigator is shown of the conversation before them."""

from typing import Any

import httpx
import pytest

from navigator.journal import MemoryJournal
from navigator.llm import NavigatorLLM
from navigator.planning import Profile
from navigator.runner import Runner
from navigator.testing import is_review, on_fakes, opened, plan, review, script, step
from reasonflux.contracts import (
    Calculation,
    ErrorBody,
    Instantiation,
    Outcome,
    Problem,
    Session,
    SessionStarted,
    TemplateStep,
    TemplateType,
    ThoughtTemplate,
    Turn,
    TurnStep,
    WorkedExample,
)
from reasonflux.sse import read_sse
from reasonflux.testing.fake_engine import Call, FakeEngine
from reasonflux.testing.fakes import FakeExecutor, FakeTemplateStore

ADDING = ThoughtTemplate(
    id="adding-up",
    name="Adding up",
    type=TemplateType.FORMULA_RULE,
    field="arithmetic/sums",
    tags=("sum",),
    description="Add the parts to get the whole.",
    scope=("parts are given",),
    variables={"a": "a part", "b": "another"},
    steps=(TemplateStep(instruction="Add.", formula="whole = a + b"),),
    example=WorkedExample(problem="1 and 2?", bindings={"a": "1", "b": "2"}, answer="3", check="answer - b == a"),
)


class Navigator:
    """Solves problems with one step, and answers questions about the trace from what it is shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def __call__(self, call: Call) -> str:
        if is_review(call):
            return review("finish", "it adds up", answer="r1")
        self.shown.append(call.messages[1].content)
        asked = self.shown[-1].rpartition("The reader now goes on:")[2] or self.shown[-1]
        if "template" in asked.splitlines()[1]:
            return plan().replace('"complete"', '"reply": "Adding up.", "complete"')
        uses = ["s1", "s2"] if "The reader now goes on:" in self.shown[-1] else ["s1"]
        return plan(step("add the numbers", *uses, template="Adding up"))


def solving(llm: Any, executor: Any = None) -> Any:
    done = Instantiation(
        reasoning="Add 3 and 4.", calculations=(Calculation(statement="3 + 4", value="7"),), result="7"
    )
    return on_fakes(llm, executor=executor or FakeExecutor(lambda request: done), templates=[ADDING])


async def solved(client: httpx.AsyncClient, **body: Any) -> Session:
    made = await client.post("/v1/sessions", json=body)
    assert made.status_code == 201, made.text
    await client.get(f"{made.headers['location']}/events", headers={"Accept": "text/event-stream"})
    return Session.model_validate_json((await client.get(made.headers["location"])).content)


async def test_a_follow_up_is_shown_the_problem_the_trajectory_and_the_answer_before_it() -> None:
    llm = Navigator()
    async with opened(solving(llm)) as client:
        first = await solved(client, problem="What is 3 + 4?")
        second = await solved(client, problem="Now with 5 instead of 3.", parent=first.id)

    told = llm.shown[-1]
    for part in ("What is 3 + 4?", "add the numbers", "Adding up", "Add 3 and 4.", "3 + 4 = 7", r"\boxed{7}"):
        assert part in told
    assert second.parent == first.id
    assert second.outcome is Outcome.SOLVED


async def test_steps_of_a_follow_up_may_use_what_was_said_before() -> None:
    executor = FakeExecutor(lambda request: "9")
    async with opened(solving(Navigator(), executor)) as client:
        first = await solved(client, problem="What is 3 + 4?")
        await solved(client, problem="Now with 5 instead of 3.", parent=first.id)

    assert [(s.id, s.text) for s in executor.requests[-1].statements] == [
        ("s1", "Now with 5 instead of 3."),
        ("s2", "What is 3 + 4?"),
    ]


async def test_three_turns_make_a_conversation_and_the_parent_s_journal_may_be_gone() -> None:
    llm = Navigator()
    async with opened(solving(llm)) as client:
        first = await solved(client, problem="What is 3 + 4?")
        second = await solved(client, problem="Now with 5 instead of 3.", parent=first.id)
        await client.delete(f"/v1/sessions/{first.id}")
        third = await solved(client, problem="Which template did you use?", parent=second.id)

    assert [turn.problem for turn in third.turns] == ["What is 3 + 4?", "Now with 5 instead of 3."]
    assert (third.answer, third.reply, third.rounds) == ("Adding up.", "Adding up.", 0)


async def test_a_question_about_the_trace_is_answered_in_words_without_a_box() -> None:
    async with opened(solving(Navigator())) as client:
        first = await solved(client, problem="What is 3 + 4?")
        messages = [{"role": "user", "content": "Which template was it?"}]
        body = {"model": "reasonflux", "messages": messages, "metadata": {"parent": first.id}}
        reply = (await client.post("/v1/chat/completions", json=body)).json()

    assert reply["choices"][0]["message"]["content"] == "Adding up."
    assert reply["reasonflux"]["outcome"] == "solved"


async def test_earlier_messages_of_a_chat_are_turns() -> None:
    llm = Navigator()
    messages = [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": "Hello!"},
        {"role": "user", "content": "What is 3 + 4?"},
        {"role": "assistant", "content": "The answer is 7."},
        {"role": "user", "content": "Now with 5 instead of 3."},
    ]
    async with opened(solving(llm)) as client:
        reply = await client.post("/v1/chat/completions", json={"model": "reasonflux", "messages": messages})
        session = (await client.get(f"/v1/sessions/{reply.headers['x-reasonflux-session']}")).json()

    assert [(turn["problem"], turn["reply"]) for turn in session["turns"]] == [
        ("Hello!\n\nWhat is 3 + 4?", "The answer is 7.")
    ]
    assert session["problem"]["text"] == "Now with 5 instead of 3."
    assert "The answer is 7." in llm.shown[-1]
    assert "You are terse." in llm.shown[-1]


async def test_a_first_question_is_asked_as_ever() -> None:
    llm = Navigator()
    async with opened(solving(llm)) as client:
        await solved(client, problem="What is 3 + 4?")

    assert llm.shown[0].startswith("Problem:\ns1: What is 3 + 4?")
    assert "reply" not in llm.shown[0]


async def test_a_session_that_still_runs_cannot_be_followed_up() -> None:
    async with opened(on_fakes(script([]), workers=0)) as client:
        first = (await client.post("/v1/sessions", json={"problem": "What is 3 + 4?"})).json()
        response = await client.post("/v1/sessions", json={"problem": "And now?", "parent": first["id"]})

    assert response.status_code == 409
    assert ErrorBody.model_validate_json(response.content).error.param == "parent"


async def test_trained_weights_that_stop_half_way_have_given_no_answer() -> None:
    """The last result so far is not the answer; they are asked again, and then the session fails."""
    half = plan(step("add", "s1"), complete=False)
    engine = FakeEngine(
        lambda call: review("continue") if is_review(call) else half if len(engine.calls) == 1 else plan()
    )
    journal, executor = MemoryJournal(), FakeExecutor(lambda request: "9")
    await journal.create("s", SessionStarted(problem=Problem(text="Let K be 4 + 5. What is K?")))
    claim = await journal.claim("worker", 60)
    assert claim is not None
    runner = Runner(journal, NavigatorLLM(engine, Profile.COMPACT), FakeTemplateStore(), executor)
    session = await runner.run(claim)
    assert session.outcome is not Outcome.SOLVED
    assert session.answer is None


EARLIER = TurnStep(id=1, goal="Find the sum of two numbers", result="7")


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        ((), ""),
        ((Turn(problem=""),), ""),
        ((Turn(problem="What is 3 + 4?", reply="7"),), "s4: Earlier reply: 7\n"),
        (
            (Turn(problem="What is 3 + 4?", reply="7", steps=(EARLIER,)),),
            "s4: Earlier result: Find the sum of two numbers: 7\n",
        ),
    ],
)
async def test_trained_weights_are_shown_the_last_answer_beside_the_question(
    turns: tuple[Turn, ...], told: str
) -> None:
    engine = FakeEngine(script([plan(step("add", "s1"))], [review("finish", answer="r1")]))
    journal, executor = MemoryJournal(), FakeExecutor(lambda request: "9")
    await journal.create("s", SessionStarted(problem=Problem(text="Now with 5. How many?"), turns=turns))
    claim = await journal.claim("worker", 60)
    assert claim is not None
    runner = Runner(journal, NavigatorLLM(engine, Profile.COMPACT), FakeTemplateStore(), executor)
    session = await runner.run(claim)

    assert session.outcome is Outcome.SOLVED
    assert engine.calls[0].messages[-1].content == f"navigator\ns1: Now with 5.\ns2: How many?\n{told}plan all"
    assert engine.calls[0].schema_ is not None
    assert "reply" not in engine.calls[0].schema_["properties"]


async def test_a_reply_is_told_to_those_who_follow() -> None:
    async with opened(solving(Navigator())) as client:
        first = await solved(client, problem="What is 3 + 4?")
        messages = [{"role": "user", "content": "Which template was it?"}]
        body = {"model": "reasonflux", "messages": messages, "metadata": {"parent": first.id}, "stream": True}
        response = await client.post("/v1/chat/completions", json=body)

    async def content() -> Any:
        yield response.content

    told = [event.data async for event in read_sse(content())]
    assert any('"content":"Adding up."' in data for data in told)


async def test_a_long_chat_is_cut_to_its_latest_turns() -> None:
    llm = Navigator()
    messages = [
        {"role": role, "content": f"{role} {n} " + "x" * 3_900} for n in range(40) for role in ("user", "assistant")
    ]
    messages.append({"role": "user", "content": "What is 3 + 4?"})
    async with opened(solving(llm)) as client:
        reply = await client.post("/v1/chat/completions", json={"model": "reasonflux", "messages": messages})
        session = (await client.get(f"/v1/sessions/{reply.headers['x-reasonflux-session']}")).json()

    assert reply.status_code == 200
    assert [turn["problem"].split()[1] for turn in session["turns"]] == ["36", "37", "38", "39"]
