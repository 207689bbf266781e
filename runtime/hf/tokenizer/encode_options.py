"""The options of a tokenizer's call, checked once, so that none is ignored."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from halfbyte.hf.arguments import SIDES, check_count, leave_out, one_of
from halfbyte.hf.batch import check_tensor_type
from halfbyte.hf.errors import ArgumentError
from halfbyte.hf.tokenizer.token_table import TokenTable

log = logging.getLogger(__name__)

# Lengths from here on mean "none known".
LARGE_LENGTH = int(1e20)

_PADDING = ("longest", "max_length", "do_not_pad")
_TRUNCATION = ("longest_first", "only_first", "only_second", "do_not_truncate")

# Options that transformers has and that are not to be had here, with what leaves them off.
_ABSENT: dict[str, object] = {
    "stride": 0,
    "return_overflowing_tokens": False,
    "return_offsets_mapping": False,
    "text_target": None,
    "text_pair_target": None,
}


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How texts become ids and arrays; names and defaults are those of transformers.

    Attributes:
        add_special_tokens: put BOS and EOS where the model wants them.
        padding: False, True or "longest", "max_length".
        truncation: False, True or "longest_first", "only_first", "only_second".
        max_length: in tokens; None takes the tokenizer's `model_max_length`.
        pad_to_multiple_of: padding goes on to a multiple of this.
        padding_side: "left" or "right"; None takes the tokenizer's.
        return_tensors: None for lists, "np" or "pt" for arrays.
        return_attention_mask, return_token_type_ids: None does as `model_input_names` says.
        return_special_tokens_mask: say which tokens were added.
        return_length: say how many tokens there are.
        is_split_into_words: the text comes as a list of words.
        split_special_tokens: special tokens' texts are text; None takes the tokenizer's.
        verbose: warn about doubtful combinations.
    """

    add_special_tokens: bool = True
    padding: bool | str = False
    truncation: bool | str | None = None
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    padding_side: str | None = None
    return_tensors: str | None = None
    return_attention_mask: bool | None = None
    return_token_type_ids: bool | None = None
    return_special_tokens_mask: bool = False
    return_length: bool = False
    is_split_into_words: bool = False
    split_special_tokens: bool | None = None
    verbose: bool = True

    def __post_init__(self) -> None:
        one_of("padding", self.padding, (False, True, *_PADDING))
        one_of("truncation", self.truncation, (None, False, True, *_TRUNCATION))
        one_of("padding_side", self.padding_side, (None, *SIDES))
        check_tensor_type(self.return_tensors)
        check_count("max_length", self.max_length, 1)
        check_count("pad_to_multiple_of", self.pad_to_multiple_of, 1)

    @classmethod
    def read(
        cls, options: Mapping[str, Any], tokenizer: TokenTable, own: Iterable[str] = ()
    ) -> tuple[EncodeOptions, dict[str, Any]]:
        """The options of a call, resolved, and those among them that are a tokenizer's own.

        Raises:
            RequestError: an unknown option, or a value that is out of range.
        """
        known = {field.name for field in fields(cls)}
        chosen = cls(**{name: value for name, value in options.items() if name in known})
        if chosen.return_token_type_ids and not chosen.add_special_tokens:
            raise ArgumentError(
                "return_token_type_ids", expected="None where add_special_tokens is False"
            )
        rest = leave_out(options, _ABSENT, known)
        refuse_unknown(rest, own)
        return chosen.resolve(tokenizer), rest

    def resolve(self, tokenizer: TokenTable) -> EncodeOptions:
        """The same with a named strategy for padding and for truncation, and nothing unstated.

        A length alone asks for truncation. Without any length, neither is done.
        """
        padding = _named(self.padding, "longest", "do_not_pad")
        truncation = _named(self.truncation, "longest_first", "do_not_truncate")
        length, multiple = self.max_length, self.pad_to_multiple_of
        if length is not None and self.padding is False and self.truncation is None:
            self._warn("max_length=%d truncates: say truncation=True to mean it", length)
            truncation = "longest_first"
        if length is None and (padding == "max_length" or truncation != "do_not_truncate"):
            if tokenizer.model_max_length > LARGE_LENGTH:
                self._warn("no max_length, and the model states none: nothing is cut or filled")
                padding = "do_not_pad" if padding == "max_length" else padding
                truncation = "do_not_truncate"
            else:
                length = int(tokenizer.model_max_length)
        does_both = padding != "do_not_pad" and truncation != "do_not_truncate"
        if does_both and multiple and length and length % multiple:
            raise ArgumentError(
                "max_length", expected=f"a multiple of pad_to_multiple_of={multiple}, where "
                "texts are both cut and filled", got=length,
            )  # fmt: skip
        names = tokenizer.model_input_names
        defaults: dict[str, Any] = {
            "padding_side": tokenizer.padding_side,
            "split_special_tokens": tokenizer.split_special_tokens,
            "return_attention_mask": "attention_mask" in names,
            "return_token_type_ids": "token_type_ids" in names,
        }
        unstated = {name: v for name, v in defaults.items() if getattr(self, name) is None}
        return replace(self, padding=padding, truncation=truncation, max_length=length, **unstated)

    def _warn(self, text: str, *values: object) -> None:
        if self.verbose:
            log.warning(text, *values)


def refuse_unknown(options: Mapping[str, Any], known: Iterable[str] = ()) -> None:
    """Refuse options that nothing knows.

    Raises:
        RequestError: names the first.
    """
    for name in options:
        if name not in known:
            names = [*(field.name for field in fields(EncodeOptions)), *known]
            raise ArgumentError(
                name, expected="an option that this tokenizer has", got=name,
                hint=f"these are {', '.join(names)}",
            )  # fmt: skip


def _named(value: bool | str | None, if_true: str, if_false: str) -> str:
    if isinstance(value, str):
        return value
    return if_true if value else if_false
