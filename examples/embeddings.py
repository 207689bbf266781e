"""Which code is most like a description: python embeddings.py [MODEL]."""

import sys

import halfbyte

FUNCTIONS = [
    "def mean(values):\n    return sum(values) / len(values)\n",
    "def read_lines(path):\n    with open(path) as file:\n        return file.readlines()\n",
    "class Stack:\n    def push(self, item):\n        self.items.append(item)\n",
]
QUERY = "with open(name) as f:\n    text = f.read()\n"

with halfbyte.load(sys.argv[1] if len(sys.argv) > 1 else "infill-10m") as model:
    vectors = model.embed(FUNCTIONS)  # a row each, of length 1
    likeness = vectors @ model.embed(QUERY)
    for i in likeness.argsort()[::-1]:
        print(f"{likeness[i]:.2f}  {FUNCTIONS[i].splitlines()[0]}")
