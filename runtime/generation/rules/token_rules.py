"""What a caller asks of single tokens and texts: biases, bans, a least length."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from halfbyte.call_arguments import is_whole, literal
from halfbyte.errors import RequestError
from halfbyte.generation.call_keywords import TokenRuleOptions
from halfbyte.generation.rules.bad_words import BadWords
from halfbyte.generation.rules.logit_bias import LogitBias
from halfbyte.generation.rules.min_tokens import MinTokens
from halfbyte.generation.rules.rule import ForkingRule
from halfbyte.lazy_dataclass import dataclass
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.tokenizer import check_text

MAX_BIAS = 1000.0
_MAX_WORDS, _MAX_WORD_TOKENS = 10_000, 64
_MAX_STRINGS, _MAX_CHARS = 256, 256


@dataclass(frozen=True, slots=True)
class TokenRules:
    """Checked when read from a call's options.

    Attributes:
        logit_bias: ids, and what is added to their logits.
        min_tokens: as many tokens come before one that ends the answer.
        bad_words: sequences of ids that never come whole.
        banned_strings: texts that the answer never has.
    """

    logit_bias: tuple[tuple[int, float], ...] = ()
    min_tokens: int = 0
    bad_words: tuple[tuple[int, ...], ...] = ()
    banned_strings: tuple[str, ...] = ()

    @classmethod
    def split(
        cls, tokenizer: Tokenizer, options: Mapping[str, Any]
    ) -> tuple[TokenRules, dict[str, Any]]:
        """The rules among a call's options, and the other options.

        Raises:
            RequestError: a value of the wrong type or out of range; `param` names it.
            TokenizerError: a text holds lone surrogates.
        """
        rest = dict(options)
        given = {name: rest.pop(name) for name in TokenRuleOptions.__annotations__ if name in rest}
        n_least = given.get("min_tokens", 0)
        if not is_whole(n_least) or n_least < 0:
            expected = "a whole number from 0"
            raise RequestError("min_tokens", expected=expected, got=literal(n_least))
        return cls(
            tuple(_biases(tokenizer, given.get("logit_bias", {})).items()),
            int(n_least),
            tuple(_bad_words(tokenizer, given.get("bad_words", ()))),
            _banned_strings(given.get("banned_strings", ())),
        ), rest

    def check_length(self, max_tokens: int) -> None:
        """RequestError where the least length lies above the most."""
        if self.min_tokens > max_tokens:
            expected = f"at most max_tokens, {max_tokens}"
            raise RequestError("min_tokens", expected=expected, got=self.min_tokens)

    def rules(
        self,
        tokenizer: Tokenizer,
        prompt: Sequence[int],
        taken_back: Sequence[int],
        end_ids: Collection[int],
    ) -> list[ForkingRule]:
        """Those of one request, new.

        Args:
            tokenizer: whose ids they are.
            prompt: the ids before the answer.
            taken_back: ids that the answer has to spell again.
            end_ids: those that end it.
        """
        made: list[ForkingRule] = []
        single = {word[0]: -math.inf for word in self.bad_words if len(word) == 1}
        longer = [word for word in self.bad_words if len(word) > 1]
        if self.logit_bias or single:
            made.append(LogitBias({**dict(self.logit_bias), **single}))
        if self.min_tokens:
            n_skipped = sum(len(tokenizer.token_bytes(token)) for token in taken_back)
            made.append(MinTokens(self.min_tokens, end_ids, tokenizer.token_bytes, n_skipped))
        if longer:
            made.append(BadWords(longer, prompt))
        return made


def _biases(tokenizer: Tokenizer, given: object) -> dict[int, float]:
    name, found = "logit_bias", dict[int, float]()
    if not isinstance(given, Mapping):
        raise RequestError(name, expected="a mapping of tokens to numbers", got=literal(given))
    for key, value in given.items():
        token = _one_token(tokenizer, key)
        if token in found:
            raise RequestError(name, expected="each token once", got=f"{key!r} twice")
        expected = f"numbers from {-MAX_BIAS:g} to {MAX_BIAS:g}, or -inf"
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not is_number or not (value == -math.inf or -MAX_BIAS <= value <= MAX_BIAS):
            raise RequestError(name, expected=expected, got=f"{value!r} for {key!r}")
        found[token] = float(value)
    return found


def _one_token(tokenizer: Tokenizer, key: object) -> int:
    if isinstance(key, str) and key:
        check_text(key, "logit_bias")
        ids = tokenizer.encode_fragment(key)
        if len(ids) == 1:
            return ids[0]
        expected = "texts that are one token, or ids"
        raise RequestError("logit_bias", expected=expected, got=f"{key!r}, which is tokens {ids}")
    return _id("logit_bias", key, tokenizer.n_vocab)


def _id(name: str, value: object, n_vocab: int) -> int:
    if not is_whole(value) or not 0 <= value < n_vocab:
        raise RequestError(
            name, expected=f"ids from 0 to {n_vocab - 1}, or texts", got=literal(value)
        )
    return int(value)


def _bad_words(tokenizer: Tokenizer, given: object) -> list[tuple[int, ...]]:
    name, found = "bad_words", dict[tuple[int, ...], None]()
    for word in _several(name, given, "texts or sequences of ids", _MAX_WORDS):
        if isinstance(word, str) and word:
            check_text(word, name)
            # As it begins a line and as it follows a word.
            spellings = [tokenizer.encode_fragment(text) for text in (word, f" {word}")]
        elif isinstance(word, Sequence) and not isinstance(word, (str, bytes)) and word:
            spellings = [[_id(name, token, tokenizer.n_vocab) for token in word]]
        else:
            expected = "texts or sequences of ids that are not empty"
            raise RequestError(name, expected=expected, got=literal(word))
        for ids in spellings:
            if len(ids) > _MAX_WORD_TOKENS:
                expected = f"words of at most {_MAX_WORD_TOKENS} tokens"
                raise RequestError(name, expected=expected, got=len(ids))
            found[tuple(ids)] = None
    return list(found)


def _banned_strings(given: object) -> tuple[str, ...]:
    name = "banned_strings"
    found = _several(name, given, "a string or list of strings", _MAX_STRINGS)
    for text in found:
        if not isinstance(text, str) or not 0 < len(text) <= _MAX_CHARS:
            expected = f"strings of 1 to {_MAX_CHARS} characters"
            raise RequestError(name, expected=expected, got=literal(text))
        check_text(text, name)
    return tuple(dict.fromkeys(str(text) for text in found))


def _several(name: str, given: object, expected: str, n_most: int) -> list[object]:
    items = [given] if isinstance(given, str) else given
    is_list = isinstance(items, Collection) and not isinstance(items, (Mapping, bytes, bytearray))
    if not is_list or getattr(items, "shape", None) == ():  # an array that is a number
        raise RequestError(name, expected=expected, got=literal(given))
    assert isinstance(items, Collection)
    if len(items) > n_most:
        raise RequestError(name, expected=f"at most {n_most} of them", got=len(items))
    return list(items)
