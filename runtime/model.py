"""The model as users hold it: complete, infill, edit, chat, stream, logits, close."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from halfbyte.adapting import AdaptingModel
from halfbyte.async_model import AsyncModel
from halfbyte.call_arguments import is_whole
from halfbyte.editing import EditingModel
from halfbyte.engine.engine import Engine
from halfbyte.engine.memory import empty
from halfbyte.errors import ContextLengthError, RequestError
from halfbyte.families.config import ModelConfig
from halfbyte.families.model_card import ModelCard
from halfbyte.generation.adaptation import LoadedAdapters, applied
from halfbyte.generation.call import Call
from halfbyte.generation.completion import Completion, Infilling
from halfbyte.generation.params import CallOptions, InfillCallOptions
from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.request import LogitsRequest, Request
from halfbyte.generation.scheduler import Scheduler
from halfbyte.generation.stream import CompletionStream
from halfbyte.generation.terms import Terms
from halfbyte.planning import Plan, Planner
from halfbyte.process_bound import ProcessBound
from halfbyte.progress import Progress
from halfbyte.prompt.chat import Message
from halfbyte.prompt.infill import Repository
from halfbyte.prompt.inputs import Prompt, check_ids
from halfbyte.remembered import RememberingModel
from halfbyte.results import shown
from halfbyte.tokenizer import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack


class Model(AdaptingModel, EditingModel, RememberingModel, AsyncModel, ProcessBound):
    """A loaded model, for any number of threads: their calls share the steps (docs/callers.md)."""

    def __init__(
        self,
        path: Path,
        config: ModelConfig,
        tokenizer: Tokenizer,
        engine: Engine,
        load_s: float,
        card: ModelCard,
        memory: PromptMemory,
    ) -> None:
        self.path = str(path)
        self.config = config
        self.tokenizer = tokenizer
        self.load_s = load_s
        self.engine = engine  # what computes: `scheduler` owns it, so that others only look
        self.scheduler, self._memory = Scheduler(engine, memory), memory
        self._adapters = LoadedAdapters()
        self._planner = Planner(tokenizer, engine.n_ctx, card, self.path, self._adapters)

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
    def chat_defaults(self) -> dict[str, float]:
        """How `chat` samples."""
        return self._planner.chat_defaults

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
        **params: Unpack[CallOptions],
    ) -> Completion: ...
    @overload
    def complete(
        self,
        prompt: Iterable[Prompt],
        *,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: Unpack[CallOptions],
    ) -> list[Completion]: ...
    def complete(
        self,
        prompt: Prompt | Iterable[Prompt],
        *,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: Unpack[CallOptions],
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
            **params: the fields of SamplingParams and of Terms.

        Raises:
            RequestError: a bad argument; ContextLengthError: the prompt does not fit.
            RequestTimeoutError: it took longer than `timeout`; holds what there is.
            EngineError: the model is closed or the process was forked.
        """
        plan = self._planner.completion(
            prompt, heal=heal, parse_markers=parse_markers, progress=progress, **params
        )
        with self._call(plan, decoded=plan.decoded()) as call:
            for _ in call.follow():
                pass
        return plan.result()

    def stream(
        self,
        prompt: Prompt,
        *,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: Unpack[CallOptions],
    ) -> CompletionStream[Completion]:
        """Continue a prompt, piece by piece, as soon as a piece is whole characters.

        Returns:
            an iterator of strings whose `completion` is the result once it is exhausted.
        Raises: as `complete`.
        """
        return self._stream(
            self._planner.completion(
                prompt, heal=heal, parse_markers=parse_markers, progress=progress, **params
            )
        )

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
        **params: Unpack[InfillCallOptions],
    ) -> Infilling:
        """What belongs between prefix and suffix, or in the place of a text's <FILL_ME>.

        The prompt is laid out as the model's own reference does, token for token with
        `heal=False`, and the answer ends at the tokens that end a middle.

        Args:
            prefix: the text before the cursor; with `suffix` left out, a text with one <FILL_ME>.
            suffix: the text after the cursor.
            order: "psm" (prefix first), "spm" (suffix first: better inside a word or a line), or
                "auto", which takes suffix-first where the cursor's line has begun or the suffix
                is long; the result says which.
            heal: see `complete`.
            repository: other files for the model to see.
            parse_markers: see Tokenizer.encode.
            window: tokens of prefix and suffix that the model is shown at most. By default it is
                what the context holds beside an answer of `max_tokens`, which may take half of it.
                Of longer texts the lines nearest the cursor are taken, and other files that do not
                fit are left out: logged as a warning, and told by the result.
            force: infill with a model that is not known to have been trained to.
            progress: called with ("prefill", tokens done, tokens in all).
            **params: the fields of MiddleRules (docs/infilling.md), SamplingParams and Terms.

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
        **params: Unpack[InfillCallOptions],
    ) -> CompletionStream[Infilling]:
        """`infill` piece by piece; `completion` is the result once it is exhausted."""
        return self._stream(
            self._planner.infilling(
                prefix, suffix, order=order, heal=heal, repository=repository,
                parse_markers=parse_markers, window=window, force=force, progress=progress,
                **params,
            )
        )  # fmt: skip

    def chat(
        self,
        messages: Sequence[Message],
        *,
        format: Literal["auto", "llama-2", "codellama-70b", "template"] = "auto",
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: Unpack[CallOptions],
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
            **params: the fields of SamplingParams and of Terms.

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
        **params: Unpack[CallOptions],
    ) -> CompletionStream[Completion]:
        """`chat` piece by piece; `completion` is the result once it is exhausted."""
        return self._stream(
            self._planner.chat(
                messages, format=format, parse_markers=parse_markers, progress=progress, **params
            )
        )

    def logits(self, ids: Sequence[int], *, adapter: Any = None) -> NDArray[np.float32]:
        """Logits after each token: float32 (len(ids), vocab_size); `adapter` as in `complete`.

        Raises:
            RequestError: no ids, or one out of range; ContextLengthError: too many.
            EngineError: the model is closed, the process was forked, or a logit is not finite.
        """
        tokens = check_ids(ids, "ids", self.config.vocab_size)
        if len(tokens) > self.n_ctx:
            raise ContextLengthError(len(tokens), self.n_ctx, param="ids")
        out = empty("logits", (len(tokens), self.config.vocab_size), np.float32)
        request = LogitsRequest(tokens, out)
        request.go_through(applied(self._adapters, adapter))
        self.run([request])
        return out

    def kv_nbytes(self, n_positions: int) -> int:
        """Bytes of KV cache for so many positions."""
        if not is_whole(n_positions) or n_positions < 0:
            got = repr(n_positions)
            raise RequestError("n_positions", expected="a whole number from 0", got=got)
        return self.engine.layout.nbytes(n_positions)

    def close(self) -> None:
        """Free the memory and stop the threads; what is on its way ends with an EngineError."""
        self.scheduler.close()
        self.engine.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run(self, requests: Sequence[Request], terms: Terms | None = None) -> None:
        """Work on requests to their end; raises what ends one."""
        for _ in self.follow(requests, terms):
            pass

    def follow(self, requests: Sequence[Request], terms: Terms | None = None) -> Iterator[None]:
        """Work on requests; yields when something has come of them."""
        with Call(self.scheduler, requests, terms or Terms(), wants_each=True) as call:
            yield from call.follow()

    def _call(self, plan: Plan, **how: Any) -> Call:
        return Call(self.scheduler, plan.requests, plan.terms, plan.progress, **how)

    def _stream(self, plan: Plan) -> CompletionStream[Any]:
        if plan.is_list:
            raise RequestError("prompt", expected="one prompt to stream", got="a list of prompts")
        return CompletionStream(self._call(plan, wants_each=True))
