"""Adapters (LoRA and its like) are changes to a model and no models: they are refused by name."""

from __future__ import annotations

from halfbyte.errors import ConversionError
from halfbyte.files.json_folder import JSONFolder

ADAPTER_FILE = "adapter_config.json"  # of peft; transformers loads the base model where it lies
MERGE = (
    "an adapter is no model, but changes one: load its base model with adapter=PATH (--adapter), "
    "or merge it for good: halfbyte convert BASE --adapter PATH"
)


def refuse_adapter(folder: JSONFolder) -> None:
    """ConversionError where a folder holds an adapter, beside whatever else."""
    stated = folder.read_json(ADAPTER_FILE)
    if stated is None:
        return
    base = stated.get("base_model_name_or_path")
    raise ConversionError(
        folder.path, ADAPTER_FILE, expected="a whole model",
        got=f"an adapter of {base}" if isinstance(base, str) and base else "an adapter",
        hint=f"{MERGE}; a model that was merged already does without this file",
    )  # fmt: skip
