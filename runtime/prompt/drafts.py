"""What a caller says that an answer may repeat, as token ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halfbyte.call_arguments import check_flag
from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.inputs import as_list, check_ids
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.tokenizer import check_text

_NAMES = ("prediction", "lookup", "speculate")


@dataclass(frozen=True, slots=True)
class Drafts:
    """Checked when read from a call's options; see docs/speculation.md.

    Attributes:
        prediction: ids of what the answer is expected to be: most of it comes, in this order;
            None where the caller says nothing.
        lookup: ids of texts of which it may have parts.
        speculate: whether anything is guessed at all.
    """

    prediction: list[int] | None
    lookup: list[list[int]]
    speculate: bool

    @classmethod
    def split(
        cls, tokenizer: Tokenizer, options: Mapping[str, Any]
    ) -> tuple[Drafts, dict[str, Any]]:
        """The drafts among a call's options, and the other options.

        Raises:
            RequestError: a value of the wrong type, or an id out of range.
            TokenizerError: a text holds lone surrogates.
        """
        rest = dict(options)
        given = {name: rest.pop(name) for name in _NAMES if name in rest}
        prediction, lookup = given.get("prediction"), given.get("lookup")
        texts = [] if lookup is None or _is_empty(lookup) else as_list(lookup, "lookup")[0]
        return cls(
            None if prediction is None else _ids(tokenizer, prediction, "prediction"),
            [_ids(tokenizer, text, f"lookup[{i}]") for i, text in enumerate(texts)],
            check_flag("speculate", given.get("speculate", True)),
        ), rest


def _is_empty(lookup: Any) -> bool:
    return isinstance(lookup, (list, tuple, str)) and not lookup


def _ids(tokenizer: Tokenizer, text: Any, name: str) -> list[int]:
    if not isinstance(text, str):
        if isinstance(text, (list, tuple)) and not text:
            return []
        return check_ids(text, name, tokenizer.n_vocab)
    check_text(text, name)
    return tokenizer.encode_fragment(text)
