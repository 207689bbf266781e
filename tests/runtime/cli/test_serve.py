"""`halfbyte serve` in a process: it says where it is, answers, and ends as it should."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from halfbyte.cli import serve
from halfbyte.errors import SettingError

ENDLESS = {
    "prompt": "def f(", "max_tokens": 100_000, "temperature": 1, "stop": ["\0"], "stream": True,
    "n": 8,
}  # fmt: skip


@contextmanager
def served(*argv: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of the small model, and its URL."""
    command = [sys.executable, "-m", "halfbyte", "serve", "-m", "infill-10m", "-t", "1", *argv]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.readline()
            found = re.search(r"ready: (\S+) serves infill-10m", said)
            assert found, said + process.stderr.read()
            yield process, found[1]
        finally:
            process.kill()


def test_a_signal_ends_streams_with_an_event_and_the_process_with_0() -> None:
    with served("--port", "0", "--grace", "0.3") as (process, url):
        with httpx.Client(trust_env=False, timeout=30) as client:
            assert client.get(f"{url}/health").json() == {"status": "ok"}
            with client.stream("POST", f"{url}/v1/completions", json=ENDLESS) as answer:
                lines = answer.iter_lines()
                next(lines)
                process.send_signal(signal.SIGTERM)
                last = [line for line in lines if line][-1]
        assert process.wait(30) == 0
        assert json.loads(last.removeprefix("data: "))["error"]["message"].startswith("the server")


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with served("--unix-socket", str(path)) as (process, url):
        assert url == f"unix:{path}"
        assert os.stat(path).st_mode & 0o777 == 0o600
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://anything", timeout=30) as client:
            with client.stream("POST", "/v1/completions", json=ENDLESS) as answer:
                next(answer.iter_lines())
                process.send_signal(signal.SIGINT)
                assert process.stderr is not None
                while "ending" not in process.stderr.readline():
                    pass
                process.send_signal(signal.SIGINT)
                assert process.wait(30) == 128 + signal.SIGINT


def test_what_cannot_be_served_is_one_line(run: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for argv, said in (
            (("--port", port), "--port: expected a port that is free"),
            (("--host", "0.0.0.0"), "--host: expected this machine's loopback address, or keys"),
            (("--api-key-file", str(tmp_path / "none")), "--api-key-file: expected a file of keys"),
            (("-m", f"x={tmp_path}/none.gguf"), f"{tmp_path}/none.gguf: expected a .gguf file"),
            (("-m", "infill-10m"), "--model: expected models under different names"),
            (("--tls-cert", str(tmp_path)), "--tls-cert: expected a certificate and its key"),
        ):
            outcome = run("serve", "-m", "infill-10m", *argv)
            assert (outcome.code, outcome.out) == (1, "")
            assert outcome.err.startswith(f"error: {said}") and outcome.err.count("\n") == 1


def test_a_model_that_is_not_there_is_an_error(run: Any, no_model: None) -> None:
    outcome = run("serve", "-m", "infill-10m", "--port", "0")
    assert (outcome.code, outcome.err) == (1, "error: model: expected a name, got infill-10m\n")
    outcome = run(
        "serve", "-m", "infill-10m", "-m", "nope", "--port", "0"
    )  # loaded later, if at all
    assert outcome.code == 1 and outcome.err.startswith("error: model: expected an existing")


def test_names_of_models(tmp_path: Path) -> None:
    file = tmp_path / "a.q4_0-00001-of-00002.gguf"
    file.touch()
    asked = ["smollm2-135m", str(file), "fast=org/name", "infill=infill-10m"]
    assert serve._sources(asked) == {
        "smollm2-135m": "smollm2-135m", "a.q4_0": str(file), "fast": "org/name",
        "infill": "infill-10m",
    }  # fmt: skip
    with pytest.raises(SettingError):
        serve._sources(["a=x", "a=y"])


def test_keys_are_told_of_where_they_are_needed(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("me:secret-secret\n")
    keys.chmod(0o600)
    with served("--port", "0", "--api-key-file", str(keys)) as (process, url):
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(7)]
    assert f"  OpenAI clients: export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=KEY\n" in said


@pytest.mark.parametrize(
    "text", ["*", "null", "https://a.example", "http://localhost:3000", "app://x"]
)
def test_origins(text: str) -> None:
    assert serve._origin(text) == text


@pytest.mark.parametrize(
    "text", ["a.example", "https://a.example/", "https://A.example", "", "http://"]
)
def test_origins_that_no_browser_sends(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="scheme://host"):
        serve._origin(text)


@pytest.mark.parametrize(("text", "n"), [("7", 7), ("2G", 2 * 10**9), ("512Mi", 512 << 20)])
def test_bytes(text: str, n: int) -> None:
    assert serve._nbytes(text) == n
