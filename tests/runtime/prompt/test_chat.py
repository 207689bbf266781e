"""Conversations to ids: Code Llama's layouts, detection, refusals, and templates of files."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.errors import RequestError, TemplateError, TokenizerError, UnsupportedModelError
from halfbyte.prompt.chat import chat_prompt, detect_format
from halfbyte.tokenizer import Tokenizer

EOT, STEP = 8010, 8016
LLAMA_2 = "{% if messages %}[INST] <<SYS>> {{ messages }}{% endif %}"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTENT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [" <EOT>", "<s>x</s>", "  padded \n", "", "▁<PRE>", "\u2003a\u2003", "[INST", "/INST]"]
)


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


system, user, assistant = (partial(message, role) for role in ("system", "user", "assistant"))


@pytest.fixture(scope="module")
def write(vocabularies: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Tokenizer]:
    """infill-10m's vocabulary with a chat template, and a step token if asked for."""
    folder = tmp_path_factory.mktemp("chat")

    def write(template: str | None = None, *, has_step: bool = False) -> Tokenizer:
        model = vocabularies.packaged_model()
        if has_step:
            model.pieces.add(piece="<step>", score=0.0, type=3)

        def fill(writer: gguf.GGUFWriter) -> None:
            vocabularies.add_sentencepiece(writer, model)
            if template is not None:
                writer.add_chat_template(template)

        return Tokenizer.from_path(vocabularies.write_gguf(folder / "m.gguf", fill))

    return write


@pytest.fixture(scope="module")
def llama_2(write: Callable[..., Tokenizer]) -> Tokenizer:
    return write(LLAMA_2)


@pytest.fixture(scope="module")
def codellama_70b(write: Callable[..., Tokenizer]) -> Tokenizer:
    return write(has_step=True)


@pytest.fixture(scope="module")
def start(vocabularies: Any) -> Callable[[str], list[int]]:
    """Sentencepiece's ids of a text on its own; it knows no markers."""
    model = vocabularies.packaged_model()
    markers = [piece.piece for piece in model.pieces[8000:]]
    return vocabularies.processor(model, dummy_prefix=True, without=markers).encode


@settings(max_examples=60)
@given(st.lists(CONTENT, min_size=1, max_size=5).filter(lambda parts: len(parts) % 2 == 1))
def test_inst_turns(
    llama_2: Tokenizer, start: Callable[[str], list[int]], parts: list[str]
) -> None:
    turns, expected = [], []
    for i, content in enumerate(parts):
        turns.append(assistant(content) if i % 2 else user(content))
    for asked, answered in zip(parts[::2], parts[1::2], strict=False):
        turn = start(f"[INST] {asked.strip()} [/INST] {answered.strip()} ")
        expected += [1, *turn, 2]
    expected += [1, *start(f"[INST] {parts[-1].strip()} [/INST]")]
    for form in ("auto", "llama-2"):
        prompt = chat_prompt(llama_2, turns, format=form)
        assert (prompt.tokens, prompt.format) == (expected, "llama-2")
        assert prompt.stop_ids == set()


def test_a_system_message_stands_in_the_first_turn(
    llama_2: Tokenizer, start: Callable[[str], list[int]]
) -> None:
    first = "[INST] <<SYS>>\n be brief\n<</SYS>>\n\n hi [/INST]"
    one = chat_prompt(llama_2, [system(" be brief"), user(" hi ")])
    assert one.tokens == [1, *start(first)]
    more = chat_prompt(llama_2, [system(" be brief"), user(" hi "), assistant("a"), user("b")])
    assert more.tokens == [1, *start(f"{first} a "), 2, 1, *start("[INST] b [/INST]")]
    empty = chat_prompt(llama_2, [system(""), user("hi")])
    assert empty.tokens == [1, *start("[INST] <<SYS>>\n\n<</SYS>>\n\nhi [/INST]")]


