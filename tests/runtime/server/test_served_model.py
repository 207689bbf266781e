"""What is told of a model that is served."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import halfbyte
from halfbyte.families.config import MAX_CTX
from halfbyte.generation.model_hash import FilesHash
from halfbyte.server.llama_cpp.generation_options import generation_options
from halfbyte.server.llama_cpp.request_schema import GenerationFields
from halfbyte.server.served_model import ServedModel


def test_the_fingerprint_is_of_the_file_once_that_is_read(
    infill_model: halfbyte.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = hashlib.sha256(Path(infill_model.path).read_bytes()).hexdigest()
    answers = iter([None, known])  # and no third question
    with monkeypatch.context() as patch:
        patch.setattr(FilesHash, "get", lambda self, timeout=0: next(answers))
        served = ServedModel("a", infill_model, 0)
        size = Path(infill_model.path).stat().st_size
        assert served.fingerprint == f"hb_{halfbyte.__version__}_int8_llama-{size:x}"
        for _ in range(2):
            assert served.fingerprint == f"hb_{halfbyte.__version__}_int8_{known[:12]}"
    assert infill_model.file_hash in (None, known)


def test_the_name_it_is_served_under_tells_its_edits(infill_model: halfbyte.Model) -> None:
    assert ServedModel("zeta2.1", infill_model, 0).edit_format == "zeta-2.1"
    assert ServedModel("infill-10m", infill_model, 0).edit_format is None
    assert infill_model.edit_format is None


def test_a_text_without_end_is_told_as_what_is_in_sight() -> None:
    """Clients fill the context that they are told of; answers nobody bounds have to end."""
    with halfbyte.load("infill-10m", threads=1, attention_window=100, kv_type="f32") as model:
        served = ServedModel("a", model, 0)
        assert (model.n_ctx, served.n_ctx) == (MAX_CTX, 104)
        assert "_f32_4+100_" in served.fingerprint
        assert generation_options(GenerationFields(), served)["max_tokens"] == 104
    with halfbyte.load("infill-10m", threads=1, attention_window=100, ctx=300) as model:
        assert ServedModel("a", model, 0).n_ctx == model.n_ctx == 300
