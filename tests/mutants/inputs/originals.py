"""What is changed: small folders of several families and checkpoint formats, and two matrices.

`build` writes each folder of NAMES with the same bytes everywhere, made by programs that are not
halfbyte wherever there are such.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import gguf
import numpy as np

from benchmarks import tiny_llama as tiny
from tests.mutants.inputs import imatrix_changes, safetensors_changes
from tests.runtime import vocabularies as words

SHAPE = {"dim": 32, "hidden_dim": 64, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "head_dim": 16}
N_PIECES, N_ROWS, N_CTX = 400, 404, 64  # rows without a piece, as many models have them
# Folder -> kind of config.json (benchmarks/tiny_llama), its tokenizer, form of its weights.
FOLDERS = {
    "llama": ("llama", "model", "plain"),
    "shards": ("llama", "model", "shards"),
    "llama3": ("llama3", "json", "plain"),
    "linear": ("linear", "model", "plain"),
    "mistral": ("mistral", "json", "plain"),
    "qwen2": ("qwen2", "byte-level", "plain"),
    "qwen3": ("qwen3", "byte-level", "plain"),
    "gptq": ("llama", "model", "gptq"),
    "packed": ("llama", "model", "packed"),
    "float-8": ("llama", "model", "float-8"),
}
SPECIALS = ("<|im_end|>", "<|endoftext|>")
Stored = dict[str, tuple[str, tuple[int, ...], bytes]]


def build(folder: Path) -> None:
    """Write all folders, and `imatrix` with a matrix of `llama` in both forms."""
    for name, (kind, tokenizer, form) in FOLDERS.items():
        model = tiny.Tiny(name, 7, **SHAPE, vocab_size=N_ROWS, rope_theta=1e4, tied=False,
                          n_ctx=N_CTX, kind=kind)  # fmt: skip
        place = folder / name
        place.mkdir(parents=True)
        config = tiny.config(model)
        _write_weights(place, tiny.weights(model), form, config)
        _write_json(place / "config.json", config)
        _write_json(place / "generation_config.json", {
            "bos_token_id": 1, "eos_token_id": [2, 5], "do_sample": True, "temperature": 0.6,
            "top_p": 0.9, "top_k": 20,
        })  # fmt: skip
        _write_tokenizer(place, tokenizer)
    _write_matrices(folder / "imatrix")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), "utf-8")


# Weights.


def _plain(weights: dict[str, np.ndarray]) -> Stored:
    """Vectors in F32, matrices in turns in F32, F16 and BF16."""
    stored: Stored = {}
    for i, (name, value) in enumerate(weights.items()):
        dtype = "F32" if value.ndim == 1 else ("F32", "F16", "BF16")[i % 3]
        data = value.astype("<f4")
        if dtype == "F16":
            data = value.astype("<f2")
        elif dtype == "BF16":
            data = (data.view("<u4") >> 16).astype("<u2")
        stored[name] = (dtype, value.shape, data.tobytes())
    return stored


def _write_weights(
    place: Path, weights: dict[str, np.ndarray], form: str, config: dict[str, Any]
) -> None:
    stored = _plain(weights)
    if form == "shards":
        names = list(stored)
        places = {name: "ab"[i % 2] + ".safetensors" for i, name in enumerate(names)}
        for file in set(places.values()):
            part = {name: stored[name] for name in names if places[name] == file}
            (place / file).write_bytes(safetensors_changes.written(part))
        total = sum(len(one[2]) for one in stored.values())
        index = {"metadata": {"total_size": total}, "weight_map": places}
        _write_json(place / "model.safetensors.index.json", index)
        return
    if form != "plain":
        config["quantization_config"] = QUANTIZED[form]
        for name in [name for name in stored if name.endswith("_proj.weight")]:
            _, shape, _ = stored.pop(name)
            stored.update(_coded(name, shape, form, Random(name)))
    (place / "model.safetensors").write_bytes(safetensors_changes.written(stored))


QUANTIZED: dict[str, dict[str, Any]] = {
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": True,
             "checkpoint_format": "gptq"},
    "packed": {"quant_method": "compressed-tensors", "format": "pack-quantized",
               "quantization_status": "compressed", "ignore": ["lm_head"],
               "config_groups": {"group_0": {
                   "targets": ["Linear"], "input_activations": None, "output_activations": None,
                   "weights": {"num_bits": 4, "type": "int", "symmetric": True, "group_size": 32,
                               "strategy": "group", "dynamic": False, "actorder": None}}}},
    "float-8": {"quant_method": "fp8", "activation_scheme": "dynamic",
                "weight_block_size": [16, 32]},
}  # fmt: skip


def _coded(name: str, shape: tuple[int, int], form: str, random: Random) -> Iterator[Any]:
    """What a method stores for a matrix: random codes, scales that are small."""
    (n, k), module = shape, name.removesuffix(".weight")

    def halves(*dims: int) -> tuple[str, tuple[int, ...], bytes]:
        values = [random.uniform(0.01, 0.02) for _ in range(int(np.prod(dims)))]
        return "F16", dims, np.array(values, "<f2").tobytes()

    if form == "gptq":
        yield f"{module}.qweight", ("I32", (k // 8, n), random.randbytes(k * n // 2))
        yield f"{module}.qzeros", ("I32", (k // 32, n // 8), b"\x77" * (k // 32 * n // 2))
        yield f"{module}.scales", halves(k // 32, n)
        groups = np.arange(k, dtype="<i4") // 32
        yield f"{module}.g_idx", ("I32", (k,), groups.tobytes())
    elif form == "packed":
        yield f"{name}_packed", ("I32", (n, k // 8), random.randbytes(k * n // 2))
        yield f"{name}_scale", halves(n, k // 32)
        yield f"{name}_shape", ("I64", (2,), np.array(shape, "<i8").tobytes())
    else:
        codes = bytes(code & 0xB7 for code in random.randbytes(n * k))
        yield name, ("F8_E4M3", shape, codes)
        scales = np.full((n // 16, k // 32), 0.25, "<f4")
        yield f"{name}_scale_inv", ("F32", scales.shape, scales.tobytes())


# Tokenizers.


def _write_tokenizer(place: Path, kind: str) -> None:
    settings: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
                                "add_bos_token": True}  # fmt: skip
    if kind == "byte-level":
        trained = words.train_byte_level("qwen2", SPECIALS, N_PIECES - len(SPECIALS))
        _write_json(place / "tokenizer.json", _byte_level(trained))
        settings = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None,
                    "add_bos_token": False}  # fmt: skip
    else:
        model = words.train_sentencepiece(place, N_PIECES)
        if kind == "model":
            model.rename(place / "tokenizer.model")
        else:
            _write_json(place / "tokenizer.json", _of_sentencepiece(words.read_model(model)))
        for left in ("text", "m.model", "m.vocab"):
            (place / left).unlink(missing_ok=True)
    _write_json(place / "tokenizer_config.json", settings)


def _added(i: int, text: str, special: bool = True) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": i, "content": text, **flags, "special": special}


def _byte_level(trained: Any) -> dict[str, Any]:
    """A tokenizer.json as Qwen2.5's, its normalizer left out."""
    added = [_added(trained.id_of(text), text) for text in SPECIALS]
    return {"version": "1.0", "truncation": None, "padding": None, **trained.state,
            "added_tokens": added}  # fmt: skip


