"""The answers of a model, when they are done: `complete`, `infill` and `chat`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from halfbyte.generation.call import Call
from halfbyte.generation.call_keywords import (
    ChatCallOptions,
    CompleteCallOptions,
    InfillCallOptions,
)
from halfbyte.generation.chat_completion import ChatCompletion
from halfbyte.generation.completion import Completion, Infilling
from halfbyte.methods.async_model import ChatOptions, CompleteOptions, InfillOptions
from halfbyte.planning.call_plan import Plan
from halfbyte.planning.planner import Planner
from halfbyte.progress import Progress
from halfbyte.prompt.infill import Repository
from halfbyte.prompt.inputs import Prompt
from halfbyte.prompt.messages import Message

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack


class AnsweringModel:
    """A model that answers; with `n` there are so many answers to a prompt, in a list."""

    _planner: Planner
    _call: Callable[..., Call]

    @overload
    def complete(  # type: ignore[overload-overlap]  # a str is a Sequence[str], but comes first
        self, prompt: Prompt, *, n: None = None, **options: Unpack[CompleteOptions]
    ) -> Completion: ...
    @overload
    def complete(  # type: ignore[overload-overlap]
        self, prompt: Prompt, *, n: int, **options: Unpack[CompleteOptions]
    ) -> list[Completion]: ...
    @overload
    def complete(
        self, prompt: Iterable[Prompt], *, n: None = None, **options: Unpack[CompleteOptions]
    ) -> list[Completion]: ...
    @overload
    def complete(
        self, prompt: Iterable[Prompt], *, n: int, **options: Unpack[CompleteOptions]
    ) -> list[list[Completion]]: ...
    def complete(
        self,
        prompt: Prompt | Iterable[Prompt],
        *,
        n: int | None = None,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: Unpack[CompleteCallOptions],
    ) -> Completion | list[Completion] | list[list[Completion]]:
        """Continue a prompt, or several together.

        Args:
            prompt: text (BOS is added as the vocabulary wants it) or token ids (taken as they
                are), or a list or another iterable of either, which are decoded together and
                give a list; prompt i draws with `seed + i`.
            n: give a list of so many answers to each prompt, which is computed once; see
                docs/candidates.md.
            heal: let the model choose a text's last tokens anew where they could be the beginning
                of longer ones, so that "retu" can become "return": of all tokens that spell the
                text's end, or more, the most likely, or a draw among them (see
                generation/respelling.py). The text stays what it is.
            parse_markers: see Tokenizer.encode.
            progress: called with ("prefill", tokens done, tokens in all) for each prompt, and with
                ("decode", tokens done, most tokens that can come) of all prompts together.
            **params: the fields of SamplingParams, Terms and Candidates, and `truncate`: what is
                left out of a prompt that does not fit beside its answer, "left": its beginning,
                "middle": what is between two halves; by default that is an error.

        Raises:
            RequestError: a bad argument; ContextLengthError: the prompt does not fit.
            RequestTimeoutError: it took longer than `timeout`; holds what there is.
            EngineError: the model is closed or the process was forked.
        """
        return self._answered(
            self._planner.completion(
                prompt, n=n, heal=heal, parse_markers=parse_markers, progress=progress, **params
            ),
            tells_decoding=True,
        )

    @overload
    def infill(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        n: None = None,
        **options: Unpack[InfillOptions],
    ) -> Infilling: ...
    @overload
    def infill(
        self, prefix: str, suffix: str | None = None, *, n: int, **options: Unpack[InfillOptions]
    ) -> list[Infilling]: ...
    def infill(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        n: int | None = None,
        order: Literal["auto", "psm", "spm"] = "auto",
        heal: bool = True,
        repository: Repository | None = None,
        parse_markers: bool = False,
        window: int | None = None,
        force: bool = False,
        progress: Progress | None = None,
        **params: Unpack[InfillCallOptions],
    ) -> Infilling | list[Infilling]:
        """What belongs between prefix and suffix, or in the place of a text's <FILL_ME>.

        The prompt is laid out as the model's own reference does, token for token with
        `heal=False`, and the answer ends at the tokens that end a middle.

        Args:
            prefix: the text before the cursor; with `suffix` left out, a text with one <FILL_ME>.
            suffix: the text after the cursor.
            n: give a list of so many answers; see docs/candidates.md.
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
            **params: of MiddleRules (docs/infilling.md), SamplingParams, Terms and Candidates.

        Raises:
            UnsupportedModelError: the vocabulary has no infilling tokens, or the model is not
                known to have been trained with them (prompt/infill_models.py).
            RequestError, ContextLengthError, EngineError: as `complete`.
        """
        return self._answered(
            self._planner.infilling(
                prefix, suffix, n=n, order=order, heal=heal, repository=repository,
                parse_markers=parse_markers, window=window, force=force, progress=progress,
                **params,
            )
        )  # fmt: skip

    def read_infill_prompt(self, prompt: str) -> tuple[str, str] | None:
        """Prefix and suffix of a prompt that another program laid out in the model's own markers.

        None where the text, all of it, is no such prompt, or the model does not infill.

        Args:
            prompt: all of it, markers included.
        """
        return self._planner.gap(prompt)

    @overload
    def chat(
        self, messages: Sequence[Message], *, n: None = None, **options: Unpack[ChatOptions]
    ) -> ChatCompletion: ...
    @overload
    def chat(
        self, messages: Sequence[Message], *, n: int, **options: Unpack[ChatOptions]
    ) -> list[ChatCompletion]: ...
    def chat(
        self,
        messages: Sequence[Message],
        *,
        n: int | None = None,
        format: Literal["auto", "llama-2", "codellama-70b", "template"] = "auto",
        parse_markers: bool = False,
        progress: Progress | None = None,
        **params: Unpack[ChatCallOptions],
    ) -> ChatCompletion | list[ChatCompletion]:
        """The answer to a conversation.

        Unlike `complete`, it draws its tokens by default: what is not given is as the file says
        (the model's generation_config), else as llama.cpp has it; `chat_defaults` are the values.
        `temperature=0` takes the most likely ones.

        Args:
            messages: each a mapping with `role` ("system", "user", "assistant", "tool") and
                `content`.
            n: give a list of so many answers; see docs/candidates.md.
            format: see prompt.chat.chat_prompt; "auto" takes the format that the file asks for.
            parse_markers: see Tokenizer.encode.
            progress: called with ("prefill", tokens done, tokens in all).
            **params: the fields of SamplingParams, Terms and Candidates, and those of docs/chat.md.

        Raises:
            UnsupportedModelError: the file says nothing about chat, or its calls are not known.
            TemplateError: its template fails; ToolCallError: a call cannot be read.
            RequestError: bad messages, special tags in their content, or a bad argument.
            ContextLengthError, EngineError: as `complete`.
        """
        return self._answered(
            self._planner.chat(
                messages, n=n, format=format, parse_markers=parse_markers, progress=progress,
                **params,
            )
        )  # fmt: skip

    def _answered(self, plan: Plan, *, tells_decoding: bool = False) -> Any:
        with self._call(plan, decoded=plan.decoded() if tells_decoding else None) as call:
            for _ in call.follow():
                pass
        return plan.result()
