"""What turns texts into vectors: ONNX Runtime for plain BERT encoders (the default), sentence-transformers for others.

Both are imported when a model is opened, not before: torch alone takes ten seconds.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from reasonflux.observing import logger
from template_store.errors import ModelUnavailable
from template_store.ports import Vectors
from template_store.retrieval import bert_onnx

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Encoder(Protocol):
    """A loaded model."""

    @property
    def version(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    @property
    def lanes(self) -> int:
        """How many threads may encode at once."""
        ...

    @property
    def group(self) -> int:
        """How many texts are best encoded in one call."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors: ...


class OnnxEncoder:
    """A BERT encoder in ONNX Runtime: one thread a text, as many texts at once as there are cores.

    Each text runs by itself. int8 activations are scaled by the whole input's range, so a text in a batch would get
    other vectors with other neighbours; and batches were no faster on one thread (docs/adr/0008).
    """

    group = 1

    def __init__(self, session: Any, tokenizer: Any, version: str, dimension: int) -> None:
        self._session, self._tokenizer = session, tokenizer
        self.version, self.dimension = version, dimension
        self.lanes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    @classmethod
    def load(cls, folder: Path, sha256: str, name: str, cache: Path, *, quantised: bool = True) -> "OnnxEncoder":
        """The model in `folder`, whose weights have this digest; its ONNX file is made once and kept in `cache`.

        Raises NotABert, or ModelUnavailable when the file cannot be made."""
        shape = bert_onnx.read_shape(folder)
        kind = "int8" if quantised else "fp32"
        path = cache / f"{sha256[:16]}-{bert_onnx.FORMAT}-{kind}.onnx"
        session = _open_session(path)
        if session is None:
            session = _made(folder, path, quantised=quantised)
        dimension = int(session.get_outputs()[0].shape[1])
        return cls(session, _open_tokenizer(folder, shape), f"{name}@{sha256[:12]}+onnx-{kind}", dimension)

    def encode(self, texts: Sequence[str]) -> Vectors:
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
            inputs = {"input_ids": ids, "mask": np.ones(ids.shape, dtype=np.int32)}
            row[:] = self._session.run(["vectors"], inputs)[0][0]
        return rows


def _open_tokenizer(folder: Path, shape: bert_onnx.Shape) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(shape.max_length)
    return tokenizer


def _made(folder: Path, path: Path, *, quantised: bool) -> Any:
    """Makes the ONNX file and opens it; where it cannot be kept, it is made anew at every start."""
    try:
        bert_onnx.write(folder, path, quantised=quantised)
    except OSError as error:
        logger.warning("the ONNX model cannot be kept", path=str(path), reason=str(error))
        with tempfile.TemporaryDirectory() as scratch:
            bert_onnx.write(folder, Path(scratch) / path.name, quantised=quantised)
            session = _open_session(Path(scratch) / path.name)
    else:
        session = _open_session(path)
    if session is None:
        raise ModelUnavailable(str(folder), f"ONNX Runtime cannot read the file made from it, {path}")
    return session


def _open_session(path: Path) -> Any | None:
    """None when there is no such file, or not the one that was written."""
    import onnxruntime

    if not bert_onnx.intact(path):
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        logger.warning("the kept ONNX model cannot be read", path=str(path), reason=str(error))
        return None


class TorchEncoder:
    """A sentence-transformers model on the CPU, on one thread: on busy cores two were seen to take 40 times longer."""

    lanes = 1
    group = 16

    def __init__(self, model: "SentenceTransformer", version: str) -> None:
        self._model = model
        self.version = version
        self.dimension = int(model.get_embedding_dimension() or 0)

    @classmethod
    def load(cls, source: str, version: str | None = None) -> "TorchEncoder":
        """A model by name or path; `version`, where the caller knows it. Raises ModelUnavailable."""
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        torch.set_num_threads(1)
        logging.disable_progress_bar()
        try:
            model = SentenceTransformer(
                source,
                device="cpu",
                local_files_only=Path(source).exists(),
                model_kwargs={"use_safetensors": True},
                trust_remote_code=False,
            ).eval()
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelUnavailable(source, str(error).splitlines()[0] if str(error) else repr(error)) from error
        return cls(model, version or f"{source}@{_fingerprint(model)}")

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = self._model.encode(
            list(texts), batch_size=self.group, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)


def _fingerprint(model: "SentenceTransformer") -> str:
    """Tells weights apart that share a name; over the tensors, as a model by name may come from any cache."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:12]
