"""From a Hugging Face folder, or a GGUF file, to one GGUF file: `convert` is `halfbyte.convert`.

folder -> sources.hf_folder (checked, lazy tensors) -> sources.hf_tensors (GGUF names, row order)
-> recipe (a type per tensor) -> kernels.quantizers -> writer (.part, then rename)
"""

from halfbyte.converting.convert import ConversionReport, convert

__all__ = ["ConversionReport", "convert"]
