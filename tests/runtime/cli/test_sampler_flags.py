"""Flags for samplers, biases, bans and ends."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from halfbyte.cli.sampler_flags import SAMPLER_FLAGS
from halfbyte.generation.params import SamplingParams


def test_every_option_of_the_samplers_arrives(run: Any, model: Any) -> None:
    given = {
        "--repeat-last-n": ("penalty_window", 3),
        "--top-n-sigma": ("top_n_sigma", 1.5),
        "--typical": ("typical_p", 0.5),
        "--xtc-probability": ("xtc_probability", 0.25),
        "--xtc-threshold": ("xtc_threshold", 0.2),
        "--top-h": ("top_h", 0.6),
        "--epsilon-cutoff": ("epsilon_cutoff", 0.01),
        "--eta-cutoff": ("eta_cutoff", 0.02),
        "--dynatemp-range": ("dynatemp_range", 0.3),
        "--dynatemp-exp": ("dynatemp_exponent", 2.0),
        "--dry-multiplier": ("dry_multiplier", 0.8),
        "--dry-base": ("dry_base", 1.5),
        "--dry-allowed-length": ("dry_allowed_length", 4),
        "--dry-penalty-last-n": ("dry_window", 9),
        "--mirostat": ("mirostat", 2),
        "--mirostat-ent": ("mirostat_tau", 3.0),
        "--mirostat-lr": ("mirostat_eta", 0.2),
        "--adaptive-target": ("adaptive_target", 0.5),
        "--adaptive-decay": ("adaptive_decay", 0.7),
        "--samplers": ("samplers", "top_k;typ_p"),
    }
    words = [f"{flag}={value}" for flag, (_, value) in given.items()]
    breakers = ["--dry-sequence-breaker", r"\n", "--dry-sequence-breaker", ";"]
    assert run("complete", "-p", "x", *words, *breakers).code == 0
    expected = dict(given.values())
    assert model.params == {**expected, "dry_sequence_breakers": ["\n", ";"]}
    usual = {"max_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty",
             "presence_penalty", "frequency_penalty", "seed", "stop"}  # fmt: skip
    # Ids are for programs; every other parameter can be given on the command line.
    assert {*model.params, *usual} == {f.name for f in fields(SamplingParams)} - {"stop_tokens"}
    run("complete", "-p", "x", "--dry-penalty-last-n=-1", "--dry-sequence-breaker", "none")
    assert model.params == {"dry_window": 2**31 - 1, "dry_sequence_breakers": []}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--logit-bias", "5+1.5", "--logit-bias=7-inf", "--logit-bias", " a=b=-3"],
         {"logit_bias": {5: 1.5, 7: -math.inf, " a=b": -3.0}}),
        (["--min-tokens", "3", "--max-time", "0.5"], {"min_tokens": 3, "max_time": 0.5}),
        (["--bad-word", "a", "--bad-word", "b", "--ban", r"\n\n"],
         {"bad_words": ["a", "b"], "banned_strings": ["\n\n"]}),
        (["--stop-indent", "--stop-brackets"], {"stop_indent": True, "stop_brackets": "before"}),
        (["--stop-indent=3", "--stop-brackets=behind"],
         {"stop_indent": 3, "stop_brackets": "behind"}),
    ],
)  # fmt: skip
def test_biases_bans_and_ends_arrive(
    run: Any, model: Any, words: list[str], expected: dict[str, Any]
) -> None:
    assert run("complete", "-p", "x", *words).code == 0
    assert model.params == expected
    assert run("infill", "-p", "x<FILL_ME>", *words).code == 0
    assert model.params == expected


def test_each_flag_has_its_parameter() -> None:
    names = {name for _, name, _, _ in SAMPLER_FLAGS}
    assert names < {field.name for field in fields(SamplingParams)}


def test_they_are_part_of_the_help_and_not_of_the_usage(run: Any) -> None:
    usage, _, more = run("complete", "--help").out.partition("\n\n")
    assert "--temp" in usage and "--max-tokens" in more
    for flag in ("--mirostat", "--ban", "--stop-indent"):
        assert flag not in usage and flag in more
    assert run("complete", "-p", "x", "--mirostat", "7").err.count("--mirostat") == 1
