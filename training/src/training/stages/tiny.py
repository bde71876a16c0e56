"""Stage sft for tiny models: tokenizer, then every role of the config from scratch, at the same time on a core each.

in    a run's config (configs/tiny-cpu.yaml), the templates of the ladder in the library
out   <out>/<role>/: checkpoint.pt, curve.csv, curve.png, weights/
run   reasonflux train run --config training/configs/tiny-cpu.yaml       (make train-tiny)

A run that was stopped goes on at its last checkpoints.
"""

import multiprocessing
import os
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from evaluation.ladder import ALL, Split
from reasonflux.errors import ReasonFluxError
from template_store import library as templates
from training import corpus
from training.corpus.noise import Teacher
from training.corpus.structure import structure_conversations
from training.running.launching import die_with_parent
from training.settings import Role, RunConfig
from training.stages import publish, scratch
from training.weights.tokenizer import train_tokenizer

HELDOUT_SEED_OFFSET = 1_000_003
HELDOUT_SAMPLE = 2_000


class TrainingFailed(ReasonFluxError):
    """A role's process died."""


def train(config: RunConfig, library: corpus.Library, out: Path) -> str:
    """Train all roles; what they did, in half a line. Raises TrainingFailed."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    tokenizer = prepare_tokenizer(config, library, out)
    print(f"{len(library)} templates, {len(tokenizer)} tokens; checkpoints and curves in {out}", flush=True)
    context = multiprocessing.get_context("spawn")
    workers = {
        role: context.Process(target=train_role, args=(role, config, library, out), name=role) for role in config.roles
    }
    for worker in workers.values():
        worker.start()
    for worker in workers.values():
        worker.join()
    failed = [role for role, worker in workers.items() if worker.exitcode]
    if failed:
        raise TrainingFailed(
            f"training failed for {', '.join(failed)}", hint="run it again to go on at the last checkpoint"
        )
    return ", ".join(f"{role} {chosen.recipe.tokens / 1e6:g}M tokens" for role, chosen in config.roles.items())


def read_library(folder: Path) -> corpus.Library:
    """The templates that the ladder's problems need. The weights are made for these; the library holds many more."""
    needed = {family.template_id for family in ALL.values()}
    return {template.id: template for template in templates.read(folder) if template.id in needed}


def prepare_tokenizer(config: RunConfig, library: corpus.Library, folder: Path) -> PreTrainedTokenizerFast:
    """The run's tokenizer: the saved one, or a new one learned from both roles' conversations."""
    path = folder / "tokenizer"
    if not (path / "tokenizer.json").exists():
        both = (
            conversation
            for pair in zip(
                corpus.navigator_conversations(library, config.seed, config.mixture),
                corpus.executor_conversations(library, config.seed, config.mixture),
                strict=False,
            )
            for conversation in pair
        )
        train_tokenizer(both, config.tokenizer.size, 2 * config.tokenizer.sample).save_pretrained(path)
    return PreTrainedTokenizerFast.from_pretrained(path)


def train_role(role: Role, config: RunConfig, library: corpus.Library, folder: Path) -> None:
    """One role, from its checkpoint if there is one, to its weights in `folder/<role>/weights`."""
    die_with_parent()
    tokenizer, chosen = prepare_tokenizer(config, library, folder), config.roles[role]
    heldout = conversations(role, config.model_copy(update={"noise": None}), library, Split.HELDOUT)
    model = scratch.train(
        conversations(role, config, library),
        islice(heldout, HELDOUT_SAMPLE),
        tokenizer,
        chosen.shape,
        chosen.recipe,
        folder / role,
    )
    publish.save_weights(model, tokenizer, folder / role / "weights")
    publish.plot(role, folder / role / "curve.csv", folder / role / "curve.png")


def conversations(
    role: Role, config: RunConfig, library: corpus.Library, split: Split = Split.TRAIN
) -> Iterator[corpus.Conversation]:
    """What a role learns from. Held-out ones are other problems, told without noise and without structure data."""
    seed = config.seed if split is Split.TRAIN else config.seed + HELDOUT_SEED_OFFSET
    if role == "executor":
        return corpus.executor_conversations(library, seed, config.mixture, split)
    teacher = Teacher(library, config.noise) if config.noise else None
    plans = corpus.navigator_conversations(library, seed, config.mixture, split, teacher)
    if config.structure is None or split is not Split.TRAIN:
        return plans
    structure = structure_conversations(library, seed, config.structure.reverse)
    return chain(islice(structure, config.structure.conversations), plans)
