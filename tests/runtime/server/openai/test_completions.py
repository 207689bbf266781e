"""`/v1/completions` gives what the library gives, through OpenAI's own client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest

import halfbyte

NAME = "infill-10m"
PROMPT = "import numpy as np\n\n\ndef mean("
PROMPTS = [PROMPT, "class Point:\n    def ", "for i in ran"]
DRAWN: dict[str, Any] = {"temperature": 0.9, "seed": 7, "max_tokens": 9}


def create(client: openai.OpenAI, prompt: Any = PROMPT, **more: Any) -> Any:
    return client.completions.create(model=NAME, prompt=prompt, **more)


def joined(stream: Any) -> tuple[dict[int, str], dict[int, str], list[Any]]:
    """Texts and finish reasons by choice, and all chunks."""
    texts: dict[int, str] = {}
    reasons: dict[int, str] = {}
    chunks = list(stream)
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    return texts, reasons, chunks


def test_a_text_goes_on(client: openai.OpenAI, model: halfbyte.Model) -> None:
    got = create(client, max_tokens=12)
    expected = model.complete(PROMPT, max_tokens=12)
    assert got.choices[0].text == expected.text
    assert got.object == "text_completion" and got.model == NAME
    assert got.usage.completion_tokens == len(expected.tokens)
    assert got.usage.prompt_tokens == expected.stats.n_prompt
    again = create(client, max_tokens=12)
    assert again.usage.prompt_tokens_details.cached_tokens == expected.stats.n_prompt - 1
    assert create(client, [5, 300, 7]).usage.completion_tokens == 16  # OpenAI's default


def test_several_prompts_and_answers_have_their_numbers(
    client: openai.OpenAI, model: halfbyte.Model
) -> None:
    ids = [model.tokenizer.encode(prompt) for prompt in PROMPTS]
    for prompts in (PROMPTS, ids):
        expected = model.complete(prompts, n=2, **DRAWN)
        flat = [one for group in expected for one in group]
        got = create(client, prompts, n=2, **DRAWN)
        assert [one.index for one in got.choices] == list(range(6))
        assert [one.text for one in got.choices] == [one.text for one in flat]
        assert got.usage.prompt_tokens == sum(group[0].stats.n_prompt for group in expected)
        assert got.usage.completion_tokens == sum(len(one.tokens) for one in flat)
        texts, reasons, _ = joined(create(client, prompts, n=2, stream=True, **DRAWN))
        assert [texts[i] for i in range(6)] == [one.text for one in flat]
        assert set(reasons) == set(range(6))
    one = create(client, ids[0], max_tokens=9)
    assert one.choices[0].text == model.complete(ids[0], max_tokens=9).text
    assert create(client, ids[:1], max_tokens=9).choices == one.choices


def test_a_gap_is_filled(client: openai.OpenAI, model: halfbyte.Model) -> None:
    expected = model.infill("import nu", " as np\n", max_tokens=12)
    got = create(client, "import nu", suffix=" as np\n", max_tokens=12)
    assert got.choices[0].text == expected.text
    assert create(client, ["import nu"], suffix=" as np\n", max_tokens=12).choices == got.choices
    stream = create(client, "import nu", suffix=" as np\n", max_tokens=12, stream=True)
    assert joined(stream)[0][0] == expected.text
    two = create(client, "import nu", suffix=" as np\n", n=2, **DRAWN)
    expected_two = model.infill("import nu", " as np\n", n=2, **DRAWN)
    assert [one.text for one in two.choices] == [one.text for one in expected_two]


def test_markers_are_text_unless_they_are_meant(
    client: openai.OpenAI, model: halfbyte.Model
) -> None:
    prompt = "<PRE> import nu <SUF> as np\n <MID>"
    for means in (False, True):
        expected = model.complete(prompt, parse_markers=means, max_tokens=9)
        got = create(client, prompt, max_tokens=9, extra_body={"parse_markers": means})
        assert got.choices[0].text == expected.text
        assert got.usage.prompt_tokens == expected.stats.n_prompt


def test_editors_lay_a_gap_out_themselves(client: openai.OpenAI, model: halfbyte.Model) -> None:
    """Who has answers end at markers speaks in markers; the prompt is then the model's own."""
    prompt = "<PRE> import nu <SUF> as np\n <MID>"
    expected = model.infill("import nu", " as np\n", max_tokens=9)
    # Zed's, and cursortab's, which has the blanks of the markers too.
    for stop in (["<|endoftext|>", "<|fim_prefix|>"], ["<PRE> ", " <SUF>", " <MID>"]):
        got = create(client, prompt, max_tokens=9, stop=stop)
        assert got.choices[0].text == expected.text
        assert got.usage.prompt_tokens == expected.stats.n_prompt
    plain = create(client, prompt, max_tokens=9, stop=["<|endoftext|>"])
    assert plain.usage.prompt_tokens == model.complete(prompt, max_tokens=9).stats.n_prompt


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("prompt", [PROMPT, "x = 'caf", [5, 300, 7]])
def test_probabilities_have_four_lists(
    client: openai.OpenAI, model: halfbyte.Model, echo: bool, prompt: Any
) -> None:
    expected = model.complete(prompt, max_tokens=6, logprobs=2, echo=echo)
    got = create(client, prompt, max_tokens=6, logprobs=2, echo=echo)
    text, told = got.choices[0].text, got.choices[0].logprobs
    assert expected.logprobs is not None
    assert text == expected.text
    assert told.token_logprobs == [one.logprob for one in expected.logprobs]
    shown = prompt if isinstance(prompt, str) else model.tokenizer.decode(prompt)
    begin = 0 if echo else len(shown)
    assert told.text_offset == [begin + one.offset for one in expected.logprobs]
    for one, token, tops in zip(expected.logprobs, told.tokens, told.top_logprobs, strict=True):
        assert token == one.bytes.decode() if one.bytes else model.tokenizer.piece(one.token)
        if one.logprob is None:
            assert tops is None
        else:
            assert tops[token] == one.logprob
            assert list(tops.values())[:2] == [top.logprob for top in one.top]
    stream = list(create(client, prompt, max_tokens=6, logprobs=2, echo=echo, stream=True))
    parts = [chunk.choices[0].logprobs for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in stream) == text
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        assert [one for part in parts for one in getattr(part, name)] == getattr(told, name)
    assert len(parts) >= 2
    if not echo:
        assert got.usage.completion_tokens == len(expected.tokens)
    else:
        assert got.usage.completion_tokens == len(expected.tokens) - expected.stats.n_prompt


