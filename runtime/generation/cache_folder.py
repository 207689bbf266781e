"""What falls out of memory, kept on disk: a folder of small files, found by their names.

    FOLDER / digest of the binding / 2 digits / digest of the parent - digest of the page.page
    FOLDER / digest of the binding / 2 digits / digest of the parent - digest of the page.window
    FOLDER / digest of the binding / 2 digits / digest of the parent - digest - 017.state

The second is a page's block of layers with a window, the third a snapshot behind the first 17
tokens of a page. A digest stands for all tokens up to
its end. So the next page of a prompt is found by its name, or among the few files with the same
parent where the prompt leaves it midway, and snapshots in a page by the same parent: there is no
index to be read at the start, to be kept right, or to be shared between processes. Files come by a
rename and are removed at any time by whoever finds the folder too large, the oldest first; a
page's time lies before its parent's, so that what many share goes last, and a block's and a
snapshot's before its page's.
"""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections.abc import Iterator
from heapq import nlargest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.binding import Binding
from halfbyte.engine.page_pool import Page
from halfbyte.errors import CacheFileError
from halfbyte.generation import cache_file
from halfbyte.generation.cache_file import PART, CacheFile, PartToStore, Sizes
from halfbyte.generation.leaving import Leaving, page_name, snapshot_name, window_name
from halfbyte.generation.radix_tree import (
    PAGE_NBYTES,
    TOKEN_NBYTES,
    Branch,
    Node,
    child_digest,
    n_common,
)
from halfbyte.kernels.compiler.private_files import private_folder
from halfbyte.kernels.layouts.kv_pages import PAGE

log = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}(\.page|\.window|-[0-9]{3}\.state)")
_DIGEST, _DIGITS = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{2}")
_HEADER_NBYTES = 4096  # of a file of one part, at most, and its tokens
_MAX_COMPARED = 64  # files with the same parent
_PAUSE_S = 60.0  # after the disk refused a file
_FORGOTTEN_S = 3600.0  # a file that was begun so long ago is finished by nobody
_NS_PER_TOKEN = 10_000_000  # a page is read within the 1.28 s that it lies before its parent
_LOOKS = 16  # at all files, while the bound is written once
_ROOM = 0.95  # of the bound is left when it was reached


