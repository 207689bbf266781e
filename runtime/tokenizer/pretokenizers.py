"""How byte-level vocabularies cut text before merging: by name, and the name of a description.

A name (`tokenizer.ggml.pre`) stands for regular expressions, see cuts.py, and for habits that
files need not state. For a tokenizer.json it is chosen by what the file says, not by a hash of
known models: a model that cuts text as Llama 3 does gets Llama 3's name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError
from halfbyte.tokenizer.cuts import CUTS, DIGIT, GPT2

# Names that cut as the first does. Source: llama.cpp's list.
_ALIKE = {
    "gpt-2": "phi-2 jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code roberta-bpe mpt"
    " olmo jais exaone4 trillion granite-docling gigachat a.x-4.0 mellum modern-bert",
    "smollm": "starcoder refact command-r codeshell exaone minerva-7b mellum2",
    "bloom": "poro-chat gpt3-finnish",
    "llama-bpe": "llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano"
    " smaug-bpe dbrx chatglm-bpe glm4 glm5",
    "qwen2": "deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan grok-2 solar-open",
    "gpt-4o": "llama4 kanana2 talkie minimax-m2 granite-embed-multi-97m",
    "tiny_aya": "cohere2moe",
    "bailingmoe": "bailingmoe2 llada-moe",
    "deepseek-v3": "hunyuan-dense hy_v4 joyai-llm",
}
# Name -> regular expressions, each applied to all the parts that the ones before left.
PRE_TOKENIZERS: dict[str, tuple[str, ...]] = {
    name: patterns
    for first, patterns in CUTS.items()
    for name in (first, *_ALIKE.get(first, "").split())
}
# Those of vocabularies that are spelled in plain text -> what they cut at.
PLAIN = dict.fromkeys(
    ("gemma4", "granite-embed-multi-311m", "sarvam-moe", "mmbert"), r"[^\n]+|[\n]+"
) | {"whitespace": r"\S+"}
_LLAMA3 = frozenset(
    "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano".split()
)
# Where a part that is a piece stays whole, whatever the merges make of it.
WHOLE_PIECES_FIRST = _LLAMA3 | set(
    "tekken minicpm5 youtu glm4 glm5 granite-embed-multi-97m".split()
)
# Whose prompts begin with BOS in files that do not say.
BEGINS_WITH_BOS = _LLAMA3 | {"tekken", "chameleon", "gemma4", "granite-embed-multi-311m"}
# The name that a description gets: the first that fits.
_NAMES = {patterns: name for name, patterns in CUTS.items() if name != "default"}
# Expressions that match all of any text: to remove what they do not match is to cut.
_LEAVE_NOTHING = {
    CUTS[name][0]
    for name in (
        *("gpt-2", "llama-bpe", "qwen2", "qwen35", "ufakzeka", "gpt-4o", "tekken", "kimi-k2"),
        *("jais-2", "seed-coder", "bailingmoe", "exaone-moe"),
    )
}


def pre_tokenizer_name(path: Path, spec: object) -> str:
    """The name for a tokenizer.json's "pre_tokenizer" object.

    Raises:
        ConversionError: it is none of the known ones; what it does is shown.
    """
    steps = tuple(_steps(path, spec))
    name = _NAMES.get(steps)
    if name is None:
        known = ", ".join(_NAMES.values())
        raise ConversionError(
            path, "pre_tokenizer", expected=f"one that cuts as {known} do", got=repr(steps)
        )
    return name


def _steps(path: Path, spec: Any) -> list[str]:
    if not isinstance(spec, dict):
        raise ConversionError(path, "pre_tokenizer", expected="an object", got=spec)
    kind = spec.get("type")
    if kind == "Sequence":
        parts = spec.get("pretokenizers")
        if not isinstance(parts, list):
            raise ConversionError(path, "pre_tokenizer", expected="a list of steps", got=parts)
        return [step for part in parts for step in _steps(path, part)]
    if kind == "ByteLevel" and not spec.get("add_prefix_space"):
        return [GPT2] if spec.get("use_regex", True) else []
    if kind == "Digits" and spec.get("individual_digits"):
        return [DIGIT]
    if kind == "Split":
        pattern = spec.get("pattern")
        regex = pattern.get("Regex") if isinstance(pattern, dict) else None
        if isinstance(regex, str):  # DeepSeek's have the characters themselves
            regex = regex.replace("\r", r"\r").replace("\n", r"\n")
        way = str(spec.get("behavior")).lower(), bool(spec.get("invert"))
        is_known = way == ("removed", True) and regex in _LEAVE_NOTHING
        if isinstance(regex, str) and (is_known or way == ("isolated", False)):
            return [regex]
    raise ConversionError(path, "pre_tokenizer", expected="a known step", got=spec)
