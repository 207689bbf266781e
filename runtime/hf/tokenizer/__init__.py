"""Tokenizers with transformers' interface: the same names, ids and texts.

`PreTrainedTokenizer` is what users call; CodeLlamaTokenizer, LlamaTokenizer and JSONTokenizer fill
in how a text becomes ids. It stands on `TokenTable` (special and added tokens) and is put together
of a vocabulary (`sentencepieces`, `json_tokenizer`), the options of a call (`encode_options`), rows
of ids (`encoding`), chat templates (`conversations`) and files (`saved_files`, `vocabularies`).
"""

from halfbyte.hf.tokenizer.code_llama_tokenizer import CodeLlamaTokenizer, CodeLlamaTokenizerFast
from halfbyte.hf.tokenizer.llama_tokenizer import LlamaTokenizer
from halfbyte.hf.tokenizer.pretrained_tokenizer import PreTrainedTokenizer

__all__ = [
    "CodeLlamaTokenizer",
    "CodeLlamaTokenizerFast",
    "LlamaTokenizer",
    "PreTrainedTokenizer",
]
