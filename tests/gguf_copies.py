"""GGUF files written anew with other keys and tensors, by the `gguf` package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

Floats = dict[str, np.ndarray]


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


def rewritten(
    source: Path,
    target: Path,
    change: Callable[[Floats], None],
    values: Mapping[str, Any] | None = None,
) -> Path:
    """A copy of a file of floats whose tensors were changed.

    `values` are those of keys behind the architecture, as `copy_keys` takes them. What halfbyte has
    noted of the tensors is left out.
    """
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, architecture)
    changed = {f"{architecture}.{name}": value for name, value in (values or {}).items()}
    noted = [name for name in reader.fields if name.startswith("halfbyte.")]
    copy_keys(reader, writer, {**dict.fromkeys(noted), **changed})
    tensors: Floats = {tensor.name: tensor.data for tensor in reader.tensors}
    change(tensors)
    for name, data in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(data))
    write(writer)
    return target


def write(writer: gguf.GGUFWriter) -> None:
    """Write all that the writer was given, and close it."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