def _of_sentencepiece(model: Any) -> dict[str, Any]:
    """A tokenizer.json as transformers makes it of a sentencepiece model."""
    ids = {piece.piece: i for i, piece in enumerate(model.pieces)}
    best_first = [p.piece for p in sorted(model.pieces, key=lambda piece: -piece.score)]
    merges = [[text[:i], text[i:]] for text in best_first for i in range(1, len(text))
              if text[:i] in ids and text[i:] in ids]  # fmt: skip
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    steps = [{"type": "Prepend", "prepend": "▁"}, space]
    back = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]  # fmt: skip
    start = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    begin = {"type": "TemplateProcessing", "single": start, "pair": start,
             "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}  # fmt: skip
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [_added(i, text) for i, text in enumerate(("<unk>", "<s>", "</s>"))],
        "normalizer": {"type": "Sequence", "normalizers": steps}, "pre_tokenizer": None,
        "post_processor": begin, "decoder": {"type": "Sequence", "decoders": back},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "fuse_unk": True,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "byte_fallback": True, "ignore_merges": False, "vocab": ids, "merges": merges},
    }  # fmt: skip


# Importance matrices.


def _write_matrices(place: Path) -> None:
    place.mkdir()
    names = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up")
    inputs = {f"blk.0.{name}.weight": SHAPE["dim"] for name in names}
    inputs |= {"blk.0.ffn_down.weight": SHAPE["hidden_dim"], "output.weight": SHAPE["dim"]}
    random = Random("imatrix")
    entries = [
        imatrix_changes.Entry(name.encode(), 4, [random.uniform(0.1, 9) for _ in range(k)])
        for name, k in inputs.items()
    ]
    document = imatrix_changes.Document(entries, 4, b"code.txt")
    (place / "m.dat").write_bytes(document.to_bytes())
    writer = gguf.GGUFWriter(place / "m.gguf", "imatrix")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["code.txt"])
    writer.add_uint32("imatrix.chunk_count", 4)
    writer.add_uint32("imatrix.chunk_size", 8)
    for entry in entries:
        name = entry.name.decode()
        writer.add_tensor(f"{name}.in_sum2", np.array([entry.values], np.float32) * 8)
        writer.add_tensor(f"{name}.counts", np.array([[32]], np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