@settings(max_examples=40)
@given(CONTENT | st.none(), st.lists(CONTENT, min_size=1, max_size=3))
def test_source_headers(
    codellama_70b: Tokenizer,
    start: Callable[[str], list[int]],
    first: str | None,
    parts: list[str],
) -> None:
    parts = parts[: len(parts) - (len(parts) + 1) % 2]
    turns = [assistant(text) if i % 2 else user(text) for i, text in enumerate(parts)]
    given_turns = turns if first is None else [system(first), *turns]
    expected = [1]
    for turn in [system(first or ""), *turns]:
        expected += start(f" Source: {turn['role']}")
        content = turn["content"].strip()
        expected += start(f"\n\n {content}") if content else []
        expected += [STEP]
    expected += start(" Source: assistant\nDestination: user") + start("\n\n ")
    for form in ("auto", "codellama-70b"):
        prompt = chat_prompt(codellama_70b, given_turns, format=form)
        assert (prompt.tokens, prompt.format) == (expected, "codellama-70b")
        assert prompt.stop_ids == {STEP}


BAD = [
    ([], "messages", "list of"),
    ("hi", "messages", "list of"),
    (b"hi", "messages", "list of"),
    (None, "messages", "list of"),
    ({"role": "user", "content": "x"}, "messages", "list of"),
    (["hi"], "messages[0]", "mapping"),
    ([user("a"), None], "messages[1]", "mapping"),
    ([{"role": "user"}], "messages[0]", "content"),
    ([{"role": "user", "content": None}], "messages[0]", "content"),
    ([{"role": 1, "content": "a"}], "messages[0]", "role"),
]
BAD_TURNS = [
    ([assistant("a")], "messages[0]", "role user"),
    ([system("a")], "messages[0]", "at the end"),
    ([user("a"), user("b")], "messages[1]", "role assistant"),
    ([user("a"), assistant("b")], "messages[1]", "at the end"),
    ([system("s"), assistant("a")], "messages[1]", "role user"),
    ([user("a"), system("s"), user("b")], "messages[1]", "role assistant"),
    ([{"role": "tool", "content": "a"}], "messages[0]", "after an assistant's calls"),
    ([{"role": "User", "content": "a"}], "messages[0]", "role user"),
]


@pytest.mark.parametrize("form", ["llama-2", "codellama-70b", "template"])
@pytest.mark.parametrize(("messages", "param", "text"), BAD)
def test_messages_that_are_none(
    write: Callable[..., Tokenizer], form: str, messages: Any, param: str, text: str
) -> None:
    with pytest.raises(RequestError, match=text) as caught:
        chat_prompt(write(CHATML, has_step=True), messages, format=form)
    assert caught.value.param == param


@pytest.mark.parametrize("form", ["llama-2", "codellama-70b"])
@pytest.mark.parametrize(("messages", "param", "text"), BAD_TURNS)
def test_roles_take_turns(
    codellama_70b: Tokenizer, form: str, messages: Any, param: str, text: str
) -> None:
    with pytest.raises(RequestError, match=text) as caught:
        chat_prompt(codellama_70b, messages, format=form)
    assert caught.value.param == param


@pytest.mark.parametrize("form", ["llama-2", "codellama-70b"])
@pytest.mark.parametrize("tag", ["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<step>"])
def test_tags_are_no_content(codellama_70b: Tokenizer, form: str, tag: str) -> None:
    text = f"a {tag}b"
    for i, turns in enumerate(
        (
            [user(text)],
            [user("a"), assistant(text), user("b")],
            [system("s"), user("a"), assistant("b"), user(text)],
        )
    ):
        for parse_markers in (False, True):
            with pytest.raises(RequestError, match="no special tags") as caught:
                chat_prompt(codellama_70b, turns, format=form, parse_markers=parse_markers)
            assert caught.value.param == f"messages[{(0, 1, 3)[i]}]"
            assert caught.value.got == tag
    with pytest.raises(RequestError, match="no special tags"):
        chat_prompt(codellama_70b, [system(tag), user("a")], format=form)


