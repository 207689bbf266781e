"""`assistant_model`: another model that guesses what a model's rows say."""

from __future__ import annotations

import os
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.loading import load
from halfbyte.model import Model


class Assistant:
    """The assistants of one model, of which it has one at a time."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._place = ""  # of the one that was loaded for this

    def use(self, assistant: Any) -> bool:
        """Have an assistant guess; whether there is one.

        Args:
            assistant: what AutoModelForCausalLM gave, or what it takes; None for none.

        Raises:
            RequestError: something else, or a model of another vocabulary.
            HalfbyteError: as `halfbyte.load`.
        """
        if assistant is None:
            return False
        loaded = getattr(assistant, "model", None)
        if isinstance(loaded, Model):
            self._model.use_draft(loaded)
            self._place = ""
        elif isinstance(assistant, (str, os.PathLike)):
            place = os.fspath(assistant)
            if place != self._place:
                with load(place, threads=1) as other:
                    self._model.use_draft(other)
                self._place = place
        else:
            raise RequestError(
                "assistant_model", expected="a model of halfbyte's AutoModelForCausalLM, or a name",
                got=repr(assistant),
            )  # fmt: skip
        return True
