"""A BERT sentence encoder as an ONNX file, written straight from its safetensors weights and quantised to int8.

The graph is built here, operator by operator, instead of being traced from torch: a BERT encoder is forty lines, and so
neither the first start nor any later one has to import logging
import torch. The operators of the `com.microsoft` domain are ONNX
Runtime's fused ones, which its optimiser would otherwise have to recognise.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FORMAT = "bert-onnx-1"
"""Part of a file's key: raise it when the graph or the quantisation changes, so that no old file is used."""

Weights = Mapping[str, npt.NDArray[np.float32]]


class NotABert(Exception):
    """The folder holds another kind of model than the graph below; it needs sentence-transformers."""


@dataclass(frozen=True)
class Shape:
    """What the graph needs to know of a model beside its weights."""

    layers: int
    heads: int
    epsilon: float
    max_length: int


def read_shape(folder: Path) -> Shape:
    """Raises NotABert for anything but a plain BERT encoder with mean pooling, saved by sentence-transformers."""
    try:
        config = _json(folder / "config.json")
        modules = [str(module["type"]).rpartition(".")[2] for module in _json(folder / "modules.json")]
        [pooling] = [m["path"] for m in _json(folder / "modules.json") if str(m["type"]).endswith("Pooling")]
        sentence = _json(folder / "sentence_bert_config.json")
        pooled = _json(folder / pooling / "config.json")
        tokenizer = _json(folder / "tokenizer_config.json")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotABert(f"{folder} is no saved sentence-transformers model: {error}") from error
    mean = pooled.get("pooling_mode", None) == "mean" or bool(pooled.get("pooling_mode_mean_tokens"))
    others = any(value is True for key, value in pooled.items() if "_tokens" in key and "mean_tokens" not in key)
    plain = (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and modules in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
        and mean
        and not others
        and not sentence.get("do_lower_case")  # the tokenizer's own file decides
        and (folder / "tokenizer.json").is_file()
    )
    if not plain:
        raise NotABert(f"{folder} is not a plain BERT encoder with mean pooling")
    return Shape(
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        epsilon=float(config["layer_norm_eps"]),
        # sentence-transformers wrote it in one file, and later in the other.
        max_length=min(
            int(sentence.get("max_seq_length") or tokenizer["model_max_length"]), int(config["max_position_embeddings"])
        ),
    )


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


