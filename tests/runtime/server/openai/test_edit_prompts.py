"""Prompts for edits that editors lay out give what `edit` gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import httpx
import openai
import pytest

import halfbyte
from halfbyte.generation.sampler import Sampler
from halfbyte.generation.speculation.step_costs import StepCosts
from halfbyte.prompt.edit.edit_formats import FORMATS
from halfbyte.server.openai.edit_prompts import edit_prompt
from halfbyte.server.shelf import Shelf
from tests.runtime.edit_models import QWEN, SEED_CODER, edit_model
from tests.runtime.prompt.edit.asked import at, rendered
from tests.runtime.server.conftest import serving

CODE = "import os\n\n\ndef f(n):\n    retu‸rn n\n\n\nprint(f(1))\nprint(f(2))\n"
TEXT, CURSOR = CODE.replace("‸", ""), CODE.index("‸")
MORE: dict[str, Any] = {"related": {"b.py": "y = '<|endoftext|>'\n"}}
# Names as Zed knows them, and the stop texts that clients send.
SERVED = {
    "sweep-next-edit": ("sweep", QWEN, ["<|file_sep|>", "<|endoftext|>"]),
    "zeta2": ("zeta-2", SEED_CODER, [">>>>>>> UPDATED", "<[end▁of▁sentence]>"]),
    "zeta2.1": ("zeta-2.1", SEED_CODER, ["<[end▁of▁sentence]>"]),
}


@pytest.fixture(scope="module")
def edit_shelf(
    vocabularies: Any,
    benchmark_module: Callable[[str], ModuleType],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shelf]:
    tiny, shelf = benchmark_module("tiny_llama"), Shelf({name: name for name in SERVED}, _fail)
    for name, (_, specials, _) in SERVED.items():
        # The file's own name tells nothing: what the server calls it does.
        folder = tmp_path_factory.mktemp("edits") / f"tiny{len(specials)}"
        shelf.put(name, edit_model(f"tiny-{name[0]}", specials, vocabularies, tiny, folder))
    yield shelf
    for one in shelf.loaded():
        one.model.close()


def _fail(source: str) -> halfbyte.Model:
    raise AssertionError(source)


@pytest.fixture(scope="module")
def edit_client(edit_shelf: Shelf) -> Iterator[openai.OpenAI]:
    with serving(edit_shelf) as url, httpx.Client(trust_env=False) as http:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", http_client=http) as client:
            yield client


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a model write an answer and a special token."""

    def forced(model: halfbyte.Model, answer: str, end: str) -> None:
        ids = iter([*model.tokenizer.encode_fragment(answer), model.tokenizer.id_of(end)])
        monkeypatch.setattr(Sampler, "sample", lambda self, logits: next(ids))

    return forced


def model_of(shelf: Shelf, name: str) -> halfbyte.Model:
    return next(one.model for one in shelf.loaded() if one.name == name)


@pytest.mark.parametrize("name", SERVED)
def test_the_answer_is_the_edit_s(edit_client: Any, edit_shelf: Shelf, name: str) -> None:
    format, _, stop = SERVED[name]
    expected = model_of(edit_shelf, name).edit("a.py", TEXT, CURSOR, format=format, **MORE)  # type: ignore[arg-type]
    prompt = rendered(FORMATS[format].lay_out(at(CODE, "a.py", **MORE)))
    got = edit_client.completions.create(model=name, prompt=prompt, stop=stop)
    assert got.choices[0].text == expected.answer
    assert got.usage.prompt_tokens == expected.stats.n_prompt
    assert got.usage.completion_tokens == len(expected.tokens)
    stream = edit_client.completions.create(model=name, prompt=[prompt], stop=stop, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == expected.answer
    as_text = edit_client.completions.create(
        model=name, prompt=prompt, max_tokens=1, extra_body={"parse_markers": False}
    )
    assert as_text.usage.prompt_tokens > got.usage.prompt_tokens


@pytest.mark.parametrize("name", SERVED)
def test_unchanged_text_is_guessed(
    edit_client: Any, edit_shelf: Shelf, forced: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepCosts, "seconds", lambda self, n_rows: 1.0)
    format, _, stop = SERVED[name]
    layout = FORMATS[format].lay_out(at(CODE, "a.py"))
    answer, end = layout.draft.replace("f(2)", "f(2, 3)"), stop[0]
    if format == "zeta-2":
        answer, end = f"{answer}>>>>>>> UPDATED", stop[1]
    forced(model_of(edit_shelf, name), answer, end)
    got = edit_client.completions.create(
        model=name, prompt=rendered(layout), stop=stop, max_tokens=400
    )
    assert got.choices[0].text == answer.removesuffix(">>>>>>> UPDATED")
    assert got.choices[0].finish_reason == "stop"
    details = got.usage.completion_tokens_details
    assert details.accepted_prediction_tokens > got.usage.completion_tokens / 2


def test_what_a_client_says_counts(edit_shelf: Shelf) -> None:
    served = next(one for one in edit_shelf.loaded() if one.name == "zeta2")
    prompt = rendered(FORMATS["zeta-2"].lay_out(at(CODE, "a.py")))
    options: dict[str, Any] = {"prediction": "x", "max_tokens": 5, "stop": ["y"]}
    assert edit_prompt(served, prompt, options) != prompt
    assert (options["prediction"], options["max_tokens"]) == ("x", 5)
    assert options["stop"] == ["y", ">>>>>>> UPDATED"]
    for other in ("def f(", [1, 2]):
        options = {}
        assert edit_prompt(served, other, options) == other and not options
