"""Continue some texts together: python complete.py [MODEL]."""

import sys

import halfbyte

PROMPTS = ["import nu", "if __name__ ==", "with open(path) as", "for key, value in d.it"]

with halfbyte.load(sys.argv[1] if len(sys.argv) > 1 else "infill-10m") as model:
    for prompt, done in zip(PROMPTS, model.complete(PROMPTS, stop="\n"), strict=True):
        print(prompt + done.text)
