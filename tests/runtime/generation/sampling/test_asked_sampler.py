"""Which of both samplers is made, and that a plain one loads no chain."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import cast

from halfbyte.generation.params import SamplingParams
from halfbyte.generation.sampler import Sampler
from halfbyte.generation.sampling.asked_sampler import sampler_of
from halfbyte.generation.sampling.chain import ChainSampler
from halfbyte.tokenizer import Tokenizer

VOCABULARY = cast(Tokenizer, SimpleNamespace(n_vocab=8))
PLAIN = """
import sys
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.sampling.asked_sampler import sampler_of
class Vocabulary: n_vocab = 8
sampler_of(Vocabulary(), SamplingParams(temperature=0), [1])
print("halfbyte.generation.sampling.chain" in sys.modules)
"""


def test_a_chain_only_where_one_is_asked_for() -> None:
    assert type(sampler_of(VOCABULARY, SamplingParams(top_k=2, min_p=0.1), [1])) is Sampler
    for params in (SamplingParams(typical_p=0.5, temperature=1), SamplingParams(penalty_window=3)):
        assert params.needs_chain
        assert type(sampler_of(VOCABULARY, params, [1])) is ChainSampler


def test_a_plain_one_loads_no_chain() -> None:
    done = subprocess.run([sys.executable, "-c", PLAIN], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
