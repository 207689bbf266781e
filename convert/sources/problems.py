"""What stands in the way of a conversion, told all at once and before any work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from halfbyte.errors import ConversionError, HalfbyteError, ModelFileError, TokenizerError


class Problems:
    """Errors about one source, which are raised together."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[HalfbyteError] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what is found wrong in the block, which ends there."""
        try:
            yield
        except (ModelFileError, TokenizerError) as error:
            self._found.append(error)

    def note(self, errors: Iterable[HalfbyteError]) -> None:
        """Note errors that nobody has raised."""
        self._found += errors

    def raise_any(self) -> None:
        """Raise what was noted, if anything was.

        Raises:
            ConversionError: one for all; a single error of this kind is raised itself.
        """
        if not self._found:
            return
        first = self._found[0]
        if len(self._found) == 1 and isinstance(first, ConversionError):
            raise first
        texts = list(dict.fromkeys(self._text(error) for error in self._found))
        hint = first.hint if len(texts) == 1 else ""
        numbered = texts if len(texts) == 1 else [f"({i + 1}) {t}" for i, t in enumerate(texts)]
        raise ConversionError(
            self._path, expected="a model that can be loaded", got="; ".join(numbered), hint=hint
        ) from first

    def _text(self, error: HalfbyteError) -> str:
        """What it says, without its file's path."""
        text = str(error).removesuffix(f"; {error.hint}" if error.hint else "")
        path = error.path if isinstance(error, ModelFileError) else self._path
        return text.removeprefix(f"{path}: ")
