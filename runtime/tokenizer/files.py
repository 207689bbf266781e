"""Tokenizer files of a Hugging Face folder to a vocabulary.

`tokenizer.model` (sentencepiece), or a `tokenizer.json` that was made of one, gives a "llama"
vocabulary, a byte-level BPE `tokenizer.json` a "gpt2" one. Ids of special tokens come from the
texts that tokenizer_config.json names, else from config.json and generation_config.json;
infilling tokens are found by their own text.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError, MissingFileError
from halfbyte.file_kinds import is_json, refused
from halfbyte.file_names import refusal
from halfbyte.json_folder import JSONFolder, check_regular
from halfbyte.tokenizer.from_json import checked, merges_of, pieces_by_id, read_sentencepieces
from halfbyte.tokenizer.pretokenizers import pre_tokenizer_name
from halfbyte.tokenizer.replaced_pieces import check_replaced
from halfbyte.tokenizer.vocabulary import (
    CONTROL,
    END_PIECES,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Vocabulary,
)

log = logging.getLogger(__name__)

# Role -> the piece of Code Llama's vocabulary.
_INFILL = {"fim_pre": "▁<PRE>", "fim_suf": "▁<SUF>", "fim_mid": "▁<MID>", "eot": "▁<EOT>"}

_OTHER_TOKENIZERS = (
    "tiktoken's files, and vocab.json alone, are not read: have transformers write a "
    "tokenizer.json, with AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
)


def read_vocabulary(path: str | os.PathLike[str], n_rows: int | None = None) -> Vocabulary:
    """The vocabulary of a folder, or of a tokenizer.model or tokenizer.json alone.

    Args:
        path: a folder or one of these files, whose neighbours are read as well.
        n_rows: rows of the model's embedding; missing tokens are filled in as unused ones.

    Raises:
        MissingFileError: nothing lies there.
        ConversionError: there is no tokenizer, it is of an unknown kind, or does not fit.
    """
    path = Path(path)
    names = ("tokenizer.model", "tokenizer.json")
    if not os.path.exists(path):  # which is false for a name that cannot be
        got = refusal(path) or "nothing there"
        raise MissingFileError(path, expected="a tokenizer's file or folder", got=got)
    folder = JSONFolder(path if path.is_dir() else path.parent)
    found = [path] if path.is_file() else [path / n for n in names if (path / n).is_file()]
    if not found:
        raise ConversionError(
            path, "tokenizer", expected=" or ".join(names), got="neither",
            hint=_OTHER_TOKENIZERS if _has_other_tokenizer(path) else "",
        )  # fmt: skip
    read = _from_tokenizer_json if is_json(found[0]) else _from_sentencepiece
    draft = read(folder, found[0])
    n = len(draft.pieces)
    if n_rows is not None and n > n_rows:
        raise ConversionError(
            path, "tokenizer", expected=f"at most vocab_size {n_rows} tokens", got=n
        )
    for i in range(n, n_rows or 0):
        _append(draft, f"[PAD{i}]", UNUSED)
    return _finished(folder, path, draft)


def _has_other_tokenizer(path: Path) -> bool:
    """Whether a folder has one of other kinds: tiktoken's, or GPT-2's vocab.json and merges.txt."""
    return any(path.glob("*.tiktoken")) or (path / "vocab.json").is_file()


def _append(draft: Vocabulary, piece: str, type_id: int) -> None:
    draft.pieces.append(piece.encode())
    draft.types.append(type_id)
    if draft.model == "llama":
        draft.scores.append(-1000.0)


def _finished(folder: JSONFolder, path: Path, draft: Vocabulary) -> Vocabulary:
    """With what the files beside the tokenizer say."""
    settings = folder.read_json("tokenizer_config.json") or {}
    ids = {piece.decode(): i for i, piece in reversed(list(enumerate(draft.pieces)))}
    special = {}
    for role in ("bos", "eos", "unk", "pad"):
        token = _special_id(folder, settings, ids, role)
        if token is not None:
            special[role] = token
    if draft.model == "llama" and all(piece in ids for piece in _INFILL.values()):
        special |= {role: ids[piece] for role, piece in _INFILL.items()}
    known = {*special.values(), *(ids[piece] for piece in END_PIECES if piece in ids)}
    ends = _other_ends(folder, len(draft.pieces), known)
    if ends and "eot" not in special:
        special["eot"], ends = ends[0], ends[1:]  # which other programs know too
    add_bos = settings.get("add_bos_token", draft.add_bos)
    return replace(
        draft,
        path=str(path),
        add_bos=add_bos if isinstance(add_bos, bool) else None,
        special=special,
        ends=tuple(ends),
        chat_template=_chat_template(folder, settings),
    )


def _special_id(
    folder: JSONFolder, settings: dict[str, Any], ids: dict[str, int], role: str
) -> int | None:
    text = settings.get(f"{role}_token")
    text = text.get("content") if isinstance(text, dict) else text
    if isinstance(text, str) and text in ids:
        return ids[text]
    for name in ("config.json", "generation_config.json"):
        value = (folder.read_json(name) or {}).get(f"{role}_token_id")
        value = value[0] if isinstance(value, list) and value else value
        if type(value) is int and 0 <= value < len(ids):
            return value
    # A folder may hold nothing but a tokenizer.model, whose special pieces have these texts.
    return ids.get({"bos": "<s>", "eos": "</s>", "unk": "<unk>"}.get(role, ""))


def _other_ends(folder: JSONFolder, n_vocab: int, known: set[int]) -> list[int]:
    """Tokens that end an answer beside those `known` to: two files may list some."""
    found: list[int] = []
    for name in ("generation_config.json", "config.json"):
        value = (folder.read_json(name) or {}).get("eos_token_id")
        for i in value if isinstance(value, list) else [value]:
            if type(i) is int and 0 <= i < n_vocab and i not in known and i not in found:
                found.append(i)
            elif i is not None and (type(i) is not int or not 0 <= i < n_vocab):
                log.warning(
                    "%s: %s: eos_token_id %r is no token of the %d there are: not used",
                    folder.path, name, i, n_vocab,
                )  # fmt: skip
    return found


def _chat_template(folder: JSONFolder, settings: dict[str, Any]) -> str | None:
    path = folder.path / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text("utf-8")
        except (OSError, ValueError) as error:
            raise ConversionError(path, expected="readable UTF-8", got=str(error)) from error
    template = settings.get("chat_template")
    if isinstance(template, list):  # several by name
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _added_tokens(folder: JSONFolder) -> dict[int, tuple[str, bool]]:
    """Tokens beside the model's own: id -> (text, is special)."""
    added: dict[int, tuple[str, bool]] = {}
    for text, i in (folder.read_json("added_tokens.json") or {}).items():
        if type(i) is int:
            added[i] = (text, True)
    settings = folder.read_json("tokenizer_config.json") or {}
    for key, entry in (settings.get("added_tokens_decoder") or {}).items():
        if key.isdecimal() and isinstance(entry, dict) and isinstance(entry.get("content"), str):
            added[int(key)] = (entry["content"], entry.get("special") is not False)
    return added


