"""Bad values of generation parameters: one error that names it, and the engine goes on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from halfbyte import GenerationConfig
from halfbyte.errors import RequestError
from halfbyte.hf.auto_model import CausalLM
from halfbyte.hf.generation_names import ABSENT

NAN, INF = math.nan, math.inf
COUNTS = ("max_length max_new_tokens num_beams num_beam_groups num_return_sequences "
          "prompt_lookup_num_tokens").split()  # fmt: skip
FROM_ZERO = ("min_length min_new_tokens no_repeat_ngram_size forced_bos_token_id top_k "
             "pad_token_id bos_token_id").split()  # fmt: skip
FLAGS = ("do_sample output_scores output_logits output_hidden_states output_attentions "
         "remove_invalid_values renormalize_logits return_dict_in_generate").split()  # fmt: skip
WRONG: dict[str, list[Any]] = {
    **{name: [0, -1, 1.5, NAN, "3", True, [2]] for name in COUNTS},
    **{name: [-1, 1.5, NAN, "3", False, [2]] for name in FROM_ZERO},
    **{name: [0, 1, "yes", NAN, []] for name in FLAGS},
    "temperature": [-1, NAN, INF, "hot", True, 10**400],
    "repetition_penalty": [0, -1, NAN, INF, "hot", True],
    **{name: [0, 1.1, NAN, "1", False] for name in ("typical_p", "top_h")},
    **{name: [-0.1, 1.1, NAN, "1", True] for name in ("top_p", "min_p", "epsilon_cutoff",
                                                      "eta_cutoff")},
    "max_time": [0, -1, NAN, INF, "1", True],
    "length_penalty": [NAN, INF, 101, "1"],
    "diversity_penalty": [-1, NAN, "1"],
    "early_stopping": ["always", 1, 0, NAN, []],
    "bad_words_ids": [[], [[]], [5], [[-1]], [[1.5]], ["a"], 3, [[323]], [[True]]],
    "sequence_bias": [{}, [], {(): 1.0}, {(1,): NAN}, {(1,): INF}, {(1,): "1"}, {"ab": 1.0},
                      [[1, 2]], [[[1], 1.0, 2]], {(323,): 1.0}, {5: 1.0}, 7],
    "suppress_tokens": [3, [-1], [1.5], "ab", [[1]], [323]],
    "begin_suppress_tokens": [3, [-1], [NAN], [None], [323]],
    "forced_eos_token_id": [-1, [1.5], "a", 323, [2, 323]],
    "exponential_decay_length_penalty": [3, (1,), (1.5, 2.0), (-1, 2.0), (1, NAN), (1, -0.1),
                                         (1, "a"), "ab", (1, 2, 3)],
    "stop_strings": [3, [""], "", [None], ["a", 3]],
    "eos_token_id": [-1, 1.5, "a", [[1]]],
    "logits_processor": [3, [3], print, "ab", {print}],
    "stopping_criteria": [3, [3], print, "ab", {print}],
    "prefix_allowed_tokens_fn": [3, [print], "ab"],
    "adapter": ["none of that name", 3, [("a", 1)]],
}  # fmt: skip
CASES = [(name, value) for name, values in WRONG.items() for value in values]
IDS = np.array([[1, 300]])


@pytest.mark.parametrize(("name", "value"), CASES, ids=repr)
def test_it_is_named(tiny: CausalLM, name: str, value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        tiny.generate(IDS, **{"max_new_tokens": 2, "return_dict_in_generate": True, name: value})
    assert caught.value.param == name and caught.value.expected


def test_each_parameter_is_tried() -> None:
    assert WRONG.keys() == {field for field in GenerationConfig.__dataclass_fields__}


def test_the_engine_goes_on(tiny: CausalLM) -> None:
    for name, value in CASES[::7]:
        with pytest.raises(RequestError):
            tiny.generate(IDS, **{"max_new_tokens": 2, name: value})
    assert tiny.generate(IDS, max_new_tokens=2).shape == (1, 4)


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_absent_says_what_to_do(tiny: CausalLM, name: str) -> None:
    off, hint = ABSENT[name]
    assert GenerationConfig.read({name: off}) == GenerationConfig() and hint
    if name == "assistant_model":
        return
    with pytest.raises(RequestError) as caught:
        tiny.generate(IDS, **{name: object()})
    assert caught.value.param == name and caught.value.hint == hint


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"num_return_sequences": 2}, "num_return_sequences"),
        ({"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences"),
        ({"num_beams": 2, "do_sample": True}, "do_sample"),
        ({"num_beams": 2, "prompt_lookup_num_tokens": 3}, "prompt_lookup_num_tokens"),
        ({"num_beams": 2, "assistant_model": "infill-10m"}, "assistant_model"),
        ({"num_beams": 2, "output_hidden_states": True}, "output_hidden_states"),
        ({"num_beams": 2, "output_attentions": True}, "output_attentions"),
        ({"num_beams": 3, "num_beam_groups": 2, "diversity_penalty": 1.0}, "num_beam_groups"),
        ({"num_beams": 4, "num_beam_groups": 2}, "diversity_penalty"),
        *(
            ({"num_beams": 2, "num_beam_groups": 2, "diversity_penalty": 1.0, name: value}, name)
            for name, value in (("stop_strings", "a"), ("max_time", 1.0), ("output_logits", True),
                                ("stopping_criteria", [print]))
        ),
        ({"do_sample": True, "temperature": 0.0}, "temperature"),
        ({"suppress_tokens": [2, 7], "forced_eos_token_id": [2]}, "forced_eos_token_id"),
        ({"suppress_tokens": [7], "forced_bos_token_id": 7}, "forced_bos_token_id"),
        ({"suppress_tokens": list(range(323))}, "suppress_tokens"),
        ({"no_repeat_ngram_size": 1, "suppress_tokens": list(range(2, 323)), "max_new_tokens": 3,
          "eos_token_id": None}, "no_repeat_ngram_size, suppress_tokens"),
        ({"num_beams": 2, "suppress_tokens": list(range(323))}, "num_beams"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_does_not_go_together(tiny: CausalLM, given: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        tiny.generate(IDS, **{"max_new_tokens": 2, **given})
    assert caught.value.param == param
    assert tiny.generate(IDS, max_new_tokens=2).shape == (1, 4)


def test_what_has_no_effect_gets_a_word(tiny: CausalLM, caplog: pytest.LogCaptureFixture) -> None:
    given = {"temperature": 0.5, "typical_p": 0.5, "length_penalty": 2.0, "early_stopping": True,
             "output_scores": True, "top_p": None, "output_logits": False}  # fmt: skip
    tiny.generate(IDS, max_new_tokens=1, **given)
    said = [record.message for record in caplog.records]
    assert said == [
        "temperature has no effect without do_sample=True",
        "typical_p has no effect without do_sample=True",
        "length_penalty has no effect without num_beams above 1",
        "early_stopping has no effect without num_beams above 1",
        "output_scores has no effect without return_dict_in_generate=True",
    ]
