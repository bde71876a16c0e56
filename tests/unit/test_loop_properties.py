"""The loop under every order of outcomes that the runner can produce."""

from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from journals import START, RandomWorld, started

from navigator.errors import JournalCorrupt
from navigator.policy import Action, Finish, Instantiate, ReviewStep, decide
from navigator.session import advance, fold
from reasonflux.contracts import Budget, Entry, Event, Options, Outcome, Phase, Session

BUDGETS = st.builds(
    Budget,
    rounds=st.integers(1, 12),
    tokens=st.integers(1, 5_000),
    seconds=st.floats(1, 500),
    samples=st.integers(1, 3),
)
OPTIONS = st.builds(
    Options,
    budget=BUDGETS,
    horizon=st.none() | st.integers(1, 3),
    review=st.booleans(),
    retrieve=st.booleans(),
    max_revisions=st.integers(0, 3),
)


def play(options: Options, seed: int, failures: float = 0.1) -> tuple[Session, list[Entry], list[Session]]:
    """Run the loop as the runner does: everything due is under way at once, and ends in any order."""
    rng, world = Random(seed), RandomWorld(Random(seed + 1), failures)
    entries = [Entry(seq=1, at=START, event=started(options))]
    session, history = fold("s", entries), []
    under_way: dict[Action, Session] = {}

    def commit(event: Event) -> None:
        nonlocal session
        at = entries[-1].at + timedelta(seconds=rng.random())
        entries.append(Entry(seq=session.last_seq + 1, at=at, event=event))
        session = advance(session, entries[-1])
        history.append(session)

    for _ in range(2_000):
        due = decide(session)
        if not due:
            return session, entries, history
        if isinstance(due[0], Finish):
            commit(due[0].event)
            continue
        for action in due:
            under_way.setdefault(action, session)  # performed on what was known when it was started
        for gone in under_way.keys() - set(due):
            if rng.random() < 0.5:  # cancelled in time, or its outcome came just before the cancellation
                under_way.pop(gone)
        together = rng.sample(list(under_way), k=rng.randint(1, len(under_way)))
        for action in together:
            event = world.perform(under_way.pop(action), action)
            if not session.finished:
                commit(event)
    raise AssertionError("the loop did not end")


@settings(max_examples=300, deadline=None)
@given(OPTIONS, st.integers(0, 10**9), st.sampled_from((0.0, 0.1, 0.5)))
@example(Options(budget=Budget(rounds=2, tokens=79, seconds=2.0), review=False, retrieve=False), 597_028, 0.0)
def test_every_sequence_of_outcomes_terminates_within_the_budget(options: Options, seed: int, failures: float) -> None:
    session, _, history = play(options, seed, failures)
    assert session.finished
    assert session.revisions <= options.max_revisions or not options.review
    assert session.rounds <= options.budget.rounds
    for state in session.steps:
        assert len(state.instantiations) <= options.budget.samples + 1
    assert all(later.rounds >= earlier.rounds for earlier, later in pairwise(history))


@settings(max_examples=150, deadline=None)
@given(OPTIONS, st.integers(0, 10**9))
def test_a_replayed_journal_gives_the_same_session(options: Options, seed: int) -> None:
    session, entries, history = play(options, seed)
    assert fold("s", entries) == session
    through_json = [Entry.model_validate_json(entry.model_dump_json()) for entry in entries]
    assert fold("s", through_json) == session
    for length, folded in enumerate(history, 2):  # and so at every point where a worker may have died
        assert fold("s", entries[:length]) == folded


@settings(max_examples=150, deadline=None)
@given(OPTIONS, st.integers(0, 10**9))
def test_decisions_are_a_function_of_the_journal_alone(options: Options, seed: int) -> None:
    _, entries, _ = play(options, seed)
    for length in range(1, len(entries) + 1):
        assert decide(fold("s", entries[:length])) == decide(fold("s", entries[:length]))


@settings(max_examples=150, deadline=None)
@given(OPTIONS, st.integers(0, 10**9))
def test_work_is_only_due_when_its_inputs_are_known(options: Options, seed: int) -> None:
    _, _, history = play(options, seed)
    for session in history:
        due = decide(session)
        assert sum(isinstance(action, ReviewStep) for action in due) <= 1
        for action in due:
            if isinstance(action, Instantiate):
                state = session.step(action.step_id)
                assert state.phase is not Phase.DROPPED
                assert all(session.step(n).phase is Phase.DONE for n in state.step.depends_on)


@settings(max_examples=150, deadline=None)
@given(OPTIONS, st.integers(0, 10**9))
def test_an_answer_is_given_exactly_when_solved(options: Options, seed: int) -> None:
    session, _, _ = play(options, seed)
    assert (session.answer is not None) == (session.outcome is Outcome.SOLVED)
    if session.outcome is not Outcome.SOLVED:
        assert session.explanation


@settings(max_examples=100, deadline=None)
@given(OPTIONS, st.integers(0, 10**9), st.data())
def test_a_journal_with_a_missing_doubled_or_swapped_entry_is_refused(
    options: Options, seed: int, data: st.DataObject
) -> None:
    _, entries, _ = play(options, seed)
    cut = data.draw(st.integers(0, len(entries) - 1))
    doubled = [*entries[: cut + 1], *entries[cut:]]
    broken = [doubled] + ([[*entries[:cut], *entries[cut + 1 :]]] if cut < len(entries) - 1 else [])
    for bad in broken:
        with pytest.raises(JournalCorrupt):
            fold("s", bad)
