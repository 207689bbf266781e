"""How likely the tokens of a search's branches are, where its caller asks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from halfbyte.generation.beams.beam_search import Path
from halfbyte.generation.recorder import Recording, Taken, taken_from
from halfbyte.generation.sampler import F64


class _Link(NamedTuple):
    """The last token of a branch, behind those above it, which branches share."""

    above: _Link | None
    taken: Taken


class BeamRecords:
    """Those of one search; nothing where nothing is asked for.

    Attributes:
        are_wanted: whether the tokens of answers are asked for.
    """

    def __init__(self, recording: Recording | None) -> None:
        asked = None if recording is None else recording.asked
        self.are_wanted = asked is not None and asked.logprobs is not None
        self._is_models = asked is None or asked.logprobs_of == "model"
        self._n_top = (asked.logprobs if asked else None) or 0
        self._rows: list[F64] = []
        self._links: dict[Path, _Link | None] = {(): None}

    def take(self, logs: F64, scores: F64) -> None:
        """The next wanted branch's: logarithms of the model's probabilities, and what they count
        for in the search, after rules and penalties.
        """
        if self.are_wanted:
            self._rows.append(logs if self._is_models else scores)

    def follow(self, told: Sequence[Path], paths: Iterable[Path]) -> None:
        """A round is done: its branches, and all those that somebody may still ask about."""
        rows, links = dict(zip(told, self._rows, strict=True)), self._links
        self._rows, self._links = [], {}
        for path in paths:
            if path in links:
                self._links[path] = links[path]
            else:
                taken = taken_from(rows[path[:-1]], path[-1], self._n_top)
                self._links[path] = _Link(links[path[:-1]], taken)

    def of(self, path: Path) -> list[Taken]:
        """Those of a branch's tokens."""
        found, link = [], self._links.get(path)
        while link is not None:
            found.append(link.taken)
            link = link.above
        return found[::-1]
