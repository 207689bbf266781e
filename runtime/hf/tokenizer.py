"""Code Llama's tokenizer with the names, ids and texts of transformers' CodeLlamaTokenizer.

Plain text gets one space before it, and is searched for special tokens. A prompt with a suffix,
or with the fill token inside, is laid out for infilling instead, where nothing is searched for:

    prefix first    BOS ▁<PRE> prefix ▁<SUF> suffix ▁<MID>
    suffix first    BOS ▁<PRE> ▁<SUF> suffix ▁<MID> prefix

The suffix gets no space before it. What differs from Meta's code: an empty suffix gives plain
text, unless `empty_suffix_infills` says otherwise, and special tokens are found in plain text.

Source: the behaviour of transformers 4.33 to 4.57, tests/runtime/hf/test_tokenizer_golden.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from halfbyte.hf.errors import ArgumentError, FillMarkerError
from halfbyte.hf.tokenizer_added import token_text
from halfbyte.hf.tokenizer_llama import UNDERLINE, SentencePieceTokenizer
from halfbyte.hf.tokenizer_options import check_flag, refuse_unknown
from halfbyte.hf.tokenizer_settings import Settings
from halfbyte.tokenizer import Vocabulary
from halfbyte.tokenizer.tokenizer import check_text

_MARKERS = {"prefix": "▁<PRE>", "middle": "▁<MID>", "suffix": "▁<SUF>", "eot": "▁<EOT>"}


class CodeLlamaTokenizer(SentencePieceTokenizer):
    """Text to Code Llama's token ids and back, and prompts for infilling.

    Args:
        vocab_file: a tokenizer.model or a .gguf file.
        unk_token, bos_token, eos_token: special tokens.
        prefix_token, middle_token, suffix_token, eot_token: the infilling tokens; None, and any
            that the vocabulary lacks, are none, as for Code Llama 34B and Code Llama Python.
        fill_token: what stands for the place to fill in a prompt.
        suffix_first: the order of a prompt where a call says suffix_first=None.
        sp_model_kwargs: must be empty.
        add_bos_token, add_eos_token: what goes around each sequence.
        clean_up_tokenization_spaces: take spaces before punctuation out of decoded text.
        additional_special_tokens: more special tokens.
        use_default_system_prompt, legacy: kept for files, without effect.
        empty_suffix_infills: an empty suffix still gives an infilling prompt, as Meta's code
            does; transformers makes plain text of it.
        settings: see Settings.

    Raises:
        ModelFileError: the vocabulary cannot be read.
        RequestError: an unknown argument, or a value that cannot be.
    """

    _class_name = "CodeLlamaTokenizer"
    _text_options = ("suffix", "suffix_first")
    _plain_options: ClassVar = {"fills": False}

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Vocabulary,
        unk_token: Any = "<unk>",
        bos_token: Any = "<s>",
        eos_token: Any = "</s>",
        prefix_token: Any = "▁<PRE>",
        middle_token: Any = "▁<MID>",
        suffix_token: Any = "▁<SUF>",
        eot_token: Any = "▁<EOT>",
        fill_token: Any = "<FILL_ME>",
        suffix_first: bool = False,
        sp_model_kwargs: Mapping[str, Any] | None = None,
        add_bos_token: bool = True,
        add_eos_token: bool = False,
        clean_up_tokenization_spaces: bool = False,
        additional_special_tokens: Any = None,
        use_default_system_prompt: bool = False,
        *,
        legacy: bool | None = None,
        empty_suffix_infills: bool = False,
        **settings: Any,
    ) -> None:
        if sp_model_kwargs:
            raise ArgumentError("sp_model_kwargs", expected="nothing", got=sp_model_kwargs)
        self.add_bos_token = check_flag("add_bos_token", add_bos_token)
        self.add_eos_token = check_flag("add_eos_token", add_eos_token)
        self.fill_token = None if fill_token is None else token_text(fill_token)
        self.suffix_first = check_flag("suffix_first", suffix_first)
        self.use_default_system_prompt, self.legacy = use_default_system_prompt, legacy
        self.empty_suffix_infills = empty_suffix_infills
        given = (prefix_token, middle_token, suffix_token, eot_token)
        self._markers = {
            name: None if token is None else token_text(token, f"{name}_token")
            for name, token in zip(_MARKERS, given, strict=True)
        }
        settings |= {
            "unk_token": unk_token, "bos_token": bos_token, "eos_token": eos_token,
            "clean_up_tokenization_spaces": clean_up_tokenization_spaces,
        }  # fmt: skip
        if additional_special_tokens is not None:
            settings["additional_special_tokens"] = additional_special_tokens
        super().__init__(vocab_file, Settings.read(settings))

    def _take_tokens(self, settings: Settings) -> None:
        """Markers are special tokens where the vocabulary has them, and are never added to it."""
        added = set(map(token_text, (settings.added_tokens_decoder or {}).values()))
        for name, text in self._markers.items():
            if text is not None and self._base_id(text) is None and text not in added:
                self._markers[name] = None
        known = [text for text in self._markers.values() if text is not None]
        stated = map(token_text, settings.additional_special_tokens or ())
        missing = set(_MARKERS.values()).difference(known)
        settings.additional_special_tokens = [t for t in stated if t not in missing] + known
        super()._take_tokens(settings)

    # The infilling tokens.

    @property
    def prefix_token(self) -> str | None:
        """The text of the token before the prefix."""
        return self._markers["prefix"]

    @property
    def prefix_id(self) -> int | None:
        """The id of the token before the prefix."""
        return self.convert_tokens_to_ids(self._markers["prefix"])

    @property
    def middle_token(self) -> str | None:
        """The text of the token before the middle."""
        return self._markers["middle"]

    @property
    def middle_id(self) -> int | None:
        """The id of the token before the middle."""
        return self.convert_tokens_to_ids(self._markers["middle"])

    @property
    def suffix_token(self) -> str | None:
        """The text of the token before the suffix."""
        return self._markers["suffix"]

    @property
    def suffix_id(self) -> int | None:
        """The id of the token before the suffix."""
        return self.convert_tokens_to_ids(self._markers["suffix"])

    @property
    def eot_token(self) -> str | None:
        """The text of the token that ends a middle."""
        return self._markers["eot"]

    @property
    def eot_id(self) -> int | None:
        """The id of the token that ends a middle."""
        return self.convert_tokens_to_ids(self._markers["eot"])

    # Text to ids.

    def tokenize(  # type: ignore[override]  # transformers' names
        self,
        prefix: str,
        suffix: str | None = None,
        suffix_first: bool | None = False,
        **options: Any,
    ) -> list[str]:
        """The pieces of a text, or of a prompt for infilling.

        Args:
            prefix: a text; with a fill token inside, the two sides of the place to fill.
            suffix: what follows the place to fill.
            suffix_first: the order of a prompt; None does as the attribute says.
            options: `split_special_tokens`, to take special tokens' texts for text.

        Raises:
            FillMarkerError: more than one fill token.
            RequestError: the vocabulary has no infilling tokens.
        """
        is_split = options.pop("split_special_tokens", self.split_special_tokens)
        refuse_unknown(options, ("split_special_tokens", *self._text_options))
        stated = {"suffix": suffix, "suffix_first": suffix_first}
        return self.convert_ids_to_tokens(self._text_ids(prefix, is_split, stated))

    def _text_ids(self, text: str, is_split: bool, options: Mapping[str, Any]) -> list[int]:
        check_text(text)
        prefix, suffix = text, options.get("suffix")
        if suffix is None and self.fill_token and options.get("fills", True):
            prefix, suffix = self._sides(text)
        prefix = f"{UNDERLINE}{prefix.replace(UNDERLINE, ' ')}" if prefix else ""
        if suffix is None or not (suffix or self.empty_suffix_infills):
            return self._plain_ids(prefix, is_split)
        check_text(suffix, "suffix")
        order = options.get("suffix_first", False)
        return self._infill_ids(prefix, suffix, self.suffix_first if order is None else order)

    def _sides(self, text: str) -> tuple[str, str | None]:
        """What stands before and after the fill token; None after, where there is none."""
        parts = text.split(self.fill_token)
        if len(parts) > 2:
            raise FillMarkerError("text", expected=f"one {self.fill_token}", got=len(parts) - 1)
        return parts[0], parts[1] if len(parts) == 2 else None

    def _infill_ids(self, prefix: str, suffix: str, suffix_first: bool) -> list[int]:
        pre, mid, suf = self.prefix_id, self.middle_id, self.suffix_id
        if pre is None or mid is None or suf is None:
            raise ArgumentError(
                "suffix", expected="a model that infills", got="a vocabulary without infilling "
                "tokens", hint="Code Llama 34B and Code Llama Python cannot infill",
            )  # fmt: skip
        before, after = self._fragment_ids(prefix), self._fragment_ids(suffix)
        if suffix_first:
            return [pre, suf, *after, mid, *before]
        return [pre, *before, suf, *after, mid]

    def _config(self) -> dict[str, Any]:
        config = {
            **super()._config(),
            **{f"{name}_token": text for name, text in self._markers.items()},
            "fill_token": self.fill_token,
            "suffix_first": self.suffix_first,
            "use_default_system_prompt": self.use_default_system_prompt,
            "legacy": self.legacy,
            "sp_model_kwargs": {},
        }
        if self.empty_suffix_infills:
            config["empty_suffix_infills"] = True
        return config


# There is one class: transformers' fast tokenizer gives other ids for the same prompts.
CodeLlamaTokenizerFast = CodeLlamaTokenizer
