"""Answers as llama.cpp's clients read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from halfbyte.generation.completion import Completion
from halfbyte.generation.probabilities import TokenLogprob, TopToken
from halfbyte.lazy_dataclass import dataclass
from halfbyte.server.exchange import Answer
from halfbyte.server.llama_cpp.request_schema import GenerationFields
from halfbyte.server.reply import dumps
from halfbyte.server.timings import timings

_LOWEST = -3.4028234663852886e38  # what stands for the logarithm of 0
_MISSING = object()
_PIECE = (
    b'data: {"index":%d,"content":%b,"tokens":%b,"stop":false,"id_slot":%d,'
    b'"tokens_predicted":%d,"tokens_evaluated":%d'
)


@dataclass(frozen=True, slots=True)
class Shell:
    """What the answers to one request have in common.

    Attributes:
        asked: its fields.
        model: the model's name.
        settings: what it was generated with, see generation_settings.py.
        prompt: the prompt's text.
        first: the number of the first answer, of all.
    """

    asked: GenerationFields
    model: str
    settings: dict[str, Any]
    prompt: str
    first: int = 0

    @property
    def id_slot(self) -> int:
        """The slot that was asked for: there are none here, so that any will do."""
        return max(self.asked.id_slot or 0, 0)

    def final(self, i: int, done: Completion, content: str | None = None) -> dict[str, Any]:
        """The answer number i, or the end of its stream, which has no more content."""
        asked, tokens = self.asked, done.tokens
        shown = done.text if content is None else content
        result: dict[str, Any] = {
            "index": self.first + i,
            "content": shown,
            "tokens": tokens if asked.return_tokens and content is None else [],
            "id_slot": self.id_slot,
            "stop": True,
            "model": self.model,
            "tokens_predicted": len(tokens),
            "tokens_evaluated": done.stats.n_prompt,
            "generation_settings": self.settings,
            "prompt": self.prompt,
            "has_new_line": "\n" in done.text,
            "truncated": done.finish_reason == "context",
            "stop_type": _stop_type(done),
            "stopping_word": done.stop_text,
            "tokens_cached": done.stats.n_prompt + len(tokens),
            "timings": timings(done.stats, len(tokens)),
        }
        if asked.n_probs and content is None and done.logprobs is not None:
            result["completion_probabilities"] = self.probabilities(done.logprobs)
        return selected(result, asked.response_fields)

    def piece(self, i: int, text: str, begin: int, end: int, answer: Answer) -> bytes:
        """The event of a piece of answer number i, which is its tokens begin .. end - 1.

        There is one for each token: what all have in common is written once.
        """
        asked, tokens = self.asked, str(answer.tokens(i, begin, end)).replace(" ", "").encode()
        told = (self.first + i, dumps(text), tokens, self.id_slot, end, answer.n_prompt)
        more: dict[str, Any] = {}
        if asked.timings_per_token:
            more["timings"] = timings(answer.stats(i), end)
        if asked.n_probs:
            more["completion_probabilities"] = self.probabilities(answer.logprobs(i)[begin:end])
        return b"%b%b\n\n" % (_PIECE % told, b"," + dumps(more)[1:] if more else b"}")

    def probabilities(self, told: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
        """Those of tokens, each with the likeliest ones in its place."""
        is_after = bool(self.asked.post_sampling_probs)
        name = "top_probs" if is_after else "top_logprobs"
        return [
            _token(one, is_after) | {name: [_token(top, is_after) for top in one.top]}
            for one in told
        ]


def selected(result: dict[str, Any], paths: Sequence[str] | None) -> dict[str, Any]:
    """The fields at these paths, under the paths as their names; all where none is given."""
    if not paths:
        return result
    found = {path: _at(result, path) for path in paths}
    return {path: value for path, value in found.items() if value is not _MISSING}


def _at(value: Any, path: str) -> Any:
    for name in path.split("/"):
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _stop_type(done: Completion) -> str:
    if done.finish_reason != "stop":
        return "limit"
    return "word" if done.stop_text else "eos"


def _token(one: TokenLogprob | TopToken, is_after: bool) -> dict[str, Any]:
    logprob = 0.0 if one.logprob is None else max(one.logprob, _LOWEST)
    return {
        "id": one.token, "token": one.bytes.decode(errors="ignore"), "bytes": list(one.bytes),
        **({"prob": math.exp(logprob)} if is_after else {"logprob": logprob}),
    }  # fmt: skip
