"""What trained weights can and cannot do, without any server: errors by kind. Greedy, on the CPU, held-out problems.

in    a navigator and an executor (see `training.weights.greedy`), the template library
out   tables: executor on gold steps, navigator on plans, both together by depth and family, declining; errors by kind
run   reasonflux train diagnose --navigator DIR --executor DIR --limit 200

Retrieval is left out: a planned step gets the template whose name the plan says, or none when no template has it.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from calculator import evaluate_in_process
from evaluation.ladder import LadderProblem, Split, Stage, generate
from evaluation.ladder.outside import outside
from executor.instantiate import Instantiator
from executor.prompting import Profile as ExecutorProfile
from executor.prompting import render
from navigator import naming
from navigator.errors import ReplyUnusable
from navigator.planning import Profile, plan_messages
from navigator.replies import parse_plan
from navigator.session import fold
from reasonflux.contracts import (
    Calculation,
    Entry,
    FailureKind,
    InstantiateRequest,
    Instantiation,
    KnownResult,
    Options,
    Problem,
    SessionStarted,
    Step,
    Tokens,
    Trajectory,
)
from reasonflux.engine import Message, Reply
from training.corpus import Library, request_of
from training.weights.greedy import Say

RIGHT = "right"
OTHER_VARIABLES = "other variables than the template's"
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """One thing that was tried: a gold step, a plan or a whole problem."""

    problem: str
    depth: int
    families: tuple[str, ...]
    verdict: str
    """RIGHT or the kind of error."""
    detail: str = ""


@dataclass(frozen=True)
class Findings:
    """All cases by what was tried: executor, navigator, together, declining."""

    cases: dict[str, list[Case]] = field(default_factory=dict)


def run(navigator: Say, executor: Say, library: Library, depths: Sequence[int], limit: int, seed: int) -> Findings:
    """Everything on `limit` held-out problems, balanced over `depths`, and on a quarter as many outside problems."""
    problems = list(islice(generate(Split.HELDOUT, depths, seed=seed), limit))
    strangers = list(islice(outside(Split.HELDOUT, seed=seed), max(1, limit // 4)))
    plans = planned(navigator, [problem.text for problem in problems])
    declining = [
        Case(text, 0, (), *_declined(plan)) for text, plan in zip(strangers, planned(navigator, strangers), strict=True)
    ]
    return Findings(
        {
            "executor, gold steps": executor_cases(executor, problems, library),
            "navigator, plans": [_plan_case(p, plan, library) for p, plan in zip(problems, plans, strict=True)],
            "together": together(executor, problems, plans, library),
            "declining": declining,
        }
    )


# --- executor -------------------------------------------------------------------------------------------------------


def executor_cases(executor: Say, problems: Sequence[LadderProblem], library: Library) -> list[Case]:
    """Every gold step of the problems, each by itself."""
    tasks = [(problem, stage) for problem in problems for stage in problem.stages]
    requests = [request_of(problem, stage, library[stage.template_id]) for problem, stage in tasks]
    done = carried_out(executor, requests)
    return [
        Case(problem.id, problem.depth, (stage.family,), *_judged(stage, request, outcome))
        for (problem, stage), request, outcome in zip(tasks, requests, done, strict=True)
    ]


def carried_out(executor: Say, requests: Sequence[InstantiateRequest]) -> list[Instantiation]:
    """The executor service's own reading of the replies, with the calculator in this process."""
    replies = executor([render(request, ExecutorProfile.COMPACT) for request in requests])

    async def read(reply: str, request: InstantiateRequest) -> Instantiation:
        return await Instantiator(_Said(reply), _InProcess(), ExecutorProfile.COMPACT, max_repairs=0).instantiate(
            request
        )

    async def read_all() -> list[Instantiation]:
        return [await read(reply, request) for reply, request in zip(replies, requests, strict=True)]

    return asyncio.run(read_all())


