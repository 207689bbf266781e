"""Rank continuations by how likely a model finds them: python rank.py [MODEL]."""

import sys

import halfbyte

PROMPT = "import numpy as np\n\n\ndef mean(values):\n    return"
CHOICES = [" None", " sum(values) / len(values)", " values + 1"]

with halfbyte.load(sys.argv[1] if len(sys.argv) > 1 else "infill-10m") as model:
    scores = model.score(PROMPT, CHOICES)
    for score, text in sorted(zip(scores, CHOICES, strict=True), key=lambda one: -one[0].per_byte):
        print(f"{score.per_byte:7.3f}{text}")
    best, second = model.complete(PROMPT, n=2, best_of=8, temperature=0.8, seed=1, stop="\n")
    print(f"{best.score:7.3f}{best.text}\n{second.score:7.3f}{second.text}")
