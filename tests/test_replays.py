"""The replays of the benchmarks, in miniature: what they ask, and what they make of the answers."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import halfbyte

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def model() -> Iterator[halfbyte.Model]:
    with halfbyte.load("infill-10m", threads=2) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def tiny(
    benchmark_module: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A file of random weights with an infill vocabulary."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        made: Path = benchmark_module("synth_infill").ensure("tiny", tmp_path_factory.mktemp("t"))
    return made


def test_keys_type_what_stands_there(load: Callable[[str], Any]) -> None:
    replay = load("keystrokes")
    text = replay.source()
    keys = list(replay.keystrokes(text, 200, 8))
    assert len(keys) == 200 and text.count("\n") == 1500
    assert [key.kind for key in keys].count("jump") == 8
    assert {key.kind for key in keys} == {"jump", "key", "enter", "accept"}
    for before, key in itertools.pairwise(keys):
        assert text.startswith(key.prefix) and text.endswith(key.suffix)
        if key.kind != "jump":
            typed = key.prefix.removeprefix(before.prefix)
            assert key.suffix == before.suffix and typed and typed != key.prefix
            assert (len(typed) == 1) == (key.kind == "key") or key.kind == "enter"
            assert (typed[0] == "\n") == (key.kind == "enter")


class Answering(BaseHTTPRequestHandler):
    """Answers as llama-server streams: a piece without text, then three with."""

    asked: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked.append(json.loads(body))
        self.send_response(200)
        self.end_headers()
        for event in (
            {"content": ""}, {"content": "a"}, {"content": "b"},
            {"content": "c", "stop": True, "tokens_evaluated": 40, "tokens_predicted": 3,
             "timings": {"prompt_n": 7}},
        ):  # fmt: skip
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    Answering.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_the_server_is_asked_as_llama_vim_does(load: Callable[[str], Any], port: int) -> None:
    server, keystrokes = load("llama_server"), load("keystrokes")
    lines = [f"line {i}\n" for i in range(400)]
    key = keystrokes.Keystroke("key", "".join(lines[:300]) + "    x = ", "1\n" + "".join(lines))
    answered = server.Infill(port).answer(key, 3)
    assert (answered.n_prompt, answered.n_new, answered.n_answer) == (40, 7, 3)
    assert 0 < answered.first_s <= answered.line_s
    (asked,) = Answering.asked
    assert asked["input_prefix"] == "".join(lines[300 - 256 : 300])
    assert asked["prompt"] == "    x = " and asked["n_indent"] == 4
    assert asked["input_suffix"] == "1\n" + "".join(lines[:64])
    assert asked["n_predict"] == 3 and asked["cache_prompt"] is True


def test_a_replay_puts_each_key_to_all(
    load: Callable[[str], Any], model: halfbyte.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    typing, keystrokes = load("typing_replay"), load("keystrokes")
    monkeypatch.setattr(typing, "N_ANSWER", 3)
    asked = []

    def peer(key: Any) -> Any:
        asked.append(key)
        return typing.Answered(10.0 * len(asked), 100.0, 40, 7, 3)

    text = "import os\n\n\ndef first():\n    return os.path.join(a, b)\n"
    keys = [
        keystrokes.Keystroke("key", text[:n], "\n\ndef second():\n    pass\n")
        for n in range(40, 44)
    ]
    answers = typing.replay(keys, {"auto": typing.ours(model, "auto"), "server": peer})
    assert asked == keys
    assert all(one.n_new < one.n_prompt for one in answers["auto"][1:])
    found = typing.summary(answers)
    assert found["server"]["first_p50"] == 25000.0 and found["server"]["line_p50"] == 100000.0
    assert found["server"]["first_p95"] == pytest.approx(38500.0)
    ratio = found["auto"]["first_p50"] / 25000.0
    assert found["auto"]["first_p50_ratio"] == pytest.approx(ratio)
    short = {"peer": lambda key: typing.Answered(1.0, 1.0, 40, 7, 2)}
    with pytest.raises(SystemExit, match="expected 3 tokens"):
        typing.replay(keys[:1], short)


def test_the_random_model_infills_with_words(tiny: Path) -> None:
    with halfbyte.load(tiny, threads=1, ctx=256) as loaded:
        for order in ("psm", "spm"):
            done = loaded.infill("import os\n\nos.", "\n", order=order, max_tokens=9, force=True)
            assert done.finish_reason == "length" and done.order == order
            assert done.text.replace(" ", "").isalpha() and done.text.islower()
        assert loaded.tokenizer.id_of("<|file_sep|>") is not None


def test_edits_are_forced(load: Callable[[str], Any], tiny: Path) -> None:
    replay = load("edit_replay")
    with halfbyte.load(tiny, threads=1, ctx=2048) as loaded:
        facts = replay.measure(loaded, 3)  # and fails where an edit is not the one that is wanted
        first = facts["edits"][0]
        assert first["ratio"] == first["plain_s"] / first["drafted_s"]
        assert len(facts["edits"]) == 3 and facts["ratio"] > 0
        assert all(row["n_accepted"] <= row["n_drafted"] for row in facts["edits"])
        assert sum(row["n_accepted"] for row in facts["edits"]) > 0
        assert all(row["n_tokens"] > 30 for row in facts["edits"])
        assert "_request" not in vars(loaded._planner)


def test_a_conversation_outlives_restarts(
    load: Callable[[str], Any], tiny: Path, tmp_path: Path
) -> None:
    replay = load("agent_replay")
    agent = replay.Agent(tiny, tmp_path / "prompts", n_begin=300, n_turn=40)
    turns, is_same = agent.turns(4), agent.is_same()
    agent.close()
    assert is_same
    assert [turn["is_restarted"] for turn in turns] == [False, False, True, False]
    assert [turn["n_reused"] for turn in turns] == [300, 340, 380, 420]
    assert turns[2]["disk_s"] > 0 and turns[2]["disk_nbytes"] > 100_000
    found = replay.summary([
        {"ratio": 1.0, "is_restarted": False, "disk_s": 0.0},
        {"ratio": 4.0, "is_restarted": False, "disk_s": 0.0},
        {"ratio": 9.0, "is_restarted": True, "disk_s": 0.5},
    ])  # fmt: skip
    assert (found["ratio"], found["worst"], found["restarted_ratio"]) == (2.5, 4.0, 9.0)


def test_the_disk_is_measured_beside_plain_files(
    load: Callable[[str], Any], tmp_path: Path
) -> None:
    synth, replay = load("synth_infill"), load("agent_replay")
    facts = replay.disk(synth.ensure("tiny", tmp_path), tmp_path, 300, rounds=2)
    assert facts["nbytes"] > 100_000
    assert facts["ratio"]["save"] == facts["mb_s"]["save"] / facts["mb_s"]["copy"]
    assert {name: len(took) for name, took in facts["seconds"].items()} == {
        "save": 2, "copy": 2, "load": 2, "read": 2,
    }  # fmt: skip
