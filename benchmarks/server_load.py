"""Many clients of `halfbyte serve`, beside llama-server on the same file, in turns.

    python benchmarks/server_load.py [smollm2-135m] [1b-q4_0] [--rounds 3]
    LLAMA_SERVER=PATH python benchmarks/server_load.py ...   with a llama-server that is there

load      eight clients that stream answers of 64 tokens to short and long prompts: tokens a second
          over llama-server's, and the 95th percentiles of first tokens and of gaps over its
queue     64 clients where 8 run and 16 may wait: how many were answered, told to wait, or lost
infill    milliseconds from a cached `/infill` to its first byte, less `stream_infill`'s
stream    the rate of one stream read from a socket, over model.stream's in a process of its own
overhead  CPU of the event loop's thread for a token that is streamed
cancel    milliseconds from a client's hanging up, while its prompt is processed, to the server's
          last work on it

A line is appended to benchmarks/results/server.jsonl.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import llama_server
import load_clients
import results
from keystrokes import source
from load_clients import Answered
from server_process import ServerProcess
from suite import model_path

import halfbyte
from halfbyte import settings
from halfbyte.tokenizer import Tokenizer

N_CLIENTS, N_ANSWER, THREADS = 8, 64, 2
N_CTX = 2048
SHORT, LONG = 110, 1100  # tokens of prompts
N_STREAM = 256
BUSY_S, QUIET_S, TICK_S = 1.0, 0.5, 0.01  # of a prompt before it is given up; without work; a look
# Of the shapes: eight clients over llama-server's, a stream over model.stream's.
TARGETS = {"load": {"1b": 2.2}, "stream": {"1b": 0.98}}
USUAL = {"load": 3.0, "stream": 0.9}


class Prompts:
    """Pieces of real source code, none of which begins as another does."""

    def __init__(self, model: Path) -> None:
        self._text, self._n = source(), 0
        n_tokens = len(Tokenizer.from_path(model).encode(self._text))
        self._characters = len(self._text) / n_tokens

    def next(self, n: int) -> str:
        """About so many tokens."""
        self._n += 1
        n = int(n * self._characters)
        at = (self._n * 977) % max(len(self._text) - n, 1)
        return f"# {self._n}\n{self._text[at : at + n]}"


def ours(model: Path, *more: object) -> ServerProcess:
    """`halfbyte serve` of this environment."""
    command = [
        Path(sys.executable).with_name("halfbyte"), "serve", "-m", model, "--port", "{port}",
        "-t", THREADS, "--ctx", N_CTX,
    ]  # fmt: skip
    return ServerProcess([*command, *more])


def theirs(model: Path) -> ServerProcess:
    """llama-server with a slot for each client."""
    command = [
        llama_server.program(), "-m", model, "--port", "{port}", "-t", THREADS,
        "-c", N_CTX * N_CLIENTS, "-np", N_CLIENTS, "--no-ui",
    ]  # fmt: skip
    return ServerProcess(command)


def mixed(prompts: Prompts, n_each: int) -> list[list[dict[str, Any]]]:
    """What each client asks, short and long prompts in turn."""
    return [
        [
            load_clients.body(prompts.next(LONG if (i + j) % 4 == 0 else SHORT), N_ANSWER)
            for j in range(n_each)
        ]
        for i in range(N_CLIENTS)
    ]


def load(model: Path, prompts: Prompts, rounds: int, n_each: int) -> dict[str, Any]:
    """Eight clients of each server in turn."""
    sides: dict[str, list[tuple[float, list[Answered]]]] = {"ours": [], "theirs": []}
    with ours(model) as mine, theirs(model) as other:
        for i in range(rounds):
            requests = mixed(prompts, n_each)
            for name, server in ({"ours": mine, "theirs": other}.items() if i % 2
                                 else {"theirs": other, "ours": mine}.items()):  # fmt: skip
                taken = load_clients.run(server.port, requests)
                wrong = [one for one in taken[1] if one.status != 200 or one.n_tokens != N_ANSWER]
                if wrong:
                    raise SystemExit(f"{server.name}: not answered: {wrong[0]}")
                sides[name].append(taken)
        overhead = _overhead(mine, prompts)
    figures = {name: _figures(taken) for name, taken in sides.items()}
    ratio = {key: figures["ours"][key] / figures["theirs"][key] for key in figures["ours"]}
    return {"what": "load", **figures, "ratio": ratio, "overhead_us": overhead}


def _figures(taken: Sequence[tuple[float, list[Answered]]]) -> dict[str, float]:
    rates = [sum(one.n_tokens for one in answers) / seconds for seconds, answers in taken]
    answers = [one for _, some in taken for one in some]
    return {
        "tokens_a_s": statistics.median(rates),
        "first_p95_s": _p95([one.first_s for one in answers]),
        "gap_p95_s": _p95([one.gap_s for one in answers]),
    }


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def _overhead(server: ServerProcess, prompts: Prompts) -> float:
    """Microseconds of the event loop's thread for each token of eight streams."""
    requests = [[load_clients.body(prompts.next(SHORT), N_STREAM)] for _ in range(N_CLIENTS)]
    begin = server.main_thread_s()
    _, answers = load_clients.run(server.port, requests)
    return 1e6 * (server.main_thread_s() - begin) / sum(one.n_tokens for one in answers)


