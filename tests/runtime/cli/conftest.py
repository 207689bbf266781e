"""A model that answers from a script, so that the command line is tested without an engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO, TextIOWrapper
from typing import Any

import pytest

import halfbyte
from halfbyte import cli
from halfbyte.errors import RequestError
from halfbyte.sampling_params import SamplingParams


@dataclass
class FakeStats:
    n_prompt: int = 4
    prefill_s: float = 0.5
    n_decode: int = 3
    decode_s: float = 1.5
    prefill_tps: float = 8.0
    decode_tps: float = 2.0


@dataclass
class FakeCompletion:
    text: str
    tokens: list[int]
    finish_reason: str = "length"
    stats: FakeStats = field(default_factory=FakeStats)


class FakeStream(Iterator[str]):
    """Yields the pieces; one that is an exception is raised instead."""

    def __init__(self, pieces: list[Any]) -> None:
        self.pieces, self.completion = list(pieces), None

    def __next__(self) -> str:
        if not self.pieces:
            self.completion = FakeCompletion("", [])
            raise StopIteration
        piece = self.pieces.pop(0)
        if not isinstance(piece, str):
            raise piece
        return piece


class FakeModel:
    """Remembers how it was called."""

    path = "/models/fake.gguf"
    load_s = 0.25
    n_threads = 2
    nbytes_per_token = 1_000_000_000

    def __init__(self) -> None:
        self.pieces: list[Any] = [" a", "b\n", "é"]
        self.load_args: dict[str, Any] = {}
        self.prompt: Any = None
        self.params: dict[str, Any] = {}
        self.benched: list[tuple[str, int]] = []
        self.is_closed = False
        self.prefill_s = iter([9.0, 1.0, 2.0, 4.0, 8.0, 16.0])

    def load(self, path_or_name: str, **kwargs: Any) -> FakeModel:
        self.load_args = {"model": path_or_name, **kwargs}
        return self

    def stream(self, prompt: Any, *, progress: Any = None, **params: Any) -> FakeStream:
        self.prompt, self.params = prompt, params
        SamplingParams.from_kwargs(**params)
        return FakeStream(self.pieces)

    def complete(self, prompt: Any, *, progress: Any = None, **params: Any) -> FakeCompletion:
        self.prompt, self.params = prompt, params
        return FakeCompletion("".join(self.pieces), [5, 6, 7])

    def bench_prefill(self, n: int) -> float:
        self.benched.append(("pp", n))
        return next(self.prefill_s)

    def bench_decode(self, n: int) -> float:
        self.benched.append(("tg", n))
        return n / 10

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> FakeModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    fake = FakeModel()
    monkeypatch.setitem(vars(halfbyte), "load", fake.load)  # without importing the real one
    return fake


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path_or_name: str, **_: object) -> None:
        raise RequestError("model", expected="a name", got=path_or_name)

    monkeypatch.setitem(vars(halfbyte), "load", load)


@dataclass
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in this process: `run("complete", "-p", "x", stdin=b"")`."""

    def call(*argv: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(stdin), encoding="ascii"))
        code = cli.main(argv)
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return call