def _place_added(folder: JSONFolder, v: Vocabulary, added: dict[int, tuple[str, bool]]) -> None:
    check_replaced(folder.path, v, {i: text for i, (text, _) in added.items()})
    for i, (text, is_special) in sorted(added.items()):
        type_id = CONTROL if is_special else USER_DEFINED
        checked(folder.path, "added token", text)
        if 0 <= i < len(v.pieces):
            if v.pieces[i] != text.encode():
                v.pieces[i], v.types[i] = text.encode(), type_id
        elif i == len(v.pieces):
            _append(v, text, type_id)
        else:
            raise ConversionError(
                folder.path, f"added token {text!r}", expected=f"id {len(v.pieces)}", got=i
            )


def _from_sentencepiece(folder: JSONFolder, path: Path) -> Vocabulary:
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2 as spm

    model = spm.ModelProto()
    try:
        check_regular(path)
        model.ParseFromString(path.read_bytes())
    except (DecodeError, OSError) as error:
        expected = "a sentencepiece model"
        raise refused(ConversionError, path, expected=expected, got=str(error)) from error
    if model.trainer_spec.model_type != spm.TrainerSpec.BPE or not model.pieces:
        got = "another kind"
        raise refused(ConversionError, path, "model_type", expected="BPE", got=got)
    draft = Vocabulary(
        path=str(path),
        model="llama",
        pieces=[piece.piece.encode() for piece in model.pieces],
        types=[int(piece.type) for piece in model.pieces],
        scores=[float(piece.score) for piece in model.pieces],
        add_space_prefix=bool(model.normalizer_spec.add_dummy_prefix),
        add_bos=True,
    )
    _place_added(folder, draft, _added_tokens(folder))
    return draft


def _from_tokenizer_json(folder: JSONFolder, path: Path) -> Vocabulary:
    data = folder.read_json(path.name) or {}
    model = data.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(model, dict) or model.get("type") != "BPE" or not isinstance(vocab, dict):
        raise ConversionError(path, "model", expected="a BPE vocabulary", got="another kind")
    if model.get("byte_fallback"):
        found = read_sentencepieces(path, data)
        draft = Vocabulary(
            str(path), "llama", [piece.encode() for piece in found.pieces], found.types,
            found.scores, add_space_prefix=found.add_space_prefix, add_bos=True,
        )  # fmt: skip
    else:
        pieces = [piece.encode() for piece in pieces_by_id(path, vocab)]
        merges = [" ".join(pair).encode() for pair in merges_of(path, model.get("merges", []))]
        draft = Vocabulary(
            str(path), "gpt2", pieces, [NORMAL] * len(pieces), [], merges,
            pre_tokenizer_name(path, data.get("pre_tokenizer")), add_space_prefix=False,
            add_bos=_begins_with_special(data.get("post_processor")),
        )  # fmt: skip
    added = {
        t["id"]: (t["content"], t.get("special") is not False)
        for t in data.get("added_tokens") or []
        if isinstance(t, dict) and type(t.get("id")) is int and isinstance(t.get("content"), str)
    }
    _place_added(folder, draft, _added_tokens(folder) | added)
    for i, (_, is_special) in added.items():
        if draft.types[i] != UNKNOWN:
            draft.types[i] = CONTROL if is_special else USER_DEFINED
    return draft


def _begins_with_special(spec: Any) -> bool | None:
    """Whether a tokenizer.json's "post_processor" puts a special token first; None: it has none.

    Where tokenizer_config.json is silent, as Llama 3's is, this is what makes a prompt's BOS.
    """
    if not isinstance(spec, dict):
        return None
    processors = spec.get("processors")
    if spec.get("type") == "Sequence" and isinstance(processors, list):
        found = [_begins_with_special(part) for part in processors]
        return next((answer for answer in found if answer is not None), None)
    template = spec.get("single")
    if spec.get("type") != "TemplateProcessing" or not isinstance(template, list):
        return None
    return bool(template) and isinstance(template[0], dict) and "SpecialToken" in template[0]
