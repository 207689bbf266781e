"""Texts to ids: one or many, in pairs, cut and filled to a length, as lists or arrays."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from halfbyte.hf import batch
from halfbyte.hf.batch import BatchEncoding, Side
from halfbyte.hf.errors import ArgumentError
from halfbyte.hf.tokenizer_options import EncodeOptions, check_side, refuse_unknown
from halfbyte.hf.tokenizer_sequences import SequenceTokens

log = logging.getLogger(__name__)


class TextEncoding(SequenceTokens):
    """The calls that encode; how one text is cut into ids is up to the kind of vocabulary."""

    model_input_names: list[str]
    padding_side: Side
    truncation_side: Side
    split_special_tokens: bool
    # Options of a call that only this kind of tokenizer has.
    _text_options: tuple[str, ...] = ()
    _has_warned = False

    def tokenize(self, text: str, **options: Any) -> list[str]:
        """The pieces of a text."""
        raise NotImplementedError

    def _text_ids(self, text: str, is_split: bool, options: Mapping[str, Any]) -> list[int]:
        """Ids of one text; `is_split` where special tokens' texts are text."""
        raise NotImplementedError

    def __call__(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        """Encode a text, a pair of texts, or a list of either.

        Args:
            text: a text or a list of texts; with `is_split_into_words`, lists of words.
            text_pair: what follows each text as its second sequence.
            options: those of EncodeOptions, and a model's own, such as `suffix`.

        Raises:
            RequestError: an unknown option, or a value that cannot be.
            TokenizerError: text with lone surrogates.
        """
        words = bool(options.get("is_split_into_words"))
        is_list = isinstance(text, (list, tuple))
        if words and is_list:
            is_batch = bool(text) and isinstance(text[0], (list, tuple))
        else:
            is_batch = is_list
        if not is_batch:
            return self.encode_plus(_call_text(text, words), text_pair, **options)
        if text_pair is None:
            return self.batch_encode_plus(text, **options)
        if not isinstance(text_pair, (list, tuple)) or len(text_pair) != len(text):
            raise ArgumentError(
                "text_pair", expected=f"a list of {len(text)} texts", got=repr(text_pair)
            )
        return self.batch_encode_plus(list(zip(text, text_pair, strict=True)), **options)

    def encode(
        self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **options: Any
    ) -> Any:
        """The ids of a text: a list, or an array where `return_tensors` asks for one.

        Args:
            text: a text, or a list of pieces or of ids.
            text_pair: the second sequence.
            add_special_tokens: put BOS and EOS where the model wants them.
            options: see __call__.

        Raises:
            RequestError: an unknown option, or a value that cannot be.
            TokenizerError: text with lone surrogates.
        """
        options["add_special_tokens"] = add_special_tokens
        return self.encode_plus(text, text_pair, **options)["input_ids"]

    def encode_plus(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        """Encode one text or one pair; see __call__ and encode."""
        chosen, extra = self._read(options)
        ids = self._input_ids(text, "text", chosen, extra)
        pair = None if text_pair is None else self._input_ids(text_pair, "text_pair", chosen, extra)
        return self._one(ids, pair, chosen)

    def batch_encode_plus(
        self, batch_text_or_text_pairs: Sequence[Any], **options: Any
    ) -> BatchEncoding:
        """Encode a list of texts or of pairs; see __call__."""
        chosen, extra = self._read(options)
        name = "batch_text_or_text_pairs"
        if isinstance(batch_text_or_text_pairs, str):
            raise ArgumentError(name, expected="a list", got=repr(batch_text_or_text_pairs))
        pairs: list[tuple[list[int], list[int] | None]] = []
        for item in batch_text_or_text_pairs:
            first, second = _pair_of(item, chosen.is_split_into_words)
            ids = self._input_ids(first, name, chosen, extra)
            pair = None if second is None else self._input_ids(second, name, chosen, extra)
            pairs.append((ids, pair))
        return self._batch(pairs, chosen)

    def prepare_for_model(
        self, ids: Sequence[int], pair_ids: Sequence[int] | None = None, *,
        prepend_batch_axis: bool = False, **options: Any,
    ) -> BatchEncoding:  # fmt: skip
        """Put BOS and EOS to ids, cut, fill and make arrays; see __call__ for the options."""
        chosen, extra = EncodeOptions.read(options)
        refuse_unknown(extra)
        pair = None if pair_ids is None else list(pair_ids)
        return self._one(list(ids), pair, chosen, has_axis=prepend_batch_axis)

    def pad(
        self, encoded_inputs: Any, padding: bool | str = True, max_length: int | None = None,
        pad_to_multiple_of: int | None = None, padding_side: str | None = None,
        return_attention_mask: bool | None = None, return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:  # fmt: skip
        """Fill encoded sequences up to one length; arrays stay arrays of their kind.

        Args:
            encoded_inputs: a mapping with `input_ids`, one sequence or several, or a list of
                mappings.
            padding: see EncodeOptions, also for all that follow.
            max_length: at most so many tokens are filled up to.
            pad_to_multiple_of: padding goes on to a multiple of this.
            padding_side: "left" or "right".
            return_attention_mask: whether to make one.
            return_tensors: None gives the kind that came.
            verbose: warn about doubtful combinations.

        Raises:
            RequestError: there are no ids, there is no pad token, or lengths differ.
        """
        if isinstance(encoded_inputs, (list, tuple)):
            encoded_inputs = batch.columns(encoded_inputs)
        if "input_ids" not in encoded_inputs:
            raise ArgumentError("encoded_inputs", expected="input_ids", got=list(encoded_inputs))
        ids = encoded_inputs["input_ids"]
        chosen, _ = EncodeOptions.read({
            "padding": padding, "max_length": max_length, "padding_side": padding_side,
            "pad_to_multiple_of": pad_to_multiple_of, "verbose": verbose,
            "return_attention_mask": return_attention_mask, "truncation": False,
            "return_tensors": return_tensors or batch.tensor_type_of(ids),
        })  # fmt: skip
        chosen = chosen.resolve(self.model_max_length)
        data = {name: batch.to_lists(value) for name, value in encoded_inputs.items()}
        ids = data["input_ids"]
        if not ids:
            return BatchEncoding(data | ({"attention_mask": []} if return_attention_mask else {}))
        if not isinstance(ids[0], list):
            return BatchEncoding(self._padded_one(data, chosen), chosen.return_tensors)
        wrong = [name for name, value in data.items() if len(value) != len(ids)]
        if wrong:
            raise ArgumentError(wrong[0], expected=f"{len(ids)} rows", got=len(data[wrong[0]]))
        rows = [{name: value[i] for name, value in data.items()} for i in range(len(ids))]
        return self._padded_batch(rows, chosen)

    def _read(self, options: Mapping[str, Any]) -> tuple[EncodeOptions, dict[str, Any]]:
        chosen, extra = EncodeOptions.read(options)
        refuse_unknown(extra, self._text_options)
        return chosen, extra

    def _input_ids(
        self, text: Any, name: str, options: EncodeOptions, extra: Mapping[str, Any]
    ) -> list[int]:
        """Ids of a text, of words, of pieces, or as they are given."""
        stated = options.split_special_tokens
        is_split = self.split_special_tokens if stated is None else stated
        if isinstance(text, str):
            return self._text_ids(text, is_split, extra)
        items = list(text) if isinstance(text, (list, tuple)) else []
        if items and all(isinstance(item, str) for item in items):
            if not options.is_split_into_words:
                return self.convert_tokens_to_ids(items)
            return [i for word in items for i in self._text_ids(word, is_split, extra)]
        if items and all(isinstance(item, int) for item in items):
            return items
        raise ArgumentError(name, expected="a text, or a list of pieces or of ids", got=repr(text))

    def _one(
        self, ids: list[int], pair: list[int] | None, options: EncodeOptions, *,
        has_axis: bool = True,
    ) -> BatchEncoding:  # fmt: skip
        chosen = options.resolve(self.model_max_length)
        row = self._padded_one(self._row(ids, pair, chosen), chosen)
        if chosen.return_length:
            row["length"] = len(row["input_ids"])
        return BatchEncoding(row, chosen.return_tensors, prepend_batch_axis=has_axis)

    def _batch(
        self, pairs: Iterable[tuple[list[int], list[int] | None]], options: EncodeOptions
    ) -> BatchEncoding:
        chosen = options.resolve(self.model_max_length)
        rows = [self._row(ids, pair, chosen) for ids, pair in pairs]
        if chosen.return_length:
            rows = [row | {"length": len(row["input_ids"])} for row in rows]
        return self._padded_batch(rows, chosen)

    def _row(
        self, ids: list[int], pair: list[int] | None, options: EncodeOptions
    ) -> dict[str, Any]:
        """One sequence or pair: cut, with its special tokens, not yet padded."""
        adds = options.add_special_tokens
        n_added = self.num_special_tokens_to_add(pair is not None) if adds else 0
        n_over = len(ids) + len(pair or ()) + n_added - (options.max_length or 0)
        if options.truncates and n_over > 0:
            strategy, side = str(options.truncation), self.truncation_side
            ids, pair = batch.truncate(ids, pair, n_over, strategy, side)
        whole = self.build_inputs_with_special_tokens(ids, pair) if adds else ids + (pair or [])
        row: dict[str, Any] = {"input_ids": whole}
        if self._wants("token_type_ids", options.return_token_type_ids):
            types = self.create_token_type_ids_from_sequences(ids, pair)
            row["token_type_ids"] = types if adds else [0] * len(whole)
        if options.return_special_tokens_mask:
            mask = self.get_special_tokens_mask(ids, pair)
            row["special_tokens_mask"] = mask if adds else [0] * len(whole)
        if options.verbose and options.max_length is None and len(whole) > self.model_max_length:
            self._warn_of_length(len(whole))
        return row

    def _wants(self, name: str, stated: bool | None) -> bool:
        return name in self.model_input_names if stated is None else stated

    def _warn_of_length(self, n: int) -> None:
        if not self._has_warned:
            log.warning("%d tokens are more than the model's %d", n, self.model_max_length)
        self._has_warned = True

    def _pad(self, rows: list[dict[str, Any]], options: EncodeOptions) -> list[dict[str, Any]]:
        """Attention masks, and rows of one length where the options ask for it."""
        if self._wants("attention_mask", options.return_attention_mask):
            for row in rows:
                row.setdefault("attention_mask", [1] * len(row["input_ids"]))
        if not options.pads or not rows:
            return rows
        pad_id = self._filler_id()
        longest = max(len(row["input_ids"]) for row in rows)
        wanted = longest if options.padding == "longest" else (options.max_length or longest)
        length = batch.round_up(wanted, options.pad_to_multiple_of)
        fillers = {
            "input_ids": pad_id, "attention_mask": 0,
            "token_type_ids": self.pad_token_type_id, "special_tokens_mask": 1,
        }  # fmt: skip
        side = check_side("padding_side", options.padding_side or self.padding_side)
        return [batch.pad_one(row, length, side, fillers) for row in rows]

    def _padded_one(self, row: dict[str, Any], options: EncodeOptions) -> dict[str, Any]:
        """A single row; one without any token stays so, as with transformers."""
        if options.pads:
            self._filler_id()
        pads = options if row["input_ids"] else replace(options, padding="do_not_pad")
        return self._pad([row], pads)[0]

    def _filler_id(self) -> int:
        pad_id = self.pad_token_id
        if pad_id is None:
            raise ArgumentError(
                "padding", expected="a tokenizer with a pad token", got="none",
                hint="set one: tokenizer.pad_token = tokenizer.eos_token",
            )  # fmt: skip
        return pad_id

    def _padded_batch(self, rows: list[dict[str, Any]], options: EncodeOptions) -> BatchEncoding:
        names = ["input_ids", *(["attention_mask"] if not rows else [])]
        data = batch.columns(self._pad(rows, options)) or {name: [] for name in names}
        return BatchEncoding(data, options.return_tensors)


def _pair_of(item: Any, words: bool) -> tuple[Any, Any]:
    """A batch's item as two sequences, the second None where it is no pair."""
    if not isinstance(item, (list, tuple)):
        return item, None
    if words and not (item and isinstance(item[0], (list, tuple))):
        return item, None
    if len(item) != 2:
        raise ArgumentError(
            "batch_text_or_text_pairs",
            expected="texts, or pairs of two",
            got=repr(item),
            hint="for lists of words say is_split_into_words=True",
        )
    return item[0], item[1]


def _call_text(text: Any, words: bool) -> Any:
    """What a call takes as one text: ids and pieces are for `encode`."""
    if isinstance(text, str) or (words and isinstance(text, (list, tuple))):
        return text
    raise ArgumentError("text", expected="a text or a list of texts", got=repr(text))
