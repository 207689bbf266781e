"""A server under mixed traffic for a while: `make test-server-soak`, half an hour.

    python -m tests.mutants.server_soak [MINUTES]

Clients of all protocols, whole and streamed; some hang up, some read slowly or not at all, some
send halves of requests, junk or fields that no one may send. No answer may be a 500, no request may
be stuck, and memory and open files are the same at the end as after a third of the time.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from tests.mutants.running_server import RunningServer

N_CLIENTS, ANSWER_S = 12, 120.0
MODEL = "infill-10m"
MAY_GROW = 1.05, 24 << 20  # times, or bytes beyond
TEXTS = ["def f(a, b", "import nu", "class A:\n    def __init__(self", "x = [1, 2", "é = '"]
ODD: list[Any] = [-1, True, [], {}, "", 1e300, None, "x" * 3000, [[1]], {"a": [None]}]


def request(drawn: random.Random) -> tuple[str, dict[str, Any]]:
    """What a client may send."""
    text, n = drawn.choice(TEXTS) * drawn.choice([1, 1, 8]), drawn.choice([1, 8, 40])
    stream = drawn.random() < 0.5
    how = {"temperature": drawn.choice([0, 1]), "stream": stream}
    return drawn.choice(
        [
            ("/v1/completions", {"prompt": text, "max_tokens": n, **how}),
            ("/v1/completions", {"prompt": text, "suffix": "\n", "max_tokens": n, **how}),
            ("/v1/completions", {"prompt": [text, "a"], "n": 2, "max_tokens": n, "logprobs": 2}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **how}),
            ("/infill", {"input_prefix": text, "input_suffix": "\n", "prompt": "", "n_predict": n,
                         "stream": stream}),
            ("/completion", {"prompt": text, "n_predict": n, "n_probs": 2, "stream": stream}),
            ("/api/generate", {"model": MODEL, "prompt": text, "stream": stream,
                               "options": {"num_predict": n}}),
            ("/v1/edit", {"path": "a.py", "text": text, "cursor": len(text), "max_tokens": n}),
            ("/v1/embeddings", {"input": [text, "b"]}),
            ("/tokenize", {"content": text}),
            ("/v1/messages", {"model": MODEL, "max_tokens": n, **how,
                              "messages": [{"role": "user", "content": text}]}),
        ]
    )  # fmt: skip


class Traffic:
    """Clients of one server, and what came of their requests."""

    def __init__(self, url: str, end_s: float) -> None:
        self._port, self._end_s = int(url.rpartition(":")[2]), end_s
        self.statuses: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def run(self) -> None:
        """Until the time is over."""
        await asyncio.gather(*(self._client(random.Random(i)) for i in range(N_CLIENTS)))

    async def _client(self, drawn: random.Random) -> None:
        kinds = [self._whole] * 6 + [self._leaving] * 2 + [self._slow, self._half, self._junk]
        while time.monotonic() < self._end_s:
            path, body = request(drawn)
            if drawn.random() < 0.15:
                body[drawn.choice(list(body))] = drawn.choice(ODD)
            with suppress(ConnectionError):
                await asyncio.wait_for(drawn.choice(kinds)(drawn, path, body), ANSWER_S)

    async def _open(
        self, path: str, body: dict[str, Any]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(self._bytes(path, body))
        return reader, writer

    def _bytes(self, path: str, body: dict[str, Any]) -> bytes:
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data

    async def _whole(self, drawn: random.Random, path: str, body: dict[str, Any]) -> None:
        reader, writer = await self._open(path, body)
        answer = await reader.read(-1)
        writer.close()
        self._note(path, body, answer)

    async def _leaving(self, drawn: random.Random, path: str, body: dict[str, Any]) -> None:
        reader, writer = await self._open(path, body)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(300), drawn.random() * 0.2)
        writer.transport.abort()
        self.statuses["left"] += 1

    async def _slow(self, drawn: random.Random, path: str, body: dict[str, Any]) -> None:
        reader, writer = await self._open(path, body)
        for _ in range(20):
            await asyncio.sleep(0.05)
            if not await reader.read(40):
                break
        writer.transport.abort()
        self.statuses["slow"] += 1

    async def _half(self, drawn: random.Random, path: str, body: dict[str, Any]) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        data = self._bytes(path, body)
        writer.write(data[: drawn.randrange(len(data))])
        await asyncio.sleep(drawn.random() * 0.2)
        writer.transport.abort()
        self.statuses["half"] += 1

    async def _junk(self, drawn: random.Random, path: str, body: dict[str, Any]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        data = bytearray(self._bytes(path, body))
        for _ in range(3):
            data[drawn.randrange(len(data))] = drawn.randrange(256)
        writer.write(bytes(data))
        with suppress(asyncio.TimeoutError):
            answer = await asyncio.wait_for(reader.read(-1), 3)
            if answer:
                self._note(path, {"junk": bytes(data).hex()}, answer)
        writer.transport.abort()

    def _note(self, path: str, body: dict[str, Any], answer: bytes) -> None:
        status = answer[9:12].decode("latin-1")
        self.statuses[status] += 1
        if status in ("", "500") or (status == "200" and b"server_error" in answer):
            self.wrong.append(f"{path} {json.dumps(body)[:500]}: {answer[:500]!r}")


async def watch(server: RunningServer, traffic: Traffic, seconds: float) -> list[tuple[int, int]]:
    """Memory and open files, thirty times."""
    seen: list[tuple[int, int]] = []
    for _ in range(30):
        await asyncio.sleep(seconds / 30)
        seen.append((server.nbytes, server.n_files))
        print(f"{server.nbytes / 1e6:.0f} MB, {server.n_files} files, {dict(traffic.statuses)}")
        if traffic.wrong:
            break
    return seen


async def idle(url: str) -> bool:
    """Whether nothing runs or waits, soon."""
    port = int(url.rpartition(":")[2])
    for _ in range(100):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        state = json.loads((await reader.read(-1)).rpartition(b"\r\n\r\n")[2])
        writer.close()
        if not state["running"] and not state["waiting"]:
            return True
        await asyncio.sleep(0.1)
    return False


async def soak(server: RunningServer, seconds: float) -> list[str]:
    """What is wrong."""
    traffic = Traffic(server.url, time.monotonic() + seconds)
    seen, _ = await asyncio.gather(watch(server, traffic, seconds), traffic.run())
    wrong = traffic.wrong[:10]
    if not await idle(server.url):
        wrong.append("requests are stuck")
    third = max(nbytes for nbytes, _ in seen[: len(seen) // 3])
    last = max(nbytes for nbytes, _ in seen[-5:])
    if last > max(third * MAY_GROW[0], third + MAY_GROW[1]):
        wrong.append(f"memory grew from {third / 1e6:.0f} to {last / 1e6:.0f} MB")
    if server.n_files > seen[0][1] + N_CLIENTS:
        wrong.append(f"{server.n_files} files are open, {seen[0][1]} were")
    return wrong


def main() -> int:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    options = ("--log-format", "off", "--prompt-cache-bytes", "64M", "--parallel", "8")
    with RunningServer(MODEL, options=options) as server:
        wrong = asyncio.run(soak(server, 60 * minutes))
    print("\n".join(wrong) or "nothing is wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
