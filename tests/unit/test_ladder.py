"""The ladder: families are right by two ways and told in full, problems are composed, split and varied as they say."""

import hashlib
import random
import re
from fractions import Fraction
from functools import cache
from itertools import islice
from pathlib import Path
from string import Formatter

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from calculator import evaluate_in_process
from evaluation.ladder import ALL, LadderProblem, Split, generate, similar
from evaluation.ladder.compose import compose, slots_of
from evaluation.ladder.family import Family, Parameters, Wording, show
from evaluation.ladder.problem import split_of
from reasonflux.contracts import Problem, ThoughtTemplate

LIBRARY = Path(__file__).parents[2] / "services" / "template-store" / "library"
DEPTHS = range(1, 7)
each_family = pytest.mark.parametrize("family", ALL.values(), ids=ALL.keys())


@cache
def library() -> dict[str, ThoughtTemplate]:
    return {
        path.stem: ThoughtTemplate.model_validate(yaml.safe_load(path.read_text())) for path in LIBRARY.rglob("*.yaml")
    }


@cache
def sample(split: Split, count: int, *depths: int, seed: int = 5) -> tuple[LadderProblem, ...]:
    return tuple(islice(generate(split, depths, seed=seed), count))


def drawn(family: Family, count: int, seed: int = 0) -> list[Parameters]:
    """`count` valid draws; fails rather than loops when a family hardly ever draws a valid one."""
    rng = random.Random(seed)
    valid = [p for p in (family.draw(rng) for _ in range(3 * count)) if family.valid(p)]
    assert len(valid) >= count, f"{family.name}: only {len(valid)} of {3 * count} draws are valid"
    return valid[:count]


def told(text: str, number: str) -> bool:
    """Whether the number stands in the text by itself, not as a part of another number."""
    return re.search(rf"(?<![\d.]){re.escape(number)}(?!\d|\.\d)", text) is not None


def in_words(family: Family, wording: Wording) -> str:
    return " ".join((*wording.facts, wording.quantity, wording.question or ""))


def test_there_are_twelve_families_and_four_wordings_of_each() -> None:
    assert len(ALL) >= 12
    assert all(len(set(family.wordings)) >= 4 for family in ALL.values())
    assert all(name == family.name for name, family in ALL.items())


def test_no_two_families_share_a_wording() -> None:
    texts = [in_words(family, wording) for family in ALL.values() for wording in family.wordings]
    assert [text for text in texts if texts.count(text) > 1] == []


@each_family
def test_two_ways_agree_on_every_draw(family: Family) -> None:
    for parameters in drawn(family, 300):
        value = family.value(parameters)
        assert isinstance(value, int | Fraction)
        assert family.check(parameters, value), (parameters, value)


@given(seed=st.integers(0, 10**9), name=st.sampled_from(sorted(ALL)))
@settings(max_examples=200, deadline=None)
def test_the_second_way_refuses_a_wrong_answer(seed: int, name: str) -> None:
    family = ALL[name]
    (parameters,) = (
        drawn(family, 1, seed) if family.valid(family.draw(random.Random(seed))) else drawn(family, 8, seed)[:1]
    )
    value = family.value(parameters)
    assert family.check(parameters, value)
    assert not family.check(parameters, value + 1)


@each_family
def test_every_wording_tells_every_variable(family: Family) -> None:
    (parameters,) = drawn(family, 1)
    shown = {variable: show(number) for variable, number in parameters.items()}
    phrases = family.phrases(shown, parameters) if family.phrases else {}
    for wording in family.wordings:
        slots = slots_of(wording)
        assert slots <= {*parameters, *family.choices, *phrases}, wording
        assert set(family.feeds) <= slots, f"a variable that can be fed is not shown: {wording}"
        if not slots & set(phrases):
            assert set(parameters) <= slots, wording


@each_family
def test_a_question_asks_with_the_numbers_that_its_quantity_has(family: Family) -> None:
    """A stage's question replaces its quantity, so together with the facts it must tell all that the quantity told."""
    for wording in family.wordings:
        if wording.question:
            facts = {slot for fact in wording.facts for _, slot, _, _ in Formatter().parse(fact) if slot}
            asked = {slot for _, slot, _, _ in Formatter().parse(wording.question) if slot}
            named = {slot for _, slot, _, _ in Formatter().parse(wording.quantity) if slot}
            assert (named - set(family.choices)) <= facts | asked, wording


@each_family
def test_facts_and_questions_are_whole_sentences(family: Family) -> None:
    for wording in family.wordings:
        assert all(fact.endswith(".") for fact in wording.facts), wording
        assert wording.question is None or wording.question.endswith(("?", ".")), wording
        assert not wording.quantity.endswith((".", "?")), wording


