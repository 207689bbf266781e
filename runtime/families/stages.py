"""What a forward pass is made of: a family lists these in the order of its mathematics.

They are read three times: the engine makes of them the program that the compiled step walks
(engine/program.py) and times its parts (engine/profile.py), and float arithmetic interprets them
(quality/float_model.py). Between stages there are named buffers, for T tokens:

    x           (T, dim)             the residual stream
    normed      (T, dim)             RMSNorm of x
    qkv         (T, q_dim + 2 kv)    queries, keys, values
    attended    (T, q_dim)           attention's output
    hidden      (T, hidden_dim)      SiLU(gate) * up
    logits      (rows asked for, vocab_size)

Tensors have short names ("attn_q"): `Stage.tensor` gives the whole ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stage:
    """One operation of layer `layer`, or of none (-1)."""

    layer: int = field(default=-1, kw_only=True)

    @property
    def matrices(self) -> tuple[str, ...]:
        """Short names of the matrices that the stage's input is multiplied by."""
        return ()

    def tensor(self, name: str, kind: str = "weight") -> str:
        """GGUF's name of a tensor of this stage."""
        return f"{name}.{kind}" if self.layer < 0 else f"blk.{self.layer}.{name}.{kind}"


@dataclass(frozen=True, slots=True)
class Embed(Stage):
    """x = weight[tokens]."""

    weight: str = "token_embd"


@dataclass(frozen=True, slots=True)
class Norm(Stage):
    """normed = x / sqrt(mean(x^2) + norm_eps) * weight; of all rows, or those asked for."""

    weight: str
    of_logits: bool = False


@dataclass(frozen=True, slots=True)
class Project(Stage):
    """to = W source, for each matrix side by side; or to += W source."""

    weights: tuple[str, ...]
    source: str
    to: str
    adds: bool = False

    @property
    def matrices(self) -> tuple[str, ...]:
        """See Stage."""
        return self.weights


@dataclass(frozen=True, slots=True)
class Rope(Stage):
    """Queries and keys are rotated by their positions; keys and values join the layer's cache.

    Before that `biases` of q, k, v are added, if there are any, and each head of q and k goes
    through an RMSNorm with a weight of `norms` (head_dim,), if there are any.
    """

    biases: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attend(Stage):
    """attended = softmax(q k / sqrt(head_dim)) v over the cache, causal, within the window."""


@dataclass(frozen=True, slots=True)
class FeedForward(Stage):
    """hidden = SiLU(gate normed) * (up normed)."""

    gate: str
    up: str

    @property
    def matrices(self) -> tuple[str, ...]:
        """See Stage."""
        return self.gate, self.up
