"""What a byte-level tokenizer makes of a text before it cuts it, as tokenizer.json states it.

The `tokenizers` package does the work, so that characters are composed and spelled as there. Kinds
that are not listed are refused by name: a regular expression, or a table, of a file that someone
else wrote may never end, or crash.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tokenizers import normalizers

from halfbyte.errors import ModelFileError

_FORMS = ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")
# Those that make the same of a text in parts and whole, if it is cut between a letter and a
# newline.
_LOCAL = frozenset(_FORMS)
_MAX_STEPS, _MAX_GROWTH, _MAX_TEXT = 16, 64, 100

# Raises for a value: what was expected, and what came.
_Refuse = Callable[[str, object], ModelFileError]


class Normalizer:
    """A tokenizer.json's "normalizer".

    Args:
        spec: the object, or None.
        refuse: makes the error for what was expected and what came.

    Attributes:
        backend: the package's object; None where there is nothing to do.
        is_local: whether a text may be cut between a letter and a newline before.
        text: the object as JSON, for files.
    """

    def __init__(self, spec: Any, refuse: _Refuse) -> None:
        steps = _steps(spec, refuse)
        grown = 1.0
        for step in steps:
            grown *= _growth(step)
        if len(steps) > _MAX_STEPS or grown > _MAX_GROWTH:
            raise refuse(f"at most {_MAX_STEPS} steps that make a text little longer", spec)
        made = [_made(step, refuse) for step in steps]
        self.backend = normalizers.Sequence(made) if len(made) > 1 else made[0] if made else None
        self.is_local = all(step["type"] in _LOCAL for step in steps)
        self.text = json.dumps(spec if made else None, ensure_ascii=False)

    @classmethod
    def of_text(cls, text: str, refuse: _Refuse) -> Normalizer:
        """That of a file's JSON."""
        try:
            spec = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise refuse("JSON", str(error)) from error
        return cls(spec, refuse)


def _steps(spec: Any, refuse: _Refuse, depth: int = 0) -> list[dict[str, Any]]:
    """The steps of a normalizer, those of sequences in their place."""
    if spec is None and not depth:
        return []
    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
        raise refuse("an object with a type", spec)
    if spec["type"] != "Sequence":
        return [spec]
    parts = spec.get("normalizers")
    if not isinstance(parts, list) or set(spec) != {"type", "normalizers"} or depth > 8:
        raise refuse("a list of normalizers", spec)
    return [step for part in parts for step in _steps(part, refuse, depth + 1)]


def _made(step: dict[str, Any], refuse: _Refuse) -> Any:
    kind = step["type"]
    fields = {name: value for name, value in step.items() if name != "type"}
    if kind in _FORMS and not fields:
        return getattr(normalizers, kind)()
    if kind == "Strip" and fields.keys() == {"strip_left", "strip_right"}:
        left, right = fields["strip_left"], fields["strip_right"]
        if type(left) is bool and type(right) is bool:
            return normalizers.Strip(left, right)
    if kind == "Prepend" and _is_text(fields.get("prepend")) and len(fields) == 1:
        return normalizers.Prepend(fields["prepend"])
    if kind == "Replace" and fields.keys() == {"pattern", "content"}:
        pattern = fields["pattern"]
        is_plain = isinstance(pattern, dict) and pattern.keys() == {"String"}
        if is_plain and pattern["String"] and _is_text(pattern["String"]):
            if _is_text(fields["content"]):
                return normalizers.Replace(pattern["String"], fields["content"])
    known = f"{', '.join(_FORMS)}, Strip, Prepend or Replace of a text"
    raise refuse(f"{known}, with their fields", step)


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        return False
    return not any("\ud800" <= c <= "\udfff" for c in value)


def _growth(step: dict[str, Any]) -> float:
    """How many times longer a text may become."""
    pattern = step.get("pattern")
    old = pattern.get("String") if isinstance(pattern, dict) else None
    new = step.get("content")
    if not isinstance(old, str) or not isinstance(new, str) or not old:
        return 1.0
    return max(1.0, len(new) / len(old))
