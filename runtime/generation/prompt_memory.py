"""What is remembered of prompts and answers, as running requests use it.

Requests come first: where pages are short, remembered prompts give way. A request begins with the
longest beginning that is known of it, and whatever it has computed when it ends is remembered, also
where its caller has given it up: the next keystroke goes on from there.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.engine import Engine
from halfbyte.engine.footprint import MARGIN_NBYTES
from halfbyte.errors import CacheFileError, EngineError, OutOfPagesError
from halfbyte.generation.model_hash import FilesHash
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.request import Request
from halfbyte.generation.shared_prompt import SharedPrompt
from halfbyte.generation.snapshot_places import places
from halfbyte.import_lock import Later
from halfbyte.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from halfbyte.engine import binding
    from halfbyte.generation import lasting_cache, saved_cache
else:  # few keep prompts in files
    binding = Later("halfbyte.engine.binding")
    lasting_cache = Later("halfbyte.generation.lasting_cache")
    saved_cache = Later("halfbyte.generation.saved_cache")

log = logging.getLogger(__name__)

SNAPSHOT_DISTANCE = 512  # tokens at least, between states that cannot be cut back
_WINDOW_DISTANCE = MAX_BATCH  # at which sequences' windows are remembered before they have moved on
_HASHING_S = 60.0  # that closing waits for the model's hash at most,
_FLUSHING_S = 30.0  # and for the disk
_LOOKING_S = 0.05  # whether the disk can take more, while nothing else is to be done


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is remembered, and where.

    Attributes:
        nbytes: in memory; 0 remembers nothing.
        available: bytes of memory that the machine has left; None where it does not tell.
        folder: what falls out of memory goes there; None for nowhere.
        folder_nbytes: of all files in it.
    """

    nbytes: int = 0
    available: Callable[[], int | None] = lambda: None
    folder: Path | None = None
    folder_nbytes: int = 0