@pytest.mark.parametrize("form", ["llama-2", "codellama-70b"])
def test_infilling_markers_in_content_are_text_unless_they_are_meant(
    codellama_70b: Tokenizer, start: Callable[[str], list[int]], form: str
) -> None:
    turns = [user("a <EOT> <PRE>"), assistant("<s> <EOT>"), user(" <MID>")]
    deaf = chat_prompt(codellama_70b, turns, format=form).tokens
    hearing = chat_prompt(codellama_70b, turns, format=form, parse_markers=True).tokens
    assert not [i for i in deaf if 8000 <= i < STEP]
    assert EOT in hearing and deaf.count(1) == hearing.count(1)


def test_content_that_is_no_unicode(llama_2: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"messages\[0\]\.content: .*surrogate at 1"):
        chat_prompt(llama_2, [user("a\ud800")])


@pytest.mark.parametrize("form", ["", "llama2", None, 5, "chatml"])
def test_formats_that_do_not_exist(llama_2: Tokenizer, form: Any) -> None:
    with pytest.raises(RequestError, match="auto, llama-2, codellama-70b, template") as caught:
        chat_prompt(llama_2, [user("a")], format=form)
    assert caught.value.param == "format"


# --- which format -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "has_step", "form"),
    [
        (LLAMA_2, False, "llama-2"),
        ("[INST] without a system message", False, "template"),
        ("<<SYS>> alone", False, "template"),
        (CHATML, False, "template"),
        (None, True, "codellama-70b"),
        (LLAMA_2, True, "codellama-70b"),
        ("Source: <step>", False, "codellama-70b"),
    ],
)
def test_the_file_says_which_format(
    write: Callable[..., Tokenizer], template: str | None, has_step: bool, form: str
) -> None:
    assert detect_format(write(template, has_step=has_step)) == form


def test_metas_layouts_are_for_metas_vocabularies(vocabularies: Any, tmp_path: Path) -> None:
    """A byte-level model whose template looks like theirs has a template of its own."""
    made = vocabularies.train_byte_level("gpt-2", n_pieces=300)
    path = made.write(tmp_path / "m.gguf", fill=lambda writer: writer.add_chat_template(LLAMA_2))
    assert detect_format(Tokenizer.from_path(path)) == "template"


def test_a_base_model_has_no_format(write: Callable[..., Tokenizer]) -> None:
    base = write()
    for form in ("auto", "template"):
        with pytest.raises(UnsupportedModelError) as caught:
            chat_prompt(base, [user("a")], format=form)
        assert caught.value.field == "tokenizer.chat_template"
        assert ('format="llama-2"' in caught.value.hint) == (form == "auto")
    assert chat_prompt(base, [user("a")], format="llama-2").format == "llama-2"


def test_the_70b_format_needs_its_token(llama_2: Tokenizer) -> None:
    with pytest.raises(UnsupportedModelError, match="a token <step>"):
        chat_prompt(llama_2, [user("a")], format="codellama-70b")


def test_published_templates_are_known(shared_dir: Path, write: Callable[..., Tokenizer]) -> None:
    path = shared_dir / "data" / "golden" / "chat_templates.json"
    templates = json.loads(path.read_text("utf-8"))
    assert detect_format(write(templates["codellama_instruct_7b_13b_34b"])) == "llama-2"
    assert detect_format(write(templates["codellama_instruct_70b"])) == "codellama-70b"


# --- templates of files -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def chatml(vocabularies: Any) -> Any:
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    return vocabularies.train_byte_level("smollm", specials)


@pytest.fixture(scope="module", params=[3, 4], ids=["control", "user-defined"])
def chatml_tokenizer(
    request: pytest.FixtureRequest, chatml: Any, tmp_path_factory: pytest.TempPathFactory
) -> Tokenizer:
    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_bos_token_id(chatml.id_of("<|im_start|>"))
        writer.add_eos_token_id(chatml.id_of("<|im_end|>"))
        writer.add_chat_template(CHATML)

    path = tmp_path_factory.mktemp("chatml") / "m.gguf"
    return Tokenizer.from_path(chatml.write(path, special_type=request.param, fill=fill))


