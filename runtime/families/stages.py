"""What a forward pass is made of: a family lists these in the order of its mathematics.

The engine makes of them the program that the compiled step walks (engine/program.py) and times its
parts (engine/profile.py); float arithmetic interprets them (quality/float_model.py). Between stages
there are named buffers, for T tokens:

    x           (T, dim)             the residual stream
    normed      (T, dim)             the norm of x, read before x changes
    branch      (T, dim)             what goes through a norm before it joins x
    qkv         (T, q_dim + 2 kv)    queries, keys, values
    attended    (T, attended_dim)    attention's output
    gates       (T, q_dim / gate_dim)  what it is multiplied by
    hidden      (T, hidden_dim)      activation(gate) * up, or activation(up)
    routed      (T, n_experts)       the router's logits, behind them a shared expert's gate
    shared      (T, dim)             what a gated shared expert gives, or experts beside a network
    logits      (rows asked for, vocab_size)

and where a layer guesses for another model (next_layer.py)

    embedded    (T, dim)             a token
    state       (T, dim)             what the model's last norm gave for the token before it
    joined      (T, 2 dim)           the norms of both

Tensors have short names ("attn_q"): `Stage.tensor` gives the whole ones.
"""

from __future__ import annotations

from dataclasses import field

from halfbyte.lazy_dataclass import dataclass

QKV = ("attn_q", "attn_k", "attn_v")
FUSED_QKV = "attn_qkv"
QUERY_GATE = "attn_q_gate"  # of attn_q's rows the gates that stand behind each head's, in memory
SINKS = "attn_sinks"
HEAD_NORMS = ("attn_q_norm", "attn_k_norm")
SCALE = "scale"  # a kind of tensor, as "weight" and "bias" are
# What a network's hidden features go through.
ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "relu_squared", "xielu")


@dataclass(frozen=True, slots=True)
class Stage:
    """One operation of layer `layer`, or of none (-1)."""

    layer: int = field(default=-1, kw_only=True)

    @property
    def matrices(self) -> tuple[str, ...]:
        """Short names of the matrices that the stage's input is multiplied by."""
        return ()

    @property
    def packed(self) -> tuple[str, ...]:
        """The same as they lie in memory, where one may be cut in several (TensorSpec.parts)."""
        return self.matrices

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """Short name and kind ("weight", "bias") of all that the stage takes."""
        return tuple((name, "weight") for name in self.matrices)

    def tensor(self, name: str, kind: str = "weight") -> str:
        """GGUF's name of a tensor of this stage; some have no kind."""
        whole = f"{name}.{kind}" if kind else name
        return whole if self.layer < 0 else f"blk.{self.layer}.{whole}"


@dataclass(frozen=True, slots=True)
class Embed(Stage):
    """to = scale weight[tokens]; plus positions[positions], where these are learned."""

    weight: str = "token_embd"
    scale: float = 1.0
    positions: str = ""
    to: str = "x"

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        return tuple((name, "weight") for name in (self.weight, self.positions) if name)


@dataclass(frozen=True, slots=True)
class Norm(Stage):
    """normed = x / sqrt(mean(x^2) + norm_eps) * weight; of all rows, or those asked for.

    A norm that `centers` takes the mean from x first (LayerNorm); then a bias may be added. It may
    be of another buffer than x, and have an epsilon of its own; `kind` is its weight's.
    """

    weight: str
    of_logits: bool = False
    centers: bool = False
    bias: bool = False
    source: str = "x"
    eps: float = 0.0
    kind: str = "weight"

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        kinds = (self.kind, "bias") if self.bias else (self.kind,)
        return tuple((self.weight, kind) for kind in kinds)


@dataclass(frozen=True, slots=True)
class Join(Stage):
    """joined = RMSNorm(embedded) * first and, behind it, RMSNorm(state) * second."""

    first: str
    second: str

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        return ((self.first, "weight"), (self.second, "weight"))


