"""Constraints compiled for a vocabulary, by llguidance, and kept for the next call.

llguidance follows a grammar by bytes and says which tokens of a vocabulary may come next. Its
vocabulary is made of this one's bytes. Tokens that stand for no text, ends among them, are special
ones there, which a grammar can only name; one more, which no model has, is its end of a text: when
an answer may end, Matcher.is_complete says.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from typing import Any

from halfbyte.cache_scope import current_scope
from halfbyte.constraints import gbnf
from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.deep_stack import on_deep_stack
from halfbyte.constraints.lark_ends import endless_rules
from halfbyte.constraints.lark_rules import LarkRules, Unclear, lengths
from halfbyte.constraints.matcher import Matcher
from halfbyte.constraints.written_out import check_length
from halfbyte.errors import RequestError
from halfbyte.import_lock import imported
from halfbyte.tokenizer import Tokenizer

log = logging.getLogger(__name__)

_Key = tuple[str | None, Constraint, str, str]
_N_KEPT = 16  # grammars of a model
_N_SPARE = 4  # states of a grammar: what they hold beyond it is bounded by _LIMITS
_LIMITS = {
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 200_000,
    "step_max_items": 50_000,
    "max_items_in_row": 2_000,
    "max_lexer_states": 20_000,
    "max_grammar_size": 100_000,
    "verbose_errors": False,
}
# Whitespace between the parts of JSON where it may stand: a space, or a line's end and indentation.
_WHITESPACE = r"[ ]|\n[ \t]{0,32}"


class Grammars:
    """A model's: its vocabulary as llguidance has it, made when it is first asked for."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        # A large one takes seconds: who asks for one that is known does not wait for it.
        self._compiling = threading.Lock()
        self._vocabulary: Any = None
        self._kept: OrderedDict[_Key, Grammar] = OrderedDict()

    def compiled(self, constraint: Constraint, before: str = "", beside: str = "") -> Grammar:
        """The grammar of a constraint.

        Args:
            constraint: what it is made of.
            before: a text that answers spell first, and that belongs to no constraint.
            beside: another grammar, in Lark, that an answer may meet instead.

        Raises:
            RequestError: no text meets it, it is not well-formed, too large, or llguidance is not
                installed; `param` names the argument.
        """
        key = current_scope(), constraint, before, beside
        if (known := self._known(key)) is not None:
            return known
        with self._compiling:
            if (known := self._known(key)) is not None:
                return known
            if self._vocabulary is None:
                self._vocabulary = _vocabulary(constraint.kind, self._tokenizer)
            parts = _parts(constraint, before, beside)
            made = Grammar(constraint.kind, parts, self._vocabulary, before)
            with self._lock:
                self._kept[key] = made
                while len(self._kept) > _N_KEPT:
                    self._kept.popitem(last=False)
        return made

    def _known(self, key: _Key) -> Grammar | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)


class Grammar:
    """A compiled constraint, for any number of answers.

    Attributes:
        kind: the argument that it came by.
        n_vocab: tokens of the vocabulary.
    """

    def __init__(
        self, kind: str, parts: list[dict[str, Any]], vocabulary: Any, before: str = ""
    ) -> None:
        self.kind = kind
        self.n_vocab, self._before = vocabulary.vocab_size - 1, before
        self._vocabulary = vocabulary
        self._spare: list[Any] = []
        library = _library(self.kind)
        text = json.dumps({"grammars": parts})
        try:
            limits = library.LLParserLimits(**_LIMITS)
            self._first = on_deep_stack(
                lambda: library.LLMatcher(vocabulary, text, log_level=0, limits=limits)
            )
            if self._first.is_error():
                raise _refused(self.kind, self._first.get_error())
            begin = self.matcher()
            begin.forced()
            if not begin.allowed_after([]).any():
                expected = "what texts that are not empty meet"
                raise RequestError(self.kind, expected=expected, got="none")
            for text in self._first.get_grammar_warnings():
                log.warning("%s: followed as far as a grammar can: %.300s", self.kind, text)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # a fault of the package: no Exception
                raise
            raise _refused(self.kind, str(error)) from error

    def matcher(self) -> Matcher:
        """What follows an answer from its beginning."""
        try:
            state = self._spare.pop()
        except IndexError:
            state = self._first.deep_copy()
        return Matcher(self, state)

    def take_back(self, state: Any) -> None:
        """A matcher is not needed any more; from any thread."""
        if len(self._spare) < _N_SPARE and not state.is_error() and state.reset():
            self._spare.append(state)

    def accepts(self, text: str) -> bool:
        """Whether a whole text meets it."""
        state = self._first.deep_copy()
        tokens = self._vocabulary.greedy_tokenize(self._before + text)
        return state.try_consume_tokens(tokens) == len(tokens) and bool(state.is_accepting())


