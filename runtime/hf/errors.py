"""Errors of these classes that are, beside halfbyte's own, what transformers' users catch.

RequestError, ValueError
└── ArgumentError         an argument for which transformers raises ValueError
    └── FillMarkerError       a prompt with several places to fill
TokenizerError, IndexError
└── TokenIdError          an id that the vocabulary does not have
"""

from __future__ import annotations

from halfbyte.errors import RequestError, TokenizerError


class ArgumentError(RequestError, ValueError):
    """An argument of a call that has the wrong type, range or name; `param` names it."""


class FillMarkerError(ArgumentError):
    """A prompt with more than one fill token; `got` is their number."""


class TokenIdError(TokenizerError, IndexError):
    """An id outside the vocabulary."""