@each_family
def test_a_family_has_thousands_of_texts(family: Family) -> None:
    rng = random.Random(1)
    problems = [compose(rng, 1, [family], distractors=0) for _ in range(4_000)]
    assert len({problem.id for problem in problems if problem}) >= 1_500


@each_family
def test_the_template_is_in_the_library_with_the_same_variables(family: Family) -> None:
    template = library()[family.template_id]
    assert template.id == family.template_id
    assert set(template.variables) == set(drawn(family, 1)[0])
    assert not [name for name in template.variables if re.fullmatch(r"[rcs]\d+", name)]


@each_family
def test_the_template_carried_out_by_the_calculator_gives_the_gold_value(family: Family) -> None:
    formulas = library()[family.template_id].formulas
    for parameters in drawn(family, 40, seed=3):
        done = evaluate_in_process(formulas, {variable: show(number) for variable, number in parameters.items()})
        assert [calculation.error for calculation in done] == [None] * len(formulas)
        assert done[-1].value == show(family.value(parameters)), parameters


@pytest.mark.parametrize("split", Split)
def test_the_same_seed_gives_the_same_stream(split: Split) -> None:
    again = tuple(islice(generate(split, (1, 2, 3), seed=5), 60))
    assert sample(split, 60, 1, 2, 3) == again
    assert tuple(islice(generate(split, (1, 2, 3), seed=6), 60)) != again


def plain(problem: LadderProblem) -> str:
    return " ".join(problem.text.lower().split())


def test_train_and_heldout_never_overlap() -> None:
    train = {plain(problem) for problem in sample(Split.TRAIN, 4_000, 1, 2, 1, 3)}
    heldout = {plain(problem) for problem in sample(Split.HELDOUT, 1_500, 1, 2, 1, 3, seed=9)}
    assert (len(train), len(heldout)) == (4_000, 1_500)
    assert not train & heldout


def test_a_family_with_few_texts_does_not_leak_into_heldout() -> None:
    """The same texts come up again and again here, so a split by anything but the text would put some on both sides."""
    family = ["logarithm-of-power"]
    train = {plain(p) for p in islice(generate(Split.TRAIN, [1], seed=1, families=family, distractors=0), 2_000)}
    heldout = {plain(p) for p in islice(generate(Split.HELDOUT, [1], seed=2, families=family, distractors=0), 500)}
    assert not train & heldout


@given(problem=st.integers(0, 59))
@settings(max_examples=30, deadline=None)
def test_case_and_white_space_do_not_move_a_text_to_the_other_side(problem: int) -> None:
    text = sample(Split.HELDOUT, 60, 1, 2)[problem].text
    assert split_of(text.upper().replace(" ", " \n ")) is Split.HELDOUT


@pytest.mark.parametrize("depth", DEPTHS)
def test_problems_have_the_depth_that_was_asked_for(depth: int) -> None:
    for problem in sample(Split.TRAIN, 60, depth):
        assert problem.depth == depth
        assert [stage.id for stage in problem.stages] == list(range(1, depth + 1))
        assert problem.answer == problem.stages[-1].result


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_stage_uses_the_statements_that_tell_its_numbers(depth: int) -> None:
    for problem in sample(Split.HELDOUT, 60, depth):
        statements = {statement.id: statement.text for statement in Problem(text=problem.text).statements}
        for stage in problem.stages:
            family = ALL[stage.family]
            text = " ".join(statements[use] for use in stage.uses if use in statements)
            for variable, bound in stage.bindings.items():
                if not bound.startswith("r") and (not family.phrases or variable in family.feeds):
                    assert told(text, bound), (stage, text)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_last_statement_asks_for_the_last_stage(depth: int) -> None:
    for problem in sample(Split.TRAIN, 60, depth):
        last = Problem(text=problem.text).statements[-1]
        assert last.id in problem.stages[-1].uses
        assert last.text[0].isupper()
        assert last.text[-1] in ".?"
        owners = [use for stage in problem.stages for use in stage.uses if use.startswith("s")]
        assert len(owners) == len(set(owners))


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_earlier_result_is_used_by_a_later_stage(depth: int) -> None:
    for problem in sample(Split.TRAIN, 60, depth):
        used: set[str] = set()
        for stage in problem.stages:
            results = {use for use in stage.uses if use.startswith("r")}
            assert results == {bound for bound in stage.bindings.values() if bound.startswith("r")}
            assert all(int(result[1:]) < stage.id for result in results)
            used |= results
        assert used == {f"r{stage.id}" for stage in problem.stages[:-1]}


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_gold_trajectory_carried_out_gives_the_gold_results(depth: int) -> None:
    for problem in sample(Split.TRAIN, 40, depth):
        results: dict[str, str] = {}
        for stage in problem.stages:
            bindings = {variable: results.get(bound, bound) for variable, bound in stage.bindings.items()}
            done = evaluate_in_process(library()[stage.template_id].formulas, bindings)
            assert done[-1].value == stage.result, (stage, done)
            results[f"r{stage.id}"] = stage.result
        assert results[f"r{problem.depth}"] == problem.answer


