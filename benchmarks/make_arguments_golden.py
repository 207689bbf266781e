"""Write tests/data/golden_arguments.json: transformers' `generate` with all that it can be told.

    .venvs/torch/bin/python benchmarks/make_arguments_golden.py

The model is that of make_generation_golden.py. A case has a call's arguments, and of what came the
ids and some of the numbers: every 61st of the vocabulary, None for -inf. Of calls that draw, the
first token's scores. `names` are those of GenerationConfig and of `generate`.

Functions are named; tests/runtime/hf/golden_functions.py, which this reads, has them: they do the
same with tensors and arrays.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from make_generation_golden import MASK, ONE, ROWS, TINY
from make_golden import model_of

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS / "runtime" / "hf"))
from golden_functions import FUNCTIONS  # noqa: E402

OUT = TESTS / "data" / "golden_arguments.json"
EVERY = 61
AGAIN = [[1, 300, 301, 17, 300, 301, 99, 17, 300]]
BATCH = {"inputs": ROWS, "attention_mask": MASK, "pad_token_id": 5}
ALL = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
INSIDE = {"return_dict_in_generate": True, "output_hidden_states": True, "output_attentions": True}


def greedy_calls(free: list[int]) -> list[dict[str, Any]]:
    """Calls that take the likeliest token; `free` is what the model says to ONE."""
    one: dict[str, Any] = {"inputs": ONE, "max_new_tokens": 12}
    batch: dict[str, Any] = {**BATCH, "max_new_tokens": 8}
    first, second, third = free[:3]
    return [
        *({"inputs": AGAIN, "max_new_tokens": 40, "no_repeat_ngram_size": n} for n in (1, 2, 3)),
        {**batch, "no_repeat_ngram_size": 1},
        {"inputs": AGAIN, "max_new_tokens": 20, "repetition_penalty": 1.9},
        {**batch, "repetition_penalty": 0.5},
        {**one, "bad_words_ids": [[second], [first, third], [300, 301, 9]]},
        {**one, "bad_words_ids": [[first], [2]], "eos_token_id": first},
        {**one, "bad_words_ids": [[99, first], [17, 99, first, 4]]},
        {**one, "sequence_bias": [[[first], -20.0], [[99, 17], 30.0], [[17, 44], 30.0]]},
        {**one, "sequence_bias": [[[second], 4.5], [[first, second], -9.0], [[7, second], 2.0]]},
        {**one, "suppress_tokens": [first, third]},
        {**one, "begin_suppress_tokens": [first]},
        {"inputs": [[1]], "max_new_tokens": 6, "forced_bos_token_id": 44},
        {"inputs": [[1]], "max_new_tokens": 6, "forced_bos_token_id": 44,
         "begin_suppress_tokens": [first, 44, 274]},
        {**one, "forced_eos_token_id": 2},
        {**one, "forced_eos_token_id": [77, 9], "eos_token_id": None},
        {**batch, "forced_eos_token_id": 2, "min_new_tokens": 3},
        {**one, "eos_token_id": second, "min_length": 9},
        {**one, "eos_token_id": second, "min_new_tokens": 1, "min_length": 11},
        {**one, "eos_token_id": [77, 9], "exponential_decay_length_penalty": (2, 1.6)},
        {**one, "eos_token_id": second, "exponential_decay_length_penalty": [0, 0.2]},
        {**one, "remove_invalid_values": True, "suppress_tokens": [first]},
        {**one, "remove_invalid_values": True, "bad_words_ids": [[first]], **ALL},
        {**one, "prefix_allowed_tokens_fn": "every_ninth"},
        {**batch, "prefix_allowed_tokens_fn": "of_the_batch"},
        {**one, "prefix_allowed_tokens_fn": "every_ninth", "bad_words_ids": [[i] for i in
                                                                           range(3, 323)]},
        {**one, "stopping_criteria": ["divides_by_seven"]},
        {**batch, "stopping_criteria": ["divides_by_seven", "eleven_ids"]},
        {**one, "stopping_criteria": ["scored_high"], **ALL},
        {**one, "max_time": 1e-9},
        {**one, "renormalize_logits": True, "suppress_tokens": [first], **ALL},
        {**one, **ALL},
        {**one, "repetition_penalty": 1.7, "sequence_bias": [[[300], 9.0]],
         "logits_processor": ["less"], **ALL},
        {**batch, "eos_token_id": [274, 226], **ALL},
        {**one, "max_new_tokens": 4, **INSIDE},
        {**one, "max_new_tokens": 1, **INSIDE},
    ]  # fmt: skip


def drawn_calls() -> list[dict[str, Any]]:
    """Calls that draw one token."""
    how: list[dict[str, Any]] = [
        {}, {"temperature": 0.4}, {"temperature": 1.7, "top_k": 9}, {"top_k": 0, "top_p": 0.7},
        {"top_k": 0, "min_p": 0.05}, {"top_k": 0, "typical_p": 0.3}, {"typical_p": 0.8},
        {"top_k": 0, "temperature": 2.0, "typical_p": 0.6}, {"top_k": 0, "epsilon_cutoff": 0.01},
        {"top_k": 0, "epsilon_cutoff": 0.9}, {"top_k": 0, "eta_cutoff": 0.02},
        {"top_k": 0, "eta_cutoff": 0.6}, {"top_k": 0, "top_h": 0.4}, {"top_h": 0.85},
        {"top_k": 60, "temperature": 1.4, "top_p": 0.95, "min_p": 0.01, "typical_p": 0.9,
         "epsilon_cutoff": 0.004, "eta_cutoff": 0.006, "top_h": 0.97},
        {"temperature": 0.6, "top_p": 0.8, "renormalize_logits": True, "repetition_penalty": 1.3},
    ]  # fmt: skip
    return [
        {"inputs": AGAIN, "max_new_tokens": 1, "do_sample": True, **more, **ALL} for more in how
    ]


def beam_calls(free: list[int]) -> list[dict[str, Any]]:
    """Searches along beams."""
    one: dict[str, Any] = {"inputs": ONE, "num_beams": 3, "max_new_tokens": 8, **ALL}
    batch: dict[str, Any] = {**BATCH, "num_beams": 3, "max_new_tokens": 6, **ALL}
    first, second, third = free[:3]
    return [
        one,
        {**one, "num_return_sequences": 3, "eos_token_id": [second, 9]},
        {**one, "num_beams": 5, "num_return_sequences": 2, "length_penalty": -1.0,
         "early_stopping": True, "eos_token_id": third},
        {**one, "length_penalty": 2.0, "early_stopping": "never", "eos_token_id": [second, third]},
        {**one, "repetition_penalty": 1.8, "renormalize_logits": True},
        {**one, "no_repeat_ngram_size": 1, "bad_words_ids": [[first], [17, second]]},
        {**one, "min_new_tokens": 5, "eos_token_id": [second, 158], "num_return_sequences": 2},
        {**one, "prefix_allowed_tokens_fn": "every_ninth"},
        {**one, "stopping_criteria": ["divides_by_seven"], "num_return_sequences": 3},
        {**one, "stopping_criteria": ["eleven_ids"], "num_return_sequences": 3},
        {**one, "max_time": 1e-9, "num_return_sequences": 2},
        {**one, "forced_eos_token_id": 2, "num_return_sequences": 2},
        {**one, "exponential_decay_length_penalty": [1, 0.6], "num_return_sequences": 3},
        batch,
        {**batch, "num_return_sequences": 2, "eos_token_id": [274, 226, 274 - 17]},
        {**batch, "num_return_sequences": 3, "prefix_allowed_tokens_fn": "of_the_batch"},
        {"inputs": ONE, "num_beams": 2, "max_length": 12, "eos_token_id": None},
    ]  # fmt: skip


def run(model: Any, call: dict[str, Any]) -> Any:
    """What a call gives."""
    given = dict(call)
    for name in ("inputs", "attention_mask"):
        if name in given:
            given[name] = torch.tensor(given[name])
    for name in ("stopping_criteria", "logits_processor"):
        if name in given:
            given[name] = [FUNCTIONS[one] for one in given[name]]
    if "stopping_criteria" in given:
        given["stopping_criteria"] = transformers.StoppingCriteriaList(given["stopping_criteria"])
    if "prefix_allowed_tokens_fn" in given:
        given["prefix_allowed_tokens_fn"] = FUNCTIONS[given["prefix_allowed_tokens_fn"]]
    with torch.inference_mode():
        return model.generate(**given)


def some(tensor: Any, step: int = EVERY) -> Any:
    """Some numbers of a tensor's last axis; None for -inf."""
    kept = tensor[..., ::step].double()
    return _plain(kept.tolist())


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if value == float("-inf") else round(value, 5)