class CacheFolder:
    """A folder of remembered pages of one model, beside those of others.

    Args:
        path: made where it is not there.
        binding: the model's.
        sizes: of its pages and snapshots.
        max_nbytes: of all files of the folder, of every model.

    Raises:
        CacheFileError: the folder cannot be made, or somebody else can write it.
    """

    def __init__(self, path: Path, binding: Binding, sizes: Sizes, max_nbytes: int) -> None:
        try:
            self._root = private_folder(path)
            self._folder = private_folder(self._root / binding.digest)
        except OSError as error:
            raise CacheFileError(
                path, expected="a folder that only this user can write", got=str(error)
            ) from error
        self.max_nbytes = max_nbytes
        self._binding, self._sizes = binding, sizes
        self._room = 0  # bytes that this process writes before it looks at all files again
        self._paused_until = 0.0
        self._is_told = False

    @property
    def is_paused(self) -> bool:
        """Whether the disk has lately refused a file."""
        return time.monotonic() < self._paused_until

    def write(self, leaving: Leaving) -> None:
        """Keep a page or a snapshot, or see to it that it is kept on.

        A disk that refuses it is a warning. To be called by one thread at a time, which may be
        another than that which reads.
        """
        path, end = self._path(leaving.name), _age(leaving)
        if (leaving.is_stored and _touch(path, end)) or self.is_paused:
            return
        try:
            parent, tokens, data = leaving.parent.hex(), leaving.tokens, leaving.data()
            stored = PartToStore(parent, tokens, data, leaving.kind)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            if not self._has_room(leaving.nbytes + _HEADER_NBYTES):
                self._give_up(leaving.nbytes)
                return
            nbytes = cache_file.write(path, self._binding, [stored], is_lasting=False)
        except (OSError, MemoryError) as error:
            self._paused_until = time.monotonic() + _PAUSE_S
            # As text: whoever keeps the record would keep the page with the error.
            log.warning("%s: a prompt is not kept on disk: %s", self._root, str(error))
            return
        self._room -= nbytes
        leaving.is_stored = _touch(path, end)

    def _give_up(self, nbytes: int) -> None:
        """Nothing will ever fit."""
        self._paused_until = math.inf
        text = "%s: no prompt is kept on disk: a part has %d bytes, and all files may have %d"
        log.warning(text, self._root, nbytes + _HEADER_NBYTES, self.max_nbytes)

    def find(self, branch: Branch, rest: bytes, n_known: int) -> Path | None:
        """The file of the page that shares most of a prompt's next tokens.

        Args:
            branch: what the tokens go on from.
            rest: a page of them, or fewer.
            n_known: how many are known already: the page shares more.
        """
        if not branch.digest:
            return None
        exact = self.find_exact(branch, rest)
        if exact is not None:
            return exact
        known = {child.digest.hex() for child in branch.children.values()}
        best, most = None, n_known
        new = [e for e in self._files_of(branch.digest, ".page") if e.name[33:65] not in known]
        for _, path in nlargest(_MAX_COMPARED, ((_time(entry), Path(entry)) for entry in new)):
            n = n_common(self._tokens(path), rest)
            if n > most:
                best, most = path, n
        return best

    def find_exact(self, branch: Branch, page: bytes) -> Path | None:
        """The file of a full page of these tokens that goes on from a branch."""
        if len(page) < PAGE_NBYTES or not branch.digest:
            return None
        path = self._path(page_name(branch.digest, child_digest(branch.digest, page)))
        return path if self._is_there(path) else None

    def find_snapshots(self, parent: bytes, rest: bytes) -> list[tuple[int, str]]:
        """How many of the next tokens have a snapshot behind them, each with its file's name.

        Args:
            parent: the digest of the tokens before a page.
            rest: those of the page, or the first of them.
        """
        if not parent:
            return []
        found = []
        for entry in self._files_of(parent, ".state"):
            n = int(entry.name[66:69])
            tokens = rest[: n * TOKEN_NBYTES]
            if len(tokens) == n * TOKEN_NBYTES and entry.name == snapshot_name(parent, tokens):
                found.append((n, entry.name))
        return found

    def read(self, path: Path, branch: Branch, page: Page) -> bytes | None:
        """Read a file that was found; returns its page's tokens, or None where it is gone or bad.

        A bad one is a warning, and removed.
        """
        tokens = self._read(path, branch.digest, page.data)
        if tokens is not None:
            _touch(path, branch.end + len(tokens) // TOKEN_NBYTES)
        return tokens

    def read_snapshot(self, name: str, parent: bytes, data: NDArray[np.uint8], end: int) -> bool:
        """Read a snapshot that was found, at a position; whether it is there, and good."""
        path = self._path(name)
        if self._read(path, parent, data) is None:
            return False
        _touch(path, end + PAGE)
        return True

    def has_window(self, node: Node) -> bool:
        """Whether there is the block of layers with a window of a page."""
        return bool(node.digest) and self._is_there(self._window_path(node))

    def read_window(self, node: Node, data: NDArray[np.uint8]) -> bool:
        """Read that block; whether it is there, and good."""
        path = self._window_path(node)
        if self._read(path, node.parent.digest, data) is None:
            return False
        _touch(path, node.end + PAGE)
        return True

    def _window_path(self, node: Node) -> Path:
        return self._path(window_name(node.parent.digest, node.digest))

    def _read(self, path: Path, parent: bytes, data: NDArray[np.uint8]) -> bytes | None:
        try:
            with CacheFile(path, self._binding, self._sizes) as file:
                tokens, kind = file.read(0, data), file.parts[0].kind
        except (CacheFileError, OSError, IndexError) as error:
            self._refuse(path, error)
            return None
        own = child_digest(parent, tokens)
        names = {"page": page_name(parent, own), "window": window_name(parent, own),
                 "snapshot": snapshot_name(parent, tokens)}  # fmt: skip
        if path.name != names[kind]:
            self._refuse(path, "its tokens are not those of its name")
            return None
        return tokens

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _files_of(self, parent: bytes, suffix: str) -> list[os.DirEntry[str]]:
        """The files of one kind of what goes on from a parent."""
        name = parent.hex()
        try:
            with os.scandir(self._folder / name[:2]) as entries:
                return [
                    entry
                    for entry in entries
                    if entry.name.startswith(name) and entry.name.endswith(suffix)
                    and _NAME.fullmatch(entry.name)
                ]  # fmt: skip
        except OSError as error:
            self._tell_unreadable(error)
            return []

    def _is_there(self, path: Path) -> bool:
        try:
            os.stat(path)
        except OSError as error:
            self._tell_unreadable(error)
            return False
        return True

    def _tell_unreadable(self, error: OSError) -> None:
        """Say once that the disk refuses to look; nobody's answer ends with it."""
        if not (isinstance(error, FileNotFoundError) or self._is_told):
            self._is_told = True
            log.warning("%s: remembered prompts cannot be found: %s", self._root, str(error))

    def _tokens(self, path: Path) -> bytes:
        """A page's tokens, not yet checked; none where it is gone or bad."""
        try:
            with CacheFile(path, self._binding, self._sizes) as file:
                return file.read_tokens(0)
        except (CacheFileError, OSError, IndexError) as error:
            self._refuse(path, error)
            return b""

    def _refuse(self, path: Path, error: object) -> None:
        if isinstance(error, FileNotFoundError):  # removed meanwhile, as any file here may be
            return
        log.warning("%s: a remembered prompt is of no use: %s", path, str(error))
        try:
            path.unlink()
        except OSError:
            pass  # it is refused again next time

    def _has_room(self, nbytes: int) -> bool:
        """Whether so many bytes fit, once the oldest files are removed for them."""
        if nbytes > self.max_nbytes:
            return False
        if nbytes <= self._room:
            return True
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        if total + nbytes > self.max_nbytes:
            for _, size, path in files:
                if total + nbytes <= _ROOM * self.max_nbytes:
                    break
                Path(path).unlink(missing_ok=True)
                total -= size
        # Other processes write too.
        self._room = min(self.max_nbytes - total, self.max_nbytes // _LOOKS)
        return True

    def _files(self) -> Iterator[tuple[int, int, str]]:
        """(time, bytes, path) of all files of every model; what nobody finishes is removed."""
        for model in _folders(self._root, _DIGEST):
            for folder in _folders(model, _DIGITS):
                for entry in os.scandir(folder):
                    try:
                        status = entry.stat(follow_symlinks=False)
                        if _NAME.fullmatch(entry.name):
                            yield status.st_mtime_ns, status.st_size, entry.path
                        elif entry.name.endswith(PART) and _is_forgotten(status):
                            os.unlink(entry.path)
                    except FileNotFoundError:  # removed meanwhile
                        continue


def _folders(path: str | Path, name: re.Pattern[str]) -> list[str]:
    """Paths of the folders of such names in one; whatever else lies there is not ours."""
    with os.scandir(path) as entries:
        return [
            entry.path
            for entry in entries
            if name.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]


def _is_forgotten(status: os.stat_result) -> bool:
    return status.st_mtime < time.time() - _FORGOTTEN_S


def _time(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def _age(leaving: Leaving) -> int:
    """Where it ends; what belongs to a page is older than that, wherever in it it is."""
    return leaving.end + (0 if leaving.kind == "page" else PAGE)


def _touch(path: Path, end: int) -> bool:
    """Make a page's file young, yet older than what it grew from; False where it is gone."""
    now = time.time_ns() - _NS_PER_TOKEN * end
    try:
        os.utime(path, ns=(now, now))
    except FileNotFoundError:
        return False
    except OSError:
        pass  # it keeps its time, where that cannot be set
    return True
