"""The models that are served, by name; loaded when they are asked for."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from halfbyte.model import Model
from halfbyte.server.fault import Fault
from halfbyte.server.served_model import ServedModel


class Shelf:
    """Models by name, the first one for who names none.

    Args:
        sources: what to load for each name: a path or a catalogue's name; names of one source
            share the model.
        load: loads a source.
    """

    def __init__(self, sources: Mapping[str, str], load: Callable[[str], Model]) -> None:
        self.sources, self._load = dict(sources), load
        self._loaded: dict[str, ServedModel] = {}
        self._idle_s: dict[str, float | None] = {}
        self._locks = {source: asyncio.Lock() for source in self.sources.values()}

    @property
    def names(self) -> list[str]:
        """All names, the first model's first."""
        return list(self.sources)

    def put(self, name: str, model: Model) -> None:
        """Serve a model that is loaded already."""
        self._loaded[name] = ServedModel(name, model, int(time.time()))

    async def get(self, name: str) -> ServedModel:
        """The model of that name, or the first one.

        Raises:
            Fault: there is none of that name.
            HalfbyteError: it cannot be loaded.
        """
        name = self._known(name)
        if name in self._loaded:
            return self._loaded[name]
        async with self._locks[self.sources[name]]:
            if name not in self._loaded:
                model = await asyncio.to_thread(self._load, self.sources[name])
                self.put(name, model)
        return self._loaded[name]

    def keep(self, served: ServedModel, idle_s: float | None) -> None:
        """Have a model go after so many seconds without a request; 0 at once, None never."""
        self._idle_s[served.name] = idle_s

    def idle_left_s(self, served: ServedModel) -> float:
        """Seconds until a model goes if nobody asks it for anything; infinite for never."""
        idle_s = self._idle_s.get(served.name)
        return math.inf if idle_s is None else idle_s

    def loaded(self) -> list[ServedModel]:
        """Those that are in memory."""
        return list(self._loaded.values())

    async def close(self) -> None:
        """Close all models; what is on its way ends."""
        loaded, self._loaded = self._loaded, {}
        for served in loaded.values():
            await asyncio.to_thread(served.model.close)

    def _known(self, name: str) -> str:
        names: list[Any] = self.names
        if not name:
            return names[0]
        plain = name.removesuffix(":latest")
        if plain in self.sources:
            return plain
        message = f"model: expected one of {', '.join(names)}, got {name[:200]!r}"
        raise Fault("not_found", message, param="model")
