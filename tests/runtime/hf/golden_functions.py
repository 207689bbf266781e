"""Functions that golden calls of `generate` name; they do with tensors what they do with arrays."""

from __future__ import annotations

from typing import Any


def divides_by_seven(input_ids: Any, scores: Any, **others: Any) -> Any:
    """A stopping criterion."""
    return input_ids[:, -1] % 7 == 0


def eleven_ids(input_ids: Any, scores: Any, **others: Any) -> Any:
    """A stopping criterion, of the prompt with its padding and the answer."""
    return input_ids[:, -1] >= (0 if input_ids.shape[1] >= 11 else 10**6)


def scored_high(input_ids: Any, scores: Any, **others: Any) -> Any:
    """A stopping criterion that looks at the scores of all tokens so far."""
    return sum(float(step.max()) for step in scores) > 40.0


def every_ninth(batch_id: int, input_ids: Any) -> list[int]:
    """Tokens that may follow."""
    return list(range(3 + int(input_ids[-1]) % 9, 323, 9))


def of_the_batch(batch_id: int, input_ids: Any) -> list[int]:
    """Tokens that may follow; other ones behind each prompt."""
    return list(range(10 + 100 * batch_id + len(input_ids), 110 + 100 * batch_id))


def less(input_ids: Any, scores: Any) -> Any:
    """A processor: the last tokens become less likely, in place."""
    scores[0, input_ids[0, -3:]] -= 3.0
    return scores


FUNCTIONS = {
    function.__name__: function
    for function in (divides_by_seven, eleven_ids, scored_high, every_ninth, of_the_batch, less)
}
