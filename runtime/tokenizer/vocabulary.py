"""A vocabulary as plain data: where a GGUF file and a folder of tokenizer files meet.

Source of the keys: the GGUF specification, "Tokenizer"; llama.cpp's for the infilling tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import ModelFileError
from halfbyte.files.file_warnings import warn_about
from halfbyte.gguf.metadata import Metadata
from halfbyte.lazy_dataclass import dataclass
from halfbyte.tokenizer.harmony_texts import CALL, END, RETURN

log = logging.getLogger(__name__)

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

# Role -> GGUF keys that name its token, the current key before the ones of older converters.
SPECIAL_KEYS: dict[str, tuple[str, ...]] = {
    "bos": ("bos",),
    "eos": ("eos",),
    "unk": ("unknown",),
    "pad": ("padding",),
    "eot": ("eot",),
    "eom": ("eom",),
    "fim_pre": ("fim_pre", "prefix"),
    "fim_suf": ("fim_suf", "suffix"),
    "fim_mid": ("fim_mid", "middle"),
    "fim_pad": ("fim_pad",),
    "fim_rep": ("fim_rep",),
    "fim_sep": ("fim_sep",),
}
_RESPONSE = "<|tool_response>"  # which Gemma 4 writes behind its calls
# Tokens that end a text in files that do not name them by key.
END_PIECES = (
    "</s>", "<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>",
    "▁<EOT>", "<|end|>", "<｜end▁of▁sentence｜>", "<turn|>", _RESPONSE,
)  # fmt: skip
_ESSENTIAL = ("bos", "eos")
_NO_IDS = (-1, 2**32 - 1)  # how converters spell that there is no such token
# What they are where a file does not say, if the tokens there have such a type: role -> (id, type).
# Source: sentencepiece and llama.cpp.
_USUAL_IDS = {"llama": {"unk": (0, UNKNOWN), "bos": (1, CONTROL), "eos": (2, CONTROL)}}
# GGUF names one token by a role; the others that end an answer stand here.
ENDS_KEY = "halfbyte.eog_token_ids"
TEMPLATE_KEY = "tokenizer.chat_template"
TOOL_USE = "tool_use"  # of a template beside the default one, as transformers and llama.cpp name it
# What tokenizers' files say and GGUF has no key for: other programs do not read these.
NORMALIZER_KEY = "halfbyte.tokenizer.normalizer"
RULE_KEY = "halfbyte.tokenizer.normalization_rule"
SPACING_KEY = "halfbyte.tokenizer.prepend_scheme"
ADDED_KEY = "halfbyte.tokenizer.added_token_ids"
WHOLE_WORDS_KEY = "halfbyte.tokenizer.ignore_merges"
FLAG_KEYS = {
    flag: f"halfbyte.tokenizer.{flag}_token_ids"
    for flag in ("lstrip", "rstrip", "single_word", "normalized")
}
IDENTITY = "identity"  # sentencepiece's rule that changes nothing
NO_NORMALIZER = "null"  # said of a tokenizer without any
# Where a space is put, if at all: before each part of a text that special tokens part, before the
# whole alone, or as Metaspace's two schemes of these names, which put none before a space.
EACH, ONCE, ALWAYS, FIRST = "", "once", "always", "first"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Pieces by id, and what is said about them.

    Attributes:
        path: the file or folder, for messages.
        model: "llama" (sentencepiece BPE) or "gpt2" (byte-level BPE).
        pieces: UTF-8, as the vocabulary spells them.
        types: GGUF's token types, one a piece.
        scores: one a piece for "llama", else empty.
        merges: pairs with a space between, for "gpt2".
        pre: how text is cut before merging, for "gpt2".
        add_space_prefix: whether a text gets a space before it, for "llama".
        remove_extra_whitespaces: sentencepiece's setting of this name, for "llama".
        normalization_rule: sentencepiece's name of how characters are spelled, for "llama".
        spacing: where that space is put, one of EACH, ONCE, ALWAYS and FIRST.
        added: tokens that text is searched for before sentencepiece sees it, for "llama".
        normalizer: a tokenizer.json's "normalizer" as JSON, for "gpt2"; None: nothing is said.
        ignore_merges: a tokenizer.json's setting of this name; None leaves it to `pre`.
        flags: a flag of added tokens, such as "lstrip", -> the ids that have it.
        add_bos: whether a prompt begins with BOS; None leaves it to the kind of vocabulary.
        add_eos: whether EOS follows a whole text, for programs that encode whole texts.
        special: role -> id, see SPECIAL_KEYS.
        ends: tokens that end an answer and have no role.
        chat_template: Jinja source, or None.
        named_templates: sources of others beside it, by name.
    """

    path: str
    model: str
    pieces: Sequence[bytes]
    types: list[int]
    scores: list[float]
    merges: Sequence[bytes] = field(default_factory=list)
    pre: str = "default"
    add_space_prefix: bool = True
    remove_extra_whitespaces: bool = False
    normalization_rule: str = IDENTITY
    spacing: str = EACH
    added: tuple[int, ...] = ()
    normalizer: str | None = None
    ignore_merges: bool | None = None
    flags: dict[str, tuple[int, ...]] = field(default_factory=dict)
    add_bos: bool | None = None
    add_eos: bool | None = None
    special: dict[str, int] = field(default_factory=dict)
    ends: tuple[int, ...] = ()
    chat_template: str | None = None
    named_templates: dict[str, str] = field(default_factory=dict)

    @property
    def unknown_id(self) -> int | None:
        """The token that stands for what no other does; files may give others its type."""
        stated = self.special.get("unk")
        if stated is not None and self.types[stated] in (UNKNOWN, CONTROL):
            return stated
        return self.types.index(UNKNOWN) if UNKNOWN in self.types else None

    @property
    def tool_template(self) -> str | None:
        """The chat template for conversations with tools, where that is one of its own."""
        return self.named_templates.get(TOOL_USE)

    @property
    def is_spelled_anew(self) -> bool:
        """Whether sentencepiece changes a text's characters before it cuts it."""
        return self.remove_extra_whitespaces or self.normalization_rule != IDENTITY

    @classmethod
    def from_metadata(cls, m: Metadata) -> Vocabulary:
        """Read the tokenizer keys of a GGUF file.

        Raises:
            ModelFileError: they are missing, of another type or out of range.
        """
        pieces = m.get_strings("tokenizer.ggml.tokens")
        if not pieces:
            raise ModelFileError(m.path, "tokenizer.ggml.tokens", expected="tokens", got="none")
        types = _types(m, len(pieces))
        model, pre = _kind(m)
        added = _ids(m, ADDED_KEY, len(pieces))
        if model == "llama" and not any(key in m for key in (ADDED_KEY, RULE_KEY, SPACING_KEY)):
            added = with_spaces(pieces, types)
        special = _special_ids(m, len(pieces))
        for role, (token, type_id) in _USUAL_IDS.get(model, {}).items():
            says_none = any(key in m for key in _id_keys(role))
            if types[token : token + 1] == [type_id] and not says_none:
                special.setdefault(role, token)
        return cls(
            path=m.path,
            model=model,
            pieces=pieces,
            types=types or [NORMAL] * len(pieces),
            scores=_numbers(m, "tokenizer.ggml.scores", len(pieces), floats=True).tolist(),
            merges=m.get_strings("tokenizer.ggml.merges") if model == "gpt2" else [],
            pre=pre,
            add_space_prefix=m.get_bool("tokenizer.ggml.add_space_prefix", True),
            remove_extra_whitespaces=m.get_bool("tokenizer.ggml.remove_extra_whitespaces", False),
            normalization_rule=m.get_str(RULE_KEY, IDENTITY),
            spacing=m.get_str(SPACING_KEY, EACH),
            added=added,
            normalizer=m.get_str(NORMALIZER_KEY, None),
            ignore_merges=m.get_bool(WHOLE_WORDS_KEY, None),
            flags={f: ids for f, key in FLAG_KEYS.items() if (ids := _ids(m, key, len(pieces)))},
            add_bos=m.get_bool("tokenizer.ggml.add_bos_token", None),
            add_eos=m.get_bool("tokenizer.ggml.add_eos_token", None),
            special=special,
            ends=_ids(m, ENDS_KEY, len(pieces)),
            chat_template=m.get_str(TEMPLATE_KEY, None),
            named_templates={
                key.removeprefix(f"{TEMPLATE_KEY}."): m.get_str(key)
                for key in m
                if key.startswith(f"{TEMPLATE_KEY}.")
            },
        )


