"""Growth: variants whose answers are known, trials in pairs, drafts that are checked before anybody sees them."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calculator import evaluate_in_process
from reasonflux.contracts import (
    Calculation,
    InstantiateRequest,
    Instantiation,
    Session,
    TemplateStatus,
    ThoughtTemplate,
)
from reasonflux.errors import InvalidRequest
from reasonflux.testing.fake_engine import FakeEngine
from template_store import library
from template_store.growth.extraction import SolvedProblem, extract, from_session, read_pairs
from template_store.growth.trial import Pair, judged, trial
from template_store.growth.variants import Variant, variants
from template_store.quality.checks import Checks
from template_store.settings import SHIPPED_LIBRARY

SUM = library.read_template(SHIPPED_LIBRARY / "arithmetic" / "operations" / "sum-of-two.yaml")
WORK = library.read_template(SHIPPED_LIBRARY / "word-problems" / "work" / "work-together.yaml")


class InProcess:
    """The calculator without its jail: these templates are our own."""

    async def evaluate(
        self, statements: Sequence[str], names: Mapping[str, str] | None = None
    ) -> tuple[Calculation, ...]:
        return evaluate_in_process(statements, names)


CALCULATOR = InProcess()


def with_example(**changes: Any) -> ThoughtTemplate:
    return WORK.model_copy(update={"example": WORK.example.model_copy(update=changes)})


# --- variants -------------------------------------------------------------------------------------------------------


async def test_a_variant_has_other_numbers_in_the_same_sentences_and_a_checked_answer() -> None:
    found = await variants(WORK, CALCULATOR, count=5, seed=1)
    assert len({variant.problem for variant in found}) == len(found) >= 2, "few pairs of times give whole hours"
    for variant in found:
        a, b = int(variant.bindings["time_a"]), int(variant.bindings["time_b"])
        assert variant.problem == (
            f"One pipe fills a tank in {a} hours, another in {b} hours. How long do both need together?"
        )
        assert int(variant.answer) * (a + b) == a * b
        assert a > b, "the example's first time is the longer one"


async def test_variants_depend_on_the_seed_and_on_nothing_else() -> None:
    first, again = [await variants(WORK, CALCULATOR, count=3, seed=7) for _ in range(2)]
    assert first == again
    assert first != await variants(WORK, CALCULATOR, count=3, seed=8)


@pytest.mark.parametrize(
    "problem",
    [
        "One pipe fills a tank in six hours, another in three hours.",
        "Pipes 6 and 6 fill a tank in 6 hours, 3 and 3 in 3 hours.",
        "The times are 6, 3 and 9.",
        "A 6-hour pipe and x3 are used.",
        "One pipe needs 6 hours, the other x^3 hours.",
        "The pipes need 6 and -3 hours.",
        "The terms a_(k+3) and 6 are known.",
    ],
)
async def test_numbers_that_cannot_be_exchanged_give_no_variant(problem: str) -> None:
    found = await variants(with_example(problem=problem), CALCULATOR, count=3, seed=1)
    assert all(variant.bindings["time_b"] == "3" for variant in found)


async def test_a_variant_that_the_check_denies_is_dropped() -> None:
    assert await variants(with_example(check="answer == 2 and time_a == 6"), CALCULATOR, count=3, seed=1) == []


# --- the trial ------------------------------------------------------------------------------------------------------


class Solver:
    """An executor that is right with a template when that `helps`, and without one when it is `lucky`."""

    def __init__(self, *, helps: bool, lucky: bool) -> None:
        self.helps, self.lucky = helps, lucky
        self.requests: list[InstantiateRequest] = []

    async def instantiate(self, request: InstantiateRequest) -> Instantiation:
        self.requests.append(request)
        a, b = re.findall(r"\d+", " ".join(statement.text for statement in request.statements))
        right = self.helps if request.template else self.lucky
        return Instantiation(result=f"{a}+{b}" if right else "-1")


async def test_a_template_that_helps_passes_its_trial() -> None:
    solver = Solver(helps=True, lucky=False)
    found = await trial(SUM, solver, CALCULATOR, count=12)
    assert found.passed
    assert (found.with_template, found.without, found.difference) == (1.0, 0.0, 1.0)
    assert 0.5 < found.low < 1.0, "twelve alike are no certainty"
    assert sum(request.template is None for request in solver.requests) == 12


@pytest.mark.parametrize(("helps", "lucky"), [(True, True), (False, False), (False, True)])
async def test_a_template_that_adds_nothing_does_not_pass(helps: bool, lucky: bool) -> None:
    found = await trial(SUM, Solver(helps=helps, lucky=lucky), CALCULATOR, count=12)
    assert not found.passed


async def test_a_template_without_variants_cannot_be_tried() -> None:
    with pytest.raises(InvalidRequest, match="no fresh variants"):
        await trial(with_example(problem="Two pipes."), Solver(helps=True, lucky=False), CALCULATOR)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40), st.floats(0, 0.9))
def test_the_interval_holds_the_difference_and_decides(outcomes: list[tuple[bool, bool]], margin: float) -> None:
    variant = Variant(problem="p", bindings={}, answer="1")
    found = judged("t", [Pair(variant=variant, with_template=w, without=o) for w, o in outcomes], margin=margin)
    assert -1 <= found.low <= found.difference <= found.high <= 1
    assert found.passed == (found.low >= margin)


# --- extraction -----------------------------------------------------------------------------------------------------

PAIR = SolvedProblem(problem="Two taps …", solution="Add the rates.", answer="2", source="pairs.jsonl:1")
DRAFT = WORK.model_dump(mode="json", exclude={"id", "provenance", "revision", "status"}) | {
    "name": "Joint Filling Time"
}


def checks() -> Checks:
    return Checks(CALCULATOR)


async def test_a_sound_draft_is_quarantined_and_knows_its_source() -> None:
    engine = FakeEngine([json.dumps(DRAFT)])
    found = await extract(PAIR, engine, checks(), [WORK])
    assert found.faults == ()
    assert found.template is not None
    assert (found.template.id, found.template.status) == ("joint-filling-time", TemplateStatus.QUARANTINED)
    assert found.template.provenance.detail == "pairs.jsonl:1"
    assert found.tokens.calls == 1


async def test_what_the_checks_find_is_told_to_the_llm() -> None:
    wrong = {**DRAFT, "example": {**DRAFT["example"], "answer": "3"}}
    engine = FakeEngine([json.dumps(wrong), json.dumps(DRAFT)])
    found = await extract(PAIR, engine, checks(), [WORK])
    assert found.faults == ()
    assert "example.answer: the formulas give 2, not 3" in engine.calls[1].messages[-1].content


async def test_a_draft_that_stays_wrong_is_kept_with_its_faults() -> None:
    wrong = {**DRAFT, "example": {**DRAFT["example"], "check": "answer > 0"}}
    found = await extract(PAIR, FakeEngine([json.dumps(wrong)] * 3), checks(), [WORK])
    assert found.template is not None
    assert {fault.field for fault in found.faults} == {"example.check"}
    assert found.tokens.calls == 3


async def test_a_taken_name_is_a_fault() -> None:
    taken = json.dumps({**DRAFT, "name": "time for joint work!"})
    found = await extract(PAIR, FakeEngine([taken] * 3), checks(), [WORK])
    assert [fault.message for fault in found.faults] == ["is also the name of work-together"]


@pytest.mark.parametrize("reply", ["I cannot.", '{"name": "x"}', '{"name": 3}'])
async def test_a_reply_that_is_no_template_gives_none_and_says_why(reply: str) -> None:
    found = await extract(PAIR, FakeEngine([reply] * 3), checks(), [WORK])
    assert found.template is None
    assert found.faults


def test_pairs_are_read_and_a_wrong_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"problem": "1+1?", "solution": "Add.", "answer": 2}\n\n{"problem": "2?"}\n')
    with pytest.raises(InvalidRequest, match=r"pairs.jsonl, line 3"):
        read_pairs(path)
    path.write_text('{"problem": "1+1?", "solution": "Add.", "answer": 2}\n')
    assert read_pairs(path) == [SolvedProblem(problem="1+1?", solution="Add.", answer="2", source="pairs.jsonl:1")]


def session(outcome: str | None, retrieval: dict[str, Any] | None) -> Session:
    step = {"id": 1, "goal": "add"}
    done = {"reasoning": "Add them.", "result": "5", "calculations": [{"statement": "2 + 3", "value": "5"}]}
    state = {"step": step, "phase": "done", "retrieval": retrieval, "instantiations": [done]}
    now = "2026-01-01T00:00:00Z"
    data = {"id": "s1", "problem": {"text": "2+3?"}, "outcome": outcome, "steps": [state]}
    return Session.model_validate({**data, "started_at": now, "updated_at": now})


def test_only_steps_of_solved_sessions_without_a_template_become_pairs() -> None:
    abstained: dict[str, Any] = {"query": {"name": "Sum"}}
    with_one = {**abstained, "template": WORK.model_dump(mode="json")}
    (pair,) = from_session(session("solved", abstained))
    assert pair.solution == "Add them.\n2 + 3 gives 5"
    assert (pair.answer, pair.source) == ("5", "session s1, step 1")
    assert from_session(session("solved", with_one)) == []
    assert from_session(session("unsolved", abstained)) == []
    assert from_session(session(None, abstained)) == []
