"""Texts to an encoding: ids cut to a length, with BOS and EOS, filled, as lists or arrays.

On the way a text is a row: lists by name, `input_ids` and others that are as long.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from halfbyte.call_arguments import is_whole
from halfbyte.errors import RequestError
from halfbyte.hf.alignment import NOWHERE, Alignment, Tokens
from halfbyte.hf.arguments import Side
from halfbyte.hf.batch import BatchEncoding, tensor_type_of, to_lists
from halfbyte.hf.tokenizer.encode_options import EncodeOptions
from halfbyte.hf.tokenizer.token_table import TokenTable

log = logging.getLogger(__name__)

_Row = dict[str, Any]
_Pair = tuple[Tokens, Tokens | None]
_PLACES = ("offset_mapping", "word_ids", "sequence_ids")  # of a row, as Alignment has them


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

    def tokens_of(name: str, text: Any) -> Tokens:
        is_split = bool(chosen.split_special_tokens)
        if isinstance(text, str):
            return tokenizer.text_tokens(text, is_split, own)
        items = list(text) if isinstance(text, (list, tuple)) else []
        if items and all(isinstance(item, str) for item in items):
            if not chosen.is_split_into_words:
                return Tokens.of_ids(tokenizer.convert_tokens_to_ids(items))
            whole = Tokens()
            for i, word in enumerate(items):
                whole.extend(tokenizer.text_tokens(word, is_split, own).of(word=i))
            return whole
        if items and all(is_whole(item) for item in items):
            return Tokens.of_ids([int(item) for item in items])
        expected = "a text, or a list of pieces or of ids"
        raise RequestError(name, expected=expected, got=repr(text))

    pairs = [
        (tokens_of(name, text), None if pair is None else tokens_of("text_pair", pair))
        for text, pair in texts
    ]
    return finish(tokenizer, pairs, chosen, is_batch=is_batch)


def zip_pairs(texts: Sequence[Any], text_pairs: Any) -> list[Any]:
    """Texts with what follows each, if anything does; raises where there are not as many."""
    if text_pairs is None:
        return list(texts)
    if not isinstance(text_pairs, (list, tuple)) or len(text_pairs) != len(texts):
        expected = f"a list of {len(texts)} texts"
        raise RequestError("text_pair", expected=expected, got=repr(text_pairs))
    return list(zip(texts, text_pairs, strict=True))


def split_pairs(name: str, batch: Any, words: bool) -> Iterator[tuple[Any, Any]]:
    """A batch's items as two texts, the second None where an item is no pair."""
    if isinstance(batch, str):
        raise RequestError(name, expected="a list", got=repr(batch))
    for item in batch:
        is_list = isinstance(item, (list, tuple))
        if not is_list or (words and not (item and isinstance(item[0], (list, tuple)))):
            yield item, None
        elif len(item) == 2:
            yield item[0], item[1]
        else:
            hint = "for lists of words say is_split_into_words=True"
            raise RequestError(name, expected="texts, or pairs of two", got=repr(item), hint=hint)


def finish(
    tokenizer: TokenTable, pairs: Iterable[_Pair], options: EncodeOptions, *,
    is_batch: bool, has_axis: bool = True,
) -> BatchEncoding:  # fmt: skip
    """Encode sequences or pairs of ids; `has_axis` where arrays of a single one have two axes."""
    rows = []
    for sample, pair in enumerate(pairs):
        made = [_row(tokenizer, *w, options) for w in _windows(tokenizer, *pair, options)]
        if options.return_overflowing_tokens:
            is_batch = True
            for row in made:
                row["overflow_to_sample_mapping"] = sample
        rows += made
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
        raise RequestError("encoded_inputs", expected="input_ids", got=list(given))
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
            raise RequestError(name, expected=f"{len(ids)} rows", got=len(value))
    rows = [{name: value[i] for name, value in data.items()} for i in range(len(ids))]
    return _to_encoding(tokenizer, rows, chosen, is_batch=True)


def one_sequence(token_ids: Any) -> list[int]:
    """An id, or a list or array of ids, as a list; raises RequestError for anything else."""
    ids = to_lists(token_ids)
    ids = [int(ids)] if is_whole(ids) else ids
    if not isinstance(ids, list) or not all(is_whole(i) for i in ids):
        raise RequestError(
            "token_ids", expected="ids, or lists of them", got=repr(token_ids)
        )  # fmt: skip
    return ids


