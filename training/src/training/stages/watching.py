"""Watching a navigator while it is tuned: how many greedy plans lead to the right answer, without any server."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from evaluation.ladder import LadderProblem
from training import diagnose
from training.corpus import Library
from training.weights import greedy

MAX_TOKENS = 384

HeldoutReward = Callable[[Any, PreTrainedTokenizerFast], float]
"""The mean trajectory reward of a model on held-out problems."""


def success(executor: Path, library: Library, problems: Sequence[LadderProblem]) -> HeldoutReward:
    """The share of problems that a model's greedy, whole plans solve with this executor; for `training.stages.dpo`."""
    carry_out = greedy.speaker("executor", executor, Path())

    def share(model: Any, tokenizer: PreTrainedTokenizerFast) -> float:
        training = model.training
        plans = diagnose.planned(greedy.speaking(model, tokenizer, MAX_TOKENS), [problem.text for problem in problems])
        cases = diagnose.together(carry_out, problems, plans, library)
        model.train(training)
        return sum(case.verdict == diagnose.RIGHT for case in cases) / len(cases)

    return share
