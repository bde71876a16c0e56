"""What the commands do around the trace: interruption, failures as sentences, exit codes, the demo's verdict."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from reasonflux.cli.app import add_plugin, app, report
from reasonflux.cli.demo import DemoProblem, Solved, demo_problems
from reasonflux.cli.following import follow, solve_and_show
from reasonflux.cli.render import View
from reasonflux.contracts import (
    CreateSession,
    Delta,
    Entry,
    Event,
    Outcome,
    PlanMade,
    Problem,
    Session,
    SessionFinished,
    SessionStarted,
    Trajectory,
)
from reasonflux.errors import InvalidRequest, ServiceUnavailable
from reasonflux.local.errors import Crashed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS: tuple[Event, ...] = (
    SessionStarted(problem=Problem(text="1+1")),
    PlanMade(trajectory=Trajectory(abstraction="a sum")),
    SessionFinished(outcome=Outcome.SOLVED, answer="2"),
)


class FakeSessions:
    """One session whose journal is given. With `stuck` it never finishes."""

    def __init__(self, *, stuck: bool = False, cancel_fails: bool = False) -> None:
        self.stuck = stuck
        self.cancel_fails = cancel_fails
        self.cancelled: list[str] = []
        self.reached = asyncio.Event()

    async def create(self, request: CreateSession) -> Session:
        return Session(id="abc", problem=Problem(text=request.problem), started_at=NOW, updated_at=NOW)

    async def events(self, session_id: str, after: int = 0) -> AsyncGenerator[Entry | Delta, None]:
        for number, event in enumerate(EVENTS, 1):
            if self.stuck and isinstance(event, SessionFinished):
                self.reached.set()
                await asyncio.Event().wait()
            yield Entry(seq=number, at=NOW, event=event)

    async def cancel(self, session_id: str) -> Session:
        if self.cancel_fails:
            raise ServiceUnavailable("gone")
        self.cancelled.append(session_id)
        return await self.create(CreateSession(problem="1+1"))


async def test_a_session_is_followed_to_its_answer() -> None:
    console = Console(width=80)
    with console.capture() as shown:
        view = await solve_and_show(FakeSessions(), CreateSession(problem="1+1"), console)
    assert (view.outcome, view.answer) == (Outcome.SOLVED, "2")
    assert "session abc" in shown.get()


async def test_json_is_the_journal_itself() -> None:
    console = Console(width=20)
    with console.capture() as shown:
        await follow(FakeSessions(), "abc", console, as_json=True)
    lines = shown.get().splitlines()
    assert [Entry.model_validate_json(line).event for line in lines] == list(EVENTS)


@pytest.mark.parametrize("cancel_fails", [False, True])
async def test_an_interrupted_solve_cancels_its_session_and_says_so(
    cancel_fails: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions = FakeSessions(stuck=True, cancel_fails=cancel_fails)
    solving = asyncio.create_task(solve_and_show(sessions, CreateSession(problem="1+1"), Console(quiet=True)))
    await sessions.reached.wait()
    solving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await solving
    assert sessions.cancelled == ([] if cancel_fails else ["abc"])
    assert ("may go on" if cancel_fails else "cancelled session abc") in capsys.readouterr().err


async def test_a_reader_who_has_seen_enough_ends_the_session_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    class Full(Console):
        """Rich leaves so when a pipe is closed at its other end."""

        def print(self, *_: object, **__: object) -> None:
            raise SystemExit(1)

    sessions = FakeSessions()
    with pytest.raises(SystemExit):
        await solve_and_show(sessions, CreateSession(problem="1+1"), Full(), as_json=False)
    assert sessions.cancelled == ["abc"]
    assert capsys.readouterr().err == ""


def test_a_failure_is_a_message_a_hint_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(InvalidRequest("the [problem] is empty", hint="send its text")) == 1
    told = capsys.readouterr().err
    assert "the [problem] is empty" in told
    assert "send its text" in told


def test_a_crash_shows_the_last_lines_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(Crashed("it ended", log=("last words",))) == Crashed.exit_code
    assert "last words" in capsys.readouterr().err


@pytest.fixture
def commands() -> typer.Typer:
    commands = typer.Typer()
    commands.command("fine")(lambda: None)
    return commands


def test_a_command_that_cannot_be_imported_breaks_alone(commands: typer.Typer) -> None:
    add_plugin(commands, EntryPoint(name="broken", value="no_such_module_here:app", group="reasonflux.commands"))
    result = CliRunner().invoke(commands, ["broken", "--help"])
    assert result.exit_code == 1
    assert "no_such_module_here" in result.stderr
    assert CliRunner().invoke(commands, ["fine"]).exit_code == 0


def test_a_command_of_another_package_gets_its_own_arguments(
    commands: typer.Typer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "plugin_for_test.py").write_text(
        "import typer\napp = typer.Typer()\n@app.callback()\ndef main(): ...\n"
        "@app.command()\ndef shout(word: str, loud: bool = False):\n    print(word.upper() if loud else word)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    add_plugin(commands, EntryPoint(name="plugged", value="plugin_for_test:app", group="reasonflux.commands"))
    result = CliRunner().invoke(commands, ["plugged", "shout", "hello", "--loud"])
    assert result.stdout == "HELLO\n"
    assert result.exit_code == 0


def test_unknown_options_are_usage_errors() -> None:
    assert CliRunner().invoke(app, ["solve", "--nope"]).exit_code == 2


def test_the_demo_has_a_problem_that_must_not_be_answered() -> None:
    problems = demo_problems()
    assert any(problem.answer is None for problem in problems)
    assert sum(problem.answer is not None for problem in problems) >= 4


@pytest.mark.parametrize(
    ("expected", "outcome", "answer", "right"),
    [
        ("2", Outcome.SOLVED, "2", True),
        ("2", Outcome.SOLVED, "3", False),
        ("2", Outcome.UNSOLVED, None, False),
        (None, Outcome.UNSOLVED, None, True),
        (None, Outcome.SOLVED, "2", False),
        (None, Outcome.FAILED, None, False),
    ],
)
def test_the_demo_counts_an_honest_could_not_solve_as_right_only_where_it_is(
    expected: str | None, outcome: Outcome, answer: str | None, right: bool
) -> None:
    problem = DemoProblem(title="t", problem="p", answer=expected)
    assert Solved(problem, View(outcome=outcome, answer=answer), 1.0).right is right
