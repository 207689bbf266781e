"""A prompt for an edit that a client laid out itself, as Zed and cursortab do.

The format's own marks become tokens, as the client means them; any other control token's text is
text. What the answer would be if nothing changed is found in the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from halfbyte.errors import ContextLengthError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.edit.edit_format import EditFormat
from halfbyte.prompt.edit.marked_text import Marker, encode_pieces
from halfbyte.results import Result
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.tokenizer import check_text


@dataclass(frozen=True, slots=True)
class ClientPrompt(Result):
    """What `complete` takes for it.

    Attributes:
        format: whose layout it has.
        tokens: the prompt.
        draft: the answer that would change nothing, for `prediction`.
        stop: texts that end an answer in this format.
        stop_tokens: tokens that do, besides those that end any text.
    """

    format: str
    tokens: list[int]
    draft: str
    stop: tuple[str, ...]
    stop_tokens: tuple[int, ...]


def client_prompt(
    tokenizer: Tokenizer, formats: Iterable[EditFormat], prompt: str, n_ctx: int
) -> ClientPrompt | None:
    """A text as a prompt in the first of the formats that it is laid out in; None if it is in none.

    Raises:
        TokenizerError: lone surrogates. ContextLengthError: it is far longer than the context.
    """
    check_text(prompt, "prompt")
    for one in formats:
        if any(tokenizer.id_of(text) is None for text in one.tokens):
            continue
        draft = one.draft_in(prompt)
        if draft is not None:
            n_least = len(prompt.encode()) // tokenizer.max_piece_nbytes
            if n_least > n_ctx:
                raise ContextLengthError(n_least, n_ctx)
            return ClientPrompt(
                one.name, _tokens(tokenizer, one, prompt), draft, one.stop_texts,
                tuple(i for text in one.stop_tokens if (i := tokenizer.id_of(text)) is not None),
            )  # fmt: skip
    return None


def _tokens(tokenizer: Tokenizer, chosen: EditFormat, prompt: str) -> list[int]:
    parts = re.split(f"({chosen.marks})", prompt)
    pieces = [Marker(part) if i % 2 else part for i, part in enumerate(parts)]
    tokens = encode_pieces(tokenizer, pieces)
    has_bos = tokenizer.add_bos and tokenizer.bos_id is not None
    return [tokenizer.bos_id, *tokens] if has_bos else tokens  # type: ignore[list-item]
