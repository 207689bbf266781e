"""Texts to an encoding: ids cut to a length, with BOS and EOS, filled, as lists or arrays.

On the way a text is a row: lists by name, `input_ids` and others that are as long.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from halfbyte.call_arguments import is_whole
from halfbyte.hf.arguments import Side
from halfbyte.hf.batch import BatchEncoding, tensor_type_of, to_lists
from halfbyte.hf.errors import ArgumentError
from halfbyte.hf.tokenizer.encode_options import EncodeOptions
from halfbyte.hf.tokenizer.token_table import TokenTable

log = logging.getLogger(__name__)

_Row = dict[str, Any]
_Pair = tuple[list[int], list[int] | None]


def encode(
    tokenizer: TokenTable, name: str, texts: Iterable[tuple[Any, Any]],
    options: Mapping[str, Any], *, is_batch: bool, is_plain: bool = False,
) -> BatchEncoding:  # fmt: skip
    """Encode texts and what follows each, or None.

    `name` is the argument of the call, for errors; `is_batch` tells whether it is a list;
    `is_plain` takes texts as they are, so that none is a prompt for infilling.
    """
    chosen, own = EncodeOptions.read(options, tokenizer, tokenizer.text_options)
    own |= {"fills": False} if is_plain else {}

    def ids_of(name: str, text: Any) -> list[int]:
        is_split = bool(chosen.split_special_tokens)
        if isinstance(text, str):
            return tokenizer.text_ids(text, is_split, own)
        items = list(text) if isinstance(text, (list, tuple)) else []
        if items and all(isinstance(item, str) for item in items):
            if not chosen.is_split_into_words:
                return tokenizer.convert_tokens_to_ids(items)
            return [i for word in items for i in tokenizer.text_ids(word, is_split, own)]
        if items and all(is_whole(item) for item in items):
            return [int(item) for item in items]
        expected = "a text, or a list of pieces or of ids"
        raise ArgumentError(name, expected=expected, got=repr(text))

    pairs = [
        (ids_of(name, text), None if pair is None else ids_of("text_pair", pair))
        for text, pair in texts
    ]
    return finish(tokenizer, pairs, chosen, is_batch=is_batch)


def zip_pairs(texts: Sequence[Any], text_pairs: Any) -> list[Any]:
    """Texts with what follows each, if anything does; raises where there are not as many."""
    if text_pairs is None:
        return list(texts)
    if not isinstance(text_pairs, (list, tuple)) or len(text_pairs) != len(texts):
        expected = f"a list of {len(texts)} texts"
        raise ArgumentError("text_pair", expected=expected, got=repr(text_pairs))
    return list(zip(texts, text_pairs, strict=True))


def split_pairs(name: str, batch: Any, words: bool) -> Iterator[tuple[Any, Any]]:
    """A batch's items as two texts, the second None where an item is no pair."""
    if isinstance(batch, str):
        raise ArgumentError(name, expected="a list", got=repr(batch))
    for item in batch:
        is_list = isinstance(item, (list, tuple))
        if not is_list or (words and not (item and isinstance(item[0], (list, tuple)))):
            yield item, None
        elif len(item) == 2:
            yield item[0], item[1]
        else:
            hint = "for lists of words say is_split_into_words=True"
            raise ArgumentError(name, expected="texts, or pairs of two", got=repr(item), hint=hint)


def finish(
    tokenizer: TokenTable, pairs: Iterable[_Pair], options: EncodeOptions, *,
    is_batch: bool, has_axis: bool = True,
) -> BatchEncoding:  # fmt: skip
    """Encode sequences or pairs of ids; `has_axis` where arrays of a single one have two axes."""
    rows = [_row(tokenizer, *pair, options) for pair in pairs]
    limit = tokenizer.model_max_length
    too_long = [n for row in rows if (n := len(row["input_ids"])) > limit]
    if too_long and options.verbose and options.max_length is None and not tokenizer.has_warned:
        log.warning("%d tokens are more than the model's %d", too_long[0], limit)
        tokenizer.has_warned = True
    return _to_encoding(tokenizer, rows, options, is_batch, has_axis)


def pad(tokenizer: TokenTable, encoded: Any, options: Mapping[str, Any]) -> BatchEncoding:
    """Fill encoded sequences, one or several, up to one length; see PreTrainedTokenizer.pad."""
    chosen = EncodeOptions(tokenizer, **options)
    given = _columns(encoded) if isinstance(encoded, (list, tuple)) else encoded
    if "input_ids" not in given:
        raise ArgumentError("encoded_inputs", expected="input_ids", got=list(given))
    data = {name: to_lists(value) for name, value in given.items()}
    ids = data["input_ids"]
    if not ids:
        masks: dict[str, Any] = {"attention_mask": []} if options["return_attention_mask"] else {}
        return BatchEncoding(data | masks)
    chosen.return_tensors = chosen.return_tensors or tensor_type_of(given["input_ids"])
    if not isinstance(ids[0], list):
        return _to_encoding(tokenizer, [data], chosen, is_batch=False, has_axis=False)
    for name, value in data.items():
        if len(value) != len(ids):
            raise ArgumentError(name, expected=f"{len(ids)} rows", got=len(value))
    rows = [{name: value[i] for name, value in data.items()} for i in range(len(ids))]
    return _to_encoding(tokenizer, rows, chosen, is_batch=True)


