"""Edits end to end: tiny random models with the formats' vocabularies, whose answers are forced."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import halfbyte
from halfbyte.families.model_card import ModelCard
from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.sampler import Sampler
from halfbyte.generation.speculation.step_costs import StepCosts
from tests.runtime.edit_models import QWEN, SEED_CODER, edit_model

TEXT = "def f(n):\r\n    return n\r\n\r\nprint(f(1))\nprint(f(2))\n"
CURSOR = TEXT.index("f(n)")
WINDOW = TEXT.replace("\r\n", "\n").removesuffix("\n")


@pytest.fixture(scope="module")
def model_of(
    vocabularies: Any,
    benchmark_module: Callable[[str], ModuleType],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str, tuple[str, ...]], halfbyte.Model]]:
    """A model of that name, with a vocabulary that has these special tokens."""
    models: dict[str, halfbyte.Model] = {}
    tiny = benchmark_module("tiny_llama")

    def model_of(name: str, specials: tuple[str, ...]) -> halfbyte.Model:
        if name not in models:
            folder = tmp_path_factory.mktemp("edits") / name
            models[name] = edit_model(name, specials, vocabularies, tiny, folder)
        return models[name]

    yield model_of
    for model in models.values():
        model.close()


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a model write an answer and a special token."""

    def forced(model: halfbyte.Model, answer: str, end: str) -> None:
        ids = iter([*model.tokenizer.encode_fragment(answer), model.tokenizer.id_of(end)])
        monkeypatch.setattr(Sampler, "sample", lambda self, logits: next(ids))

    return forced


@pytest.mark.parametrize(
    ("name", "specials", "answer", "end"),
    [
        ("sweep-next-edit-tiny", QWEN, WINDOW.replace("f(2)", "f(2, é)") + "\n", "<|file_sep|>"),
        ("sweep-next-edit-tiny", QWEN, WINDOW.replace("f(2)", "f(2, é)"), "<|endoftext|>"),
        (
            "zeta-2-tiny", SEED_CODER,
            TEXT.replace("f(2)", "f(2, é)") + ">>>>>>> UPDATED\n", "<[end▁of▁sentence]>",
        ),
        (
            "zeta-2.1-tiny", SEED_CODER,
            f"<|marker_1|>{TEXT.replace('f(2)', 'f(2, é)')}<|marker_2|>", "<[end▁of▁sentence]>",
        ),
    ],
    ids=["sweep", "sweep-eos", "zeta-2", "zeta-2.1"],
)  # fmt: skip
def test_an_edit_in_each_format(
    model_of: Any, forced: Any, name: str, specials: tuple[str, ...], answer: str, end: str
) -> None:
    model = model_of(name, specials)
    forced(model, answer, end)
    done = model.edit("a.py", TEXT, CURSOR)
    place = TEXT.index(")", TEXT.index("f(2"))
    assert (done.start, done.end, done.text, done.jump) == (place, place, ", é", place)
    assert done.format == name.removesuffix("-tiny").removesuffix("-next-edit")
    assert done.full_text == TEXT.replace("f(2)", "f(2, é)")
    assert (done.finish_reason, done.left_out, done.original) == ("stop", (), TEXT)
    assert answer.startswith(done.answer) and isinstance(done, halfbyte.Edit)


@pytest.mark.parametrize("card", [{"names": ("x", "zeta-2.1")}, {"tags": ("code", "zeta-2.1")}])
def test_names_and_tags_tell_the_format(
    model_of: Any, forced: Any, card: dict[str, tuple[str, ...]]
) -> None:
    base = model_of("zeta-2-tiny", SEED_CODER)
    model = halfbyte.Model(
        Path("m.gguf"), base.config, base.tokenizer, base.engine, 0.0, ModelCard(**card),
        PromptMemory(base.engine),
    )  # fmt: skip
    forced(model, "<|marker_1|><|marker_1|>", "<[end▁of▁sentence]>")
    assert model.edit("a.py", TEXT, CURSOR).format == "zeta-2.1"


def test_the_stream_is_the_answer(model_of: Any, forced: Any) -> None:
    model = model_of("zeta-2-tiny", SEED_CODER)
    answer = WINDOW.replace("def", "<|user_cursor|>async def") + "\n"
    forced(model, answer + ">>>>>>> UPDATED", "<[end▁of▁sentence]>")
    stream = model.stream_edit("a.py", TEXT, (1, 1))
    assert stream.completion is None
    assert "".join(stream) == answer
    done = stream.completion
    assert (done.start, done.end, done.text, done.jump) == (0, 0, "async ", 0)


