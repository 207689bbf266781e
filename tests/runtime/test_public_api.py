"""What `import halfbyte` gives, and what it does not load."""

from __future__ import annotations

import subprocess
import sys
import typing

import pytest

import halfbyte
from halfbyte.kernels.compiler import uninterrupted

HEAVY = (
    *("numpy", "numba", "llvmlite", "gguf", "sentencepiece", "tokenizers", "huggingface_hub"),
    *("jinja2", "torch", "google", "filelock", "platformdirs"),
)


@pytest.mark.parametrize("module", ["halfbyte", "halfbyte.cli", "halfbyte.models.catalogue"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint(HEAVY)


def test_the_package_loads_next_to_nothing() -> None:
    """Ctrl-C before the command's handler is set shows a traceback, so that must come at once."""
    code = (
        "import sys, os, _thread, __future__; before = {*sys.modules}; import halfbyte.__main__; "
        "print(*sorted({*sys.modules} - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["gc", "halfbyte", "halfbyte.__main__", "halfbyte.import_lock"]


def test_help_is_light() -> None:
    code = (
        "import sys, halfbyte.cli; halfbyte.cli.main(['complete', '--help']); "
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()[-1].split()).isdisjoint(HEAVY)


def test_every_public_name_is_there() -> None:
    assert {"Infilling", "Repository", "TemplateError", "CompletionStream"} < set(halfbyte.__all__)
    for name in halfbyte.__all__:
        assert getattr(halfbyte, name) is not None
    assert set(halfbyte.__all__) <= set(dir(halfbyte))


def test_no_surprise_attributes() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        halfbyte.lod  # noqa: B018


@pytest.mark.skipif(sys.version_info < (3, 11), reason="typing.Unpack came with Python 3.11")
def test_signatures_can_be_read_at_run_time() -> None:
    model, auto = halfbyte.Model, halfbyte.AutoModelForCausalLM
    pipe = halfbyte.TextGenerationPipeline
    for call in (
        model.complete, model.stream, model.infill, model.stream_infill, model.chat,
        model.stream_chat, model.edit, model.stream_edit, halfbyte.convert, halfbyte.pipeline,
        pipe.__call__, auto.generate, auto.from_pretrained, halfbyte.load,
    ):  # fmt: skip
        assert "return" in typing.get_type_hints(call)


def test_a_name_whose_module_is_loaded_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory has run out, `except halfbyte.EngineError` has to be able to ask for it."""

    def fail(*args: object) -> None:
        raise MemoryError

    error = halfbyte.EngineError
    monkeypatch.delitem(vars(halfbyte), "EngineError")
    monkeypatch.setattr(uninterrupted, "uninterrupted", fail)
    assert halfbyte.EngineError is error
