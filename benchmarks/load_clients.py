"""Clients that stream answers from a server, all at once, each over a connection of its own.

They speak llama.cpp's `/completion` over plain sockets, so that a client costs next to nothing.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answered:
    """One request: its status, when its pieces came (seconds from the request), and its tokens."""

    status: int = 0
    n_tokens: int = 0
    n_cached: int = 0
    came_s: list[float] = field(default_factory=list)

    @property
    def first_s(self) -> float:
        """Seconds to the first piece."""
        return self.came_s[0]

    @property
    def gap_s(self) -> float:
        """Mean seconds between tokens."""
        return (self.came_s[-1] - self.came_s[0]) / max(self.n_tokens - 1, 1)

    def take(self, line: bytes, at_s: float) -> None:
        """A line of the stream."""
        if not line.startswith(b"data: {"):
            return
        event = json.loads(line[len(b"data: ") :])
        if event.get("content") or event.get("tokens"):
            self.came_s.append(at_s)
        if event.get("stop"):
            self.n_tokens = event["tokens_predicted"]
            self.n_cached = event["timings"].get("cache_n", 0)


def request(path: str, body: dict[str, Any]) -> bytes:
    """What goes over the wire."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Connection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def read_alone(port: int, path: str, body: dict[str, Any]) -> Answered:
    """One request over a plain socket; nothing is parsed before all has come.

    Whoever reads takes the server's cores while it computes: here it is a system call a piece.
    """
    came: list[tuple[float, bytes]] = []
    with socket.create_connection(("127.0.0.1", port)) as one:
        begin = time.perf_counter()
        one.sendall(request(path, body))
        while data := one.recv(1 << 16):
            came.append((time.perf_counter() - begin, data))
    answered = Answered(int(came[0][1].split(None, 2)[1]))
    rest = b""
    for at_s, data in came:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            answered.take(line, at_s)
    return answered


async def ask(port: int, path: str, body: dict[str, Any]) -> Answered:
    """Send one request and read its stream to the end."""
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    answered = Answered()
    try:
        writer.write(request(path, body))
        answered.status = int((await reader.readline()).split()[1])
        while await reader.readline() not in (b"\r\n", b""):
            pass
        while line := await reader.readline():
            answered.take(line, time.perf_counter() - begin)
    finally:
        writer.close()
    return answered


def body(prompt: str, n_tokens: int) -> dict[str, Any]:
    """A request for so many of the most likely tokens, whatever they are."""
    return {
        "prompt": prompt, "n_predict": n_tokens, "temperature": 0.0, "samplers": ["temperature"],
        "ignore_eos": True, "stream": True, "cache_prompt": True,
    }  # fmt: skip


def run(
    port: int, requests: Sequence[Sequence[dict[str, Any]]], path: str = "/completion"
) -> tuple[float, list[Answered]]:
    """Each client sends its requests one after the other; seconds in all, and the answers."""

    async def client(bodies: Sequence[dict[str, Any]]) -> list[Answered]:
        return [await ask(port, path, one) for one in bodies]

    async def all_of_them() -> list[list[Answered]]:
        return await asyncio.gather(*(client(bodies) for bodies in requests))

    begin = time.perf_counter()
    answered = asyncio.run(all_of_them())
    return time.perf_counter() - begin, [one for some in answered for one in some]