def queue(model: Path, prompts: Prompts) -> dict[str, Any]:
    """64 clients, of whom 24 have a place."""
    requests = [[load_clients.body(prompts.next(SHORT), N_ANSWER)] for _ in range(64)]
    with ours(model, "--parallel", 8, "--queue", 16) as server:
        _, answers = load_clients.run(server.port, requests)
    answered = sum(one.status == 200 and one.n_tokens == N_ANSWER for one in answers)
    refused = sum(one.status == 429 for one in answers)
    return {"what": "queue", "answered": answered, "refused": refused,
            "lost": len(requests) - answered - refused}  # fmt: skip


def in_turns(rounds: int, *works: Callable[[], float]) -> list[float]:
    """The median of each."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, values in zip(works, taken, strict=True):
            values.append(work())
    return [statistics.median(values) for values in taken]


def single(model_file: Path, prompts: Prompts, rounds: int) -> dict[str, Any]:
    """One stream's rate, over model.stream's."""
    how: Any = {"max_tokens": N_STREAM, "heal": False}
    with ours(model_file) as server, halfbyte.load(model_file, threads=THREADS, ctx=N_CTX) as model:
        eos = {"logit_bias": {i: -float("inf") for i in model.tokenizer.eog_ids}}

        asked = [prompt for _ in range(rounds) for prompt in [prompts.next(SHORT)] * 2]

        def by_socket() -> float:
            body = load_clients.body(asked.pop(), N_STREAM)
            answer = load_clients.read_alone(server.port, "/completion", body)
            return (answer.n_tokens - 1) / (answer.came_s[-1] - answer.came_s[0])

        def in_process() -> float:  # the same prompt, which may be guessed as well
            stream = model.stream(asked.pop(), **how, **eos)
            came = [time.perf_counter() for _ in stream]
            done = stream.completion
            assert done is not None
            return (len(done.tokens) - 1) / (came[-1] - came[0])

        served, alone = in_turns(rounds, by_socket, in_process)
    return {"what": "stream", "served_tps": served, "alone_tps": alone, "ratio": served / alone}


def infill(model_file: Path, rounds: int) -> dict[str, Any]:
    """A cached gap's first byte, over the library's first piece."""
    text = source()[:1000]
    prefix, suffix = text[:500], text[500:]
    body = {
        "input_prefix": prefix, "input_suffix": suffix, "prompt": "", "n_predict": 8,
        "temperature": 0.0, "samplers": ["temperature"], "ignore_eos": True, "stream": True,
    }  # fmt: skip
    with ours(model_file) as server, halfbyte.load(model_file, threads=THREADS, ctx=N_CTX) as model:

        def by_socket() -> float:
            _, [answer] = load_clients.run(server.port, [[body]], "/infill")
            return answer.first_s

        def in_process() -> float:
            begin = time.perf_counter()
            with model.stream_infill(prefix, suffix, max_tokens=8, force=True) as stream:
                next(stream)
            return time.perf_counter() - begin

        by_socket(), in_process()
        served, alone = in_turns(rounds, by_socket, in_process)
    return {"what": "infill", "served_ms": 1e3 * served, "alone_ms": 1e3 * alone,
            "more_ms": 1e3 * (served - alone)}  # fmt: skip


def cancel(model_file: Path, prompts: Prompts, rounds: int) -> dict[str, Any]:
    """A client that hangs up in the middle of its prompt."""
    with ours(model_file) as server:
        times = [_busy_after(server, prompts.next(LONG)) for _ in range(rounds)]
    return {"what": "cancel", "free_ms": 1e3 * statistics.median(times),
            "worst_ms": 1e3 * max(times)}  # fmt: skip


def _busy_after(server: ServerProcess, prompt: str) -> float:
    """Seconds from closing the connection until the server takes no CPU any more."""
    with socket.create_connection(("127.0.0.1", server.port)) as one:
        one.sendall(load_clients.request("/completion", load_clients.body(prompt, N_ANSWER)))
        time.sleep(BUSY_S)
    begin = last = time.perf_counter()
    taken_s = server.cpu_s()
    while (now := time.perf_counter()) < last + QUIET_S:
        now_s = server.cpu_s()
        if now_s - taken_s > TICK_S / 10:  # more than what looks around now and then
            last = now
        taken_s = now_s
        time.sleep(TICK_S)
    return last - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["smollm2-135m"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--each", type=int, default=3, help="requests of each client")
    parser.add_argument("--only", nargs="+", default=["load", "queue", "stream"])
    args = parser.parse_args()
    results.warn_if_busy()
    for name in args.models:
        path = model_path(name, settings.cache_dir() / "benchmarks")
        prompts = Prompts(path)
        works: dict[str, Callable[[], dict[str, Any]]] = {
            "load": lambda path=path, prompts=prompts: load(path, prompts, args.rounds, args.each),
            "queue": lambda path=path, prompts=prompts: queue(path, prompts),
            "stream": lambda path=path, prompts=prompts: single(path, prompts, 2 * args.rounds + 1),
            "infill": lambda path=path: infill(path, 4 * args.rounds + 1),
            "cancel": lambda path=path, prompts=prompts: cancel(path, prompts, 2 * args.rounds + 1),
        }
        for what in args.only:
            figures = works[what]()
            if what in USUAL:
                figures["target"] = TARGETS[what].get(name.partition("-")[0], USUAL[what])
            print(figures)
            results.append("server", path, THREADS, figures)


if __name__ == "__main__":
    main()
