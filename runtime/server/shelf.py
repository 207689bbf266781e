"""The models that are served, by name; loaded when they are asked for, and unloaded when idle."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping

from halfbyte.model import Model
from halfbyte.server.fault import Fault
from halfbyte.server.served_model import ServedModel

log = logging.getLogger(__name__)


class _Copy:
    """A model as it lies in memory, or may.

    Attributes:
        model: None while it is not loaded.
        served: it under each of its names.
        coming: the model on its way; None while there is none.
        n_held: requests that use it.
        idle_s: seconds without a request after which it goes; None: never.
        unused_s: since when nobody uses it.
        lock: of whoever loads or unloads it.
    """

    def __init__(self, idle_s: float | None) -> None:
        self.model: Model | None = None
        self.served: dict[str, ServedModel] = {}
        self.coming: asyncio.Future[Model] | None = None
        self.n_held = 0
        self.idle_s, self.unused_s = idle_s, time.monotonic()
        self.lock = asyncio.Lock()

    @property
    def is_loading(self) -> bool:
        """Whether it is on its way."""
        return self.coming is not None

    @property
    def is_idle(self) -> bool:
        """Whether it has been of no use for long enough."""
        if self.model is None or self.n_held or self.idle_s is None:
            return False
        return time.monotonic() - self.unused_s >= self.idle_s


class Shelf:
    """Models by name, the first one for who names none.

    Args:
        sources: what to load for each name: a path or a catalogue's name; names of one source
            share the model.
        load: loads a source.
        idle_s: seconds without a request after which a model is unloaded; None: never.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        load: Callable[[str], Model],
        *,
        idle_s: float | None = None,
    ) -> None:
        self.sources, self._load, self._idle_s = dict(sources), load, idle_s
        self._copies = {source: _Copy(idle_s) for source in self.sources.values()}
        self._is_closed = False

    @property
    def names(self) -> list[str]:
        """All names, the first model's first."""
        return list(self.sources)

    @property
    def is_loading(self) -> bool:
        """Whether some model is on its way into memory."""
        return any(copy.is_loading for copy in self._copies.values())

    @property
    def is_starting(self) -> bool:
        """Whether the first model is, which most requests are for."""
        return self._copies[self.sources[self.names[0]]].is_loading

    def is_here(self, name: str) -> bool:
        """Whether a model is loaded or on its way."""
        copy = self._copies[self.sources[name]]
        return copy.model is not None or copy.is_loading

    def put(self, name: str, model: Model) -> None:
        """Serve a model that is loaded already."""
        copy, now = self._copies[self.sources[name]], int(time.time())
        copy.model, copy.unused_s = model, time.monotonic()
        mine = [other for other in self.names if self.sources[other] == self.sources[name]]
        copy.served = {other: ServedModel(other, model, now) for other in mine}

    async def get(self, name: str) -> ServedModel:
        """The model of that name, or the first one.

        Raises:
            Fault: there is none of that name, or the server ends.
            HalfbyteError: it cannot be loaded.
        """
        name = self.known(name) if name else self.names[0]
        copy = self._copies[self.sources[name]]
        if name in copy.served:
            return copy.served[name]
        async with copy.lock:
            if name not in copy.served:
                await self._fetch(name, copy)
            return copy.served[name]

    async def _fetch(self, name: str, copy: _Copy) -> None:
        # Whoever asked may go; the model comes all the same, for who asks next.
        if copy.coming is None:
            copy.coming = self._begin(name, copy)
        await asyncio.shield(copy.coming)
        await asyncio.sleep(0)  # until `done` has run
        if self._is_closed:
            raise Fault("overloaded", "the server ends")

    def _begin(self, name: str, copy: _Copy) -> asyncio.Future[Model]:
        """A model on its way, which is put where it belongs."""
        work = asyncio.ensure_future(asyncio.to_thread(self._load, self.sources[name]))

        def done(work: asyncio.Future[Model]) -> None:
            copy.coming = None
            if work.cancelled() or work.exception() is not None:
                return
            if self._is_closed:
                work.result().close()
            else:
                self.put(name, work.result())

        work.add_done_callback(done)
        return work

    def hold(self, served: ServedModel) -> None:
        """Keep a model in memory until it is released as often."""
        self._copies[self.sources[served.name]].n_held += 1

    def release(self, served: ServedModel) -> None:
        """A request is done with a model."""
        copy = self._copies[self.sources[served.name]]
        copy.n_held -= 1
        copy.unused_s = time.monotonic()

    def keep(self, served: ServedModel, idle_s: float | None) -> None:
        """Have a model go after so many seconds without a request; 0 at once, None never."""
        self._copies[self.sources[served.name]].idle_s = idle_s

    def idle_left_s(self, served: ServedModel) -> float:
        """Seconds until a model goes if nobody asks it for anything; infinite for never."""
        copy = self._copies[self.sources[served.name]]
        if copy.idle_s is None:
            return math.inf
        return max(copy.unused_s + copy.idle_s - time.monotonic(), 0.0)

    def loaded(self) -> list[ServedModel]:
        """Those that are in memory, under all of their names."""
        return [one for copy in self._copies.values() for one in copy.served.values()]

    def models(self) -> dict[str, Model]:
        """Each model in memory once, by the first of its names."""
        return {
            next(iter(copy.served)): copy.model
            for copy in self._copies.values()
            if copy.model is not None
        }

    async def unload_idle(self) -> None:
        """Unload what nobody has used for long enough."""
        for copy in self._copies.values():
            if not copy.is_idle:
                continue
            async with copy.lock:
                if copy.is_idle:
                    log.info("unloading %s, which nobody uses", ", ".join(copy.served))
                    await self._unload(copy)

    async def close(self) -> None:
        """Close all models; what is on its way ends."""
        self._is_closed = True
        await asyncio.gather(*(self._unload(copy) for copy in self._copies.values()))

    async def _unload(self, copy: _Copy) -> None:
        model, copy.model, copy.served, copy.idle_s = copy.model, None, {}, self._idle_s
        if model is not None:
            await asyncio.to_thread(model.close)

    def known(self, name: str) -> str:
        """The name that a client means, as it is written here.

        Raises:
            Fault: there is none of that name.
        """
        plain = name.removesuffix(":latest")
        if plain in self.sources:
            return plain
        message = f"model: expected one of {', '.join(self.names)}, got {name[:200]!r}"
        raise Fault("not_found", message, param="model")
