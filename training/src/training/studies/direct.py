"""The direct baseline: one model of the same kind writes the calculation itself, without plan and without templates.

It has the same calculator. It reads the problem whole and writes every expression in one reply, naming results as the
text does. Or it reads a part at a time through the same view as the navigator (`navigator.view.SIZE` statements, the
results that wait to be used) and writes one step's expressions a round; results' names stand in the place of their
symbols, as for the executor. The second keeps our controller and leaves only the hierarchy out.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from calculator import evaluate_in_process
from evaluation.ladder import LadderProblem, Split, Stage
from executor.prompting import with_names
from navigator import naming
from navigator.view import SIZE
from reasonflux.contracts import Problem, Statement, Step
from reasonflux.engine import Message
from reasonflux.errors import ReasonFluxError
from reasonflux.json_reply import ReplyUnparsable, parse_reply
from training.corpus import Conversation, Library, Mixture, Turn, training_problems
from training.weights.greedy import Say

MAX_ROUNDS = 10
_NAME = re.compile(r"[A-Za-z_]\w*")
_RESULT = re.compile(r"r\d+")


def conversations(
    library: Library, seed: int, mixture: Mixture, split: Split = Split.TRAIN, *, windowed: bool
) -> Iterator[Conversation]:
    """Problems with their calculations, without end: one conversation a problem, or one a view."""
    rng = Random(seed)
    for problem in training_problems(library, split, seed, mixture):
        shift = (rng.randint(0, mixture.shift), rng.randint(0, mixture.shift // 2)) if windowed else (0, 0)
        yield from told(problem, library, *shift, windowed=windowed)


def told(
    problem: LadderProblem, library: Library, statements: int = 0, steps: int = 0, *, windowed: bool
) -> Iterator[Conversation]:
    """A problem's gold calculations, with the numbers of statements and steps moved up (views only)."""
    if windowed:
        yield from _views(problem, library, statements, steps)
        return
    gold = [Step(id=stage.id, goal=stage.goal, uses=stage.uses) for stage in problem.stages]
    symbols = naming.symbols(Problem(text=problem.text).statements, gold)
    named = {f"r{number}": symbol for number, symbol in symbols.items()}
    expressions = [line for stage in problem.stages for line in written_out(stage, library, stage.id, named)]
    yield _exchange(asked_whole(problem.text), {"expressions": expressions})


def written_out(stage: Stage, library: Library, number: int, named: Mapping[str, str]) -> list[str]:
    """The formulas of the template, numbers put in, as step `number`; `named` tells what results are called."""
    bindings = {variable: named.get(value, value) for variable, value in stage.bindings.items()}
    formulas = library[stage.template_id].formulas
    made = {formula.partition("=")[0].strip(): f"t{number}{chr(97 + n)}" for n, formula in enumerate(formulas[:-1])}

    def put_in(found: re.Match[str]) -> str:
        value = bindings.get(found[0])
        return made.get(found[0], found[0]) if value is None else f"({value})" if value.startswith("-") else value

    lines, result = [], f"r{stage.id}"
    for n, formula in enumerate(formulas):
        name, _, expression = formula.partition("=")
        kept = named.get(result, result) if n == len(formulas) - 1 else made[name.strip()]
        lines.append(f"{kept} = {_NAME.sub(put_in, expression.strip())}")
    return lines


def asked_whole(text: str) -> str:
    return "\n".join(("direct", *(f"{s.id}: {s.text}" for s in Problem(text=text).statements), "solve all"))


def _views(problem: LadderProblem, library: Library, statements: int, steps: int) -> Iterator[Conversation]:
    moved = {f"r{stage.id}": f"r{stage.id + steps}" for stage in problem.stages}
    state = _State([s.text for s in Problem(text=problem.text).statements], statements, steps)
    for stage in problem.stages:
        last = max(int(use[1:]) for use in stage.uses if use.startswith("s")) + statements
        done = [f"s{n}" for n in range(state.read + 1, last + 1)]
        reply: dict[str, object] = {"expressions": written_out(stage, library, stage.id + steps, moved)}
        final = stage is problem.stages[-1]
        if not final:
            reply = {**reply, "done": done}
        yield _exchange(state.asked(), reply)
        state.take(reply)


def _exchange(prompt: str, reply: Mapping[str, object]) -> Conversation:
    return Turn("user", prompt), Turn("assistant", json.dumps(reply, separators=(",", ":")), learn=True)


@dataclass
class _State:
    """What a windowed solution has read and found so far."""

    texts: list[str]
    offset: int = 0
    """The statements before the first one (see `training.corpus.shifting`)."""
    steps: int = 0
    read: int = field(init=False)
    taken: list[Step] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.read = self.offset

    def asked(self) -> str:
        numbered = [(f"s{n}", text) for n, text in enumerate(self.texts, self.offset + 1)]
        left = numbered[self.read - self.offset :] or numbered[-SIZE:]
        results = [f"r{step.id}" for step in self.taken]
        names = {symbol: f"r{n}" for n, symbol in naming.symbols(self._statements(), self.taken).items()}
        lines = [f"{name}: result" for name in results if name not in self.used] or results[-1:]
        lines += [f"{n}: {with_names(text, names)}" for n, text in left[:SIZE]] + ["more"] * (len(left) > SIZE)
        return "\n".join(("direct", *lines, f"solve 1 at a time from {self.steps + 1}"))

    def _statements(self) -> tuple[Statement, ...]:
        return tuple(Statement(id=f"s{n}", text=text) for n, text in enumerate(self.texts, self.offset + 1))

    def take(self, reply: Mapping[str, object]) -> None:
        self.steps += 1
        self.used |= set(_RESULT.findall(" ".join(_texts(reply.get("expressions"))))) - {f"r{self.steps}"}
        numbers = [int(name[1:]) for name in _texts(reply.get("done")) if re.fullmatch(r"s\d+", name)]
        self.read = max([self.read, *(n for n in numbers if n <= self.offset + len(self.texts))])
        self.taken.append(Step(id=self.steps, goal="result", uses=(f"s{self.read}",)))


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def answers(say: Say, texts: Sequence[str], *, windowed: bool) -> list[str | None]:
    """The direct model's answer to each problem, or None where its replies lead nowhere."""
    states = [_State([s.text for s in Problem(text=text).statements]) for text in texts]
    found: list[str | None] = [None] * len(texts)
    values: list[dict[str, str]] = [{} for _ in texts]
    going = list(range(len(texts)))
    for _ in range(MAX_ROUNDS if windowed else 1):
        prompts = [states[n].asked() if windowed else asked_whole(texts[n]) for n in going]
        replies = say([[Message(role="user", content=prompt)] for prompt in prompts])
        on: list[int] = []
        for n, text in zip(going, replies, strict=True):
            reply = _read(text)
            result = _calculated(reply, values[n])
            if result is None:
                continue
            if windowed and "done" in reply:
                states[n].take(reply)
                values[n][f"r{states[n].steps}"] = result
                on.append(n)
            else:
                found[n] = result
        going = on
    return found


def _read(text: str) -> Mapping[str, object]:
    try:
        reply = parse_reply(text)
    except ReplyUnparsable:
        return {}
    return reply if isinstance(reply, dict) else {}


def _calculated(reply: Mapping[str, object], known: Mapping[str, str]) -> str | None:
    expressions = _texts(reply.get("expressions"))
    if not expressions:
        return None
    try:
        made = evaluate_in_process(expressions, {k: v for k, v in known.items() if k in " ".join(expressions)})
    except ReasonFluxError:
        return None
    return made[-1].value if len(made) == len(expressions) else None
