"""Tokenizer files to GGUF's tokenizer keys.

`tokenizer.model` (sentencepiece) gives a "llama" vocabulary, a byte-level BPE `tokenizer.json` a
"gpt2" one. Ids of special tokens come from the texts that tokenizer_config.json names, else from
config.json and generation_config.json; infilling tokens are found by their own text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gguf

from halfbyte.convert.hf import HFFolder
from halfbyte.convert.pretokenizers import pre_tokenizer_name
from halfbyte.errors import ConversionError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

# GGUF key -> the piece of Code Llama's vocabulary.
_INFILL = {"fim_pre": "▁<PRE>", "fim_suf": "▁<SUF>", "fim_mid": "▁<MID>", "eot": "▁<EOT>"}


@dataclass(slots=True)
class Vocabulary:
    """Pieces by id, with their types and, for sentencepiece, scores."""

    model: str
    pieces: list[str]
    types: list[int]
    scores: list[float]
    merges: list[str]
    pre: str
    add_space_prefix: bool


def add_vocabulary(meta: gguf.GGUFWriter, folder: HFFolder, n_rows: int) -> None:
    """Write the tokenizer keys for a model with n_rows embedding rows.

    Raises:
        ConversionError: there is no tokenizer, it is of an unknown kind, or does not fit.
    """
    if (folder.path / "tokenizer.model").is_file():
        vocabulary = _from_sentencepiece(folder)
    elif (folder.path / "tokenizer.json").is_file():
        vocabulary = _from_tokenizer_json(folder)
    else:
        raise ConversionError(
            folder.path, "tokenizer", expected="tokenizer.model or tokenizer.json", got="neither"
        )
    n = len(vocabulary.pieces)
    if n > n_rows:
        raise ConversionError(
            folder.path, "tokenizer", expected=f"at most vocab_size {n_rows} tokens", got=n
        )
    for i in range(n, n_rows):
        vocabulary.pieces.append(f"[PAD{i}]")
        vocabulary.types.append(UNUSED)
        vocabulary.scores.append(-1000.0)
    _write(meta, folder, vocabulary)


def _write(meta: gguf.GGUFWriter, folder: HFFolder, v: Vocabulary) -> None:
    meta.add_tokenizer_model(v.model)
    meta.add_tokenizer_pre(v.pre)
    meta.add_token_list([piece.encode() for piece in v.pieces])
    meta.add_token_types(v.types)
    if v.model == "llama":
        meta.add_token_scores(v.scores)
        meta.add_add_space_prefix(v.add_space_prefix)
    else:
        meta.add_token_merges(v.merges)
    ids = {piece: i for i, piece in reversed(list(enumerate(v.pieces)))}
    settings = folder.read_json("tokenizer_config.json") or {}
    for name in ("bos", "eos", "unk", "pad"):
        token = _special_id(folder, settings, ids, name)
        if token is not None:
            key = {"unk": "unknown", "pad": "padding"}.get(name, name)
            meta.add_uint32(f"tokenizer.ggml.{key}_token_id", token)
    for key in ("add_bos_token", "add_eos_token"):
        value = settings.get(key, True if key == "add_bos_token" and v.model == "llama" else None)
        if isinstance(value, bool):
            meta.add_bool(f"tokenizer.ggml.{key}", value)
    if v.model == "llama" and all(piece in ids for piece in _INFILL.values()):
        for key, piece in _INFILL.items():
            meta.add_uint32(f"tokenizer.ggml.{key}_token_id", ids[piece])
    template = _chat_template(folder, settings)
    if template is not None:
        meta.add_chat_template(template)


def _special_id(
    folder: HFFolder, settings: dict[str, Any], ids: dict[str, int], name: str
) -> int | None:
    text = settings.get(f"{name}_token")
    text = text.get("content") if isinstance(text, dict) else text
    if isinstance(text, str) and text in ids:
        return ids[text]
    for source in (folder.config, folder.read_json("generation_config.json")):
        value = (source or {}).get(f"{name}_token_id")
        value = value[0] if isinstance(value, list) and value else value
        if type(value) is int and 0 <= value < len(ids):
            return value
    return ids.get("<unk>") if name == "unk" else None


def _chat_template(folder: HFFolder, settings: dict[str, Any]) -> str | None:
    path = folder.path / "chat_template.jinja"
    if path.is_file():
        return path.read_text("utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several by name
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _added_tokens(folder: HFFolder) -> dict[int, tuple[str, bool]]:
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


def _place_added(folder: HFFolder, v: Vocabulary, added: dict[int, tuple[str, bool]]) -> None:
    for i, (text, is_special) in sorted(added.items()):
        type_id = CONTROL if is_special else USER_DEFINED
        if i < len(v.pieces):
            if v.pieces[i] != text:
                v.pieces[i], v.types[i] = text, type_id
        elif i == len(v.pieces):
            v.pieces.append(text)
            v.types.append(type_id)
            v.scores.append(-1000.0)
        else:
            raise ConversionError(
                folder.path, f"added token {text!r}", expected=f"id {len(v.pieces)}", got=i
            )


def _from_sentencepiece(folder: HFFolder) -> Vocabulary:
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2 as spm

    path = folder.path / "tokenizer.model"
    model = spm.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, OSError) as error:
        raise ConversionError(path, expected="a sentencepiece model", got=str(error)) from error
    if model.trainer_spec.model_type != spm.TrainerSpec.BPE or not model.pieces:
        raise ConversionError(path, "model_type", expected="BPE", got="another kind")
    vocabulary = Vocabulary(
        model="llama",
        pieces=[piece.piece for piece in model.pieces],
        types=[int(piece.type) for piece in model.pieces],
        scores=[float(piece.score) for piece in model.pieces],
        merges=[],
        pre="default",
        add_space_prefix=bool(model.normalizer_spec.add_dummy_prefix),
    )
    _place_added(folder, vocabulary, _added_tokens(folder))
    return vocabulary


def _from_tokenizer_json(folder: HFFolder) -> Vocabulary:
    path = folder.path / "tokenizer.json"
    data = folder.read_json("tokenizer.json") or {}
    model = data.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(model, dict) or model.get("type") != "BPE" or not isinstance(vocab, dict):
        raise ConversionError(path, "model", expected="a BPE vocabulary", got="another kind")
    if model.get("byte_fallback"):
        raise ConversionError(
            path, "model.byte_fallback", expected="byte-level BPE", got="sentencepiece's BPE",
            hint="put the model's tokenizer.model into the folder",
        )  # fmt: skip
    pre = pre_tokenizer_name(path, data.get("pre_tokenizer"))
    by_id = {i: text for text, i in vocab.items() if type(i) is int}
    if sorted(by_id) != list(range(len(vocab))):
        raise ConversionError(path, "model.vocab", expected="ids without gaps", got="gaps")
    vocabulary = Vocabulary(
        model="gpt2",
        pieces=[by_id[i] for i in range(len(by_id))],
        types=[NORMAL] * len(by_id),
        scores=[0.0] * len(by_id),
        merges=[m if isinstance(m, str) else " ".join(m) for m in model.get("merges", [])],
        pre=pre,
        add_space_prefix=False,
    )
    added = {
        t["id"]: (t["content"], t.get("special") is not False)
        for t in data.get("added_tokens") or []
        if isinstance(t, dict) and type(t.get("id")) is int
    }
    _place_added(folder, vocabulary, _added_tokens(folder) | added)
    for i, (_, is_special) in added.items():
        vocabulary.types[i] = CONTROL if is_special else USER_DEFINED
    return vocabulary
