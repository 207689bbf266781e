"""Write tests/data/golden_beams.json: what transformers' beam searches give for a tiny model.

    .venvs/torch/bin/python benchmarks/make_beams_golden.py
    python benchmarks/make_beams_golden.py     # in an environment with torch and transformers 4.55

The first writes the searches with one group and log-probabilities of given tokens, the second those
with several groups, which transformers 5 does not have any more; each leaves the other's part. The
model is made from a seed (tiny_llama). A case is kept where float64 gives the same ids, so that
arithmetic in another order changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import torch
import transformers
from make_golden import model_of
from tiny_llama import N_BYTE_PIECES, Tiny, words

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden_beams.json"
TINY = Tiny("beams", 21, 64, 96, 2, 4, 2, 16, 323, 1e4, tied=False)
PROMPTS = ([1, 300, 301, 17, 99], [1, 280, 33], [1, 310, 12, 77, 260, 44, 5])
SCORED = {"prompt": [1, 300, 301, 17, 99], "continuations": [[5], [290, 44, 5], [310, 12, 77, 260]]}
END = 2  # the vocabulary's own


def beam_cases(model: Any) -> list[dict[str, Any]]:
    """Searches with one group; end tokens are such as come."""
    cases: list[dict[str, Any]] = []
    sizes = ((2, 9), (3, 14), (4, 14), (8, 6), (4, 1))
    for (beams, n), early in product(sizes, (False, True, "never")):
        prompt = PROMPTS[len(cases) % 3]
        ends = ends_of(model, prompt, 1 + len(cases) % 2)
        for penalty in (1.0, -1.0, 0.0, 2.5):
            cases.append({"inputs": prompt, "num_beams": beams, "max_new_tokens": n,
                          "early_stopping": early, "length_penalty": penalty,
                          "eos_token_id": [END, *ends]})  # fmt: skip
    for prompt, beams in product(PROMPTS, (2, 4, 5)):
        for stops in stops_of(model, prompt):
            cases.append({"inputs": prompt, "num_beams": beams, "max_new_tokens": 12,
                          "stop": stops, "eos_token_id": [END]})  # fmt: skip
    for penalty in (1.3, 0.8):
        cases.append({"inputs": PROMPTS[0], "num_beams": 4, "max_new_tokens": 10,
                      "repetition_penalty": penalty, "eos_token_id": [END]})  # fmt: skip
    return cases


def group_cases(model: Any) -> list[dict[str, Any]]:
    """Searches with several groups."""
    cases: list[dict[str, Any]] = []
    sizes = ((2, 2, 9), (4, 2, 12), (6, 3, 12), (4, 4, 7))
    for (beams, groups, n), early in product(sizes, (False, True, "never")):
        prompt = PROMPTS[len(cases) % 3]
        ends = ends_of(model, prompt, 1 + len(cases) % 2)
        for penalty, diversity in ((1.0, 0.5), (0.0, 3.0), (2.0, 1.0)):
            cases.append(
                {
                    "inputs": prompt,
                    "num_beams": beams,
                    "num_beam_groups": groups,
                    "max_new_tokens": n,
                    "early_stopping": early,
                    "length_penalty": penalty,
                    "diversity_penalty": diversity,
                    "eos_token_id": [END, *ends],
                }
            )
    return cases  # fmt: skip


def spelled() -> list[bytes]:
    """What each token stands for within a text."""
    texts = words(TINY.vocab_size - 3 - N_BYTE_PIECES)
    plain = [text.replace("\u2581", " ").encode() for text in texts]
    return [b""] * 3 + [bytes([i]) for i in range(N_BYTE_PIECES)] + plain


def ends_of(model: Any, prompt: list[int], n: int) -> list[int]:
    """Tokens within the answers that a search gives without them."""
    free = search(model, {"inputs": prompt, "num_beams": 3, "max_new_tokens": 9,
                          "eos_token_id": [END]})["ids"]  # fmt: skip
    return [ids[3 + 2 * i] for i, ids in enumerate(free[:n]) if len(ids) > 3 + 2 * i]


def stops_of(model: Any, prompt: list[int]) -> list[list[str]]:
    """Texts within the answers that a search gives without them: of a token, of parts of two."""
    free = search(model, {"inputs": prompt, "num_beams": 3, "max_new_tokens": 9,
                          "eos_token_id": [END]})["ids"]  # fmt: skip
    made: dict[tuple[str, ...], None] = {}
    for ids in free:
        for i, (a, b) in enumerate(pairwise(ids)):
            if min(a, b) >= 3 + N_BYTE_PIECES and i % 2:
                one, two = SPELLED[a].decode(), SPELLED[b].decode()
                made |= dict.fromkeys([(two,), (one[-1] + two[0],), (one[-1], "never said")])
    return list(map(list, made))[:6]


def search(model: Any, case: dict[str, Any], *, with_scores: bool = True) -> dict[str, Any]:
    """Ids behind the prompt, the end token included, and scores, of all beams."""
    given = {**case, "inputs": torch.tensor([case["inputs"]])}
    stops = [text.encode() for text in given.pop("stop", [])]

    def is_stopped(ids: list[int]) -> bool:
        said = b"".join(map(SPELLED.__getitem__, ids[len(case["inputs"]) :]))
        return any(stop in said for stop in stops)

    def criterion(ids: Any, scores: Any, **more: Any) -> Any:
        return torch.tensor([is_stopped(row) for row in ids.tolist()])

    if stops:
        given["stopping_criteria"] = transformers.StoppingCriteriaList([criterion])
    with torch.inference_mode():
        out = model.generate(
            **given, num_return_sequences=case["num_beams"], pad_token_id=END, do_sample=False,
            return_dict_in_generate=True, output_scores=with_scores,
        )  # fmt: skip
    ends, answers = case["eos_token_id"], []
    for row in out.sequences.tolist():
        ids = row[len(case["inputs"]) :]
        n = next(
            (
                i + 1
                for i, token in enumerate(ids)
                if token in ends or is_stopped([*case["inputs"], *ids[: i + 1]])
            ),
            len(ids),
        )
        answers.append(ids[:n])
    scores = out.sequences_scores.tolist() if with_scores else []
    return {"ids": answers, "scores": [round(score, 6) for score in scores]}


def scored(model: Any) -> dict[str, Any]:
    """Log-probabilities of continuations."""
    logs = []
    for tokens in SCORED["continuations"]:
        ids = [*SCORED["prompt"], *tokens]
        with torch.inference_mode():
            rows = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        begin = len(SCORED["prompt"])
        logs.append([round(rows[i - 1, ids[i]].item(), 6) for i in range(begin, len(ids))])
    return {**SCORED, "logprobs": logs}


def answered(model: Any, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that float64 answers alike."""
    kept = []
    for case in cases:
        found = search(model.float(), case)
        exact = search(model.double(), case, with_scores=False)  # which 4.55 has in float32 alone
        if found["ids"] == exact["ids"]:
            kept.append({"call": case, **found})
    model.float()
    print(f"{len(kept)} of {len(cases)} cases are kept")
    return kept


SPELLED = spelled()


def main() -> None:
    """Make one part of the file."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    model = model_of(TINY)
    model.generation_config = transformers.GenerationConfig(bos_token_id=1, eos_token_id=END)
    data = json.loads(OUT.read_text()) if OUT.exists() else {"tiny": asdict(TINY)}
    part = "groups" if transformers.__version__.startswith("4.") else "beams"
    cases = group_cases(model) if part == "groups" else beam_cases(model)
    data[part] = {"transformers": transformers.__version__, "cases": answered(model, cases)}
    if part == "beams":
        data["scored"] = scored(model)
    OUT.write_text(json.dumps(data, separators=(",", ":")) + "\n")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
