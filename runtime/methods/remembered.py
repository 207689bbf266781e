"""Remembered prompts as users hold them: what `load` is told of them, and a model's methods."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from halfbyte import settings, system
from halfbyte.cache_scope import current_scope
from halfbyte.call_arguments import check_path, is_whole
from halfbyte.errors import CacheFileError, RequestError
from halfbyte.generation.model_hash import FilesHash, FileStamp
from halfbyte.import_lock import importing
from halfbyte.kernels.compiler.private_files import private_folder
from halfbyte.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from halfbyte.engine.engine import Engine
    from halfbyte.generation.prompt_memory import PromptMemory
    from halfbyte.generation.scheduler import Scheduler
    from halfbyte.generation.speculation.draft_model import DraftModel

log = logging.getLogger(__name__)

_USUAL_NBYTES = 256 << 20
_SHARE = 4  # of the memory that is left, one part
_N_SNAPSHOTS = 16  # of recurrent layers' states, beside a context's keys and values
_N_WINDOWS = 4  # of layers with windows, likewise


@dataclass(frozen=True, slots=True)
class Remembered:
    """Checked arguments; `nbytes` is None for the usual bound."""

    nbytes: int | None
    folder: Path | None
    folder_nbytes: int

    @classmethod
    def of(cls, nbytes: object, folder: object, folder_nbytes: object) -> Remembered:
        """From the arguments of `load`.

        Raises:
            RequestError: one is out of range. CacheFileError: the folder cannot be used.
        """
        path = None if folder is None else Path(check_path("prompt_cache_dir", folder))
        if path is not None:
            path = path.expanduser()
            try:
                private_folder(path)
            except OSError as error:
                raise CacheFileError(
                    path, expected="a folder that only this user can write", got=str(error)
                ) from error
        most = _whole("prompt_cache_dir_bytes", folder_nbytes)
        own = None if nbytes is None else _whole("prompt_cache_bytes", nbytes)
        if path is not None and own == 0:
            log.warning("%s: no prompt is kept on disk, since prompt_cache_bytes is 0", path)
        return cls(own, path, most)

    def memory(self, engine: Engine, stamps: Sequence[FileStamp]) -> PromptMemory:
        """The memory for an engine, whose model lies in these files."""
        with importing:  # which a start does beside other work
            from halfbyte.generation.prompt_memory import Bounds, PromptMemory

        bounds = Bounds(
            self._most(engine), system.available_memory, self.folder, self.folder_nbytes
        )
        return PromptMemory(engine, bounds, FilesHash(stamps, settings.cache_dir() / "hashes"))

    def draft_model(self, draft: Engine, engine: Engine) -> DraftModel:
        """What guesses for an engine's model; it remembers as many tokens, in memory."""
        with importing:
            from halfbyte.generation.speculation.draft_model import DraftModel
            from halfbyte.generation.speculation.next_model import NextModel

        n = draft.n_ctx  # it may have no window where the other has, and then ends before it
        nbytes = self._most(engine) * draft.layout.nbytes(n) // engine.layout.nbytes(n)
        kind = NextModel if draft.config.next_layer else DraftModel
        return kind(draft, engine, nbytes, system.available_memory)

    def _most(self, engine: Engine) -> int:
        if self.nbytes is not None:
            return self.nbytes
        nbytes = max(engine.layout.nbytes(engine.n_ctx), _USUAL_NBYTES)
        nbytes += _N_WINDOWS * engine.layout.window_nbytes
        if engine.pages.states is not None:
            nbytes += _N_SNAPSHOTS * engine.pages.states.layout.nbytes
        available = system.available_memory()
        return nbytes if available is None else min(nbytes, available // _SHARE)


class RememberingModel:
    """A model whose prompts can be written to a file and read again; within a scope
    (cache_scope.py), those that belong to it alone.
    """

    scheduler: Scheduler
    _memory: PromptMemory

    @property
    def remembered_nbytes(self) -> int:
        """Bytes of memory that remembered prompts take now."""
        return self._memory.nbytes

    def save_cache(self, path: str | os.PathLike[str]) -> int:
        """Write all that is remembered of prompts to a file; returns its bytes.

        Raises:
            CacheFileError: the file cannot be written, or the model's own has changed since.
            EngineError: the model is closed or the process was forked.
        """
        checked, scope = self._checked(path), current_scope()
        return self.scheduler.between_steps(lambda: self._memory.save(checked, scope))

    def load_cache(self, path: str | os.PathLike[str]) -> int:
        """Remember what a file of `save_cache` holds, as far as there is room; how many tokens.

        Raises:
            CacheFileError: the file is missing, cut short, damaged, or of another model, layout of
                memory or version.
            EngineError: as `save_cache`.
        """
        checked, scope = self._checked(path), current_scope()
        return self.scheduler.between_steps(lambda: self._memory.load(checked, scope))

    @property
    def file_hash(self) -> str | None:
        """SHA-256 of the model's file, in hexadecimal; of several, of their hashes.

        It is known at once where a file of that path, size and time was read before. Else it is
        None for a while: whoever asks first has a thread read the file.
        """
        return self._memory.model_hash()

    def forget_cache(self) -> int:
        """Forget what is remembered of prompts; how many tokens that were.

        What `prompt_cache_dir` keeps stays there, and is found again.

        Raises:
            EngineError: the model is closed or the process was forked.
        """
        scope = current_scope()

        def forget() -> int:
            n = self._memory.n_tokens(scope)
            self._memory.clear(scope)
            return n

        return self.scheduler.between_steps(forget)

    def n_remembered(self) -> int:
        """How many tokens are remembered of prompts; raises as `forget_cache`."""
        scope = current_scope()
        return self.scheduler.between_steps(lambda: self._memory.n_tokens(scope))

    def _checked(self, path: object) -> str:
        """A file's path, once all is known that it takes: only then do others wait."""
        checked = check_path("path", path)
        self.scheduler.check_usable()
        self._memory.wait_for_hash()
        return checked


def _whole(name: str, value: object) -> int:
    if not is_whole(value) or value < 0:
        raise RequestError(name, expected="a number of bytes, from 0", got=repr(value))
    return int(value)
