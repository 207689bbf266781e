"""The whole Llama forward pass in float64 NumPy: what a GGUF file's weights say, without rounding.

The yardstick for quality, shared by benchmarks and tests. It reads the file with the `gguf`
package and shares no code with halfbyte, so a mistake in either shows. Weights are dequantized
(to float32, exactly) and everything after that is float64: no quantized activations, no cache.
Plain rather than fast: about 15 seconds for 512 tokens of a 135M model.

Source: the papers' equations (YaRN and LongRoPE among them) and the families' model cards, of which
an operation is done where a file has its tensors or its number; q and k as llama.cpp stores them,
linear.weight as (out, in).
"""

from .model import ReferenceModel
from .model_file import F64

__all__ = ["F64", "ReferenceModel"]