def one_sequence(token_ids: Any) -> list[int]:
    """An id, or a list or array of ids, as a list; raises RequestError for anything else."""
    ids = to_lists(token_ids)
    ids = [int(ids)] if is_whole(ids) else ids
    if not isinstance(ids, list) or not all(is_whole(i) for i in ids):
        raise ArgumentError(
            "token_ids", expected="the ids of one sequence", got=repr(token_ids),
            hint="for several sequences use batch_decode",
        )  # fmt: skip
    return ids


def _columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Mappings with the same names as one mapping of lists."""
    collected: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            collected.setdefault(name, []).append(value)
    return collected


def truncate(ids: list[int], pair: list[int] | None, n: int, strategy: str, side: Side) -> _Pair:
    """A sequence, or a pair of them, shorter by n tokens.

    "longest_first" takes from the longer one until both are equally long, and then from both in
    turn. A sequence that is not longer than what it should lose is left whole, which is logged:
    as with transformers.
    """
    if strategy == "longest_first" and pair is not None:
        n_alone = min(abs(len(ids) - len(pair)), n)
        n_half = (n - n_alone) // 2
        is_longer = len(ids) > len(pair)
        n_first = n_half + (n_alone if is_longer else 0)
        n_second = n - n_first
    else:
        n_first, n_second = (0, n) if strategy == "only_second" else (n, 0)
        n_has = len(ids if n_first else pair or ())
        if n_has <= n:
            log.error("%d tokens cannot be taken from %d: not truncated", n, n_has)
            return ids, pair
    return _cut(ids, n_first, side), None if pair is None else _cut(pair, n_second, side)


def _cut(ids: list[int], n: int, side: Side) -> list[int]:
    return ids[: max(len(ids) - n, 0)] if side == "right" else ids[n:]


def _row(
    tokenizer: TokenTable, ids: list[int], pair: list[int] | None, options: EncodeOptions
) -> _Row:
    """One sequence or pair: cut, with its special tokens, not yet filled."""
    adds = options.add_special_tokens
    n_added = tokenizer.num_special_tokens_to_add(pair is not None) if adds else 0
    n_over = len(ids) + len(pair or ()) + n_added - (options.max_length or 0)
    if options.truncation != "do_not_truncate" and n_over > 0:
        strategy, side = str(options.truncation), tokenizer.truncation_side
        ids, pair = truncate(ids, pair, n_over, strategy, side)
    whole = tokenizer.build_inputs_with_special_tokens(ids, pair) if adds else ids + (pair or [])
    row: _Row = {"input_ids": whole}
    if options.return_token_type_ids:
        types = tokenizer.create_token_type_ids_from_sequences(ids, pair)
        row["token_type_ids"] = types if adds else [0] * len(whole)
    if options.return_special_tokens_mask:
        mask = tokenizer.get_special_tokens_mask(ids, pair)
        row["special_tokens_mask"] = mask if adds else [0] * len(whole)
    return row


def _to_encoding(
    tokenizer: TokenTable, rows: Sequence[_Row], options: EncodeOptions,
    is_batch: bool, has_axis: bool = True,
) -> BatchEncoding:  # fmt: skip
    if options.return_attention_mask:
        for row in rows:
            row.setdefault("attention_mask", [1] * len(row["input_ids"]))
    pads = options.padding != "do_not_pad" and bool(rows)
    filled = _filled(tokenizer, rows, options) if pads else rows
    if is_batch:
        if options.return_length:
            n_tokens = [len(row["input_ids"]) for row in rows]
            filled = [row | {"length": n} for row, n in zip(filled, n_tokens, strict=True)]
        data = _columns(filled) or {"input_ids": [], "attention_mask": []}
        return BatchEncoding(data, options.return_tensors)
    # One without any token stays so, as with transformers.
    row = dict(filled[0] if rows[0]["input_ids"] else rows[0])
    if options.return_length:
        row["length"] = len(row["input_ids"])
    return BatchEncoding(row, options.return_tensors, prepend_batch_axis=has_axis)


def _filled(tokenizer: TokenTable, rows: Sequence[_Row], options: EncodeOptions) -> list[_Row]:
    """Rows of one length; those that are longer stay as long."""
    if tokenizer.pad_token_id is None:
        raise ArgumentError(
            "padding", expected="a tokenizer with a pad token", got="none",
            hint="set one: tokenizer.pad_token = tokenizer.eos_token",
        )  # fmt: skip
    fillers = {
        "input_ids": tokenizer.pad_token_id, "attention_mask": 0,
        "token_type_ids": tokenizer.pad_token_type_id, "special_tokens_mask": 1,
    }  # fmt: skip
    longest = max(len(row["input_ids"]) for row in rows)
    wanted = longest if options.padding == "longest" else (options.max_length or longest)
    multiple = options.pad_to_multiple_of or 1
    length = -(-wanted // multiple) * multiple
    filled = []
    for row in rows:
        n, row = length - len(row["input_ids"]), dict(row)
        for name in fillers.keys() & row.keys():
            filling = [fillers[name]] * n
            on_right = options.padding_side == "right"
            row[name] = row[name] + filling if on_right else filling + row[name]
        filled.append(row)
    return filled