def test_a_prompt_alone_is_scored(client: openai.OpenAI, model: halfbyte.Model) -> None:
    expected = model.complete(PROMPT, max_tokens=0, logprobs=0, echo=True)
    got = create(client, max_tokens=0, logprobs=0, echo=True)
    assert got.choices[0].text == PROMPT and expected.logprobs is not None
    told = got.choices[0].logprobs
    assert told.token_logprobs == [one.logprob for one in expected.logprobs]
    assert [len(tops) for tops in told.top_logprobs[1:]] == [1] * (len(told.tokens) - 1)
    assert got.usage.completion_tokens == 0
    assert joined(create(client, max_tokens=0, echo=True, stream=True))[0] == {0: PROMPT}


def test_the_best_of_several_come_back(client: openai.OpenAI, model: halfbyte.Model) -> None:
    expected = model.complete(PROMPT, n=4, best_of=4, **DRAWN)
    got = create(client, n=2, best_of=4, **DRAWN)
    assert [one.text for one in got.choices] == [one.text for one in expected[:2]]
    assert got.usage.completion_tokens == sum(len(one.tokens) for one in expected)
    one = model.complete(PROMPT, n=1, **DRAWN)
    assert create(client, best_of=1, **DRAWN).choices[0].text == one[0].text
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, best_of=4, stream=True)
    assert caught.value.param == "best_of"


