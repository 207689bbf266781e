"""Errors that are, beside halfbyte's own, those that transformers' users catch."""

from __future__ import annotations

from halfbyte.errors import RequestError, TokenizerError


class ArgumentError(RequestError, ValueError):
    """An argument for which transformers raises ValueError: its type, range or name is wrong."""


class FillMarkerError(ArgumentError):
    """A prompt with more than one fill token; `got` is their number."""


class TokenIdError(TokenizerError, IndexError):
    """An id outside the vocabulary."""
