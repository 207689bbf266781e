"""Errors that are, beside halfbyte's own, those that transformers' users catch."""

from __future__ import annotations

from halfbyte.errors import HalfbyteError, RequestError, TokenizerError


class FillMarkerError(RequestError):
    """A prompt with more than one fill token; `got` is their number."""


class MissingNameError(HalfbyteError, AttributeError):
    """An attribute that transformers has and that is not to be had here; says what is."""


class TokenIdError(TokenizerError, IndexError):
    """An id outside the vocabulary."""
