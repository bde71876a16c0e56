"""The prompts that the executor LLM sees, and how its replies are read."""

import pytest
from jinja2 import UndefinedError

from executor.errors import ReplyUnusable
from executor.prompting import REPLY_SCHEMA, ExecutorReply, Profile, read, render, repair, with_names, write
from reasonflux.contracts import (
    Failure,
    FailureKind,
    InstantiateRequest,
    KnownResult,
    Statement,
    TemplateStep,
    TemplateType,
    ThoughtTemplate,
    WorkedExample,
)
from reasonflux.json_reply import ReplyUnparsable

TEMPLATE = ThoughtTemplate(
    id="arithmetic-series-sum",
    name="Sum of an arithmetic series",
    type=TemplateType.FORMULA_RULE,
    field="algebra/sequences",
    tags=("series",),
    description="Adds the terms of an arithmetic sequence.",
    scope=("a constant difference",),
    pitfalls=("not for geometric sequences",),
    variables={"a": "first term", "d": "common difference", "n": "number of terms"},
    steps=(
        TemplateStep(instruction="Find the last term.", formula="last = a + (n - 1)*d"),
        TemplateStep(instruction="Average first and last.", formula="n*(a + last)/2"),
    ),
    example=WorkedExample(
        problem="Add 1, 3, 5.", bindings={"a": "1", "d": "2", "n": "3"}, answer="9", check="answer == 1 + 3 + 5"
    ),
)
REQUEST = InstantiateRequest(
    goal="add the seats of all rows",
    template=TEMPLATE,
    statements=(Statement(id="s1", text="The first row has 12 seats."), Statement(id="s3", text="Each has 2 more.")),
    known=(KnownResult(name="r1", goal="count the rows", value="20"),),
)


def test_the_compact_prompt_is_exactly_what_the_weights_were_trained_on() -> None:
    (message,) = render(REQUEST, Profile.COMPACT)
    assert message.role == "user"
    assert message.content == (
        "executor\n"
        "goal: add the seats of all rows\n"
        "template: Sum of an arithmetic series\n"
        "formula: last = a + (n - 1)*d\n"
        "formula: n*(a + last)/2\n"
        "variables: a: first term; d: common difference; n: number of terms\n"
        "known: r1: count the rows\n"
        "The first row has 12 seats.\n"
        "Each has 2 more."
    )


def test_the_compact_prompt_without_a_template_and_with_feedback() -> None:
    request = InstantiateRequest(
        goal="compute 3 + 4\nnow", statements=(Statement(id="s1", text="What is 3 + 4?"),), feedback="the sign is wrong"
    )
    (message,) = render(request, "compact")
    assert message.content == (
        "executor\ngoal: compute 3 + 4 now\ntemplate: none\nWhat is 3 + 4?\nfeedback: the sign is wrong"
    )


def test_the_compact_prompt_leaves_out_the_marks_around_formulas_which_the_weights_never_saw() -> None:
    told = Statement(id="s1", text="Solve $x^2 - 7x + 10 = 0$.")
    (message,) = render(InstantiateRequest(goal="find x", statements=(told,)), Profile.COMPACT)
    assert message.content.endswith("\nSolve x^2 - 7x + 10 = 0.")


def test_the_compact_prompt_names_known_results_where_the_text_has_their_symbols() -> None:
    request = InstantiateRequest(
        goal="find the remainder",
        statements=(Statement(id="s1", text="Let $M$ be the remainder of $Q^2$ on division by K."),),
        known=(
            KnownResult(name="r6", goal="find the interest", value="7", symbol="Q"),
            KnownResult(name="r12", goal="find the sum", value="5", symbol="K"),
            KnownResult(name="r13", goal="find a sum without a symbol", value="6"),
        ),
    )
    (message,) = render(request, Profile.COMPACT)
    assert message.content.endswith("\nLet M be the remainder of r6^2 on division by r12.")


def test_a_symbol_inside_a_word_is_none() -> None:
    assert with_names("Kim has K pens and 2K caps, Kx.", {"K": "r1"}) == "Kim has r1 pens and 2r1 caps, Kx."


def test_a_result_called_in_words_is_named_in_their_place() -> None:
    assert with_names("Add 2 to the last answer.", {"the last answer": "s3"}) == "Add 2 to s3."


