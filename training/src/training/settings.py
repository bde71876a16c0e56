"""A training run as its config file tells it: one section a stage, each section the stage's own contract."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from reasonflux.contracts import Contract
from reasonflux.errors import InvalidRequest
from training.carrying import CarryConfig
from training.corpus import Mixture
from training.corpus.dataset import CorpusConfig
from training.corpus.noise import Noise
from training.running import sections
from training.scale.budget import BudgetConfig
from training.similar import SimilarConfig
from training.stages.pairs import PairConfig
from training.stages.publish import PublishConfig
from training.stages.rewards import RewardConfig
from training.stages.rollouts import RolloutConfig
from training.stages.scratch import ModelShape, Recipe
from training.stages.tuning import DpoConfig, GrpoConfig, SftConfig
from training.weights.serving import EngineRef

Role = Literal["navigator", "executor"]


class TokenizerConfig(Contract):
    size: int = Field(default=2048, ge=512)
    sample: int = Field(default=8000, ge=1, description="conversations of each role that it learns from")


class RoleConfig(Contract):
    """A role that is trained from scratch."""

    shape: ModelShape = ModelShape()
    recipe: Recipe = Recipe()


class StructureConfig(Contract):
    """Structure data before the plans, paper Eq. 2."""

    conversations: int = Field(default=2_000, ge=1, description="seen before the first plan")
    reverse: float = Field(default=0.5, ge=0, le=1, description="share that names a template from its description")


class ProblemsConfig(Contract):
    """The problems that trajectories are sampled for."""

    depths: tuple[int, ...] = (1, 2)
    count: int = Field(default=600, ge=1)
    seed: int = Field(default=101, description="another one for each round is made from it")
    watched: int = Field(
        default=0, ge=0, description="problems on which greedy plans are tried during dpo, to stop it in time"
    )
    dataset: Path | None = Field(default=None, description="JSONL of problem and answer; None: the ladder")


class EnginesConfig(Contract):
    navigator: EngineRef = EngineRef(model="navigator")
    executor: EngineRef = EngineRef(model="executor")
    writer: EngineRef | None = Field(default=None, description="a running LLM that writes problems for `similar`")


class EvaluateConfig(Contract):
    """What weights are measured on. The same section gives the same held-out problems."""

    dataset: Path | None = Field(
        default=None,
        description="JSONL of problem and answer, whose held-out side is asked; None: as `problems` has it",
    )
    depths: tuple[int, ...] = Field(default=(1, 2), description="of the ladder's problems")
    count: int = Field(default=500, ge=1)
    seed: int = 2_000_003
    samples: int = Field(default=3, ge=1, le=64, description="trajectories per problem; the first one is greedy")
    similar: int = Field(default=1, ge=0, description="similar problems per problem, for the trajectory reward")


class PublishTo(PublishConfig):
    """The gate, and where the weights go that pass it."""

    to: Path = Field(description="a folder with one folder for each role; what it holds is what new weights must beat")
    title: str = "ReasonFlux navigator"


class RunConfig(Contract):
    """A whole run. Either `roles` are trained from scratch, or `sft` tunes a pretrained model, or `start` is given."""

    seed: int = 1
    profile: Literal["compact", "instruct"] = "compact"
    tokenizer: TokenizerConfig = TokenizerConfig()
    mixture: Mixture = Mixture()
    noise: Noise | None = Field(default=None, description="a corpus that is as faulty as an extracted one")
    structure: StructureConfig | None = None
    roles: dict[Role, RoleConfig] = Field(default_factory=dict)
    corpus: CorpusConfig | None = Field(default=None, description="the written corpus that `sft` learns from")
    sft: SftConfig | None = None
    start: Path | None = Field(default=None, description="SFT weights of another run, in place of our own")
    executor: Path | None = Field(default=None, description="the executor's weights, where it is not trained here")
    launch: tuple[str, ...] = Field(default=(), description="what sft and dpo are started with, for several GPUs")
    engines: EnginesConfig = EnginesConfig()
    problems: ProblemsConfig = ProblemsConfig()
    similar: SimilarConfig = SimilarConfig()
    rollouts: RolloutConfig = RolloutConfig()
    carry: CarryConfig = CarryConfig()
    rewards: RewardConfig = RewardConfig()
    pairs: PairConfig = PairConfig()
    dpo: DpoConfig = DpoConfig()
    grpo: GrpoConfig | None = Field(default=None, description="a variant on the same reward, from the SFT weights")
    iterations: int = Field(default=1, ge=0, description="rounds of rollouts, rewards, pairs and dpo")
    evaluate: EvaluateConfig = EvaluateConfig()
    budget: BudgetConfig | None = Field(default=None, description="what is trained on what, for the figures on paper")
    publish: PublishTo | None = Field(default=None, description="None: nothing is published")

    @model_validator(mode="after")
    def _has_weights(self) -> "RunConfig":
        ways = [bool(self.roles), self.sft is not None, self.start is not None]
        if sum(ways) != 1:
            raise ValueError(
                "a run has one of `roles` (from scratch), `sft` (a pretrained model) and `start` (weights)"
            )
        return self

    @model_validator(mode="after")
    def _tunes_what_it_writes_a_corpus_for(self) -> "RunConfig":
        if self.corpus is not None and self.sft is None:
            raise ValueError("`corpus` is what `sft` learns from, and this run has no `sft`: take one away")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> "RunConfig":
        if self.problems.dataset is not None and self.similar.source == "ladder" and self.rewards.on == "similar":
            raise ValueError("problems.dataset needs similar.source neighbours, llm or none: the ladder knows its own")
        if self.similar.source == "neighbours" and (self.similar.dataset or self.problems.dataset) is None:
            raise ValueError("similar.source neighbours needs a dataset: problems.dataset, or similar.dataset")
        if self.similar.source == "llm" and (self.engines.writer is None or self.engines.writer.url is None):
            raise ValueError("similar.source llm needs engines.writer: the url and model of an LLM that is served")
        told = {"rollouts": self.rollouts.profile} | ({"corpus": self.corpus.sources.profile} if self.corpus else {})
        other = [name for name, profile in told.items() if profile != self.profile]
        if other:
            raise ValueError(f"profile is {self.profile}, and another one in {', '.join(other)}: name the same")
        return self

    @property
    def evaluated(self) -> Path | None:
        """The data set whose held-out side is asked in evaluations; None: the ladder."""
        return self.evaluate.dataset or self.problems.dataset


def load(path: Path) -> RunConfig:
    """The run that a YAML file tells. Raises InvalidRequest naming every field that is wrong."""
    for study in ("binding", "depth"):
        if sections.has_section(path, study):
            raise InvalidRequest(f"{path} is a study, not a run", hint=f"reasonflux train study {study}")
    return sections.whole(path, RunConfig)
