"""A model by its numbers: how many parameters it has, and which of them a token is multiplied with."""

from collections.abc import Sequence

from pydantic import Field

from reasonflux.contracts import Contract


class Architecture(Contract):
    """A Qwen2-like decoder by its numbers, as its config.json tells them."""

    name: str
    layers: int = Field(ge=1)
    hidden: int = Field(ge=1)
    feed_forward: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    vocabulary: int = Field(ge=1)
    tied: bool = Field(description="whether the output matrix is the embedding")
    positions: int = Field(default=32_768, ge=1)
    rope_theta: float = Field(default=1_000_000.0, gt=0)

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    def matrices(self) -> dict[str, tuple[int, int]]:
        """A layer's matrices: name → (in, out)."""
        keys = self.kv_heads * self.head_size
        return {
            "q_proj": (self.hidden, self.hidden),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (self.hidden, self.hidden),
            "gate_proj": (self.hidden, self.feed_forward),
            "up_proj": (self.hidden, self.feed_forward),
            "down_proj": (self.feed_forward, self.hidden),
        }

    @property
    def layer(self) -> int:
        biases = self.hidden + 2 * self.kv_heads * self.head_size
        return sum(rows * columns for rows, columns in self.matrices().values()) + biases + 2 * self.hidden

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        return self.layers * self.layer + (1 if self.tied else 2) * self.embedding + self.hidden

    @property
    def multiplied(self) -> int:
        """The parameters that a token is multiplied with: looking up an embedding costs nothing."""
        return self.layers * self.layer + self.embedding

    def adapters(self, rank: int, modules: Sequence[str]) -> int:
        """The parameters of low-rank adapters on a layer's `modules`, over all layers."""
        shapes = self.matrices()
        return self.layers * sum(rank * sum(shapes[name]) for name in modules if name in shapes)