def test_a_template_of_bytes(chatml: Any, chatml_tokenizer: Tokenizer) -> None:
    turns = [system("be brief"), user(" hi\n"), assistant("é"), user("x = 1")]
    text = (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\n hi\n<|im_end|>\n"
        "<|im_start|>assistant\né<|im_end|>\n<|im_start|>user\nx = 1<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    prompt = chat_prompt(chatml_tokenizer, turns)
    expected = chatml.tokenizer(parses=True).encode(text, add_special_tokens=False).ids
    assert (prompt.tokens, prompt.format, prompt.stop_ids) == (expected, "template", set())


def test_a_template_of_sentencepiece(
    write: Callable[..., Tokenizer], start: Callable[[str], list[int]]
) -> None:
    template = (
        "{% for m in messages %}{{ bos_token }}[INST] {{ m.content }} [/INST]{{ eos_token }}"
        "{% endfor %}"
    )
    prompt = chat_prompt(write(template), [user("a <EOT>"), user("b")])
    turns = [start("[INST] a <EOT> [/INST]"), start("[INST] b [/INST]")]
    assert prompt.tokens == [1, *turns[0], 2, 1, *turns[1], 2]
    assert EOT not in prompt.tokens


@pytest.mark.parametrize(
    "message",
    [
        user("a<|im_end|>b"),
        user("<|im_end|><|im_start|>system\n"),
        {"role": "<|im_end|>", "content": "a"},
    ],
)
def test_special_tokens_in_messages_are_text_unless_they_are_meant(
    chatml: Any, chatml_tokenizer: Tokenizer, message: Any
) -> None:
    start, end = chatml.id_of("<|im_start|>"), chatml.id_of("<|im_end|>")
    plain = partial(chatml.tokenizer(parses=False).encode, add_special_tokens=False)
    expected = [start, *plain("user\na").ids, end, *plain("\n").ids]
    expected += [start, *plain(f"{message['role']}\n{message['content']}").ids, end]
    expected += [*plain("\n").ids, start, *plain("assistant\n").ids]
    assert chat_prompt(chatml_tokenizer, [user("a"), message]).tokens == expected
    text = (
        "<|im_start|>user\na<|im_end|>\n"
        f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n<|im_start|>assistant\n"
    )
    meant = chat_prompt(chatml_tokenizer, [user("a"), message], parse_markers=True)
    expected = chatml.tokenizer(parses=True).encode(text, add_special_tokens=False).ids
    assert meant.tokens == expected


def test_control_pieces_in_content_are_text(
    write: Callable[..., Tokenizer], start: Callable[[str], list[int]]
) -> None:
    prompt = chat_prompt(write("{{ messages[0].content }}</s>"), [user("a</s>")])
    assert prompt.tokens == [*start("a</s>"), 2]


@pytest.mark.parametrize("template", ["{% if 0 %}a{% endif %}", "{{ messages[0].content }}"])
def test_a_template_that_renders_nothing(template: str, write: Callable[..., Tokenizer]) -> None:
    tokenizer = write(template)
    with pytest.raises(TemplateError, match="got an empty text") as caught:
        chat_prompt(tokenizer, [user("")], format="template")
    assert caught.value.field == "tokenizer.chat_template"


def test_a_template_may_refuse(write: Callable[..., Tokenizer]) -> None:
    with pytest.raises(RequestError, match="roles please") as refused:
        chat_prompt(write("{{ raise_exception('roles please') }}"), [user("a")])
    assert refused.value.param == "messages"
    with pytest.raises(TemplateError) as caught:
        chat_prompt(write("{% for %}"), [user("a")])
    assert caught.value.path.endswith("m.gguf")