def _judged(stage: Stage, request: InstantiateRequest, outcome: Instantiation) -> tuple[str, str]:
    if outcome.result == stage.result:
        return RIGHT, ""
    said = " ".join(statement.text for statement in request.statements)
    detail = f"{said} | gold {stage.bindings} = {stage.result} | {outcome.bindings} = {outcome.result}"
    if outcome.failure is not None and outcome.failure.kind is FailureKind.TEMPLATE_UNFIT:
        return "says that the template does not fit", detail
    if outcome.failure is not None and outcome.failure.kind is FailureKind.UNPARSABLE_REPLY:
        return "unreadable reply", f"{detail} | {outcome.failure.message}"
    return binding_error(stage.bindings, outcome.bindings, said), detail


def binding_error(gold: Mapping[str, str], given: Mapping[str, str], said: str) -> str:
    """What is wrong with bindings that are not the right ones; `said` is the text that they were taken from."""
    wrong = [variable for variable in gold if given.get(variable) != gold[variable]]
    if set(gold) != set(given):
        return OTHER_VARIABLES
    if sorted(gold.values()) == sorted(given.values()):
        return "values swapped"
    if any(gold[variable].startswith("r") != given[variable].startswith("r") for variable in wrong):
        return "earlier result not used, or used for a number"
    numbers = re.findall(r"\d+", said)
    if all(given[variable].lstrip("-") in numbers for variable in wrong):
        return "another number of the text" if all(given[v] != gold[v].lstrip("-") for v in wrong) else "sign lost"
    return "number miscopied"


@dataclass(frozen=True)
class _Said:
    """An engine whose reply is known already."""

    text: str

    async def chat(self, messages: Sequence[Message], **_: Any) -> Reply:
        return Reply(text=self.text, finish_reason="stop", tokens=Tokens())


class _InProcess:
    async def evaluate(
        self, statements: Sequence[str], names: Mapping[str, str] | None = None
    ) -> tuple[Calculation, ...]:
        return evaluate_in_process(statements, names)


# --- navigator ------------------------------------------------------------------------------------------------------

Plan = Trajectory | str
"""A trajectory, or why the reply tells none."""


def planned(navigator: Say, texts: Sequence[str]) -> list[Plan]:
    """The first plan for each problem."""
    journals = [
        (Entry(seq=1, at=_EPOCH, event=SessionStarted(problem=Problem(text=text), options=Options())),)
        for text in texts
    ]
    replies = navigator([plan_messages("evaluation", journal, Profile.COMPACT) for journal in journals])
    return [_read_plan(reply, journal) for reply, journal in zip(replies, journals, strict=True)]


def _read_plan(reply: str, journal: Sequence[Entry]) -> Plan:
    try:
        return parse_plan(reply, fold("evaluation", journal), by_symbol=True)
    except ReplyUnusable as error:
        return f"{error.failure.message} | {reply}"


def _plan_case(problem: LadderProblem, plan: Plan, library: Library) -> Case:
    families = tuple(stage.family for stage in problem.stages)
    return Case(problem.id, problem.depth, families, *_plan_error(problem, plan, library))


def _plan_error(problem: LadderProblem, plan: Plan, library: Library) -> tuple[str, str]:
    if isinstance(plan, str):
        return _unusable(plan), f"{problem.text} | {plan}"
    if not plan.steps:
        return "declined", problem.text
    gold = [(library[stage.template_id].name, stage.uses) for stage in problem.stages]
    told = [(step.query.name if step.query else "no template", step.uses) for step in plan.steps]
    if len(told) != len(gold):
        return f"{'more' if len(told) > len(gold) else 'fewer'} steps than gold", f"{problem.text} | {told}"
    for (template, uses), (named, used) in zip(gold, told, strict=True):
        if named != template:
            return "another template", f"{template} → {named} | {problem.text}"
        if set(used) != set(uses):
            return "other statements or results", f"{', '.join(uses)} → {', '.join(used)} | {problem.text}"
    return RIGHT, ""


def _unusable(why: str) -> str:
    return "uses what is not there" if "no statement and no step" in why else "unreadable reply"