class PromptMemory:
    """The remembered prompts of one engine, for the thread that owns it.

    Args:
        engine: whose pages they are.
        bounds: how much.
        model: the hash of its files; None where nothing is kept on disk.
    """

    def __init__(
        self, engine: Engine, bounds: Bounds | None = None, model: FilesHash | None = None
    ) -> None:
        self._engine, self._bounds, self._model = engine, bounds or Bounds(), model
        self._cache = PrefixCache(engine.pages, self._bounds.nbytes)
        self._lasting: lasting_cache.LastingCache | None = None
        self._has_folder = self._bounds.folder is not None
        self._shared: weakref.WeakSet[SharedPrompt[Request]] = weakref.WeakSet()  # that hold memory
        self._unloaded: set[str] = set()  # adapters, by their digests
        self._bound_pages()
        sizes = self._cache.sizes
        if sizes.snapshot and 0 < self._bounds.nbytes < sizes.page + sizes.snapshot:
            text = (
                "prompts are processed again each time: prompt_cache_bytes is %d, a snapshot has %d"
            )
            log.warning(text, self._bounds.nbytes, sizes.page + sizes.snapshot)

    @property
    def nbytes(self) -> int:
        """Bytes of all that is remembered in memory; any thread may look."""
        return self._cache.nbytes

    def load_next(self, request: Request) -> bool:
        """Bring a page that the request can use from the disk; False where there is no more."""
        lasting = self._on_disk()
        if lasting is None or not request.is_remembered or _n_shared(request):
            return False
        return lasting.load_next(request.recallable, request.adapter)

    def n_known(self, request: Request) -> int:
        """How many of a request's tokens are in memory."""
        if _n_shared(request):
            return _n_shared(request)
        if not (request.is_remembered and self._bounds.nbytes):
            return 0
        return self._cache.n_known(request.recallable, request.adapter)

    def begin(self, request: Request) -> None:
        """Give a request a sequence with what is known of its tokens."""
        shared = None if request.shared is None else request.shared.begin(request)
        if shared is not None:
            request.sequence, request.n_reused = shared, shared.n_past
            return
        n_agreed = 0
        if request.is_remembered and self._bounds.nbytes:
            n_agreed = self._recall(request)
        else:
            request.sequence = self._engine.new_sequence()
        if self._cache.has_places:
            ids, n_shared = request.ids[: request.n_prompt], _n_led(request)
            found = places(ids, request.n_computed, n_agreed, request.ends, n_shared)
            if self._cache.has_snapshots:
                request.places = found
            else:
                request.likely = found

    def _recall(self, request: Request) -> int:
        """Give it what is remembered; how many of its tokens some remembered prompt has, too."""
        tokens, n_led = request.recallable, _n_led(request)
        if self._cache.has_places and n_led:  # who waits for these gets no fewer of more
            tokens = tokens[: n_led + 1]
        match = self._cache.match(tokens, request.adapter)
        request.sequence, request.n_kept = match.sequence, match.n_reused
        if request.n_reused is None:  # else it is computed again
            request.n_reused, request.mismatch = match.n_reused, match.mismatch
        return match.n_agreed

    def keep(self, request: Request, *, is_likely: bool = False) -> None:
        """Remember what is computed of a request; `is_likely` as for PrefixCache.put."""
        if self._unloaded and any(
            a.weights.digest in self._unloaded for a in request.adapters or ()
        ):
            return
        if request.sequence is not None and request.is_remembered and self._bounds.nbytes:
            sequence, n_kept = request.sequence, request.n_kept
            request.n_kept = sequence.n_past
            try:
                if sequence.n_past > len(request.ids):  # guesses that nobody looked at
                    sequence.truncate(len(request.ids))
                likely = [n for n in request.likely if n_kept < n <= sequence.n_past]
                self._cache.put(
                    request.ids, sequence, request.adapter, is_likely=is_likely, likely=likely
                )
            except MemoryError:  # of all who use memory, this one can do without
                log.warning("memory is short: the remembered prompts are forgotten")
                self._cache.clear()
            except EngineError as error:
                log.info("what is computed of a request is not remembered: %s", error)

    def share(self, request: Request, shared: SharedPrompt[Request]) -> list[Request]:
        """A request may have computed what it shares; who can go on from there."""
        ready = shared.grow(request)
        if shared.sequence is not None:
            self._shared.add(shared)
        return ready

    def forget(self, digest: str) -> None:
        """Forget what was processed with an adapter, and what still is."""
        self._unloaded.add(digest)
        for adapter in self._cache.adapters():
            if isinstance(adapter, str) and digest in adapter:
                self._cache.forget(adapter)

    def remember_again(self, digest: str) -> None:
        """The adapter is back."""
        self._unloaded.discard(digest)

    def keep_on_the_way(self, request: Request) -> None:
        """Remember a request that goes on, now and then, where it cannot be cut back to later."""
        n_new = request.n_computed - request.n_kept
        if self._cache.windowed is not None:
            if n_new >= _WINDOW_DISTANCE:
                self.keep(request)
        elif self._cache.has_snapshots:
            if request.n_computed in request.places:
                self.keep(request, is_likely=True)
            elif n_new >= SNAPSHOT_DISTANCE:
                self.keep(request)

    def find_pages(self, error: EngineError) -> bool:
        """Have more pages, after that error: the machine's, or by forgetting; False if none."""
        wanted = self._engine.layout.page_nbytes
        if isinstance(error, OutOfPagesError):
            wanted = max(wanted, error.wanted)
            if self._bound_pages() >= wanted:
                return True
        if self._cache.shrink(wanted) >= wanted:
            return True
        begin = self._engine.pages.nbytes
        for shared in self._shared:
            shared.forget()
        self._shared.clear()
        if begin - self._engine.pages.nbytes >= wanted:
            return True
        return self._lasting is not None and self._lasting.give_memory()

    def work_ahead(self) -> float | None:
        """Have the disk do what will have to be done, while nobody waits.

        Returns:
            Seconds until it is to be called again; None if nothing is left to do.
        """
        lasting = self._on_disk()
        return _LOOKING_S if lasting is not None and lasting.write_ahead() else None

    def model_hash(self) -> str | None:
        """The model's, at once; None where it is not known yet, or there is none."""
        return None if self._model is None else self._model.get()

    def wait_for_hash(self) -> None:
        """Until it is known whose prompts these are; from any thread."""
        if self._model is not None:
            self._model.get(None)

    def save(self, path: str | os.PathLike[str], scope: str | None) -> int:
        """See Model.save_cache."""
        return saved_cache.save(self._cache, path, self._binding(path), scope)

    def load(self, path: str | os.PathLike[str], scope: str | None) -> int:
        """See Model.load_cache."""
        return saved_cache.load(self._cache, path, self._binding(path), scope)

    def n_tokens(self, scope: str | None) -> int:
        """Tokens that are remembered, in memory, or a scope's."""
        return self._cache.n_tokens(scope)

    def clear(self, scope: str | None = None) -> None:
        """Forget all of memory, or what is a scope's; what lies in a folder stays there."""
        self._cache.clear(scope)

    def close(self) -> None:
        """Keep what is remembered on disk, if it is to last, and forget it."""
        if self._cache.nbytes:
            self._on_disk(_HASHING_S)
        if self._lasting is not None:
            self._lasting.flush(_FLUSHING_S)
        elif self._has_folder and self._cache.nbytes:
            text = "%s: the remembered prompts are not kept, since the model's hash is not known"
            log.warning(text, self._bounds.folder)
        self._cache.clear()

    def _bound_pages(self) -> int:
        """Let pages take what the machine has now, less a margin; how many bytes more that is."""
        available = self._bounds.available()
        if available is None:
            return 0
        more = max(available - MARGIN_NBYTES, 0)
        self._engine.pages.max_nbytes = self._engine.pages.nbytes + more
        return more

    def _on_disk(self, timeout: float = 0) -> lasting_cache.LastingCache | None:
        """The folder, once the model's hash is known."""
        if self._has_folder and self._lasting is None and self._model is not None:
            value = self._model.get(timeout)
            if value is not None:
                self._lasting = self._lasting_cache(value)
        return self._lasting

    def _lasting_cache(self, value: str) -> lasting_cache.LastingCache | None:
        bounds = self._bounds
        assert bounds.folder is not None
        try:
            model = binding.Binding.of(self._engine, value)
            return lasting_cache.LastingCache.of(
                self._cache, bounds.folder, bounds.folder_nbytes, model
            )
        except CacheFileError as error:  # it was usable when the model was loaded
            log.warning("prompts are not kept on disk: %s", error)
            self._has_folder = False
            return None

    def _binding(self, path: str | os.PathLike[str]) -> binding.Binding:
        value = None if self._model is None else self._model.get(None)
        if value is None:
            raise CacheFileError(
                path, expected="the model's file as it was loaded, to bind a cache to",
                got="another one", hint="load the model again",
            )  # fmt: skip
        return binding.Binding.of(self._engine, value)


def _n_led(request: Request) -> int:
    """Tokens that others wait for it to compute."""
    shared = request.shared
    return 0 if shared is None or shared.leader is not request else shared.n_tokens


def _n_shared(request: Request) -> int:
    """Tokens that another request has computed for it."""
    return 0 if request.shared is None else request.shared.n_known
