"""Clients that stream answers from a server, all at once, each over a connection of its own.

They speak llama.cpp's `/completion` over plain sockets, so that a client costs next to nothing.
"""

from __future__ import annotations

import asyncio
import json
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


async def ask(port: int, path: str, body: dict[str, Any]) -> Answered:
    """Send one request and read its stream to the end."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Connection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    answered = Answered()
    try:
        writer.write(head.encode() + data)
        answered.status = int((await reader.readline()).split()[1])
        while await reader.readline() not in (b"\r\n", b""):
            pass
        while line := await reader.readline():
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[len(b"data: ") :])
            if event.get("content") or event.get("tokens"):
                answered.came_s.append(time.perf_counter() - begin)
            if event.get("stop"):
                answered.n_tokens = event["tokens_predicted"]
                answered.n_cached = event["timings"].get("cache_n", 0)
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