def test_some_problems_branch_and_meet_again() -> None:
    meeting = [
        stage
        for problem in sample(Split.TRAIN, 60, 3)
        for stage in problem.stages
        if sum(use.startswith("r") for use in stage.uses) == 2
    ]
    assert meeting


def test_the_stream_of_a_seed_stays_what_it_was() -> None:
    """Measured figures name a seed and mean its problems. Problems of other families may change, these may not."""
    families = ["sum-of-two", "difference-of-two", "gcd", "lcm", "new-average", "logarithm-of-power"]
    problems = islice(generate(Split.HELDOUT, (1, 2, 3), seed=5, families=families), 150)
    text = "\n".join(f"{p.text} {p.answer} {[(s.template_id, s.bindings) for s in p.stages]}" for p in problems)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "8147ffd01fc87e36"


a_problem = st.builds(
    lambda split, depth, place: sample(split, 40, depth)[place],
    st.sampled_from(Split),
    st.sampled_from(DEPTHS),
    st.integers(0, 39),
)


@given(problem=a_problem, seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_similar_problems_have_the_same_trajectory_and_other_numbers(problem: LadderProblem, seed: int) -> None:
    others = similar(problem, 4, seed)
    assert len({other.text for other in (problem, *others)}) == 1 + len(others)
    for other in others:
        assert other.split is problem.split
        assert other.sketch == problem.sketch
        assert len(Problem(text=other.text).statements) == len(Problem(text=problem.text).statements)
        for ours, theirs in zip(problem.stages, other.stages, strict=True):
            assert (ours.template_id, ours.goal, ours.uses) == (theirs.template_id, theirs.goal, theirs.uses)
            assert fed(ours.bindings) == fed(theirs.bindings)
        assert [stage.bindings for stage in other.stages] != [stage.bindings for stage in problem.stages]


def fed(bindings: dict[str, str]) -> set[tuple[str, str]]:
    return {(variable, bound) for variable, bound in bindings.items() if bound.startswith("r")}


@given(problem=a_problem)
@settings(max_examples=40, deadline=None)
def test_the_answers_of_similar_problems_are_right_by_the_second_way(problem: LadderProblem) -> None:
    for other in similar(problem, 3, seed=1):
        results: dict[str, int] = {}
        for stage in other.stages:
            family = ALL[stage.family]
            parameters = {name: int(results.get(bound, bound)) for name, bound in stage.bindings.items()}
            assert family.valid(parameters)
            assert family.check(parameters, Fraction(stage.result)), stage
            if stage.id < other.depth:
                results[f"r{stage.id}"] = int(stage.result)
        assert other.answer == other.stages[-1].result


@given(problem=a_problem, seed=st.integers(0, 10**6), fewer=st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_asking_for_more_similar_problems_only_adds_some(problem: LadderProblem, seed: int, fewer: int) -> None:
    """Also after the problem was written to a file and read again."""
    read_again = LadderProblem.model_validate_json(problem.model_dump_json())
    assert similar(read_again, fewer, seed) == similar(problem, 4, seed)[:fewer]


def test_distractors_of_similar_problems_say_other_numbers() -> None:
    problems = islice(generate(Split.TRAIN, (2,), seed=2, distractors=1.0), 10)
    told = [
        {other.text.split(". ")[0] for other in (problem, *similar(problem, 6, seed=0))}
        for problem in problems
        if problem.sketch.stages[0].distractor
    ]
    assert all(len(first_sentences) > 1 for first_sentences in told)


@each_family
def test_every_family_has_similar_problems(family: Family) -> None:
    for split in Split:
        for problem in islice(generate(split, [1], seed=4, families=[family.name]), 3):
            assert len(similar(problem, 4, seed=0)) == 4


def test_a_family_with_few_numbers_gives_as_many_similar_problems_as_it_has() -> None:
    family = Family(
        name="double",
        template_id="double",
        goal="the double",
        wordings=(Wording("the double of {n}"),),
        draw=lambda rng: {"n": rng.randint(1, 5)},
        value=lambda p: 2 * p["n"],
        check=lambda p, value: value == 2 * p["n"],
    )
    problem = compose(random.Random(0), 1, [family], distractors=1.0)
    assert problem
    found = similar(problem, 50, 0, {"double": family})
    numbers = [p.stages[0].bindings["n"] for p in (problem, *found)]
    assert len(set(numbers)) == len(numbers), "another distractor alone makes no other problem"
    assert 1 <= len(numbers) <= 5
    assert all(other.split is problem.split for other in found)
