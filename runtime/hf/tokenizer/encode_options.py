"""The options of a tokenizer's call, checked once, so that none is ignored."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, fields
from typing import Any

from halfbyte.call_arguments import check_flag
from halfbyte.errors import RequestError
from halfbyte.hf.arguments import SIDES, check_count, leave_out, one_of
from halfbyte.hf.tokenizer.token_table import TokenTable

log = logging.getLogger(__name__)

# Lengths from here on mean "none known".
LARGE_LENGTH = int(1e20)

_PADDING = (False, True, "longest", "max_length", "do_not_pad")
TRUNCATION = (
    None, False, True, "longest_first", "only_first", "only_second", "do_not_truncate"
)  # fmt: skip

# Options that transformers has and that are not to be had here, with what leaves them off.
_ABSENT: dict[str, object] = {
    "text_target": None,
    "text_pair_target": None,
}


@dataclass(slots=True)
class EncodeOptions:
    """How texts become ids and arrays; names and defaults are those of transformers.

    Once made, `padding` and `truncation` name a strategy, and what is left to the tokenizer is as
    that says. A length alone asks for truncation. Without any length, neither is done.

    Attributes:
        add_special_tokens: put BOS and EOS where the model wants them.
        padding: False, True or "longest", "max_length".
        truncation: False, True or "longest_first", "only_first", "only_second".
        max_length: in tokens; None takes the tokenizer's `model_max_length`.
        stride: tokens that overflowing parts of a text have in common.
        pad_to_multiple_of: padding goes on to a multiple of this.
        padding_side: "left" or "right"; None takes the tokenizer's.
        return_tensors: None for lists, "np" or "pt" for arrays.
        return_attention_mask, return_token_type_ids: None does as `model_input_names` says.
        return_special_tokens_mask: say which tokens were added.
        return_overflowing_tokens: what is cut off makes more rows; for each row say which text it
            is of.
        return_offsets_mapping: say which characters each token stands for.
        return_length: say how many tokens there are.
        is_split_into_words: the text comes as a list of words.
        split_special_tokens: special tokens' texts are text; None takes the tokenizer's.
        verbose: warn about doubtful combinations.

    Raises:
        RequestError: a value that is out of range, or values that exclude each other.
    """

    tokenizer: InitVar[TokenTable]
    add_special_tokens: bool = True
    padding: bool | str = False
    truncation: bool | str | None = None
    max_length: int | None = None
    stride: int = 0
    pad_to_multiple_of: int | None = None
    padding_side: str | None = None
    return_tensors: str | None = None
    return_attention_mask: bool | None = None
    return_token_type_ids: bool | None = None
    return_special_tokens_mask: bool = False
    return_overflowing_tokens: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    is_split_into_words: bool = False
    split_special_tokens: bool | None = None
    verbose: bool = True

    def __post_init__(self, tokenizer: TokenTable) -> None:
        one_of("padding", self.padding, _PADDING)
        one_of("truncation", self.truncation, TRUNCATION)
        one_of("padding_side", self.padding_side, (None, *SIDES))
        check_count("max_length", self.max_length, 1)
        check_count("stride", self.stride, 0)
        check_count("pad_to_multiple_of", self.pad_to_multiple_of, 1)
        for name in _FLAGS:
            if getattr(self, name) is not None:
                setattr(self, name, check_flag(name, getattr(self, name)))
        if self.return_token_type_ids and not self.add_special_tokens:
            raise RequestError(
                "return_token_type_ids", expected="None where add_special_tokens is False"
            )
        self._choose_lengths(tokenizer.model_max_length)
        if self.padding_side is None:
            self.padding_side = tokenizer.padding_side
        if self.split_special_tokens is None:
            self.split_special_tokens = tokenizer.split_special_tokens
        if self.return_attention_mask is None:
            self.return_attention_mask = "attention_mask" in tokenizer.model_input_names
        if self.return_token_type_ids is None:
            self.return_token_type_ids = "token_type_ids" in tokenizer.model_input_names

    @classmethod
    def read(
        cls, options: Mapping[str, Any], tokenizer: TokenTable, own: Iterable[str] = ()
    ) -> tuple[EncodeOptions, dict[str, Any]]:
        """The options of a call, and those that are a tokenizer's own; refuses unknown ones."""
        chosen = cls(tokenizer, **{name: v for name, v in options.items() if name in _NAMES})
        rest = leave_out(options, _ABSENT, _NAMES)
        refuse_unknown(rest, own)
        return chosen, rest

    def _choose_lengths(self, model_max_length: int) -> None:
        """Name the strategies for padding and for truncation, and the length of both."""
        padding = _named(self.padding, "longest", "do_not_pad")
        truncation = _named(self.truncation, "longest_first", "do_not_truncate")
        length, multiple = self.max_length, self.pad_to_multiple_of
        if length is not None and self.padding is False and self.truncation is None:
            self._warn("max_length=%d truncates: say truncation=True to mean it", length)
            truncation = "longest_first"
        if length is None and (padding == "max_length" or truncation != "do_not_truncate"):
            if model_max_length > LARGE_LENGTH:
                self._warn("no max_length, and the model states none: nothing is cut or filled")
                padding = "do_not_pad" if padding == "max_length" else padding
                truncation = "do_not_truncate"
            else:
                length = int(model_max_length)
        does_both = padding != "do_not_pad" and truncation != "do_not_truncate"
        if does_both and multiple and length and length % multiple:
            raise RequestError(
                "max_length", expected=f"a multiple of pad_to_multiple_of={multiple}, where "
                "texts are both cut and filled", got=length,
            )  # fmt: skip
        self.padding, self.truncation, self.max_length = padding, truncation, length

    def _warn(self, text: str, *values: object) -> None:
        if self.verbose:
            log.warning(text, *values)


_NAMES = tuple(field.name for field in fields(EncodeOptions))
_FLAGS = tuple(f.name for f in fields(EncodeOptions) if f.type in ("bool", "bool | None"))


def refuse_unknown(options: Mapping[str, Any], known: Iterable[str] = ()) -> None:
    """Refuse options that nothing knows; RequestError names the first."""
    for name in options:
        if name not in known:
            raise RequestError(
                name, expected="an option that this tokenizer has", got=name,
                hint=f"these are {', '.join((*_NAMES, *known))}",
            )  # fmt: skip


def _named(value: bool | str | None, if_true: str, if_false: str) -> str:
    if isinstance(value, str):
        return value
    return if_true if value else if_false
