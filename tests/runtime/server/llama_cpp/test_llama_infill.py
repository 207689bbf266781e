"""`/infill` as llama.vim and llama.vscode ask for it, and as they read its answers."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

import halfbyte
from halfbyte.server.llama_cpp.llama_infill import repository
from halfbyte.server.llama_cpp.request_schema import ExtraChunk
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving

PREFIX = "import numpy as np\n\n\ndef mean(values):\n"
SUFFIX = "\n\n\ndef main():\n    pass\n"
CHUNKS = [
    {"text": "def total(values):\n    return sum(values)\n", "time": 12.5, "filename": "sums.py"},
    {"text": "def least(values):\n    return min(values)\n", "time": 13.0, "filename": "sums.py"},
]
# What llama.vim sends and what it asks to be told, in its order.
TIMINGS = [f"timings/{part}_{unit}" for part in ("prompt", "predicted")
           for unit in ("n", "ms", "per_token_ms", "per_second")]  # fmt: skip
VIM: dict[str, Any] = {
    "id_slot": 0, "input_prefix": PREFIX, "input_suffix": SUFFIX, "input_extra": CHUNKS,
    "prompt": "    return ", "n_predict": 24, "stop": [], "n_indent": 4, "top_k": 40, "top_p": 0.90,
    "samplers": ["top_k", "top_p", "infill"], "seed": 3, "stream": False, "cache_prompt": True,
    "t_max_prompt_ms": 500, "t_max_predict_ms": 100_000,
    "response_fields": ["content", *TIMINGS, "truncated", "tokens_cached"], "model": "",
}  # fmt: skip
WARM_UP: dict[str, Any] = {
    "id_slot": 0, "input_prefix": "", "input_suffix": "", "input_extra": CHUNKS, "prompt": "",
    "n_predict": 0, "temperature": 0.0, "samplers": [], "stream": False, "cache_prompt": True,
    "t_max_prompt_ms": 1, "t_max_predict_ms": 1, "response_fields": [""], "model": "",
}  # fmt: skip
OPTIONS: dict[str, Any] = {
    "max_tokens": 24, "stop_indent": 4, "top_k": 40, "top_p": 0.90, "seed": 3, "temperature": 1.0,
    "samplers": ["top_k", "top_p", "infill"], "reuse_answer": False,
}  # fmt: skip
FILES = halfbyte.Repository(
    {"sums.py": CHUNKS[0]["text"], "./sums.py": CHUNKS[1]["text"]},  # type: ignore[dict-item]
    is_apart=True,
)


def _curl(url: str, body: str) -> str:
    """A request as llama.vim has curl send it: without a key, the header is there all the same."""
    host, port = url.removeprefix("http://").split(":")
    head = (
        f"POST /infill HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n"
        "Content-Type: application/json\r\nAuthorization: Bearer \r\nConnection: close\r\n"
        f"Content-Length: {len(body.encode())}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall((head + body).encode())
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()
    head, _, text = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 ")
    return text


def _infill(shelf: Shelf, n: int | None = None, **more: Any) -> Any:
    model = shelf.loaded()[0].model
    prefix = PREFIX + "    return "
    return model.infill(prefix, SUFFIX, n=n, repository=FILES, **{**OPTIONS, **more})


def test_llama_vims_request_gives_the_librarys_middle(url: str, shelf: Shelf) -> None:
    text = _curl(url, json.dumps(VIM))  # as Vim writes it, with blanks
    # llama.vim drops whatever does not match these, and Vim 8 reads a line at a time.
    assert re.search(r"^\s*{", text) and re.search(r'"content"\s*:"', text)
    assert "\n" not in text
    answer = json.loads(text)
    assert list(answer) == VIM["response_fields"]
    expected = _infill(shelf)
    assert answer["content"] == expected.text
    assert answer["tokens_cached"] == expected.stats.n_prompt + len(expected.tokens)
    assert answer["timings/predicted_n"] == len(expected.tokens)


def test_a_warm_up_has_the_other_files_known(http: httpx.Client, shelf: Shelf) -> None:
    text = "# Nobody has asked about this one.\n" * 8
    chunks = [{"text": text, "filename": "new.py"}]
    warm_up = http.post("/infill", json={**WARM_UP, "input_extra": chunks})
    assert warm_up.text == "{}"
    n_chunk = len(shelf.loaded()[0].model.tokenizer.encode_fragment(text))
    asked = {**VIM, "input_extra": chunks, "response_fields": ["timings/cache_n"]}
    assert http.post("/infill", json=asked).json()["timings/cache_n"] > n_chunk


def test_llama_vscodes_candidates_are_an_array(http: httpx.Client, shelf: Shelf) -> None:
    asked = {k: v for k, v in VIM.items() if k not in ("response_fields", "n_indent", "stop")}
    asked |= {"n_cmpl": 3, "lora": [{"id": 0, "scale": 0.5}], "top_p": 0.99}
    got = http.post("/infill", json=asked).json()
    expected = _infill(shelf, 3, top_p=0.99, stop_indent=False)
    assert [one["content"] for one in got] == [one.text for one in expected]
    assert [one["index"] for one in got] == [0, 1, 2]
    assert all(one["generation_settings"]["n_ctx"] == 512 for one in got)
    warm_up = {k: v for k, v in asked.items() if k != "n_cmpl"} | {"n_predict": 0, "samplers": []}
    answer = http.post("/infill", json=warm_up).json()
    assert answer["content"] == "" and answer["tokens_predicted"] == 0
    assert answer["tokens_cached"] == answer["tokens_evaluated"]


def test_a_line_with_fewer_tabs_ends_an_answer(http: httpx.Client) -> None:
    """What llama.vim sends within two tabs; the grammar says what the model does."""
    lines = "a()\n\t\tb()\n\t}\n"
    asked = {"input_prefix": "func f() {\n\tif x {\n", "prompt": "\t\t", "input_suffix": "",
             "n_predict": 64, "grammar": f"root ::= {json.dumps(lines)}"}  # fmt: skip
    whole = http.post("/infill", json=asked).json()["content"]
    assert whole == lines
    assert http.post("/infill", json=asked | {"n_indent": 2}).json()["content"] == "a()\n\t\tb()"
    assert http.post("/infill", json=asked | {"n_indent": 1}).json()["content"] == whole


def test_parts_of_one_file_have_paths_of_their_own() -> None:
    names = ["a", "./a", "a", "b", "a", None, None]
    made = repository([ExtraChunk(text=str(i), filename=name) for i, name in enumerate(names)])
    assert made is not None
    assert list(made.files) == ["a", "./a", "././a", "b", "./././a", "tmp", "./tmp"]
    assert list(made.files.values()) == [str(i) for i in range(7)]


def test_the_answers_come_piece_by_piece(http: httpx.Client, shelf: Shelf) -> None:
    asked = {**VIM, "stream": True, "n_cmpl": 2}
    text = http.post("/infill", json=asked).text
    events = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line]
    expected = _infill(shelf, 2)
    for i, one in enumerate(expected):
        mine = [e for e in events if e.get("index") == i]
        assert "".join(e["content"] for e in mine) == one.text
        assert not any(e["stop"] for e in mine)
    ends = [e for e in events if "index" not in e]  # the last of each, as response_fields has it
    assert [list(e) for e in ends] == [VIM["response_fields"]] * 2


@pytest.mark.parametrize("n", [0, -1, 17])
def test_too_many_candidates_are_refused_in_words_that_llama_vscode_knows(
    http: httpx.Client, n: int
) -> None:
    got = http.post("/infill", json={**VIM, "n_cmpl": n})
    assert got.status_code == 400
    assert got.json() == {
        "error": {
            "code": 400, "type": "invalid_request_error",
            "message": f"Field 'n_cmpl': Value must be between 1 <= value <= 16, but got {n}",
        }
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [("input_prefix", None), ("input_suffix", 3), ("prompt", ["a"]), ("input_extra", {}),
     ("input_extra", [{}]), ("input_extra", [{"filename": "ok"}]),
     ("input_extra", [{"filename": 123, "text": "abc"}]), ("samplers", ["nonsense"]),
     ("n_predict", -2), ("n_predict", True), ("lora", [{"id": -1, "scale": 1}])],
)  # fmt: skip
def test_a_bad_field_is_named(http: httpx.Client, field: str, value: Any) -> None:
    got = http.post("/infill", json={**VIM, field: value})
    assert got.status_code == 400
    error = got.json()["error"]
    assert error["type"] == "invalid_request_error" and field in error["message"]


def test_any_slot_will_do(http: httpx.Client) -> None:
    for given, told in ((7, 7), (1000, 1000), (-1, 0)):
        asked = {**VIM, "id_slot": given, "response_fields": ["id_slot"]}
        assert http.post("/infill", json=asked).json() == {"id_slot": told}


def test_a_model_without_the_tokens_says_so_as_llama_cpp_does(tiny_gguf: Path) -> None:
    with halfbyte.load(tiny_gguf, threads=1) as model:
        other = Shelf({"tiny": "tiny"}, halfbyte.load)
        other.put("tiny", model)
        with serving(other) as url, httpx.Client(base_url=url, trust_env=False) as client:
            for stream in (False, True):
                got = client.post("/infill", json={**VIM, "n_predict": 2, "stream": stream})
                assert got.status_code == 501
                error = got.json()["error"]
                assert error["type"] == "not_supported_error"
                known = "Infill is not supported by this model: prefix token is missing. "
                assert error["message"].startswith(known)


def test_time_over_ends_an_answer_with_its_line(http: httpx.Client, shelf: Shelf) -> None:
    asked = {k: v for k, v in VIM.items() if k not in ("response_fields", "n_indent", "samplers")}
    asked |= {"n_predict": 200, "temperature": 0, "ignore_eos": True, "input_suffix": ""}
    whole = http.post("/infill", json=asked | {"t_max_predict_ms": -1}).json()
    got = http.post("/infill", json=asked | {"t_max_predict_ms": 1}).json()
    assert whole["content"].count("\n") > 2
    assert whole["content"].startswith(got["content"]) and got["stop_type"] == "limit"
    assert 2 <= got["content"].count("\n") < whole["content"].count("\n")
    assert got["content"].rstrip(" ").endswith("\n")


def test_a_key_costs_its_own_token_in_a_text_longer_than_the_window(http: httpx.Client) -> None:
    lines = "".join(f"    value_{i} = compute({i}, scale={i * 7})\n" for i in range(60))
    asked = {**VIM, "input_prefix": f"def f():\n{lines}", "input_extra": [], "n_predict": 1,
             "response_fields": ["timings/prompt_n", "tokens_evaluated"]}  # fmt: skip
    typed = "    total = value_1 + value_2"
    new = []
    for n in range(8, len(typed), 2):
        told = http.post("/infill", json={**asked, "prompt": typed[:n]}).json()
        new.append(told["timings/prompt_n"])
    assert sorted(new[1:])[len(new) * 3 // 4] <= 3
    assert told["tokens_evaluated"] > 200
