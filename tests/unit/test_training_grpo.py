"""Online training on a reward that is easily learned."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from reasonflux.engine_port import Message
from reasonflux.errors import InvalidRequest
from training.corpus import Turn
from training.records import TrainingProblem
from training.stages import dpo, grpo, publish
from training.stages.grpo import GrpoConfig
from training.stages.scratch import ModelShape, build
from training.weights import curves
from training.weights.tokenizer import train_tokenizer

PROBLEMS = [TrainingProblem(id=f"p{n}", text=f"find {n}", answer=str(n)) for n in range(12)]
QUICK = GrpoConfig(
    lr=3e-2, max_steps=24, group=8, batch_size=64, max_completion=6, eval_every=12, heldout=0.2, bf16=False, warm_up=0
)


def prompt_of(problem: TrainingProblem) -> list[Message]:
    return [Message(role="user", content=problem.text)]


def plain(problems: Sequence[TrainingProblem], replies: Sequence[str]) -> list[float]:
    """The share of ASCII letters and digits in a reply."""
    assert len(problems) == len(replies)
    return [sum(c.isascii() and c.isalnum() for c in reply) / max(1, len(reply)) for reply in replies]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer([(Turn("user", f"find {n}"), Turn("assistant", str(n))) for n in range(40)], 280, 40)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    folder = tmp_path_factory.mktemp("start")
    shape = ModelShape(hidden=32, layers=1, heads=1, feed_forward=64, positions=128)
    publish.save_weights(build(shape, tokenizer, seed=0), tokenizer, folder)
    return folder


def test_the_mean_reward_rises(tmp_path: Path, start: Path) -> None:
    weights = grpo.run(QUICK, start, PROBLEMS, prompt_of, plain, tmp_path / "run")
    rows = curves.read(tmp_path / "run")
    rewards = [row["reward"] for row in rows if "reward" in row]
    heldout = [row["heldout_reward"] for row in rows if "heldout_reward" in row]
    assert len(rewards) == QUICK.max_steps
    assert sum(rewards[-4:]) > sum(rewards[:4]) + 4 * 0.2
    assert heldout[-1] > heldout[0] + 0.2
    assert LlamaForCausalLM.from_pretrained(weights).dtype == torch.bfloat16
    assert (tmp_path / "run" / "curve.png").exists()
    assert grpo.run(QUICK, start, PROBLEMS, prompt_of, plain, tmp_path / "run") == weights


def test_a_reward_is_asked_for_the_reply_without_its_end_token(
    tmp_path: Path, start: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    asked: list[tuple[str, str]] = []

    def kept(problems: Sequence[TrainingProblem], replies: Sequence[str]) -> list[float]:
        asked.extend((problem.text, reply) for problem, reply in zip(problems, replies, strict=True))
        return [float(n) for n in range(len(replies))]

    model, loaded = dpo.load(start, torch.float32)
    config = QUICK.model_copy(update={"max_steps": 1, "batch_size": 8, "lr": 1e-3})
    built = grpo.trainer(config, model, loaded, PROBLEMS[:1], PROBLEMS[1:2], prompt_of, kept, tmp_path)
    rendered = built._tokenize_prompts([built.train_dataset[0]["prompt"]])[0][0]
    assert tokenizer.decode(rendered) == "<|user|>find 0<|end|><|assistant|>"
    built.train()
    assert {text for text, _ in asked} == {"find 0", "find 1"}
    assert not any("<|end|>" in reply for _, reply in asked)


def test_heldout_problems_are_not_learned_and_one_problem_is_too_few() -> None:
    learned, measured = grpo.split([*PROBLEMS, *PROBLEMS], QUICK)
    assert len(learned) + len(measured) == len(PROBLEMS)
    assert not {problem.id for problem in learned} & {problem.id for problem in measured}
    with pytest.raises(InvalidRequest, match="more problems"):
        grpo.split(PROBLEMS[:1], QUICK)


def test_a_batch_holds_whole_groups() -> None:
    with pytest.raises(ValueError, match="multiple of group"):
        GrpoConfig(group=8, batch_size=12)
