r"""halfbyte runs Code Llama and its relatives, quantized to 4 or 8 bits, on an ordinary CPU.

    import halfbyte

    with halfbyte.load("smollm2-135m") as model:
        print(model.complete("def gcd(a, b):\n    while b", stop="```").text)

Importing it compiles nothing, opens nothing and loads no other module: names are looked up when
they are first asked for. So the command hears Ctrl-C from its beginning.
"""

from __future__ import annotations

import sys

from halfbyte.import_lock import imported, importing, let_forks_wait

TYPE_CHECKING = False  # to checkers it is true, as typing's, which takes longer to import than this
if TYPE_CHECKING:
    from typing import Any

    from halfbyte.conversion import convert
    from halfbyte.converting.convert import ConversionReport
    from halfbyte.errors import (
        CacheFileError,
        ContextLengthError,
        ConversionError,
        DownloadError,
        EngineError,
        HalfbyteError,
        MissingFileError,
        ModelFileError,
        OutOfPagesError,
        RequestError,
        RequestTimeoutError,
        SettingError,
        TemplateError,
        TokenizerError,
        ToolCallError,
        UnsupportedModelError,
    )
    from halfbyte.generation.async_stream import AsyncCompletionStream
    from halfbyte.generation.candidate_stream import AsyncCandidateStream, CandidateStream
    from halfbyte.generation.chat_completion import ChatCompletion, Part, ToolCall
    from halfbyte.generation.completion import Completion, Infilling, Stats
    from halfbyte.generation.edit import Edit
    from halfbyte.generation.params import SamplingParams
    from halfbyte.generation.probabilities import TokenLogprob, TopToken
    from halfbyte.generation.score import Perplexity, Score
    from halfbyte.generation.stream import CompletionStream
    from halfbyte.hf.async_streamer import AsyncTextIteratorStreamer
    from halfbyte.hf.auto_model import AutoModelForCausalLM, LlamaForCausalLM
    from halfbyte.hf.auto_tokenizer import AutoTokenizer
    from halfbyte.hf.generation import set_seed
    from halfbyte.hf.generation_config import GenerationConfig
    from halfbyte.hf.pipeline import TextGenerationPipeline, pipeline
    from halfbyte.hf.pretrained_config import AutoConfig
    from halfbyte.hf.streamers import TextIteratorStreamer, TextStreamer
    from halfbyte.hf.tokenizer import CodeLlamaTokenizer, CodeLlamaTokenizerFast
    from halfbyte.loading import load
    from halfbyte.model import Model
    from halfbyte.models.catalogue import pull
    from halfbyte.prompt.edit.edit_request import Diagnostic, PastEdit
    from halfbyte.prompt.infill import Repository
    from halfbyte.tokenizer import Tokenizer

    __version__: str

_LAZY = {
    "halfbyte.conversion": ("convert",),
    "halfbyte.converting.convert": ("ConversionReport",),
    "halfbyte.errors": (
        "CacheFileError",
        "ContextLengthError",
        "ConversionError",
        "DownloadError",
        "EngineError",
        "HalfbyteError",
        "MissingFileError",
        "ModelFileError",
        "OutOfPagesError",
        "RequestError",
        "RequestTimeoutError",
        "SettingError",
        "TemplateError",
        "TokenizerError",
        "ToolCallError",
        "UnsupportedModelError",
    ),
    "halfbyte.generation.async_stream": ("AsyncCompletionStream",),
    "halfbyte.generation.candidate_stream": ("AsyncCandidateStream", "CandidateStream"),
    "halfbyte.generation.chat_completion": ("ChatCompletion", "Part", "ToolCall"),
    "halfbyte.generation.completion": ("Completion", "Infilling", "Stats"),
    "halfbyte.generation.edit": ("Edit",),
    "halfbyte.generation.params": ("SamplingParams",),
    "halfbyte.generation.probabilities": ("TokenLogprob", "TopToken"),
    "halfbyte.generation.score": ("Perplexity", "Score"),
    "halfbyte.generation.stream": ("CompletionStream",),
    "halfbyte.hf.async_streamer": ("AsyncTextIteratorStreamer",),
    "halfbyte.hf.auto_model": ("AutoModelForCausalLM", "LlamaForCausalLM"),
    "halfbyte.hf.auto_tokenizer": ("AutoTokenizer",),
    "halfbyte.hf.generation": ("set_seed",),
    "halfbyte.hf.generation_config": ("GenerationConfig",),
    "halfbyte.hf.pipeline": ("TextGenerationPipeline", "pipeline"),
    "halfbyte.hf.pretrained_config": ("AutoConfig",),
    "halfbyte.hf.streamers": ("TextIteratorStreamer", "TextStreamer"),
    "halfbyte.hf.tokenizer": ("CodeLlamaTokenizer", "CodeLlamaTokenizerFast"),
    "halfbyte.loading": ("load",),
    "halfbyte.model": ("Model",),
    "halfbyte.models.catalogue": ("pull",),
    "halfbyte.prompt.edit.edit_request": ("Diagnostic", "PastEdit"),
    "halfbyte.prompt.infill": ("Repository",),
    "halfbyte.tokenizer": ("Tokenizer",),
}
_MODULE_OF = {name: module for module, names in _LAZY.items() for name in names}

__all__ = [
    "AsyncCandidateStream",
    "AsyncCompletionStream",
    "AsyncTextIteratorStreamer",
    "AutoConfig",
    "AutoModelForCausalLM",
    "AutoTokenizer",
    "CacheFileError",
    "CandidateStream",
    "ChatCompletion",
    "CodeLlamaTokenizer",
    "CodeLlamaTokenizerFast",
    "Completion",
    "CompletionStream",
    "ContextLengthError",
    "ConversionError",
    "ConversionReport",
    "Diagnostic",
    "DownloadError",
    "Edit",
    "EngineError",
    "GenerationConfig",
    "HalfbyteError",
    "Infilling",
    "LlamaForCausalLM",
    "MissingFileError",
    "Model",
    "ModelFileError",
    "OutOfPagesError",
    "Part",
    "PastEdit",
    "Perplexity",
    "Repository",
    "RequestError",
    "RequestTimeoutError",
    "SamplingParams",
    "Score",
    "SettingError",
    "Stats",
    "TemplateError",
    "TextGenerationPipeline",
    "TextIteratorStreamer",
    "TextStreamer",
    "TokenLogprob",
    "Tokenizer",
    "TokenizerError",
    "ToolCall",
    "ToolCallError",
    "TopToken",
    "UnsupportedModelError",
    "__version__",
    "convert",
    "load",
    "pipeline",
    "pull",
    "set_seed",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    # What is here already takes no thread, which `except halfbyte.EngineError` may not get where
    # memory has run out.
    loaded = sys.modules.get(module) if module is not None else None
    if loaded is not None and hasattr(loaded, name):
        globals()[name] = getattr(loaded, name)
        return globals()[name]
    if module is not None or name == "__version__":
        let_forks_wait()
    if name == "__version__":
        with importing:
            value = _version()
    elif module is not None:
        with importing:
            from halfbyte.kernels.compiler.uninterrupted import uninterrupted

        # NumPy and Numba, once half imported, stay so for good.
        value = getattr(uninterrupted(lambda: imported(module)), name)
    else:
        raise AttributeError(f"module 'halfbyte' has no attribute {name!r}")
    globals()[name] = value
    return value


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("halfbyte")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
