"""A prompt and its continuations as token ids, and where what is scored begins.

The continuation of a text is encoded with it, since a model has learned from whole texts: where a
token would reach over the end of the prompt, it belongs to what is scored. So each continuation is
scored behind the first tokens that the prompt has alone and with it, whatever others are scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from halfbyte.call_arguments import check_flag
from halfbyte.errors import ContextLengthError, RequestError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.inputs import Prompt, as_list, check_ids
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.tokenizer import check_text


@dataclass(frozen=True, slots=True)
class ScoredPrompt:
    """What is to be scored.

    Attributes:
        texts: the ids of the prompt and each continuation.
        n_given: of each, how many of the first ids are not scored.
        is_list: whether the caller gets a list.
    """

    texts: list[list[int]]
    n_given: list[int]
    is_list: bool


def scored_prompt(
    tokenizer: Tokenizer,
    n_ctx: int,
    prompt: Prompt,
    continuations: Prompt | Iterable[Prompt],
    *,
    parse_markers: bool = False,
) -> ScoredPrompt:
    """Check and encode them; texts follow texts, and ids follow ids or texts.

    Raises:
        RequestError: an argument of the wrong type, a prompt without a token, an empty
            continuation, or a text behind ids; ContextLengthError: one is too long.
        TokenizerError: a text holds lone surrogates.
    """
    check_flag("parse_markers", parse_markers)
    given = _given(tokenizer, prompt, parse_markers)
    if isinstance(continuations, (list, tuple)) and not continuations:
        return ScoredPrompt([], [], True)
    items, is_list = as_list(continuations, "continuations")
    texts, n_given = [], []
    for i, item in enumerate(items):
        name = f"continuations[{i}]" if is_list else "continuations"
        if isinstance(item, str):
            whole = _followed(tokenizer, prompt, item, name, parse_markers)
            n = _n_common(given, whole, len(whole) - 1)
        else:
            whole, n = [*given, *check_ids(item, name, tokenizer.n_vocab)], len(given)
        if len(whole) > n_ctx:
            raise ContextLengthError(len(whole), n_ctx, param=name)
        if not n:
            raise RequestError(
                "prompt", expected=f"a token that it has with {name} too",
                got="a text whose first token is another one then",
                hint="give a longer prompt, or token ids",
            )  # fmt: skip
        texts.append(whole)
        n_given.append(n)
    return ScoredPrompt(texts, n_given, is_list)


def _given(tokenizer: Tokenizer, prompt: object, parse_markers: bool) -> list[int]:
    """The prompt's ids alone; an empty text is BOS."""
    if not isinstance(prompt, str):
        return check_ids(prompt, "prompt", tokenizer.n_vocab)
    check_text(prompt, "prompt")
    given = tokenizer.encode(prompt, parse_markers=parse_markers)
    if not given:
        raise RequestError("prompt", expected="some text, as there is no BOS", got="an empty text")
    return given


def _followed(
    tokenizer: Tokenizer, prompt: Prompt, text: str, name: str, parse_markers: bool
) -> list[int]:
    if not text:
        raise RequestError(name, expected="some text", got="an empty text")
    check_text(text, name)
    if isinstance(prompt, str):
        return tokenizer.encode(prompt + text, parse_markers=parse_markers)
    raise RequestError(
        name, expected="token ids, as the prompt has them", got=text,
        hint="tokenizer.encode_fragment gives those of a text",
    )  # fmt: skip


def _n_common(a: Sequence[int], b: Sequence[int], most: int) -> int:
    """How many first ids are the same, `most` at most."""
    n = 0
    for n, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return min(n, most)
    return min(len(a), len(b), most)
