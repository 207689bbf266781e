"""The options of a tokenizer's call, checked once, so that none is ignored."""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_args

from halfbyte.hf.batch import Side, check_tensor_type
from halfbyte.hf.errors import ArgumentError

log = logging.getLogger(__name__)

# Lengths from here on mean "none known".
LARGE_LENGTH = int(1e20)
NO_LENGTH = int(1e30)

_PADDING = ("longest", "max_length", "do_not_pad")
_TRUNCATION = ("longest_first", "only_first", "only_second", "do_not_truncate")
_SIDES = get_args(Side)

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

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> tuple[EncodeOptions, dict[str, Any]]:
        """The options, and what of them is for a model's own way of tokenizing.

        Raises:
            RequestError: a value is out of range.
        """
        known = {field.name for field in fields(cls)}
        chosen = cls(**{name: value for name, value in options.items() if name in known})
        chosen._check()
        return chosen, leave_out(options, _ABSENT, known)

    def resolve(self, model_max_length: int) -> EncodeOptions:
        """The same with a named strategy for padding and for truncation, and their length.

        A length alone asks for truncation. Without any length, neither is done.
        """
        padding = _named(self.padding, "longest", "do_not_pad")
        truncation = _named(self.truncation, "longest_first", "do_not_truncate")
        if self.max_length is not None and self.padding is False and self.truncation is None:
            self._warn("max_length=%d truncates: say truncation=True to mean it", self.max_length)
            truncation = "longest_first"
        max_length = self.max_length
        needs_length = padding == "max_length" or truncation != "do_not_truncate"
        if max_length is None and needs_length:
            if model_max_length > LARGE_LENGTH:
                self._warn("no max_length, and the model states none: nothing is cut or filled")
                padding = "do_not_pad" if padding == "max_length" else padding
                truncation = "do_not_truncate"
            else:
                max_length = int(model_max_length)
        return self._consistent(padding, truncation, max_length)

    @property
    def pads(self) -> bool:
        """Whether there is a strategy for padding; after `resolve`."""
        return self.padding != "do_not_pad"

    @property
    def truncates(self) -> bool:
        """Whether there is a strategy for truncation; after `resolve`."""
        return self.truncation != "do_not_truncate"

    def _consistent(self, padding: str, truncation: str, max_length: int | None) -> EncodeOptions:
        multiple = self.pad_to_multiple_of
        both = padding != "do_not_pad" and truncation != "do_not_truncate"
        if both and multiple is not None and max_length is not None and max_length % multiple:
            raise ArgumentError(
                "max_length", expected=f"a multiple of pad_to_multiple_of={multiple}, where "
                "texts are both cut and filled", got=max_length,
            )  # fmt: skip
        return replace(self, padding=padding, truncation=truncation, max_length=max_length)

    def _check(self) -> None:
        _one_of("padding", self.padding, (False, True, *_PADDING))
        _one_of("truncation", self.truncation, (None, False, True, *_TRUNCATION))
        _one_of("padding_side", self.padding_side, (None, *_SIDES))
        check_tensor_type(self.return_tensors)
        for name in ("max_length", "pad_to_multiple_of"):
            value = getattr(self, name)
            is_int = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and (not is_int or value < 1):
                raise ArgumentError(name, expected="a whole number from 1", got=repr(value))
        if self.return_token_type_ids and not self.add_special_tokens:
            raise ArgumentError(
                "return_token_type_ids", expected="None where add_special_tokens is False"
            )

    def _warn(self, text: str, *values: object) -> None:
        if self.verbose:
            log.warning(text, *values)


def leave_out(
    options: Mapping[str, Any], absent: Mapping[str, object], known: Container[str] = ()
) -> dict[str, Any]:
    """The options that are not known, without those of `absent` that are left off."""
    return {
        name: value
        for name, value in options.items()
        if name not in known and not (name in absent and value == absent[name])
    }


def refuse_unknown(options: Mapping[str, Any], known: tuple[str, ...] = ()) -> None:
    """Refuse options that nothing knows.

    Raises:
        RequestError: names the first.
    """
    for name in options:
        if name not in known:
            names = [field.name for field in fields(EncodeOptions)]
            raise ArgumentError(
                name, expected="an option that this tokenizer has", got=name,
                hint=f"these are {', '.join((*names, *known))}",
            )  # fmt: skip


def check_flag(name: str, value: object) -> bool:
    """A switch.

    Raises:
        RequestError: it is neither True nor False.
    """
    _one_of(name, value, (True, False))
    return bool(value)


def check_side(name: str, side: object) -> Side:
    """A side for padding or truncation.

    Raises:
        RequestError: it is neither "left" nor "right".
    """
    _one_of(name, side, _SIDES)
    return side  # type: ignore[return-value]


def _named(value: bool | str | None, if_true: str, if_false: str) -> str:
    if isinstance(value, str):
        return value
    return if_true if value else if_false


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    # 1 == True, so that is looked at as well.
    if not any(value == a and isinstance(value, bool) == isinstance(a, bool) for a in allowed):
        shown = ", ".join(map(repr, allowed))
        raise ArgumentError(name, expected=f"one of {shown}", got=repr(value))
