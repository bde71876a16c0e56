"""Judges of solutions and of their beginnings. A score is between 0 and 1; no score is None, and never 0."""

import re
from itertools import pairwise
from typing import Any, Literal

import httpx
from pydantic import BaseModel, Field, ValidationError

from evaluation.solving.means import Calculates, Judge, Means, MeansMissing
from evaluation.solving.model import Model
from evaluation.solving.prompts import render
from evaluation.solving.solutions import Chain
from reasonflux.contracts import Contract, Tokens
from reasonflux.engine_port import Message
from reasonflux.errors import EngineRefused, EngineTimeout, EngineUnavailable
from reasonflux.json_reply import ReplyUnparsable, parse_reply

MAX_CLAIMS = 64
"""Calculations of one solution that are checked: the first ones."""

JudgeName = Literal["llm", "prm", "calculator", "fit"]


def judge_of(means: Means, name: JudgeName) -> Judge:
    """Raises MeansMissing when the run has no such judge."""
    judge = means.judges.get(name)
    if judge is None:
        hint = "say where the reward model runs with --prm URL" if name == "prm" else "choose another judge"
        raise MeansMissing(f"this run has no judge {name!r}", hint=hint)
    return judge


async def scored(judge: Judge, problem: str, solution: Chain, model: Model) -> float | None:
    """A judge's score. None, and counted, where there is none: unreadable, refused, or too late."""
    try:
        found = await judge.score(problem, solution, model)
    except (EngineRefused, EngineTimeout):
        found = None
    if found is None:
        model.meter.counts["solutions without a score"] += 1
    return found


class Judgement(Contract):
    reason: str = ""
    score: int = Field(ge=0, le=10)


class LLMJudge:
    """The same engine reads the solution and gives a score, in JSON that the engine is held to."""

    async def score(self, problem: str, solution: Chain, model: Model) -> float | None:
        told = render("judged", problem=problem, solution=solution.text)
        messages = [Message(role="system", content=render("judge")), Message(role="user", content=told)]
        reply = await model.say(
            messages, temperature=0.0, max_tokens=model.limits.step_tokens, schema=Judgement.model_json_schema()
        )
        try:
            return Judgement.model_validate(parse_reply(reply.text)).score / 10
        except (ReplyUnparsable, ValidationError):
            return None


class _Pooled(BaseModel):
    class Item(BaseModel):
        data: Any

    class Usage(BaseModel):
        prompt_tokens: int = 0

    data: list[Item]
    usage: Usage = Usage()


class RewardModel:
    """A process reward model behind vLLM's `/pooling`, or any server that answers like it.

    A solution's steps are its lines, each followed by the model's step token. Of the scores per step the lowest counts.
    """

    def __init__(self, http: httpx.AsyncClient, url: str, model: str, step_token: str = "<extra_0>") -> None:
        self._http = http
        self._url = url.rstrip("/").removesuffix("/v1").removesuffix("/pooling") + "/pooling"
        self._model = model
        self._step_token = step_token

    async def score(self, problem: str, solution: Chain, model: Model) -> float | None:
        steps = [line.strip() for line in solution.text.splitlines() if line.strip()]
        messages = [
            {"role": "user", "content": problem},
            {"role": "assistant", "content": "".join(step + self._step_token for step in steps)},
        ]
        try:
            response = await self._http.post(self._url, json={"model": self._model, "messages": messages})
        except httpx.TimeoutException as error:
            raise EngineTimeout(f"the reward model at {self._url} does not answer in time") from error
        except httpx.HTTPError as error:
            hint = "start it, or say where it runs with --prm URL"
            raise EngineUnavailable(f"cannot reach the reward model at {self._url}: {error!r}", hint=hint) from error
        if response.status_code != 200:
            raise _refusal(self._url, response)
        try:
            pooled = _Pooled.model_validate_json(response.content)
            found = step_scores(pooled.data[0].data)
        except (ValidationError, ValueError, IndexError, TypeError):
            return None
        model.meter.add(Tokens(prompt=pooled.usage.prompt_tokens, calls=1))
        return min(found) if found else None


def _refusal(url: str, response: httpx.Response) -> Exception:
    said = f"the reward model at {url} answered {response.status_code}: {response.text[:200]}"
    if response.status_code == 429 or response.status_code >= 500:
        return EngineUnavailable(said, hint="look into its log")
    return EngineRefused(said, hint="check --prm and --prm-model")


def step_scores(data: Any) -> list[float]:
    """The score of each step: numbers, or pairs (wrong, right). Raises ValueError or TypeError for anything else."""
    values = data if isinstance(data, list) else [data]
    found = [float(value[-1]) if isinstance(value, list) and len(value) == 2 else float(value) for value in values]
    if not all(0 <= score <= 1 for score in found):
        raise ValueError("scores lie between 0 and 1")
    return found


class CalculatorCheck:
    """The share of the solution's own calculations (`3 * 4 = 12`) that the exact calculator confirms."""

    def __init__(self, calculator: Calculates) -> None:
        self._calculator = calculator

    async def score(self, problem: str, solution: Chain, model: Model) -> float | None:
        held = []
        for left, right in equalities(solution.text)[:MAX_CLAIMS]:
            values = await self._calculator.evaluate([f"({left}) - ({right})"], {})
            if values and values[-1].value is not None:  # what the calculator cannot read it does not judge
                held.append(values[-1].value == "0")
        return sum(held) / len(held) if held else None


class TemplateFit:
    """The store's calibrated probability that a template was the right one, of the step where it is lowest. It needs
    no engine, and tells nothing of solutions without templates."""

    async def score(self, problem: str, solution: Chain, model: Model) -> float | None:
        return solution.fit


def equalities(text: str) -> list[tuple[str, str]]:
    """Equations between numbers in a text, a calculation on at least one side; `2 + 3 = 4 + 1 = 5` is two."""
    plain = text.replace(r"\times", "*").replace(r"\cdot", "*").replace("×", "*").replace("÷", "/").replace("^", "**")
    plain = re.sub(r"\\d?frac\{([^{}]+)\}\{([^{}]+)\}", r"(\1)/(\2)", plain)
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", plain)
    found = []
    for line in re.split(r"[$\n;,:]|\.(?!\d)", plain):
        sides = line.split("=")
        for left, right in pairwise(sides):
            left, right = _last_number_run(left), _first_number_run(right)
            if left and right and (re.search(r"[-+*/]", left[1:]) or re.search(r"[-+*/]", right[1:])):
                found.append((left, right))
    return found


def _last_number_run(side: str) -> str:
    match = re.search(r"(?<![A-Za-z\\}_])(?:[\d.\s()*/+-])*$", side)
    return _whole(match[0]) if match else ""


def _first_number_run(side: str) -> str:
    match = re.match(r"(?:[\d.\s()*/+-])*(?![A-Za-z\\{_])", side)
    return _whole(match[0]) if match else ""


def _whole(run: str) -> str:
    """A run that is a calculation by itself; empty when it is only a part of one."""
    text = run.strip()
    whole = bool(re.search(r"\d", text)) and text.count("(") == text.count(")") and text[:1] not in "*/)"
    return text if whole and text[-1:] not in "*/+-(." else ""
