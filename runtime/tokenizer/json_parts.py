"""The parts of a tokenizer.json beside its vocabulary: read whole, or refused by name.

What has no effect here: "truncation" and "padding", which a call decides; "fuse_unk", as no
character is unknown where all bytes are known; how offsets are trimmed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError
from halfbyte.lazy_dataclass import dataclass

_PARTS = (
    "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
    "post_processor", "decoder", "model",
)  # fmt: skip
FLAGS = ("lstrip", "rstrip", "single_word", "normalized")
_MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Added:
    """A token that text is searched for."""

    content: str
    is_special: bool
    flags: frozenset[str] = field(default_factory=frozenset)


def check_whole(path: Path, data: Mapping[str, Any]) -> None:
    """Refuse a file that has parts of another version of the format.

    Raises:
        ConversionError: unknown parts or another version.
    """
    for name in data:
        if name not in _PARTS:
            raise ConversionError(path, name, expected=f"only {', '.join(_PARTS)}", got=data[name])
    if data.get("version", "1.0") != "1.0":
        raise ConversionError(path, "version", expected="1.0", got=data["version"])
    for name in ("truncation", "padding"):
        if not isinstance(data.get(name), (dict, type(None))):
            raise ConversionError(path, name, expected="an object or null", got=data[name])


def model_of(path: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    """The "model" of a tokenizer.json, a BPE without anything that would be lost here.

    Raises:
        ConversionError: it is another kind, or draws merges, or marks pieces by their place.
    """
    model = data.get("model")
    is_bpe = isinstance(model, dict) and model.get("type", "BPE") == "BPE"
    if not isinstance(model, dict) or not is_bpe or not isinstance(model.get("vocab"), dict):
        raise ConversionError(path, "model", expected="a BPE vocabulary", got=_kind(model))
    neutral: dict[str, tuple[object, ...]] = {
        "dropout": (None, 0),
        "continuing_subword_prefix": (None, ""),
        "end_of_word_suffix": (None, ""),
    }
    kinds: dict[str, tuple[type, ...]] = {
        "fuse_unk": (bool,), "byte_fallback": (bool,), "ignore_merges": (bool,),
        "unk_token": (str, type(None)),
    }  # fmt: skip
    for name, value in model.items():
        where = f"model.{name}"
        if name in neutral:
            if isinstance(value, bool) or not any(value == usual for usual in neutral[name]):
                raise ConversionError(path, where, expected="none", got=repr(value))
        elif name in kinds:
            if not isinstance(value, kinds[name]):
                expected = " or ".join(kind.__name__ for kind in kinds[name])
                raise ConversionError(path, where, expected=expected, got=repr(value))
        elif name not in ("type", "vocab", "merges"):
            raise ConversionError(path, where, expected="a setting of BPE", got=repr(value))
    return model


def added_tokens(path: Path, name: str, value: Any) -> dict[int, Added]:
    """The tokens of an "added_tokens" list, by id.

    Raises:
        ConversionError: they are something else, or two have one id or one text.
    """
    if value is None:
        return {}
    if not isinstance(value, list):
        raise ConversionError(path, name, expected="a list", got=repr(value))
    found: dict[int, Added] = {}
    for i, entry in enumerate(value):
        where = f"{name}[{i}]"
        if not isinstance(entry, dict):
            raise ConversionError(path, where, expected="an object", got=repr(entry))
        put_added(path, where, found, entry.get("id"), entry)
    return found


def put_added(
    path: Path, where: str, found: dict[int, Added], token_id: object, entry: object
) -> None:
    """Put one token to others; ConversionError where it is none, or like another."""
    if type(token_id) is not int or not 0 <= token_id <= _MAX_ID:
        raise ConversionError(path, f"{where}: id", expected="a token id", got=repr(token_id))
    token = added_token(path, where, entry)
    if found.get(token_id, token) != token:
        raise ConversionError(
            path, f"{where}: id {token_id}", expected="one token",
            got=repr((found[token_id].content, token.content)),
        )  # fmt: skip
    found[token_id] = token


def added_token(path: Path, where: str, entry: object) -> Added:
    """A token as its text or as an object; ConversionError where it is neither."""
    stated = {"content": entry} if isinstance(entry, str) else entry
    if not isinstance(stated, dict):
        raise ConversionError(path, where, expected="a token", got=repr(entry))
    content = checked(path, f"{where}: added token", stated.get("content"))
    if not content:
        raise ConversionError(path, f"{where}: content", expected="a text", got="an empty one")
    for flag in (*FLAGS, "special"):
        if not isinstance(stated.get(flag, False), bool):
            raise ConversionError(
                path, f"{where}: {flag}", expected="true or false", got=repr(stated[flag])
            )
    is_special = stated.get("special", True) is not False
    return Added(content, is_special, frozenset(f for f in FLAGS if stated.get(f)))


def flag_ids(added: Mapping[int, Added]) -> dict[str, tuple[int, ...]]:
    """Flag -> the ids that have it."""
    by_flag = {flag: tuple(i for i in sorted(added) if flag in added[i].flags) for flag in FLAGS}
    return {flag: ids for flag, ids in by_flag.items() if ids}


def surroundings(path: Path, spec: Any) -> tuple[list[int], list[int]] | None:
    """The ids that a "post_processor" puts before and after a text; None: it says nothing.

    Raises:
        ConversionError: it does something else to a text.
    """
    if spec is None:
        return None
    where = "post_processor"
    kind = _kind(spec)
    if kind == "Sequence" and isinstance(spec.get("processors"), list):
        found = [surroundings(path, part) for part in spec["processors"]]
        said = [one for one in found if one is not None]
        if len(said) > 1:
            raise ConversionError(path, where, expected="one that adds tokens", got=repr(spec))
        return said[0] if said else None
    if kind == "ByteLevel":
        return None
    if kind in ("RobertaProcessing", "BertProcessing"):
        return _ids(path, spec.get("cls")), _ids(path, spec.get("sep"))
    template = spec.get("single") if kind == "TemplateProcessing" else None
    if not isinstance(template, list):
        raise ConversionError(
            path, where, expected="TemplateProcessing, ByteLevel or a Sequence", got=repr(spec)
        )
    sides: tuple[list[int], list[int]] = ([], [])
    is_after = False
    for part in template:
        if part_of(part, "Sequence").get("id") == "A" and not is_after:
            is_after = True
        else:
            sides[is_after].extend(_special_ids(path, spec, part))
    if not is_after:
        raise ConversionError(path, f"{where}: single", expected="one text in it", got=template)
    return sides


def part_of(value: Any, name: str) -> Mapping[str, Any]:
    """An object within an object, or an empty one."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _special_ids(path: Path, spec: Mapping[str, Any], part: Any) -> Iterable[int]:
    name = part_of(part, "SpecialToken").get("id")
    ids = part_of(part_of(spec, "special_tokens"), name if isinstance(name, str) else "").get("ids")
    if not isinstance(ids, list) or not all(type(i) is int and 0 <= i <= _MAX_ID for i in ids):
        raise ConversionError(
            path, "post_processor: single", expected="special tokens around a text", got=repr(part)
        )
    return ids


