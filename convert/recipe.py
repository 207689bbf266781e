"""Which type each tensor gets: the mixes that llama.cpp's users know by name.

A mix gives most matrices one type and those that matter more a better one: the output projection
(or the embedding that stands in for it), attention's values and the ffn's way down, in some of the
layers. The choice is llama.cpp's, so that a file of a name has the size and the layout that the
name promises.

Source: llama.cpp's llama-quant.cpp, llama_tensor_get_type; tests compare with its files.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from halfbyte.errors import RequestError
from halfbyte.families.config import ModelConfig
from halfbyte.families.next_layer import is_of_next
from halfbyte.families.per_layer import PROJECTION, TABLE
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.floats import F16, F32
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.lazy_dataclass import dataclass

_N_LAYERS_70B = 80  # whose values are small and used by eight heads each
_TABLES = ("token_embd.weight", f"{TABLE}.weight")
_LAYER = re.compile(r"blk\.(\d+)\.(\w+)\.weight")


Rule = Callable[[int, ModelConfig], str | None]

# Ends of names of what has two dimensions, and is no matrix that anything is multiplied by.
NO_MATRICES = (
    ".bias", ".shortconv.conv.weight", ".ssm_conv1d.weight", ".ssm_a", ".ssm_d", ".ssm_norm.weight",
)  # fmt: skip
KEEP = "keep"  # no recipe: every tensor has the format that holds its numbers without rounding


@dataclass(frozen=True, slots=True)
class Recipe:
    """A type's name, its usual format, the number of llama.cpp's enum llama_ftype, exceptions.

    `rules` map the name of a layer's matrix, or of one beside the layers, to the format of layer i,
    or None for the usual one. `others` is what all matrices get that are not of experts, where only
    these are meant.
    """

    name: str
    usual: BlockFormat
    file_type: int
    rules: dict[str, Rule]
    others: BlockFormat | None = None

    def choose(
        self, name: str, shape: tuple[int, ...], model: ModelConfig, *, pure: bool
    ) -> BlockFormat:
        """A tensor's format, by its GGUF name; rows that do not fit take a fallback."""
        chosen = self.wanted(name, shape, model, pure=pure)
        while shape[-1] % chosen.block_size:
            chosen = _FALLBACK.get(chosen.name, F16)
        return chosen

    def wanted(
        self, name: str, shape: tuple[int, ...], model: ModelConfig, *, pure: bool
    ) -> BlockFormat:
        """The format that is meant for a tensor, whether or not its rows fit."""
        if is_exact(name, shape):
            return F32
        if self.usual.is_quantized and is_of_next(name, model.n_layers):
            return FORMATS["Q8_0"]  # what guesses is spoilt by fewer: at 4 bits little comes true
        if pure or not self.usual.is_quantized:
            return self.usual
        if self.others is not None and "_exps." not in name:
            return self.others
        if name == f"{PROJECTION}.weight":
            return F16  # as it is, in llama.cpp
        if name == "output.weight" or (model.tied and name in _TABLES):
            return self.usual if self.usual.name == "Q8_0" else FORMATS["Q6_K"]
        found = _LAYER.fullmatch(name)
        if found is None:
            other = self.rules.get(
                "token_embd" if name in _TABLES else name.removesuffix(".weight")
            )
            return FORMATS[(other(0, model) if other else None) or self.usual.name]
        rule = self.rules.get(found[2].removesuffix("_exps").removesuffix("_shexp"))
        chosen = FORMATS[(rule(int(found[1]), model) if rule else None) or self.usual.name]
        is_values = found[2] == "attn_v"
        if is_values and model.n_layers == _N_LAYERS_70B and chosen.name in ("Q3_K", "Q4_K"):
            return FORMATS["Q5_K"]
        return chosen


