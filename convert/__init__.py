"""From a Hugging Face folder, or a GGUF file, to one GGUF file; `halfbyte.convert` is built on it.

folder -> sources.hf_folder (checked, lazy tensors) -> sources.hf_tensors (GGUF names, row order)
-> recipe (a type per tensor) -> kernels.quantizers -> writer (.part, then rename)
"""
