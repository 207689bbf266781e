"""Whether a file is still what its conversion recorded, and still says the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from halfbyte.errors import ModelFileError
from halfbyte.gguf_file import GGUFFile
from halfbyte.golden import NO_TOKEN, golden_continuation, lead_lost
from halfbyte.loading import load
from halfbyte.progress import Progress
from halfbyte.tokenizer.vocabulary import Vocabulary

# Rounding moves logits by less than this; a damaged weight that changes a token by far more.
_ROUNDING = 0.01


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `is_same` is None where the file records nothing about it."""

    name: str
    is_same: bool | None
    detail: str


def verify(
    path: Path, *, threads: int | None = None, progress: Progress | None = None
) -> list[Check]:
    """Check a GGUF file against its own metadata.

    Raises:
        ModelFileError: it cannot be read at all.
    """
    from halfbyte.convert.figures import NO_HASH, read_figures, tensors_sha256, tokenizer_sha256

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
    tokens = figures.golden_tokens if figures is not None else ()
    return [*checks, *_run_checks(path, tokens, threads, progress)]


def _run_checks(
    path: Path, recorded: tuple[int, ...], threads: int | None, progress: Progress | None
) -> list[Check]:
    """What only the engine can tell: that every weight is a number, and what it says."""
    try:
        model = load(path, threads=threads, progress=progress)
    except ModelFileError as error:
        return [Check("numbers", False, str(error))]
    with model:
        numbers = Check("numbers", True, "no NaN and no infinity")
        golden = golden_continuation(model)
        text = repr(model.tokenizer.decode([t for t in golden.tokens if t != NO_TOKEN]))
        if not recorded or set(recorded) == {NO_TOKEN}:
            return [numbers, Check("golden", None, text)]
        if golden.tokens == recorded:
            return [numbers, Check("golden", True, f"{text}, least lead {golden.margin:.4f}")]
        lost = lead_lost(model, recorded, golden.tokens)
        is_rounding = lost < _ROUNDING
        what = "within rounding" if is_rounding else "beyond rounding"
        detail = f"{text}: a recorded token lies {lost:.4f} behind the best, {what}"
        return [numbers, Check("golden", is_rounding, detail)]
