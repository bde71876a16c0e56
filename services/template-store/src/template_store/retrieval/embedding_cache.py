"""Document embeddings kept on disk between starts."""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from template_store.ports import Embedder, Vectors


class EmbeddingCache:
    """Document embeddings on disk, one file per model version, keyed by the hash of each text.

    A convenience only: a file that is missing, damaged or of another model is passed over and written anew, and a
    folder that cannot be written costs nothing but time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked: set[str] = set()
        """Every key that this process asked for. What is in the file beside them may be of templates that are gone."""

    async def embed(self, embedder: Embedder, texts: Sequence[str]) -> Vectors:
        """One row per text, in order; asks the embedder only for texts that are not kept yet."""
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        path = self._folder / f"embeddings-{hashlib.sha256(embedder.version.encode()).hexdigest()[:16]}.npz"
        kept = _read(path, embedder.dimension)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in kept}
        if missing:
            kept.update(zip(missing, await embedder.embed(list(missing.values())), strict=True))
        self._asked.update(keys)
        if missing or len(kept) > 2 * len(self._asked):
            stale = len(kept) > 2 * len(self._asked)
            _write(path, {key: row for key, row in kept.items() if key in self._asked or not stale})
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
