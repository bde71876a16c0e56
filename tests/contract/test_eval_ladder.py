"""`eval ladder` on the real navigator with scripted minds, and its result file."""

import asyncio
import io
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from rich.console import Console
from templates import template
from typer.testing import CliRunner

from evaluation import cli, running
from evaluation.attempt import Attempt, Task, Verdict
from evaluation.opening import Places, reachable
from evaluation.questions import LadderQuestions
from evaluation.report import Report, report
from evaluation.running import finish, start
from evaluation.runs import Journal, RunSpec, carry_out, read
from evaluation.solving.chains import by_chat
from evaluation.solving.means import Means
from evaluation.solving.model import Limits, Meter, Model
from evaluation.solving.solver import Solver
from evaluation.strategies.catalogue import parse
from evaluation.strategies.reasonflux import ReasonFlux, by_trajectory
from navigator.testing import is_review, on_fakes, opened, plan, review, step
from reasonflux.client import NavigatorClient
from reasonflux.contracts import InstantiateRequest, Outcome, Problem
from reasonflux.errors import InvalidRequest, ServiceUnavailable
from reasonflux.testing.fake_engine import Call, FakeEngine
from reasonflux.testing.serving import served

ASKED = LadderQuestions(limit=6, depths=(1, 2), outside=2, seed=3)
SPEC = RunSpec(questions=ASKED)
TASKS = ASKED.tasks()
KILLED = """
import asyncio, sys
from pathlib import Path
from evaluation.attempt import Attempt, Task, Verdict
from evaluation.questions import LadderQuestions
from evaluation.runs import Journal, RunSpec, carry_out
from reasonflux.contracts import Outcome

async def main():
    asked = LadderQuestions(limit=6, depths=(1, 2), outside=2, seed=3)
    journal = Journal.begin(Path(sys.argv[1]), RunSpec(questions=asked))
    async def solve(task, sample):
        if len(journal.attempts) == 3:
            print("three are done", flush=True)
            await asyncio.Event().wait()
        return Attempt(task=task, outcome=Outcome.SOLVED, answer=task.gold, verdict=Verdict.RIGHT)
    await carry_out(asked.tasks(), solve, journal, 1)

asyncio.run(main())
"""


def mind(call: Call) -> str:
    """Finishes with the one step's result, and declines what no family tells."""
    if is_review(call):
        return review("finish", "solved", answer="r1")
    asked = "\n".join(message.content for message in call.messages)
    solvable = [Problem(text=task.text).statements for task in TASKS if task.gold is not None]
    gold = any(all(statement.text in asked for statement in statements) for statements in solvable)
    return plan(step("find the answer")) if gold else plan()


def hand(request: InstantiateRequest) -> str:
    """Knows every answer but that of the first task."""
    text = " ".join(statement.text for statement in request.statements)
    first, *others = TASKS
    answers = {task.text: task.gold or "" for task in others} | {first.text: "-1"}
    return answers[text]


def service() -> FastAPI:
    return on_fakes(
        mind, hand, templates=[template(one) for one in {each for task in TASKS for each in task.templates}]
    )


@asynccontextmanager
async def navigator(app: FastAPI) -> AsyncIterator[NavigatorClient]:
    async with opened(app) as http:
        yield NavigatorClient(http, "http://navigator")


def solver(client: NavigatorClient, run: str, strategy: ReasonFlux | None = None, **options: Any) -> Solver:
    """The strategy on a navigator, as a run would use it."""
    model = Model(FakeEngine([]), Limits(), 0, Meter())
    means = Means(model=model, write=by_chat, navigator=client, sleep=nobody_waits)
    return Solver(strategy or ReasonFlux(), means, run, **options)


def places(url: str) -> Places:
    return Places(navigator_url=url, executor_url="http://127.0.0.1:9", template_store_url="http://127.0.0.1:9")


async def nobody_waits(_: float) -> None:
    """A pause that takes no time."""


