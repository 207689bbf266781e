"""What chooses the tokens of one sequence: the plain sampler, or a chain where it takes one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from halfbyte.generation.params import SamplingParams
from halfbyte.generation.sampler import Sampler
from halfbyte.import_lock import Later
from halfbyte.tokenizer import Tokenizer

if TYPE_CHECKING:
    from halfbyte.generation.sampling import chain
else:  # all filters that there are
    chain = Later("halfbyte.generation.sampling.chain")


def sampler_of(
    tokenizer: Tokenizer,
    params: SamplingParams,
    prompt_ids: Sequence[int],
    ends: Collection[int] = (),
) -> Sampler:
    """What chooses the tokens of one sequence; a chain only where it is needed.

    `ends` are the tokens that end a middle, beside the tokenizer's own.

    Raises:
        RequestError: a stop token outside the vocabulary.
    """
    if not params.needs_chain:
        return Sampler(params, tokenizer.n_vocab, prompt_ids)
    return chain.ChainSampler(tokenizer, params, prompt_ids, ends)
