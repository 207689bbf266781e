"""Qwen3.5 and Qwen3.6: gated delta nets, one layer of four with attention, and networks.

Qwen3-Next's layers (qwen3next.py) without experts; delta nets have a matrix for each of q, k, v,
gates, rates and decays. A checkpoint sees images too, whose positions have three axes: of a text
all three are the same. A GGUF file has value heads such that those of a key head are not
neighbours. Source: the model card of Qwen3.5-27B.
"""

from __future__ import annotations

from dataclasses import replace

from halfbyte.families import qwen3next

_SECTIONS = frozenset({"rope.dimension_sections", "mrope_section", "mrope_interleaved"})

FAMILY = replace(
    qwen3next.FAMILY,
    architecture="qwen35",
    defaults={
        "qwen3_5_text": {
            **qwen3next.DEFAULTS_OF_ALL,
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "vocab_size": 248320,
            "num_hidden_layers": 32,
            "num_key_value_heads": 4,
        },
    },
    only={"attention_bias": False, "attn_output_gate": True},
    reads=qwen3next.FAMILY.reads | _SECTIONS,
    experts=None,
)
