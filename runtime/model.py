"""The model as users hold it: load, complete, stream, logits, close."""

from __future__ import annotations

import logging
import numbers
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import overload

import numpy as np
from numpy.typing import NDArray

from halfbyte import catalogue, system
from halfbyte.config import ModelConfig
from halfbyte.engine import MAX_BATCH, Engine, Span, kernels_for, kv_layout
from halfbyte.errors import ContextLengthError, RequestError, UnsupportedModelError
from halfbyte.generate import Completion, Request, new_request, prefill_chunks, run
from halfbyte.gguf_file import GGUFFile
from halfbyte.kernels import jit
from halfbyte.kernels.kv_layout import KV_TYPES
from halfbyte.kernels.pool import Pool
from halfbyte.progress import Progress, silent
from halfbyte.sampling import SamplingParams
from halfbyte.tokenizer import Tokenizer
from halfbyte.weights import check_tensors, load_weights, panel_format

log = logging.getLogger(__name__)

Prompt = str | Sequence[int]
_MAX_THREADS = 1024


def load(
    path_or_name: str | os.PathLike[str],
    *,
    threads: int | None = None,
    ctx: int | None = None,
    kv_type: str = "f16",
    progress: Progress | None = None,
) -> Model:
    """Load a model.

    Args:
        path_or_name: a .gguf file, or a name of the catalogue, which is pulled on first use.
        threads: worker threads; default: physical cores that this process may use.
        ctx: context in tokens; default: the length that the model was trained with. More than
            that is allowed and warned about.
        kv_type: "f16" or "f32", how keys and values are stored.
        progress: called with (stage, done, total) while pulling, compiling and loading.

    Raises:
        RequestError: an argument is out of range, or the name is unknown.
        ModelFileError: the file is missing, broken or not supported.
        DownloadError: the model could not be pulled.
        SettingError: an environment variable cannot be used.
    """
    report = progress or silent
    n_threads = _check_threads(threads)
    if kv_type not in KV_TYPES:
        raise RequestError("kv_type", expected=f"one of {', '.join(KV_TYPES)}", got=repr(kv_type))
    path = catalogue.resolve(path_or_name, progress=progress)
    if path.is_dir():
        raise UnsupportedModelError(
            path,
            expected="a .gguf file",
            got="a folder",
            hint=f"convert it first: halfbyte convert {path} model.gguf --type q8_0",
        )
    begin = time.perf_counter()
    with GGUFFile.open(path) as file:
        config = ModelConfig.from_gguf(file)
        n_ctx = _check_ctx(ctx, config)
        check_tensors(file, config)
        tokenizer = Tokenizer.from_gguf(file)
        system.set_up_kernels()
        _compile(file, config, kv_type, report)
        pool = Pool(n_threads)
        try:
            weights = load_weights(file, config, pool, lambda d, n: report("load", d, n))
            engine = Engine(config, weights, pool, kv_type, n_ctx)
        except BaseException:
            pool.close()
            raise
    return Model(path, config, tokenizer, engine, time.perf_counter() - begin)


