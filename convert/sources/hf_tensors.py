"""Hugging Face's tensor names and layouts, translated to GGUF's; nothing else knows them.

Hugging Face rotates feature i of a head with feature i + d/2, GGUF's "llama" its neighbours 2i and
2i + 1: the rows of q and k are put into that order. GGUF's "qwen2" leaves them as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.hf_config import HParams
from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.safetensors_file import StoredTensor
from halfbyte.errors import ConversionError
from halfbyte.families.config import interleaved_rows

_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_IN_LAYER = re.compile(r"\.layers\.(\d+)\.")
_BIASED = ("attn_q", "attn_k", "attn_v")
# Tables that older checkpoints carry along; they follow from the configuration.
_DERIVED = (".rotary_emb.inv_freq",)


@dataclass(frozen=True, slots=True)
class MappedTensor:
    """A tensor under its GGUF name; `order` are the source's rows in GGUF's order, if changed."""

    name: str
    source: StoredTensor
    order: NDArray[np.int64] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, inputs) or (features,)."""
        return self.source.shape

    def rows(self, begin: int, end: int) -> NDArray[np.float32]:
        """Rows begin..end in GGUF's order, float32."""
        return self.source.rows(slice(begin, end) if self.order is None else self.order[begin:end])


def map_tensors(folder: HFFolder, h: HParams) -> list[MappedTensor]:
    """All tensors of the model in GGUF's usual order.

    Raises:
        ConversionError: tensors are missing, unknown or of another shape; all are named.
    """
    wanted = _expected(h)
    names = {name for name in folder.tensors if not name.endswith(_DERIVED)}
    if h.tied:
        names.discard("lm_head.weight")  # some checkpoints store the tied copy too
    faults = [f"missing {name}" for name in wanted if name not in names]
    faults += [f"unknown {name}" for name in sorted(names) if name not in wanted]
    faults += [
        f"{name} is {folder.tensors[name].shape}, not {shape}"
        for name, (_, shape) in wanted.items()
        if name in names and folder.tensors[name].shape != shape
    ]
    if faults:
        raise ConversionError(
            folder.path,
            "tensors",
            expected="those of config.json",
            got="; ".join(_by_layers(faults)),
        )
    return [
        MappedTensor(gguf_name, folder.tensors[name], _order(gguf_name, h))
        for name, (gguf_name, _) in wanted.items()
    ]


def _by_layers(faults: list[str]) -> list[str]:
    """The faults, those that differ in the layer only as one: a model has hundreds of tensors."""
    layers: dict[str, list[str]] = {}
    for fault in faults:
        found = _IN_LAYER.search(fault)
        key = fault if found is None else _IN_LAYER.sub(".layers.*.", fault, count=1)
        layers.setdefault(key, []).extend(found.groups() if found else [])
    return [
        key.replace("*", f"{{{','.join(ids)}}}" if len(ids) > 1 else "".join(ids), 1)
        for key, ids in layers.items()
    ]


def _order(gguf_name: str, h: HParams) -> NDArray[np.int64] | None:
    if h.rotates_halves:
        return None
    if gguf_name.endswith(".attn_q.weight"):
        return interleaved_rows(h.n_heads, h.head_dim)
    if gguf_name.endswith(".attn_k.weight"):
        return interleaved_rows(h.n_kv_heads, h.head_dim)
    return None


def _expected(h: HParams) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Hugging Face name -> (GGUF name, shape)."""
    q, kv = h.n_heads * h.head_dim, h.n_kv_heads * h.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm": (h.dim,),
        "attn_q": (q, h.dim),
        "attn_k": (kv, h.dim),
        "attn_v": (kv, h.dim),
        "attn_output": (h.dim, q),
        "ffn_norm": (h.dim,),
        "ffn_gate": (h.hidden_dim, h.dim),
        "ffn_up": (h.hidden_dim, h.dim),
        "ffn_down": (h.dim, h.hidden_dim),
    }
    table: dict[str, tuple[str, tuple[int, ...]]] = {
        "model.embed_tokens.weight": ("token_embd.weight", (h.vocab_size, h.dim))
    }
    for i in range(h.n_layers):
        for hf, gguf in _LAYER.items():
            table[f"model.layers.{i}.{hf}.weight"] = (f"blk.{i}.{gguf}.weight", shapes[gguf])
            if h.has_qkv_biases and gguf in _BIASED:
                table[f"model.layers.{i}.{hf}.bias"] = (f"blk.{i}.{gguf}.bias", shapes[gguf][:1])
    table["model.norm.weight"] = ("output_norm.weight", (h.dim,))
    if not h.tied:
        table["lm_head.weight"] = ("output.weight", (h.vocab_size, h.dim))
    return table
