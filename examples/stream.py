"""Show a text as it is drawn, the same one each time: python stream.py [MODEL]."""

import sys

import halfbyte

PROMPT = "def __init__(self"

with halfbyte.load(sys.argv[1] if len(sys.argv) > 1 else "infill-10m") as model:
    stream = model.stream(PROMPT, max_tokens=31, temperature=0.6, top_p=0.9, seed=4)
    print(PROMPT, end="")
    for piece in stream:
        print(piece, end="", flush=True)
    print(f"\n({stream.completion.finish_reason}, {len(stream.completion.tokens)} tokens)")
