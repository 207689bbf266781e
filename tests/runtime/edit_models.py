"""Tiny random models with the vocabularies of the formats of edits."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import halfbyte

QWEN = ("<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>")
SEED_CODER = (
    *("<[end▁of▁sentence]>", "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>", "<filename>"),
)


def edit_model(
    name: str, specials: tuple[str, ...], vocabularies: Any, tiny: ModuleType, folder: Path
) -> halfbyte.Model:
    """A model of that name, whose vocabulary has these special tokens.

    Args:
        name: by which its format is known.
        specials: the first one ends an answer.
        vocabularies: the fixture of this name.
        tiny: the benchmarks' module tiny_llama.
        folder: to be made, and filled.
    """
    made = vocabularies.train_byte_level("qwen2", specials, n_pieces=300 - len(specials))
    shape = {"dim": 64, "hidden_dim": 96, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2}
    shape |= {"head_dim": 16, "vocab_size": 300}
    tiny.save(tiny.Tiny(name, 7, **shape, rope_theta=1e4, tied=False), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"bos_token_id": None, "eos_token_id": made.id_of(specials[0])}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.model").unlink()
    made.tokenizer(parses=True).save(str(folder / "tokenizer.json"))
    path = folder.parent / f"{name}.gguf"
    halfbyte.convert(folder, path, type="q8_0", measure=False)
    return halfbyte.load(path, threads=1)
