"""The settings that an answer repeats."""

from __future__ import annotations

from halfbyte.server.llama_cpp.generation_settings import default_settings, generation_settings
from halfbyte.server.llama_cpp.request_schema import GenerationFields
from halfbyte.server.shelf import Shelf


def test_settings_repeat_what_was_asked(shelf: Shelf) -> None:
    model = shelf.loaded()[0]
    asked = GenerationFields.model_validate(
        {"seed": 5, "logit_bias": [[3, False], [4, 1.5]], "samplers": "kt", "n_predict": 9}
    )
    got = generation_settings(asked, model)
    assert got["logit_bias"] == [{"bias": None, "token": 3}, {"bias": 1.5, "token": 4}]
    assert (got["seed"], got["samplers"], got["max_tokens"]) == (5, ["top_k", "temperature"], 9)
    assert got.keys() == default_settings(512).keys()
