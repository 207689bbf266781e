"""Remembered pages and snapshots as a file: one in a cache folder, many where a cache is saved.

    "halfbyte prompt cache 3", a line
    JSON {"binding": ..., "adapters": [...], "parts": [...]}, a line
    BLAKE2b of both, hexadecimal, a line
    by part: its tokens, int32, then a page's keys and values, its block of layers with a window,
        where they have one, or a snapshot

A snapshot stands behind the last of its tokens, which are the first of a page. Each part has the
digest of all tokens before the page, and a CRC-32 of its own bytes, which is checked as fast as a
disk reads. Nothing is read that was not checked to be there, nothing unpickled. A file has its name
once it is whole.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
import zlib
from collections.abc import Sequence as Seq
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, get_args

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.binding import Binding
from halfbyte.errors import CacheFileError
from halfbyte.generation.leaving import Kind
from halfbyte.generation.radix_tree import TOKEN_NBYTES
from halfbyte.kernels.compiler.private_files import NotPrivateError, open_private
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.lazy_dataclass import dataclass

_MAGIC = b"halfbyte prompt cache 3\n"
_MAX_HEADER = 1 << 26  # 100 bytes for a part
_CHECK_NBYTES = 16
PART = ".halfbyte-part"  # ends the name of a file that is being written


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A page, a block or a snapshot as a file's header has it.

    Attributes:
        parent: digest of the tokens before its page (radix_tree.py), hexadecimal.
        n_tokens: of its own, from 1.
        crc: CRC-32 of its tokens and its data.
    """

    parent: str
    n_tokens: int
    crc: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class PartToStore:
    """A page, a block or a snapshot to be written: see StoredPart."""

    parent: str
    tokens: bytes
    data: NDArray[np.uint8]
    kind: Kind = "page"

    def stored(self) -> StoredPart:
        """What the header says of it."""
        n_tokens = len(self.tokens) // TOKEN_NBYTES
        return StoredPart(self.parent, n_tokens, _crc(self.tokens, self.data), self.kind)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a page, of a snapshot and of a page's block of layers with a window; 0 where a model
    has none.
    """

    page: int
    snapshot: int = 0
    window: int = 0

    def __getitem__(self, kind: Kind) -> int:
        return {"page": self.page, "snapshot": self.snapshot, "window": self.window}[kind]

    def of(self, part: StoredPart) -> int:
        """Of a part and its tokens."""
        return part.n_tokens * TOKEN_NBYTES + self[part.kind]


def write(
    path: Path,
    binding: Binding,
    parts: Seq[PartToStore],
    adapters: Seq[str | None] = (),
    *,
    is_lasting: bool,
) -> int:
    """Write a file that only this user can read, in the place of what may be there.

    Args:
        path: in a folder that is there.
        binding: what they depend on.
        parts: parents before what grows from them, pages before their blocks and snapshots.
        adapters: whose parts may be among them, for who wants to know.
        is_lasting: wait until the disk has it.

    Returns:
        Its bytes.

    Raises:
        OSError: the disk is full, or the folder cannot be written; nothing is left there.
    """
    header = {
        "binding": asdict(binding),
        "adapters": list(adapters),
        "parts": [asdict(part.stored()) for part in parts],
    }
    begin = _MAGIC + json.dumps(header).encode() + b"\n"
    begin += _check(begin) + b"\n"
    # Made for this writer alone, mode 0600.
    descriptor, temporary = tempfile.mkstemp(suffix=PART, prefix=".", dir=path.parent)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            _write_all(file, memoryview(begin))
            for part in parts:
                _write_all(file, memoryview(part.tokens))
                _write_all(file, part.data.data)
            nbytes = file.tell()
            if is_lasting:
                os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return nbytes


class CacheFile:
    """An open file of remembered parts, whose header and size are right; a context manager.

    Raises:
        CacheFileError: it belongs to another model, layout or user, is cut short or damaged.
        OSError: it cannot be opened; FileNotFoundError where there is none.
    """

    def __init__(self, path: Path, binding: Binding, sizes: Sizes) -> None:
        self.path = path
        try:
            self._file = open_private(path)
        except NotPrivateError as error:
            raise CacheFileError(path, expected="a file of this user", got=str(error)) from error
        try:
            self.adapters, self.parts = self._read_header(binding)
            self._begins = list(accumulate(map(sizes.of, self.parts), initial=self._file.tell()))
            self._check_size()
        except BaseException:
            self._file.close()
            raise

    def read_tokens(self, i: int) -> bytes:
        """A part's tokens, not yet compared with their checksum.

        Raises:
            CacheFileError: the file has been cut short meanwhile.
        """
        tokens = bytearray(self.parts[i].n_tokens * TOKEN_NBYTES)
        self._read_into(self._begins[i], memoryview(tokens))
        return bytes(tokens)

    def read(self, i: int, data: NDArray[np.uint8]) -> bytes:
        """Read a part into its memory; returns its tokens.

        Raises:
            CacheFileError: it is damaged.
        """
        tokens = self.read_tokens(i)
        self._read_into(self._begins[i] + len(tokens), data.data)
        if _crc(tokens, data) != self.parts[i].crc:
            raise CacheFileError(
                self.path, f"part {i}", expected="the checksum that the file states",
                got="another one", hint="the file is damaged: remove it",
            )  # fmt: skip
        return tokens

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> CacheFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def _read_header(self, binding: Binding) -> tuple[list[str | None], list[StoredPart]]:
        file, path = self._file, self.path
        magic = file.read(len(_MAGIC))
        if magic != _MAGIC:
            raise CacheFileError(path, expected="a file of remembered prompts", got=magic)
        line, check = file.readline(_MAX_HEADER), file.readline(2 * _CHECK_NBYTES + 1)
        if check != _check(magic + line) + b"\n":
            hint = "the file is cut short or damaged: remove it"
            raise CacheFileError(path, "header", expected="its own checksum", got=check, hint=hint)
        try:
            header = json.loads(line)
            _check_binding(path, header["binding"], asdict(binding))
            adapters = [_checked_adapter(one) for one in header["adapters"]]
            return adapters, [_checked(StoredPart(**row)) for row in header["parts"]]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CacheFileError(
                path, "header", expected="what halfbyte writes", got=repr(error)
            ) from error

    def _check_size(self) -> None:
        nbytes, expected = os.fstat(self._file.fileno()).st_size, self._begins[-1]
        if nbytes != expected:
            raise CacheFileError(
                self.path, expected=f"{expected} bytes", got=nbytes,
                hint="the file was cut short: remove it",
            )  # fmt: skip

    def _read_into(self, at: int, out: memoryview) -> None:
        self._file.seek(at)
        done = 0
        while done < len(out):
            n = self._file.readinto(out[done:])
            if not n:
                raise CacheFileError(
                    self.path, expected=f"{len(out)} bytes at {at}", got=f"{done} bytes",
                    hint="it was cut short while it was open",
                )  # fmt: skip
            done += n


def _crc(tokens: bytes, data: NDArray[np.uint8]) -> int:
    return zlib.crc32(data.data, zlib.crc32(tokens))


def _check(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECK_NBYTES).hexdigest().encode()


def _write_all(file: BinaryIO, data: memoryview) -> None:
    while data.nbytes:
        n = file.write(data)
        if not n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        data = data[n:]


def _check_binding(path: Path, got: dict[str, object], expected: dict[str, object]) -> None:
    for name, value in expected.items():
        if got[name] != value:
            raise CacheFileError(
                path, name, expected=str(value), got=str(got[name]),
                hint="its prompts were processed by another model or version",
            )  # fmt: skip


def _checked(part: StoredPart) -> StoredPart:
    """ValueError or TypeError unless each field is what it should be."""
    for n, least, most in ((part.n_tokens, 1, PAGE), (part.crc, 0, 0xFFFFFFFF)):
        if type(n) is not int or not least <= n <= most:
            raise ValueError(f"a number from {least} to {most} is {n!r}")
    if not isinstance(part.parent, str) or not re.fullmatch("[0-9a-f]{32}", part.parent):
        raise ValueError(f"a digest is {part.parent!r}")
    if part.kind not in get_args(Kind):
        raise ValueError(f"a kind of part is {part.kind!r}")
    return part


def _checked_adapter(adapter: object) -> str | None:
    if adapter is not None and not isinstance(adapter, str):
        raise ValueError(f"an adapter is {adapter!r}")
    return adapter
