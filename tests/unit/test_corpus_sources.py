"""Corpora from the library, a teacher and real sessions: what is learned, what is only shown, what is left out."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journals import RandomWorld, instantiated, journal, planned, retrieved, reviewed, started, step
from templates import QUARANTINED, template
from tokenizers import Tokenizer, models, pre_tokenizers

from evaluation.ladder import Split
from evaluation.ladder.problem import digest, split_of
from navigator.planning import Profile
from navigator.policy import decide
from navigator.replies import parse_plan, parse_review
from navigator.session import fold
from reasonflux.contracts import (
    Entry,
    EventPage,
    Options,
    Outcome,
    PlanMade,
    Problem,
    SessionFinished,
    StepReviewed,
    ThoughtTemplate,
    Trajectory,
    Turn,
    TurnStep,
    Verdict,
)
from reasonflux.errors import EngineUnavailable, InvalidRequest, ServiceUnavailable
from reasonflux.testing.fake_engine import Call, FakeEngine
from reasonflux.testing.fakes import FakeTemplateStore
from template_store.growth.extraction import SolvedProblem
from training.corpus import dataset, lines, sessions, structure, taught, teacher
from training.corpus.dataset import CorpusConfig
from training.corpus.mixture import Conversation
from training.corpus.mixture import Turn as Said
from training.corpus.sample import Row, Sample
from training.corpus.sources import LadderSource, SessionsSource, SourcesConfig, StructureSource, TeacherSource
from training.corpus.statistics import Statistics
from training.corpus.teacher_reply import ReplyUnusable, read_reply

DOUBLE, HALVE = template("double-it"), template("halve-it")
LIBRARY = {each.id: each for each in (DOUBLE, HALVE, template("not-yet", **QUARANTINED))}


def learned(conversation: Conversation) -> list[str]:
    return [turn.content for turn in conversation if turn.learn]


# --- structure ------------------------------------------------------------------------------------------------------


def test_a_pass_tells_every_active_template_once_in_each_direction() -> None:
    samples = list(structure.structure_pass(LIBRARY))
    assert Counter(sample.kind for sample in samples) == {"structure": 2, "structure-reverse": 2}
    assert len(list(structure.structure_pass(LIBRARY, reverse=False))) == 2
    assert all(sample.problem is None for sample in samples)


def test_a_template_is_told_from_its_name_and_its_name_from_what_it_does() -> None:
    asked, told = structure.described(DOUBLE)
    assert asked.content == f"template\nname: {DOUBLE.name}\ntags: {', '.join(DOUBLE.tags)}"
    assert json.loads(told.content) == {"description": DOUBLE.description, "scope": list(DOUBLE.scope)}
    asked, told = structure.named(DOUBLE)
    assert DOUBLE.description in asked.content
    assert DOUBLE.name not in asked.content
    assert json.loads(told.content) == {"template": DOUBLE.name, "tags": list(DOUBLE.tags)}
    assert (asked.learn, told.learn) == (False, True)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(), share=st.sampled_from([0.0, 1.0]))
def test_the_endless_stream_is_seeded_and_meets_every_template_in_each_pass(seed: int, share: float) -> None:
    stream = list(islice(structure.structure_conversations(LIBRARY, seed, share), 20))
    assert stream == list(islice(structure.structure_conversations(LIBRARY, seed, share), 20))
    one_pass = {(structure.named if share else structure.described)(each) for each in (DOUBLE, HALVE)}
    assert all(set(stream[start : start + 2]) == one_pass for start in range(0, 20, 2))


def test_an_empty_library_ends_the_stream() -> None:
    assert list(structure.structure_conversations({}, 1)) == []


# --- teacher --------------------------------------------------------------------------------------------------------

PROBLEM = "A shelf holds 7 books. It is given as many again. How many books does half of it hold?"
PAIR = {"problem": PROBLEM, "solution": "Twice 7 is 14. Half of 14 is 7, so the answer is 7.", "answer": "7"}
TOLD: dict[str, Any] = {
    "abstraction": "a doubled number halved",
    "steps": [
        {"goal": "Find the doubled number", "template": "double-it", "uses": ["s1", "s2"], "result": "14"},
        {"goal": "Find half of it", "template": "halve-it", "uses": ["s3", "r1"], "result": 7},
    ],
}


def a_reply(**changes: Any) -> str:
    return json.dumps(TOLD | changes)


def with_step(number: int, **changes: Any) -> str:
    steps = [step | (changes if n == number else {}) for n, step in enumerate(TOLD["steps"], 1)]
    return a_reply(steps=steps)


class Desk:
    """A folder with pairs, and a teacher at work there."""

    def __init__(self, folder: Path, *pairs: dict[str, str]) -> None:
        self.folder = folder / "teacher"
        self.pairs = folder / "pairs.jsonl"
        self.pairs.write_text("".join(json.dumps(pair) + "\n" for pair in pairs or (PAIR,)))
        self.progress: list[teacher.Progress] = []

    async def work(self, engine: FakeEngine, **config: Any) -> teacher.Progress:
        store = FakeTemplateStore(LIBRARY.values())
        told = teacher.TeacherConfig(pairs=self.pairs, **config)
        return await teacher.run(told, LIBRARY, engine, store, self.folder, self.progress.append)

    @property
    def kept(self) -> list[taught.Taught]:
        return taught.read_taught(self.folder)

    def samples(self, profile: Profile = Profile.COMPACT) -> list[Sample]:
        return list(taught.taught_samples(self.folder, LIBRARY, profile, Counter()))

    @property
    def rejects(self) -> list[taught.Rejected]:
        return taught.read_rejects(self.folder)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_solution_becomes_a_trajectory_over_templates_that_the_store_found(desk: Desk) -> None:
    engine = FakeEngine([a_reply()])
    progress = await desk.work(engine)
    (told,) = desk.kept
    assert [step.template_id for step in told.steps] == ["double-it", "halve-it"]
    assert told.steps[1].uses == ("s3", "r1")
    assert (told.answer, told.steps[1].result) == ("7", "7")
    assert (progress.kept, progress.verified, progress.left) == (1, 1, 0)
    assert progress.tokens.calls == 1
    prompt = engine.calls[0].messages[-1].content
    for shown in (f"s3: {PROBLEM.split('. ')[-1]}", PAIR["solution"], "double-it: The template double it."):
        assert shown in prompt
    assert "not-yet" not in prompt


async def test_a_taught_trajectory_is_rendered_by_the_navigator_and_read_back_by_it(desk: Desk) -> None:
    await desk.work(FakeEngine([a_reply()]))
    (told,) = desk.kept
    entries = taught.taught_session(told, LIBRARY, Profile.COMPACT)
    told_first, told_second = desk.samples()
    (plan, first), (plan_on, last) = learned(told_first.conversation), learned(told_second.conversation)
    assert told_first[0::2] == (PROBLEM, "teacher", None)
    assert told_first.kind == "review"
    (read,) = parse_plan(plan, fold("s", entries[:1])).steps
    assert read.query is not None
    assert read.query.name == DOUBLE.name
    assert parse_review(first, fold("s", entries[:4]), 1).verdict is Verdict.CONTINUE
    (read_on,) = parse_plan(plan_on, fold("s", entries[:5])).steps
    assert read_on.query is not None
    assert read_on.query.name == HALVE.name
    assert read_on.uses == ("s3", "r1")
    assert '"answer":"r2"' in last
    assert parse_review(last, fold("s", entries[:8]), 2).answer == "7"


async def test_every_profile_tells_a_taught_trajectory_in_its_own_prompts(desk: Desk) -> None:
    await desk.work(FakeEngine([a_reply()]))
    compact = [one.conversation for one in desk.samples(Profile.COMPACT)]
    (instruct,) = (one.conversation for one in desk.samples(Profile.INSTRUCT))
    assert compact[0][0].content.startswith("navigator\n")
    assert instruct[0].role == "system"
    assert "Template: The template halve it" in instruct[-2].content
    assert len(compact) == 2  # a step at a time
    assert len(json.loads(learned(instruct)[0])["steps"]) == 2


LONG = "A shelf holds 7 books. It is old. It is given as many again. Nobody reads. It rains. Half of them go. How many?"


async def test_a_long_problem_is_taught_as_the_service_plans_it_a_step_at_a_time(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {**PAIR, "problem": LONG})
    steps = [{**TOLD["steps"][0], "uses": ["s1", "s3"]}, {**TOLD["steps"][1], "uses": ["s6", "s7", "r1"]}]
    await desk.work(FakeEngine([a_reply(steps=steps)]))
    first, second = [sample.conversation for sample in desk.samples()]
    plan = json.loads(learned(first)[0])
    assert [step["id"] for step in plan["steps"]] == [1]
    assert plan["done"] == ["s1", "s2", "s3"]
    assert plan["complete"] is False
    assert "s1: " not in second[0].content
    assert "r1: Find the doubled number" in second[0].content
    assert json.loads(learned(second)[0])["steps"][0]["uses"] == ["s6", "s7", "r1"]
    (whole,) = desk.samples(Profile.INSTRUCT)
    assert len(json.loads(learned(whole.conversation)[0])["steps"]) == 2


async def test_a_step_that_uses_what_the_view_does_not_show_is_left_out(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {**PAIR, "problem": LONG})
    steps = [{**TOLD["steps"][0], "uses": ["s1", "s7"]}, {**TOLD["steps"][1], "uses": ["r1", "s2"]}]
    await desk.work(FakeEngine([a_reply(steps=steps)]))
    left_out = Counter[str]()
    samples = list(taught.taught_samples(desk.folder, LIBRARY, Profile.COMPACT, left_out))
    assert len(samples) == 1
    assert left_out == {sessions.LeftOut.UNSEEN: 1}


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("I would double it.", "no JSON object"),
        (with_step(2, uses=["s9"]), "'s9' is no statement"),
        (with_step(1, uses=["r1"]), "'r1' is no statement and no result of an earlier step"),
        (with_step(1, uses=[]), "uses"),
        (with_step(1, template="treble-it"), "'treble-it' is none of the templates listed"),
        (with_step(1, goal=""), "goal"),
        (with_step(2, result=None), "result"),
        (json.dumps({"abstraction": "no steps"}), "steps"),
    ],
)
async def test_an_unusable_reply_is_told_back_and_mended(desk: Desk, reply: str, fault: str) -> None:
    engine = FakeEngine([reply, a_reply()])
    progress = await desk.work(engine)
    assert fault in engine.calls[1].messages[-1].content
    assert engine.calls[1].messages[-2].content == reply
    assert progress.kept == 1


def test_an_unusable_reply_is_a_typed_error() -> None:
    pair = SolvedProblem(**PAIR)
    with pytest.raises(ReplyUnusable, match=r"steps\.1\.uses"):
        read_reply(with_step(1, uses=["s99"]), pair, Problem(text=PROBLEM).statements, (DOUBLE, HALVE))


async def test_what_is_not_mended_is_kept_among_the_rejects(desk: Desk) -> None:
    progress = await desk.work(FakeEngine(lambda _: "sorry"), repairs=1)
    (reject,) = desk.rejects
    assert (reject.id, reject.reason, reject.reply) == (digest(PROBLEM), "unusable reply", "sorry")
    assert reject.source == "pairs.jsonl:1"
    assert (progress.kept, progress.rejected, progress.tokens.calls) == (0, 1, 2)


@pytest.mark.parametrize(
    ("reply", "reason"), [(with_step(2, result="8"), "wrong answer"), (a_reply(steps=[]), "declined")]
)
async def test_a_wrong_answer_or_no_solution_is_rejected_without_another_try(
    desk: Desk, reply: str, reason: str
) -> None:
    engine = FakeEngine([reply])
    await desk.work(engine)
    assert [reject.reason for reject in desk.rejects] == [reason]
    assert desk.kept == []


@pytest.mark.parametrize(
    ("solution", "answer", "verified"),
    [
        (r"Doubled and halved: $\boxed{7}$", "7", 1),
        ("Doubled and halved.\n#### 7", "7", 1),
        ("It is doubled and halved again, and nothing has changed.", None, 0),
    ],
)
async def test_without_a_given_answer_the_one_that_the_solution_marks_is_checked(
    tmp_path: Path, solution: str, answer: str | None, verified: int
) -> None:
    desk = Desk(tmp_path, {"problem": PROBLEM, "solution": solution})
    progress = await desk.work(FakeEngine([a_reply()]))
    assert [told.answer for told in desk.kept] == [answer]
    assert progress.verified == verified


async def test_a_step_without_a_template_is_taught_as_one(desk: Desk) -> None:
    await desk.work(FakeEngine([with_step(1, template=None)]))
    first, _ = desk.samples()
    assert '"template":"","tags":[]' in learned(first.conversation)[0]


async def test_a_problem_is_taught_once_and_a_second_run_asks_nothing(tmp_path: Path) -> None:
    again = {**PAIR, "problem": PROBLEM.upper()}
    desk = Desk(tmp_path, PAIR, again, {**PAIR, "problem": "What is half of 14?"})
    engine = FakeEngine(answer_both)
    first = await desk.work(engine)
    assert (first.total, first.kept, len(engine.calls)) == (2, 2, 2)
    second = await desk.work(FakeEngine([]))
    assert (second.total, second.kept, second.verified, second.left) == (2, 2, 2, 0)


def answer_both(call: Call) -> str:
    if "\nProblem:\ns1: What is half" in call.messages[0].content:
        return json.dumps({"abstraction": "half", "steps": [{**TOLD["steps"][1], "uses": ["s1"]}]})
    return a_reply()


async def test_a_run_that_was_killed_in_a_line_goes_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path, PAIR, {**PAIR, "problem": "What is half of 14?"})
    await desk.work(FakeEngine(answer_both), concurrency=1)
    file = desk.folder / taught.TRAJECTORIES
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    engine = FakeEngine(answer_both)
    await desk.work(engine)
    assert len(engine.calls) == 1
    assert {told.id for told in desk.kept} == {digest(PROBLEM), digest("What is half of 14?")}


async def test_pairs_are_taught_at_the_same_time_and_no_more_than_allowed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, *({**PAIR, "problem": f"{PROBLEM} Shelf {n}?"} for n in range(12)))
    running, most = 0, 0

    async def reply(_: Call) -> str:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0)
        running -= 1
        return a_reply()

    progress = await desk.work(FakeEngine(reply), concurrency=3)
    assert progress.kept == 12
    assert most == 3
    assert [each.kept for each in desk.progress] == list(range(1, 13))


async def test_an_engine_that_fails_once_leaves_the_pair_for_the_next_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    progress = await desk.work(FakeEngine([EngineUnavailable("gone")]))
    assert (progress.unanswered, progress.rejected, desk.rejects) == (1, 0, [])
    assert (await desk.work(FakeEngine([a_reply()]))).kept == 1


async def test_an_engine_that_is_gone_ends_the_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path, *({**PAIR, "problem": f"Shelf {n}?"} for n in range(40)))
    engine = FakeEngine(lambda _: EngineUnavailable("gone"))
    with pytest.raises(EngineUnavailable):
        await desk.work(engine, concurrency=2)
    assert len(engine.calls) < 40


async def test_an_empty_problem_is_rejected_and_the_others_are_taught(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {**PAIR, "problem": "   "}, PAIR)
    progress = await desk.work(FakeEngine([a_reply()]))
    assert (progress.kept, [reject.reason for reject in desk.rejects]) == (1, ["unusable problem"])


async def test_a_pair_that_cannot_be_read_is_named_by_its_line(tmp_path: Path) -> None:
    desk = Desk(tmp_path, PAIR, {"problem": "and no solution"})
    with pytest.raises(InvalidRequest, match="line 2"):
        await desk.work(FakeEngine([]))


async def test_trajectories_whose_template_has_gone_are_left_out_and_rejects_counted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, PAIR, {**PAIR, "problem": "What is half of 14?"})
    await desk.work(FakeEngine(answer_both))
    with lines.Appender(desk.folder / taught.REJECTS) as rejects:
        rejects.add(taught.Rejected(id="x", source="", reason="declined", message="", reply=""))
    left_out = Counter[str]()
    samples = list(taught.taught_samples(desk.folder, {HALVE.id: HALVE}, Profile.COMPACT, left_out))
    assert [sample.problem for sample in samples] == ["What is half of 14?"]
    assert left_out == {"a template that the library does not have": 1, "rejected: declined": 1}


# --- sessions -------------------------------------------------------------------------------------------------------

SOLVED = SessionFinished(outcome=Outcome.SOLVED, answer="7")


def straight(answer: str = "7", text: str = "Let K be 2 + 3. What is 4K?") -> list[Entry]:
    return journal(
        started(text=text),
        planned(step(1, "s1"), step(2, "s2", "r1")),
        retrieved(1),
        retrieved(2),
        instantiated(1, "5"),
        reviewed(1, Verdict.CONTINUE),
        instantiated(2, answer),
        reviewed(2, Verdict.FINISH, answer=answer),
        SessionFinished(outcome=Outcome.SOLVED, answer=answer),
    )


def revised() -> list[Entry]:
    """A retry in vain, then another plan."""
    remainder = Trajectory(abstraction="a chain", steps=(step(2, "s2"),))
    return journal(
        started(),
        planned(step(1, "s1")),
        retrieved(1),
        instantiated(1, None),
        reviewed(1, Verdict.RETRY),
        instantiated(1, None, attempt=2),
        reviewed(1, Verdict.REVISE, remainder=remainder),
        retrieved(2),
        instantiated(2, "7"),
        reviewed(2, Verdict.FINISH, answer="7"),
        SOLVED,
    )


def select(
    entries: Sequence[Entry], profile: Profile = Profile.COMPACT, answers: Mapping[str, str] | None = None
) -> tuple[list[Sample], Counter[str]]:
    left_out = Counter[str]()
    known = {digest(problem): answer for problem, answer in (answers or {}).items()}
    return list(sessions.session_samples({"s": entries}, profile, known, left_out)), left_out


def test_a_solved_session_is_learned_as_the_navigator_told_it() -> None:
    ((sample,), left_out) = select(straight())
    assert (sample.problem, sample.source, sample.kind) == ("Let K be 2 + 3. What is 4K?", "sessions", "review")
    assert [turn.role for turn in sample.conversation] == ["user", "assistant"] * 3
    assert len(learned(sample.conversation)) == 3
    assert not left_out


def test_the_final_answer_is_told_as_the_result_that_it_is() -> None:
    ((sample,), _) = select(straight())
    assert json.loads(sample.conversation[-1].content)["answer"] == "r2"


def test_an_answer_in_other_words_stays_as_it_was_told() -> None:
    *entries, review, end = straight()
    other = review.event.review.model_copy(update={"answer": "seven"})  # type: ignore[union-attr]
    said = review.model_copy(update={"event": review.event.model_copy(update={"review": other})})
    ((sample,), _) = select([*entries, said, end])
    assert json.loads(sample.conversation[-1].content)["answer"] == "seven"


def test_a_revised_plan_and_a_retry_in_vain_are_shown_but_not_learned() -> None:
    ((sample,), _) = select(revised())
    replies = [turn for turn in sample.conversation if turn.role == "assistant"]
    told = [(json.loads(turn.content).get("verdict", "plan"), turn.learn) for turn in replies]
    assert told == [("plan", False), ("retry", False), ("revise", True), ("finish", True)]
    assert sample.kind == "recovery"


def test_a_retry_that_helped_is_learned_with_its_plan() -> None:
    entries = journal(
        started(),
        planned(step(1, "s1")),
        retrieved(1),
        instantiated(1, None),
        reviewed(1, Verdict.RETRY),
        instantiated(1, "7", attempt=2),
        reviewed(1, Verdict.FINISH, answer="7"),
        SOLVED,
    )
    ((sample,), _) = select(entries)
    assert len(learned(sample.conversation)) == 3


def test_a_plan_that_was_revised_after_a_good_result_is_not_learned_either() -> None:
    remainder = Trajectory(abstraction="a chain", steps=(step(3, "s2", "r1"),))
    entries = journal(
        started(),
        planned(step(1, "s1"), step(2, "r1")),
        retrieved(1),
        retrieved(2),
        instantiated(1, "5"),
        reviewed(1, Verdict.REVISE, remainder=remainder),
        retrieved(3),
        instantiated(3, "20"),
        reviewed(3, Verdict.FINISH, answer="20"),
        SessionFinished(outcome=Outcome.SOLVED, answer="20"),
    )
    ((sample,), _) = select(entries)
    assert [turn.learn for turn in sample.conversation if turn.role == "assistant"] == [False, True, True]


def one_at_a_time() -> list[Entry]:
    return journal(
        started(Options(horizon=1)),
        planned(step(1, "s1"), complete=False),
        retrieved(1),
        instantiated(1, "5"),
        reviewed(1, Verdict.CONTINUE),
        planned(step(2, "s2", "r1")),
        retrieved(2),
        instantiated(2, "20"),
        reviewed(2, Verdict.FINISH, answer="20"),
        SessionFinished(outcome=Outcome.SOLVED, answer="20"),
    )


def test_a_session_planned_a_step_at_a_time_gives_what_each_profile_makes_of_it() -> None:
    compact, _ = select(one_at_a_time())
    assert [len(learned(sample.conversation)) for sample in compact] == [2, 2]
    assert "r1: K: goal 1" in compact[1].conversation[0].content
    (whole,), _ = select(one_at_a_time(), Profile.INSTRUCT)
    assert len(learned(whole.conversation)) == 4


def test_flags_follow_their_replies_across_conversations() -> None:
    entries = one_at_a_time()
    seqs = [entry.seq for entry in entries if isinstance(entry.event, PlanMade | StepReviewed)]
    parts = sessions.conversations_of("s", entries, Profile.COMPACT, unlearned=seqs[2:3])
    assert [[turn.learn for turn in part if turn.role == "assistant"] for part in parts] == [
        [True, True],
        [False, True],
    ]


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        (straight()[:-1], sessions.LeftOut.UNFINISHED),
        ([*straight()[:3], *straight()[4:]], sessions.LeftOut.INCOMPLETE),
        ([*straight()[:2], *journal(*[SOLVED] * 3)[2:]], None),
        (
            [*straight()[:2], Entry(seq=3, at=straight()[0].at, event=SessionFinished(outcome=Outcome.UNSOLVED))],
            sessions.LeftOut.UNSOLVED,
        ),
    ],
)
def test_only_whole_solved_sessions_are_kept(entries: list[Entry], why: sessions.LeftOut | None) -> None:
    samples, left_out = select(entries)
    assert left_out == ({why: 1} if why else {})
    assert len(samples) == (0 if why else 1)


def test_a_session_with_a_known_answer_is_kept_only_when_it_is_right() -> None:
    text = "Let K be 2 + 3. What is 4K?"
    for known, kept in (("7", 1), ("14/2", 1), ("20", 0)):
        samples, left_out = select(straight(), answers={text: known})
        assert len(samples) == kept
        assert left_out == ({} if kept else {sessions.LeftOut.WRONG: 1})


def follow_up(*uses: str) -> list[Entry]:
    """Its own statement is s1; s2 and s3 are the first question and its result."""
    turn = Turn(problem="What is 2 + 3?", reply="5", steps=(TurnStep(id=1, goal="add", result="5"),))
    first = started(text="And four times that?").model_copy(update={"turns": (turn,)})
    return journal(
        first,
        planned(step(1, *uses)),
        retrieved(1),
        instantiated(1, "20"),
        reviewed(1, Verdict.FINISH, answer="20"),
        SessionFinished(outcome=Outcome.SOLVED, answer="20"),
    )


def test_a_follow_up_goes_where_its_first_problem_goes() -> None:
    ((sample,), _) = select(follow_up("s1", "s2"), Profile.INSTRUCT)
    assert (sample.problem, sample.kind) == ("What is 2 + 3?", "follow-up")
    assert "You answered: 5" in sample.conversation[1].content


def test_a_plan_is_learned_only_under_a_prompt_that_shows_what_it_uses() -> None:
    shown, _ = select(follow_up("s1", "s3"))
    assert [sample.kind for sample in shown] == ["follow-up"]
    assert select(follow_up("s1", "s2")) == ([], {sessions.LeftOut.UNSEEN: 1})


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6))
def test_every_session_that_the_loop_can_produce_is_told_or_left_out_for_a_reason(seed: int) -> None:
    rng = Random(seed)
    world, entries = RandomWorld(rng), journal(started())
    while not fold("s", entries).finished:
        session = fold("s", entries)
        event = world.perform(session, rng.choice(decide(session)))
        entries = journal(*[entry.event for entry in entries], event)
    samples, left_out = select(entries)
    assert len(samples) + left_out.total() >= 1
    assert not samples or fold("s", entries).outcome is Outcome.SOLVED
    for sample in samples:
        assert all(turn.role == "assistant" for turn in sample.conversation if turn.learn)
        assert [turn.role for turn in sample.conversation] == ["user", "assistant"] * (len(sample.conversation) // 2)


def write_lines(path: Path, *records: Any) -> Path:
    path.write_text("".join(record.model_dump_json() + "\n" for record in records))
    return path


def page(session_id: str, entries: Sequence[Entry]) -> EventPage:
    return EventPage(session_id=session_id, entries=tuple(entries), finished=True)


def test_pages_may_overlap_and_mix_and_single_entries_begin_with_the_first(tmp_path: Path) -> None:
    one, other = straight(), revised()
    pages = write_lines(
        tmp_path / "pages.jsonl", page("a", one[4:]), page("b", other), page("a", one[:6]), page("c", ())
    )
    traces = write_lines(tmp_path / "traces.jsonl", *one, *other)
    found = sessions.read_journals([pages, traces])
    assert {name: len(entries) for name, entries in found.items()} == {
        "a": len(one),
        "b": len(other),
        "c": 0,
        f"{traces}:1": len(one),
        f"{traces}:{len(one) + 1}": len(other),
    }
    assert list(found["a"]) == one
    assert list(found[f"{traces}:1"]) == one


@pytest.mark.parametrize(
    ("line", "fault"),
    [('{"seq": 1}', "at"), ("nonsense", "Invalid JSON"), ('{"session_id": "s", "entries": [1]}', "entries")],
)
def test_a_line_that_is_no_journal_is_named(tmp_path: Path, line: str, fault: str) -> None:
    path = write_lines(tmp_path / "j.jsonl", page("a", straight()))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InvalidRequest, match=rf"j\.jsonl:2.*{fault}"):
        sessions.read_journals([path])


def test_entries_without_a_beginning_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "j.jsonl", *straight()[3:])
    with pytest.raises(InvalidRequest, match=r"j\.jsonl:1: entry 4 follows no session\.started"):
        sessions.read_journals([path])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"nowhere\.jsonl cannot be read"):
        sessions.read_journals([tmp_path / "nowhere.jsonl"])


# --- the written corpus ---------------------------------------------------------------------------------------------

WORDS = st.lists(st.sampled_from(["find", "The", "sum", "of", "12", "and", "7", "Apples"]), min_size=1, max_size=8)


def said(text: str, reply: str = "plan") -> Conversation:
    return (Said("user", text), Said("assistant", reply, learn=True))


def sample_of(text: str | None, reply: str = "plan", source: str = "test", kind: str = "planning") -> Sample:
    return Sample(text, said(text or "template", reply), source, kind)


def rows(folder: Path) -> dict[Split, list[Row]]:
    return {side: list(dataset.read_rows(folder / f"{side.value}.jsonl")) for side in Split}


@settings(deadline=None, max_examples=60)
@given(texts=st.lists(WORDS, max_size=25), spaces=st.sampled_from([" ", "  ", "\n"]))
def test_no_problem_is_on_both_sides_and_no_conversation_is_written_twice(
    texts: list[list[str]], spaces: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    samples = [sample_of(spaces.join(words), f"reply {n % 3}") for n, words in enumerate(texts)]
    again = [sample_of(" ".join(words).upper(), f"reply {n % 3}") for n, words in enumerate(texts)]
    found = dataset.write([*samples, *again], CorpusConfig(), folder)
    written = rows(folder)
    sides = {side: {row.problem for row in own} for side, own in written.items()}
    assert not sides[Split.TRAIN] & sides[Split.HELDOUT]
    assert all(split_of(row.messages[0].content) is side for side, own in written.items() for row in own)
    kept = [dataset.fingerprint(row.conversation) for own in written.values() for row in own]
    assert len(kept) == len(set(kept)) == found.train + found.heldout
    assert set(kept) == {dataset.fingerprint(sample.conversation) for sample in samples}
    assert sum(group.duplicates for group in found.groups) == len(samples) + len(again) - len(kept)


def test_rows_are_chat_messages_with_what_is_learned(tmp_path: Path) -> None:
    text = next(text for text in (f"What is {n}?" for n in range(99)) if split_of(text) is Split.TRAIN)
    dataset.write([sample_of(text)], CorpusConfig(), tmp_path)
    (line,) = (tmp_path / "train.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "messages": [
            {"role": "user", "content": text, "learn": False},
            {"role": "assistant", "content": "plan", "learn": True},
        ],
        "problem": digest(text),
        "source": "test",
        "kind": "planning",
    }
    assert (tmp_path / "heldout.jsonl").read_text() == ""


def test_without_a_problem_the_source_says_the_side_and_else_it_is_for_training(tmp_path: Path) -> None:
    samples = [sample_of(None, "one"), sample_of(None, "two")._replace(split=Split.HELDOUT)]
    dataset.write(samples, CorpusConfig(), tmp_path)
    assert {side: [row.problem for row in own] for side, own in rows(tmp_path).items()} == {
        Split.TRAIN: [None],
        Split.HELDOUT: [None],
    }


PLANTED = "A gardener plants 17 rows of 23 tulips and later digs up 40 of them."


def bench(folder: Path, *texts: str) -> Path:
    path = folder / "bench.jsonl"
    path.write_text("".join(json.dumps({"id": f"b{n}", "problem": text}) + "\n" for n, text in enumerate(texts)))
    return path


@pytest.mark.parametrize(
    "planted",
    [
        sample_of(f"{PLANTED} How many are left?"),
        sample_of("Once more: a GARDENER plants $17$ rows of $23$ tulips, and then rests. What is left?"),
        Sample("What was said?", said("What was said?", f"It was said: {PLANTED}"), "test", "planning"),
        Sample("What is 2?", said(f"navigator\ns1: {PLANTED}\nplan all"), "test", "planning"),
    ],
)
def test_a_planted_benchmark_problem_is_dropped_wherever_it_stands(tmp_path: Path, planted: Sample) -> None:
    honest = sample_of("A gardener plants 9 rows of 4 roses. How many roses are there?")
    against = bench(tmp_path, "Something else entirely that nobody has asked before.", PLANTED)
    found = dataset.write([honest, planted], CorpusConfig(against=(against,)), tmp_path / "out")
    (group,) = found.groups
    assert (group.contaminated, group.train + group.heldout) == (1, 1)
    (overlap,) = found.overlaps
    assert (overlap.benchmark, overlap.benchmark_problem) == ("bench", "b1")
    written = "".join(path.read_text() for path in (tmp_path / "out").iterdir())
    assert "tulips" not in written


def test_the_run_of_words_that_counts_can_be_longer(tmp_path: Path) -> None:
    shared = sample_of("A gardener plants 17 rows of 23 tulips. What is the number of tulips?")
    against = (bench(tmp_path, PLANTED),)
    strict = dataset.write([shared], CorpusConfig(against=against), tmp_path / "strict")
    mild = dataset.write([shared], CorpusConfig(against=against, shared_words=13), tmp_path / "mild")
    assert (strict.train + strict.heldout, mild.train + mild.heldout) == (0, 1)


def test_a_benchmark_line_without_a_problem_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    path.write_text('{"problem": "What is 2?"}\n{"text": "?"}\n')
    with pytest.raises(InvalidRequest, match=r"bench\.jsonl, line 2"):
        dataset.run(CorpusConfig(against=(path,)), LIBRARY, tmp_path / "out")


@pytest.fixture
def config(tmp_path: Path) -> CorpusConfig:
    """A library and two journals, one of them wrong."""
    texts = ("Let K be 2 + 3. What is 4K?", "Let L be 1 + 3. What is 5L?")
    pages = [page(f"s{n}", straight("20", text)) for n, text in enumerate(texts)]
    journals = write_lines(tmp_path / "journals.jsonl", *pages)
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps({"problem": text, "answer": "20"}) + "\n" for text in texts[:1]))
    answers.write_text(answers.read_text() + json.dumps({"problem": texts[1], "answer": "21"}) + "\n")
    return CorpusConfig(
        sources=SourcesConfig(
            structure=StructureSource(), sessions=SessionsSource(journals=(journals,), answers=answers)
        ),
    )


def test_a_run_gathers_its_sources_and_says_what_became_of_them(config: CorpusConfig, tmp_path: Path) -> None:
    seen: list[int] = []
    folder = dataset.run(config, LIBRARY, tmp_path / "out", seen.append)
    found = Statistics.model_validate_json((folder / "statistics.json").read_text())
    assert {(group.source, group.kind): group.train + group.heldout for group in found.groups} == {
        ("library", "structure"): 2,
        ("library", "structure-reverse"): 2,
        ("sessions", "review"): 1,
    }
    assert found.left_out == {"sessions": {"wrong answer": 1}}
    assert seen == [1, 2, 3, 4, 5]
    page = (folder / "statistics.md").read_text()
    assert "| sessions | wrong answer | 1 |" in page
    assert "Compared with: nothing" in page
    assert not list(folder.glob("*.part"))


def test_the_same_run_is_done_once_and_another_input_makes_it_anew(config: CorpusConfig, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    seen: list[int] = []
    dataset.run(config, LIBRARY, folder, seen.append)
    before, times = (folder / "train.jsonl").read_bytes(), len(seen)
    dataset.run(config, LIBRARY, folder, seen.append)
    assert len(seen) == times
    (folder / "heldout.jsonl").unlink()
    dataset.run(config, LIBRARY, folder, seen.append)
    assert (folder / "train.jsonl").read_bytes() == before
    assert len(seen) == 2 * times
    dataset.run(config, {DOUBLE.id: DOUBLE}, folder, seen.append)
    assert len(rows(folder)[Split.TRAIN]) < before.count(b"\n")


def test_a_run_that_breaks_leaves_nothing_that_looks_finished(config: CorpusConfig, tmp_path: Path) -> None:
    def broken() -> Any:
        yield sample_of("What is 2?")
        raise ServiceUnavailable("the source has gone")

    with pytest.raises(ServiceUnavailable):
        dataset.write(broken(), config, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert not names & {"train.jsonl", "heldout.jsonl", "statistics.json"}


def test_the_ladder_is_written_with_each_stream_on_its_own_side(
    tmp_path: Path, ladder_library: dict[str, ThoughtTemplate]
) -> None:
    ladder = LadderSource(conversations=40, heldout=15, instantiations=5, heldout_instantiations=3)
    folder = dataset.run(CorpusConfig(sources=SourcesConfig(ladder=ladder)), ladder_library, tmp_path / "out")
    written = rows(folder)
    for side, wanted in ((Split.TRAIN, 45), (Split.HELDOUT, 18)):
        dropped = wanted - len(written[side])
        assert 0 <= dropped <= wanted // 3, "short texts repeat"
    kinds = {row.kind for own in written.values() for row in own}
    assert kinds >= {"planning", "review", "instantiation"}


@pytest.fixture(scope="module")
def ladder_library() -> dict[str, ThoughtTemplate]:
    from evaluation.ladder import ALL
    from template_store import library
    from template_store.settings import SHIPPED_LIBRARY

    needed = {family.template_id for family in ALL.values()}
    return {each.id: each for each in library.read(SHIPPED_LIBRARY) if each.id in needed}


def test_instantiations_are_told_in_the_compact_profile_only() -> None:
    with pytest.raises(ValueError, match="compact profile"):
        SourcesConfig(profile=Profile.INSTRUCT, ladder=LadderSource(instantiations=1))


async def test_a_teachers_folder_is_a_source(desk: Desk, tmp_path: Path) -> None:
    await desk.work(FakeEngine([a_reply()]))
    sources = SourcesConfig(profile=Profile.INSTRUCT, teacher=TeacherSource(folder=desk.folder))
    written = rows(dataset.run(CorpusConfig(sources=sources), LIBRARY, tmp_path / "out"))
    assert [row.problem for own in written.values() for row in own] == [digest(PROBLEM)]


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    sources = SourcesConfig(teacher=TeacherSource(folder=tmp_path / "none"))
    with pytest.raises(InvalidRequest, match=r"none/trajectories\.jsonl cannot be read"):
        dataset.run(CorpusConfig(sources=sources), LIBRARY, tmp_path / "out")


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (SourcesConfig(), "no source is named"),
        (SourcesConfig(ladder=LadderSource(conversations=0, heldout=0)), "ladder gave nothing"),
        (SourcesConfig(ladder=LadderSource(conversations=0, heldout=3)), "ladder gave 3 held out"),
    ],
)
def test_a_corpus_with_nothing_to_train_on_is_refused_again_and_again(
    sources: SourcesConfig, said: str, ladder_library: dict[str, ThoughtTemplate], tmp_path: Path
) -> None:
    for _ in range(2):
        with pytest.raises(InvalidRequest, match=f"no conversation to train on: {said}"):
            dataset.run(CorpusConfig(sources=sources), ladder_library, tmp_path / "out")


def test_a_source_that_gave_nothing_to_train_on_is_named_with_what_became_of_it(tmp_path: Path) -> None:
    text, folder = "Let K be 2 + 3. What is 4K?", tmp_path / "out"
    journals = write_lines(tmp_path / "journals.jsonl", page("s1", straight("20", text)))
    (tmp_path / "answers.jsonl").write_text(json.dumps({"problem": text, "answer": "21"}) + "\n")
    sources = SourcesConfig(sessions=SessionsSource(journals=(journals,), answers=tmp_path / "answers.jsonl"))
    with pytest.raises(InvalidRequest, match=r"sessions gave 1 left out \(wrong answer\)") as told:
        dataset.run(CorpusConfig(sources=sources), LIBRARY, folder)
    assert str(folder / "statistics.md") in str(told.value)
    assert "| sessions | wrong answer | 1 |" in (folder / "statistics.md").read_text()


def test_tokens_are_counted_and_what_is_too_long_is_dropped(
    tmp_path: Path, make_tokenizer: Callable[[Path], Path]
) -> None:
    samples = [sample_of("What is 2 + 2?", "four"), sample_of("What is 3 + 3?", "six " * 200)]
    config = CorpusConfig(tokenizer=str(make_tokenizer(tmp_path / "tokenizer")), max_tokens=60)
    (group,) = dataset.write(samples, config, tmp_path / "out").groups
    assert (group.train + group.heldout, group.too_long) == (1, 1)
    assert group.lengths is not None
    assert (group.lengths.learned, group.lengths.total, group.lengths.longest) == (1, 7, 7), "What is 2 + 2 ? four"
    assert "## Tokens" in (tmp_path / "out" / "statistics.md").read_text()


@pytest.fixture
def make_tokenizer() -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        words = Tokenizer(models.WordLevel({"?": 0, "four": 1}, unk_token="?"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        words.save(str(folder / "tokenizer.json"))
        return folder

    return make


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be loaded"):
        dataset.write([], CorpusConfig(tokenizer=str(tmp_path)), tmp_path / "out")


def test_a_limit_of_tokens_needs_a_tokenizer() -> None:
    with pytest.raises(ValueError, match="needs a tokenizer"):
        CorpusConfig(max_tokens=100)


def test_a_row_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    dataset.write([sample_of(None)], CorpusConfig(), tmp_path)
    path = tmp_path / "train.jsonl"
    path.write_text(path.read_text() + '{"messages": [{"role": "user"}]}\n')
    with pytest.raises(InvalidRequest, match=r"train\.jsonl:2: messages\.0\.content"):
        list(dataset.read_rows(path))
