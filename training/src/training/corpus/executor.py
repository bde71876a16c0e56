"""Executor conversations: gold steps carried out, and steps whose template does not fit."""

import json
from collections.abc import Iterator, Mapping
from random import Random

from evaluation.ladder import LadderProblem, Split, Stage, generate
from evaluation.ladder.outside import outside
from executor import prompting
from navigator import naming
from reasonflux.contracts import InstantiateRequest, KnownResult, Problem, Step, ThoughtTemplate
from reasonflux.engine import Message
from training.corpus.follow_ups import FollowUp, follow_ups
from training.corpus.mixture import (
    DEFAULT,
    RETRY,
    UNFIT,
    Conversation,
    Library,
    Mixture,
    Turn,
    misread,
    training_problems,
)


def executor_conversations(
    library: Library, seed: int, mixture: Mixture = DEFAULT, split: Split = Split.TRAIN
) -> Iterator[Conversation]:
    """Steps as the executor sees them, without end."""
    rng = Random(seed)
    problems = training_problems(library, split, seed, mixture)
    declined = outside(split, seed=seed)
    following = follow_ups(generate(split, (2,), seed=seed), rng)
    while True:
        if mixture.follow_up and rng.random() < mixture.follow_up:
            yield _follow_up_step(next(following), library)
            continue
        if rng.random() < mixture.outside / 2:
            yield _outside_step(next(declined), rng.choice(list(library.values())))
            continue
        problem = next(problems)
        for stage in problem.stages:
            yield _step_conversation(problem, stage, library, rng, mixture)


def request_of(problem: LadderProblem, stage: Stage, template: ThoughtTemplate | None) -> InstantiateRequest:
    """What the navigator sends to the executor for a gold step."""
    by_id = {s.id: s for s in Problem(text=problem.text).statements}
    earlier = {f"r{s.id}": s for s in problem.stages}
    named = naming.symbols(tuple(by_id.values()), [Step(id=s.id, goal=s.goal, uses=s.uses) for s in problem.stages])
    return InstantiateRequest(
        goal=stage.goal,
        template=template,
        statements=tuple(by_id[use] for use in stage.uses if use in by_id),
        known=tuple(
            KnownResult(name=use, goal=one.goal, value=one.result, symbol=named.get(one.id))
            for use in stage.uses
            if (one := earlier.get(use)) is not None
        ),
    )


def _step_conversation(
    problem: LadderProblem, stage: Stage, library: Library, rng: Random, mixture: Mixture
) -> Conversation:
    template = library[stage.template_id]
    request, stage = _later(request_of(problem, stage, template), stage, rng.randint(0, mixture.shift // 2))
    if rng.random() < mixture.mismatch:
        return _exchange(_mismatch(request, stage, library, rng), {"fits": False, "reasoning": UNFIT})
    if rng.random() < mixture.no_template:
        request = request.model_copy(update={"template": None})
        return _exchange(request, {"fits": True, "reasoning": "", "expressions": _written_out(template, stage)})
    if rng.random() < mixture.second_try:
        request = request.model_copy(update={"attempt": 2, "feedback": RETRY})
    reply = {"fits": True, "reasoning": _reasoning(template, stage), "bindings": stage.bindings}
    return _exchange(request, reply)


def _later(request: InstantiateRequest, stage: Stage, shift: int) -> tuple[InstantiateRequest, Stage]:
    """The same step further down a problem deeper than any here, where earlier results have higher numbers."""
    moved = {result.name: f"r{int(result.name[1:]) + shift}" for result in request.known}
    known = tuple(result.model_copy(update={"name": moved[result.name]}) for result in request.known)
    bindings = {variable: moved.get(value, value) for variable, value in stage.bindings.items()}
    return request.model_copy(update={"known": known}), stage.model_copy(update={"bindings": bindings})


def _mismatch(request: InstantiateRequest, stage: Stage, library: Library, rng: Random) -> InstantiateRequest:
    """Another template on the same statements, half of the time one from the same field."""
    others = [t for t in library.values() if t.id != stage.template_id]
    near = [t for t in others if t.field == library[stage.template_id].field]
    wrong = rng.choice(near if near and rng.random() < 0.5 else others)
    return request.model_copy(update={"template": wrong, "goal": misread(request.goal, wrong, rng)})


def _outside_step(text: str, template: ThoughtTemplate) -> Conversation:
    statements = Problem(text=text).statements
    request = InstantiateRequest(goal=f"Find {template.name}", template=template, statements=statements)
    return _exchange(request, {"fits": False, "reasoning": UNFIT})


def _follow_up_step(asked: FollowUp, library: Library) -> Conversation:
    stage, template = asked.stage, library[asked.stage.template_id]
    statements = asked.started.problem.statements
    request = InstantiateRequest(goal=stage.goal, template=template, statements=statements, known=(asked.known,))
    return _exchange(request, {"fits": True, "reasoning": _reasoning(template, stage), "bindings": stage.bindings})


def _reasoning(template: ThoughtTemplate, stage: Stage) -> str:
    """What each number is, in reading order: numbers are copied most surely in the order in which they stand."""
    return "; ".join(f"{template.variables[variable]}: {value}" for variable, value in stage.bindings.items())


def _written_out(template: ThoughtTemplate, stage: Stage) -> list[str]:
    """The template's formulas after the bindings as assignments: how a step without a template is written."""
    return [f"{variable} = {value}" for variable, value in stage.bindings.items()] + list(template.formulas)


def _exchange(request: InstantiateRequest, reply: Mapping[str, object]) -> Conversation:
    prompt: list[Message] = prompting.render(request, prompting.Profile.COMPACT)
    answer = json.dumps(reply, ensure_ascii=False, separators=(",", ":"))
    return (*(Turn(m.role, m.content) for m in prompt), Turn("assistant", answer, learn=True))