def test_an_answer_that_is_cut_is_no_edit(
    model_of: Any, forced: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = model_of("sweep-next-edit-tiny", QWEN)
    forced(model, "def g(n):\n", "<|file_sep|>")
    with caplog.at_level(logging.WARNING):
        done = model.edit("a.py", TEXT, CURSOR, max_tokens=3)
    assert done.is_empty and done.finish_reason == "length" and done.full_text == TEXT
    assert (done.start, done.end, done.jump, len(done.tokens)) == (CURSOR, CURSOR, None, 3)
    assert "the answer was cut" in caplog.text


def test_no_edit(model_of: Any, forced: Any) -> None:
    for name, specials, answer, end in (
        ("sweep-next-edit-tiny", QWEN, WINDOW, "<|file_sep|>"),
        ("zeta-2.1-tiny", SEED_CODER, "<|marker_2|><|marker_2|>", "<[end▁of▁sentence]>"),
    ):
        model = model_of(name, specials)
        forced(model, answer, end)
        done = model.edit("a.py", TEXT, CURSOR)
        assert done.is_empty and done.full_text == TEXT and done.jump is None
        assert done.answer.strip() == answer


def test_the_text_as_it_was_is_guessed(
    model_of: Any, forced: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepCosts, "seconds", lambda self, n_rows: 1.0)
    model = model_of("sweep-next-edit-tiny", QWEN)
    answer = WINDOW.replace("f(2)", "f(2, 3)")
    for more, least, most in (
        ({}, 0.5, 1.0), ({"prediction": answer}, 0.9, 1.0), ({"speculate": False}, 0.0, 0.0),
    ):  # fmt: skip
        forced(model, answer, "<|file_sep|>")
        done = model.edit("a.py", TEXT, CURSOR, **more)
        assert done.full_text == TEXT.replace("f(2)", "f(2, 3)")
        assert least <= done.stats.n_accepted / done.stats.n_decode <= most


def test_everything_reaches_the_model(model_of: Any, forced: Any) -> None:
    """What the model is shown is counted as its prompt."""
    model = model_of("sweep-next-edit-tiny", QWEN)
    more: dict[str, Any] = {
        "history": [halfbyte.PastEdit("b.py", "x\n", "y\n")],
        "related": {"c.py": "z = 1\n"},
        "diagnostics": [halfbyte.Diagnostic("f is odd", 1)],
    }
    sizes = []
    for given in ({}, *({name: value} for name, value in more.items()), more):
        forced(model, WINDOW, "<|file_sep|>")
        sizes.append(model.edit("a.py", TEXT, CURSOR, **given).stats.n_prompt)
    assert min(sizes[1:4]) > sizes[0] and sizes[4] == sum(sizes[1:4]) - 2 * sizes[0]
    forced(model, WINDOW, "<|file_sep|>")
    done = model.edit("a.py", TEXT, CURSOR, window=1, **more)
    assert done.stats.n_prompt < sizes[0] and "1 of 1 past edits" in done.left_out


def test_the_fallback_is_an_insertion_and_says_so(infill_model: halfbyte.Model) -> None:
    text = "def add(a, b):\r\n    retu\r\n\r\nprint(add(1, 2))\r\n"
    done = infill_model.edit("a.py", text, (2, 9), max_tokens=12)
    lf = text.replace("\r\n", "\n")
    at = lf.index("retu") + 4
    middle = infill_model.infill(lf[:at], lf[at:], max_tokens=12, stop="\n\n")
    assert done.format == "fim" and done.answer == middle.text != ""
    assert done.start == done.end == text.index("retu") + 4 and done.jump is None
    assert done.text == middle.text.replace("\n", "\r\n")
    assert done.full_text == text[: done.start] + done.text + text[done.start :]
    inside = infill_model.edit("a.py", "print(add(1, ‸))\n".replace("‸", ""), 13, max_tokens=20)
    assert "\n" not in inside.text


def test_an_insertion_repeats_nothing_of_what_follows(infill_model: halfbyte.Model) -> None:
    """As a middle does; of a window of one token the model is shown nothing of it."""
    text, how = "import os\n", {"window": 1, "max_tokens": 30, "reuse_answer": False}
    free = infill_model.infill(text, "", trim_suffix=False, stop="\n\n", **how).text
    last = free[free.rstrip().rindex("\n") :].rstrip("\n")
    assert any(char.isalnum() for char in last)
    after = f"{free[-len(last) :]}\n"
    middle = infill_model.infill(text, after, stop="\n\n", **how)
    done = infill_model.edit("a.py", text + after, len(text), window=1, max_tokens=30)
    assert middle.trimmed and done.text == middle.text


@pytest.mark.parametrize(
    ("how", "param"),
    [
        ({"cursor": 999}, "cursor"),
        ({"stop": "x"}, "stop"),
        ({"stop_tokens": [3]}, "stop_tokens"),
        ({"format": "zeta"}, "format"),
        ({"window": 0}, "window"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"history": [3]}, "history[0]"),
        ({"max_new_tokens": 3}, "max_new_tokens"),
        ({"progress": 3}, "progress"),
    ],
)
def test_bad_arguments_leave_the_model_usable(
    infill_model: halfbyte.Model, how: dict[str, Any], param: str
) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        infill_model.edit(**{"path": "a.py", "text": TEXT, "cursor": 3, **how})
    assert caught.value.param == param
    assert infill_model.edit("a.py", TEXT, 3, max_tokens=0).is_empty


def test_a_model_that_neither_edits_nor_infills(tiny_gguf: Path) -> None:
    with halfbyte.load(tiny_gguf, threads=1) as model:
        with pytest.raises(halfbyte.UnsupportedModelError, match="next edits"):
            model.edit("a.py", TEXT, CURSOR)
        with pytest.raises(halfbyte.UnsupportedModelError, match="file_sep"):
            model.edit("a.py", TEXT, CURSOR, format="sweep")
