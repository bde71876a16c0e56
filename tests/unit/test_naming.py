"""Results are known by the symbols that the problem's text gives them, and steps use what their statements mention."""

from itertools import islice

import pytest

from evaluation.ladder import LadderProblem, Split, generate
from navigator import naming
from reasonflux.contracts import Problem, Statement, Step

CHAINS = list(islice(generate(Split.TRAIN, (2, 3, 4, 5, 6), seed=9, distractors=0.25), 60))


def gold(problem: LadderProblem) -> list[Step]:
    return [Step(id=stage.id, goal=stage.goal, uses=stage.uses) for stage in problem.stages]


def told(*texts: str) -> tuple[Statement, ...]:
    return tuple(Statement(id=f"s{number}", text=text) for number, text in enumerate(texts, 1))


@pytest.mark.parametrize("problem", CHAINS, ids=lambda problem: problem.id)
def test_every_result_of_a_chain_has_the_symbol_that_its_text_gives_it(problem: LadderProblem) -> None:
    named = naming.symbols(Problem(text=problem.text).statements, gold(problem))
    assert named == dict(enumerate(problem.sketch.symbols[:-1], 1))


@pytest.mark.parametrize("problem", CHAINS, ids=lambda problem: problem.id)
def test_a_plan_that_names_only_statements_is_linked_as_the_text_is(problem: LadderProblem) -> None:
    steps = gold(problem)
    bare = [step.model_copy(update={"uses": tuple(u for u in step.uses if u.startswith("s"))}) for step in steps]
    linked = naming.linked(Problem(text=problem.text).statements, [], bare)
    assert [set(step.uses) for step in linked] == [set(step.uses) for step in steps]


@pytest.mark.parametrize(
    ("naming_sentence", "symbol"),
    [
        ("Let P be the area.", "P"),
        ("Let $P$ be the area.", "P"),
        ("We call it P from now on.", "P"),
        ("The area is denoted by P.", "P"),
        ("Suppose that P is the area of the base of Q.", "P"),
        ("A train needs the time P.", None),
        ("Let PQ be a line.", None),
        ("Let us find the area.", None),
    ],
)
def test_a_symbol_is_what_the_last_statement_of_a_step_names(naming_sentence: str, symbol: str | None) -> None:
    statements = told("The base is 3.", naming_sentence, "Double P, and add it to Q.")
    found = naming.symbols(statements, [Step(id=1, goal="Find the area", uses=("s1", "s2"))])
    assert found == ({} if symbol is None else {1: symbol})


def test_a_symbol_that_nothing_mentions_later_is_not_told() -> None:
    statements = told("Let P be 3 times 4.", "What is 2 + 2?")
    step = Step(id=1, goal="Find the product", uses=("s1",))
    assert naming.goals(statements, [step]) == {1: "Find the product"}


def test_a_symbol_belongs_to_the_first_step_that_takes_it() -> None:
    statements = told("Let P be 3 times 4.", "What is P + 2?")
    steps = [Step(id=1, goal="Find the product", uses=("s1",)), Step(id=2, goal="Find it again", uses=("s1",))]
    assert naming.goals(statements, steps) == {1: "P: Find the product", 2: "Find it again"}


def test_a_result_that_a_step_does_not_mention_is_taken_out_and_one_without_a_symbol_stays() -> None:
    statements = told("Let P be 3 times 4.", "Add 3 and 4.", "What is 5 times 5?")
    done = [Step(id=1, goal="a", uses=("s1",)), Step(id=2, goal="b", uses=("s2",))]
    statements = (*statements, Statement(id="s4", text="And what is P?"))
    (step,) = naming.linked(statements, done, [Step(id=3, goal="c", uses=("r1", "r2", "s3"))])
    assert step.uses == ("r2", "s3")
    assert step.depends_on == (2,)


def test_a_step_waits_for_the_result_that_its_statements_mention_and_for_what_was_asked_for() -> None:
    statements = told("Let P be 3 times 4.", "Let Q be 3 + 4.", "Double P and add Q.")
    done = [Step(id=1, goal="a", uses=("s1",)), Step(id=2, goal="b", uses=("s2",)), Step(id=3, goal="c")]
    (step,) = naming.linked(statements, done, [Step(id=4, goal="d", uses=("s3",), depends_on=(3,))])
    assert (step.uses, step.depends_on) == (("r1", "r2", "s3"), (1, 2, 3))


@pytest.mark.parametrize(
    ("sentence", "called"),
    [
        ("Let K be the previous answer.", "K"),
        ("Now let $K$ be that result.", "K"),
        ("Call the previous result K.", "K"),
        ("Take your last answer as K.", "K"),
        ("Add 180 to the previous answer.", "the previous answer"),
        ("What is That result plus K?", "That result"),
        ("Let K be the area.", None),
        ("Find the value of K.", None),
        ("Give the answer in degrees.", None),
    ],
)
def test_a_follow_up_calls_the_last_answer_by_a_symbol_or_in_words(sentence: str, called: str | None) -> None:
    assert naming.earlier(told("A rope is 3 meters long.", sentence)) == called