@dataclass(frozen=True, slots=True)
class PostNorm(Stage):
    """to += source / sqrt(mean(source^2) + norm_eps) * weight; or, unless it `adds`, to = the same.

    At last `to` is multiplied by a number that the model has learned, `scale`, if it has one.
    """

    weight: str
    source: str = "branch"
    to: str = "x"
    adds: bool = True
    scale: str = ""

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        return tuple((name, "weight") for name in (self.weight, self.scale) if name)


@dataclass(frozen=True, slots=True)
class RowNorms(Stage):
    """All of a token's queries go through one RMSNorm, and all of its keys, with HEAD_NORMS."""

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        return tuple((name, "weight") for name in HEAD_NORMS)


@dataclass(frozen=True, slots=True)
class Project(Stage):
    """to = cap(scale (W source + bias)), for each matrix side by side; or to += the same.

    A bias stands with one matrix alone. cap(y) is softcap tanh(y / softcap), or y where that is 0.
    A fused matrix is cut into `parts` in memory.
    """

    weights: tuple[str, ...]
    source: str
    to: str
    adds: bool = False
    bias: bool = False
    scale: float = 1.0
    softcap: float = 0.0
    parts: tuple[str, ...] = ()

    @property
    def matrices(self) -> tuple[str, ...]:
        """See Stage."""
        return self.weights

    @property
    def packed(self) -> tuple[str, ...]:
        """See Stage."""
        return self.parts or self.weights

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        return _with_biases(self.weights, self.bias)


@dataclass(frozen=True, slots=True)
class Rope(Stage):
    """Queries and keys are rotated by their positions; keys and values join the layer's cache.

    How, and whether at all in this layer, is said by ModelConfig.rope_of; so are factors of the
    queries. Before that the biases of QKV are added, with `biases`, and each head of q and k goes
    through an RMSNorm with the weights of HEAD_NORMS (head_dim,), with `norms`. If it `is_fused`,
    the three biases are one vector. With `value_norms` each head of v goes through an RMSNorm
    without weights; a layer whose `values_are_keys` has v = k before all of that, and one without
    `keys` has queries alone, and reads the cache of another.
    """

    biases: bool = False
    norms: bool = False
    is_fused: bool = False
    value_norms: bool = False
    values_are_keys: bool = False
    keys: bool = True

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        names = (FUSED_QKV,) if self.is_fused else QKV
        biases = tuple((name, "bias") for name in names) if self.biases else ()
        norms = HEAD_NORMS[: 1 + self.keys] if self.norms else ()
        return biases + tuple((name, "weight") for name in norms)


@dataclass(frozen=True, slots=True)
class Attend(Stage):
    """attended = softmax(q k / sqrt(head_dim)) v over the cache, causal, within the layer's window.

    With `sinks`, a learned score for each head takes part in the softmax and has no value.
    """

    sinks: bool = False
    to: str = "attended"

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        return ((SINKS, "weight"),) if self.sinks else ()


@dataclass(frozen=True, slots=True)
class GateAttended(Stage):
    """attended *= activation(gates), each of which gate_dim features share, or one has.

    The activation is softplus or sigmoid. Gates may stand behind q, k and v instead (`source`).
    """

    activation: str = "softplus"
    source: str = "gates"


@dataclass(frozen=True, slots=True)
class FeedForward(Stage):
    """hidden = activation(gate source) * (up source), in the form that `down` will take it.

    Without a gate ("") it is activation(up source). Biases are added to the products. Where it
    `is_fused`, `up` holds the rows of both in a file, those of the gate first.
    """

    gate: str
    up: str
    down: str
    activation: str = "silu"
    bias: bool = False
    source: str = "normed"
    is_fused: bool = False

    @property
    def matrices(self) -> tuple[str, ...]:
        """See Stage."""
        return (self.up,) if self.is_fused else self.packed

    @property
    def packed(self) -> tuple[str, ...]:
        """See Stage."""
        return (self.gate, self.up) if self.gate else (self.up,)

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        return _with_biases(self.matrices, self.bias)


def _with_biases(names: tuple[str, ...], bias: bool) -> tuple[tuple[str, str], ...]:
    kinds = ("weight", "bias") if bias else ("weight",)
    return tuple((name, kind) for kind in kinds for name in names)
