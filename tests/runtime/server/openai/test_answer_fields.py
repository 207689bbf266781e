"""What OpenAI's bodies have in common, as the library's keywords."""

from __future__ import annotations

import pytest

from halfbyte.server.fault import Fault
from halfbyte.server.fields import checked
from halfbyte.server.openai.answer_fields import AnswerFields, Prediction


def test_only_what_is_given_is_passed_on() -> None:
    assert AnswerFields().sampling() == {}
    given = {"model": "m", "stream": True, "temperature": 0.0, "seed": -2, "min_tokens": 3}
    sampling = {"temperature": 0.0, "seed": 2**64 - 2, "min_tokens": 3}
    assert checked(AnswerFields, given, "test").sampling() == sampling


def test_of_two_names_of_a_penalty_the_librarys_counts() -> None:
    for names in (("repeat_penalty", "repetition_penalty"), ("repetition_penalty",)):
        asked = checked(AnswerFields, dict.fromkeys(names, 1.5) | {names[-1]: 1.25}, "test")
        assert asked.sampling() == {"repetition_penalty": 1.25}


def test_a_prediction_is_a_text_or_texts() -> None:
    parts = [{"type": "text", "text": "a\n"}, {"type": "text", "text": "b"}]
    for content in ("a\nb", parts):
        assert checked(Prediction, {"content": content}, "test").text == "a\nb"
    with pytest.raises(Fault) as caught:
        checked(Prediction, {"content": [{"type": "image_url", "text": ""}]}, "test")
    assert caught.value.param == "content.0.type"
