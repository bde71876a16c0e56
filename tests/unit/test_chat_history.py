"""What a chat client's history tells: no more than texts, and in ours there is an answer."""

import pytest

from navigator.api.conversation import Said, split
from navigator.api.outcome import ANSWER, answer_in


@pytest.mark.parametrize("answer", ["820", r"\frac{1203}{2}", r"\left\{1, 2\right\}", "x = 3"])
def test_the_answer_is_read_back_from_a_reply_of_ours(answer: str) -> None:
    assert answer_in(f" {ANSWER.format(answer=answer)}\n") == answer


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "820",
        r"So the answer is \boxed{820}",
        r"The answer is \boxed{820}, I think.",
        r"The answer is \boxed{}",
        r"The answer is \boxed{1} or \boxed{2}",
        "I could not solve this problem: no template fits",
        "The answer is \\boxed{820}\nNo: \\boxed{821}",
    ],
)
def test_other_replies_are_left_as_they_are(reply: str) -> None:
    assert answer_in(reply) is None


def test_a_follow_up_in_a_chat_has_the_earlier_answer_as_a_result() -> None:
    said = [Said("user", "3 + 4?"), Said("assistant", ANSWER.format(answer="7")), Said("user", "Twice that?")]
    (turn,), problem = split(said)
    assert problem == "Twice that?"
    assert [(step.goal, step.result) for step in turn.steps] == [("Find the value of the answer", "7")]


def test_a_follow_up_to_another_model_s_reply_has_the_reply_alone() -> None:
    (turn,), _ = split([Said("user", "3 + 4?"), Said("assistant", "7!"), Said("user", "Twice that?")])
    assert (turn.reply, turn.steps) == ("7!", ())