def _declined(plan: Plan) -> tuple[str, str]:
    if isinstance(plan, str):
        return _unusable(plan), plan
    return ("planned a way", str([s.query.name for s in plan.steps if s.query])) if plan.steps else (RIGHT, "")


# --- together -------------------------------------------------------------------------------------------------------


def together(executor: Say, problems: Sequence[LadderProblem], plans: Sequence[Plan], library: Library) -> list[Case]:
    """The plans carried out step by step, without review: the last step's result is the answer."""
    by_name = {template.name: template for template in library.values()}
    results: list[dict[str, KnownResult]] = [{} for _ in problems]
    broken: dict[int, str] = {n: "no plan" for n, plan in enumerate(plans) if isinstance(plan, str) or not plan.steps}
    steps = [() if isinstance(plan, str) else plan.steps for plan in plans]
    for position in range(max(map(len, steps), default=0)):
        due = [n for n, own in enumerate(steps) if len(own) > position and n not in broken]
        requests = [_request(steps[n][position], problems[n].text, results[n], by_name) for n in due]
        for n, outcome in zip(due, carried_out(executor, requests), strict=True):
            step = steps[n][position]
            if outcome.result is None:
                broken[n] = f"step failed: {outcome.failure.kind.value if outcome.failure else 'no result'}"
            else:
                name = f"r{step.id}"
                named = naming.symbols(Problem(text=problems[n].text).statements, steps[n])
                results[n][name] = KnownResult(
                    name=name, goal=step.goal, value=outcome.result, symbol=named.get(step.id)
                )
    cases = []
    for n, problem in enumerate(problems):
        answer = None if n in broken else results[n][f"r{steps[n][-1].id}"].value
        verdict = RIGHT if answer == problem.answer else broken.get(n, "wrong answer")
        families = tuple(stage.family for stage in problem.stages)
        cases.append(Case(problem.id, problem.depth, families, verdict, f"{problem.text} | {answer}"))
    return cases


def _request(
    step: Step, text: str, results: Mapping[str, KnownResult], by_name: Mapping[str, Any]
) -> InstantiateRequest:
    statements = {statement.id: statement for statement in Problem(text=text).statements}
    return InstantiateRequest(
        goal=step.goal,
        template=by_name.get(step.query.name) if step.query else None,
        statements=tuple(statements[use] for use in step.uses if use in statements),
        known=tuple(results[use] for use in step.uses if use in results),
    )


# --- as tables ------------------------------------------------------------------------------------------------------


def show(console: Console, found: Findings, examples: int = 3) -> None:
    """Print shares by depth and family, and the errors by kind with examples."""
    for name, cases in found.cases.items():
        table = Table(title=name, title_justify="left", box=None, header_style="dim")
        for column in ("", "right", "of", "share"):
            table.add_column(column, justify="right" if column else "left")
        for label, group in _grouped(cases):
            right = sum(case.verdict == RIGHT for case in group)
            table.add_row(label, str(right), str(len(group)), f"{100 * right / len(group):.1f}%")
        console.print(table)
        for verdict, count in Counter(case.verdict for case in cases if case.verdict != RIGHT).most_common():
            console.print(Text(f"{count} × {verdict}", style="yellow"))
            for case in [case for case in cases if case.verdict == verdict][:examples]:
                console.print(Text(f"  {', '.join(case.families)}: {case.detail}"), soft_wrap=True)
        console.print()


def _grouped(cases: Sequence[Case]) -> Iterator[tuple[str, list[Case]]]:
    """All, by depth, and the families that are not always right."""
    if cases:
        yield "all", list(cases)
    for depth in sorted({case.depth for case in cases} - {0}):
        yield f"depth {depth}", [case for case in cases if case.depth == depth]
    groups = {family: [case for case in cases if family in case.families] for case in cases for family in case.families}
    share = {family: sum(case.verdict == RIGHT for case in group) / len(group) for family, group in groups.items()}
    for family in sorted(groups, key=lambda name: (share[name], name)):
        if share[family] < 1:
            yield family, groups[family]
