"""Study: depth beyond training. Trained on chains of depth 1 to 3, tried to depth 6.

in    a config (configs/studies/depth.yaml), the template library
out   runs/depth/<arm>.<seed>/ (weights), runs/depth/evaluate.<arm>.<seed>/outcomes.json; a report
run   reasonflux train study depth

Arms, every model of the same size, with the same tokens in all and the same calculator:
  plan-once      the navigator plans the whole trajectory, seeing the whole text
  horizon        the navigator plans one step a round from a view of what is left (`navigator.view`)
  direct         no hierarchy: one model sees the whole text and writes all expressions
  direct-window  no hierarchy, our controller: one step's expressions a round from the same view
The first two have an executor beside the navigator, one for each seed, and share the tokens with it: the direct models
have those of both, and half of the parameters.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import Field
from transformers import PreTrainedTokenizerFast

from evaluation.ladder import LadderProblem, Split, generate
from reasonflux.contracts import Contract, FailureKind
from reasonflux.engine import OpenAIEngine, engine_http
from training import corpus, similar
from training.carrying import ByName, Carried, CarryConfig, carrying
from training.corpus import Conversation, Library, Mixture
from training.running.pipeline import Stage, fingerprint
from training.settings import RunConfig, TokenizerConfig
from training.stages import publish, rollouts, scratch, tiny
from training.stages.rollouts import RolloutConfig
from training.stages.scratch import ModelShape, Recipe
from training.studies import direct
from training.weights import greedy
from training.weights.serving import EngineRef, serve

Arm = Literal["plan-once", "horizon", "direct", "direct-window"]
Part = Literal["executor", "plan-once", "horizon", "direct", "direct-window"]
ARMS: tuple[Arm, ...] = ("plan-once", "horizon", "direct", "direct-window")
HELDOUT_SEED = 1_000_003
_HELDOUT_SAMPLE = 1_000


class DepthStudy(Contract):
    """How large the study is."""

    seeds: tuple[int, ...] = (1, 2, 3)
    arms: tuple[Arm, ...] = ARMS
    trained_depths: tuple[int, ...] = (1, 2, 3)
    shape: ModelShape = ModelShape()
    navigator_tokens: int = Field(default=4_000_000, ge=1)
    executor_tokens: int = Field(default=6_000_000, ge=1)
    depths: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    problems: int = Field(default=50, ge=1, description="of each depth")
    problem_seed: int = 3_000_017

    def tokens_of(self, part: Part) -> int:
        """What a model is trained on: a direct one on the tokens of navigator and executor together."""
        own = {"executor": self.executor_tokens, "plan-once": self.navigator_tokens, "horizon": self.navigator_tokens}
        return own.get(part, self.navigator_tokens + self.executor_tokens)


class Answered(Contract):
    """What one arm answered, problem by problem."""

    problem: str
    depth: int
    right: bool
    failure: FailureKind | None = None
    """Why there was no answer, with navigator and executor."""


@dataclass(frozen=True)
class Study:
    config: DepthStudy
    folder: Path
    library: Library

    def stages(self) -> list[Stage]:
        """Training and trial of every arm and seed; each arm stands on its own parts only."""
        made = [Stage("tokenizer", self._tokenizer, (Path("tokenizer"),), fingerprint(self.config.trained_depths), 2)]
        parts: list[Part] = [*self.config.arms]
        if {"plan-once", "horizon"} & set(parts):
            parts.insert(0, "executor")
        for seed in self.config.seeds:
            made += [self._training(part, seed) for part in parts]
            made += [self._trial(arm, seed) for arm in self.config.arms]
        return made

    def weights(self, part: Part, seed: int) -> Path:
        return self.folder / f"{part}.{seed}" / "weights"

    def answered(self, arm: Arm) -> dict[int, list[Answered]]:
        """By seed, of those that have ended."""
        paths = {seed: self.folder / f"evaluate.{arm}.{seed}" / "outcomes.json" for seed in self.config.seeds}
        return {
            seed: [Answered.model_validate(one) for one in json.loads(path.read_text())]
            for seed, path in paths.items()
            if path.exists()
        }

    def problems(self) -> list[LadderProblem]:
        """The held-out problems of all arms and seeds: as many of each depth."""
        stream = generate(Split.HELDOUT, self.config.depths, seed=self.config.problem_seed)
        return list(islice(stream, self.config.problems * len(self.config.depths)))

    # --- training ----------------------------------------------------------------------------------------------------

    def _tokenizer(self, out: Path) -> None:
        config = RunConfig(tokenizer=TokenizerConfig(), mixture=_mixture("plan-once", self.config), start=Path("-"))
        tiny.prepare_tokenizer(config, self.library, out.parent / "made").save_pretrained(out)

    def _training(self, part: Part, seed: int) -> Stage:
        depends = fingerprint(self.config.shape, self.config.tokens_of(part), self.config.trained_depths, seed)
        return Stage(
            f"{part}.{seed}",
            lambda out: self._train(part, seed, out),
            (Path(f"{part}.{seed}"),),
            depends,
            resumes=True,
            needs=("tokenizer",),
        )

    def _train(self, part: Part, seed: int, out: Path) -> str:
        config, tokenizer = self.config, PreTrainedTokenizerFast.from_pretrained(self.folder / "tokenizer")
        tokens = config.tokens_of(part)
        recipe = Recipe(tokens=tokens, muon_lr=0.01, seed=seed)
        heldout = islice(self._conversations(part, HELDOUT_SEED, Split.HELDOUT), _HELDOUT_SAMPLE)
        model = scratch.train(
            self._conversations(part, seed, Split.TRAIN), heldout, tokenizer, config.shape, recipe, out
        )
        publish.save_weights(model, tokenizer, out / "weights")
        return f"{tokens / 1e6:.1f}M tokens"

    def _conversations(self, part: Part, seed: int, split: Split) -> Iterator[Conversation]:
        mixture = _mixture(part, self.config)
        if part == "executor":
            return corpus.executor_conversations(self.library, seed, mixture, split)
        if part in ("direct", "direct-window"):
            windowed = part == "direct-window"
            return direct.conversations(self.library, seed, mixture, split, windowed=windowed)
        return corpus.navigator_conversations(self.library, seed, mixture, split)

    # --- trial -------------------------------------------------------------------------------------------------------

    def _trial(self, arm: Arm, seed: int) -> Stage:
        parts = (arm,) if arm.startswith("direct") else (arm, "executor")
        return Stage(
            f"evaluate.{arm}.{seed}",
            lambda out: self._try(arm, seed, out),
            (Path(f"evaluate.{arm}.{seed}"),),
            fingerprint(self.config.depths, self.config.problems, self.config.problem_seed),
            needs=tuple(f"{part}.{seed}" for part in parts),
        )

    def _try(self, arm: Arm, seed: int, out: Path) -> str:
        problems = self.problems()
        out.mkdir(parents=True, exist_ok=True)
        if arm in ("direct", "direct-window"):
            say = greedy.speaker("navigator", self.weights(arm, seed), Path())
            texts = [problem.text for problem in problems]
            found = [Carried(answer=one) for one in direct.answers(say, texts, windowed=arm == "direct-window")]
        else:
            found = asyncio.run(self._with_hierarchy(arm, seed, problems, out))
        outcomes = [
            Answered(
                problem=problem.id,
                depth=problem.depth,
                right=one.answer == problem.answer,
                failure=one.failure and one.failure.kind,
            )
            for problem, one in zip(problems, found, strict=True)
        ]
        (out / "outcomes.json").write_text(json.dumps([one.model_dump(mode="json") for one in outcomes]) + "\n")
        return told(outcomes)

    async def _with_hierarchy(self, arm: Arm, seed: int, problems: Sequence[LadderProblem], out: Path) -> list[Carried]:
        """Greedy trajectories by the served navigator, carried out by the served executor."""
        config = RolloutConfig(samples=1, horizon=1 if arm == "horizon" else None, rounds=10, concurrency=32)
        asked = [similar.from_ladder(problem) for problem in problems]
        logs = self.folder / f"engines.{arm}.{seed}"
        async with (
            serve(EngineRef(model="executor"), self.weights("executor", seed), logs, role="executor") as acting,
            serve(EngineRef(model="navigator"), self.weights(arm, seed), logs, role="navigator") as planning,
            engine_http(acting, planning) as http,
            carrying(CarryConfig(), OpenAIEngine(http, acting), acting.model, ByName(self.library.values())) as carrier,
        ):
            engine = OpenAIEngine(http, planning)
            sampler = rollouts.Sampler(engine, config, carrier)

            async def answer(n: int) -> Carried:
                rollout = await sampler.rollout(asked[n], 0)
                if rollout.trajectory is None or rollout.failure is not None:
                    return Carried(failure=rollout.failure)
                return await carrier.carry(rollout.trajectory, asked[n].text)

            gate = asyncio.Semaphore(config.concurrency)

            async def in_turn(n: int) -> Carried:
                async with gate:
                    return await answer(n)

            return list(await asyncio.gather(*(in_turn(n) for n in range(len(asked)))))


def told(outcomes: Sequence[Answered]) -> str:
    """The share of right answers by depth, in half a line."""
    shares = []
    for depth in sorted({one.depth for one in outcomes}):
        own = [one.right for one in outcomes if one.depth == depth]
        shares.append(f"{depth}: {100 * sum(own) / len(own):.0f}%")
    return "right at depth " + ", ".join(shares)


def _mixture(part: Part, config: DepthStudy) -> Mixture:
    """Plans and calculations only: reviews, errors and follow-ups are not this study's question."""
    return Mixture(
        depths=config.trained_depths,
        outside=0.03,
        plan_only=1.0,
        failed_calculation=0.0,
        unfit_template=0.0,
        follow_up=0.0,
        no_template=0.0,
        mismatch=0.0,
        second_try=0.0,
        horizon=0.0 if part == "plan-once" else 1.0,
        whole=1.0 if part == "plan-once" else 0.0,
        two_at_a_time=0.0,
    )
