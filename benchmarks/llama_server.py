"""A running llama-server, asked to infill as llama.vim asks it.

Sources: llama.vim, autoload/llama.vim; its README for the server's options.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import environments
from keystrokes import Keystroke

VARIABLE = "LLAMA_SERVER"  # path of the program; without it, it is built
N_BATCH = 1024  # which is also how many tokens of prefix and suffix it takes
OPTIONS = ("-b", N_BATCH, "-ub", N_BATCH, "--cache-reuse", 256, "-np", 1, "--no-ui")
START_S, ANSWER_S = 300.0, 600.0
N_BEFORE, N_AFTER = 256, 64  # lines that llama.vim sends


@dataclass(frozen=True, slots=True)
class Answered:
    """Seconds from the request to the first text and to the last, and tokens counted."""

    first_s: float
    line_s: float
    n_prompt: int
    n_new: int
    n_answer: int


def program() -> Path:
    """llama-server, built where no path is given."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else environments.make_llama_server()


class LlamaServer:
    """The program with one model; a context manager that ends it."""

    def __init__(
        self, path: Path, model: Path, threads: int, ctx: int, more: Sequence[object] = ()
    ) -> None:
        self._port = _free_port()
        command = [path, "-m", model, "-t", threads, "-c", ctx, "--port", self._port]
        words = [str(word) for word in (*command, *OPTIONS, *more)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(words, stdout=quiet, stderr=quiet)
        try:
            self._wait()
        except BaseException:
            self._process.kill()
            raise
        self.peer = Infill(self._port)

    def __enter__(self) -> LlamaServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise SystemExit(f"llama-server ended with {self._process.returncode}")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == http.client.OK:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit("llama-server is not ready")


class Infill:
    """The endpoint /infill at a port."""

    def __init__(self, port: int) -> None:
        self._port = port

    def answer(self, key: Keystroke, n_tokens: int) -> Answered:
        """Ask for a middle of so many tokens, the most likely ones."""
        begin = time.perf_counter()
        # One connection a request, as with the curl that llama.vim calls.
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_S)
        body = json.dumps(fields(key) | {"n_predict": n_tokens}).encode()
        connection.request("POST", "/infill", body, {"Content-Type": "application/json"})
        reply, first_s = connection.getresponse(), 0.0
        if reply.status != http.client.OK:
            raise SystemExit(f"llama-server: {reply.status} {reply.read()[:500]!r}")
        event: dict[str, Any] = {}
        while not event.get("stop"):
            line = reply.readline()
            if not line:
                raise SystemExit("llama-server: the answer has no end")
            if line.startswith(b"data: "):
                event = json.loads(line[len(b"data: ") :])
                if event.get("content") and not first_s:
                    first_s = time.perf_counter() - begin
        line_s = time.perf_counter() - begin
        connection.close()
        n_new, n_prompt = event["timings"]["prompt_n"], event["tokens_evaluated"]
        return Answered(first_s, line_s, n_prompt, n_new, event["tokens_predicted"])


def fields(key: Keystroke) -> dict[str, Any]:
    """What llama.vim sends, but streamed, and with the most likely tokens.

    Its sampler `infill` would end an answer of random weights before its first token.
    """
    before, _, line = key.prefix.rpartition("\n")
    rest, *after = key.suffix.split("\n")
    above = before.split("\n")[-N_BEFORE:] if before else []
    below = after[:N_AFTER]
    return {
        "id_slot": 0,
        "input_prefix": "".join(f"{text}\n" for text in above),
        "input_suffix": "\n".join([rest, *below]) + "\n",
        "input_extra": [],
        "prompt": line,
        "stop": [],
        "n_indent": len(line) - len(line.lstrip()),
        "temperature": 0.0,
        "samplers": ["temperature"],
        "ignore_eos": True,
        "stream": True,
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
