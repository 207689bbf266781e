"""What transformers' tokenizers tell about texts: runs in `.venvs/torch`.

    python encodings_peer.py FOLDER CALLS.json OUT.json

FOLDER holds a tokenizer; CALLS.json is a list of [method, arguments, options]. For each, OUT.json
has the encoding's items, the text of its ids, and for every row what tokens and characters are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

N_CHARS = 16


def told(encoding: Any, n_rows: int) -> list[dict[str, Any]]:
    """What an encoding tells about each row."""
    rows = []
    for i in range(n_rows):
        tokens = encoding.tokens(i)
        spans = [encoding.token_to_chars(i, t) for t in range(len(tokens))]
        rows.append({
            "tokens": tokens,
            "word_ids": encoding.word_ids(i),
            "sequence_ids": encoding.sequence_ids(i),
            "chars": [None if span is None else [*span] for span in spans],
            "char_to_token": [encoding.char_to_token(i, c) for c in range(N_CHARS)],
            "char_to_word": [encoding.char_to_word(i, c) for c in range(N_CHARS)],
        })  # fmt: skip
    return rows


def main() -> None:
    """Ask."""
    folder, calls, out = map(Path, sys.argv[1:])
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    answers = []
    for method, arguments, options in json.loads(calls.read_text("utf-8")):
        encoding = getattr(tokenizer, method)(*arguments, **options)
        rows = told(encoding, len(encoding.encodings))
        text = tokenizer.decode(encoding.input_ids, skip_special_tokens=True)
        answers.append({"items": dict(encoding), "text": text, "rows": rows})
    out.write_text(json.dumps(answers), "utf-8")


if __name__ == "__main__":
    main()