class _Graph:
    """Nodes and constants in the order in which they are added."""

    def __init__(self, weights: Weights) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}
        self._weights = weights

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self.constants.setdefault(name, np.ascontiguousarray(value))
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self._weights[name])

    def node(self, kind: str, inputs: Iterable[str], name: str, domain: str = "", **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def dense(self, prefix: str, source: str) -> str:
        matrix = self.constant(f"{prefix}.matrix", self._weights[f"{prefix}.weight"].T)
        product = self.node("MatMul", [source, matrix], f"{prefix}.product")
        return self.node("Add", [product, self.weight(f"{prefix}.bias")], f"{prefix}.sum")


def _embedded(graph: _Graph, shape: Shape) -> str:
    """Word, position and token-type embeddings, summed and normalised. All tokens are of type 0."""
    words = graph.node("Gather", [graph.weight("embeddings.word_embeddings.weight"), "input_ids"], "words")
    size = graph.node("Shape", ["input_ids"], "size")
    length = graph.node("Gather", [size, graph.constant("one", np.array([1]))], "length")
    kind = graph._weights["embeddings.token_type_embeddings.weight"][0]
    places = graph.constant("places", graph._weights["embeddings.position_embeddings.weight"] + kind)
    zero, axis = graph.constant("zero", np.array([0])), graph.constant("axis", np.array([0]))
    placed = graph.node("Slice", [places, zero, length, axis], "placed")
    summed = graph.node("Add", [words, placed], "embedded")
    scale, shift = graph.weight("embeddings.LayerNorm.weight"), graph.weight("embeddings.LayerNorm.bias")
    return graph.node("LayerNormalization", [summed, scale, shift], "normed", axis=-1, epsilon=shape.epsilon)


def _layer(graph: _Graph, shape: Shape, number: int, source: str) -> str:
    prefix = f"encoder.layer.{number}"
    parts = [f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")]
    matrix = np.concatenate([graph._weights[f"{part}.weight"].T for part in parts], axis=1)
    bias = np.concatenate([graph._weights[f"{part}.bias"] for part in parts])
    inputs = [source, graph.constant(f"{prefix}.qkv", matrix), graph.constant(f"{prefix}.qkv_bias", bias), "mask"]
    seen = graph.node("Attention", inputs, f"{prefix}.attended", domain="com.microsoft", num_heads=shape.heads)
    attended = graph.dense(f"{prefix}.attention.output.dense", seen)
    first = _added(graph, shape, f"{prefix}.attention.output.LayerNorm", attended, source)
    widened = graph.dense(f"{prefix}.intermediate.dense", first)
    active = graph.node("Gelu", [widened], f"{prefix}.gelu", domain="com.microsoft")
    return _added(graph, shape, f"{prefix}.output.LayerNorm", graph.dense(f"{prefix}.output.dense", active), first)


def _added(graph: _Graph, shape: Shape, prefix: str, new: str, old: str) -> str:
    inputs = [new, old, graph.weight(f"{prefix}.weight"), graph.weight(f"{prefix}.bias")]
    kind, domain = "SkipLayerNormalization", "com.microsoft"
    return graph.node(kind, inputs, f"{prefix}.added", domain=domain, epsilon=shape.epsilon)


def _pooled(graph: _Graph, hidden: str) -> str:
    """The mean over the tokens that are not padding, made a unit vector."""
    present = graph.node("Cast", ["mask"], "present", to=1)
    last = graph.node("Unsqueeze", [present, graph.constant("last", np.array([2]))], "present_column")
    kept = graph.node("Mul", [hidden, last], "kept")
    axis = graph.constant("tokens", np.array([1]))
    total = graph.node("ReduceSum", [kept, axis], "total", keepdims=0)
    count = graph.node("ReduceSum", [present, axis], "count", keepdims=1)
    mean = graph.node("Div", [total, count], "mean")
    return graph.node("LpNormalization", [mean], "vectors", axis=-1, p=2)


def build(weights: Weights, shape: Shape) -> Any:
    """The encoder as an onnx.ModelProto: `input_ids`, `mask` (batch × tokens) → `vectors` (batch × dimension)."""
    from onnx import TensorProto, helper, numpy_helper

    graph = _Graph(weights)
    hidden = _embedded(graph, shape)
    for number in range(shape.layers):
        hidden = _layer(graph, shape, number, hidden)
    _pooled(graph, hidden)
    dimension = weights["embeddings.word_embeddings.weight"].shape[1]
    whole = helper.make_graph(
        graph.nodes,
        "bert",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"]),
            helper.make_tensor_value_info("mask", TensorProto.INT32, ["batch", "tokens"]),
        ],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", dimension])],
        [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(whole, opset_imports=domains, ir_version=8, producer_name="reasonflux")


def write(folder: Path, path: Path, *, quantised: bool = True) -> None:
    """Makes the ONNX file of the model in `folder`. A start that is killed here leaves no half file behind.

    Raises NotABert, and OSError when `path` cannot be written."""
    import onnx
    from safetensors.numpy import load_file

    shape = read_shape(folder)
    try:
        weights = {name.removeprefix("bert."): value for name, value in load_file(folder / "model.safetensors").items()}
        model = build(weights, shape)
    except KeyError as error:
        raise NotABert(f"{folder} has no weights named {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        plain, small = Path(scratch) / "plain.onnx", Path(scratch) / "int8.onnx"
        onnx.save(model, plain)
        if quantised:
            quantise(plain, small, shape)
        made = small if quantised else plain
        with made.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.replace(made, path)
        (Path(scratch) / "digest").write_text(digest)
        os.replace(Path(scratch) / "digest", _digest_file(path))


def quantise(plain: Path, small: Path, shape: Shape) -> None:
    """Dynamic int8. The embedding table is read, not multiplied, and is kept exact. So are the narrowing matrices of
    the lower half, whose inputs have outliers: that lifts the cosine above .995 for a tenth more time.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    exact = [f"encoder.layer.{number}.output.dense.product" for number in range(shape.layers // 2)]
    logging.disable(logging.WARNING)  # it recommends a pre-processing that our graph does not need
    try:
        quantize_dynamic(
            plain,
            small,
            op_types_to_quantize=["MatMul", "Attention"],
            nodes_to_exclude=exact,
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    finally:
        logging.disable(logging.NOTSET)


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


def intact(path: Path) -> bool:
    """Whether the file is there, byte for byte as `write` left it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == _digest_file(path).read_text()
    except OSError:
        return False
