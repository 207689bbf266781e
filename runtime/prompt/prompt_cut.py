"""What is left out of a prompt that does not fit the context, where a caller asks for that."""

from __future__ import annotations

from collections.abc import Sequence

from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass

SIDES = ("left", "middle")


@dataclass(frozen=True, slots=True)
class PromptCut:
    """Where tokens are left out, and how many an answer may take.

    Attributes:
        side: "left": the first ones; "middle": those between the prompt's two halves.
        max_tokens: of the answer, for which room is kept: half of the context at most.
    """

    side: str
    max_tokens: int

    @classmethod
    def asked(cls, side: object, max_tokens: int) -> PromptCut | None:
        """From the argument `truncate`; None: a prompt that does not fit is an error.

        Raises:
            RequestError: it is neither None nor one of SIDES.
        """
        if side is None:
            return None
        if not isinstance(side, str) or side not in SIDES:
            expected = f"None or one of {', '.join(SIDES)}"
            raise RequestError("truncate", expected=expected, got=repr(side))
        return cls(side, max_tokens)

    @property
    def where(self) -> str:
        """Where it cuts, in words."""
        return "at the beginning" if self.side == "left" else "in the middle"

    def n_kept(self, n_tokens: int, n_ctx: int) -> int:
        """How many tokens of so many stay, all where they fit beside the answer.

        An answer without a limit has what they leave; it is given room where they leave nothing.
        """
        room = max(1, min(self.max_tokens, n_ctx // 2))
        needed = 1 if self.max_tokens >= n_ctx else room
        return n_tokens if n_tokens <= n_ctx - needed else max(n_ctx - room, 1)

    def of(self, tokens: Sequence[int], n_ctx: int, bos_id: int | None) -> list[int]:
        """The tokens that stay of a prompt; BOS at its beginning always does."""
        n_most = self.n_kept(len(tokens), n_ctx)
        if len(tokens) <= n_most:
            return list(tokens)
        n_head = int(tokens[0] == bos_id)
        if self.side == "middle":
            n_head = max(n_most // 2, n_head)
        n_head = min(n_head, n_most - 1)
        return [*tokens[:n_head], *tokens[len(tokens) - (n_most - n_head) :]]