def test_what_tokens_may_come(client: openai.OpenAI, model: halfbyte.Model) -> None:
    first = model.complete([1, 300, 7], max_tokens=1).tokens[0]
    for bias in (-100, 100):
        expected = model.complete([1, 300, 7], max_tokens=5, logit_bias={first: bias})
        got = create(client, [1, 300, 7], max_tokens=5, logit_bias={str(first): bias})
        assert got.choices[0].text == expected.text
    more = {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.2, "min_tokens": 3}
    odd = {"dry_multiplier": 0.8, "repeat_last_n": 20, "repeat_penalty": 1.3}
    ours = {"dry_multiplier": 0.8, "penalty_window": 20, "repetition_penalty": 1.3}
    got = create(client, extra_body=odd, **DRAWN)
    assert got.choices[0].text == model.complete(PROMPT, **ours, **DRAWN).text  # type: ignore[call-overload]
    penalties = {"presence_penalty": 0.5, "frequency_penalty": -0.5, "top_p": 0.9}
    got = create(client, extra_body=more, **penalties, **DRAWN)
    assert got.choices[0].text == model.complete(PROMPT, **more, **penalties, **DRAWN).text
    expected = model.complete(PROMPT, **{**DRAWN, "seed": (1 << 64) - 3})
    assert create(client, **{**DRAWN, "seed": -3}).choices[0].text == expected.text


def test_where_an_answer_ends(client: openai.OpenAI, model: halfbyte.Model) -> None:
    whole = model.complete(PROMPT, max_tokens=40)
    at = len(whole.text) // 2
    stop = whole.text[at : at + 3]
    for stops in (stop, ["\0", stop]):
        got = create(client, max_tokens=40, stop=stops).choices[0]
        assert got.finish_reason == "stop"
        assert got.text == model.complete(PROMPT, max_tokens=40, stop=stop).text
    token = whole.tokens[4]
    expected = model.complete(PROMPT, max_tokens=40, stop_tokens=[token])
    got = create(client, max_tokens=40, extra_body={"stop_token_ids": [token]})
    assert got.choices[0].text == expected.text != whole.text
    assert create(client, max_tokens=3).choices[0].finish_reason == "length"
    # A control token's text ends an answer though it is no text of it.
    eos = model.tokenizer.piece(model.tokenizer.bos_id or 0)
    forced = {str(model.tokenizer.bos_id): 100}
    assert create(client, stop=eos, logit_bias=forced).choices[0].text == ""


def test_what_an_answer_has_to_be(client: openai.OpenAI, model: halfbyte.Model) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}  # fmt: skip
    for theirs, ours in (
        ({"json": schema}, {"json_schema": schema}),
        ({"regex": "[0-9]{3}"}, {"regex": "[0-9]{3}"}),
        ({"choice": ["yes", "no"]}, {"choices": ["yes", "no"]}),
        ({"grammar": 'root ::= "a" | "b"'}, {"grammar": 'root ::= "a" | "b"'}),
    ):
        got = create(client, extra_body={"structured_outputs": theirs})
        assert got.choices[0].text == model.complete(PROMPT, max_tokens=16, **ours).text  # type: ignore[arg-type]


def test_a_prediction_costs_nothing_but_its_checks(
    client: openai.OpenAI, model: halfbyte.Model
) -> None:
    text = model.complete(PROMPT, max_tokens=30).text
    for content in (text, [{"type": "text", "text": text[:9]}, {"type": "text", "text": text[9:]}]):
        got = create(
            client, max_tokens=30,
            extra_body={"prediction": {"type": "content", "content": content}},
        )  # fmt: skip
        assert got.choices[0].text == text
        details = got.usage.completion_tokens_details
        assert details.accepted_prediction_tokens >= 0 <= details.rejected_prediction_tokens


