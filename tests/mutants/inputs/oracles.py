"""What other readers of the same inputs say: "" where the converted file agrees, else what differs.

None of them decides what is refused: where such a reader cannot read the input, it says nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import sentencepiece
from tokenizers import Tokenizer as HFTokenizer

from halfbyte.converting.calibration.importance import load_importance
from halfbyte.tokenizer import Tokenizer
from tests.mutants.inputs import imatrix_changes, safetensors_changes
from tests.mutants.inputs.mutations import UNFIT
from tests.mutants.inputs.originals import SHAPE

TEXTS = (
    "def f(x):\n    return x + 1",
    " for  i in  range(10):\t# é",
    "e\u0301 漢字 \U0001f600",
    "a",
)
_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "model.layers.0.input_layernorm": "blk.0.attn_norm",
    "model.layers.0.post_attention_layernorm": "blk.0.ffn_norm",
    **{f"model.layers.0.self_attn.{n}_proj": f"blk.0.attn_{'output' if n == 'o' else n}"
       for n in "qkvo"},
    **{f"model.layers.0.mlp.{n}_proj": f"blk.0.ffn_{n}" for n in ("gate", "up", "down")},
}  # fmt: skip


def _floats(dtype: str, shape: list[int], data: bytes) -> np.ndarray:
    if dtype == "BF16":
        wide = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(shape)
    return (
        np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32).reshape(shape)
    )


def weights(folder: Path, made: Path) -> str:
    """An F32 file's tensors beside those of a folder whose weights are plain."""
    found = {t.name: t for t in gguf.GGUFReader(made).tensors}
    single = folder / "model.safetensors"
    paths = [single] if single.exists() else sorted(folder.glob("[ab].safetensors"))
    is_halves = "qwen" in json.loads((folder / "config.json").read_text())["model_type"]
    for path in paths:
        doc = safetensors_changes.taken_apart(path.read_bytes())
        for name, entry in doc.entries():
            stem, _, part = name.rpartition(".")
            if f"{_NAMES.get(stem)}.{part}" not in found:
                continue  # a table that follows from the configuration
            data = doc.data[slice(*entry.get("data_offsets"))]
            expected = _floats(entry.get("dtype"), entry.get("shape"), data)
            if stem.endswith(("q_proj", "k_proj")) and part == "weight" and not is_halves:
                n_heads = SHAPE["n_heads"] if stem.endswith("q_proj") else SHAPE["n_kv_heads"]
                pairs = expected.reshape(n_heads, 2, -1, expected.shape[-1])
                expected = pairs.swapaxes(1, 2).reshape(expected.shape)
            if not np.array_equal(found[f"{_NAMES[stem]}.{part}"].data, expected):
                return f"other weights in {name}"
    return ""


# config.json's keys as GGUF's, their values unchanged.
_COPIED = {
    "hidden_size": "embedding_length", "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count", "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv", "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length", "head_dim": "attention.key_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon", "rope_theta": "rope.freq_base",
}  # fmt: skip
# Keys that would have to change the arithmetic, and what they may be.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"), "mlp_bias": (False, None),
    "partial_rotary_factor": (1, None), "is_causal": (True, None), "attention_multiplier": (None,),
    "embedding_multiplier": (1, None), "residual_multiplier": (1, None),
    "logits_scaling": (1, None), "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,), "num_local_experts": (0, 1, None),
}  # fmt: skip


def configuration(folder: Path, made: Path) -> str:
    """A file's hyperparameters beside config.json's: the same, and nothing left out."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    fields = gguf.GGUFReader(made).fields
    kind = fields["general.architecture"].contents()
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    for key, name in _COPIED.items():
        value = config.get(key)
        if value is None or (key == "rope_theta" and key in scaling):
            continue
        found = fields[f"{kind}.{name}"].contents()
        if isinstance(value, bool) or np.float32(value) != np.float32(found):
            return f"{key} is {value!r}, {name} {found!r}"
    for key, neutral in _NEUTRAL.items():
        if key in config and not any(type(config[key]) is type(n) or not isinstance(n, bool)
                                     for n in neutral if config[key] == n):  # fmt: skip
            return f"{key} {config[key]!r} is ignored"
    if scaling.get("rope_type", scaling.get("type")) == "linear" and scaling["factor"] != 1:
        found = fields[f"{kind}.rope.scaling.factor"].contents()
        if not math.isclose(found, scaling["factor"], rel_tol=1e-6):
            return f"factor {scaling['factor']!r} is {found!r}"
    return ""


def _encodings_differ(made: Path, theirs: Any, texts: list[str]) -> str:
    ours = Tokenizer.from_path(made)
    for text in texts:
        found, expected = ours.encode(text, add_bos=False), theirs(text)
        if found != expected:
            return f"{text!r} is {found}, not {expected}"
    return ""


def tokenizer_json(folder: Path, made: Path) -> str:
    """A file's ids beside the tokenizers package's, of texts without special tokens."""
    try:
        theirs = HFTokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
    except BaseException:  # the package's panics are no Exceptions
        return ""
    theirs.no_truncation()
    theirs.no_padding()
    special = [t.content for t in theirs.get_added_tokens_decoder().values() if t.special]
    texts = [text for text in TEXTS if not any(word and word in text for word in special)]
    return _encodings_differ(
        made, lambda text: theirs.encode(text, add_special_tokens=False).ids, texts
    )


def tokenizer_model(folder: Path, made: Path) -> str:
    """A file's ids beside sentencepiece's."""
    try:
        theirs = sentencepiece.SentencePieceProcessor(
            model_proto=(folder / "tokenizer.model").read_bytes()
        )
        theirs.encode("a")
    except (RuntimeError, ValueError, TypeError):
        return ""
    return _encodings_differ(made, theirs.encode, list(TEXTS))


def importance(path: Path) -> str:
    """What is read of a .dat file beside what its layout says."""
    with contextlib.suppress(*UNFIT):
        entries = imatrix_changes.taken_apart(path.read_bytes()).entries
        expected = {}
        for e in entries:
            sums = np.array(e.values, np.float32)
            expected[e.name.decode("utf-8", "replace")] = sums / np.float32(e.n_calls or 1)
        means = load_importance(path).means
        if means.keys() != expected.keys():
            return "other matrices"
        for name, mean in means.items():
            if not np.array_equal(mean, expected[name]):
                return f"other importance of {name}"
    return ""


READ_BY_OTHERS = {
    "safetensors": weights, "config": configuration, "tokenizer-json": tokenizer_json,
    "tokenizer-model": tokenizer_model,
}  # fmt: skip
