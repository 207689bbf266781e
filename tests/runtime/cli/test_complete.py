"""halfbyte complete, with a fake model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from halfbyte.cli import options
from halfbyte.cli.progress import BAR
from halfbyte.generation.params import SamplingParams


def test_stdout_is_the_exact_continuation(run: Any, model: Any) -> None:
    outcome = run("complete", "-p", "def f():")
    assert (outcome.code, outcome.out) == (0, " ab\né")
    assert outcome.err.startswith("prompt 4 tok 8.0 tok/s | decode 3 tok 2.0 tok/s")
    assert outcome.err.count("\n") == 1
    assert model.prompt == "def f():"
    assert model.is_closed


@pytest.mark.parametrize(
    ("reason", "said"),
    [("length", " | cut at the length that -n sets"), ("context", "context is full"),
     ("stop", "")],
)  # fmt: skip
def test_the_statistics_say_why_an_answer_was_cut(
    run: Any, model: Any, reason: str, said: str
) -> None:
    model.finish_reason = reason
    err = run("complete", "-p", "x").err
    assert err.rstrip("\n").endswith(said) and ("cut" in err) == (reason != "stop")


def test_what_has_no_effect_gets_one_word(run: Any, model: Any) -> None:
    err = run("complete", "-p", "x", "--seed", "3", "--top-p", "0.5").err
    assert err.count("has no effect at temperature 0") == 2
    assert "no effect" not in run("complete", "-p", "x", "--seed", "3", "--temp", "1").err


def test_defaults_are_not_repeated(run: Any, model: Any) -> None:
    run("complete", "-p", "x")
    assert model.params == {}
    assert model.load_args == {
        "model": "smollm2-135m", "threads": None, "ctx": None, "kv_type": "f16",
        "arithmetic": "int8", "progress": BAR,
    }  # fmt: skip


@pytest.mark.parametrize("command", [["complete", "-p", "x"], ["infill", "-p", "x<FILL_ME>"]])
def test_prompts_are_kept_where_it_is_said(run: Any, model: Any, command: list[str]) -> None:
    assert run(*command, "--prompt-cache", "kept").code == 0
    assert model.load_args["prompt_cache_dir"] == "kept"


def test_a_long_prompt_is_cut_where_that_is_asked(run: Any, model: Any) -> None:
    assert run("complete", "-p", "x", "--truncate", "middle").code == 0
    assert model.params == {"truncate": "middle"}
    assert run("complete", "-p", "x", "--truncate", "right").code == 2


def test_a_model_that_guesses_is_loaded_too(run: Any, model: Any) -> None:
    assert run("complete", "-p", "x", "--draft", "small").code == 0
    assert model.load_args["draft"] == "small"


def test_every_option_arrives(run: Any, model: Any) -> None:
    outcome = run(
        *("complete", "-m", "m.gguf", "-p", "x", "-n", "32", "-c", "64", "-t", "3"),
        *("--kv-type", "f32", "--temp", "0.5", "--top-k", "4", "--top-p", "0.9", "--min-p", "0.1"),
        *("--repeat-penalty", "1.1", "--presence-penalty", "-0.5", "--frequency-penalty", "0.25"),
        *("--seed", "7", "--stop", "a", "--stop", "b"),
    )
    assert outcome.code == 0
    assert model.load_args == {
        "model": "m.gguf", "threads": 3, "ctx": 64, "kv_type": "f32",
        "arithmetic": "int8", "progress": BAR,
    }  # fmt: skip
    assert model.params == {
        "max_tokens": 32, "temperature": 0.5, "top_k": 4, "top_p": 0.9, "min_p": 0.1,
        "repetition_penalty": 1.1, "presence_penalty": -0.5, "frequency_penalty": 0.25,
        "seed": 7, "stop": ["a", "b"],
    }  # fmt: skip


def test_healing_can_be_left_out(run: Any, model: Any) -> None:
    for more in ((), ("--json",)):
        assert run("complete", "-p", "x", *more).code == 0
        assert model.how == {"heal": True}
        assert run("complete", "-p", "x", "--no-heal", *more).code == 0
        assert model.how == {"heal": False}


def test_zero_counts_as_given(run: Any, model: Any) -> None:
    run("complete", "-p", "x", "--temp", "0", "--seed", "0", "-n", "0")
    assert model.params == {"temperature": 0.0, "seed": 0, "max_tokens": 0}


def test_the_help_shows_the_defaults_of_sampling_params(run: Any) -> None:
    text = " ".join(run("complete", "--help").out.split())
    assert f"the context is full (default: {SamplingParams().max_tokens})" in text
    assert "stop before this text" in text


@pytest.mark.parametrize("option", ["--temp=-1", "--top-p=1.5", "--temp=nan", "--stop=", "-n=-2",
                                    "--mirostat=3", "--samplers=top_q", "--logit-bias=x",
                                    "--max-time=0", "--stop-indent=0", "--min-tokens=-1",
                                    "--repeat-last-n=-2", "--typical=2"])  # fmt: skip
def test_a_bad_value_fails_before_the_model_is_loaded(run: Any, model: Any, option: str) -> None:
    outcome = run("complete", "-p", "x", option)
    assert (outcome.code, outcome.out, model.load_args) == (2, "", {})
    assert outcome.err.startswith("usage: halfbyte complete ")
    flag = {"-n": "-n/--max-tokens"}.get(option.split("=")[0], option.split("=")[0])
    assert f"\nhalfbyte complete: error: argument {flag}: expected " in outcome.err


@pytest.mark.parametrize(
    ("argv", "prompt"),
    [
        (["def f"], "def f"),
        (["-n", "4", "def f", "-t", "2"], "def f"),
        (["-t", "2", "--", "--help"], "--help"),
        (["-"], "from stdin\n"),
        ([], "from stdin\n"),
        (["-n", "4"], "from stdin\n"),
        (["-p", ""], ""),
    ],
)
def test_the_bare_argument_or_a_pipe_is_the_prompt(
    run: Any, model: Any, argv: list[str], prompt: str
) -> None:
    outcome = run("complete", *argv, stdin=b"from stdin\n")
    assert (outcome.code, model.prompt, outcome.out) == (0, prompt, " ab\né")


def test_without_a_limit(run: Any, model: Any) -> None:
    run("complete", "x", "-n", "-1")
    assert model.params == {"max_tokens": options.UNTIL_END}


def test_escapes_in_stops(run: Any, model: Any) -> None:
    run("complete", "x", "--stop", r"\n\t", "--stop", r"a\\n\d")
    assert model.params == {"stop": ["\n\t", r"a\n\d"]}
    outcome = run("complete", "x", "--stop", b"a\xfe".decode("utf-8", "surrogateescape"))
    assert outcome.code == 2 and "argument --stop: expected valid UTF-8" in outcome.err


def test_quiet_is_only_the_answer(run: Any, model: Any) -> None:
    for flag in ("-q", "--quiet"):
        outcome = run("complete", "x", flag)
        assert (outcome.out, outcome.err) == (" ab\né", "")
    assert run("complete", "x").err != ""


def test_a_cut_answer_is_said_to_be(run: Any, model: Any) -> None:
    assert run("complete", "x").err.endswith(" | cut at the length that -n sets\n")
    model.finish_reason = "context"
    assert run("complete", "x").err.endswith(" | cut: the context is full\n")
    model.finish_reason = "stop"
    assert "cut" not in run("complete", "x").err


@pytest.mark.parametrize("command", ["complete", "infill"])
def test_a_second_prompt_is_not_passed_over(run: Any, model: Any, command: str) -> None:
    outcome = run(command, "-p", "x<FILL_ME>", "--prompt", "y<FILL_ME>")
    assert outcome.code == 2 and "--prompt is given twice" in outcome.err
    assert model.load_args == {}


def test_stdin(run: Any, model: Any) -> None:
    assert run("complete", "-p", "-", stdin="é\r\n€".encode()).code == 0
    assert model.prompt == "é\r\n€"


def test_stdin_that_is_no_utf_8(run: Any, model: Any) -> None:
    outcome = run("complete", "-p", "-", stdin=b"ab\xff")
    assert outcome.code == 1
    assert outcome.err == "error: prompt: expected valid UTF-8, got byte 0xff at 2\n"
    assert model.load_args == {}


def test_an_argument_that_is_no_utf_8(run: Any, model: Any) -> None:
    outcome = run("complete", "-p", b"a\xfe".decode("utf-8", "surrogateescape"))
    assert outcome.err == "error: prompt: expected valid UTF-8, got byte 0xfe at 1\n"


def test_json(run: Any, model: Any) -> None:
    outcome = run("complete", "-p", "x", "--json", "-n", "3")
    assert json.loads(outcome.out) == {
        "model": "/models/fake.gguf",
        "text": " ab\né",
        "healed": "he",
        "tokens": [5, 6, 7],
        "finish_reason": "length",
        "seed": None,
        "stats": {
            "n_prompt": 4, "prefill_s": 0.5, "n_decode": 3, "decode_s": 1.5, "load_s": 0.25,
            "n_reused": 0, "mismatch": "", "n_drafted": 0, "n_accepted": 0,
        },
    }  # fmt: skip
    assert outcome.out.count("\n") == 1
    assert model.params == {"max_tokens": 3}