def test_a_stream_tells_its_usage_last(client: openai.OpenAI) -> None:
    whole = create(client, PROMPTS, max_tokens=5)
    stream = create(
        client, PROMPTS, max_tokens=5, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def test_chunks_have_all_that_the_schema_says(http: httpx.Client) -> None:
    body = {"prompt": 'a\n"é', "stream": True, "max_tokens": 4}
    answer = http.post("/v1/completions", json=body)
    lines = answer.text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    for line in lines[:-2]:
        chunk = json.loads(line.removeprefix("data: "))
        assert set(chunk) == {
            "id", "object", "created", "model", "system_fingerprint", "choices"
        }  # fmt: skip
        assert set(chunk["choices"][0]) == {"index", "text", "logprobs", "finish_reason"}


def test_nothing_begins_a_text(client: openai.OpenAI, model: halfbyte.Model) -> None:
    start = model.tokenizer.bos_id
    assert start is not None
    expected = model.complete([start], max_tokens=5).text
    assert create(client, "", max_tokens=5).choices[0].text == expected
    assert create(client, ["", PROMPT], max_tokens=5).choices[0].text == expected


def test_tasks_get_what_they_get_alone(url: str, model: halfbyte.Model) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="none", http_client=httpx.AsyncClient(trust_env=False)
        ) as client:

            async def stream(prompt: str) -> str:
                parts = await client.completions.create(
                    model=NAME, prompt=prompt, max_tokens=20, stream=True
                )
                return "".join([part.choices[0].text async for part in parts])

            return list(await asyncio.gather(*map(stream, PROMPTS)))

    assert asyncio.run(ask()) == [one.text for one in model.complete(PROMPTS, max_tokens=20)]


