"""The adapters of a model: `load_adapter`, `unload_adapter`, `adapters`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextvars import copy_context
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halfbyte.call_arguments import check_path
from halfbyte.engine.adapter_weights import AdapterWeights, Applied, adapter_kernels, pack_adapter
from halfbyte.engine.engine import Engine
from halfbyte.generation.adaptation import LoadedAdapters, applied
from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.scheduler import Scheduler
from halfbyte.import_lock import Later
from halfbyte.kernels.compiler import jit
from halfbyte.kernels.compiler.uninterrupted import uninterrupted

if TYPE_CHECKING:
    from halfbyte.lora import reading
else:  # few models have adapters
    reading = Later("halfbyte.lora.reading")


class AdaptingModel:
    """A model whose calls can go through adapters (docs/adapters.md)."""

    engine: Engine
    scheduler: Scheduler
    _adapters: LoadedAdapters
    _memory: PromptMemory

    @property
    def adapters(self) -> list[str]:
        """Names of the loaded adapters."""
        return self._adapters.names

    @property
    def adapter_scales(self) -> dict[str, float]:
        """The scale of each loaded adapter in calls that say nothing of adapters, by name."""
        return self._adapters.usual_scales

    def load_adapter(self, path: str | os.PathLike[str], *, name: str | None = None) -> str:
        """Have an adapter (LoRA) ready for calls with `adapter=name`.

        Args:
            path: a folder as peft saves them, or a .gguf adapter as llama.cpp's converter does.
            name: for calls; default: the folder's or file's own, with a number where it is taken.

        Returns:
            its name.

        Raises:
            RequestError: an adapter has that name.
            ModelFileError: it is missing, broken, no adapter, or does not fit this model; all of
                its tensors have to be used. UnsupportedModelError: it computes more, as DoRA.
            EngineError: the model is closed, or there is not enough memory.
        """
        checked = Path(check_path("path", path)).expanduser()
        chosen = self._adapters.check_new(self._free_name(checked) if name is None else name)
        context = copy_context()
        weights = uninterrupted(lambda: context.run(lambda: self._weights_of(checked)))
        self.scheduler.between_steps(lambda: self._memory.remember_again(weights.digest))
        self._adapters.add(chosen, weights)
        return chosen

    def unload_adapter(self, name: str) -> None:
        """Give an adapter up, and what is remembered of prompts that went through it.

        Answers on their way go on to their end with it.

        Raises:
            RequestError: there is none of that name. EngineError: the model is closed.
        """
        weights = self._adapters.get(name, "name")
        self.scheduler.check_process()
        self._adapters.remove(name)
        self.scheduler.usual_adapters = self._adapters.usual
        if not self._adapters.has(weights.digest):
            self.scheduler.between_steps(lambda: self._memory.forget(weights.digest))

    def adapters_of(self, adapter: Any) -> tuple[Applied, ...]:
        """What an argument `adapter` stands for; RequestError for an unknown name or bad scale."""
        return applied(self._adapters, adapter)

    def use_adapters(self, adapters: Sequence[tuple[str, float]]) -> None:
        """Have all calls that say nothing of adapters go through these, by name and scale."""
        self._adapters.usual = applied(self._adapters, list(adapters))
        self.scheduler.usual_adapters = self._adapters.usual

    def _weights_of(self, path: Path) -> AdapterWeights:
        self.engine.check_open()
        adapter, engine = reading.read_adapter(path, self.engine.config), self.engine
        matrices = engine.weights.matrices
        jit.compile_all(adapter_kernels(adapter, engine.config, matrices), lambda done, total: None)
        return pack_adapter(adapter, engine.config, matrices)

    def _free_name(self, path: Path) -> str:
        """A folder's name, or a file's without its ending, and a number if need be."""
        whole = Path(os.path.abspath(path))
        name = (whole.stem if whole.suffix == ".gguf" else whole.name) or "adapter"
        names = (name if i == 1 else f"{name}-{i}" for i in count(1))
        return next(one for one in names if one not in self.adapters)
