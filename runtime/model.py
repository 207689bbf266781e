"""The model as users hold it: complete, infill, chat, stream, logits, close."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.engine import Engine, Span
from halfbyte.errors import ContextLengthError, RequestError
from halfbyte.families.config import ModelConfig
from halfbyte.generation.completion import Completion, Infilling
from halfbyte.generation.generate import Request, Task, new_request, prefill_chunks, run
from halfbyte.generation.sampler import SamplingParams
from halfbyte.generation.stream import CompletionStream
from halfbyte.progress import Progress, silent
from halfbyte.prompt.chat import Message, chat_prompt
from halfbyte.prompt.healing import Healing, heal_tail
from halfbyte.prompt.infill import FILL_MARKER, Repository, require_format, split_marker
from halfbyte.prompt.inputs import Prompt, as_list, check_ids, texts_in
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.tokenizer import check_text

log = logging.getLogger(__name__)

_TOO_LONG = "load the model with a larger ctx=, or shorten the prompt"


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
        self,
        prompt: Prompt,
        *,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: object,
    ) -> Completion: ...
    @overload
    def complete(
        self,
        prompt: Sequence[Prompt],
        *,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: object,
    ) -> list[Completion]: ...
    def complete(
        self,
        prompt: Prompt | Sequence[Prompt],
        *,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: object,
    ) -> Completion | list[Completion]:
        """Continue a prompt, or several together.

        Args:
            prompt: text (BOS is added as the vocabulary wants it) or token ids (taken as they
                are), or a list of either, which are decoded together and give a list.
            heal: let the model choose a text's last tokens anew where they could be the beginning
                of longer ones, so that "retu" can become "return"; the text stays what it is.
            parse_markers: see Tokenizer.encode.
            progress: called with ("prefill", tokens done, tokens in all).
            **params: the fields of SamplingParams.

        Raises:
            RequestError: a bad argument; ContextLengthError: the prompt does not fit.
            EngineError: the model is closed or the process was forked.
        """
        sampling = SamplingParams.from_kwargs(**params)
        prompts, is_list = as_list(prompt)
        requests = [
            self._completion_request(
                p, sampling, f"prompt[{i}]" if is_list else "prompt", heal, parse_markers
            )
            for i, p in enumerate(prompts)
        ]
        completions = self._run(requests, progress)
        return completions if is_list else completions[0]

    def stream(
        self,
        prompt: Prompt,
        *,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: object,
    ) -> CompletionStream[Completion]:
        """Continue a prompt, piece by piece, as soon as a piece is whole characters.

        Returns:
            an iterator of strings whose `completion` is the result once it is exhausted.
        Raises: as `complete`.
        """
        sampling = SamplingParams.from_kwargs(**params)
        prompts, is_list = as_list(prompt)
        if is_list:
            raise RequestError("prompt", expected="one prompt to stream", got="a list of prompts")
        request = self._completion_request(prompts[0], sampling, "prompt", heal, parse_markers)
        return CompletionStream(self._engine, request, progress or silent, lambda done: done)

    def infill(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        order: str = "auto",
        heal: bool = True,
        repository: Repository | None = None,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: object,
    ) -> Infilling:
        """What belongs between prefix and suffix, or in the place of a text's <FILL_ME>.

        The prompt is laid out as the model's own reference does, token for token with
        `heal=False`, and the answer ends at the tokens that end a middle.

        Args:
            prefix: the text before the cursor; with `suffix` left out, a text with one <FILL_ME>.
            suffix: the text after the cursor.
            order: "psm" (prefix first), "spm" (suffix first: better inside a word or a line), or
                "auto", which takes suffix-first where the cursor's line has begun; the result
                says which.
            heal: see `complete`.
            repository: other files for the model to see.
            parse_markers: see Tokenizer.encode.
            progress: called with ("prefill", tokens done, tokens in all).
            **params: the fields of SamplingParams.

        Raises:
            UnsupportedModelError: the vocabulary has no infilling tokens.
            RequestError, ContextLengthError, EngineError: as `complete`.
        """
        options = {"order": order, "repository": repository, "parse_markers": parse_markers}
        request, finish = self._infilling(prefix, suffix, heal, options, params)
        return finish(self._run([request], progress)[0])

    def stream_infill(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        order: str = "auto",
        heal: bool = True,
        repository: Repository | None = None,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: object,
    ) -> CompletionStream[Infilling]:
        """`infill` piece by piece; `completion` is the result once it is exhausted."""
        options = {"order": order, "repository": repository, "parse_markers": parse_markers}
        request, finish = self._infilling(prefix, suffix, heal, options, params)
        return CompletionStream(self._engine, request, progress or silent, finish)

    def chat(
        self,
        messages: Sequence[Message],
        *,
        format: str = "auto",
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: object,
    ) -> Completion:
        """The answer to a conversation.

        Args:
            messages: each a mapping with `role` ("system", "user", "assistant") and `content`.
            format: see prompt.chat.chat_prompt; "auto" takes the format that the file asks for.
            parse_markers: see Tokenizer.encode.
            progress: called with ("prefill", tokens done, tokens in all).
            **params: the fields of SamplingParams.

        Raises:
            UnsupportedModelError: the file says nothing about chat.
            TemplateError: its template fails.
            RequestError: bad messages, special tags in their content, or a bad argument.
            ContextLengthError, EngineError: as `complete`.
        """
        return self._run([self._chat_request(messages, format, parse_markers, params)], progress)[0]

    def stream_chat(
        self,
        messages: Sequence[Message],
        *,
        format: str = "auto",
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: object,
    ) -> CompletionStream[Completion]:
        """`chat` piece by piece; `completion` is the result once it is exhausted."""
        request = self._chat_request(messages, format, parse_markers, params)
        return CompletionStream(self._engine, request, progress or silent, lambda done: done)

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits after each token: float32 (len(ids), vocab_size).

        Raises:
            RequestError: no ids, or one out of range; ContextLengthError: too many.
        """
        tokens = check_ids(ids, "ids", self.config.vocab_size)
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

    def run_tasks(self, tasks: Sequence[Task], progress: Progress | None = None) -> Iterator[None]:
        """Work on what `halfbyte.generate` describes; yields after every step that gave tokens."""
        return run(self._engine, tasks, progress or silent)

    def _run(self, requests: list[Request], progress: Progress | None) -> list[Completion]:
        for _ in self.run_tasks(requests, progress):
            pass
        return [request.completion() for request in requests]

    def _completion_request(
        self,
        prompt: Prompt,
        params: SamplingParams,
        name: str,
        heal: bool,
        parse_markers: bool,
    ) -> Request:
        if not isinstance(prompt, str):
            tokens = check_ids(prompt, name, self.config.vocab_size)
            return self._request(tokens, params, name)
        if not prompt:
            raise RequestError(
                name,
                expected="some text",
                got="an empty prompt",
                hint="to begin from nothing, give the token ids [model.tokenizer.bos_id]",
            )
        if FILL_MARKER in prompt:
            log.warning(
                "%s: complete() takes %s as plain text; infill(prompt) fills it", name, FILL_MARKER
            )
        check_text(prompt, name)
        self._check_nbytes(name, prompt)
        tokens, healing = self.tokenizer.encode(prompt, parse_markers=parse_markers), None
        if heal:
            # A prompt keeps at least one token.
            n_kept, tail = heal_tail(self.tokenizer, tokens, n_text=len(tokens) - 1)
            tokens = tokens[:n_kept]
            healing = Healing(self.tokenizer, tail) if tail else None
        return self._request(tokens, params, name, healing)

    def _infilling(
        self,
        prefix: str,
        suffix: str | None,
        heal: bool,
        options: dict[str, Any],
        params: dict[str, object],
    ) -> tuple[Request, Callable[[Completion], Infilling]]:
        sampling = SamplingParams.from_kwargs(**params)
        fmt = require_format(self.tokenizer)
        before, after = split_marker(prefix) if suffix is None else (prefix, suffix)
        for name, text in (("prefix", before), ("suffix", after)):
            check_text(text, name)
            if FILL_MARKER in text:
                log.warning("%s: infill(prefix, suffix) takes %s as plain text", name, FILL_MARKER)
            self._check_nbytes(name, text)
        if isinstance(repository := options["repository"], Repository):
            self._check_nbytes("repository", *texts_in(repository.files))
        prompt = fmt.prompt(before, after, heal=heal, **options)
        request = self._request(prompt.tokens, sampling, "prompt", prompt.healing, fmt.stop_ids)
        return request, lambda done: Infilling.of(done, before, after, prompt.order)

    def _chat_request(
        self,
        messages: Sequence[Message],
        format: str,
        parse_markers: bool,
        params: dict[str, object],
    ) -> Request:
        sampling = SamplingParams.from_kwargs(**params)
        self._check_nbytes("messages", *texts_in(messages))
        prompt = chat_prompt(self.tokenizer, messages, format=format, parse_markers=parse_markers)
        return self._request(prompt.tokens, sampling, "messages", stop_ids=prompt.stop_ids)

    def _request(
        self,
        tokens: list[int],
        params: SamplingParams,
        name: str,
        healing: Healing | None = None,
        stop_ids: frozenset[int] = frozenset(),
    ) -> Request:
        if len(tokens) >= self.n_ctx:
            raise ContextLengthError(len(tokens) + 1, self.n_ctx, param=name, hint=_TOO_LONG)
        return new_request(self.tokenizer, tokens, params, healing=healing, stop_ids=stop_ids)

    def _check_nbytes(self, name: str, *texts: str) -> None:
        """Refuse what cannot fit before it is encoded, however long it is."""
        n_nbytes = sum(len(text.encode(errors="surrogatepass")) for text in texts)
        n_tokens = n_nbytes // self.tokenizer.max_piece_nbytes
        if n_tokens > self.n_ctx:
            raise ContextLengthError(n_tokens, self.n_ctx, param=name, hint=_TOO_LONG)