class _Vocabulary:
    """What llguidance asks of a tokenizer.

    It is asked for the tokens of forced texts, such as a schema's names, again with each answer.
    """

    _N_KEPT, _MAX_NCHARS = 4096, 256
    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._kept: dict[str | bytes, list[int]] = {}
        texts = set(tokenizer.text_ids)
        pieces = tokenizer.vocabulary.pieces
        self.tokens = [
            tokenizer.token_bytes(i) if i in texts else b"\xff" + pieces[i]
            for i in range(tokenizer.n_vocab)
        ]
        self.tokens.append(b"\xff<end of the answer>")
        self.eos_token_id = tokenizer.n_vocab
        self.special_token_ids = [i for i in range(tokenizer.n_vocab + 1) if i not in texts]

    def __call__(self, text: str | bytes) -> list[int]:
        """The ids of a text within others."""
        ids = self._kept.get(text)
        if ids is None:
            plain = text.decode() if isinstance(text, bytes) else text
            ids = self._tokenizer.encode_fragment(plain)
            if len(self._kept) >= self._N_KEPT:
                self._kept.clear()
            if len(text) <= self._MAX_NCHARS:
                self._kept[text] = ids
        return ids


def _vocabulary(kind: str, tokenizer: Tokenizer) -> Any:
    return _library(kind).LLTokenizer(_Vocabulary(tokenizer))


def _library(kind: str) -> Any:
    try:
        return imported("llguidance")
    except ImportError as error:
        raise RequestError(
            kind, expected="the package llguidance", got="none",
            hint="pip install 'halfbyte[grammar]'",
        ) from error  # fmt: skip


def _parts(constraint: Constraint, before: str, beside: str) -> list[dict[str, Any]]:
    """The grammars that llguidance is given: the first one may refer to others."""
    answer = _part(constraint)
    if beside:
        start = {"lark_grammar": "start: @answer | @beside"}
        other = {"lark_grammar": beside, "name": "beside"}
        return [start, answer | {"name": "answer"}, other]
    if not before:
        return [answer]
    return [{"lark_grammar": f"start: {_literal(before)} @answer"}, answer | {"name": "answer"}]


def _part(constraint: Constraint) -> dict[str, Any]:
    source = constraint.source
    if constraint.kind == "json_schema":
        return {"json_schema": json.loads(source) | {"x-guidance": _json_options(constraint)}}
    if constraint.kind == "regex":
        library = _library(constraint.kind)
        return dict(json.loads(library.LLMatcher.grammar_from_regex(source))["grammars"][0])
    if constraint.kind == "choices":
        return {"lark_grammar": "start: " + " | ".join(map(_literal, json.loads(source)))}
    lark = gbnf.to_lark(source) if gbnf.is_gbnf(source) else source
    _check_rules(constraint.kind, lark)
    return {"lark_grammar": lark}


def _check_rules(kind: str, lark: str) -> None:
    """Refuse rules that force texts without end, or long ones."""
    try:
        rules = LarkRules(lark)
    except (Unclear, RecursionError):
        check_length(kind, len(lark))
        return
    if endless := endless_rules(rules):
        expected = "rules that a finite text meets"
        raise RequestError(kind, expected=expected, got=", ".join(endless))
    known = lengths(rules.written)
    for name in rules.names:
        check_length(kind, known[name], name)


def _literal(text: str) -> str:
    """A text as Lark writes it."""
    return f"/{''.join(map(gbnf.escaped, text))}/"


def _json_options(constraint: Constraint) -> dict[str, Any]:
    """How JSON is written; nothing that a schema says is ignored or taken for something near it."""
    options: dict[str, Any] = {
        "item_separator": ",", "key_separator": ":", "whitespace_flexible": False,
        "coerce_one_of": False, "lenient": False,
    }  # fmt: skip
    if constraint.has_whitespace:
        options |= {"whitespace_flexible": True, "whitespace_pattern": _WHITESPACE}
    return options


def _refused(kind: str, text: str) -> RequestError:
    got = text.partition("<state>")[0].strip()
    return RequestError(kind, expected="what can be compiled, and met", got=got)
