"""GGUF files written anew with other keys and tensors, by the `gguf` package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gguf


def copy_keys(
    reader: gguf.GGUFReader, writer: gguf.GGUFWriter, changes: Mapping[str, Any] | None = None
) -> None:
    """Give the writer a file's keys, but for the architecture, which it has.

    `changes` are other values, lists of truth or whole numbers where there was no such key, and
    None for what is left out.
    """
    changes = dict(changes or {})
    for name, field in reader.fields.items():
        value, kind = changes.pop(name, field.contents()), field.types[0]
        if value is None or name.startswith("GGUF.") or name == "general.architecture":
            continue
        element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, kind, element)
    for name, value in changes.items():
        if isinstance(value, list):
            writer.add_array(name, value)
        elif value is not None:
            writer.add_uint32(name, value)


def write(writer: gguf.GGUFWriter) -> None:
    """Write all that the writer was given, and close it."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
