"""Preference pairs as the DPO trainer takes them: read, split by problem, rendered as the served model sees them."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from random import Random

from accelerate import PartialState
from datasets import Dataset, load_from_disk
from pydantic import ValidationError
from transformers import PreTrainedTokenizerFast

from reasonflux.engine_port import Message
from reasonflux.errors import InvalidRequest
from training.records import Pair
from training.running.run_folder import partial

_WINDOW = 16  # batches that are sorted by length together


def read(path: Path) -> tuple[Pair, ...]:
    """The pairs of a JSONL file. Raises InvalidRequest when there are none or a line is no pair."""
    if not path.exists():
        raise InvalidRequest(f"there is no file of pairs {path}", hint="make it first: reasonflux train pairs")
    found: list[Pair] = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            found.append(Pair.model_validate_json(line))
        except ValidationError as error:
            raise InvalidRequest(f"{path}, line {number}: {error}", hint="make the pairs anew") from error
    if not found:
        raise InvalidRequest(
            f"{path} holds no pairs",
            hint="sample more trajectories per problem, or take harder problems: where every trajectory earns the "
            "same reward there is nothing to prefer",
        )
    return tuple(found)


def split(pairs: Sequence[Pair], heldout: float, limit: int) -> tuple[list[Pair], list[Pair]]:
    """Pairs to learn from and held-out ones, apart by problem; the same ones whatever the order of the file."""
    problems = sorted({pair.problem.id for pair in pairs}, key=lambda name: sha256(name.encode()).hexdigest())
    if len(problems) < 2:
        raise InvalidRequest(
            f"all pairs are of {len(problems)} problem; at least two are needed, to learn from and to measure",
            hint="sample trajectories of more problems",
        )
    apart = set(problems[: max(1, round(len(problems) * heldout))])
    learned = [pair for pair in pairs if pair.problem.id not in apart]
    return learned, [pair for pair in pairs if pair.problem.id in apart][:limit]


def in_batches(pairs: Sequence[Pair], size: int, seed: int) -> list[Pair]:
    """The pairs in a seeded order in which neighbours are about equally long, so that batches need little padding."""
    rng = Random(seed)
    window = size * _WINDOW
    shuffled = rng.sample(list(pairs), len(pairs))
    near = [p for start in range(0, len(pairs), window) for p in sorted(shuffled[start : start + window], key=_length)]
    batches = [near[start : start + size] for start in range(0, len(near), size)]
    rest = batches.pop() if len(batches[-1]) < size else []  # stays last: batches are cut from the start
    rng.shuffle(batches)
    return [pair for batch in [*batches, rest] for pair in batch]


def _length(pair: Pair) -> int:
    return sum(len(message.content) for message in pair.prompt) + max(len(pair.chosen), len(pair.rejected))


def dataset(pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerFast, folder: Path) -> Dataset:
    """Rendered text, not messages: TRL would render the reply through the chat template, and some templates (Qwen's)
    put a line break after the end token, which no served model says.

    One process writes it to the folder; all map it into memory. What TRL adds (the reference's log-probs) it keeps
    beside the file: without one, the other processes of a run would not find it."""
    end = str(tokenizer.eos_token)
    rows = [
        {"prompt": rendered(pair.prompt, tokenizer), "chosen": pair.chosen + end, "rejected": pair.rejected + end}
        for pair in pairs
    ]
    with PartialState().main_process_first():
        if not folder.exists():
            Dataset.from_list(rows).save_to_disk(partial(folder))
            partial(folder).rename(folder)
    return load_from_disk(folder)


def rendered(prompt: Sequence[Message], tokenizer: PreTrainedTokenizerFast) -> str:
    """The prompt as an engine renders it, less the opening token that the tokenizer adds again by itself."""
    messages = [message.model_dump() for message in prompt]
    text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    adds_opening = tokenizer.bos_token_id is not None and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]
    return text.removeprefix(str(tokenizer.bos_token)) if adds_opening else text


def fitting(pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerFast, max_length: int) -> list[Pair]:
    """Without pairs that are too long: cut replies would teach a model not to end."""

    def length(pair: Pair) -> int:
        prompt = len(tokenizer(rendered(pair.prompt, tokenizer))["input_ids"])
        return prompt + 1 + max(len(tokenizer(reply)["input_ids"]) for reply in (pair.chosen, pair.rejected))

    kept = [pair for pair in pairs if length(pair) <= max_length]
    if not kept:
        raise InvalidRequest(f"none of {len(pairs)} pairs fits into max_length {max_length}", hint="raise max_length")
    if len(kept) < len(pairs):
        print(f"{len(pairs) - len(kept)} of {len(pairs)} pairs are longer than {max_length} tokens: left out")
    return kept
