"""Code Llama's vocabulary against Meta's ids, llama.cpp's, and Llama 2's for what users write."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from halfbyte.prompt.chat import chat_prompt
from halfbyte.prompt.infill import InfillFormat, require_format, split_marker
from halfbyte.tokenizer import Tokenizer

SOURCES = ("tokenizer.model", "folder", "tokenizer.json", "gguf")
# How converters have written the four infilling ids: all by their new names, by the old ones,
# only EOT's, or none.
FIM_KEYS = {
    "new": {"fim_pre": 32007, "fim_suf": 32008, "fim_mid": 32009, "eot": 32010},
    "old": {"prefix": 32007, "suffix": 32008, "middle": 32009, "eot": 32010},
    "eot": {"eot": 32010},
    "none": {},
}


def write(path: Path, model: Path, keys: dict[str, int], vocabularies: Any) -> Path:
    def fill(writer: gguf.GGUFWriter) -> None:
        vocabularies.add_sentencepiece(writer, vocabularies.read_model(model))
        for name, token in keys.items():
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)

    return vocabularies.write_gguf(path, fill)


@pytest.fixture(scope="module")
def model_file(shared_dir: Path) -> Path:
    return shared_dir / "data" / "codellama-tokenizer.model"


@pytest.fixture(scope="module", params=SOURCES)
def tokenizer(
    request: pytest.FixtureRequest,
    model_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
    vocabularies: Any,
) -> Tokenizer:
    """The same vocabulary, from four kinds of files."""
    if request.param == "tokenizer.model":
        return Tokenizer.from_path(model_file)
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "gguf":
        return Tokenizer.from_path(write(folder / "cl.gguf", model_file, {}, vocabularies))
    hf = model_file.parent / "hf-codellama"
    for name in ("config.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(hf / name, folder / name)
    shutil.copyfile(hf / "tokenizer.json", folder / "tokenizer.json")
    if request.param == "folder":
        shutil.copyfile(model_file, folder / "tokenizer.model")
    return Tokenizer.from_path(folder)


@pytest.fixture(scope="module")
def golden(shared_dir: Path) -> Path:
    return shared_dir / "data" / "golden"


def cases(path: Path, kind: str = "") -> Iterator[dict[str, Any]]:
    for line in path.read_text("utf-8").splitlines():
        case = json.loads(line)
        if not kind or case["kind"] == kind:
            yield case


def test_the_special_ids(tokenizer: Tokenizer) -> None:
    assert (tokenizer.kind, tokenizer.n_vocab, tokenizer.add_bos) == ("spm", 32016, True)
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.eog_ids) == (1, 2, {2, 32010})
    assert tokenizer.marker_ids == {1, 2, *range(32000, 32016)}


def test_metas_ids_of_texts(tokenizer: Tokenizer, golden: Path) -> None:
    n_checked = 0
    for case in cases(golden / "golden_public.jsonl", "encode"):
        options = case["options"]
        add_bos = options.get("add_bos_token", options.get("add_special_tokens", True))
        ids = tokenizer.encode(case["input"], add_bos=add_bos, parse_markers=True)
        assert tokenizer.eos_id is not None
        ids += [tokenizer.eos_id] * bool(options.get("add_eos_token"))
        assert ids == case["ids_meta"], case["id"]
        n_checked += 1
    assert n_checked == 112


def test_metas_ids_of_infilling_prompts(tokenizer: Tokenizer, golden: Path) -> None:
    form, seen = require_format(tokenizer), Counter[str]()
    for case in cases(golden / "golden_public.jsonl", "infill"):
        if "ids_meta" not in case:  # none or two <FILL_ME>: Meta's code has no such thing
            seen["not Meta's"] += 1
            continue
        given = case["input"]
        prefix, suffix = (
            split_marker(given["prompt"])
            if "prompt" in given
            else (given["prefix"], given["suffix"])
        )
        order = "spm" if case["options"]["suffix_first"] else "psm"
        prompt = form.prompt(prefix, suffix, order=order, parse_markers=True)
        has_bos = case["options"].get("add_special_tokens", True)
        assert prompt.tokens[0 if has_bos else 1 :] == case["ids_meta"], case["id"]
        assert (prompt.order, prompt.taken_back) == (order, ())
        seen[order] += 1
    assert seen == {"psm": 98, "spm": 49, "not Meta's": 3}
    assert form.stop_ids | tokenizer.eog_ids == {2, 32010}


def test_metas_texts_of_ids(tokenizer: Tokenizer, golden: Path) -> None:
    n_checked = 0
    for case in cases(golden / "golden_public.jsonl", "decode"):
        assert tokenizer.decode(case["input"]) == case["decoded_meta"], case["id"]
        infilled = tokenizer.decode(case["input"], strip_prefix_space=False)
        assert infilled == case["decoded_meta_infilling"], case["id"]
        n_checked += 1
    assert n_checked == 28


def test_llama_cpp_s_ids(tokenizer: Tokenizer, golden: Path) -> None:
    n_checked = 0
    for case in cases(golden / "conformance_llamacpp_spm.jsonl"):
        for parse_markers in (False, True):
            ids = tokenizer.encode(case["input"], add_bos=False, parse_markers=parse_markers)
            assert ids == case["expected"], case["input"]
        n_checked += 1
    assert n_checked == 47


@pytest.mark.parametrize(
    ("kind", "format"), [("chat_inst", "llama-2"), ("chat_70b", "codellama-70b")]
)
def test_metas_ids_of_chats(tokenizer: Tokenizer, golden: Path, kind: str, format: str) -> None:
    n_checked = 0
    for case in cases(golden / "golden_chat.jsonl", kind):
        prompt = chat_prompt(tokenizer, case["input"], format=format, parse_markers=True)
        assert prompt.tokens == case["ids_meta"], case["id"]
        assert prompt.stop_ids == ({32015} if format == "codellama-70b" else set())
        n_checked += 1
    assert n_checked == 22


@pytest.mark.parametrize("keys", FIM_KEYS)
def test_infilling_ids_are_found_however_a_converter_wrote_them(
    model_file: Path, tmp_path: Path, vocabularies: Any, keys: str
) -> None:
    path = write(tmp_path / "cl.gguf", model_file, FIM_KEYS[keys], vocabularies)
    form: InfillFormat = require_format(Tokenizer.from_path(path))
    assert form.prompt("", "", order="psm").tokens == [1, 32007, 32008, 32009]
    assert form.stop_ids == {32010}


MARKERS = ("<PRE>", "<SUF>", "<MID>", "<EOT>", "<SU", "<M", "<E", "<s>", "</s>", "<unk>", "<step>")
SPELLINGS = (
    *(before + marker for marker in MARKERS for before in ("", " ", "  ", "a ", "\n", "▁")),
    " <EOT><EOT>", " <EOT>" + "<EOT>" * 5, "a <M b", "[INST] x [/INST]", "<<SYS>>\nx\n<</SYS>>",
    " <PRE> a <SUF> b <MID>", "<0x0A>", "<FILL_ME>",
)  # fmt: skip


@pytest.fixture(scope="module")
def llama_2(shared_dir: Path) -> SentencePieceProcessor:
    """The vocabulary without the 16 pieces, and so without a way to spell them."""
    path = shared_dir / "data" / "llama2-tokenizer.model"
    return SentencePieceProcessor(model_file=str(path))


def test_what_users_write_never_becomes_a_marker(
    tokenizer: Tokenizer, llama_2: SentencePieceProcessor
) -> None:
    for text in SPELLINGS:
        assert tokenizer.encode(text) == [1, *llama_2.encode(text)], text
        assert tokenizer.decode(tokenizer.encode(text)) == text.replace("▁", " ")

    @settings(max_examples=100)
    @given(st.lists(st.sampled_from(SPELLINGS) | st.text(" <>MEOTa▁é\n", max_size=5), max_size=6))
    def check(parts: list[str]) -> None:
        text = "".join(parts)
        assert tokenizer.encode(text, add_bos=False) == llama_2.encode(text)
        # No piece of text begins with this character: it takes the space and is cut off.
        assert tokenizer.encode_fragment(text) == llama_2.encode(f"☺{text}")[2:]

    check()


def test_markers_are_read_from_text_where_the_caller_says_so(
    tokenizer: Tokenizer, model_file: Path
) -> None:
    """Meta's own tokenizer does that: the ids are sentencepiece's with all 32016 pieces."""
    theirs = SentencePieceProcessor(model_file=str(model_file))
    read = partial(tokenizer.encode, add_bos=False, parse_markers=True)
    assert read(" <EOT>") == [29871, 32010] and read("<PRE>") == [32007]
    for text in SPELLINGS:
        assert read(text) == theirs.encode(text), text