def is_exact(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor keeps all bits: vectors, biases, convolutions, and who chooses experts."""
    return len(shape) == 1 or name.endswith(NO_MATRICES) or ".ffn_gate_inp" in name


# Rows that are no multiple of a large block: the type of 32 that is nearest in size, or one that
# loses less.
_FALLBACK = {
    name: FORMATS[other]
    for name, other in {
        "Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
        "IQ4_XS": "IQ4_NL", "Q2_0": "Q4_0", "Q1_0": "Q4_0", "TQ2_0": "Q4_0", "TQ1_0": "Q4_0",
    }.items()
}  # fmt: skip


def _always(name: str) -> Rule:
    return lambda i, model: name


def _first(name: str, n: int, other: str | None = None) -> Rule:
    """The first n layers."""
    return lambda i, model: name if i < n else other


def _first_part(name: str, part: int, other: str | None = None) -> Rule:
    """The first of `part` equal parts of the layers."""
    return lambda i, model: name if i < model.n_layers // part else other


def _more_bits(name: str) -> Rule:
    """The first and the last eighth of the layers, and every third between."""

    def rule(i: int, model: ModelConfig) -> str | None:
        eighth, last = model.n_layers // 8, 7 * model.n_layers // 8
        return name if i < eighth or i >= last or (i - eighth) % 3 == 2 else None

    return rule


def _values_of_iq4(i: int, model: ModelConfig) -> str | None:
    return "Q5_K" if model.group >= 4 else None


def _values_of_q2_k(i: int, model: ModelConfig) -> str:
    return "Q4_K" if model.group >= 4 else "Q3_K"


def _recipe(name: str, usual: str, file_type: int, **rules: Rule) -> Recipe:
    return Recipe(name, FORMATS[usual], file_type, rules)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _recipe("f32", "F32", 0),
        _recipe("f16", "F16", 1),
        _recipe("bf16", "BF16", 32),
        _recipe("q8_0", "Q8_0", 7),
        _recipe("q6_k", "Q6_K", 18),
        _recipe("q5_k_m", "Q5_K", 17, attn_v=_more_bits("Q6_K"), ffn_down=_more_bits("Q6_K")),
        _recipe("q5_k_s", "Q5_K", 16),
        _recipe("q5_1", "Q5_1", 9),
        _recipe("q5_0", "Q5_0", 8),
        _recipe("q4_k_m", "Q4_K", 15, attn_v=_more_bits("Q6_K"), ffn_down=_more_bits("Q6_K")),
        _recipe("q4_k_s", "Q4_K", 14, attn_v=_first("Q5_K", 4), ffn_down=_first_part("Q5_K", 8)),
        Recipe("mxfp4_moe", FORMATS["MXFP4"], 38, {}, others=FORMATS["Q8_0"]),
        _recipe("q4_1", "Q4_1", 3),
        _recipe("q4_0", "Q4_0", 2),
        _recipe("iq4_nl", "IQ4_NL", 25, attn_v=_values_of_iq4, ffn_down=_first_part("Q5_K", 8)),
        _recipe("iq4_xs", "IQ4_XS", 30, attn_v=_values_of_iq4, ffn_down=_first_part("Q5_K", 8)),
        _recipe("q3_k_l", "Q3_K", 13, attn_v=_always("Q5_K"), ffn_down=_always("Q5_K"),
                attn_output=_always("Q5_K")),
        _recipe("q3_k_m", "Q3_K", 12, attn_v=_first("Q5_K", 2, "Q4_K"),
                ffn_down=_first_part("Q5_K", 16, "Q4_K"), attn_output=_always("Q4_K")),
        _recipe("q3_k_s", "Q3_K", 11),
        _recipe("q2_k", "Q2_K", 10, attn_v=_values_of_q2_k, ffn_down=_always("Q3_K"),
                attn_output=_always("Q3_K")),
        _recipe("q2_0", "Q2_0", 41, token_embd=_always("Q4_K")),
        _recipe("tq2_0", "TQ2_0", 37, token_embd=_always("Q4_K")),
        _recipe("tq1_0", "TQ1_0", 36, token_embd=_always("Q4_K")),
        _recipe("q1_0", "Q1_0", 40),
    )
}  # fmt: skip


def check_type(name: object) -> str:
    """A type's name as it is written here: a recipe's, or KEEP.

    Raises:
        RequestError: it is unknown.
    """
    known = name.lower() if isinstance(name, str) else ""
    if known not in (*RECIPES, KEEP):
        raise RequestError("type", expected=f"one of {', '.join((*RECIPES, KEEP))}", got=repr(name))
    return known
