"""Code Llama's tokenizer with the names, ids and texts of transformers' CodeLlamaTokenizer.

Plain text gets one space before it, and is searched for special tokens. A prompt with a suffix,
or with the fill token inside, is laid out for infilling instead, where nothing is searched for:

    prefix first    BOS ▁<PRE> prefix ▁<SUF> suffix ▁<MID>
    suffix first    BOS ▁<PRE> ▁<SUF> suffix ▁<MID> prefix

The suffix gets no space before it. What differs from Meta's code: an empty suffix gives plain
text, unless `empty_suffix_infills` says otherwise, and special tokens are found in plain text.

Source: the behaviour of transformers 4.33 to 4.57, which test_code_llama_golden.py compares with.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.hf.alignment import Tokens
from halfbyte.hf.arguments import FLAGS, one_of
from halfbyte.hf.errors import FillMarkerError
from halfbyte.hf.tokenizer.added_tokens import read_tokens, token_text
from halfbyte.hf.tokenizer.pretrained_tokenizer import PreTrainedTokenizer
from halfbyte.hf.tokenizer.saved_files import MODEL_FILE, TOKENIZER_JSON
from halfbyte.hf.tokenizer.sentencepieces import UNDERLINE, SentencePieceModel
from halfbyte.hf.tokenizer.token_table import token_list
from halfbyte.tokenizer import Vocabulary
from halfbyte.tokenizer.tokenizer import check_text

_MARKERS = {"prefix": "▁<PRE>", "middle": "▁<MID>", "suffix": "▁<SUF>", "eot": "▁<EOT>"}


def _marker(name: str) -> tuple[property, property]:
    """An infilling token's text and id, which are None where the vocabulary lacks it."""

    def text(self: CodeLlamaTokenizer) -> str | None:
        return self._markers.get(name)

    def token_id(self: CodeLlamaTokenizer) -> int | None:
        return self.convert_tokens_to_ids(self._markers.get(name))

    return property(text), property(token_id)


