"""A Hugging Face folder's JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError, MissingFileError
from halfbyte.files.file_kinds import refused

TEMPLATES = "additional_chat_templates"  # the folder in it of all but the default one
_MAX_JSON_NBYTES = 256_000_000
# Where a key that comes twice is an error: of two numbers other programs take the last.
_UNIQUE = ("config.json",)


def check_regular(path: Path) -> None:
    """OSError for a pipe, socket or device, whose reading may never end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError("a pipe, socket or device")


class _Unique:
    """Makes a dictionary of an object's pairs; ConversionError where a key comes twice."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in pairs:
            if key in made:
                raise ConversionError(self._path, key, expected="it once", got="it twice")
            made[key] = value
        return made


class JSONFolder:
    """A folder of JSON files, which need not all be there.

    Raises:
        MissingFileError: nothing lies there; ConversionError: no folder does.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            kind = ConversionError if path.exists() else MissingFileError
            raise kind(path, expected="a Hugging Face model folder", got="no folder")

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A JSON object of the folder, or None where the file is absent."""
        path = self.path / name
        try:
            check_regular(path)
            if path.stat().st_size > _MAX_JSON_NBYTES:
                raise ConversionError(path, expected=f"at most {_MAX_JSON_NBYTES} bytes")
            text = path.read_text("utf-8")
            value = json.loads(text, object_pairs_hook=_Unique(path) if name in _UNIQUE else None)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise refused(
                ConversionError, path, expected="readable JSON", got=str(error)
            ) from error
        if not isinstance(value, dict):
            raise ConversionError(path, expected="a JSON object", got=type(value).__name__)
        return value
