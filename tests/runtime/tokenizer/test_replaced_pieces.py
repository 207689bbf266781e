"""Added tokens that sit on pieces: refused where merges need them, in both kinds of vocabulary."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from halfbyte.conversion import convert
from halfbyte.errors import ConversionError
from halfbyte.tokenizer.replaced_pieces import check_replaced
from halfbyte.tokenizer.vocabulary import CONTROL, NORMAL, Vocabulary


def _vocabulary(model: str, pieces: list[str], merges: list[str]) -> Vocabulary:
    types = [CONTROL, *[NORMAL] * (len(pieces) - 1)]
    spelled = [piece.encode() for piece in pieces]
    return Vocabulary("x", model, spelled, types, [], [merge.encode() for merge in merges])


PIECES = ["<s>", "a", "b", "c", "ab", "abc", "zz"]


@pytest.mark.parametrize(
    ("model", "needed", "lost"),
    [("gpt2", {0, 1, 2, 3, 4, 5, 6}, set()), ("llama", {1, 2, 3, 4}, {5, 6})],
)
def test_what_merges_need(
    model: str, needed: set[int], lost: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Sentencepiece merges whatever two pieces make a third; its last ones are only lost.

    The `tokenizers` package gives a new token an id of its own, whatever a file says.
    """
    vocabulary = _vocabulary(model, PIECES, ["a b", "ab c"])
    for i, piece in enumerate(PIECES):
        caplog.clear()
        check_replaced(Path("x"), vocabulary, {i: piece, 99: "<new>"})
        if i in needed:
            with pytest.raises(ConversionError, match=f"'<new>' has the id of '{piece}', {i}"):
                check_replaced(Path("x"), vocabulary, {i: "<new>"})
        else:
            check_replaced(Path("x"), vocabulary, {i: "<new>"})
        assert ("no text becomes" in caplog.text) == (i in lost)


def test_a_folder_whose_added_token_sits_on_a_piece_is_not_converted(
    tiny_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "hf"))
    (folder / "tokenizer.model").unlink()
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(["the then that this there hello help"] * 5, trainer)
    content = json.loads(bpe.to_str())
    sits_on = content["model"]["vocab"]["he"]
    content["added_tokens"] = [{"id": sits_on, "content": "<x>", "special": True}]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ConversionError, match=f"'<x>' has the id of 'he', {sits_on}"):
        convert(folder, tmp_path / "x.gguf", measure=False)
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]
