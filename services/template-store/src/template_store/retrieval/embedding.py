"""Sentence embeddings: the encoder that a model needs, the threads that run it, and a memory of recent queries."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path

import numpy as np

from template_store.ports import Vectors
from template_store.retrieval import weights
from template_store.retrieval.bert_onnx import NotABert
from template_store.retrieval.embedding_cache import EmbeddingCache as EmbeddingCache
from template_store.retrieval.encoders import Encoder, OnnxEncoder, TorchEncoder
from template_store.retrieval.weights import MINILM
from template_store.retrieval.weights import packaged_minilm as packaged_minilm
from template_store.retrieval.weights import verify_weights as verify_weights

CACHE = Path(".reasonflux/cache")


class Runtime(StrEnum):
    """What runs the model. A model that is no plain BERT encoder is always run by torch."""

    INT8 = "int8"
    FP32 = "fp32"
    TORCH = "torch"


class SentenceEmbedder:
    """Implements ports.Embedder. Documents and queries have threads of their own: a search need not wait for an import.

    `open` loads, `close` frees the threads.
    """

    def __init__(self, encoder: Encoder, remembered: int) -> None:
        self._encoder = encoder
        self._recent: OrderedDict[tuple[str, str], Vectors] = OrderedDict()
        self._remembered = remembered
        self._documents = ThreadPoolExecutor(max_workers=encoder.lanes, thread_name_prefix="embed-documents")
        # An encoder that allows one thread only is given no second one.
        self._queries = (
            ThreadPoolExecutor(max_workers=encoder.lanes, thread_name_prefix="embed-queries")
            if encoder.lanes > 1
            else self._documents
        )
        self.version = encoder.version
        self.dimension = encoder.dimension

    @classmethod
    async def open(
        cls,
        model: str = MINILM,
        *,
        packaged: Path | None = None,
        cache_dir: Path = CACHE,
        runtime: Runtime = Runtime.INT8,
        remembered: int = 4096,
    ) -> "SentenceEmbedder":
        """Loads `minilm` (verified, from `packaged` or the installed package) or a model by name or path.

        `remembered` query embeddings are kept. Raises ModelUnavailable or WeightsRefused."""
        return cls(await asyncio.to_thread(load, model, packaged, cache_dir, runtime), remembered)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await self._embed(texts, self._documents)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        known = {text: self._recent[self.version, text] for text in texts if (self.version, text) in self._recent}
        missing = list(dict.fromkeys(text for text in texts if text not in known))
        known.update(zip(missing, await self._embed(missing, self._queries), strict=True))
        for text in texts:
            self._recent[self.version, text] = known[text]
            self._recent.move_to_end((self.version, text))
        while len(self._recent) > self._remembered:
            self._recent.popitem(last=False)
        return np.stack([known[text] for text in texts]) if texts else await self.embed([])

    async def _embed(self, texts: Sequence[str], pool: ThreadPoolExecutor) -> Vectors:
        """Texts of like length go together, the longest first, so that no thread is left with a long one at the end."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        size = self._encoder.group
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        loop = asyncio.get_running_loop()
        encode = self._encoder.encode
        found = await asyncio.gather(
            *(loop.run_in_executor(pool, encode, [texts[i] for i in group]) for group in groups)
        )
        for group, rows in zip(groups, found, strict=True):
            vectors[group] = rows
        return vectors

    def close(self) -> None:
        self._documents.shutdown(wait=False, cancel_futures=True)
        self._queries.shutdown(wait=False, cancel_futures=True)


def load(model: str, packaged: Path | None, cache_dir: Path, runtime: Runtime) -> Encoder:
    """The encoder of `minilm`, of a saved model's folder, or of a model by name.

    Raises ModelUnavailable or WeightsRefused."""
    folder, name = (
        (packaged or weights.packaged_minilm(), "all-MiniLM-L6-v2") if model == MINILM else (Path(model), model)
    )
    if model == MINILM:
        sha256 = weights.verify_weights(folder)
    elif (folder / "model.safetensors").is_file():
        sha256 = weights.digest(folder)
    else:
        return TorchEncoder.load(model)
    if runtime is not Runtime.TORCH:
        try:
            return OnnxEncoder.load(folder, sha256, name, cache_dir / "models", quantised=runtime is Runtime.INT8)
        except NotABert:
            pass
    return TorchEncoder.load(str(folder), f"{name}@{sha256[:12]}")
