"""What `generate` gives with `return_dict_in_generate=True`; transformers' classes and fields."""

from __future__ import annotations

from typing import Any

from halfbyte.hf.model_output import ModelOutput
from halfbyte.lazy_dataclass import dataclass

_ABSENT = "generate keeps what the next tokens need, and what was not asked for is None"


@dataclass(slots=True)
class GenerateDecoderOnlyOutput(ModelOutput):
    """Answers token by token. A field is None where nothing asks for it.

    Attributes:
        sequences: int64 (rows, n + longest answer).
        scores: of each token, float32 (rows, V): what it was chosen by; -inf is left out. Zeros
            behind a row's end.
        logits: of each token, float32 (rows, V): what the model said.
        attentions: of each token, of each layer, (rows, n_heads, 1, ids so far), of the first token
            (rows, n_heads, n, n); zeros where there is padding.
        hidden_states: of each token, of the embedding and each layer, (rows, 1, dim), of the first
            token (rows, n, dim).
    """

    absent = _ABSENT

    sequences: Any
    scores: Any = None
    logits: Any = None
    attentions: Any = None
    hidden_states: Any = None


@dataclass(slots=True)
class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """Answers of beam searches. A field is None where nothing asks for it.

    Attributes:
        sequences: int64 (prompts * num_return_sequences, n + longest answer).
        sequences_scores: float32, one for each: its log-probability, divided by its length to the
            length penalty.
        scores: of each round, float32 (prompts * num_beams, V): log-probabilities behind each beam;
            -inf for beams that there are not, zeros once a prompt's search is over.
        logits: the same, what the model said.
        beam_indices: int64 (prompts * num_return_sequences, longest answer): of which beam's row in
            `scores` each token is; -1 behind an answer's end.
    """

    absent = _ABSENT

    sequences: Any
    sequences_scores: Any = None
    scores: Any = None
    logits: Any = None
    beam_indices: Any = None
