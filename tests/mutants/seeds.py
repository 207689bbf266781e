"""The files that are mutated: small models of every family, vocabularies of both kinds."""

from __future__ import annotations

from pathlib import Path

from benchmarks import tiny_llama as tiny
from tests.runtime import vocabularies

ROOT = Path(__file__).resolve().parents[2]
PACKAGED = ROOT / "runtime" / "data" / "infill-10m.gguf"
# Name -> family (see benchmarks/tiny_llama), type, whether its vocabulary is byte-level.
TINY = {
    "llama-q8_0": ("llama", "q8_0", False),
    "linear-f16": ("linear", "f16", False),
    "llama3-q4_0": ("llama3", "q4_0", True),
    "mistral-f32": ("mistral", "f32", False),
    "qwen2-q4_1": ("qwen2", "q4_1", True),
    "qwen3-q8_0": ("qwen3", "q8_0", True),
    "llama-q4_k_m": ("llama", "q4_k_m", False),
}
_SIZES = {"n_layers": 1, "n_heads": 4, "n_kv_heads": 2, "rope_theta": 1e4, "tied": True}


def write(name: str, folder: Path) -> Path:
    """The model of a name of TINY, as a GGUF file in the folder."""
    import halfbyte
    from tests.mutants.document import parse

    family, type_name, is_byte_level = TINY[name]
    is_k = type_name.endswith("_m")
    dims = {"dim": 256, "hidden_dim": 256} if is_k else {"dim": 64, "hidden_dim": 96}
    shape = {**_SIZES, **dims, "head_dim": dims["dim"] // 4, "vocab_size": 500}
    source, path = folder / f"{name}-source", folder / f"{name}.gguf"
    tiny.save(tiny.Tiny(name, 7, **shape, kind=family), source)
    halfbyte.convert(source, path, type=type_name, measure=False)
    if is_byte_level:
        words = vocabularies.train_byte_level("qwen2", ("<|im_end|>", "<|endoftext|>"), 498)
        other = words.write(folder / f"{name}-vocabulary.gguf")
        model, donor = parse(path.read_bytes()), parse(other.read_bytes())
        model.entries = [e for e in model.entries if not e.key.startswith(b"tokenizer")]
        model.entries += [e for e in donor.entries if e.key.startswith(b"tokenizer")]
        path.write_bytes(model.to_bytes())
    return path
