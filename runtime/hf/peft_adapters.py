"""Adapters (LoRA) under transformers' names: `load_adapter`, `set_adapter`, `active_adapters`.

Which ones are active is this model's own: `model.model` has other calls, which say so themselves.
"""

from __future__ import annotations

import os
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.hf.arguments import leave_out
from halfbyte.hf.pretrained_config import refuse_others
from halfbyte.model import Model

DEFAULT = "default"  # the name of an adapter that is given none
# Arguments of transformers' load_adapter that are not to be had here, with what leaves them off.
_ABSENT: dict[str, object] = {
    "adapter_kwargs": None, "adapter_state_dict": None, "hotswap": "auto", "is_trainable": False,
    "load_config": None, "peft_config": None, "revision": None, "token": None,
}  # fmt: skip
_WITHOUT_EFFECT = ("device_map", "local_files_only", "low_cpu_mem_usage", "max_memory",
                   "offload_folder", "offload_index")  # fmt: skip
Names = str | list[str]


class ActiveAdapters:
    """Those that calls go through which say nothing of adapters.

    Attributes:
        names: of those that were set.
        are_on: whether they count.
    """

    def __init__(self) -> None:
        self.names: list[str] | None = None
        self.are_on = True

    def of_call(self, stated: Any) -> Any:
        """The adapters of a call; None where nobody ever said anything of them."""
        if stated is not None or self.names is None:
            return stated
        return self.names if self.are_on else []


class PeftModel:
    """A model whose calls can go through adapters."""

    model: Model
    adapters: ActiveAdapters

    def load_adapter(
        self,
        peft_model_id: str | os.PathLike[str],
        adapter_name: str | None = None,
        **arguments: Any,
    ) -> None:
        """Load an adapter, and have calls go through it alone.

        Args:
            peft_model_id: a folder as peft saves them, or a .gguf adapter.
            adapter_name: for `set_adapter`; "default" for None.
            arguments: of transformers; what says how it loads has no effect, others are refused.

        Raises:
            RequestError: an argument that is not supported, or a name that is taken.
            HalfbyteError: as `Model.load_adapter`.
        """
        refuse_others(leave_out(arguments, _ABSENT, _WITHOUT_EFFECT))
        name = DEFAULT if adapter_name is None else adapter_name
        self.adapters.names = [self.model.load_adapter(peft_model_id, name=name)]

    def set_adapter(self, adapter_name: Names) -> None:
        """Have calls go through these; RequestError where one is not loaded."""
        names = self._known("adapter_name", adapter_name)
        self.model.adapters_of(names)
        self.adapters.names = names

    def active_adapters(self) -> list[str]:
        """Names of those that calls go through; RequestError where none is loaded."""
        self._check_loaded("active_adapters")
        return list(self.adapters.names or ())

    def disable_adapters(self) -> None:
        """Have calls go through none until `enable_adapters`; RequestError as active_adapters."""
        self._check_loaded("disable_adapters")
        self.adapters.are_on = False

    def enable_adapters(self) -> None:
        """Have them count again; RequestError as active_adapters."""
        self._check_loaded("enable_adapters")
        self.adapters.are_on = True

    def delete_adapter(self, adapter_names: Names) -> None:
        """Give adapters up; RequestError where one is not loaded, and then none is."""
        names = self._known("adapter_names", adapter_names)
        for name in names:
            self.model.unload_adapter(name)
        if self.adapters.names is not None:
            self.adapters.names = [name for name in self.adapters.names if name not in names]

    def add_adapter(self, *arguments: Any, **options: Any) -> None:
        """Refused: a new adapter would have to be trained."""
        raise RequestError(
            "add_adapter", expected="load_adapter: there is no training here",
            hint="train it with peft, and load what it saves",
        )  # fmt: skip

    def _check_loaded(self, what: str) -> None:
        if self.adapters.names is None:
            raise RequestError(what, expected="an adapter", got="none", hint="load_adapter first")

    def _known(self, param: str, given: object) -> list[str]:
        names = [given] if isinstance(given, str) else given
        loaded = self.model.adapters
        if not isinstance(names, (list, tuple)) or not all(name in loaded for name in names):
            expected = f"names of loaded adapters: {', '.join(loaded) or 'there are none'}"
            raise RequestError(param, expected=expected, got=repr(given))
        return list(names)
