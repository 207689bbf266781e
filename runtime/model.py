"""The model as users hold it: complete, infill, edit, chat, stream, logits, close."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from numpy.typing import NDArray

from halfbyte.call_arguments import check_progress, is_whole
from halfbyte.editing import EditingModel
from halfbyte.engine.engine import Engine, Span, check_finite
from halfbyte.engine.memory import empty
from halfbyte.errors import ContextLengthError, RequestError
from halfbyte.families.config import ModelConfig
from halfbyte.families.model_card import ModelCard
from halfbyte.generation.chat_defaults import chat_defaults, chat_params
from halfbyte.generation.completion import Completion, Infilling
from halfbyte.generation.generate import Request, Task, new_request, prefill_chunks, run
from halfbyte.generation.params import SamplingOptions, SamplingParams
from halfbyte.generation.stream import CompletionStream
from halfbyte.process_bound import ProcessBound
from halfbyte.progress import Progress
from halfbyte.prompt.chat import Message
from halfbyte.prompt.edit.edit_encoder import EditEncoder
from halfbyte.prompt.encoder import PromptEncoder
from halfbyte.prompt.infill import Repository
from halfbyte.prompt.inputs import EncodedPrompt, Prompt, as_list, check_ids
from halfbyte.results import shown
from halfbyte.tokenizer import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack


class Model(EditingModel, ProcessBound):
    """A loaded model. Safe to call from several threads: steps are queued."""

    def __init__(
        self,
        path: Path,
        config: ModelConfig,
        tokenizer: Tokenizer,
        engine: Engine,
        load_s: float,
        card: ModelCard,
    ) -> None:
        self.path = str(path)
        self.config = config
        self.tokenizer = tokenizer
        self.load_s = load_s
        self.engine = engine  # what computes, for those who measure it or look at its weights
        self._prompts = PromptEncoder(tokenizer, engine.n_ctx, card.names)
        self._edits = EditEncoder(tokenizer, self._prompts, engine.n_ctx, card.names + card.tags)
        self.chat_defaults = chat_defaults(card.sampling, self.path)  # how `chat` samples

    def __repr__(self) -> str:
        c, e = self.config, self.engine
        shape = f"{c.architecture}, {c.n_layers} layers of {c.dim}, vocabulary {c.vocab_size}"
        weights = getattr(e, "weights", None)  # a closed engine has none
        if weights is None:
            return f"<Model {shown(c.name or self.path)}: {shape}, closed>"
        types = ", ".join(sorted({matrix.format.name for matrix in weights.matrices.values()}))
        run = f"ctx {self.n_ctx}, KV {e.layout.kv_type}, {self.n_threads} threads"
        return f"<Model {shown(c.name or self.path)}: {shape}, {types}, {run}>"

    @property
    def n_ctx(self) -> int:
        """Most tokens of a prompt and its continuation together."""
        return self.engine.n_ctx

    @property
    def n_threads(self) -> int:
        """Threads that compute."""
        return self.engine.pool.n_threads

    @property
    def nbytes_per_token(self) -> int:
        """Bytes of weights that decoding one token reads."""
        return self.engine.nbytes_per_token

    @overload
    def complete(  # type: ignore[overload-overlap]  # a str is a Sequence[str], but comes first
        self,
        prompt: Prompt,
        *,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: Unpack[SamplingOptions],
    ) -> Completion: ...
    @overload
    def complete(
        self,
        prompt: Iterable[Prompt],
        *,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: Unpack[SamplingOptions],
    ) -> list[Completion]: ...
    def complete(
        self,
        prompt: Prompt | Iterable[Prompt],
        *,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: Unpack[SamplingOptions],
    ) -> Completion | list[Completion]:
        """Continue a prompt, or several together.

        Args:
            prompt: text (BOS is added as the vocabulary wants it) or token ids (taken as they
                are), or a list or another iterable of either, which are decoded together and
                give a list; prompt i draws with `seed + i`.
            heal: let the model choose a text's last tokens anew where they could be the beginning
                of longer ones, so that "retu" can become "return": of all tokens that spell the
                text's end, or more, the most likely, or a draw among them (see
                generation/respelling.py). The text stays what it is.
            parse_markers: see Tokenizer.encode.
            progress: called with ("prefill", tokens done, tokens in all) for each prompt, and with
                ("decode", tokens done, most tokens that can come) of all prompts together.
            **params: the fields of SamplingParams.

        Raises:
            RequestError: a bad argument; ContextLengthError: the prompt does not fit.
            EngineError: the model is closed or the process was forked.
        """
        report = check_progress(progress)
        sampling = SamplingParams.from_kwargs(**params)
        prompts, is_list = as_list(prompt)
        how = {"heal": heal, "parse_markers": parse_markers}
        asked = [
            self._prompts.completion(p, f"prompt[{i}]" if is_list else "prompt", **how)
            for i, p in enumerate(prompts)
        ]
        requests = [self._request(p, sampling.of_prompt(i)) for i, p in enumerate(asked)]
        for _ in self.run_tasks(requests, report):
            report("decode", *self._decoded(requests))
        completions = [request.completion() for request in requests]
        return completions if is_list else completions[0]

    def stream(
        self,
        prompt: Prompt,
        *,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: Unpack[SamplingOptions],
    ) -> CompletionStream[Completion]:
        """Continue a prompt, piece by piece, as soon as a piece is whole characters.

        Returns:
            an iterator of strings whose `completion` is the result once it is exhausted.
        Raises: as `complete`.
        """
        report = check_progress(progress)
        sampling = SamplingParams.from_kwargs(**params)
        prompts, is_list = as_list(prompt)
        if is_list:
            raise RequestError("prompt", expected="one prompt to stream", got="a list of prompts")
        how = {"heal": heal, "parse_markers": parse_markers}
        request = self._request(self._prompts.completion(prompts[0], "prompt", **how), sampling)
        return CompletionStream(self.engine, request, report, lambda done: done)

    def infill(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        order: Literal["auto", "psm", "spm"] = "auto",
        heal: bool = True,
        repository: Repository | None = None,
        parse_markers: bool = False,
        window: int | None = None,
        force: bool = False,
        progress: Progress | None = None,
        **params: Unpack[SamplingOptions],
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
            window: tokens of prefix and suffix that the model is shown at most. By default it is
                what the context holds beside an answer of `max_tokens`, which may take half of it.
                Of longer texts the lines nearest the cursor are taken, and other files that do not
                fit are left out: logged as a warning, and told by the result.
            force: infill with a model that is not known to have been trained to.
            progress: called with ("prefill", tokens done, tokens in all).
            **params: the fields of SamplingParams.

        Raises:
            UnsupportedModelError: the vocabulary has no infilling tokens, or the model is not
                known to have been trained with them (prompt/infill_models.py).
            RequestError, ContextLengthError, EngineError: as `complete`.
        """
        return self.stream_infill(
            prefix, suffix, order=order, heal=heal, repository=repository,
            parse_markers=parse_markers, window=window, force=force, progress=progress, **params,
        ).result()  # fmt: skip

    def stream_infill(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        order: Literal["auto", "psm", "spm"] = "auto",
        heal: bool = True,
        repository: Repository | None = None,
        parse_markers: bool = False,
        window: int | None = None,
        force: bool = False,
        progress: Progress | None = None,
        **params: Unpack[SamplingOptions],
    ) -> CompletionStream[Infilling]:
        """`infill` piece by piece; `completion` is the result once it is exhausted."""
        report = check_progress(progress)
        sampling = SamplingParams.from_kwargs(**params)
        asked = self._prompts.infilling(
            prefix, suffix, order=order, heal=heal, repository=repository,
            parse_markers=parse_markers, window=window, force=force,
            max_tokens=sampling.max_tokens,
        )  # fmt: skip
        request = self._request(asked, sampling)

        def finish(done: Completion) -> Infilling:
            return Infilling.of(
                done, prefix=asked.prefix, suffix=asked.suffix, order=asked.order,
                n_prefix_dropped=asked.n_prefix_dropped, n_suffix_dropped=asked.n_suffix_dropped,
                files_dropped=asked.files_dropped,
            )  # fmt: skip

        return CompletionStream(self.engine, request, report, finish)

    def chat(
        self,
        messages: Sequence[Message],
        *,
        format: Literal["auto", "llama-2", "codellama-70b", "template"] = "auto",
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: Unpack[SamplingOptions],
    ) -> Completion:
        """The answer to a conversation.

        Unlike `complete`, it draws its tokens by default: what is not given is as the file says
        (the model's generation_config), else as llama.cpp has it; `chat_defaults` are the values.
        `temperature=0` takes the most likely ones.

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
        return self.stream_chat(
            messages, format=format, parse_markers=parse_markers, progress=progress, **params
        ).result()

    def stream_chat(
        self,
        messages: Sequence[Message],
        *,
        format: Literal["auto", "llama-2", "codellama-70b", "template"] = "auto",
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: Unpack[SamplingOptions],
    ) -> CompletionStream[Completion]:
        """`chat` piece by piece; `completion` is the result once it is exhausted."""
        report = check_progress(progress)
        sampling = chat_params(self.chat_defaults, params)
        asked = self._prompts.chat(messages, format=format, parse_markers=parse_markers)
        request = self._request(asked, sampling)
        return CompletionStream(self.engine, request, report, lambda done: done)

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits after each token: float32 (len(ids), vocab_size).

        Raises:
            RequestError: no ids, or one out of range; ContextLengthError: too many.
            EngineError: the model is closed, the process was forked, or a logit is not finite.
        """
        tokens = check_ids(ids, "ids", self.config.vocab_size)
        if len(tokens) > self.n_ctx:
            raise ContextLengthError(len(tokens), self.n_ctx, param="ids")
        sequence = self.engine.new_sequence()
        out = empty("logits", (len(tokens), self.config.vocab_size), np.float32)
        for begin, end in prefill_chunks(len(tokens)):
            rows = self.engine.forward([Span(sequence, tokens[begin:end], n_out=end - begin)])
            check_finite(rows, begin)
            out[begin:end] = rows
        return out

    def kv_nbytes(self, n_positions: int) -> int:
        """Bytes of KV cache for so many positions."""
        if not is_whole(n_positions) or n_positions < 0:
            got = repr(n_positions)
            raise RequestError("n_positions", expected="a whole number from 0", got=got)
        return self.engine.layout.nbytes(n_positions)

    def close(self) -> None:
        """Free the memory and stop the threads; further calls raise EngineError."""
        self.engine.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run_tasks(self, tasks: Sequence[Task], progress: Progress | None = None) -> Iterator[None]:
        """Work on tasks, see generation.generate.run; yields after every step that gave tokens."""
        return run(self.engine, tasks, check_progress(progress))

    def _decoded(self, requests: Sequence[Request]) -> tuple[int, int]:
        """Tokens that are decoded, and most that can be; a finished request counts as whole."""
        limits = [min(r.params.max_tokens, self.n_ctx - len(r.prompt)) for r in requests]
        pairs = zip(requests, limits, strict=True)
        done = (n if r.finish_reason else min(len(r.tokens), n) for r, n in pairs)
        return sum(done), sum(limits)

    def _request(self, prompt: EncodedPrompt, params: SamplingParams) -> Request:
        return new_request(
            self.tokenizer, prompt.tokens, params,
            taken_back=prompt.taken_back, stop_ids=prompt.stop_ids,
        )  # fmt: skip
