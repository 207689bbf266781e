"""Constraints compiled for vocabularies: the texts that belong to them, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

import jsonschema
import pytest

from halfbyte.constraints import grammar
from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.grammar import Grammar, Grammars
from halfbyte.errors import RequestError
from halfbyte.tokenizer import Tokenizer

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 3}, "age": {"type": "integer"}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("constraint", "yes", "no"),
    [
        ({"json_schema": PERSON}, ['{"name":"a","age":-3}', '{"name":"日本語"}'],
         ['{"name":"abcd"}', '{"age":3}', '{"name": "a"}', '{"name":"a"} ', "{", ""]),
        ({"json_schema": PERSON, "json_whitespace": True},
         ['{"name": "a", "age": 3}', '{\n  "name": "a"\n}', '{"name":"a"}'],
         ['{\n\n"name":"a"}', '{  "name":"a"}']),
        ({"json_schema": {"items": {"type": "boolean"}, "type": "array", "maxItems": 2}},
         ["[]", "[true,false]"], ["[true,false,true]", "[true,]"]),
        ({"regex": r"\d{2}-[a-z]+"}, ["12-ab"], ["1-ab", "12-", "x12-ab", "12-ab "]),
        ({"regex": r"^(é|/)+$"}, ["é/é"], ["^é", "e"]),
        ({"regex": "a|ab"}, ["a", "ab"], ["b"]),
        ({"choices": ["yes", "no", 'q"\\\n\x7f', "😀"]}, ["yes", "no", 'q"\\\n\x7f', "😀"],
         ["ye", "yesno", "q"]),
        ({"grammar": 'start: "(" start ")" | /[a-z]+/'}, ["((ab))", "x"], ["(ab", "()"]),
    ],
)  # fmt: skip
def test_which_texts_belong(
    compiled: Any, constraint: dict[str, Any], yes: list[str], no: list[str]
) -> None:
    grammar = compiled(**constraint)
    assert [text for text in yes if not grammar.accepts(text)] == []
    assert [text for text in no if grammar.accepts(text)] == []
    for text in yes if constraint.get("json_schema") else ():
        jsonschema.validate(json.loads(text), constraint["json_schema"])


def test_a_text_before_it_belongs_to_no_answer(compiled: Any, grammars: Grammars) -> None:
    for before in (" ", '"é\n', "{"):
        grammar = grammars.compiled(Constraint("regex", "[ab]+"), before)
        assert grammar.accepts("ab") and not grammar.accepts(f"{before}ab")


BOMB = {f"a{i}": {"anyOf": [{"type": "string", "pattern": "a" * i + str(j)} for j in range(10)]}
        for i in range(8)}  # fmt: skip


@pytest.mark.parametrize(
    ("constraint", "text"),
    [
        ({"json_schema": {"type": "string", "minLength": 5, "maxLength": 2}}, "minLength (5) is g"),
        ({"json_schema": {"enum": []}}, "json_schema: expected what can be compiled, and met"),
        ({"json_schema": {"type": "object", "required": ["a"], "properties": {"a": False}}}, "'a'"),
        ({"json_schema": {"type": "array", "uniqueItems": True}}, 'keys: ["uniqueItems"]'),
        ({"json_schema": {"not": {"type": "null"}}}, 'keys: ["not"]'),
        ({"json_schema": {"oneOf": [{"type": "integer"}, {"type": "number"}]}}, "oneOf"),
        ({"json_schema": {"type": "string", "format": "isbn"}}, "Unknown format: isbn"),
        ({"json_schema": {"type": "text"}}, "Invalid type: text"),
        ({"json_schema": {"$ref": "#/$defs/none"}}, "Pointer '/$defs/none' does not exist"),
        ({"json_schema": {"type": "string", "pattern": "(?=a)b"}}, "look-around"),
        ({"json_schema": {"allOf": list(BOMB.values())}}, "json_schema: expected what can be"),
        ({"regex": "("}, "unclosed group"),
        ({"regex": r"(a)\1"}, "backreferences are not supported"),
        ({"regex": ""}, "regex: expected a regular expression"),
        ({"regex": "a{0}"}, "regex: expected what texts that are not empty meet, got none"),
        ({"regex": r"[^\s\S]"}, "regex: expected what "),
        ({"grammar": "start: foo"}, 'unknown name: "foo"'),
        ({"grammar": 'begin: "a"'}, "no start rule found"),
        ({"grammar": 'start: "a'}, "lexer error"),
        ({"grammar": 'start: %json {"$ref":"http://example.com/s"}'}, "does not fetch"),
        ({"grammar": 'start: <|nothing|> "a"'}, "grammar: expected what can be compiled"),
        ({"grammar": 'start: a\na: b "x"\nb: a "y"'}, "a finite text meets, got start, a, b"),
    ],
)  # fmt: skip
def test_what_cannot_be_met_or_compiled_is_named(
    compiled: Any, constraint: dict[str, Any], text: str
) -> None:
    with pytest.raises(RequestError) as caught:
        compiled(**constraint)
    assert caught.value.param == next(iter(constraint)) and text in str(caught.value)
    assert len(str(caught.value)) < 3200


def test_a_schema_cannot_ask_to_be_followed_less_strictly(compiled: Any) -> None:
    with pytest.raises(RequestError, match="x-guidance"):
        compiled(json_schema={"x-guidance": {"lenient": True}, "uniqueItems": True})


@pytest.mark.parametrize(
    "constraint",
    [
        {"regex": "((a{1,100}){1,100}){1,100}b"},
        {"regex": "(.*a.{30})+b"},
        {"regex": "a" * 100_000},
        {"json_schema": {"type": "string", "minLength": 10**9}},
        {"json_schema": {"type": "array", "items": {}, "minItems": 10**9}},
        {"grammar": "start: a0\n" + "".join(f"a{i}: a{i + 1} a{i + 1}\n" for i in range(60))
                    + 'a60: "x"'},
        {"grammar": 'start: "a" start'},
    ],
)  # fmt: skip
def test_bombs_go_off_in_bounds(compiled: Any, constraint: dict[str, Any]) -> None:
    """Each is followed for a while, or refused by its argument's name."""
    try:
        matcher = compiled(**constraint).matcher()
        for _ in range(20):
            token = matcher.forced()
            if token is None:
                bits = matcher.allowed()
                token = next(i for i in range(matcher.grammar.n_vocab) if bits[i // 8] >> i % 8 & 1)
            matcher.accept(token)
        assert not matcher.is_complete
    except RequestError as error:
        assert error.param == next(iter(constraint))


def test_grammars_are_kept_for_the_next_call(grammars: Grammars) -> None:
    first = grammars.compiled(Constraint("regex", "kept"))
    assert grammars.compiled(Constraint("regex", "kept")) is first
    for i in range(20):
        grammars.compiled(Constraint("regex", f"other{i}"))
    assert grammars.compiled(Constraint("regex", "kept")) is not first


def test_who_asks_for_a_known_one_does_not_wait_for_another(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(regex: str) -> None:
        constraint = Constraint.split({"regex": regex})[0]
        assert constraint is not None
        grammars.compiled(constraint)
        done.append(regex)

    done: list[str] = []
    begun, go_on = threading.Event(), threading.Event()
    ask("known+")
    make = grammar.Grammar

    def slow(*args: Any) -> Grammar:
        begun.set()
        assert go_on.wait(60)
        return make(*args)

    monkeypatch.setattr(grammar, "Grammar", slow)
    first, second = (threading.Thread(target=ask, args=[text]) for text in ("new+", "known+"))
    first.start()
    assert begun.wait(60)
    second.start()
    second.join(5)
    go_on.set()
    first.join()
    second.join()
    assert done == ["known+", "known+", "new+"]


def test_a_byte_that_no_token_has(tmp_path: Any, vocabularies: Any) -> None:
    """A vocabulary of letters cannot spell what needs others, and says so before it computes."""

    def keys(writer: Any) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(
            [b"<s>", b"</s>", b"<unk>", *(bytes([c]) for c in b"abcdefgh"), b"ab"]
        )
        writer.add_token_merges(["a b"])
        writer.add_token_types([3, 3, 3] + [1] * 9)
        writer.add_eos_token_id(1)

    path = vocabularies.write_gguf(tmp_path / "letters.gguf", keys)
    grammars = Grammars(Tokenizer.from_path(path))
    assert grammars.compiled(Constraint("regex", "[a-z]+")).accepts("abc")
    for kind, source in (("choices", '["xyz"]'), ("regex", "é"), ("json_schema", '{"enum":["a"]}')):
        with pytest.raises(RequestError, match=f"{kind}: expected what .* got"):
            grammars.compiled(Constraint(kind, source))  # type: ignore[arg-type]
    matcher = grammars.compiled(Constraint("choices", '["ab","axy"]')).matcher()
    assert matcher.allowed_after([]).nonzero()[0].tolist() == [3, 11]  # a, ab
    matcher.accept(3)
    assert matcher.allowed_after([]).nonzero()[0].tolist() == [4]  # not x, which leads nowhere


def test_without_the_package_the_error_says_what_to_install(
    spm: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(RequestError, match=r"llguidance.*pip install 'halfbyte\[grammar\]'"):
        Grammars(spm).compiled(Constraint("regex", "a"))


def test_nothing_is_imported_for_calls_without_a_constraint() -> None:
    code = (
        "import halfbyte, sys\n"
        "with halfbyte.load('infill-10m', threads=1) as model:\n"
        "    model.complete('a', max_tokens=1)\n"
        "assert 'llguidance' not in sys.modules and 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
