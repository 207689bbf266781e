"""What a model makes of a text: `embed`, and `trace`, which looks inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from halfbyte.call_arguments import check_choice, check_flag
from halfbyte.engine.engine import Engine
from halfbyte.engine.memory import empty
from halfbyte.engine.trace import Trace, Tracer
from halfbyte.errors import RequestError
from halfbyte.generation.adaptation import LoadedAdapters, applied
from halfbyte.generation.async_call import AsyncCall
from halfbyte.generation.call_keywords import AdapterChoice
from halfbyte.generation.hidden_request import HiddenRequest, Pooling
from halfbyte.generation.request import Request
from halfbyte.generation.scheduler import Scheduler
from halfbyte.generation.terms import Terms
from halfbyte.lazy_dataclass import dataclass
from halfbyte.planning.planner import Planner
from halfbyte.progress import silent
from halfbyte.prompt.inputs import Prompt, as_list
from halfbyte.prompt.messages import Message

Embedding = NDArray[np.float32]


class InspectingModel:
    """A model that says what it makes of texts."""

    engine: Engine
    scheduler: Scheduler
    _planner: Planner
    _adapters: LoadedAdapters
    run: Callable[[Sequence[Request]], None]

    @overload
    def embed(
        self,
        texts: Prompt | Iterable[Prompt],
        *,
        pooling: Literal["mean", "last", "first"] = "mean",
        normalize: bool = True,
        parse_markers: bool = False,
        adapter: AdapterChoice = None,
    ) -> Embedding: ...
    @overload
    def embed(
        self,
        texts: Prompt | Iterable[Prompt],
        *,
        pooling: Pooling,
        normalize: bool = True,
        parse_markers: bool = False,
        adapter: AdapterChoice = None,
    ) -> Embedding | list[Embedding]: ...
    def embed(
        self,
        texts: Prompt | Iterable[Prompt],
        *,
        pooling: Pooling = "mean",
        normalize: bool = True,
        parse_markers: bool = False,
        adapter: AdapterChoice = None,
    ) -> Embedding | list[Embedding]:
        """Each text as a vector: texts that mean alike have vectors of a large dot product.

        The last layer's states, normed as the logits' matrix takes them. Several texts share the
        steps; a text's vector is the same bits alone and beside others.

        Args:
            texts: text (BOS is added as the vocabulary wants it) or token ids (taken as they are),
                or several.
            pooling: "mean" of all positions; the "last" or the "first" position's; "none": all.
            normalize: whether each vector (with "none", each position's) is divided by its
                Euclidean length.
            parse_markers: see Tokenizer.encode.
            adapter: as in `complete`.

        Returns:
            float32 (dim,); of several texts (n, dim). With "none" (tokens, dim); of several, a list
            of these.

        Raises:
            RequestError: a bad argument; ContextLengthError: a text is longer than the context.
            EngineError: the model is closed or the process was forked.
        """
        plan = self._embeddings(texts, pooling, normalize, parse_markers, adapter)
        self.run(plan.requests)
        return plan.result()

    @overload
    async def aembed(
        self,
        texts: Prompt | Iterable[Prompt],
        *,
        pooling: Literal["mean", "last", "first"] = "mean",
        normalize: bool = True,
        parse_markers: bool = False,
        adapter: AdapterChoice = None,
    ) -> Embedding: ...
    @overload
    async def aembed(
        self,
        texts: Prompt | Iterable[Prompt],
        *,
        pooling: Pooling,
        normalize: bool = True,
        parse_markers: bool = False,
        adapter: AdapterChoice = None,
    ) -> Embedding | list[Embedding]: ...
    async def aembed(
        self,
        texts: Prompt | Iterable[Prompt],
        *,
        pooling: Pooling = "mean",
        normalize: bool = True,
        parse_markers: bool = False,
        adapter: AdapterChoice = None,
    ) -> Embedding | list[Embedding]:
        """`embed`, awaited."""
        import asyncio

        plan = await asyncio.to_thread(
            self._embeddings, texts, pooling, normalize, parse_markers, adapter
        )
        call = AsyncCall(self.scheduler, plan.requests, Terms(), silent)
        await call.await_end()
        return plan.result()

    def trace(
        self,
        prompt: Prompt,
        *,
        attentions: bool = False,
        layer_logits: bool = False,
        parse_markers: bool = False,
        adapter: AdapterChoice = None,
    ) -> Trace:
        """What happens inside while a prompt is processed, layer by layer.

        Other callers' steps come in between, of at most 256 tokens of the prompt.

        Args:
            prompt: text (BOS is added as the vocabulary wants it), or token ids as they are.
            attentions: whether to keep what each head looks at, (n_layers, n_heads, T, T).
            layer_logits: whether to keep what the model would say after each layer.
            parse_markers: see Tokenizer.encode.
            adapter: as in `complete`.

        Raises:
            RequestError: a bad argument; ContextLengthError: the prompt is longer than the context.
            EngineError: the model is closed, the process was forked, or there is no memory.
        """
        check_flag("attentions", attentions)
        check_flag("layer_logits", layer_logits)
        given, is_list = as_list(prompt)
        if is_list:
            raise RequestError("prompt", expected="one prompt to trace", got="a list of prompts")
        ids = self._planner.ids(given[0], "prompt", parse_markers)
        chosen = applied(self._adapters, adapter)

        def begin() -> Tracer:
            self.engine.check_open()
            return Tracer(
                self.engine, ids, attentions=attentions, layer_logits=layer_logits, adapters=chosen
            )

        tracer = self.scheduler.between_steps(begin)
        while not tracer.is_done:
            self.scheduler.between_steps(tracer.step)
        return tracer.trace

    def chat_ids(self, messages: Sequence[Message], **options: Any) -> list[int]:
        """The ids that `chat` asks for an answer with; takes and raises what it does."""
        return list(self._planner.chat(messages, **options).requests[0].prompt)

    def _embeddings(
        self,
        texts: Prompt | Iterable[Prompt],
        pooling: Pooling,
        normalize: bool,
        parse_markers: bool,
        adapter: AdapterChoice,
    ) -> _Embeddings:
        check_choice("pooling", pooling, get_args(Pooling))
        check_flag("normalize", normalize)
        chosen = applied(self._adapters, adapter)
        given, is_list = as_list(texts, "texts")
        requests = []
        for i, text in enumerate(given):
            name = f"texts[{i}]" if is_list else "texts"
            ids = self._planner.ids(text, name, parse_markers)
            shape = (len(ids) if pooling == "none" else 1, self.engine.config.dim)
            states = empty("embeddings", shape, np.float32)
            request = HiddenRequest(ids, pooling, states)
            request.go_through(chosen)
            requests.append(request)
        return _Embeddings(requests, is_list, pooling, normalize)


@dataclass(frozen=True, slots=True)
class _Embeddings:
    """What is asked of texts."""

    requests: list[HiddenRequest]
    is_list: bool
    pooling: Pooling
    normalize: bool

    def result(self) -> Embedding | list[Embedding]:
        """What finished requests give."""
        vectors = [_normalized(r.states) if self.normalize else r.states for r in self.requests]
        if self.pooling == "none":
            return vectors if self.is_list else vectors[0]
        return np.concatenate(vectors) if self.is_list else vectors[0][0]


def _normalized(rows: Embedding) -> Embedding:
    lengths = np.sqrt((rows.astype(np.float64) ** 2).sum(-1, keepdims=True))
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