def _ids(path: Path, pair: Any) -> list[int]:
    if isinstance(pair, list) and len(pair) == 2 and type(pair[1]) is int:
        return [pair[1]]
    raise ConversionError(path, "post_processor", expected="a token and its id", got=repr(pair))


def check_byte_level_decoder(path: Path, spec: Any) -> None:
    """Refuse a "decoder" that makes other text of pieces than their bytes; none is as good."""
    parts = spec.get("decoders") if _kind(spec) == "Sequence" else [spec]
    if isinstance(parts, list) and all(p is None or _kind(p) == "ByteLevel" for p in parts):
        return
    raise ConversionError(path, "decoder", expected="ByteLevel", got=repr(spec))


def check_space_decoder(path: Path, spec: Any, *, adds_space: bool) -> None:
    """Refuse a "decoder" that makes other text of sentencepiece's pieces than sentencepiece."""
    parts = spec.get("decoders") if _kind(spec) == "Sequence" else [spec]
    if spec is None:
        return
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    spaces = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    known = ({"type": "ByteFallback"}, {"type": "Fuse"}, strip, spaces)
    strips = False
    listed: list[Any] = parts if isinstance(parts, list) else [None]
    for part in listed:
        is_object = isinstance(part, dict)
        if is_object and part.get("type") == "Metaspace" and part.get("replacement") == "▁":
            strips |= part.get("prepend_scheme", part.get("add_prefix_space")) not in (
                "never", False
            )  # fmt: skip
        elif part in known:
            strips |= part == strip
        else:
            raise ConversionError(
                path, "decoder", expected="spaces for ▁, bytes and a Strip", got=repr(spec)
            )
    if strips != adds_space:
        expected = "one that takes off the space that is put before a text, and no other"
        raise ConversionError(path, "decoder", expected=expected, got=repr(spec))


def checked(path: Path, where: str, text: object) -> str:
    """A piece of a vocabulary: any text of whole characters.

    Raises:
        ConversionError: it is no text, or has lone surrogates.
    """
    if isinstance(text, str):
        try:
            text.encode()
            return text
        except UnicodeEncodeError:
            pass
    raise ConversionError(path, where, expected="texts without lone surrogates", got=repr(text))


def _kind(spec: Any) -> Any:
    return spec.get("type") if isinstance(spec, dict) else spec
