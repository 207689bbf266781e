"""Text to token ids and back.

`vocabulary` is what a GGUF file or a folder states, `spm` and `bpe` cut text into ids, `tokenizer`
adds BOS and special tokens, `detokenizer` streams text from ids.
"""

from halfbyte.tokenizer.tokenizer import Tokenizer
from halfbyte.tokenizer.vocabulary import Vocabulary

__all__ = ["Tokenizer", "Vocabulary"]
