"""The tiny run: tokenizer, then navigator and executor at the same time on a core each, then publish.

in    configs/tiny-cpu.yaml, the templates of the ladder in the library
out   runs/<name>/ (tokenizer, checkpoints, curves) and models/reasonflux-tiny/<role>/
run   make train-tiny        (or: reasonflux train tiny --config training/configs/tiny-cpu.yaml)

A run that was stopped goes on at its last checkpoints.
"""

import multiprocessing
import os
from itertools import islice
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from evaluation.ladder import ALL, Split
from template_store import library as templates
from training import corpus, publish, scratch
from training.settings import Role, RunConfig, load
from training.tokenizer import train_tokenizer

HELDOUT_SEED_OFFSET = 1_000_003
HELDOUT_SAMPLE = 2_000

_CONVERSATIONS = {"navigator": corpus.navigator_conversations, "executor": corpus.executor_conversations}


def run(config_path: Path, library_folder: Path, runs: Path, models: Path) -> None:
    """Train both roles and publish them."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    config, folder = load(config_path), runs / config_path.stem
    library = read_library(library_folder)
    tokenizer = prepare_tokenizer(config, library, folder)
    print(f"{len(library)} templates, {len(tokenizer)} tokens; checkpoints and curves in {folder}", flush=True)
    context = multiprocessing.get_context("spawn")
    workers = {
        role: context.Process(target=train_role, args=(role, config_path, library_folder, folder), name=role)
        for role in config.roles
    }
    for worker in workers.values():
        worker.start()
    for worker in workers.values():
        worker.join()
    failed = [role for role, worker in workers.items() if worker.exitcode]
    if failed:
        raise SystemExit(f"training failed for {', '.join(failed)}; run it again to go on at the last checkpoint")
    for role in config.roles:
        publish.publish(role, folder / role, models / role)


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


def train_role(role: Role, config_path: Path, library_folder: Path, folder: Path) -> None:
    """One role, from its checkpoint if there is one, to its weights in `folder/<role>/weights`."""
    config, library = load(config_path), read_library(library_folder)
    tokenizer = prepare_tokenizer(config, library, folder)
    chosen, make = config.roles[role], _CONVERSATIONS[role]
    model = scratch.train(
        make(library, config.seed, config.mixture),
        islice(make(library, config.seed + HELDOUT_SEED_OFFSET, config.mixture, Split.HELDOUT), HELDOUT_SAMPLE),
        tokenizer,
        chosen.shape,
        chosen.recipe,
        folder / role,
    )
    publish.save_weights(model, tokenizer, folder / role / "weights")
