"""Infilling prompts of other families against their documented layouts.

The `tokenizers` package encodes the whole documented text with the special tokens in it;
sentencepiece encodes Codestral's parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.errors import RequestError, TokenizerError
from halfbyte.prompt.infill import InfillFormat, Repository, find_format, require_format
from halfbyte.tokenizer import Tokenizer

N_TEXT = 8000  # infill-10m's pieces before its markers
SPELLINGS = (
    *("<PRE>", " <SUF>", " <MID>", " <EOT>", " <EOT><EOT>", "<s>", "</s>", "<unk>", "▁<PRE>"),
    *("<|fim_prefix|>", "<|endoftext|>", "<fim_middle>", "<｜fim▁hole｜>", "[SUFFIX]", "[INST]"),
)


@dataclass(frozen=True)
class Documented:
    """A byte-level family as its documentation has it."""

    pre: str
    specials: tuple[str, ...]
    layouts: dict[str, str]
    stops: tuple[str, ...]
    bos: str = ""
    context: str = ""
    file: str = ""
    called: str = ""


FIM = ("<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>")
PSM = "<fim_prefix>{p}<fim_suffix>{s}<fim_middle>"
SPM = "<fim_prefix><fim_suffix>{s}<fim_middle>{p}"
FAMILIES = {
    "Qwen2.5-Coder": Documented(
        "qwen2",
        (
            *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>"),
            *("<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
        ),
        {"psm": "<|fim_prefix|>{p}<|fim_suffix|>{s}<|fim_middle|>"},
        ("<|endoftext|>", "<|im_end|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
        context="<|repo_name|>{name}\n{files}<|file_sep|>{current}\n",
        file="<|file_sep|>{path}\n{text}\n",
    ),
    "DeepSeek-Coder": Documented(
        "deepseek-coder",
        (
            *("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
            *("<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>"),
        ),
        {"psm": "<｜begin▁of▁sentence｜><｜fim▁begin｜>{p}<｜fim▁hole｜>{s}<｜fim▁end｜>"},
        ("<｜end▁of▁sentence｜>",),
        bos="<｜begin▁of▁sentence｜>",
    ),
    "Granite-code": Documented(
        "starcoder",
        ("<|endoftext|>", *FIM, "<filename>", "<reponame>"),
        {"psm": PSM, "spm": SPM},
        ("<|endoftext|>", "<fim_pad>", "<filename>"),
        context="<reponame>{name}{files}<filename>{current}\n",
        file="<filename>{path}\n{text}\n",
    ),
    "Granite 4": Documented(
        "qwen2",
        (
            *("<|end_of_text|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
            *("<|fim_pad|>", "<|filename|>", "<|reponame|>"),
        ),
        {"psm": "<|fim_prefix|>{p}<|fim_suffix|>{s}<|fim_middle|>"},
        ("<|end_of_text|>", "<|fim_pad|>", "<|filename|>"),
        context="<|reponame|>{name}{files}<|filename|>{current}\n",
        file="<|filename|>{path}\n{text}\n",
    ),
    "StarCoder2": Documented(
        "starcoder",
        ("<|endoftext|>", *FIM, "<repo_name>", "<file_sep>"),
        {"psm": PSM, "spm": SPM},
        ("<|endoftext|>", "<fim_pad>", "<file_sep>"),
        context="<repo_name>{name}{files}<file_sep>{current}\n",
        file="<file_sep>{path}\n{text}\n",
    ),
    "StarCoder": Documented(  # Refact's
        "starcoder",
        ("<|endoftext|>", *FIM),
        {"psm": PSM, "spm": SPM},
        ("<|endoftext|>", "<fim_pad>"),
    ),
    "Mellum": Documented(
        "starcoder",
        ("<|endoftext|>", *FIM, "<filename>", "<reponame>"),
        {"spm": "<fim_suffix>{s}<fim_prefix>{p}<fim_middle>"},
        ("<|endoftext|>", "<fim_pad>", "<filename>"),
        context="{files}<filename>{current}\n",
        file="<filename>{path}\n{text}\n",
        called="Mellum-4b-base",
    ),
    "Seed-Coder": Documented(
        "qwen2",
        ("<[end▁of▁sentence]>", "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"),
        {"spm": "<[fim-suffix]>{s}<[fim-prefix]>{p}<[fim-middle]>"},
        ("<[end▁of▁sentence]>",),
    ),
    "CodeGemma": Documented(
        "qwen2",
        (
            *("<eos>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
            "<|file_separator|>",
        ),
        {"psm": "<|fim_prefix|>{p}<|fim_suffix|>{s}<|fim_middle|>"},
        ("<eos>", "<|file_separator|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
        context="{files}<|file_separator|>{current}\n",
        file="<|file_separator|>{path}\n{text}\n",
    ),
    "GLM": Documented(
        "qwen2",
        (
            *("<|endoftext|>", "<|user|>", "<|code_prefix|>", "<|code_middle|>"),
            "<|code_suffix|>",
        ),
        {"psm": "<|code_prefix|>{p}<|code_suffix|>{s}<|code_middle|>"},
        ("<|endoftext|>", "<|user|>"),
    ),
}
WITH_REPOSITORIES = [name for name, family in FAMILIES.items() if family.context]


class Made:
    """A family's vocabulary as halfbyte reads it, and the package's tokenizer for it."""

    def __init__(self, vocabularies: Any, folder: Path, name: str, special_type: int) -> None:
        self.family, self.specials = FAMILIES[name], FAMILIES[name].specials
        made = vocabularies.train_byte_level(self.family.pre, self.specials)
        self.id_of = made.id_of
        self.parsed = made.tokenizer(parses=True)
        self.plain = made.tokenizer(parses=False)

        def fill(writer: gguf.GGUFWriter) -> None:
            writer.add_eos_token_id(made.id_of(self.family.stops[0]))
            if self.family.bos:
                writer.add_bos_token_id(made.id_of(self.family.bos))
                writer.add_add_bos_token(True)

        path = made.write(folder / "m.gguf", special_type=special_type, fill=fill)
        self.tokenizer = Tokenizer.from_path(path)
        self.format = require_format(self.tokenizer, [self.family.called])

    def documented(self, text: str) -> list[int]:
        """Ids of a text whose special tokens are meant."""
        return self.parsed.encode(text, add_special_tokens=False).ids


@pytest.fixture(scope="module", params=[3, 4], ids=["control", "user-defined"])
def special_type(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module", params=FAMILIES)
def made(
    request: pytest.FixtureRequest,
    special_type: int,
    vocabularies: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    return Made(vocabularies, tmp_path_factory.mktemp("fim"), request.param, special_type)


CODE = ("import os\n\ndef f(x):\n    retu", "\n\nprint(f(12, 'é'))\n")


def test_documented_layouts(made: Made) -> None:
    assert made.format.orders == tuple(made.family.layouts)
    for order, layout in made.family.layouts.items():
        for p, s in (CODE, ("", ""), ("x\n", ""), ("", "  y")):
            prompt = made.format.prompt(p, s, order=order)
            assert prompt.tokens == made.documented(layout.format(p=p, s=s))
            assert prompt.order == order


@settings(max_examples=25)
@given(
    *[st.lists(st.sampled_from([*SPELLINGS, "a\n", " x"]), max_size=4).map("".join)] * 2,
    st.sampled_from(["psm", "spm"]),
)
def test_documented_layouts_of_text_that_spells_markers(
    made: Made, prefix: str, suffix: str, order: str
) -> None:
    layout = made.family.layouts.get(order)
    if layout is None:
        return
    p, s = (made.plain.encode(text).ids for text in (prefix, suffix))
    expected: list[int] = []
    for part in layout.replace("{", "\0{").replace("}", "}\0").split("\0"):
        known = {"{p}": p, "{s}": s}.get(part)
        expected += made.documented(part) if known is None else known
    assert made.format.prompt(prefix, suffix, order=order).tokens == expected
    if not any(text in prefix + suffix for text in made.specials):
        meant = made.format.prompt(prefix, suffix, order=order, parse_markers=True)
        assert meant.tokens == expected


def test_special_tokens_can_be_meant(made: Made) -> None:
    order, layout = next(iter(made.family.layouts.items()))
    special = made.specials[0]
    prompt = made.format.prompt(f"a {special}", "b", order=order, parse_markers=True)
    assert prompt.tokens == made.documented(layout.format(p=f"a {special}", s="b"))


def test_every_familys_ends(made: Made) -> None:
    stops = {made.id_of(text) for text in made.family.stops}
    assert made.format.stop_ids | made.tokenizer.eog_ids == stops
    assert made.format.family.name in FAMILIES


def test_orders_that_a_family_was_not_trained_on(made: Made) -> None:
    for order in {"psm", "spm"} - set(made.family.layouts):
        only = next(iter(made.family.layouts))
        with pytest.raises(RequestError, match=f"{only} for {made.format.family.name}") as caught:
            made.format.prompt("a", "b", order=order)
        assert caught.value.param == "order"
    expected = "spm" if "spm" in made.family.layouts else "psm"
    assert made.format.prompt("a", "b").order == expected
    blank = "psm" if "psm" in made.family.layouts else "spm"
    assert made.format.prompt("a\n", "b").order == blank


@pytest.mark.parametrize("name", WITH_REPOSITORIES)
@pytest.mark.parametrize("file_end", ["\n", ""])
def test_documented_repositories(
    name: str, file_end: str, special_type: int, tmp_path: Path, vocabularies: Any
) -> None:
    made = Made(vocabularies, tmp_path, name, special_type)
    files = {"src/a.py": "x = 1\n\ny = 2", "b.py": "import a"}
    given = Repository({n: t + file_end for n, t in files.items()}, "src/main.py", "my/repo")
    texts = "".join(made.family.file.format(path=n, text=t) for n, t in files.items())
    context = made.family.context.format(name="my/repo", files=texts, current="src/main.py")
    p, s = CODE
    for order, layout in made.family.layouts.items():
        got = made.format.prompt(p, s, order=order, repository=given)
        assert got.tokens == made.documented(context + layout.format(p=p, s=s))
        # What is not given is left out.
        some = made.format.prompt(p, s, order=order, repository=Repository(files))
        assert some.tokens == made.documented(texts + layout.format(p=p, s=s))
        none = made.format.prompt(p, s, order=order, repository=Repository())
        assert none.tokens == made.documented(layout.format(p=p, s=s))


def test_other_files_that_spell_markers_stay_text(made: Made) -> None:
    spelled = "".join(made.specials)
    repository = Repository({spelled: spelled}, spelled, spelled)
    without = made.format.prompt("a", "b", repository=Repository({"x": "x"}, "x", "x")).tokens
    tokens = made.format.prompt("a", "b", repository=repository).tokens
    first = made.id_of(made.specials[0])
    assert [i for i in tokens if i >= first] == [i for i in without if i >= first]


def test_bos_is_put_where_the_file_wants_it(tmp_path: Path, vocabularies: Any) -> None:
    made = vocabularies.train_byte_level("qwen2", FAMILIES["Qwen2.5-Coder"].specials)
    for wanted in (None, False, True):

        def fill(writer: gguf.GGUFWriter, wanted: bool | None = wanted) -> None:
            writer.add_bos_token_id(made.id_of("<|endoftext|>"))
            if wanted is not None:
                writer.add_add_bos_token(wanted)

        tokenizer = Tokenizer.from_path(made.write(tmp_path / f"{wanted}.gguf", fill=fill))
        tokens = require_format(tokenizer).prompt("", "").tokens
        text = "<|fim_prefix|><|fim_suffix|><|fim_middle|>"
        expected = made.tokenizer(parses=True).encode(text).ids
        assert tokens == [made.id_of("<|endoftext|>")] * bool(wanted) + expected


@pytest.mark.parametrize("special_type", [3, 4])
def test_codestral_has_the_suffix_first_and_no_middle_marker(
    tmp_path: Path, vocabularies: Any, theirs: Any, special_type: int
) -> None:
    model = vocabularies.packaged_model()
    del model.pieces[N_TEXT:]
    for piece in ("[PREFIX]", "[SUFFIX]", "[MIDDLE]"):
        model.pieces.add(piece=piece, score=0.0, type=special_type)
    path = vocabularies.write_sentencepiece(tmp_path / "m.gguf", model)
    form = require_format(Tokenizer.from_path(path))
    assert (form.family.name, form.orders) == ("Codestral", ("spm",))
    for p, s in (CODE, ("", "x"), ("[SUFFIX]a", "[MIDDLE] [PREFIX]")):
        expected = [1, 8001, *theirs.inside(s), 8000, *(theirs.start(p) if p else [])]
        for order in ("auto", "spm"):
            prompt = form.prompt(p, s, order=order)
            assert (prompt.tokens, prompt.order) == (expected, "spm")
    files = Repository({"a.py": "x = 1\n", "b.go": "y"}, "c.py")
    before = "+++++ a.py\nx = 1\n\n+++++ b.go\ny\n\n+++++ c.py\n"
    expected = [1, 8001, *theirs.inside("s"), 8000, *theirs.start(f"{before}p")]
    assert form.prompt("p", "s", repository=files).tokens == expected
    with pytest.raises(RequestError, match="spm for Codestral"):
        form.prompt("a", "b", order="psm")


@pytest.mark.parametrize(
    ("repository", "param"),
    [
        ({"a.py": "x"}, "repository"),
        (Repository([("a.py", "x")]), "repository.files"),  # type: ignore[arg-type]
        (Repository({"a.py": b"x"}), "repository.files['a.py']"),  # type: ignore[dict-item]
        (Repository({1: "x"}), "repository.files"),  # type: ignore[dict-item]
        (Repository(current=None), "repository.current"),  # type: ignore[arg-type]
        (Repository(name=3), "repository.name"),  # type: ignore[arg-type]
    ],
)
def test_repositories_that_are_none(
    code_llama: InfillFormat, tmp_path: Path, vocabularies: Any, repository: Any, param: str
) -> None:
    qwen = Made(vocabularies, tmp_path, "Qwen2.5-Coder", 3).format
    for form in (code_llama, qwen):
        with pytest.raises(RequestError) as caught:
            form.prompt("a", "b", repository=repository)
        assert caught.value.param == param


def test_other_files_that_are_no_unicode(
    code_llama: InfillFormat, tmp_path: Path, vocabularies: Any
) -> None:
    qwen = Made(vocabularies, tmp_path, "Qwen2.5-Coder", 3).format
    for form in (code_llama, qwen):
        with pytest.raises(TokenizerError, match=r"repository\.files\['a'\]: .*surrogate at 1"):
            form.prompt("a", "b", repository=Repository({"a": "x\ud800"}))


NEW, OLD = ("fim_pre", "fim_suf", "fim_mid"), ("prefix", "suffix", "middle")


@pytest.mark.parametrize("names", [NEW, OLD])
def test_a_family_that_only_its_keys_describe(
    tmp_path: Path, vocabularies: Any, names: tuple[str, ...]
) -> None:
    specials = ("<end>", "<A>", "<B>", "<C>", "<D>")
    made = vocabularies.train_byte_level("gpt-2", specials)
    ids = dict(zip(names, map(made.id_of, "<A> <B> <C>".split()), strict=True))

    def write(name: str, **ids: int) -> Tokenizer:
        def fill(writer: gguf.GGUFWriter) -> None:
            for role, token in {**ids, "fim_sep": made.id_of("<D>")}.items():
                writer.add_uint32(f"tokenizer.ggml.{role}_token_id", token)

        return Tokenizer.from_path(made.write(tmp_path / name, fill=fill))

    form = require_format(write("all.gguf", **ids))
    text = "<A>x = <B>\n<C>"
    assert form.prompt("x = ", "\n").tokens == made.tokenizer(parses=True).encode(text).ids
    assert (form.orders, form.stop_ids) == (("psm",), {made.id_of("<D>")})
    plain = made.tokenizer(parses=False)
    assert form.prompt("<A>", "<C>").tokens == [
        *(made.id_of("<A>"), *plain.encode("<A>").ids),
        *(made.id_of("<B>"), *plain.encode("<C>").ids, made.id_of("<C>")),
    ]
    with pytest.raises(RequestError, match="psm for the family that the file's fim keys"):
        form.prompt("a", "b", order="spm")
    for left_out in ids:
        some = {name: token for name, token in ids.items() if name != left_out}
        assert find_format(write("some.gguf", **some)) is None