class Model:
    """A loaded model. Safe to call from several threads: steps are queued."""

    def __init__(
        self, path: Path, config: ModelConfig, tokenizer: Tokenizer, engine: Engine, load_s: float
    ) -> None:
        self.path = str(path)
        self.config = config
        self.tokenizer = tokenizer
        self.load_s = load_s
        self._engine = engine

    @property
    def n_ctx(self) -> int:
        """Most tokens of a prompt and its continuation together."""
        return self._engine.n_ctx

    @property
    def n_threads(self) -> int:
        """Threads that compute."""
        return self._engine.pool.n_threads

    @property
    def nbytes_per_token(self) -> int:
        """Bytes of weights that decoding one token reads."""
        return self._engine.nbytes_per_token

    @overload
    def complete(  # type: ignore[overload-overlap]  # a str is a Sequence[str], but comes first
        self, prompt: Prompt, *, progress: Progress | None = None, **params: object
    ) -> Completion: ...
    @overload
    def complete(
        self, prompt: Sequence[Prompt], *, progress: Progress | None = None, **params: object
    ) -> list[Completion]: ...
    def complete(
        self,
        prompt: Prompt | Sequence[Prompt],
        *,
        progress: Progress | None = None,
        **params: object,
    ) -> Completion | list[Completion]:
        """Continue a prompt, or several together.

        Args:
            prompt: text (BOS is added as the vocabulary wants it) or token ids (taken as they
                are), or a list of either, which are decoded together and give a list.
            progress: called with ("prefill", tokens done, tokens in all).
            **params: the fields of SamplingParams.

        Raises:
            RequestError: a bad argument; ContextLengthError: the prompt does not fit.
            EngineError: the model is closed or the process was forked.
        """
        sampling = SamplingParams.from_kwargs(**params)
        prompts, is_list = _as_list(prompt)
        requests = [
            self._request(p, sampling, f"prompt[{i}]" if is_list else "prompt")
            for i, p in enumerate(prompts)
        ]
        for _ in run(self._engine, requests, progress or silent):
            pass
        completions = [request.completion() for request in requests]
        return completions if is_list else completions[0]

    def stream(
        self, prompt: Prompt, *, progress: Progress | None = None, **params: object
    ) -> CompletionStream:
        """Continue a prompt, piece by piece, as soon as a piece is whole characters.

        Returns:
            an iterator of strings whose `completion` is the result once it is exhausted.
        Raises: as `complete`.
        """
        sampling = SamplingParams.from_kwargs(**params)
        prompts, is_list = _as_list(prompt)
        if is_list:
            raise RequestError("prompt", expected="one prompt to stream", got="a list of prompts")
        request = self._request(prompts[0], sampling, "prompt")
        return CompletionStream(self._engine, request, progress or silent)

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits after each token: float32 (len(ids), vocab_size).

        Raises:
            RequestError: no ids, or one out of range; ContextLengthError: too many.
        """
        tokens = self._check_ids(ids, "ids")
        if len(tokens) > self.n_ctx:
            raise ContextLengthError(len(tokens), self.n_ctx, param="ids")
        sequence = self._engine.new_sequence()
        out = np.empty((len(tokens), self.config.vocab_size), np.float32)
        for begin, end in prefill_chunks(len(tokens)):
            out[begin:end] = self._engine.forward(
                [Span(sequence, tokens[begin:end], n_out=end - begin)]
            )
        return out

    def bench_prefill(self, n: int) -> float:
        """Seconds to process n random tokens from an empty cache, the last one's logits wanted."""
        tokens = np.random.default_rng(n).integers(0, self.config.vocab_size, n).tolist()
        sequence = self._engine.new_sequence()
        begin_s = time.perf_counter()
        for begin, end in prefill_chunks(n):
            self._engine.forward([Span(sequence, tokens[begin:end], n_out=int(end == n))])
        return time.perf_counter() - begin_s

    def bench_decode(self, n: int, depth: int = 0) -> float:
        """Seconds to decode n tokens one by one (greedy) after `depth` positions are filled."""
        sequence = self._engine.new_sequence()
        for begin, end in prefill_chunks(depth):
            self._engine.forward([Span(sequence, [1] * (end - begin), n_out=0)])
        token = self.tokenizer.bos_id or 0
        begin_s = time.perf_counter()
        for _ in range(n):
            token = int(self._engine.forward([Span(sequence, [token], 1)])[0].argmax())
        return time.perf_counter() - begin_s

    def kv_nbytes(self, n_positions: int) -> int:
        """Bytes of KV cache for so many positions."""
        return self._engine.layout.nbytes(n_positions)

    def close(self) -> None:
        """Free the memory and stop the threads; further calls raise EngineError."""
        self._engine.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _request(self, prompt: Prompt, params: SamplingParams, name: str) -> Request:
        if isinstance(prompt, str):
            if not prompt:
                raise RequestError(
                    name,
                    expected="some text",
                    got="an empty prompt",
                    hint="to begin from nothing, give the token ids [model.tokenizer.bos_id]",
                )
            tokens = self.tokenizer.encode(prompt)
        else:
            tokens = self._check_ids(prompt, name)
        if len(tokens) >= self.n_ctx:
            raise ContextLengthError(
                len(tokens) + 1,
                self.n_ctx,
                param=name,
                hint="load the model with a larger ctx=, or shorten the prompt",
            )
        return new_request(self.tokenizer, tokens, params)

    def _check_ids(self, ids: Sequence[int], name: str) -> list[int]:
        array = np.asarray(ids)
        if array.ndim != 1 or array.size == 0:
            raise RequestError(name, expected="a sequence of at least one token id", got=ids)
        if not np.issubdtype(array.dtype, np.integer):
            raise RequestError(name, expected="whole numbers", got=ids)
        wrong = (array < 0) | (array >= self.config.vocab_size)
        if wrong.any():
            at = int(wrong.argmax())
            raise RequestError(
                f"{name}[{at}]",
                expected=f"a token id from 0 to {self.config.vocab_size - 1}",
                got=int(array[at]),
            )
        return [int(i) for i in array]


