"""The model as users hold it: complete, infill, edit, chat, stream, logits, close."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from halfbyte.call_arguments import is_whole
from halfbyte.engine.engine import Engine
from halfbyte.engine.memory import empty
from halfbyte.errors import ContextLengthError, RequestError
from halfbyte.families.config import ModelConfig
from halfbyte.families.model_card import ModelCard
from halfbyte.generation.adaptation import LoadedAdapters, applied
from halfbyte.generation.call import Call
from halfbyte.generation.call_keywords import AdapterChoice
from halfbyte.generation.candidate_stream import CandidateStream
from halfbyte.generation.chat_completion import ChatCompletion
from halfbyte.generation.completion import Completion, Infilling
from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.request import LogitsRequest, Request
from halfbyte.generation.scheduler import Scheduler
from halfbyte.generation.speculation.draft_model import DraftModel
from halfbyte.generation.stream import CompletionStream
from halfbyte.generation.terms import Terms
from halfbyte.methods.adapting import AdaptingModel
from halfbyte.methods.answering import AnsweringModel
from halfbyte.methods.async_model import AsyncModel, ChatOptions, CompleteOptions, InfillOptions
from halfbyte.methods.drafting import DraftingModel
from halfbyte.methods.editing import EditingModel
from halfbyte.methods.inspecting import InspectingModel
from halfbyte.methods.remembered import RememberingModel
from halfbyte.methods.scoring import ScoringModel
from halfbyte.planning.call_plan import Plan
from halfbyte.planning.planner import Planner
from halfbyte.process_bound import ProcessBound
from halfbyte.prompt.inputs import Prompt, check_ids
from halfbyte.prompt.messages import Message
from halfbyte.results import shown
from halfbyte.tokenizer import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack


class Model(
    AnsweringModel, AdaptingModel, EditingModel, InspectingModel, ScoringModel, DraftingModel,
    RememberingModel, AsyncModel, ProcessBound,
):  # fmt: skip
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
        draft: DraftModel | None = None,
    ) -> None:
        self.path = str(path)
        self.config = config
        self.tokenizer = tokenizer
        self.load_s = load_s
        self.engine = engine  # what computes: `scheduler` owns it, so that others only look
        self.scheduler, self._memory = Scheduler(engine, memory, draft), memory
        self.draft = draft
        self._adapters = LoadedAdapters()
        self._planner = Planner(tokenizer, engine.n_ctx, card, self.path, self._adapters)

    def __repr__(self) -> str:
        c, e = self.config, self.engine
        shape = f"{c.architecture}, {c.n_layers} layers of {c.dim}, vocabulary {c.vocab_size}"
        weights = getattr(e, "weights", None)  # a closed engine has none
        if weights is None:
            return f"<Model {shown(c.name or self.path)}: {shape}, closed>"
        types = ", ".join(sorted({matrix.format.name for matrix in weights.matrices.values()}))
        run = f"{e.arithmetic}, ctx {self.n_ctx}, KV {e.layout.kv_type}, {self.n_threads} threads"
        if c.attention_window:
            run += f", window {c.attention_sinks}+{c.attention_window}"
        run += f", draft {shown(self.draft.name)}" if self.draft else ""
        return f"<Model {shown(c.name or self.path)}: {shape}, {types}, {run}>"

    @property
    def chat_defaults(self) -> dict[str, Any]:
        """How `chat` samples."""
        return self._planner.chat_defaults

    @property
    def can_infill(self) -> bool:
        """Whether `infill` takes it without `force`."""
        return self._planner.can_infill

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
    def stream(
        self, prompt: Prompt, *, n: None = None, **options: Unpack[CompleteOptions]
    ) -> CompletionStream[Completion]: ...
    @overload
    def stream(
        self, prompt: Prompt | Iterable[Prompt], *, n: int, **options: Unpack[CompleteOptions]
    ) -> CandidateStream[Completion]: ...
    def stream(
        self,
        prompt: Prompt | Iterable[Prompt],
        *,
        n: int | None = None,
        **options: Unpack[CompleteOptions],
    ) -> CompletionStream[Completion] | CandidateStream[Completion]:
        """Continue a prompt, piece by piece, as soon as a piece is whole characters.

        Returns:
            an iterator of strings whose `completion` is the result once it is exhausted; with `n`
            one of pairs, an answer's number and a piece of it, whose `completions` are. Several
            prompts take `n`; answer j to prompt i has the number i * n + j.
        Raises: as `complete`.
        """
        return self._stream(self._planner.completion(prompt, n=n, **options))

    @overload
    def stream_infill(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        n: None = None,
        **options: Unpack[InfillOptions],
    ) -> CompletionStream[Infilling]: ...
    @overload
    def stream_infill(
        self, prefix: str, suffix: str | None = None, *, n: int, **options: Unpack[InfillOptions]
    ) -> CandidateStream[Infilling]: ...
    def stream_infill(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        n: int | None = None,
        **options: Unpack[InfillOptions],
    ) -> CompletionStream[Infilling] | CandidateStream[Infilling]:
        """`infill` piece by piece, as `stream` has them."""
        return self._stream(self._planner.infilling(prefix, suffix, n=n, **options))

    @overload
    def stream_chat(
        self, messages: Sequence[Message], *, n: None = None, **options: Unpack[ChatOptions]
    ) -> CompletionStream[ChatCompletion]: ...
    @overload
    def stream_chat(
        self, messages: Sequence[Message], *, n: int, **options: Unpack[ChatOptions]
    ) -> CandidateStream[ChatCompletion]: ...
    def stream_chat(
        self, messages: Sequence[Message], *, n: int | None = None, **options: Unpack[ChatOptions]
    ) -> CompletionStream[ChatCompletion] | CandidateStream[ChatCompletion]:
        """`chat` piece by piece, as `stream` has them: the content, or with `parts()` all."""
        return self._stream(self._planner.chat(messages, n=n, **options))

    def logits(self, ids: Sequence[int], *, adapter: AdapterChoice = None) -> NDArray[np.float32]:
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
        how |= {"result": plan.result}
        return Call(self.scheduler, plan.requests, plan.terms, plan.progress, **how)

    def _stream(self, plan: Plan) -> Any:
        plan.check_streamed()
        call = self._call(plan, wants_each=True)
        return CompletionStream(call) if plan.candidates.n is None else CandidateStream(call)
