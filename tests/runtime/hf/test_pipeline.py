"""`pipeline("text-generation")`: what comes in, what goes out, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import halfbyte
from halfbyte import TextGenerationPipeline, pipeline
from halfbyte.errors import RequestError

PROMPT = "def fibonacci(n):"
CHAT_TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def generator() -> Iterator[TextGenerationPipeline]:
    made = pipeline("text-generation", model="infill-10m", dtype="auto", do_sample=False)
    yield made
    made.model.close()


def test_a_text_with_its_continuation(generator: TextGenerationPipeline) -> None:
    expected = generator.model.model.complete(PROMPT, max_tokens=12, heal=False).text
    assert generator(PROMPT, max_new_tokens=12) == [{"generated_text": PROMPT + expected}]
    out = generator(PROMPT, max_new_tokens=12, return_full_text=False)
    assert out == [{"generated_text": expected}]
    assert generator(PROMPT, max_new_tokens=12, return_type=1) == out


def test_the_first_space_of_an_answer_is_kept(generator: TextGenerationPipeline) -> None:
    out = generator("import numpy as", max_new_tokens=2, return_full_text=False)
    assert out[0]["generated_text"].startswith(" np")


def test_infilling_as_the_reference_lays_it_out(generator: TextGenerationPipeline) -> None:
    prompt = "import numpy as np\n\n\nx =<FILL_ME>\ny = np.zeros(3)\n"
    before, after = prompt.split("<FILL_ME>")
    expected = generator.model.model.infill(
        before, after, order="psm", heal=False, max_tokens=6
    ).tokens
    out = generator(prompt, max_new_tokens=6, return_tensors=True)[0]["generated_token_ids"]
    assert out[-6:] == expected
    text = generator(prompt, max_new_tokens=6)[0]["generated_text"]
    assert text.startswith(prompt) and len(text) > len(prompt)


def test_lists_and_generators(generator: TextGenerationPipeline) -> None:
    texts = ["x", "def f(x):", "import numpy as"]
    alone = [generator(text, max_new_tokens=6) for text in texts]
    assert generator(texts, max_new_tokens=6) == alone
    assert generator(tuple(texts), max_new_tokens=6, batch_size=2) == alone
    answers = generator((text for text in texts), max_new_tokens=6)
    assert next(answers) == alone[0] and list(answers) == alone[1:]
    assert generator([]) == []


def test_a_total_length_counts_each_prompt_alone(generator: TextGenerationPipeline) -> None:
    out = generator(["x", "def f(x):"], max_length=12, return_tensors=True)
    assert [len(records[0]["generated_token_ids"]) for records in out] == [12, 12]


def test_several_answers_repeat_with_a_seed(generator: TextGenerationPipeline) -> None:
    def sample() -> Any:
        return generator(PROMPT, do_sample=True, num_return_sequences=3, max_new_tokens=8,
                         temperature=1.2)  # fmt: skip

    halfbyte.set_seed(1)
    first = sample()
    halfbyte.set_seed(1)
    assert sample() == first
    assert len(first) == 3 and len({record["generated_text"] for record in first}) > 1


def test_the_defaults_are_those_of_transformers_pipeline() -> None:
    with halfbyte.AutoModelForCausalLM.from_pretrained("infill-10m") as model:
        made = pipeline(model=model)
        halfbyte.set_seed(2)
        default = made(PROMPT, return_tensors=True)
        halfbyte.set_seed(2)
        assert default == made(
            PROMPT, return_tensors=True, do_sample=True, temperature=0.7, max_new_tokens=256
        )
        assert 200 < len(default[0]["generated_token_ids"])
        assert made.tokenizer.name_or_path == "infill-10m"


def test_chats(generator: TextGenerationPipeline) -> None:
    generator.tokenizer.chat_template = CHAT_TEMPLATE
    chat = [{"role": "user", "content": "x = 1"}]
    out = generator(chat, max_new_tokens=4)
    (record,) = out
    assert record["generated_text"][:-1] == chat
    answer = record["generated_text"][-1]
    assert answer["role"] == "assistant"
    text = generator(
        "<user>x = 1<assistant>", max_new_tokens=4, return_full_text=False, add_special_tokens=False
    )
    assert answer["content"] == text[0]["generated_text"]
    assert generator([chat, chat], max_new_tokens=4) == [out, out]

    begun = [*chat, {"role": "assistant", "content": "y"}]
    went_on = generator(begun, max_new_tokens=4)[0]["generated_text"]
    assert len(went_on) == 2 and went_on[1]["content"].startswith("y")
    new = generator(begun, max_new_tokens=4, continue_final_message=False)[0]["generated_text"]
    assert len(new) == 3


def test_stops_and_end_tokens(generator: TextGenerationPipeline) -> None:
    whole = generator(PROMPT, max_new_tokens=24)[0]["generated_text"]
    cut = generator(PROMPT, max_new_tokens=24, stop_sequence="Return")[0]["generated_text"]
    assert whole.startswith(cut) and cut.endswith("Return")
    ids = generator(PROMPT, max_new_tokens=8, return_tensors=True)[0]["generated_token_ids"]
    short = generator(PROMPT, max_new_tokens=8, return_tensors=True, eos_token_id=ids[-3])
    at = ids.index(ids[-3], len(ids) - 8)
    assert short[0]["generated_token_ids"] == ids[: at + 1]


def test_an_empty_text_begins_at_bos(generator: TextGenerationPipeline) -> None:
    bos = generator.model.generation_config.bos_token_id
    out = generator("", add_special_tokens=False, max_new_tokens=3, return_tensors=True)
    with_bos = generator("", max_new_tokens=3, return_tensors=True)
    assert out == with_bos and out[0]["generated_token_ids"][0] == bos


def test_a_streamer(generator: TextGenerationPipeline, capsys: pytest.CaptureFixture[str]) -> None:
    streamer = halfbyte.TextStreamer(generator.tokenizer, skip_prompt=True)
    out = generator(PROMPT, max_new_tokens=9, streamer=streamer, return_full_text=False)
    assert capsys.readouterr().out == out[0]["generated_text"] + "\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"task": "fill-mask"}, "text-generation"),
        ({"feature_extractor": "x"}, "feature_extractor"),
        ({"max_new_token": 4}, "did you mean max_new_tokens?"),
        ({"return_type": 7}, "return_type"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_what_is_not_supported_when_it_is_made(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        pipeline(**{"model": "infill-10m", **arguments})


@pytest.mark.parametrize(
    ("inputs", "arguments", "said"),
    [
        (b"x", {}, "text_inputs"),
        ([1], {}, "text_inputs"),
        ([{"role": "user"}], {}, "role and content"),
        ([[]], {}, "at least one message"),
        ("x", {"guidance_scale": 2.0}, "guidance_scale"),
        ("x", {"handle_long_generation": "hole"}, "handle_long_generation"),
        ("x", {"return_full_text": True, "return_tensors": True}, "one of these"),
        ("a<FILL_ME>b<FILL_ME>", {}, "<FILL_ME>"),
    ],
)
def test_what_a_call_refuses(
    generator: TextGenerationPipeline, inputs: Any, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        generator(inputs, max_new_tokens=1, **arguments)
