"""Which format of next edits a model has: by its names, or as the caller says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from halfbyte.errors import UnsupportedModelError
from halfbyte.prompt.edit import cursor_infill, sweep, zeta_2, zeta_2_1
from halfbyte.prompt.edit.edit_format import EditFormat
from halfbyte.prompt.infill_models import plain_name
from halfbyte.tokenizer import Tokenizer

FORMATS = {one.name: one for one in (sweep.FORMAT, zeta_2_1.FORMAT, zeta_2.FORMAT)}
NAMES = (*FORMATS, cursor_infill.NAME)
KNOWN = "Sweep's next-edit models, Zeta 2 and Zeta 2.1"


def find_edit_format(names: Sequence[str]) -> EditFormat | None:
    """The format of a model with these names, its own first; None where none tells."""
    for name in names:
        for one in FORMATS.values():
            if re.search(one.models, plain_name(name)):
                return one
    return None


def format_of_name(*names: str) -> str | None:
    """The name of that format."""
    found = find_edit_format(names)
    return found.name if found else None


def check_vocabulary(tokenizer: Tokenizer, chosen: EditFormat) -> None:
    """UnsupportedModelError where the vocabulary lacks a token of the format."""
    missing = [text for text in chosen.tokens if tokenizer.id_of(text) is None]
    if missing:
        raise UnsupportedModelError(
            tokenizer.path,
            f"next edits in the format {chosen.name}",
            expected=f"the tokens {', '.join(chosen.tokens)} in the vocabulary",
            got=f"none for {', '.join(missing)}",
            hint=f"the formats are {', '.join(NAMES)}",
        )
