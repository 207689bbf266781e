"""How byte-level vocabularies cut text before merging: by name, and the name of a description.

A name (`tokenizer.ggml.pre`) stands for the regular expressions that the families' own tokenizer
files state. For a tokenizer.json it is chosen by what the file says, not by a hash of known
models: a model that cuts text as Llama 3 does gets Llama 3's name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DIGIT = r"\p{N}"
_CJK = "[一-龥\u0800-一가-\ud7ff]+"

# Name -> regular expressions, applied in turn to what the one before left whole.
PRE_TOKENIZERS: dict[str, tuple[str, ...]] = {
    "gpt-2": (_GPT2,),
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    "smollm": (_DIGIT, _GPT2),
    "starcoder": (_DIGIT, _GPT2),
    "refact": (_DIGIT, _GPT2),
    "command-r": (_DIGIT, _GPT2),
    "llama-bpe": (_WORDS % "{1,3}",),
    "llama3": (_WORDS % "{1,3}",),
    "qwen2": (_WORDS % "",),
    "deepseek-coder": (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK, _DIGIT),
}
# The names that a description may get.
_NAMES = {
    PRE_TOKENIZERS[name]: name
    for name in ("gpt-2", "smollm", "llama-bpe", "qwen2", "deepseek-coder")
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
        return [_GPT2] if spec.get("use_regex", True) else []
    if kind == "Digits" and spec.get("individual_digits"):
        return [_DIGIT]
    if kind == "Split" and str(spec.get("behavior")).lower() == "isolated":
        pattern = spec.get("pattern")
        regex = pattern.get("Regex") if isinstance(pattern, dict) else None
        if isinstance(regex, str) and not spec.get("invert"):
            return [regex]
    raise ConversionError(path, "pre_tokenizer", expected="a known step", got=spec)
