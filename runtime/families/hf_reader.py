"""Reads config.json key by key, with errors that name the file, the key and what came."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from halfbyte.errors import ConversionError
from halfbyte.families.config import KEYS, MAX_CTX, MAX_DIM, MAX_LAYERS, MAX_VOCAB, Key

# Numbers become 32-bit floats in a file.
_LEAST, _LARGEST = (float(x) for x in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
# Hyperparameter -> the range of it; of the others 1 to MAX_DIM.
_RANGES = {
    "n_layers": (1, MAX_LAYERS), "vocab_size": (1, MAX_VOCAB), "n_ctx_train": (2, MAX_CTX),
    "sliding_window": (1, MAX_CTX),
}  # fmt: skip


class Reader:
    """A configuration; `defaults` are what absent keys are.

    All methods raise ConversionError.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self.path, self.config, self.defaults = path, config, defaults
        self.keys: Mapping[str, Key] = KEYS
        self.reads: frozenset[str] = frozenset()

    def bad(self, key: str, expected: str, got: object, hint: str = "") -> ConversionError:
        """The error about a key."""
        # A text in quotes, so that it is seen to be one.
        shown = repr(got) if isinstance(got, str) or got is None else got
        return ConversionError(self.path, key, expected=expected, got=shown, hint=hint)

    def value(self, field: str) -> Any:
        """What the hyperparameter of that name is, unchecked."""
        key = self.keys[field].hf
        return self.config.get(key, self.defaults.get(key))

    def value_of(self, key: str) -> Any:
        """What a key is, unchecked; null is the default too."""
        value = self.config.get(key)
        return self.defaults.get(key) if value is None else value

    def count(self, field: str, if_null: int | None = None) -> int:
        """A whole number: the hyperparameter of that name."""
        value = self.value(field)
        if value is None:
            value = if_null
        least, most = _RANGES.get(field, (1, MAX_DIM))
        if type(value) is not int or not least <= value <= most:
            raise self.bad(self.keys[field].hf, f"a whole number from {least} to {most}", value)
        return value

    def positive(self, name: str, value: Any) -> float:
        """A number above 0."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not _LEAST <= value <= _LARGEST:
            raise self.bad(name, "a finite number above 0", value)
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """A truth value."""
        value = self.config.get(key, default)
        if not isinstance(value, bool):
            raise self.bad(key, "true or false", value)
        return value
