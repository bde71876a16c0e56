"""Contrastive fine-tuning of an embedding model on a library's own queries (`reasonflux templates tune`).

A query that a template answers shall be nearer to that template's documents than to any other's in the batch
(sentence-transformers' MultipleNegativesRankingLoss). Queries are made by rule: scope lines, the example problem, the
tags, the name as somebody half remembers it. A document never holds the field that its query was taken from.
Templates, not pairs, are split into training and validation; the weights of the best round are kept, and without
progress it stops.

The folder that it writes is what REASONFLUX_EMBEDDING_MODEL takes; the store makes the int8 ONNX file of it at the
first start. After tuning, fit the ranking anew with that model: `python -m template_store.retrieval.calibration`.
"""

import hashlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reasonflux.contracts import Contract, ThoughtTemplate
from reasonflux.errors import InvalidRequest
from template_store.retrieval.index import documents
from template_store.retrieval.trials import noisy
from template_store.retrieval.weights import MINILM, packaged_minilm, verify_weights

BATCH = 32
LENGTH = 96
"""Tokens of a text that training reads; few texts are longer, and they are the dear ones."""
FEWEST = 40
"""Templates below which nothing can be held out."""


class TuningRound(Contract):
    """How often a held-out template's query found it, after so many rounds."""

    number: int
    seconds: float
    loss: float
    recall: float


class Tuned(Contract):
    """What a tuning did. `rounds[0]` is the model before it."""

    folder: Path
    trained_on: int
    held_out: int
    rounds: tuple[TuningRound, ...]
    best: int

    def __str__(self) -> str:
        before, after = self.rounds[0].recall, self.rounds[self.best].recall
        return (
            f"tuned on {self.trained_on} templates, {len(self.rounds) - 1} rounds in {self.rounds[-1].seconds:.0f} s; "
            f"queries of the {self.held_out} held out find their template first: {before:.1%} before, {after:.1%} "
            f"after round {self.best}, which is in {self.folder}"
        )


def held_out(template: ThoughtTemplate) -> bool:
    """One template in seven, by its id, so that a library that grows keeps its split."""
    return hashlib.sha256(f"tuning {template.id}".encode()).digest()[0] % 7 == 0


def pairs(template: ThoughtTemplate, chance: random.Random) -> list[tuple[str, str]]:
    """Queries that the template answers, each with a document that does not hold what it was taken from."""
    whole = documents(template)
    bare = documents(template.model_copy(update={"scope": ()}))
    untagged = documents(template.model_copy(update={"tags": ()}))
    either = chance.choice(["scope", "steps"])
    found = [(template.example.problem, whole[either]), (noisy(template.name, chance.randrange(1000)), whole["name"])]
    found += [(", ".join(chance.sample(template.tags, len(template.tags))), untagged[either])]
    found += [(line, bare[chance.choice(["scope", "steps"])]) for line in template.scope]
    found += [(line, whole["tags"]) for line in template.scope[:1]]
    return [(query, document) for query, document in found if query.strip()]


def batches(templates: Sequence[ThoughtTemplate], chance: random.Random) -> Iterator[list[tuple[str, str]]]:
    """Each template once: two queries of one template in a batch would be each other's negatives. A batch is of one
    field where it can be: the documents of neighbours are the ones that are hard to tell from the right one."""
    places = {template.field.split("/")[0]: chance.random() for template in templates}
    mixed = chance.sample(list(templates), len(templates))
    order = sorted(mixed, key=lambda template: places[template.field.split("/")[0]])
    for start in range(0, len(order) - 1, BATCH):
        yield [chance.choice(pairs(template, chance)) for template in order[start : start + BATCH]]


def _recall(model: Any, templates: Sequence[ThoughtTemplate]) -> float:
    """Recall@1 of the held-out templates' queries among the held-out templates' documents."""
    queries, rights, texts, owners = [], [], [], []
    for number, template in enumerate(templates):
        bare = documents(template.model_copy(update={"scope": ()}))
        queries += [" ".join(template.scope), template.example.problem]
        rights += [number, number]
        texts += [template.name, bare["scope"], bare["steps"]]
        owners += [number] * 3
    vectors = model.encode([*queries, *texts], normalize_embeddings=True, show_progress_bar=False, batch_size=16)
    nearest = np.array(owners)[(vectors[: len(queries)] @ vectors[len(queries) :].T).argmax(1)]
    return float((nearest == np.array(rights)).mean())


def tune(
    templates: Sequence[ThoughtTemplate],
    folder: Path,
    *,
    model: str = MINILM,
    minutes: float = 6.0,
    rounds: int = 30,
    patience: int = 4,
    rate: float = 3e-5,
    threads: int = 1,
    seed: int = 0,
    told: Callable[[TuningRound], None] = lambda _: None,
) -> Tuned:
    """Tunes for about `minutes` at most and writes the best model to `folder`; `told` hears of each round.

    One thread: on cores that others use, two were seen to be slower. Raises InvalidRequest for a library that is too
    small, ModelUnavailable or WeightsRefused."""
    train, rest = [t for t in templates if not held_out(t)], [t for t in templates if held_out(t)]
    if len(templates) < FEWEST or not rest:
        raise InvalidRequest(f"{len(templates)} templates are too few to tune on", hint=f"{FEWEST} are the least")
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    source = packaged_minilm() if model == MINILM else Path(model)
    if model == MINILM:
        verify_weights(source)
    tuned = SentenceTransformer(str(source), device="cpu", local_files_only=source.exists())
    length, tuned.max_seq_length = tuned.max_seq_length, LENGTH
    loss_of = MultipleNegativesRankingLoss(tuned)
    optimiser = torch.optim.AdamW(tuned.parameters(), lr=rate, weight_decay=0.01)
    chance, started = random.Random(seed), time.monotonic()
    best = {name: value.clone() for name, value in tuned.state_dict().items()}
    history = [TuningRound(number=0, seconds=0.0, loss=0.0, recall=_recall(tuned, rest))]
    told(history[0])
    for number in range(1, rounds + 1):
        losses = []
        tuned.train()
        for batch in batches(train, chance):
            features = [tuned.preprocess(list(side)) for side in zip(*batch, strict=True)]
            loss = loss_of(features, torch.zeros(len(batch)))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            losses.append(float(loss.detach()))
        tuned.eval()
        spent = time.monotonic() - started
        history.append(
            TuningRound(number=number, seconds=spent, loss=float(np.mean(losses)), recall=_recall(tuned, rest))
        )
        told(history[-1])
        leader = max(history, key=lambda r: (r.recall, -r.number))
        if leader is history[-1]:
            best = {name: value.clone() for name, value in tuned.state_dict().items()}
        if number - leader.number >= patience or spent * (number + 1) / number > 60 * minutes:
            break
    tuned.load_state_dict(best)
    tuned.max_seq_length = length
    folder.mkdir(parents=True, exist_ok=True)
    tuned.save(str(folder), safe_serialization=True)
    winner = max(history, key=lambda r: (r.recall, -r.number)).number
    return Tuned(folder=folder, trained_on=len(train), held_out=len(rest), rounds=tuple(history), best=winner)