BAD: list[tuple[str, Any]] = [
    ("prompt", []), ("prompt", 5), ("prompt", {}), ("prompt", ["a", 1]), ("prompt", [True]),
    ("prompt", [-1]), ("prompt", [10**6]), ("prompt", [1.5]), ("prompt", [[1], "a"]),
    ("prompt", [[]]), ("prompt", ["a"] * 257), ("prompt", "x" * 100_000), ("prompt", [[10**9]]),
    ("suffix", 5), ("suffix", ["a"]),
    ("max_tokens", -1), ("max_tokens", True), ("max_tokens", 1.5), ("max_tokens", 10**30),
    ("max_tokens", "5"),
    ("temperature", -0.1), ("temperature", 2.1), ("temperature", "1"), ("temperature", True),
    ("top_p", -0.1), ("top_p", 1.1), ("top_p", []),
    ("n", 0), ("n", -1), ("n", 17), ("n", 10**9), ("n", True), ("n", 1.0),
    ("best_of", 0), ("best_of", 17), ("best_of", "2"),
    ("stop", ""), ("stop", 5), ("stop", [5]), ("stop", ["a"] * 65), ("stop", "a" * 1025),
    ("stop", [""]), ("stop", [None]),
    ("seed", 1.5), ("seed", "a"), ("seed", 10**40), ("seed", True),
    ("presence_penalty", 2.1), ("presence_penalty", "0"), ("frequency_penalty", -2.1),
    ("frequency_penalty", False),
    ("logit_bias", {"a": 1}), ("logit_bias", {"5": 101}), ("logit_bias", {"5": "1"}),
    ("logit_bias", [1]), ("logit_bias", {"-1": 1}), ("logit_bias", {"99999999": 1}),
    ("logit_bias", {"1" * 40: 1}), ("logit_bias", {"5": None}), ("logit_bias", {"²": 1}),
    ("stream", 1), ("stream", "true"), ("stream_options", 1),
    ("stream_options", {"include_usage": "yes"}),
    ("logprobs", -1), ("logprobs", 21), ("logprobs", True), ("logprobs", 1.5),
    ("echo", 1), ("echo", "true"),
    ("prediction", "a"), ("prediction", {"type": "content"}),
    ("prediction", {"type": "text", "content": "a"}),
    ("prediction", {"type": "content", "content": [{"type": "image"}]}),
    ("top_k", -2), ("top_k", 1.5), ("top_k", 10**30), ("min_p", 1.5), ("min_p", "a"),
    ("repetition_penalty", 0), ("repetition_penalty", 101), ("min_tokens", -1),
    ("min_tokens", 17), ("stop_token_ids", [-1]), ("stop_token_ids", 5),
    ("stop_token_ids", [10**6]), ("stop_token_ids", ["a"]),
    ("structured_outputs", {}), ("structured_outputs", {"regex": "a", "choice": ["b"]}),
    ("structured_outputs", {"regex": "("}), ("structured_outputs", {"json": 5}),
    ("structured_outputs", {"json": {"type": "no"}}), ("structured_outputs", {"choice": []}),
    ("structured_outputs", {"grammar": "root"}),
    ("parse_markers", 1), ("model", 5), ("model", ["a"]),
]  # fmt: skip


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in BAD))
def test_a_bad_field_is_named(http: httpx.Client, name: str) -> None:
    for value in (value for field, value in BAD if field == name):
        answer = http.post("/v1/completions", json={"prompt": PROMPT, name: value})
        error = answer.json()["error"]
        assert answer.status_code == 400, (value, answer.text)
        assert error["type"] == "invalid_request_error"
        assert error["param"].partition(".")[0].partition("[")[0] == name, (value, error)
        assert error["message"].startswith(error["param"]), (value, error)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"n": 513}, "n"), ({"best_of": 513, "n": 2}, "best_of"),
        ({"prompt": ["a"] * 200, "n": 3}, "prompt"),
    ],
)  # fmt: skip
def test_too_many_answers_are_told_of_the_field(
    http: httpx.Client, body: dict[str, Any], name: str
) -> None:
    got = http.post("/v1/completions", json={"prompt": "a", **body})
    assert (got.status_code, got.json()["error"]["param"]) == (400, name)
    assert got.json()["error"]["message"].startswith(f"{name}: expected at most 512 answers")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(http: httpx.Client, number: str) -> None:
    for name in ("temperature", "top_p", "min_p", "repetition_penalty"):
        body = f'{{"prompt": "a", "{name}": {number}}}'
        assert http.post("/v1/completions", content=body).status_code == 400


def test_fields_that_contradict_each_other(http: httpx.Client) -> None:
    for body, param in (
        ({"prompt": ["a", "b"], "suffix": "c"}, "prompt"),
        ({"prompt": [1, 2], "suffix": "c"}, "prompt"),
        ({"prompt": "a", "suffix": "c", "echo": True}, "echo"),
        ({"prompt": "a", "n": 3, "best_of": 2}, "best_of"),
        ({"prompt": ["a"] * 200, "n": 3}, "prompt"),
        ({"prompt": "a", "grammar": "root", "structured_outputs": {"regex": "a"}}, "grammar"),
        ({"prompt": "a", "grammar": "root"}, "grammar"),
        ({"prompt": "a", "json_schema": {"type": "no"}}, "json_schema"),
    ):
        answer = http.post("/v1/completions", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_what_is_null_is_not_given(http: httpx.Client) -> None:
    from halfbyte.server.openai.completion_fields import CompletionFields

    body = dict.fromkeys(CompletionFields.model_fields) | {"prompt": PROMPT}
    got = http.post("/v1/completions", json=body).json()
    plain = http.post("/v1/completions", json={"prompt": PROMPT}).json()
    assert got["choices"] == plain["choices"]


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="gpt-9", prompt=PROMPT)
    assert caught.value.code == "model_not_found"


def test_too_long_a_prompt_is_told_apart(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, "x = 1\n" * 1000)
    assert caught.value.code == "context_length_exceeded" and caught.value.param == "prompt"
