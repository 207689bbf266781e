"""Options become the library's keywords, and only those that were given."""

from __future__ import annotations

from typing import Any

import pytest

import halfbyte
from halfbyte.server.fault import Fault
from halfbyte.server.fields import checked
from halfbyte.server.ollama.ollama_options import Asked, Options
from halfbyte.server.served_model import ServedModel
from halfbyte.server.shelf import Shelf


def arguments(**options: Any) -> dict[str, Any]:
    return checked(Options, options, "Ollama").arguments(99)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"max_tokens": 99}), ({"num_predict": -2}, {"max_tokens": 99}),
        ({"num_predict": 0}, {"max_tokens": 0}), ({"top_k": -1}, {"max_tokens": 99, "top_k": 0}),
        ({"seed": -1}, {"max_tokens": 99}), ({"seed": 0}, {"max_tokens": 99, "seed": 0}),
        ({"repeat_last_n": 5}, {"max_tokens": 99}),
        ({"repeat_last_n": -1, "presence_penalty": 1},
         {"max_tokens": 99, "presence_penalty": 1, "penalty_window": None}),
        ({"repeat_last_n": 0, "repeat_penalty": 1.5},
         {"max_tokens": 99, "repetition_penalty": 1.5, "penalty_window": 0}),
        ({"mirostat": 2, "mirostat_tau": 3, "mirostat_eta": 0.2},
         {"max_tokens": 99, "mirostat": 2, "mirostat_tau": 3, "mirostat_eta": 0.2}),
        ({"temperature": 3, "stop": "x"}, {"max_tokens": 99, "temperature": 3, "stop": "x"}),
        ({"num_ctx": 1 << 40, "tfs_z": 0.5, "temperature": None}, {"max_tokens": 99}),
    ],
)  # fmt: skip
def test_keywords_are_those_that_were_given(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert arguments(**given) == expected


def test_keywords_are_the_librarys(shelf: Shelf) -> None:
    names = {name: 1 for name in Options.model_fields if name not in ("num_predict", "stop")}
    model = shelf.loaded()[0].model
    assert model.complete("a", **arguments(**names, num_predict=2, stop="b")).tokens


def test_formats_and_thoughts(shelf: Shelf) -> None:
    served = shelf.loaded()[0]
    assert Asked(format="json").sampling(9)["json_schema"] == {"type": "object"}
    assert Asked(format={"type": "string"}).sampling(9)["json_schema"] == {"type": "string"}
    assert "json_schema" not in Asked(format="").sampling(9)
    assert Asked(think=False).thinking(served) == {}  # which has no thoughts anyway
    with pytest.raises(Fault, match="does not support thinking"):
        Asked(think="low").thinking(served)


def test_levels_are_budgets() -> None:
    class Thinker(ServedModel):
        can_think = has_switch = True
        reads_effort = False

        def __init__(self) -> None:
            self.name = "thinker"

    served = Thinker()
    asked = {"low": 1024, "medium": 4096, "high": 16384}
    for level, budget in asked.items():
        made = Asked(think=level).thinking(served)
        assert made == {"thinking": True, "reasoning_budget": budget}
        served.reads_effort = True
        made = Asked(think=level).thinking(served)
        assert made == {"thinking": True, "reasoning_effort": level}
        served.reads_effort = False
    assert Asked(think=True).thinking(served) == {"thinking": True}
    assert Asked(think=False).thinking(served) == {"thinking": False}
    assert Asked(format="json").thinking(served) == {"thinking": False}
    assert Asked().thinking(served) == {}
    assert halfbyte.Model.chat  # whose keywords they are