def answered(model: Any, call: dict[str, Any]) -> dict[str, Any]:
    """A case."""
    torch.manual_seed(0)
    out = run(model, call)
    is_dict = not isinstance(out, torch.Tensor)
    case: dict[str, Any] = {"call": call}
    if not call.get("do_sample"):
        case["ids"] = (out.sequences if is_dict else out).tolist()
    if not is_dict:
        return case
    for name in ("scores", "logits"):
        if out.get(name) is not None:
            case[name] = [some(step) for step in out[name]]
    if out.get("sequences_scores") is not None:
        case["sequences_scores"] = some(out.sequences_scores, 1)
        case["beam_indices"] = out.beam_indices.tolist()
    if out.get("scores") is not None and not call.get("do_sample"):
        made = model.compute_transition_scores(out.sequences, out.scores, out.get("beam_indices"))
        case["transition_scores"] = some(made, 1)
    for name, step in (("hidden_states", 13), ("attentions", 1)):
        if out.get(name) is not None:
            case[name] = [[some(layer, step) for layer in layers] for layers in out[name]]
    return case


TEXTS = ["def", " f", "(a", ", b", "):", "\n", "    ", "return", " a", "\u4e16", "\u754c", "x\n"]


def streamed() -> dict[str, Any]:
    """Pieces of text that a streamer hands out, of tokens that are texts."""

    class Texts:
        def decode(self, ids: list[int], **options: Any) -> str:
            return "".join(TEXTS[i] for i in ids)

    cases = []
    for skip in (False, True):
        puts = [[[0, 1]], *([i] for i in (2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 11, 7, 1, 2))]
        streamer = transformers.TextIteratorStreamer(Texts(), skip_prompt=skip, timeout=1)
        for ids in puts:
            streamer.put(torch.tensor(ids))
        streamer.end()
        cases.append({"skip_prompt": skip, "puts": puts, "pieces": list(streamer)})
    return {"texts": TEXTS, "cases": cases}


def names() -> dict[str, list[str]]:
    """Those of GenerationConfig's attributes, and of what `generate` takes beside them."""
    config = vars(transformers.GenerationConfig())
    taken = inspect.signature(transformers.GenerationMixin.generate).parameters
    return {"config": sorted(name for name in config if not name.startswith("_")),
            "generate": sorted(set(taken) - {"self", "kwargs"})}  # fmt: skip


def main() -> None:
    """Make the file."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    model = model_of(TINY)
    model.generation_config = transformers.GenerationConfig(bos_token_id=1, eos_token_id=2)
    free = run(model, {"inputs": ONE, "max_new_tokens": 12})[0, len(ONE[0]) :].tolist()
    calls = [*greedy_calls(free), *drawn_calls(), *beam_calls(free)]
    data = {"transformers": transformers.__version__, "every": EVERY, "names": names(),
            "streamed": streamed(), "cases": [answered(model, call) for call in calls]}  # fmt: skip
    OUT.write_text(json.dumps(data, separators=(",", ":")) + "\n")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, {len(calls)} cases")


if __name__ == "__main__":
    main()
