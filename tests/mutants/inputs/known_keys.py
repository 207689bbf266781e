"""What changes put into JSON files beside what is there: keys and parts that programs know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.mutants.inputs.json_text import Raw, members


@dataclass(frozen=True)
class Known:
    """Keys with values that mean something, whole parts to choose from, and keys of no meaning."""

    keys: list[list[Any]] = field(default_factory=list)
    parts: dict[str, list[Any]] = field(default_factory=dict)
    notes: list[tuple[str, Any]] = field(default_factory=list)


def _rope(**more: Any) -> list[dict[str, Any]]:
    kinds = (
        "default",
        "linear",
        "llama3",
        "yarn",
        "dynamic",
        "longrope",
        "proportional",
        "x",
        None,
    )
    found: list[dict[str, Any]] = [{"rope_type": kind, **more} for kind in kinds]
    return [*found, {"type": "linear", **more}, {"rope_type": "linear", "type": "dynamic", **more}]


_FACTORS = {"factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32, "rope_theta": 5e5}  # fmt: skip
_CONFIG_KEYS: list[tuple[str, list[Any]]] = [
    ("rope_scaling", [*_rope(), *_rope(**_FACTORS)]),
    ("rope_parameters", [*_rope(**_FACTORS), {"full_attention": {"rope_type": "default"}}]),
    ("rope_theta", [1e6, 1, -1.0, "1e4"]),
    ("partial_rotary_factor", [1.0, 0.5]),
    ("is_causal", [True, False]),
    ("sliding_window", [None, 1, 24, 10**12, 0]),
    ("use_sliding_window", [True, False]),
    ("layer_types", [["full_attention"], ["sliding_attention"], ["full_attention"] * 2]),
    ("hidden_act", ["silu", "swish", "gelu", "relu"]),
    ("attention_bias", [True, False]),
    ("mlp_bias", [True, False]),
    ("attention_multiplier", [1.0, 0.25]),
    ("embedding_multiplier", [1.0, 12.0]),
    ("residual_multiplier", [1.0, 0.2]),
    ("logits_scaling", [1.0, 8.0]),
    ("attn_logit_softcapping", [None, 50.0]),
    ("final_logit_softcapping", [None, 30.0]),
    ("num_hidden_layers", [0, 2, 2**20, 2**30, 2**31, 10**18]),
    ("num_local_experts", [0, 8]),
    ("pretraining_tp", [1, 2]),
    ("rms_norm_eps", [1e-6, 1e308, 1e-320, 0, Raw("1e-400")]),
    ("tie_word_embeddings", [True, False, 0, "true"]),
    ("head_dim", [None, 16, 8, 32, 17, 0]),
    ("model_type", ["llama", "mistral", "qwen2", "qwen3", "gemma2", "LLAMA", ["llama"]]),
    ("architectures", [None, [], ["GemmaForCausalLM"], "LlamaForCausalLM", [None]]),
    ("eos_token_id", [[2, 5], [], [2, None], 10**30, -1, 2.0, [[2]], 403, 404]),
    ("bos_token_id", [None, 404, [1], "1", True]),
    ("dtype", ["float32", ["float32"], None, 5]),
    ("quantization_config", [
        {"quant_method": "gptq", "bits": 4}, {"quant_method": "awq", "bits": 4.0},
        {"quant_method": "fp8", "weight_block_size": "9" * 5_000 + "x1"},
        {"quant_method": "bitsandbytes"}, {"quant_method": "fp8", "weight_block_size": [2**70, 1]},
        {"quant_method": "compressed-tensors", "config_groups": {"g": {"targets": [5]}}}, {},
    ]),
]  # fmt: skip
_NOTES = [
    ("unsloth_version", "2025.1"), ("transformers_version", "4.99.0"), ("use_cache", False),
    ("initializer_range", 0.5), ("attention_dropout", 0.1), ("_note", {"a": [1, None]}),
]  # fmt: skip

CONFIG = Known(
    keys=[[key, members(value)] for key, values in _CONFIG_KEYS for value in values],
    notes=[(key, members(value)) for key, value in _NOTES],
)
GENERATION = Known(
    keys=[[key, members(value)] for key, values in (
        ("temperature", [0, 0.0, -1, 1e308, "0.6", True]), ("top_p", [0, 1.5, 1, None]),
        ("top_k", [0, -1, 10**12, 1.5]), ("min_p", [0.1, 2]), ("repetition_penalty", [0, 1.1, -1]),
        ("eos_token_id", [10**30, [], [2, "3"], 500]),
    ) for value in values],
    notes=[("transformers_version", "4.99.0"), ("_from_model_config", True)],
)  # fmt: skip

_CUTS = [{"type": "ByteLevel", "add_prefix_space": flag, "trim_offsets": True, "use_regex": use}
         for flag in (True, False) for use in (True, False)]  # fmt: skip
_CUTS += [{"type": kind} for kind in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer", "x")]
_CUTS += [
    {"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "Isolated"},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False},
    {"type": "Split", "pattern": {"Regex": "(a*)*b"}, "behavior": "Isolated", "invert": False},
    {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False},
    {"type": "Sequence", "pretokenizers": []}, None,
]  # fmt: skip
_NORMALIZERS = [{"type": kind} for kind in ("NFC", "NFD", "NFKC", "Lowercase", "StripAccents",
                                            "Nmt", "ByteLevel", "x")]  # fmt: skip
_NORMALIZERS += [
    {"type": "Sequence", "normalizers": [{"type": "NFC"}]}, {"type": "Sequence", "normalizers": []},
    {"type": "Prepend", "prepend": "▁"}, {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
    {"type": "Replace", "pattern": {"String": "a"}, "content": "b"},
    {"type": "Strip", "strip_left": True, "strip_right": False}, None,
]  # fmt: skip


def _token(**more: Any) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": 400, "content": "<new>", **flags, **more}


_ADDED = [[_token(**more)] for more in (
    {}, {"special": True}, {"lstrip": True}, {"rstrip": True}, {"single_word": True},
    {"normalized": True}, {"content": "def"}, {"content": ""}, {"content": "é"}, {"id": 0},
    {"id": 403}, {"id": 404}, {"id": 2**40}, {"id": -1}, {"id": 1.0}, {"content": 5},
    {"special": 1},
)]  # fmt: skip
TOKENIZER = Known(
    parts={name: [members(value) for value in values] for name, values in {
        "pre_tokenizer": _CUTS, "normalizer": _NORMALIZERS, "added_tokens": [*_ADDED, [], None, 5],
        "post_processor": [None, {"type": "ByteLevel"}, {"type": "Sequence", "processors": []},
                           {"type": "TemplateProcessing", "single": "$A"}],
        "decoder": [None, {"type": "ByteLevel"}, {"type": "WordPiece"}, {"type": "x"}],
        "truncation": [{"direction": "Right", "max_length": 2, "strategy": "LongestFirst",
                        "stride": 0}],
    }.items()},
    notes=[("version", "1.0")],
)  # fmt: skip
TOKENIZER_CONFIG = Known(
    keys=[[key, members(value)] for key, values in (
        ("added_tokens_decoder", [{"400": {"content": "<new>"}}, {"x": {}}, {"400": None}, [], 5,
                                  {"²": {"content": "a"}}, {"9" * 5_000: {"content": "a"}}]),
        ("add_bos_token", [True, False, None, "x"]), ("bos_token", ["x", {"content": 5}, None, 5]),
        ("eos_token", [{"content": "def"}, ["a"], ""]), ("add_prefix_space", [True, False]),
        ("chat_template", ["{{ x", "{{ messages }}", [], [{"name": "default", "template": 5}],
                           [{"name": ["x"]}], 5, "x" * 300_000]),
        ("tokenizer_class", ["GPT2Tokenizer", 5]), ("additional_special_tokens", [["<a>"], 5]),
    ) for value in values],
    notes=[("model_max_length", 10**30), ("clean_up_tokenization_spaces", False)],
)  # fmt: skip
