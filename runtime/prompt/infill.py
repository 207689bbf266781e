"""Infilling: prefix and suffix laid out as a family was trained on them.

Two orders: prefix-first (PSM) and suffix-first (SPM), where the prefix stands last, so that the
model goes on inside a word or a line. Which layout a model has is read from its vocabulary, or from
its name where vocabularies do not tell; whether it was trained on one, infill_models.py knows.

infill_layouts.py has the families' tokens and layouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Literal, get_args

from halfbyte.call_arguments import check_choice
from halfbyte.errors import RequestError, UnsupportedModelError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.healing import n_healed
from halfbyte.prompt.infill_layouts import FAMILIES, Family
from halfbyte.prompt.infill_models import KNOWN, find_row
from halfbyte.prompt.inputs import EncodedPrompt
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.tokenizer import check_text

FILL_MARKER = "<FILL_ME>"
Order = Literal["psm", "spm"]
ORDERS = ("auto", "psm", "spm")
LONG_SUFFIX = 300  # characters, some 100 tokens


# A vocabulary whose GGUF keys name the tokens, though no family above spells them so.
_BY_KEYS = "the family that the file's fim keys describe"
_KEYS = {"P": "fim_pre", "S": "fim_suf", "M": "fim_mid"}
_STOP_ROLES = ("eot", "fim_pad", "fim_rep", "fim_sep")

_COMMENTS = {
    "//": "c cc cpp cs cu cxx dart go h hpp java js jsx kt m php proto rs scala swift ts tsx v zig",
    "--": "ada elm hs lua sql vhd vhdl",
    "%": "erl m4 pl tex",
    ";": "asm clj el lisp rkt s scm",
}
_COMMENT_OF = {ext: mark for mark, names in _COMMENTS.items() for ext in names.split()}


@dataclass(frozen=True, slots=True)
class Repository:
    """What else the model is shown beside the text around the cursor.

    Families with tokens for it (Qwen2.5-Coder, StarCoder2, ...) get repository and file names in
    their own layout. For the others each file becomes text before the prefix: a comment line with
    its name (Codestral's: `+++++ name`), its content, an empty line; then the current file's name,
    if there is one.

    Attributes:
        files: name -> content, in order; the nearest to the cursor's best come last.
        current: name of the file that is being edited.
        name: name of the repository.
        is_apart: whether a family without tokens for it gets the files before its markers, not in
            the prefix, so that they stay known whatever stands behind the cursor; the current
            file's name is left out then.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    current: str = ""
    name: str = ""
    is_apart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InfillPrompt(EncodedPrompt):
    """Token ids that ask for what belongs between two texts.

    Attributes:
        prefix, suffix: the texts, all of them.
        order: "psm" or "spm".
        n_prefix_dropped, n_suffix_dropped: characters at their far ends that are not in the ids.
        files_dropped: names of other files that are not.
    """

    prefix: str
    suffix: str
    order: Order
    n_prefix_dropped: int = 0
    n_suffix_dropped: int = 0
    files_dropped: tuple[str, ...] = ()


class InfillFormat:
    """Infilling as one vocabulary can do it.

    Attributes:
        family: whose tokens they are.
        orders: those it was trained on.
        stop_ids: tokens that end a middle, besides the tokenizer's `eog_ids`.
    """

    def __init__(self, tokenizer: Tokenizer, family: Family, ids: Mapping[str, int]) -> None:
        self._tokenizer, self.family, self._ids = tokenizer, family, ids
        self.orders: tuple[Order, ...] = tuple(
            name for name in get_args(Order) if getattr(family, name)
        )
        stops = {tokenizer.id_of(text) for text in family.stops}
        stops |= {tokenizer.vocabulary.special.get(role) for role in _STOP_ROLES}
        self.stop_ids = frozenset(i for i in stops if i is not None)

    def prompt(
        self,
        prefix: str,
        suffix: str,
        *,
        order: str = "auto",
        heal: bool = False,
        repository: Repository | None = None,
        parse_markers: bool = False,
    ) -> InfillPrompt:
        """The ids that ask for what stands between prefix and suffix.

        Args:
            prefix: the text before the cursor, may be empty.
            suffix: the text after it, likewise.
            order: "psm", "spm" or "auto", see `choose_order`.
            heal: whether the prefix may lose its last tokens, for the model to choose them anew.
            repository: other files.
            parse_markers: see Tokenizer.encode.

        Raises:
            RequestError: an order that the family was not trained on.
            TokenizerError: lone surrogates.
        """
        check_text(prefix, "prefix")
        check_text(suffix, "suffix")
        chosen = self._check_order(order, prefix, suffix)
        context, before = self._context(repository)
        tokenizer = self._tokenizer
        p = tokenizer.encode(before + prefix, add_bos=False, parse_markers=parse_markers)
        s = tokenizer.encode_fragment(suffix, parse_markers=parse_markers)
        n_text = _n_text(tokenizer, p, before, prefix)
        n_kept = len(p) - (n_healed(tokenizer, p, n_text=n_text) if heal else 0)
        p, taken_back = p[:n_kept], p[n_kept:]
        layout: str = getattr(self.family, chosen)
        if layout.endswith("M") and not p and tokenizer.adds_space:
            # The middle has no space put before it.
            taken_back = tokenizer.encode_fragment(prefix, parse_markers=parse_markers)
        parts = {"p": p, "s": s, **{letter: [i] for letter, i in self._ids.items()}}
        tokens = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
        tokens += context
        for letter in layout:
            tokens += parts[letter]
        return InfillPrompt(
            tokens=tokens, taken_back=tuple(taken_back), stop_ids=self.stop_ids,
            prefix=prefix, suffix=suffix, order=chosen,
        )  # fmt: skip

    def _check_order(self, order: str, prefix: str, suffix: str) -> Order:
        check_choice("order", order, ORDERS)
        if order == "auto":
            wanted = choose_order(prefix, suffix)
            return wanted if wanted in self.orders else self.orders[0]
        for known in self.orders:
            if known == order:
                return known
        raise RequestError(
            "order", expected=f"{' or '.join(self.orders)} for {self.family.name}", got=order
        )

    def _context(self, repository: Repository | None) -> tuple[list[int], str]:
        """Ids before the prompt, and text before the prefix, that show the other files."""
        if repository is None:
            return [], ""
        check_repository(repository)
        repo, file = (self._tokenizer.id_of(t) for t in (self.family.repo, self.family.file))
        if file is None and repository.is_apart:
            text = _plain_context(replace(repository, current=""), self.family.file_line)
            return self._tokenizer.encode(text, add_bos=False), ""
        if file is None:
            return [], _plain_context(repository, self.family.file_line)
        ids: list[int] = []
        fragment = self._tokenizer.encode_fragment
        if repo is not None and repository.name:
            ids += [repo, *fragment(repository.name + self.family.repo_end)]
        for name, text in repository.files.items():
            ids += [file, *fragment(f"{name}\n{text}" + ("" if text.endswith("\n") else "\n"))]
        if repository.current:
            ids += [file, *fragment(f"{repository.current}\n")]
        return ids, ""


def choose_order(prefix: str, suffix: str = "") -> Order:
    """The better order for a cursor between these texts.

    Suffix-first where the cursor's line has begun, so that it is inside a word or a line: there
    the prefix stands last and the model goes on from it. Suffix-first also before a long suffix,
    which would be new work with every keystroke if it stood behind the prefix (docs/infilling.md).
    Prefix-first on a blank line otherwise.
    """
    line = prefix[prefix.rfind("\n") + 1 :]
    return "spm" if line.strip() or len(suffix) >= LONG_SUFFIX else "psm"


def split_marker(prompt: str) -> tuple[str, str]:
    """Prefix and suffix of a text with one <FILL_ME>.

    Raises:
        RequestError: none, or more than one.
    """
    check_text(prompt, "prompt")
    parts = prompt.split(FILL_MARKER)
    if len(parts) != 2:
        raise RequestError(
            "prompt",
            expected=f"one {FILL_MARKER}, where text is wanted",
            got=f"{len(parts) - 1} of them",
            hint=f"write {FILL_MARKER} there, or give prefix and suffix apart"
            if len(parts) < 2
            else "",
        )
    return parts[0], parts[1]


def find_format(tokenizer: Tokenizer, names: Sequence[str] = ()) -> InfillFormat | None:
    """Infilling with this vocabulary, or None where it has no tokens for it.

    A family is known by its tokens' text. Where the file's keys name the tokens, these are taken.

    Args:
        tokenizer: the model's.
        names: what the model is called; some families share their tokens with others.
    """
    special = tokenizer.vocabulary.special
    named = {letter: special[role] for letter, role in _KEYS.items() if role in special}
    row = find_row(names)[1]
    layout = "" if row is None else row.layout
    for family in FAMILIES:
        if family.by_name and family.name != layout:
            continue
        if family.file and tokenizer.id_of(family.file) is None:
            continue
        texts = {"P": family.prefix, "S": family.suffix, "M": family.middle}
        found = {k: i for k, text in texts.items() if (i := tokenizer.id_of(text)) is not None}
        if all(letter in found for letter, text in texts.items() if text):
            return InfillFormat(tokenizer, family, found | named)
    if len(named) == len(_KEYS):
        prefix, suffix, middle = (tokenizer.piece(named[letter]) for letter in "PSM")
        family = Family(_BY_KEYS, prefix, suffix, middle)
        return InfillFormat(tokenizer, family, named)
    return None


def require_format(tokenizer: Tokenizer, names: Sequence[str] = ()) -> InfillFormat:
    """Infilling with this vocabulary; see find_format.

    Raises:
        UnsupportedModelError: it has no tokens for it; the text names models that have.
    """
    found = find_format(tokenizer, names)
    if found is None:
        raise UnsupportedModelError(
            tokenizer.path,
            "infilling",
            expected="infilling tokens in the vocabulary",
            got="none",
            hint=f"{KNOWN} have them",
        )
    return found


def check_repository(repository: object) -> None:
    """RequestError where it is no Repository of texts; TokenizerError: lone surrogates."""
    if not isinstance(repository, Repository):
        raise RequestError("repository", expected="a Repository", got=repository)
    files: object = repository.files
    if not isinstance(files, Mapping):
        raise RequestError("repository.files", expected="a mapping of names to texts", got=files)
    for name, text in files.items():
        check_text(name, "repository.files")
        check_text(text, f"repository.files[{name!r}]")
    check_text(repository.current, "repository.current")
    check_text(repository.name, "repository.name")


def _plain_context(repository: Repository, mark: str) -> str:
    """Other files as text before the prefix, each below a line with its name."""
    parts = []
    for name, text in repository.files.items():
        end = "\n" if text.endswith("\n") else "\n\n"
        parts.append(f"{mark or _comment(name)} {name}\n{text}{end}")
    if repository.current:
        parts.append(f"{mark or _comment(repository.current)} {repository.current}\n")
    return "".join(parts)


def _comment(name: str) -> str:
    return _COMMENT_OF.get(name.rpartition(".")[2].lower(), "#")


def _n_text(tokenizer: Tokenizer, ids: list[int], before: str, prefix: str) -> int:
    """How many of the last ids may be healed: those that lie in the prefix itself."""
    if not before:
        return len(ids)
    n_nbytes, n = len(prefix.encode()), 0
    for token in reversed(ids):
        n_nbytes -= len(tokenizer.token_bytes(token))
        if n_nbytes < 0:
            break
        n += 1
    return n