class CodeLlamaTokenizer(PreTrainedTokenizer):
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
        arguments: see PreTrainedTokenizer.

    Raises:
        ModelFileError: the vocabulary cannot be read.
        RequestError: an unknown argument, or a value that cannot be.
    """

    vocabulary_files = (MODEL_FILE, TOKENIZER_JSON)
    class_name = "CodeLlamaTokenizer"
    text_options = ("suffix", "suffix_first")

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
        **arguments: Any,
    ) -> None:
        if sp_model_kwargs:
            raise RequestError("sp_model_kwargs", expected="nothing", got=sp_model_kwargs)
        self.add_bos_token = one_of("add_bos_token", add_bos_token, FLAGS)
        self.add_eos_token = one_of("add_eos_token", add_eos_token, FLAGS)
        self.fill_token = None if fill_token is None else token_text(fill_token)
        self.suffix_first = one_of("suffix_first", suffix_first, FLAGS)
        self.use_default_system_prompt, self.legacy = use_default_system_prompt, legacy
        self.empty_suffix_infills = empty_suffix_infills
        self._model = SentencePieceModel(vocab_file)
        self.vocab_file = self._model.vocabulary.path
        # Markers are special tokens where the vocabulary has them, and are never added to it.
        added = set(map(str, read_tokens(arguments.get("added_tokens_decoder")).values()))
        given = zip(_MARKERS, (prefix_token, middle_token, suffix_token, eot_token), strict=True)
        texts = {name: token_text(t, f"{name}_token") for name, t in given if t is not None}
        known = [t for t in texts.values() if t in added or self._model.id_of(t) is not None]
        self._markers = {name: text for name, text in texts.items() if text in known}
        missing = set(_MARKERS.values()).difference(known)
        name = "additional_special_tokens"
        stated = [token_text(t, name) for t in token_list(additional_special_tokens or ())]
        super().__init__(
            self._model, unk_token=unk_token, bos_token=bos_token, eos_token=eos_token,
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            additional_special_tokens=[t for t in stated if t not in missing] + known, **arguments,
        )  # fmt: skip

    prefix_token, prefix_id = _marker("prefix")
    middle_token, middle_id = _marker("middle")
    suffix_token, suffix_id = _marker("suffix")
    eot_token, eot_id = _marker("eot")

    # Text to ids.

    def tokenize(  # type: ignore[override]  # transformers' names
        self,
        prefix: str,
        suffix: str | None = None,
        suffix_first: bool | None = False,
        **options: Any,
    ) -> list[str]:
        """The pieces of a text, or of a prompt for infilling.

        With a fill token inside, `prefix` holds both sides of the place to fill. `suffix_first` is
        a prompt's order; None does as the attribute says.

        Raises:
            FillMarkerError: more than one fill token.
            RequestError: the vocabulary has no infilling tokens.
        """
        return super().tokenize(prefix, suffix=suffix, suffix_first=suffix_first, **options)

    def text_tokens(self, text: str, is_split: bool, options: Mapping[str, Any]) -> Tokens:
        """Tokens of one text or prompt, without BOS and EOS.

        A suffix that a call states is a sequence of its own, one that stands in the text is not.
        """
        check_text(text)
        prefix, suffix = text, options.get("suffix")
        if suffix is None and self.fill_token and options.get("fills", True):
            prefix, suffix = self._sides(text)
        prefix = prefix.replace(UNDERLINE, " ")
        spaced = f"{UNDERLINE}{prefix}" if prefix else ""
        if suffix is None or not (suffix or self.empty_suffix_infills):
            ids = self._model.to_ids(spaced, is_split, self)
            return self._model.tokens(ids, prefix, self, begins=True)
        check_text(suffix, "suffix")
        first, second = self._model.fragment_ids(spaced), self._model.fragment_ids(suffix)
        after = self._model.tokens(second, suffix, self)
        if options.get("suffix") is None:
            after = after.of(shift=len(text) - len(suffix))
        else:
            after = after.of(sequence=1)
        order = options.get("suffix_first", False)
        before = self._model.tokens(first, prefix, self, begins=True)
        return self._infilling(before, after, self.suffix_first if order is None else order)

    def _sides(self, text: str) -> tuple[str, str | None]:
        """What stands before and after the fill token; None after, where there is none."""
        parts = text.split(self.fill_token)
        if len(parts) > 2:
            raise FillMarkerError("text", expected=f"one {self.fill_token}", got=len(parts) - 1)
        return parts[0], parts[1] if len(parts) == 2 else None

    def _infilling(self, before: Tokens, after: Tokens, suffix_first: bool) -> Tokens:
        pre, mid, suf = self.prefix_id, self.middle_id, self.suffix_id
        if pre is None or mid is None or suf is None:
            raise RequestError(
                "suffix", expected="a model that infills", got="a vocabulary without infilling "
                "tokens", hint="Code Llama 34B and Code Llama Python cannot infill",
            )  # fmt: skip
        prefix, suffix, middle = (Tokens.of_marks([i]) for i in (pre, suf, mid))
        whole = Tokens()
        parts = (prefix, suffix, after, middle, before)
        for part in parts if suffix_first else (prefix, before, suffix, after, middle):
            whole.extend(part)
        return whole

    def saved_arguments(self) -> dict[str, Any]:
        """What tokenizer_config.json says beside tokens."""
        stated = {
            **super().saved_arguments(),
            **{f"{name}_token": self._markers.get(name) for name in _MARKERS},
            "fill_token": self.fill_token,
            "suffix_first": self.suffix_first,
            "use_default_system_prompt": self.use_default_system_prompt,
            "legacy": self.legacy,
            "sp_model_kwargs": {},
        }
        return stated | ({"empty_suffix_infills": True} if self.empty_suffix_infills else {})


# There is one class: transformers' fast tokenizer gives other ids for the same prompts.
CodeLlamaTokenizerFast = CodeLlamaTokenizer
