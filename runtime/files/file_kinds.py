"""What a file is, told by how it begins: names say little, and downloads break.

Sources: the formats' own descriptions; git-lfs' docs/spec.md for pointers; llama.cpp's history for
the magics before GGUF.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from halfbyte.errors import ModelFileError

_GGUF = b"GGUF"
_HEAD_NBYTES = 4096  # that are looked at


class Kind(NamedTuple):
    """What lies there, and what to do about it; both are empty where that is not known."""

    what: str
    hint: str


_UNKNOWN = Kind("", "")
_AGAIN = "download it again, to its end"
SAFETENSORS = Kind("a safetensors file", "name the folder that it lies in")
PICKLED = (
    "pickle files can run code and are not read: save the model again with transformers' "
    "save_pretrained(folder, safe_serialization=True)"
)
_OTHER = "look for the model's safetensors, which most repositories have, or for a .gguf file"
_NEWER = "its format is older than GGUF: fetch a newer file, or convert the original weights"

_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (b"version https://git-lfs", Kind("a Git LFS pointer, not the file that it stands for",
     "run `git lfs pull` in its folder, or download the file itself")),
    (_GGUF, Kind("a GGUF file", "name that file")),
    (b"lmgg", Kind("llama.cpp's old format ggml", _NEWER)),
    (b"fmgg", Kind("llama.cpp's old format ggmf", _NEWER)),
    (b"tjgg", Kind("llama.cpp's old format ggjt", _NEWER)),
    (b"algg", Kind("an adapter for llama.cpp of before GGUF", _NEWER)),
    (b"PK\3\4", Kind("a zip archive, as PyTorch's pickled weights are", PICKLED)),
    *((b"\x80" + bytes([n]), Kind("a pickle file", PICKLED)) for n in range(2, 6)),
    (b"\x89HDF", Kind("HDF5, as TensorFlow's weights are", _OTHER)),
    (b"\x1f\x8b", Kind("an archive (gzip)", "unpack it first")),
    (b"<!doctype", Kind("a web page", "download the file itself: a server sent this instead")),
    (b"<html", Kind("a web page", "download the file itself: a server sent this instead")),
)  # fmt: skip
_ENDINGS: dict[str, Kind] = {
    **dict.fromkeys(
        (".incomplete", ".part", ".crdownload", ".aria2", ".download"),
        Kind("a download that has not come to its end", _AGAIN),
    ),
    ".onnx": Kind("ONNX weights", _OTHER),
    ".msgpack": Kind("Flax weights", _OTHER),
    ".h5": Kind("TensorFlow's weights", _OTHER),
    **dict.fromkeys((".bin", ".pth", ".pt", ".ckpt"), Kind("pickled weights", PICKLED)),
}
_JSON_SPACE = b" \t\r\n"
_TIKTOKEN = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n")
_TIKTOKEN_KIND = Kind(
    "a tiktoken vocabulary", "put the model's tokenizer.json there, which transformers' layout has"
)


def is_gguf(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as GGUF does, or has its name: then its reader says what is wrong.

    What begins as GGUF is GGUF whatever its name; a folder never is.
    """
    if os.path.isdir(path):
        return False
    return has_gguf_name(path) or (_head(path) or b"").startswith(_GGUF)


def has_gguf_name(path: str | os.PathLike[str]) -> bool:
    """Whether a path is written as those of GGUF files are."""
    return os.fspath(path).lower().endswith(".gguf")


def is_json(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as a JSON object does, or has a JSON file's name."""
    is_named = os.fspath(path).lower().endswith(".json")
    return is_named or (_head(path) or b"").lstrip(_JSON_SPACE).startswith(b"{")


def kind_of(path: str | os.PathLike[str]) -> Kind:
    """What a file is that is not what it should be."""
    head = _head(path)
    if head is None:
        return _UNKNOWN
    if not head:
        return Kind("an empty file", _AGAIN)
    lowered = head[:64].lstrip().lower()
    for begin, kind in _BEGINNINGS:
        if head.startswith(begin) or (begin.startswith(b"<") and lowered.startswith(begin)):
            return kind
    if not any(head):
        return Kind("a file that begins with zeros", _AGAIN)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return SAFETENSORS
    if _TIKTOKEN.match(head):
        return _TIKTOKEN_KIND
    return _ENDINGS.get(Path(path).suffix.lower(), _UNKNOWN)


def refused(
    error: type[ModelFileError],
    path: str | os.PathLike[str],
    field: str = "",
    *,
    expected: str,
    got: object,
    hint: str = "",
) -> ModelFileError:
    """The error for a file that is not what it should be: with what it is, where that is known.

    What begins as what is `expected` is broken in another way: `got` and `hint` say how.
    """
    kind = kind_of(path)
    if kind.what in ("", expected):
        return error(path, field, expected=expected, got=got, hint=hint)
    return error(path, field, expected=expected, got=kind.what, hint=kind.hint)


def _head(path: str | os.PathLike[str]) -> bytes | None:
    """How a file begins; None where there is no ordinary file, or none that can be read."""
    try:
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            return file.read(_HEAD_NBYTES)
    except (OSError, ValueError):
        return None