def _columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Mappings with the same names as one mapping of lists."""
    collected: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            collected.setdefault(name, []).append(value)
    return collected


def truncate(ids: Tokens, pair: Tokens | None, n: int, strategy: str, side: Side) -> _Pair:
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
        n_has = len(ids if n_first or pair is None else pair)
        if n_has <= n:
            log.error("%d tokens cannot be taken from %d: not truncated", n, n_has)
            return ids, pair
    return _cut(ids, n_first, side), None if pair is None else _cut(pair, n_second, side)


def _cut(tokens: Tokens, n: int, side: Side) -> Tokens:
    n_all = len(tokens)
    return tokens.cut(0, max(n_all - n, 0)) if side == "right" else tokens.cut(n, n_all)


def _windows(
    tokenizer: TokenTable, tokens: Tokens, pair: Tokens | None, options: EncodeOptions
) -> list[_Pair]:
    """A sequence or pair, cut if need be; where what is cut off counts, further ones of it."""
    adds = options.add_special_tokens
    n_added = tokenizer.num_special_tokens_to_add(pair is not None) if adds else 0
    n_pair = 0 if pair is None else len(pair)
    n_over = len(tokens) + n_pair + n_added - (options.max_length or 0)
    if options.truncation == "do_not_truncate" or n_over <= 0:
        return [(tokens, pair)]
    strategy, side = str(options.truncation), tokenizer.truncation_side
    if not options.return_overflowing_tokens:
        return [truncate(tokens, pair, n_over, strategy, side)]
    if strategy == "longest_first" and pair is not None:
        expected = "'only_first' or 'only_second' where parts of a pair overflow"
        raise RequestError("truncation", expected=expected, got=strategy)
    cuts_pair = strategy == "only_second" and pair is not None
    long = pair if pair is not None and cuts_pair else tokens
    n_kept = len(long) - n_over
    if not 0 <= options.stride < n_kept:
        expected = f"less than the {max(n_kept, 0)} tokens that max_length leaves to a part"
        raise RequestError("stride", expected=expected, got=options.stride)
    parts = [long.cut(*ends) for ends in _ends(len(long), n_kept, n_kept - options.stride, side)]
    return [(tokens, part) if cuts_pair else (part, pair) for part in parts]


def _ends(n: int, n_kept: int, step: int, side: Side) -> Iterator[tuple[int, int]]:
    """Where parts of n tokens begin and end, from the side that stays when one is cut."""
    for begin in range(0, n, step):
        end = min(begin + n_kept, n)
        yield (begin, end) if side == "right" else (n - end, n - begin)
        if end == n:
            return


def _row(
    tokenizer: TokenTable, tokens: Tokens, second: Tokens | None, options: EncodeOptions
) -> _Row:
    """One sequence or pair with its special tokens, not yet filled."""
    adds, ids = options.add_special_tokens, tokens.ids
    pair = None if second is None else second.ids
    whole = tokenizer.build_inputs_with_special_tokens(ids, pair) if adds else ids + (pair or [])
    row: _Row = {"input_ids": whole}
    special = tokenizer.get_special_tokens_mask(ids, pair) if adds else [0] * len(whole)
    both = Tokens()
    both.extend(tokens)
    if second is not None:
        both.extend(second.of(sequence=1))
    if both.is_located:
        placed = both.spread(special, whole)
        row |= zip(_PLACES, (placed.spans, placed.words, placed.sequences), strict=True)
    if options.return_token_type_ids:
        types = tokenizer.create_token_type_ids_from_sequences(ids, pair)
        row["token_type_ids"] = types if adds else [0] * len(whole)
    if options.return_special_tokens_mask:
        row["special_tokens_mask"] = special
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
        alignments = _take_alignments(tokenizer, filled, options)
        data = _columns(filled) or {"input_ids": [], "attention_mask": []}
        return BatchEncoding(data, options.return_tensors, alignments=alignments)
    # One without any token stays so, as with transformers.
    row = dict(filled[0] if rows[0]["input_ids"] else rows[0])
    if options.return_length:
        row["length"] = len(row["input_ids"])
    alignments = _take_alignments(tokenizer, [row], options)
    return BatchEncoding(row, options.return_tensors, has_axis, alignments)


def _take_alignments(
    tokenizer: TokenTable, rows: Sequence[_Row], options: EncodeOptions
) -> list[Alignment] | None:
    """Where the tokens of rows come from, taken out of them; None where there are no texts."""
    if any(name not in row for row in rows for name in _PLACES):
        if options.return_offsets_mapping:
            got = "ids or pieces"
            raise RequestError("return_offsets_mapping", expected="False, or texts", got=got)
        return None
    alignments = []
    for row in rows:
        ids: list[int] = row["input_ids"]
        pieces = tokenizer.convert_ids_to_tokens(ids)
        alignments.append(Alignment(pieces, *(row.pop(name) for name in _PLACES)))
        if options.return_offsets_mapping:
            row["offset_mapping"] = alignments[-1].spans
    return alignments


def _filled(tokenizer: TokenTable, rows: Sequence[_Row], options: EncodeOptions) -> list[_Row]:
    """Rows of one length; those that are longer stay as long."""
    if tokenizer.pad_token_id is None:
        raise RequestError(
            "padding", expected="a tokenizer with a pad token", got="none",
            hint="set one: tokenizer.pad_token = tokenizer.eos_token",
        )  # fmt: skip
    fillers = {
        "input_ids": tokenizer.pad_token_id, "attention_mask": 0,
        "token_type_ids": tokenizer.pad_token_type_id, "special_tokens_mask": 1,
        **dict(zip(_PLACES, (NOWHERE, None, None), strict=True)),
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
