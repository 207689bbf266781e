"""Write tests/data/golden_recipes.json: the types that llama.cpp's quantizer gives to tensors.

    .venv/bin/python benchmarks/make_recipe_golden.py

Small files of several shapes are quantized to each mix by llama.cpp in `.venvs/peer`. Per shape
and mix the types are listed in the order of `names`.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import gguf
import numpy as np

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden_recipes.json"
FILE_TYPES = {"q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k_s": 11,
              "q3_k_m": 12, "q3_k_l": 13, "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17,
              "q6_k": 18, "iq4_nl": 25, "iq4_xs": 30, "tq1_0": 36, "tq2_0": 37}  # fmt: skip
# name: (layers, heads, KV heads, tied, dim)
SHAPES = {
    "small": (2, 8, 8, False, 256),
    "tied": (9, 8, 8, True, 256),
    "gqa4": (26, 8, 2, False, 256),
    "deep": (40, 8, 1, False, 256),
    "70b": (80, 8, 1, False, 256),
    "narrow": (4, 8, 8, False, 288),
}
MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
QUANTIZE = """
import ctypes, sys, llama_cpp as L
for out, kind in zip(sys.argv[2::2], sys.argv[3::2]):
    params = L.llama_model_quantize_default_params()
    params.ftype, params.nthread = int(kind), 2
    if L.llama_model_quantize(sys.argv[1].encode(), out.encode(), ctypes.byref(params)):
        sys.exit(f"cannot quantize to {kind}")
"""


def names(n_layers: int, tied: bool) -> list[str]:
    """The matrices of a model, in order."""
    layers = [f"blk.{i}.{name}.weight" for i in range(n_layers) for name in MATRICES]
    return ["token_embd.weight", *layers, *([] if tied else ["output.weight"])]


def write(path: Path, n_layers: int, heads: int, kv_heads: int, tied: bool, dim: int) -> None:
    """A file of such a shape, with noise for weights."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(dim)
    writer.add_block_count(n_layers)
    writer.add_feed_forward_length(dim)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"t{i}" for i in range(32)])
    writer.add_token_scores([0.0] * 32)
    writer.add_token_types([1] * 32)
    rng = np.random.default_rng(0)
    for name in names(n_layers, tied):
        rows = {"attn_k": dim // heads * kv_heads, "attn_v": dim // heads * kv_heads}
        n_rows = rows.get(name.split(".")[-2], 32 if "blk" not in name else dim)
        writer.add_tensor(name, rng.standard_normal((n_rows, dim)).astype(np.float16))
    writer.add_tensor("output_norm.weight", np.ones(dim, np.float32))
    for i in range(n_layers):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{norm}.weight", np.ones(dim, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Make the file."""
    import environments  # a neighbour of this script

    peer = environments.make("peer")
    data: dict[str, object] = {}
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source.gguf"
            write(source, *shape)
            outs = {kind: Path(folder) / f"{kind}.gguf" for kind in FILE_TYPES}
            pairs = [str(x) for kind, out in outs.items() for x in (out, FILE_TYPES[kind])]
            quiet = subprocess.DEVNULL
            subprocess.run([peer, "-c", QUANTIZE, source, *pairs], check=True, stderr=quiet)
            types = {}
            for kind, out in outs.items():
                found = {t.name: t.tensor_type.name for t in gguf.GGUFReader(out).tensors}
                types[kind] = " ".join(found[n] for n in names(shape[0], shape[3]))
        data[name] = {"shape": shape, "types": types}
    OUT.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
