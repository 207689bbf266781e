"""Whether a file is still what its conversion recorded, and still says the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from halfbyte.errors import EngineError, ModelFileError
from halfbyte.gguf.file import GGUFFile
from halfbyte.golden import golden_continuation, lead_lost
from halfbyte.lazy_dataclass import dataclass
from halfbyte.loading import load
from halfbyte.model import Model
from halfbyte.progress import Progress, silent
from halfbyte.quality.figures import (
    NO_HASH,
    NO_TOKEN,
    Figures,
    read_figures,
    tensors_sha256,
    tokenizer_sha256,
)
from halfbyte.quality.perplexity import token_losses
from halfbyte.quality.texts import N_WINDOW, packaged_text, token_windows
from halfbyte.results import Result
from halfbyte.tokenizer.vocabulary import Vocabulary

# Rounding moves logits by less than this; a damaged weight that changes a token by far more.
_ROUNDING = 0.01
# What 8-bit activations change a perplexity by, as a share, is less; a damaged matrix is more.
_AS_RUN = 0.05


@dataclass(frozen=True, slots=True)
class Check(Result):
    """One thing that was looked at. `is_same` is None where the file records nothing about it."""

    name: str
    is_same: bool | None
    detail: str


def verify(
    path: Path,
    *,
    quality: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[Check]:
    """Check a GGUF file against its own metadata.

    With `quality` the text that its perplexity was measured on is processed again; `threads` and
    `progress` are as for `load`.

    Raises:
        ModelFileError: it cannot be read at all.
    """
    with GGUFFile.open(path) as file:
        figures = read_figures(file.metadata)
        found = {
            "tensors": tensors_sha256(file),
            "tokenizer": tokenizer_sha256(Vocabulary.from_metadata(file.metadata)),
        }
    checks = []
    for name, checksum in found.items():
        recorded = getattr(figures, f"{name}_sha256", NO_HASH)
        is_same = None if recorded == NO_HASH else recorded == checksum
        detail = checksum if is_same is not False else f"{checksum}, recorded {recorded}"
        checks.append(Check(name, is_same, detail))
    # What only the engine can tell: that every weight is a number, and what it says.
    try:
        model = load(path, threads=threads, progress=progress)
    except ModelFileError as error:
        return [*checks, Check("numbers", False, str(error))]
    with model:
        checks.append(Check("numbers", True, "no NaN and no infinity"))
        try:
            golden = _check_golden(model, figures.golden_tokens if figures is not None else ())
        except EngineError as error:  # weights that are numbers, and logits that are none
            return [*checks, Check("golden", False, str(error))]
        checks.append(golden)
        if quality:
            checks.append(_check_perplexity(model, figures, progress or silent))
    return checks


def _check_golden(model: Model, recorded: tuple[int, ...]) -> Check:
    golden = golden_continuation(model)
    text = repr(model.tokenizer.decode([t for t in golden.tokens if t != NO_TOKEN]))
    if not recorded or set(recorded) == {NO_TOKEN}:
        return Check("golden", None, text)
    if golden.tokens == recorded:
        return Check("golden", True, f"{text}, least lead {golden.margin:.4f}")
    lost = lead_lost(model, recorded, golden.tokens)
    is_rounding = lost < _ROUNDING
    what = "within rounding" if is_rounding else "beyond rounding"
    detail = f"{text}: a recorded token lies {lost:.4f} behind the best, {what}"
    return Check("golden", is_rounding, detail)


def _check_perplexity(model: Model, figures: Figures | None, progress: Progress) -> Check:
    """Perplexity as run beside the recorded one, which is of the weights alone."""
    text = packaged_text("heldout")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    length = min(N_WINDOW, model.config.n_ctx_train)
    is_measured = figures is not None and figures.n_positions > 0 and length > 1
    if figures is None or not is_measured or figures.text_sha256 != checksum:
        return Check("perplexity", None, "the file names no text that this version has")
    n_windows = max(figures.n_positions // length, 1)
    windows = token_windows(model.tokenizer, text, length, max_windows=n_windows)
    found = float(np.exp(token_losses(model.logits, windows, progress).mean()))
    is_same = abs(found - figures.perplexity) < _AS_RUN * found
    detail = f"{found:.4f} as run, {figures.perplexity:.4f} recorded of the weights"
    return Check("perplexity", is_same, detail)
