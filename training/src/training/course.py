"""A run's course: every stage that its config asks for, in order, from the library to published weights.

    corpus → sft → [rollouts → rewards → pairs → dpo] × iterations → evaluate → publish

in    a `RunConfig`, the template library
out   runs/<name>/: a folder for each stage; published weights where the config says so
run   reasonflux train run --config training/configs/tiny-cpu.yaml       (make train-tiny)
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from evaluation.ladder import LadderProblem
from navigator.planning import Profile
from navigator.view import horizon_for
from reasonflux.contracts import Contract, Problem
from reasonflux.errors import InvalidRequest
from template_store import library as template_files
from training import publication
from training.actors import Actors
from training.corpus import dataset
from training.corpus.dataset import CorpusConfig
from training.problems import Problems
from training.records import Pair, Rewarded, TrainingProblem
from training.running import launching
from training.running.ledger import read
from training.running.pipeline import Stage, contents, fingerprint
from training.settings import Role, RunConfig
from training.stages import evaluate, pairs, rewards, rollouts, tiny, watching
from training.stages.evaluate import Evaluation
from training.stages.online import Online
from training.stages.tuning import GrpoConfig
from training.weights.serving import files_of

_ASK_ENGINES = {"rollouts", "rewards", "grpo", "evaluate"}
_EXECUTORS = "train one in `roles`, name its weights in `executor`, or a server that runs in engines.executor.url"


@dataclass(frozen=True)
class Course:
    """One run: its config, its folder, the library that it is trained on."""

    config: RunConfig
    folder: Path
    library_folder: Path
    data: Path | None = None
    """JSONL of conversations, for a pretrained model (`training.corpus.dataset`)."""

    def stages(self) -> list[Stage]:
        """All stages, in order. Raises InvalidRequest for a config that could not come to its end."""
        if self.config.iterations and self.config.problems.watched:
            self._problems.watched()  # whether there are enough of them is told before hours of sampling
        if self.config.evaluated is not None:
            self._problems.heldout()
        first = [] if self.config.start else [*self._corpus(), self._sft()]
        rounds = [stage for number in range(1, self.config.iterations + 1) for stage in self._round(number)]
        return [*first, *rounds, *self._reinforced(), *self._evaluations(), *self._publishing()]

    def look_ahead(self, due: Iterable[str]) -> None:
        """What these stages will ask of others is looked for now, before hours of work. Raises InvalidRequest (nobody
        is the executor, given weights are not there, a key is not set) and EngineError (a server does not answer, or
        has no such model)."""
        if {name.partition(".")[0] for name in due} & _ASK_ENGINES:
            _ = self.executor
            for given in (self.config.start, self.config.executor):
                if given is not None:
                    files_of(given)
            asyncio.run(self._actors.answer())

    def navigator(self, number: int) -> Path:
        """The navigator's weights after a round; 0 is SFT."""
        if number:
            return self.folder / f"dpo.{number}" / "weights"
        if self.config.start:
            return self.config.start
        return self.folder / "sft" / ("navigator/weights" if self.config.roles else "weights")

    @property
    def executor(self) -> Path:
        if self.config.executor is not None:
            return self.config.executor
        if self.config.engines.executor.url is not None:
            return self.folder / "no-weights"  # the server has its own
        if "executor" not in self.config.roles:
            raise InvalidRequest("nothing says who the executor is", hint=_EXECUTORS)
        return self.folder / "sft" / "executor" / "weights"

    # --- sft ---------------------------------------------------------------------------------------------------------

    def _sft(self) -> Stage:
        config = self.config
        if config.roles:
            made = config.seed, config.tokenizer, config.mixture, config.noise, config.structure, config.roles
            depends = fingerprint(*made, self._library)
            return Stage("sft", self._from_scratch, (Path("sft"),), depends, resumes=True)
        data = self.data or self.folder / "corpus" / "train.jsonl"
        depends = fingerprint(config.sft, self.data and contents(self.data))
        return Stage("sft", lambda out: launching.sft(config, data, out), (Path("sft"),), depends, resumes=True)

    def _corpus(self) -> list[Stage]:
        """The written corpus that a pretrained model is tuned on, unless it is given."""
        config = self.config
        if config.roles or self.data is not None:
            return []
        if config.corpus is None:
            raise InvalidRequest("there is no data to tune on", hint="add a section `corpus`, or give --data")
        chosen = config.corpus
        files = [contents(path) for path in (*chosen.sources.files(), *chosen.against)]
        depends = fingerprint(chosen, self._library, files)
        return [Stage("corpus", lambda out: self._write_corpus(chosen, out), (Path("corpus"),), depends)]

    def _write_corpus(self, config: CorpusConfig, out: Path) -> str:
        library = {template.id: template for template in template_files.read(self.library_folder)}
        dataset.run(config, library, out)
        return f"{sum(1 for _ in (out / 'train.jsonl').open('rb')):,} conversations to train on"

    def _from_scratch(self, out: Path) -> str:
        return tiny.train(self.config, tiny.read_library(self.library_folder), out)

    # --- a round of preference optimisation --------------------------------------------------------------------------

    def _round(self, number: int) -> list[Stage]:
        config, before = self.config, self.navigator(number - 1)
        sampled, rewarded, paired = (self.folder / f"{name}.{number}" for name in ("rollouts", "rewards", "pairs"))
        asked = config.problems.model_copy(update={"watched": 0})
        given = [_digest(path) for path in (config.start, config.executor) if path is not None]
        data = [contents(path) for path in (config.problems.dataset, config.similar.dataset) if path is not None]
        return [
            Stage(
                f"rollouts.{number}",
                lambda out: self._sample(before, self._problems.of_round(number), out),
                (Path(sampled.name),),
                fingerprint(asked, number, config.rollouts, config.engines, config.carry, self._library, given, data),
                resumes=True,
            ),
            Stage(
                f"rewards.{number}",
                lambda out: self._reward(sampled / "rollouts.jsonl", self._problems.ladder(number), out),
                (Path(rewarded.name),),
                fingerprint(config.rewards, config.similar),
                resumes=True,
            ),
            Stage(
                f"pairs.{number}",
                lambda out: _said(pairs.run(config.pairs, rewarded / "rewards.jsonl", out), Pair, "pairs"),
                (Path(paired.name),),
                fingerprint(config.pairs),
            ),
            Stage(
                f"dpo.{number}",
                lambda out: self._prefer(before, paired / "pairs.jsonl", out),
                (Path(f"dpo.{number}"),),
                fingerprint(config.dpo, config.problems.watched),
                resumes=True,
            ),
        ]

    async def _sample(self, weights: Path, asked: Sequence[TrainingProblem], out: Path) -> str:
        async with self._actors.both(weights, self.executor) as (navigator, model, carrier):
            path = await rollouts.run(self.config.rollouts, asked, navigator, model, out, carrier)
        return f"{sum(1 for _ in path.open('rb')):,} trajectories for {len(asked):,} problems"

    async def _reward(self, sampled: Path, ladder: Sequence[LadderProblem], out: Path) -> str:
        trials = self.folder / "trials.jsonl"  # of all rounds: what was carried out once is known
        async with AsyncExitStack() as stack:
            source = await self._problems.similar_to(ladder, stack)
            carrier = await stack.enter_async_context(self._actors.executing(self.executor))
            count = self.config.similar.count
            path = await rewards.run(self.config.rewards, sampled, source, count, carrier, out, trials)
        found = [one.reward for one in read(path, Rewarded)]
        return f"mean trajectory reward {sum(found) / len(found):.3f} of {len(found):,} rollouts"

    def _prefer(self, before: Path, paired: Path, out: Path) -> str:
        if self.config.problems.watched:  # the executor is at hand: a small model, in this process
            from training.stages import dpo  # TRL takes seconds to import

            dpo.run(self.config.dpo, before, paired, out, self._watched())
        else:
            launching.dpo(self.config, before, paired, out)
        return f"{sum(1 for _ in paired.open('rb')):,} pairs"

    def _watched(self) -> watching.HeldoutReward:
        """The success of greedy plans: it says when to stop."""
        return watching.success(self.executor, tiny.read_library(self.library_folder), self._problems.watched())

    def _reinforced(self) -> list[Stage]:
        """The variant that learns from the reward itself, from the SFT weights, where the config asks for it."""
        config, start = self.config.grpo, self.config.start
        if config is None:
            return []
        used = self.config.problems, self.config.similar, self.config.carry, self.config.engines, self._library
        depends = fingerprint(config, *used, start and _digest(start))
        needs = () if start else ("sft",)
        return [Stage("grpo", lambda out: self._reinforce(config, out), (Path("grpo"),), depends, 1, True, needs)]

    async def _reinforce(self, config: GrpoConfig, out: Path) -> str:
        asked, profile = self._problems.of_round(1), Profile(self.config.profile)
        if profile is Profile.COMPACT:
            asked = [one for one in asked if horizon_for(Problem(text=one.text)) is None]
        async with AsyncExitStack() as stack:
            source = await self._problems.similar_to(self._problems.ladder(1), stack)
            carrier = await stack.enter_async_context(self._actors.executing(self.executor))
            online = Online(profile, carrier, source, self.config.similar.count)
            await online.run(config, self.navigator(0), asked, out)
        return f"{len(asked):,} problems, {config.max_steps} steps of {config.batch_size} replies"

    # --- evaluation --------------------------------------------------------------------------------------------------

    def _evaluations(self) -> list[Stage]:
        rounds = [self._evaluation(number) for number in range(self.config.iterations + 1)]
        if self.config.grpo is None:
            return rounds
        needs = tuple(dict.fromkeys((*rounds[0].needs, "grpo"))) if rounds[0].needs is not None else None
        return [*rounds, self._evaluation_of("grpo", self.folder / "grpo" / "weights", None, needs or ("grpo",))]

    def _evaluation(self, number: int) -> Stage:
        name = f"dpo.{number}" if number else "sft"
        made = () if self.config.start and not number else (name,)
        needs = made if self.config.executor or not self.config.roles else tuple(dict.fromkeys(("sft", *made)))
        return self._evaluation_of(name, self.navigator(number), None, needs)

    def _evaluation_of(
        self, name: str, weights: Path, executor: Path | None, needs: tuple[str, ...], anew: tuple[str, ...] = ()
    ) -> Stage:
        given = [_digest(path) for path in (self.config.start, self.config.executor) if path is not None]
        used = self.config.evaluate, self.config.carry, self.config.rollouts, self.config.engines, self._library
        data = [] if self.config.evaluated is None else [self.config.similar, contents(self.config.evaluated)]
        return Stage(
            f"evaluate.{name}",
            lambda out: self._evaluate(name, weights, executor or self.executor, out),
            (Path(f"evaluate.{name}"),),
            fingerprint(*used, given, *data, *anew),
            resumes=True,
            needs=needs,
        )

    async def _evaluate(self, name: str, weights: Path, executor: Path, out: Path) -> str:
        config = self.config.evaluate
        sampling = self.config.rollouts.model_copy(update={"samples": config.samples})
        trying = self.config.rewards.model_copy(update={"on": "similar", "include_own": True})
        async with self._actors.both(weights, executor) as (navigator, model, carrier), AsyncExitStack() as stack:
            sampled = await rollouts.run(sampling, self._problems.heldout(), navigator, model, out, carrier)
            source = await self._problems.similar_to_heldout(stack)
            path = await rewards.run(trying, sampled, source, config.similar, carrier, out)
        found = evaluate.summarise(name, path)
        evaluate.save(found, out / "evaluation.json")
        return found.told()

    # --- publishing --------------------------------------------------------------------------------------------------

    def _publishing(self) -> list[Stage]:
        """What is published now is measured on the same problems; the best round takes its place, if it is better."""
        to = self.config.publish
        if to is None:
            return []
        stages, published = [], to.to / "navigator"
        if (published / "config.json").exists():  # measured once, before this run replaces it
            executor = to.to / "executor" if "executor" in self.config.roles else None
            # Another recipe finds other weights published, perhaps those of the recipe before it.
            anew = () if self.config.start else (self._sft().depends,)
            stages.append(self._evaluation_of("published", published, executor, (), anew))
        return [*stages, Stage("publish", self._publish, (Path("publish"),), fingerprint(to))]

    def _publish(self, out: Path) -> str:
        rounds = [self.evaluation(number) for number in range(self.config.iterations + 1)]
        best = publication.best_round(rounds)
        earlier = self.folder / "evaluate.published" / "evaluation.json"
        before = evaluate.load(earlier) if earlier.exists() else None
        versions = self.folder / "published"
        return publication.publish(self.config, versions, self._published_roles(best), rounds[best], before, out)

    def _published_roles(self, best: int) -> dict[Role, Path]:
        """Where each role's weights, and its curve if it has one, were made."""
        roles: dict[Role, Path] = {"navigator": self.navigator(best).parent}
        return {**roles, "executor": self.executor.parent} if "executor" in self.config.roles else roles

    def evaluation(self, number: int) -> Evaluation:
        """What the weights after a round reached. Raises FileNotFoundError before that stage has run."""
        return evaluate.load(self.folder / f"evaluate.{f'dpo.{number}' if number else 'sft'}" / "evaluation.json")

    # --- what the stages stand on ------------------------------------------------------------------------------------

    @property
    def _problems(self) -> Problems:
        return Problems(self.config)

    @property
    def _library(self) -> str:
        return contents(self.library_folder)

    @property
    def _actors(self) -> Actors:
        return Actors(self.config, self.library_folder, self.folder / "engines")


def _digest(weights: Path) -> str:
    """Stands for weights that are given. Those of an earlier run may not be there yet."""
    file = weights / "model.safetensors"
    return contents(file) if file.exists() else "not there yet"


def _said(path: Path, kind: type[Contract], what: str) -> str:
    return f"{sum(1 for _ in read(path, kind)):,} {what}"
