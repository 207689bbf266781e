"""Convert a folder or a file to Q4_K, and check the result: python convert.py SOURCE FILE.gguf."""

import sys
from pathlib import Path

import halfbyte
from halfbyte.verification import verify

source, target = sys.argv[1:]
report = halfbyte.convert(source, target, type="q4_k_m")
print(f"{report.bits_per_weight:.2f} bits per weight, KL {report.figures.kl_mean:.4f} nats")
for check in verify(Path(target)):
    print(f"{check.name}: {'as recorded' if check.is_same else check.detail}")