class Counting:
    """Solves everything; counts. After `stop_after` the navigator is gone."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.asked: Counter[str] = Counter()
        self.stop_after = stop_after

    async def __call__(self, task: Task, sample: int = 0) -> Attempt:
        if self.stop_after is not None and self.asked.total() >= self.stop_after:
            raise ServiceUnavailable("the navigator is gone")
        self.asked[task.id] += 1
        return Attempt(task=task, outcome=Outcome.SOLVED, answer=task.gold, verdict=Verdict.RIGHT)


async def test_a_run_on_the_navigator_is_measured_and_reported(tmp_path: Path) -> None:
    journal = Journal.begin(tmp_path / "run.jsonl", SPEC)
    screen = io.StringIO()
    async with navigator(service()) as client:
        await running.live(Console(file=screen, width=140), journal, solver(client, journal.run.id), concurrency=3)
    journal.close()
    found = report(journal.run, journal.attempts)
    assert found.overall.verdicts == {"right": 5, "wrong": 1, "declined": 0, "failed": 0}
    assert found.outside is not None
    assert found.outside.verdicts[Verdict.DECLINED] == 2
    assert found.overall.rounds.mean == 1.0
    assert found.usage.navigator.calls == 14
    assert found.usage.executor.total > 0
    assert "87.5% right" in screen.getvalue()


async def test_the_command_leaves_a_result_file_with_reports_and_can_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "results" / "run.jsonl"
    async with served(service()) as url:
        assert await start(SPEC, path, places(url), 2) == 0
        kept = path.read_bytes()
        assert await finish(Journal.resume(path), places(url), 2) == 0
    assert path.read_bytes() == kept
    assert "## By depth" in path.with_suffix(".md").read_text()
    assert Report.model_validate_json(path.with_suffix(".json").read_text()).run.spec == SPEC


async def test_the_switches_of_a_run_reach_the_session() -> None:
    strategy = ReasonFlux(review=False, templates="none", horizon=1, plan_once=True)
    async with navigator(service()) as client:
        attempt = await solver(client, "run-1", strategy)(TASKS[1])
        session = await client.get(attempt.session or "")
    assert attempt.verdict is Verdict.RIGHT
    options = session.options
    assert (options.review, options.retrieve, options.horizon, options.max_revisions) == (False, False, 1, 0)
    assert session.metadata == {"run": "run-1", "task": attempt.task.id}


async def test_the_oracle_gives_the_gold_templates_in_the_order_of_the_plan() -> None:
    async with navigator(service()) as client:
        attempt = await solver(client, "run-1", ReasonFlux(templates="oracle"))(TASKS[1])
        session = await client.get(attempt.session or "")
    assert session.options.templates == TASKS[1].templates
    assert len(TASKS[1].templates) == TASKS[1].depth


async def test_no_oracle_knows_the_templates_of_a_problem_from_outside() -> None:
    async with navigator(service()) as client:
        with pytest.raises(InvalidRequest, match="gold templates"):
            await solver(client, "run-1", ReasonFlux(templates="oracle"))(TASKS[-1])


async def test_a_task_tried_again_in_the_same_run_meets_its_session() -> None:
    async with navigator(service()) as client:
        solve, task = solver(client, "run-1"), TASKS[1]
        first, again = await solve(task), await solve(task)
        other = await solver(client, "run-2")(task)
    assert first.session == again.session != other.session


async def test_every_attempt_at_a_task_has_its_own_session_and_seed() -> None:
    async with navigator(service()) as client:
        solve = solver(client, "run-1", samples=2)
        one, two = await solve(TASKS[1], 0), await solve(TASKS[1], 1)
        sessions = [await client.get(attempt.session or "") for attempt in (one, two)]
    assert one.session != two.session
    assert [session.options.sampling.seed for session in sessions] == [one.seed, two.seed]
    assert {session.options.sampling.temperature for session in sessions} == {Limits().temperature}


async def test_a_trajectory_is_a_whole_solution_without_review_and_every_draw_has_its_own_seed() -> None:
    asked: list[Call] = []

    def told(call: Call) -> str:
        asked.append(call)
        return mind(call)

    async with navigator(on_fakes(told, hand)) as client:
        model = Model(FakeEngine([]), Limits(), 0, Meter())
        means = Means(model=model, write=by_trajectory, navigator=client, sleep=nobody_waits)
        attempt = await Solver(parse("majority@2"), means, "run")(TASKS[1])
    assert attempt.verdict is Verdict.RIGHT
    assert attempt.usage.navigator.calls == len(asked) == 2  # a plan each, and no review
    assert len({call.seed for call in asked}) == 2


async def test_unusable_replies_are_a_failure_and_no_decision_to_decline() -> None:
    async with navigator(on_fakes(lambda _: "no JSON at all")) as client:
        attempt = await solver(client, "run-1")(TASKS[-1])
    assert attempt.verdict is Verdict.FAILED
    assert attempt.failure is not None


async def test_a_busy_navigator_is_asked_again() -> None:
    busy = {"error": {"message": "busy", "type": "overloaded"}}
    turns = iter([httpx.Response(429, json=busy), httpx.Response(429, json=busy)])
    gone = {"error": {"message": "stop here", "type": "invalid_request"}}
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["Idempotency-Key"])
        return next(turns, httpx.Response(400, json=gone))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        attempt = await solver(NavigatorClient(http, "http://navigator"), "r")(TASKS[0])
    assert len(asked) == 3
    assert len(set(asked)) == 1
    assert attempt.verdict is Verdict.FAILED


async def test_an_unreachable_navigator_ends_the_run_and_keeps_what_is_done(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    journal = Journal.begin(path, SPEC)
    with pytest.raises(ServiceUnavailable):
        await carry_out(TASKS, Counting(stop_after=3), journal, concurrency=2)
    journal.close()
    assert len(read(path)[1]) == 3


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "three are done\n"
        process.send_signal(signal.SIGKILL)
    with path.open("ab") as file:
        file.write(b'{"task":{"id":"cut sho')  # what a kill within a write leaves
    run, done = read(path)
    journal, solve = Journal.resume(path), Counting()
    asyncio.run(carry_out(TASKS, solve, journal, concurrency=2))
    journal.close()
    again, attempts = read(path)
    assert again == run
    assert {attempt.task.id for attempt in attempts} == {task.id for task in TASKS}
    assert not {attempt.task.id for attempt in done} & set(solve.asked)
    assert solve.asked.total() == len(TASKS) - 3


async def test_every_task_is_attempted_once_at_any_concurrency() -> None:
    for concurrency in (1, 3, 50):
        journal, solve = Journal.begin(None, SPEC), Counting()
        await carry_out(TASKS, solve, journal, concurrency)
        assert set(solve.asked.values()) == {1}
        assert len(journal.attempts) == 8


def test_a_result_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    Journal.begin(path, SPEC).close()
    with pytest.raises(InvalidRequest, match="exists"):
        Journal.begin(path, SPEC)


@pytest.mark.parametrize("content", ["", "{}\n", "not json\n", None])
def test_what_is_no_result_file_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "run.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidRequest):
        Journal.resume(path)


def test_a_stored_run_is_shown_again_and_stored_as_reports(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    journal = Journal.begin(path, SPEC)
    asyncio.run(carry_out(TASKS, Counting(), journal, 1))
    journal.close()
    as_json, as_markdown = running.store(report(*read(path)), path)
    assert Report.model_validate_json(as_json.read_text()).overall.right.n == 6
    shown = CliRunner().invoke(cli.app, ["show", str(path), "--markdown"])
    assert shown.exit_code == 0
    assert shown.output == as_markdown.read_text()
    assert "By depth" in CliRunner().invoke(cli.app, ["show", str(path)]).output


def test_example_problems_are_shown_with_their_gold_trajectories() -> None:
    shown = CliRunner().invoke(cli.app, ["problems", "--limit", "2", "--depth", "2", "--families", "gcd,lcm"])
    assert shown.exit_code == 0
    assert shown.output.count("answer:") == 2


async def test_an_unreachable_navigator_is_said_with_what_to_do() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as http:
        with pytest.raises(ServiceUnavailable, match="make up"):
            await reachable(NavigatorClient(http, "http://navigator"))
