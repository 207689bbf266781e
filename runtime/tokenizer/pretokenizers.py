"""The name (`tokenizer.ggml.pre`) of the pre-tokenizer that a tokenizer.json describes.

It is chosen by what the file says, its steps and regular expressions, not by a hash of known
models: a model that cuts text as Llama 3 does gets Llama 3's name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2_WORDS = "gpt-2 words"  # what ByteLevel does with use_regex
_DIGITS = "single digits"

# The steps that cut text, in order -> the name.
_NAMES: dict[tuple[str, ...], str] = {
    (_GPT2_WORDS,): "gpt-2",
    (_DIGITS, _GPT2_WORDS): "smollm",
    (_WORDS % "{1,3}",): "llama-bpe",
    (_WORDS % "",): "qwen2",
    ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-\ud7ff]+", _DIGITS): "deepseek-coder",
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
        return [_GPT2_WORDS] if spec.get("use_regex", True) else []
    if kind == "Digits" and spec.get("individual_digits"):
        return [_DIGITS]
    if kind == "Split" and str(spec.get("behavior")).lower() == "isolated":
        pattern = spec.get("pattern")
        regex = pattern.get("Regex") if isinstance(pattern, dict) else None
        if isinstance(regex, str) and not spec.get("invert"):
            return [_DIGITS if regex == r"\p{N}" else regex]
    raise ConversionError(path, "pre_tokenizer", expected="a known step", got=spec)
