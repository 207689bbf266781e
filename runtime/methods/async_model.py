"""The methods of a model for asyncio: the same calls, awaited.

Prompts are encoded in a thread, since a long one takes more than a moment, and the engine computes
in its own: the event loop only passes pieces on. A task that is cancelled gives its answer up.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from halfbyte.generation.async_call import AsyncCall
from halfbyte.generation.async_stream import AsyncCompletionStream
from halfbyte.generation.call_keywords import (
    CallOptions,
    ChatCallOptions,
    CompleteCallOptions,
    InfillCallOptions,
)
from halfbyte.generation.candidate_stream import AsyncCandidateStream
from halfbyte.generation.chat_completion import ChatCompletion
from halfbyte.generation.completion import Completion, Infilling
from halfbyte.generation.edit import Edit
from halfbyte.generation.scheduler import Scheduler
from halfbyte.planning.call_plan import Plan
from halfbyte.planning.planner import EditFormatName, Planner
from halfbyte.progress import Progress
from halfbyte.prompt.edit.edit_request import Cursor, Diagnostic, PastEdit, Related
from halfbyte.prompt.infill import Repository
from halfbyte.prompt.inputs import Prompt
from halfbyte.prompt.messages import Message

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack


class CompleteOptions(CompleteCallOptions, total=False):
    """The keywords of `complete`."""

    heal: bool
    parse_markers: bool
    progress: Progress | None


class InfillOptions(InfillCallOptions, total=False):
    """The keywords of `infill`."""

    heal: bool
    parse_markers: bool
    progress: Progress | None
    order: Literal["auto", "psm", "spm"]
    repository: Repository | None
    window: int | None
    force: bool


class ChatOptions(ChatCallOptions, total=False):
    """The keywords of `chat`."""

    format: Literal["auto", "llama-2", "codellama-70b", "template"]
    parse_markers: bool
    progress: Progress | None


class EditOptions(CallOptions, total=False):
    """The keywords of `edit`."""

    history: Iterable[PastEdit]
    related: Related
    diagnostics: Iterable[Diagnostic]
    format: EditFormatName | None
    window: int | None
    progress: Progress | None


class AsyncModel:
    """Twins of a model's methods; each takes what its twin does, and raises what it raises."""

    scheduler: Scheduler
    _planner: Planner

    @overload
    async def acomplete(  # type: ignore[overload-overlap]  # as `complete`
        self, prompt: Prompt, *, n: None = None, **options: Unpack[CompleteOptions]
    ) -> Completion: ...
    @overload
    async def acomplete(  # type: ignore[overload-overlap]
        self, prompt: Prompt, *, n: int, **options: Unpack[CompleteOptions]
    ) -> list[Completion]: ...
    @overload
    async def acomplete(
        self, prompt: Iterable[Prompt], *, n: None = None, **options: Unpack[CompleteOptions]
    ) -> list[Completion]: ...
    @overload
    async def acomplete(
        self, prompt: Iterable[Prompt], *, n: int, **options: Unpack[CompleteOptions]
    ) -> list[list[Completion]]: ...
    async def acomplete(
        self,
        prompt: Prompt | Iterable[Prompt],
        *,
        n: int | None = None,
        **options: Unpack[CompleteOptions],
    ) -> Any:
        """`complete`, awaited."""
        made = partial(self._planner.completion, prompt, n=n, **options)
        return await self._aanswered(made, tells_decoding=True)

    @overload
    def astream(
        self, prompt: Prompt, *, n: None = None, **options: Unpack[CompleteOptions]
    ) -> AsyncCompletionStream[Completion]: ...
    @overload
    def astream(
        self, prompt: Prompt | Iterable[Prompt], *, n: int, **options: Unpack[CompleteOptions]
    ) -> AsyncCandidateStream[Completion]: ...
    def astream(
        self,
        prompt: Prompt | Iterable[Prompt],
        *,
        n: int | None = None,
        **options: Unpack[CompleteOptions],
    ) -> Any:
        """`stream` for `async for`; begins with the first piece."""
        return self._astream(lambda: self._planner.completion(prompt, n=n, **options), n)

    @overload
    async def ainfill(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        n: None = None,
        **options: Unpack[InfillOptions],
    ) -> Infilling: ...
    @overload
    async def ainfill(
        self, prefix: str, suffix: str | None = None, *, n: int, **options: Unpack[InfillOptions]
    ) -> list[Infilling]: ...
    async def ainfill(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        n: int | None = None,
        **options: Unpack[InfillOptions],
    ) -> Any:
        """`infill`, awaited."""
        made = partial(self._planner.infilling, prefix, suffix, n=n, **options)
        return await self._aanswered(made)

    @overload
    def astream_infill(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        n: None = None,
        **options: Unpack[InfillOptions],
    ) -> AsyncCompletionStream[Infilling]: ...
    @overload
    def astream_infill(
        self, prefix: str, suffix: str | None = None, *, n: int, **options: Unpack[InfillOptions]
    ) -> AsyncCandidateStream[Infilling]: ...
    def astream_infill(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        n: int | None = None,
        **options: Unpack[InfillOptions],
    ) -> Any:
        """`stream_infill` for `async for`; begins with the first piece."""
        return self._astream(lambda: self._planner.infilling(prefix, suffix, n=n, **options), n)

    @overload
    async def achat(
        self, messages: Sequence[Message], *, n: None = None, **options: Unpack[ChatOptions]
    ) -> ChatCompletion: ...
    @overload
    async def achat(
        self, messages: Sequence[Message], *, n: int, **options: Unpack[ChatOptions]
    ) -> list[ChatCompletion]: ...
    async def achat(
        self, messages: Sequence[Message], *, n: int | None = None, **options: Unpack[ChatOptions]
    ) -> Any:
        """`chat`, awaited."""
        return await self._aanswered(partial(self._planner.chat, messages, n=n, **options))

    @overload
    def astream_chat(
        self, messages: Sequence[Message], *, n: None = None, **options: Unpack[ChatOptions]
    ) -> AsyncCompletionStream[ChatCompletion]: ...
    @overload
    def astream_chat(
        self, messages: Sequence[Message], *, n: int, **options: Unpack[ChatOptions]
    ) -> AsyncCandidateStream[ChatCompletion]: ...
    def astream_chat(
        self, messages: Sequence[Message], *, n: int | None = None, **options: Unpack[ChatOptions]
    ) -> Any:
        """`stream_chat` for `async for`; begins with the first piece."""
        return self._astream(lambda: self._planner.chat(messages, n=n, **options), n)

    async def aedit(
        self,
        path: str | os.PathLike[str],
        text: str,
        cursor: Cursor,
        **options: Unpack[EditOptions],
    ) -> Edit:
        """`edit`, awaited."""
        return await self.astream_edit(path, text, cursor, **options).result()

    def astream_edit(
        self,
        path: str | os.PathLike[str],
        text: str,
        cursor: Cursor,
        **options: Unpack[EditOptions],
    ) -> AsyncCompletionStream[Edit]:
        """`stream_edit` for `async for`; begins with the first piece."""
        return self._astream(lambda: self._planner.edit(path, text, cursor, **options))

    async def _aanswered(self, plan: Callable[[], Plan], *, tells_decoding: bool = False) -> Any:
        import asyncio  # takes long, and few need it

        made = await asyncio.to_thread(plan)
        call = self._acall(made, decoded=made.decoded() if tells_decoding else None)
        await call.await_end()
        return made.result()

    def _astream(self, plan: Callable[[], Plan], n: int | None = None) -> Any:
        async def begin() -> AsyncCall:
            import asyncio

            made = await asyncio.to_thread(plan)
            made.check_streamed()
            call = self._acall(made, wants_each=True)
            call.begin()
            return call

        return AsyncCompletionStream(begin) if n is None else AsyncCandidateStream(begin)

    def _acall(self, plan: Plan, **how: Any) -> AsyncCall:
        how |= {"result": plan.result}
        return AsyncCall(self.scheduler, plan.requests, plan.terms, plan.progress, **how)
