"""The keywords of a call that are not its method's own, by what they are about."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from halfbyte.constraints.constraint import Constraint
from halfbyte.errors import RequestError
from halfbyte.generation.adaptation import Adaptation, LoadedAdapters
from halfbyte.generation.candidates import Candidates
from halfbyte.generation.probabilities import Probabilities
from halfbyte.generation.rules.processors import Processors
from halfbyte.generation.rules.token_rules import TokenRules
from halfbyte.generation.terms import Terms
from halfbyte.generation.text_ends import TextEnds
from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.drafts import Drafts
from halfbyte.tokenizer import Tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """The keywords of a call that are not its method's own, by what they are about."""

    terms: Terms
    drafts: Drafts
    tokens: TokenRules
    ends: TextEnds
    candidates: Candidates
    probabilities: Probabilities
    adaptation: Adaptation
    constraint: Constraint | None
    processors: Processors

    @classmethod
    def split(
        cls, tokenizer: Tokenizer, adapters: LoadedAdapters, keywords: Mapping[str, Any]
    ) -> tuple[Options, dict[str, Any]]:
        """What a call's keywords ask for, and those that are left: the sampling parameters.

        Raises:
            RequestError: a bad value; `param` names it.
        """
        terms, rest = Terms.split(keywords)
        drafts, rest = Drafts.split(tokenizer, rest)
        tokens, rest = TokenRules.split(tokenizer, rest)
        ends, rest = TextEnds.split(rest)
        candidates, rest = Candidates.split(rest)
        probabilities, rest = Probabilities.split(rest)
        adaptation, rest = Adaptation.split(adapters, rest)
        constraint, rest = Constraint.split(rest)
        processors, rest = Processors.split(rest)
        groups = terms, drafts, tokens, ends, candidates, probabilities, adaptation
        return cls(*groups, constraint, processors), rest

    def check_search(self) -> None:
        """RequestError where something is asked for that a beam search does not have."""
        if self.drafts.prediction or self.drafts.lookup:
            log.warning("prediction and lookup have no effect with num_beams")
        if self.tokens.banned_strings:
            got = list(self.tokens.banned_strings)
            raise RequestError("banned_strings", expected="nothing with num_beams", got=got)
