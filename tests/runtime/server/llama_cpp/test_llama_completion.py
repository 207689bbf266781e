"""`/completion` gives what the library gives, with llama.cpp's defaults and in its shape."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

import halfbyte
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving

PROMPT = "import numpy as np\n\n\ndef mean("
LLAMA_CPPS: dict[str, Any] = {
    "temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "heal": False,
    "samplers": "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature",
}  # fmt: skip


@pytest.fixture
def model(shelf: Shelf) -> halfbyte.Model:
    return shelf.loaded()[0].model


def _ask(http: httpx.Client, **fields: Any) -> Any:
    got = http.post("/completion", json={"prompt": PROMPT, **fields})
    assert got.status_code == 200, got.text
    return got.json()


def _events(http: httpx.Client, **fields: Any) -> list[Any]:
    got = http.post("/completion", json={"prompt": PROMPT, "stream": True, **fields})
    lines = [line for line in got.text.split("\n\n") if line]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_llama_cpps_defaults_are_those_of_its_server(
    http: httpx.Client, model: halfbyte.Model
) -> None:
    got = _ask(http, n_predict=16, seed=7, return_tokens=True)
    expected = model.complete(PROMPT, max_tokens=16, seed=7, **LLAMA_CPPS)
    assert got["content"] == expected.text and got["tokens"] == expected.tokens
    assert got["stop_type"] == "limit" and got["tokens_evaluated"] == expected.stats.n_prompt
    assert got["generation_settings"]["samplers"][-1] == "temperature"
    assert _ask(http, max_tokens=16, seed=7)["content"] == expected.text  # the other name


def test_an_answer_goes_on_to_the_contexts_end(http: httpx.Client, model: halfbyte.Model) -> None:
    prompt = model.tokenizer.encode(PROMPT * 40)[:490]
    got = _ask(http, prompt=prompt, n_predict=-1, temperature=0, ignore_eos=True)
    assert got["truncated"] and got["stop_type"] == "limit" and got["tokens_cached"] == 512
    longer = http.post("/completion", json={"prompt": PROMPT * 200}).json()["error"]
    assert longer["type"] == "exceed_context_size_error" and longer["n_ctx"] == 512
    assert longer["n_prompt_tokens"] > 512


def test_ids_and_texts_may_be_mixed(http: httpx.Client, model: halfbyte.Model) -> None:
    tokenizer = model.tokenizer
    head, tail = tokenizer.encode("import numpy"), tokenizer.encode_fragment(" as")
    expected = model.complete([*head, *tail], max_tokens=6, heal=False).text
    how: dict[str, Any] = {"n_predict": 6, "temperature": 0}
    for prompt in ([*head, *tail], ["import numpy", *tail], [*head, " as"]):
        assert _ask(http, prompt=prompt, **how)["content"] == expected
    assert _ask(http, prompt={"prompt_string": "import numpy as"}, **how)["content"] == expected
    several = _ask(http, prompt=["import numpy as", [*head, " as"]], n_cmpl=2, **how)
    assert [one["content"] for one in several] == [expected] * 4
    assert [one["index"] for one in several] == [0, 1, 2, 3]
    begun = model.complete([1], max_tokens=6).text
    assert _ask(http, prompt="", **how)["content"] == begun
    events = _events(http, prompt=["import numpy as", ""], **how)
    texts = ["".join(e["content"] for e in events if e["index"] == i) for i in range(2)]
    assert texts == [expected, begun] and sum(e["stop"] for e in events) == 2


def test_a_prompts_special_tokens_are_meant(http: httpx.Client, model: halfbyte.Model) -> None:
    marked = "import numpy</s><s>import"
    ids = [1, *model.tokenizer.encode_rendered(marked)]
    assert ids[-3:-1] == [2, 1]
    expected = model.complete(ids, max_tokens=4)
    got = _ask(http, prompt=marked, n_predict=4, temperature=0)
    assert got["content"] == expected.text
    assert got["tokens_evaluated"] == expected.stats.n_prompt


def test_a_prompt_that_is_only_to_be_processed_is_known_next_time(http: httpx.Client) -> None:
    prompt = "# Nothing begins like this.\n" * 6
    first = _ask(http, prompt=prompt, n_predict=0)
    assert (first["content"], first["tokens_predicted"]) == ("", 0)
    assert (
        first["timings"]["cache_n"] < first["tokens_evaluated"] // 4
    )  # what all comments begin with
    again = _ask(http, prompt=prompt, n_predict=1)["timings"]
    assert again["prompt_n"] == 1 and again["cache_n"] == first["tokens_evaluated"] - 1
    assert _events(http, n_predict=0)[-1]["stop"]


def test_stops_are_told(http: httpx.Client) -> None:
    text = _ask(http, n_predict=12, temperature=0)["content"]
    word = text[5:8]
    got = _ask(http, n_predict=12, temperature=0, stop=["", word, "never"])
    assert (got["stop_type"], got["stopping_word"]) == ("word", word)
    assert got["content"] == text[: text.index(word)]


def test_probabilities_before_and_after_the_samplers(
    http: httpx.Client, model: halfbyte.Model
) -> None:
    how: dict[str, Any] = {"n_predict": 3, "seed": 1, "n_probs": 2}
    before = _ask(http, **how)["completion_probabilities"]
    expected = model.complete(PROMPT, max_tokens=3, seed=1, logprobs=2, **LLAMA_CPPS).logprobs
    assert expected is not None
    for told, one in zip(before, expected, strict=True):
        assert (told["id"], told["logprob"]) == (one.token, one.logprob)
        assert told["bytes"] == list(one.bytes)
        assert [top["id"] for top in told["top_logprobs"]] == [top.token for top in one.top]
    after = _ask(http, **how, post_sampling_probs=True)["completion_probabilities"]
    assert all(0 < one["prob"] <= 1 and one["top_probs"] for one in after)
    pieces = _events(http, **how)
    streamed = [p for e in pieces for p in e.get("completion_probabilities", ())]
    assert streamed == before


def test_a_stream_tells_its_tokens_and_its_times(http: httpx.Client) -> None:
    whole = _ask(http, n_predict=12, seed=2, return_tokens=True)
    *pieces, end = _events(http, n_predict=12, seed=2, timings_per_token=True)
    assert "".join(one["content"] for one in pieces) == whole["content"]
    assert [token for one in pieces for token in one["tokens"]] == whole["tokens"]
    assert not any(one["stop"] for one in pieces) and end["stop"]
    assert all(one["timings"]["predicted_n"] == one["tokens_predicted"] for one in pieces)
    assert end["content"] == "" and end["timings"]["predicted_n"] == 12
    assert end["generation_settings"]["stream"] is True


def test_paths_select_fields(http: httpx.Client) -> None:
    paths = ["content", "timings/prompt_n", "generation_settings/n_predict", "no/such", "content/a"]
    got = _ask(http, n_predict=2, response_fields=paths)
    assert list(got) == paths[:3] and got["generation_settings/n_predict"] == 2
    assert _ask(http, n_predict=0, response_fields=[""]) == {}


def test_a_bad_prompt_is_named(http: httpx.Client, model: halfbyte.Model) -> None:
    for prompt in (None, [], [model.tokenizer.n_vocab], [[1], 2], [True], ["a"] * 65, 3,
                   {"prompt_string": "a", "multimodal_data": ["x"]}):  # fmt: skip
        got = http.post("/completion", json={"prompt": prompt})
        assert got.status_code == 400, prompt
        assert "prompt" in got.json()["error"]["message"]


def test_an_error_within_a_stream_is_its_last_event(http: httpx.Client) -> None:
    *_, last = _events(http, prompt=["a", PROMPT * 200], n_predict=1)
    assert last["error"]["type"] == "exceed_context_size_error"


def test_what_the_server_drops_is_dropped_before_a_text_is_cut_into_tokens(
    shelf: Shelf, model: halfbyte.Model
) -> None:
    settings = ServerSettings(dropped=(re.compile(r"# \d+\n"),))
    expected = model.complete("import os\nimport", max_tokens=4, heal=False)
    with serving(shelf, settings) as url, httpx.Client(base_url=url, trust_env=False) as client:
        for prompt in ("import os\n# 17\nimport", ["import os\n# 18\nimport"]):
            got = _ask(client, prompt=prompt, n_predict=4, temperature=0)
            assert got["content"] == expected.text
            assert got["tokens_evaluated"] == expected.stats.n_prompt