def _kind(m: Metadata) -> tuple[str, str]:
    """The kind of vocabulary, and how text is cut."""
    model, pre = m.get_str("tokenizer.ggml.model"), m.get_str("tokenizer.ggml.pre", "default")
    if model == "gemma4":  # a name for that way of cutting too
        return "gpt2", model
    if model == "gpt2" and "tokenizer.ggml.pre" not in m:
        warn_about(log, m.path, "no tokenizer.ggml.pre: text is cut by the default rules")
    return model, pre


def end_ids(v: Vocabulary, id_of: Callable[[str], int | None]) -> frozenset[int]:
    """The tokens that end an answer: by their roles, by what a file lists, by their spelling."""
    found = {v.special.get(role) for role in ("eos", "eot", "eom")} | set(v.ends)
    found |= {id_of(piece) for piece in END_PIECES}
    harmony = [id_of(text) for text in (RETURN, CALL, END)]
    if None not in harmony:  # whose last ends a message alone
        found = {*found, *harmony[:-1]} - {harmony[-1]}
    if id_of(_RESPONSE) is not None:  # beside which there is a tag of HTML that ends nothing
        found -= {id_of("</s>")}
    return frozenset(i for i in found if i is not None)


def with_spaces(pieces: Sequence[bytes], types: Sequence[float]) -> tuple[int, ...]:
    """Pieces that are looked for in a text before its spaces are spelled as sentencepiece does.

    llama.cpp's converter spells them so: Gemma's runs of spaces are such.
    """
    if USER_DEFINED not in types:
        return ()
    return tuple(i for i, kind in enumerate(types) if kind == USER_DEFINED and b" " in pieces[i])