def test_the_instruct_prompt_tells_the_symbol_of_a_known_result_and_leaves_the_text() -> None:
    request = InstantiateRequest(
        goal="double",
        statements=(Statement(id="s2", text="Double P."),),
        known=(KnownResult(name="r1", goal="find the area", value="6", symbol="P"),),
    )
    user = render(request, Profile.INSTRUCT)[-1]
    assert "r1 = 6 (P: find the area)" in user.content
    assert "Double P." in user.content


def test_the_instruct_prompt_shows_all_that_the_step_may_know() -> None:
    system, user = render(REQUEST.model_copy(update={"feedback": "too small"}), Profile.INSTRUCT)
    assert (system.role, user.role) == ("system", "user")
    assert "powmod(a, b, m)" in system.content
    assert "never do arithmetic" in system.content
    for part in (
        *("Goal: add the seats of all rows", "Adds the terms", "2. Average first and last. Formula: n*(a + last)/2"),
        *("- d: common difference", "- not for geometric sequences", "Worked example: Add 1, 3, 5.", "Answer: 9"),
        *(
            "s1: The first row has 12 seats.",
            "s3: Each has 2 more.",
            "r1 = 20 (count the rows)",
            "not accepted: too small",
        ),
    ):
        assert part in user.content, part


def test_the_instruct_prompt_says_that_there_is_no_template() -> None:
    _, user = render(InstantiateRequest(goal="g"), Profile.INSTRUCT)
    assert "Template: none" in user.content


def test_braces_in_a_problem_are_not_template_code() -> None:
    request = InstantiateRequest(goal="{{ 7*7 }} {% if %}", statements=(Statement(id="s1", text="{{ goal }}"),))
    for profile in Profile:
        text = render(request, profile)[-1].content
        assert "{{ 7*7 }} {% if %}" in text
        assert "{{ goal }}" in text


def test_a_prompt_refuses_a_value_that_is_missing() -> None:
    from executor.prompting import _text

    with pytest.raises(UndefinedError):
        _text("compact", goal="g")


def test_a_repair_shows_the_failure_and_its_hint() -> None:
    failure = Failure(kind=FailureKind.CALCULATION_ERROR, message="1/0: division by zero", hint="mind the zero")
    assistant, user = repair("{…}", failure)
    assert (assistant.role, assistant.content, user.role) == ("assistant", "{…}", "user")
    assert "1/0: division by zero" in user.content
    assert "mind the zero" in user.content


def test_the_schema_asks_for_the_judgement_first() -> None:
    assert list(REPLY_SCHEMA["properties"]) == ["fits", "reasoning", "bindings", "expressions", "result"]
    assert REPLY_SCHEMA["required"] == ["fits", "reasoning"]
    assert REPLY_SCHEMA["additionalProperties"] is False


def test_a_reply_may_leave_out_or_write_plainly() -> None:
    reply = read(
        '{"fits": true, "reasoning": "so \\frac{1}{2}", "bindings": {"a": 3}, "expressions": null, "result": 0.5}'
    )
    assert (reply.reasoning, reply.bindings, reply.expressions, reply.result) == (
        r"so \frac{1}{2}",
        {"a": "3"},
        (),
        "0.5",
    )


@pytest.mark.parametrize("text", ["", "no", '{"fits": true', "[]"])
def test_text_without_an_object_is_unparsable(text: str) -> None:
    with pytest.raises(ReplyUnparsable):
        read(text)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ('{"reasoning": "r"}', "fits"),
        ('{"fits": true, "reasoning": "r", "bindings": [1]}', "bindings"),
        ('{"fits": true, "reasoning": "r", "expressions": [["1"]]}', "expressions"),
        ('{"fits": true, "reasoning": "r"}', "neither a calculation nor a result"),
        ('{"fits": true, "reasoning": "r", "result": " "}', "neither a calculation nor a result"),
    ],
)
def test_an_unusable_reply_says_what_is_missing(text: str, because: str) -> None:
    with pytest.raises(ReplyUnusable, match=because):
        read(text)


def test_a_written_reply_reads_back() -> None:
    reply = ExecutorReply(fits=True, reasoning=r"by \theta", bindings={"a": "r1"}, result="a/2")
    assert write(reply) == r'{"fits":true,"reasoning":"by \\theta","bindings":{"a":"r1"},"result":"a/2"}'
    assert read(write(reply)) == reply