class CompletionStream(Iterator[str]):
    """Pieces of text as they come; `completion` is set when the last one has been taken."""

    def __init__(self, engine: Engine, request: Request, progress: Progress) -> None:
        self._request = request
        self._steps = run(engine, [request], progress)
        self._shown = 0
        self.completion: Completion | None = None

    def __next__(self) -> str:
        while self.completion is None:
            if next(self._steps, self) is self or self._request.finish_reason:
                self.completion = self._request.completion()
            piece = self._request.text[self._shown :]
            if piece:
                self._shown += len(piece)
                return piece
        raise StopIteration


def _as_list(prompt: object) -> tuple[list[Prompt], bool]:
    """The prompts, and whether a list of prompts was given."""
    if isinstance(prompt, str):
        return [prompt], False
    if isinstance(prompt, np.ndarray) and prompt.ndim == 1:
        return [prompt.tolist()], False
    if not isinstance(prompt, Sequence) or isinstance(prompt, (bytes, bytearray)):
        raise RequestError("prompt", expected="text, token ids or a list of these", got=prompt)
    if not prompt:
        raise RequestError("prompt", expected="at least one token or prompt", got="an empty list")
    if all(isinstance(item, numbers.Integral) and not isinstance(item, bool) for item in prompt):
        return [prompt], False
    for i, item in enumerate(prompt):
        is_prompt = isinstance(item, (str, Sequence, np.ndarray))
        if not is_prompt or isinstance(item, (bytes, bytearray)):
            raise RequestError(f"prompt[{i}]", expected="text or token ids", got=item)
    return list(prompt), True


def _check_threads(threads: int | None) -> int:
    if threads is None:
        return system.default_threads().count
    is_int = isinstance(threads, int) and not isinstance(threads, bool)
    if not is_int or not 1 <= threads <= _MAX_THREADS:
        raise RequestError(
            "threads", expected=f"a whole number from 1 to {_MAX_THREADS}", got=repr(threads)
        )
    return threads


def _check_ctx(ctx: int | None, config: ModelConfig) -> int:
    if ctx is None:
        return config.n_ctx_train
    if isinstance(ctx, bool) or not isinstance(ctx, int) or ctx < 2:
        raise RequestError("ctx", expected="a whole number from 2", got=repr(ctx))
    if ctx > config.n_ctx_train:
        log.warning(
            "ctx=%d is beyond the %d tokens that the model was trained with; quality may suffer",
            ctx,
            config.n_ctx_train,
        )
    return ctx


def _compile(file: GGUFFile, config: ModelConfig, kv_type: str, report: Progress) -> None:
    matrices = {t.name: panel_format(file, t).name for t in file.tensors.values() if t.is_matrix}
    embd = matrices["token_embd.weight"]
    kernels = kernels_for(config, kv_type, set(matrices.values()), embd)
    begin = time.perf_counter()
    compiled = jit.compile_all(kernels, lambda done, total: report("compile", done, total))
    if compiled:
        log.info("compiled %d kernels in %.1f s", compiled, time.perf_counter() - begin)


def memory_needed(weights_nbytes: int, config: ModelConfig, kv_type: str, n_ctx: int) -> int:
    """Bytes that a model and a full context of n_ctx tokens take, buffers left out."""
    return weights_nbytes + kv_layout(config, kv_type).nbytes(n_ctx)


__all__ = ["MAX_BATCH", "Completion", "CompletionStream", "Model", "load", "memory_needed"]
