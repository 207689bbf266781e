"""Families that infill: their tokens, and the layouts that they were trained on.

Sources: Bavarian et al., "Efficient Training of Language Models to Fill in the Middle" (2022);
Rozière et al., "Code Llama" (2023), section 2.3, and its published llama/generation.py; Lozhkov et
al., "StarCoder 2" (2024), section 5.1; "CodeGemma" (2024), table 1; "Mellum" (2025), section 3; the
model cards of the other families; for GLM, the tokens that llama.cpp knows.
"""

from __future__ import annotations

from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """The infilling tokens of a family of models, by their text.

    Attributes:
        name: what its users call it.
        prefix, suffix, middle: markers; a family without a middle marker has an empty one.
        psm, spm: the order of the parts, or empty where the family was not trained on it; P, S
            and M are the markers, p and s the texts.
        stops: tokens that end the middle, besides those that end any text.
        repo, file: markers before a repository's and a file's name; empty: a line of text.
        repo_end: what follows the repository's name.
        file_line: what a line of text with a file's name begins with; empty: a comment's mark.
        by_name: whether another family's vocabulary looks the same, so that the model's name
            decides; see infill_models.Row.
    """

    name: str
    prefix: str
    suffix: str
    middle: str
    psm: str = "PpSsM"
    spm: str = ""
    stops: tuple[str, ...] = ()
    repo: str = ""
    file: str = ""
    repo_end: str = ""
    file_line: str = ""
    by_name: bool = False


FAMILIES = (
    Family("Code Llama", "▁<PRE>", "▁<SUF>", "▁<MID>", spm="PSsMp", stops=("▁<EOT>",)),
    Family(
        "Qwen2.5-Coder", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
        stops=("<|endoftext|>", "<|fim_pad|>", "<|file_sep|>", "<|repo_name|>"),
        repo="<|repo_name|>", repo_end="\n", file="<|file_sep|>",
    ),
    Family(
        "CodeGemma", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
        stops=("<|file_separator|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
        file="<|file_separator|>",
    ),
    Family("DeepSeek-Coder", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    Family(
        "Mellum", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", psm="", spm="SsPpM",
        stops=("<|endoftext|>", "<fim_pad>", "<filename>"), file="<filename>", by_name=True,
    ),
    Family(
        "Granite-code", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", spm="PSsMp",
        stops=("<|endoftext|>", "<fim_pad>", "<filename>"), repo="<reponame>", file="<filename>",
    ),
    Family(
        "Granite 4", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
        stops=("<|end_of_text|>", "<|fim_pad|>", "<|filename|>"), repo="<|reponame|>",
        file="<|filename|>",
    ),
    Family(
        "StarCoder2", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", spm="PSsMp",
        stops=("<|endoftext|>", "<fim_pad>", "<file_sep>"), repo="<repo_name>", file="<file_sep>",
    ),
    Family(
        "StarCoder", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", spm="PSsMp",
        stops=("<|endoftext|>", "<fim_pad>"),
    ),
    Family(
        "Seed-Coder", "<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>", psm="", spm="SsPpM",
    ),
    Family(
        "GLM", "<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>",
        stops=("<|endoftext|>", "<|user|>"),
    ),
    Family("Codestral", "[PREFIX]", "[SUFFIX]", "", psm="", spm="SsPp", file_line="+++++"),
)  # fmt: skip
