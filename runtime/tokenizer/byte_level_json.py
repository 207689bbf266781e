"""A byte-level tokenizer.json as a vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError
from halfbyte.tokenizer.from_json import merges_of, pieces_by_id
from halfbyte.tokenizer.json_parts import Added, check_byte_level_decoder
from halfbyte.tokenizer.pretokenizers import pre_tokenizer_name
from halfbyte.tokenizer.vocabulary import NO_NORMALIZER, NORMAL, Vocabulary


def is_byte_level(data: Mapping[str, Any]) -> bool:
    """Whether text becomes bytes before it is merged."""
    return any(_kind(step) == "ByteLevel" for step in _steps(data.get("pre_tokenizer")))


def read_byte_level(path: Path, data: Mapping[str, Any], model: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a tokenizer.json, without the tokens that were added to it.

    Raises:
        ConversionError: something that it says can't be kept.
    """
    from halfbyte.tokenizer.bpe import BYTES  # imports the package
    from halfbyte.tokenizer.normalization import Normalizer

    texts = pieces_by_id(path, model.get("vocab"))
    check_byte_level_decoder(path, data.get("decoder"))
    cutter = data.get("pre_tokenizer")
    pre = pre_tokenizer_name(path, cutter)
    steps = [_kind(step) for step in _steps(cutter)]
    if steps.count("ByteLevel") != 1 or steps[-1] != "ByteLevel":
        raise ConversionError(
            path, "pre_tokenizer", expected="one ByteLevel, at the end", got=repr(cutter)
        )
    unknown, missing = model.get("unk_token"), BYTES.keys() - set(texts)
    if missing and (unknown or model.get("byte_fallback")):
        name = "unk_token" if unknown else "byte_fallback"
        raise ConversionError(
            path, f"model.{name}", expected="none where bytes have no piece", got=model[name]
        )
    normalizer = Normalizer(data.get("normalizer"), _refusal(path))
    merges = [" ".join(pair).encode() for pair in merges_of(path, model.get("merges", []))]
    return Vocabulary(
        str(path), "gpt2", [text.encode() for text in texts], [NORMAL] * len(texts), [], merges,
        pre, add_space_prefix=False, normalizer=normalizer.text,
        ignore_merges=bool(model.get("ignore_merges")),
    )  # fmt: skip


def check_normalized(path: Path, v: Vocabulary, added: Mapping[int, Added]) -> None:
    """Refuse added tokens that the normalizer makes one of, or nothing: any of them may be found.

    Raises:
        ConversionError: there are such.
    """
    from halfbyte.tokenizer.normalization import Normalizer

    backend = Normalizer.of_text(v.normalizer or NO_NORMALIZER, _refusal(path)).backend
    if backend is None:
        return
    known: dict[str, str] = {"": "nothing"}
    for token in added.values():
        if "normalized" in token.flags:
            other = known.setdefault(backend.normalize_str(token.content), token.content)
            if other != token.content:
                raise ConversionError(
                    path, f"added token {token.content!r}", got=other,
                    expected="one that the normalizer tells from others",
                )  # fmt: skip


def _refusal(path: Path) -> Callable[[str, object], ConversionError]:
    return lambda expected, got: ConversionError(
        path, "normalizer", expected=expected, got=repr(got)
    )


def _steps(cutter: Any) -> list[Any]:
    """The steps of a "pre_tokenizer", those of sequences in their place."""
    parts = cutter.get("pretokenizers") if _kind(cutter) == "Sequence" else None
    if not isinstance(parts, list):
        return [cutter]
    return [step for part in parts for step in _steps(part)]


def _kind(spec: Any) -> Any:
    return spec.get("type") if isinstance(spec, dict) else None
