"""The texts that come with the package, and how a text becomes windows of tokens.

`calibration` is what importance and Hessians are taken from, `heldout` what results are measured
on: a small Python corpus of the project's own (benchmarks/make_texts.py), disjoint, Apache-2.0.
"""

from __future__ import annotations

import contextlib
import os
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import RequestError
from halfbyte.tokenizer import Tokenizer

N_WINDOW = 512
_MOST_NBYTES = 4_000_000


def packaged_text(name: str) -> str:
    """`calibration` or `heldout`."""
    return (files("halfbyte.quality") / "data" / f"{name}.txt").read_text("utf-8")


def text_files(path: Path) -> list[Path]:
    """The file itself, or those of a folder, hidden ones left out, in the order of their names."""
    if not os.path.isdir(path):  # which is false for a name that cannot be
        return [path]
    files = (p for p in sorted(path.rglob("*")) if p.is_file())
    return [p for p in files if not any(n.startswith(".") for n in p.relative_to(path).parts)]


def read_text(path: Path, param: str = "text") -> str:
    """A UTF-8 file's text, or that of a folder's files, up to 4 MB in the order of their names.

    In a folder, hidden files and those that are not UTF-8 text are left out. `param` is the
    argument's name for errors.

    Raises:
        RequestError: nothing to read, or a file that is not UTF-8.
    """
    try:
        if not os.path.isdir(path):
            return path.read_bytes().decode("utf-8")
        parts, size = [], 0
        for name in text_files(path):
            if name.stat().st_size > _MOST_NBYTES:
                continue
            raw = name.read_bytes()
            with contextlib.suppress(UnicodeDecodeError):
                if b"\0" not in raw:
                    parts.append(raw.decode("utf-8"))
                    size += len(raw)
            if size >= _MOST_NBYTES:
                break
    except UnicodeDecodeError as error:
        raise RequestError(param, expected="UTF-8", got=f"{path}: {error}") from error
    except OSError as error:
        raise RequestError(
            param, expected="a readable file or folder", got=f"{path}: {error.strerror or error}"
        ) from error
    if not parts:
        raise RequestError(param, expected="a folder with text files", got=str(path))
    return "".join(parts)


def token_windows(
    tokenizer: Tokenizer, text: str, length: int = N_WINDOW, *, max_windows: int | None = None
) -> NDArray[np.int64]:
    """A text as consecutive windows of tokens, int64 (windows, length).

    Each begins with BOS where the vocabulary wants one. Tokens that fill no whole window are left
    out, except where the text is shorter than one: then there is one window of its length.

    Raises:
        RequestError: the text has fewer than two tokens.
    """
    ids = tokenizer.encode(text, add_bos=False)
    start = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
    if length < 2:
        raise RequestError("window", expected="a whole number from 2", got=length)
    if len(start) + len(ids) < 2:
        raise RequestError("text", expected="at least two tokens", got=len(ids))
    step = min(length - len(start), len(ids))
    begins = range(0, len(ids) - step + 1, step)[:max_windows]
    return np.array([start + ids[begin : begin + step] for begin in begins], np.int64)


def half_windows(
    tokenizer: Tokenizer, text: str, length: int, *, parse_markers: bool = False
) -> NDArray[np.int64]:
    """A text as llama.cpp's perplexity tool cuts it, int64 (windows, length).

    BOS before the text belongs to the first window; in the others it takes the place of the first
    token, and what fills no window is left out. Source: llama.cpp, tools/perplexity.

    Raises:
        RequestError: no text, or fewer tokens than two windows have.
    """
    if not isinstance(text, str):
        raise RequestError("text", expected="a text", got=repr(text))
    ids = tokenizer.encode(text, parse_markers=parse_markers)
    if len(ids) < 2 * length:
        raise RequestError(
            "text", expected=f"at least {2 * length} tokens, two windows", got=len(ids),
            hint="a smaller window does with less",
        )  # fmt: skip
    n = len(ids) // length
    windows = np.array(ids[: n * length], np.int64).reshape(n, length)
    if tokenizer.add_bos and tokenizer.bos_id is not None:
        windows[:, 0] = tokenizer.bos_id
    return windows
