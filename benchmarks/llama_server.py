"""A running llama-server, asked to infill as llama.vim asks it.

Sources: llama.vim, autoload/llama.vim; its README for the server's options.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environments
from keystrokes import Keystroke
from server_process import ServerProcess

VARIABLE = "LLAMA_SERVER"  # path of the program; without it, it is built
N_BATCH = 1024  # which is also how many tokens of prefix and suffix it takes
OPTIONS = ("-b", N_BATCH, "-ub", N_BATCH, "--cache-reuse", 256, "-np", 1, "--no-ui")
ANSWER_S = 600.0
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


class LlamaServer(ServerProcess):
    """The program with one model; a context manager that ends it."""

    def __init__(
        self, path: Path, model: Path, threads: int, ctx: int, more: Sequence[object] = ()
    ) -> None:
        command = [path, "-m", model, "-t", threads, "-c", ctx, "--port", "{port}"]
        super().__init__([*command, *OPTIONS, *more])
        self.peer = Infill(self.port)

    def first_token(self, prompt: str) -> str:
        """The most likely token behind a prompt."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        body = json.dumps({"prompt": prompt, "n_predict": 1, "temperature": 0}).encode()
        connection.request("POST", "/completion", body, {"Content-Type": "application/json"})
        content: str = json.loads(connection.getresponse().read())["content"]
        connection.close()
        return content


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
