"""The prompt's end, taken back, in the model's own tokens: the search of token healing.

A *covering* of a text is a sequence of tokens whose bytes begin with it, the last one reaching its
end or beyond. Its probability is the product of its tokens' probabilities after the prompt, as the
model gives them with the caller's biases (penalties do not look at what the user wrote), times
END_ODDS if it ends where the text does. Greedy takes the most likely covering; else one is drawn
among them, temperature, top-k, top-p and min-p being applied to whole coverings as `Sampler.choose`
does to tokens.

END_ODDS is the prior that the model lacks: it predicts how a text goes on, not where its writer
stops. Were that at any byte alike, the product alone would be right; but most stop where a token
ends, at a word's, a bracket's or a line's end. Four of five, tokens being four bytes long: 16 to 1.
Where a text stops inside a token, the product's odds are mostly in the thousands.

Beginnings are followed best first. A covering is never more likely than its beginning, so the
search ends when no beginning can become better than the best covering, or, where one is drawn, when
the likeliest is negligible beside it. Inside a word the prompt's own logits mostly settle it.

The work is bounded: MAX_PASSES passes of the model with at most MAX_PATHS short sequences each. The
last of them looks at the given tokens, so that no answer begins less likely than without healing.
Nothing here runs a model: it says which logits it wants, and is told them.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np

from halfbyte.constraints.matcher import Matcher
from halfbyte.generation.rules.rule import Rule, changed
from halfbyte.generation.sampler import F32, F64, I64, Sampler, log_softmax
from halfbyte.lazy_dataclass import dataclass
from halfbyte.tokenizer import Tokenizer

END_ODDS = 16.0
MAX_PASSES = 8
MAX_PATHS = 8  # sequences looked at in a pass
MAX_TOKENS = 32  # of a covering
_NEGLIGIBLE = 1e-3  # of the best covering's probability, at the temperature asked for

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Coverings:
    """Coverings that differ in their last token: `path`, then one of `ids`.

    Scores are logarithms of probabilities, END_ODDS counted.
    """

    path: Path
    ids: I64
    scores: F64


class Respelling:
    """Finds the tokens that an answer begins with, where the prompt's end was taken back.

    Attributes:
        text: the bytes taken back.
        wanted: tokens behind the prompt after which the logits are wanted; none once it is decided.
        tokens: what was chosen; empty until then.
        log_share: the logarithm of its share of all coverings' probability.
        rows: the logits behind each path; None where nobody wants them kept.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        sampler: Sampler,
        text: bytes,
        given: Sequence[int],
        biases: Sequence[Rule] = (),
        matcher: Matcher | None = None,
    ) -> None:
        """Begin; `given` spells `text` as the prompt did.

        Args:
            tokenizer: whose tokens they are.
            sampler: chooses among coverings.
            text: as above.
            given: as above.
            biases: change the model's logits.
            matcher: says what may follow the text.
        """
        self.text = text
        self.wanted: list[Path] = [()]
        self.tokens: list[int] = []
        self.log_share = 0.0
        self.rows: dict[Path, F32] | None = None
        self._index, self._sampler, self._given = tokenizer.piece_index, sampler, tuple(given)
        self._biases = biases
        self._matcher = matcher
        self._begun: dict[Path, tuple[float, int]] = {(): (0.0, 0)}  # log-probability, bytes
        self._frontier: list[tuple[float, Path]] = []  # a heap of (-log-probability, path)
        self._coverings: list[_Coverings] = []
        self._best = -math.inf
        self._n_passes = 0

    def tell(self, logits: F32, room: int) -> None:
        """Take the logits (len(wanted), V); `room` is how many tokens the context has left.

        Raises:
            EngineError: they hold NaN or +inf, or nothing but -inf.
        """
        for path, row in zip(self.wanted, logits, strict=True):
            if self.rows is not None:
                self.rows[path] = row
            if path in self._begun:
                log_probs = log_softmax(changed(row, self._biases))
                self._expand(path, log_probs, min(room, MAX_TOKENS))
        self.wanted = self._next_paths()
        self._n_passes += 1
        if not self.wanted:
            self.tokens = self._choose()

    def take_given(self) -> list[int]:
        """Choose the tokens that the prompt had, in the place of those that were chosen."""
        self.tokens = list(self._given)
        return self.tokens

    def row_before(self, n: int) -> F32 | None:
        """The logits after the first n tokens chosen; None where nobody looked at them."""
        return None if self.rows is None else self.rows.get(tuple(self.tokens[:n]))

    def _expand(self, path: Path, log_probs: F64, n_max: int) -> None:
        before, n = self._begun[path]
        rest = self.text[n:]
        if self._matcher is not None:
            log_probs = np.where(self._matcher.allowed_after(path), log_probs, -np.inf)
        ids = self._index.beginning_with(rest)
        if len(ids):
            scores = before + log_probs[ids]
            scores[np.isin(ids, self._index.equal_to(rest))] += math.log(END_ODDS)
            self._coverings.append(_Coverings(path, ids, scores))
            self._best = max(self._best, float(scores.max()))
        if len(path) + 2 > n_max:
            return
        for token, length in self._index.prefixes_of(rest):
            longer, log_prob = (*path, token), before + float(log_probs[token])
            self._begun[longer] = log_prob, n + length
            heapq.heappush(self._frontier, (-log_prob, longer))

    def _next_paths(self) -> list[Path]:
        """The beginnings to look at next; none where that would change nothing, or enough is."""
        params = self._sampler.params
        margin = params.temperature * math.log(max(_NEGLIGIBLE, params.min_p))
        paths: list[Path] = []
        while self._frontier and len(paths) < MAX_PATHS and self._n_passes < MAX_PASSES:
            if -self._frontier[0][0] + math.log(END_ODDS) <= self._best + margin:
                break
            paths.append(heapq.heappop(self._frontier)[1])
        if paths and self._n_passes == MAX_PASSES - 1:
            seen = {found.path for found in self._coverings}
            given = [self._given[:n] for n in range(1, len(self._given))]
            paths = [p for p in given if p not in seen]
        return paths

    def _choose(self) -> list[int]:
        if not math.isfinite(self._best):
            return list(self._given)
        scores = np.concatenate([found.scores for found in self._coverings])
        at = self._sampler.choose(scores)
        self.log_share = float(scores[at]) - _log_sum(scores)
        for found in self._coverings:
            if at < len(found.ids):
                break
            at -= len(found.ids)
        return [*found.path, int(found.ids[at])]


def _log_sum(scores: F64) -> float:
    """The logarithm of the sum of what these are logarithms of."""
    most = float(scores.max())
    with np.errstate(under="ignore"):
        return most + math.log(float(np.exp(scores - most).sum()))