def _id_keys(role: str) -> list[str]:
    return [f"tokenizer.ggml.{name}_token_id" for name in SPECIAL_KEYS[role]]


def _special_ids(m: Metadata, n_vocab: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for role in SPECIAL_KEYS:
        for key in _id_keys(role):
            if key not in m or role in found:
                continue
            token = m.get_int(key, minimum=-(2**31))
            if role in _ESSENTIAL and token not in _NO_IDS:
                found[role] = m.get_int(key, maximum=n_vocab - 1)
                continue
            if 0 <= token < n_vocab:
                found[role] = token
            else:  # converters write such ids for "none", and other runtimes take no notice
                warn_about(log, m.path, "%s is %d, beyond the vocabulary: not used", key, token)
    return found


def _ids(m: Metadata, key: str, n_vocab: int) -> tuple[int, ...]:
    if key not in m:
        return ()
    ids = [int(i) for i in m.get_numbers(key, floats=False)]
    if not all(0 <= i < n_vocab for i in ids):
        raise ModelFileError(m.path, key, expected=f"ids below {n_vocab}", got=str(ids))
    return tuple(ids)


def _types(m: Metadata, n: int) -> list[int]:
    """The type of each piece; none where the file states none."""
    key = "tokenizer.ggml.token_type"
    types = _numbers(m, key, n, floats=False)
    bad = types[(types < NORMAL) | (types > BYTE)]
    if len(bad):
        raise ModelFileError(m.path, key, expected="1 to 6", got=bad[0].item())
    return list(types.tolist())


def _numbers(m: Metadata, key: str, n: int, *, floats: bool) -> NDArray[Any]:
    """A number a piece; none where the file states none."""
    if key not in m:
        return np.empty(0)
    values = m.get_numbers(key, floats=floats)
    if len(values) != n:
        raise ModelFileError(m.path, key, expected=f"{n} numbers, one a token", got=len(values))
    with np.errstate(invalid="ignore"):  # casting a signalling NaN warns
        is_finite = not floats or bool(np.isfinite(values.astype(np.float64)).all())
    if not is_finite:
        raise ModelFileError(m.path, key, expected="finite numbers", got="NaN or infinity")
    return values


def numbers_of(types: Sequence[int]) -> NDArray[np.uint8]:
    """The types of pieces as an array, uint8 (n,)."""
    return np.frombuffer(bytes(types), np.uint8)


def piece_text(path: str, piece: bytes) -> str:
    """A piece as text; ModelFileError where it is not UTF-8."""
    try:
        return piece.decode()
    except UnicodeDecodeError as error:
        raise ModelFileError(
            path, "tokenizer.ggml.tokens", expected="UTF-8 pieces", got=repr(piece)
        ) from error


def piece_texts(path: str, pieces: Sequence[bytes]) -> list[str]:
    """Pieces as texts; ModelFileError where one is not UTF-8."""
    try:  # all at once; U+0000 parts them unless it is in one
        texts = b"\0".join(pieces).decode().split("\0")
    except UnicodeDecodeError:
        texts = []
    return texts if len(texts) == len(pieces) else [piece_text(path, piece) for piece in pieces]


def sentencepiece_types(vocabulary: Vocabulary) -> tuple[list[int], int]:
    """Types with one unknown token, as sentencepiece wants, and its id.

    Others of that type, which fill a vocabulary up, become control tokens. The id is one beyond
    the last where a file has no unknown token.
    """
    unknown = vocabulary.unknown_id
    types = [CONTROL if type_id == UNKNOWN else type_id for type_id in vocabulary.types]
    if unknown is None:
        return types, len(types)
    types[unknown] = UNKNOWN
    return types, unknown
