"""A model that answers from a script, so that the command line is tested without an engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO, TextIOWrapper
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import halfbyte
from halfbyte import cli
from halfbyte.constraints.constraint import Constraint
from halfbyte.errors import RequestError
from halfbyte.generation.call_keywords import TextEndOptions, TokenRuleOptions
from halfbyte.generation.chat_completion import Part
from halfbyte.generation.completion import Stats
from halfbyte.generation.params import SamplingParams


@dataclass
class FakeCompletion:
    text: str
    tokens: list[int]
    finish_reason: str = "length"
    stats: Stats = field(default_factory=lambda: Stats(4, 0.5, 3, 1.5))
    healed: str = "he"
    order: str = "spm"
    full_text: str = "the whole text"
    seed: int | None = None
    n_prefix_dropped: int = 0
    n_suffix_dropped: int = 0
    files_dropped: tuple[str, ...] = ()
    trimmed: str = ""
    reasoning: str = ""
    tool_calls: tuple[Any, ...] = ()
    cut_call: str = ""
    score: float | None = None
    logprobs: None = None
    is_complete: bool | None = None


class FakeStream(Iterator[str]):
    """Yields the pieces; one that is an exception is raised instead, a function called before."""

    def __init__(self, pieces: list[Any], finish_reason: str) -> None:
        self.pieces, self.completion = list(pieces), None
        self.finish_reason, self.text = finish_reason, ""
        self.is_complete: bool | None = None

    def __next__(self) -> str:
        if not self.pieces:
            self.completion = FakeCompletion(self.text, [5, 6, 7], self.finish_reason)
            self.completion.is_complete = self.is_complete
            raise StopIteration
        piece = self.pieces.pop(0)
        if isinstance(piece, BaseException):
            raise piece
        if callable(piece):
            piece = piece()
        self.text += piece
        return piece

    def parts(self) -> Iterator[Part]:
        for piece in self:
            is_thought = piece.startswith("<think>")
            yield Part("reasoning" if is_thought else "content", piece)

    def result(self) -> FakeCompletion:
        list(self)
        assert self.completion is not None
        return self.completion


class FakeModel:
    """Remembers how it was called."""

    path = "/models/fake.gguf"
    load_s = 0.25
    n_threads = 2
    n_ctx = 4096
    nbytes_per_token = 1_000_000_000

    def __init__(self) -> None:
        self.pieces: list[Any] = [" a", "b\n", "é"]
        self.load_args: dict[str, Any] = {}
        self.finish_reason = "length"
        self.prompt: Any = None
        self.how: dict[str, Any] = {}
        self.params: dict[str, Any] = {}
        self.benched: list[tuple[str, int]] = []
        self.is_closed = False
        self.engine = self
        self.prefill_s = iter([9.0, 1.0, 2.0, 4.0, 8.0, 16.0])

    def load(self, path_or_name: str, **kwargs: Any) -> FakeModel:
        self.load_args = {"model": path_or_name, **kwargs}
        return self

    def stream(self, prompt: Any, *, progress: Any, heal: bool, **params: Any) -> FakeStream:
        return self._stream(prompt, {"heal": heal}, params)

    def stream_infill(self, *prompt: str, progress: Any, **params: Any) -> FakeStream:
        names = ("heal", "order", "repository", "window", "force")
        return self._stream(prompt, {name: params.pop(name) for name in names}, params)

    def stream_chat(
        self, messages: Any, *, progress: Any, format: str, **params: Any
    ) -> FakeStream:
        return self._stream(list(messages), {"format": format}, params)

    def _stream(self, prompt: Any, how: dict[str, Any], params: dict[str, Any]) -> FakeStream:
        self.prompt, self.how, self.params = prompt, how, params
        others = {
            *TokenRuleOptions.__annotations__, *TextEndOptions.__annotations__, "max_time",
            "tools", "tool_choice", "thinking", "reasoning_budget", "syntax", "truncate",
        }  # fmt: skip
        constraint, rest = Constraint.split({k: v for k, v in params.items() if k not in others})
        SamplingParams.from_kwargs(**rest)
        stream = FakeStream(self.pieces, self.finish_reason)
        stream.is_complete = None if constraint is None else self.finish_reason == "stop"
        return stream

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


@pytest.fixture(scope="session")
def infill_gguf(
    tmp_path_factory: pytest.TempPathFactory, benchmark_module: Callable[[str], ModuleType]
) -> Path:
    """A small random model whose vocabulary has Code Llama's infilling pieces."""
    from sentencepiece import sentencepiece_model_pb2 as spm

    from halfbyte.conversion import convert
    from halfbyte.tokenizer.markers import CODE_LLAMA

    tiny, n_words = benchmark_module("tiny_llama"), 300
    pieces = ("<", ">", "E", "O", "T", "▁<", "OT", *CODE_LLAMA)  # what " <EOT>" is merged from
    folder = tmp_path_factory.mktemp("infill") / "hf"
    shape = {"dim": 64, "hidden_dim": 96, "n_layers": 1, "n_heads": 4, "n_kv_heads": 2}
    n_vocab = n_words + len(pieces)
    tiny.save(
        tiny.Tiny("i", 5, **shape, head_dim=16, vocab_size=n_vocab, rope_theta=1e4, tied=False),
        folder,
    )
    tiny.save_tokenizer(n_words, folder)
    path = folder / "tokenizer.model"
    proto = spm.ModelProto.FromString(path.read_bytes())
    proto.trainer_spec.vocab_size = n_vocab
    for piece in pieces:
        score = -1e18 if piece.startswith("▁<") and piece.endswith(">") else -1e9
        proto.pieces.add(piece=piece, score=score, type=spm.ModelProto.SentencePiece.NORMAL)
    path.write_bytes(proto.SerializeToString())
    convert(folder, folder.with_suffix(".gguf"), type="q8_0", measure=False, name="CodeLlama-7b")
    return folder.with_suffix(".gguf")


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
