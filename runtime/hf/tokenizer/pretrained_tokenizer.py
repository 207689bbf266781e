"""What all tokenizers with transformers' interface do with texts, chats and files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from halfbyte.call_arguments import check_path
from halfbyte.errors import RequestError
from halfbyte.hf.alignment import Tokens
from halfbyte.hf.arguments import SIDES, Side, argument_names, one_of
from halfbyte.hf.batch import BatchEncoding, to_lists
from halfbyte.hf.tokenizer import conversations, encoding, saved_files
from halfbyte.hf.tokenizer.added_tokens import read_tokens
from halfbyte.hf.tokenizer.encode_options import EncodeOptions, refuse_unknown
from halfbyte.hf.tokenizer.roles import ROLES
from halfbyte.hf.tokenizer.token_table import Pieces, TokenTable

log = logging.getLogger(__name__)

_T = TypeVar("_T", bound="PreTrainedTokenizer")

NO_LENGTH = int(1e30)  # transformers' number for a length that is not known
_CLEAN_UP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


class PreTrainedTokenizer(TokenTable):
    """The interface, which `CodeLlamaTokenizer` and its siblings fill in.

    Arguments, most of them attributes too:
        pieces: the model's vocabulary.
        name_or_path: what it was loaded from.
        model_max_length: tokens that the model can take; None: not known.
        padding_side, truncation_side: "right" or "left".
        clean_up_tokenization_spaces: what `decode` does unless asked otherwise.
        split_special_tokens: special tokens' texts are text.
        chat_template: Jinja source, several of them by name, or None.
        model_input_names: what an encoding holds unless asked otherwise.
        added_tokens_decoder: tokens that text is searched for, by id.
        additional_special_tokens: special tokens without a role.
        special: role -> token, as "pad_token".

    Raises:
        RequestError: an unknown argument, or a value that cannot be.
    """

    is_fast = True  # encodings tell which characters a token stands for
    vocabulary_files: ClassVar[tuple[str, ...]]  # what is looked for in a folder, and written
    class_name: ClassVar[str]  # in transformers' files

    def __init__(
        self, pieces: Pieces, *, name_or_path: str = "", model_max_length: int | None = None,
        padding_side: Side = "right", truncation_side: Side = "right",
        clean_up_tokenization_spaces: bool = False, split_special_tokens: bool = False,
        chat_template: Any = None, model_input_names: Any = ("input_ids", "attention_mask"),
        added_tokens_decoder: Any = None, additional_special_tokens: Any = None, **special: Any,
    ) -> None:  # fmt: skip
        old_name = special.pop("max_len", NO_LENGTH)
        model_max_length = old_name if model_max_length is None else model_max_length
        if not isinstance(model_max_length, (int, float)) or model_max_length < 1:
            expected = "a whole number from 1"
            raise RequestError("model_max_length", expected=expected, got=model_max_length)
        if not isinstance(model_input_names, (list, tuple)):
            raise RequestError("model_input_names", expected="a list", got=repr(model_input_names))
        known = argument_names(ROLES, PreTrainedTokenizer)
        for name in special:
            if name not in known and name not in saved_files.WITHOUT_EFFECT:
                hint = f"beside its own these are {', '.join(sorted(known))}"
                expected = "an argument that this tokenizer has"
                raise RequestError(name, expected=expected, got=name, hint=hint)
        self.name_or_path = name_or_path
        self.model_max_length = int(model_max_length)
        self.padding_side = one_of("padding_side", padding_side, SIDES)
        self.truncation_side = one_of("truncation_side", truncation_side, SIDES)
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.split_special_tokens = split_special_tokens
        self.chat_template = conversations.read_templates(chat_template)
        self.model_input_names = list(model_input_names)
        super().__init__(
            pieces, read_tokens(added_tokens_decoder),
            {name: special.get(name) for name in ROLES}, additional_special_tokens,
        )  # fmt: skip

    def __repr__(self) -> str:
        shown = (
            "name_or_path", "vocab_size", "model_max_length", "is_fast", "padding_side",
            "truncation_side", "clean_up_tokenization_spaces",
        )  # fmt: skip
        facts = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__name__}({facts}, special_tokens={self.special_tokens_map!r})"

    # Files.

    @classmethod
    def from_pretrained(
        cls: type[_T], pretrained_model_name_or_path: str | os.PathLike[str], **arguments: Any
    ) -> _T:
        """The tokenizer of a model.

        Args:
            pretrained_model_name_or_path: a folder, a vocabulary file, a .gguf file, or a name
                that `halfbyte.load` takes.
            arguments: the constructor's, which win over the folder's files;
                `local_files_only=True` pulls nothing.

        Raises:
            RequestError: an unknown argument, or neither a path nor a name.
            ModelFileError: nothing usable lies there.
        """
        path, given = saved_files.locate(pretrained_model_name_or_path, arguments)
        with saved_files.naming_the_file(path, given):
            source, stated = cls.read(path, given)
            return cls.build(source, stated, given, os.fspath(pretrained_model_name_or_path))

    @classmethod
    def read(cls, path: Path, given: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """What the constructor takes for a path: a vocabulary, and arguments stated or given."""
        return saved_files.read(path, cls.vocabulary_files, given)

    @classmethod
    def build(
        cls: type[_T], source: Any, stated: Mapping[str, Any], given: Mapping[str, Any], name: str
    ) -> _T:
        """The tokenizer of what `read` gives; names that only files state may mean nothing here."""
        known = argument_names(ROLES, cls, PreTrainedTokenizer)
        arguments = {key: v for key, v in stated.items() if key in known or key in given}
        return cls(source, **{"name_or_path": name, **arguments})

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...] | None:
        """Write the vocabulary's own file; its path, or None, logged, where there is no folder."""
        folder = Path(check_path("save_directory", save_directory))
        if not folder.is_dir():
            log.error("%s is no folder: the vocabulary is not saved", folder)
            return None
        path = str(folder / saved_files.prefixed(filename_prefix, self.vocabulary_files[0]))
        self._pieces.save(path)
        return (path,)

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write all files of the tokenizer into a folder, which is made if need be.

        Returns:
            The paths of tokenizer_config.json, special_tokens_map.json, the vocabulary's files
            and added_tokens.json, which is only written where tokens were added.

        Raises:
            RequestError: the path is a file.
        """
        folder, stated = Path(check_path("save_directory", save_directory)), self.saved_arguments()
        config, special, added = saved_files.save(self, stated, folder, filename_prefix)
        vocabulary = self.save_vocabulary(folder, filename_prefix) or ()
        return (config, special, *vocabulary, added)

    def saved_arguments(self) -> dict[str, Any]:
        """What tokenizer_config.json says beside tokens."""
        names = (
            "add_bos_token", "add_eos_token", "clean_up_tokenization_spaces", "model_max_length",
            "model_input_names", "padding_side", "truncation_side", "split_special_tokens",
        )  # fmt: skip
        stated = {name: getattr(self, name) for name in names}
        templates = conversations.saved_templates(self.chat_template)
        return {"tokenizer_class": self.class_name, **stated, **templates}

    # Text to ids.

    def tokenize(self, text: str, **options: Any) -> list[str]:
        """The pieces of a text; `split_special_tokens` takes special tokens' texts for text."""
        is_split = options.pop("split_special_tokens", self.split_special_tokens)
        refuse_unknown(options, ("split_special_tokens", *self.text_options))
        return self.convert_ids_to_tokens(self.text_tokens(text, is_split, options).ids)

    def __call__(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        """Encode a text, a pair of texts, or a list of either.

        Args:
            text: a text or a list of texts; with `is_split_into_words`, lists of words.
            text_pair: what follows each text as its second sequence.
            options: those of EncodeOptions, and a model's own, such as `suffix`.

        Raises:
            RequestError: an unknown option, or a value that cannot be.
            TokenizerError: text with lone surrogates.
        """
        words, is_list = bool(options.get("is_split_into_words")), isinstance(text, (list, tuple))
        if is_list and not (words and not (text and isinstance(text[0], (list, tuple)))):
            return self.batch_encode_plus(encoding.zip_pairs(text, text_pair), **options)
        if not isinstance(text, str) and not is_list:  # ids and pieces are for `encode`
            raise RequestError("text", expected="a text or a list of texts", got=repr(text))
        return self.encode_plus(text, text_pair, **options)

    def encode(
        self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **options: Any
    ) -> Any:
        """The ids of a text: a list, or an array where `return_tensors` asks for one.

        Args:
            text: a text, or a list of pieces or of ids.
            text_pair: the second sequence.
            add_special_tokens: put BOS and EOS where the model wants them.
            options: see __call__, also for what is raised.
        """
        options["add_special_tokens"] = add_special_tokens
        return self.encode_plus(text, text_pair, **options)["input_ids"]

    def encode_plus(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        """Encode one text or one pair; see __call__ and encode."""
        return encoding.encode(self, "text", [(text, text_pair)], options, is_batch=False)

    def batch_encode_plus(
        self, batch_text_or_text_pairs: Sequence[Any], **options: Any
    ) -> BatchEncoding:
        """Encode a list of texts or of pairs; see __call__."""
        name, words = "batch_text_or_text_pairs", bool(options.get("is_split_into_words"))
        pairs = encoding.split_pairs(name, batch_text_or_text_pairs, words)
        return encoding.encode(self, name, pairs, options, is_batch=True)

    def prepare_for_model(
        self, ids: Sequence[int], pair_ids: Sequence[int] | None = None, *,
        prepend_batch_axis: bool = False, **options: Any,
    ) -> BatchEncoding:  # fmt: skip
        """Put BOS and EOS to ids, cut, fill and make arrays; see __call__ for the options."""
        chosen, _ = EncodeOptions.read(options, self)
        pair = Tokens.of_ids(ids), None if pair_ids is None else Tokens.of_ids(pair_ids)
        return encoding.finish(self, [pair], chosen, is_batch=False, has_axis=prepend_batch_axis)

    def pad(
        self, encoded_inputs: Any, padding: bool | str = True, max_length: int | None = None,
        pad_to_multiple_of: int | None = None, padding_side: str | None = None,
        return_attention_mask: bool | None = None, return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:  # fmt: skip
        """Fill encoded sequences up to one length; arrays stay arrays of their kind.

        `encoded_inputs` is a mapping with `input_ids`, one sequence or several, or a list of
        mappings; what follows is as in EncodeOptions.

        Raises:
            RequestError: there are no ids, there is no pad token, or lengths differ.
        """
        options = {
            "padding": padding, "max_length": max_length, "truncation": False, "verbose": verbose,
            "pad_to_multiple_of": pad_to_multiple_of, "padding_side": padding_side,
            "return_attention_mask": return_attention_mask, "return_tensors": return_tensors,
        }  # fmt: skip
        return encoding.pad(self, encoded_inputs, options)

    def apply_chat_template(
        self, conversation: Sequence[Any], tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None, chat_template: str | None = None,
        add_generation_prompt: bool = False, continue_final_message: bool = False,
        tokenize: bool = True, return_dict: bool = False, **options: Any,
    ) -> Any:  # fmt: skip
        """A conversation as the text or the ids that the model was trained on.

        Special tokens are those that the template writes; none are added.

        Args:
            conversation: messages with `role` and `content`, or a list of conversations.
            tools: for the template, as JSON objects.
            documents: for the template, as JSON objects.
            chat_template: Jinja source, or the name of one of the model's templates.
            add_generation_prompt: end with what begins an answer.
            continue_final_message: end within the last message, for the model to go on.
            tokenize: ids rather than text.
            return_dict: the whole encoding rather than the ids.
            options: EncodeOptions' `padding`, `truncation`, `max_length` and `return_tensors`,
                with others in `tokenizer_kwargs`; the rest are variables for the template.

        Returns:
            The text, the ids or the encoding; a list of them for a list of conversations.

        Raises:
            RequestError: options that exclude each other, or no template.
            TemplateError: the template does not compile, or fails.
        """
        if return_dict and not tokenize:
            raise RequestError("return_dict", expected="False where tokenize is False")
        encode_options = conversations.take_encode_options(options)
        chats, is_batch = conversations.split_batch(conversation)
        source = self.get_chat_template(chat_template, tools)
        variables = {
            **self.special_tokens_map, "tools": tools, "documents": documents,
            "add_generation_prompt": add_generation_prompt, **options,
        }  # fmt: skip
        name, goes_on = str(self.name_or_path), continue_final_message
        texts = conversations.render(source, name, chats, variables, goes_on=goes_on)
        if not tokenize:
            return texts if is_batch else texts[0]
        encoded = encoding.encode(
            self, "conversation", [(text, None) for text in texts], encode_options,
            is_batch=is_batch, is_plain=True,
        )  # fmt: skip
        return encoded if return_dict else encoded["input_ids"]

    def get_chat_template(self, chat_template: str | None = None, tools: Any = None) -> str:
        """The Jinja source that `apply_chat_template` uses; raises RequestError for lack of one."""
        return conversations.choose_template(self.chat_template, chat_template, tools is not None)

    # Ids to text.

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None, **options: Any,
    ) -> Any:  # fmt: skip
        """The text of ids, or a list of the texts of several sequences.

        Args:
            token_ids: an id, or a list or array of ids, or of sequences of them.
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: take spaces before punctuation out; None does as the
                tokenizer's attribute says.
            options: `spaces_between_special_tokens`, True unless said otherwise: set added tokens
                off by spaces.

        Raises:
            RequestError: not ids, or an unknown option.
            TokenIdError: an id that the vocabulary does not have.
        """
        refuse_unknown(options, ("spaces_between_special_tokens", "use_source_tokenizer"))
        ids, cleans = to_lists(token_ids), clean_up_tokenization_spaces
        if isinstance(ids, list) and ids and all(isinstance(item, list) for item in ids):
            return [self.decode(one, skip_special_tokens, cleans, **options) for one in ids]
        ids = encoding.one_sequence(ids)
        spaces = bool(options.get("spaces_between_special_tokens", True))
        text = self._pieces.decode(ids, self, skip_special_tokens, spaces)
        cleans = self.clean_up_tokenization_spaces if cleans is None else cleans
        return self.clean_up_tokenization(text) if cleans else text

    def batch_decode(
        self, sequences: Iterable[Any], skip_special_tokens: bool = False, **options: Any
    ) -> list[str]:
        """The texts of several sequences; see `decode`."""
        return [self.decode(ids, skip_special_tokens, **options) for ids in sequences]

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """A text without spaces before English punctuation and contractions."""
        for spaced, tight in _CLEAN_UP:
            out_string = out_string.replace(spaced, tight)
        return out_string
