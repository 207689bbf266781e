"""A model whose layers have windows, as users hold it: what is let go changes no bit.

Mistral's way, in all layers: the window is a key of its own in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest

import halfbyte
from halfbyte.engine import kv_cache
from halfbyte.families.config import WINDOW_KEY
from halfbyte.kernels.layouts.kv_pages import PAGE, WindowedLayout
from tests.runtime.asked_models import (
    ASKED,
    guesses_change_no_bit,
    letting_go_changes_no_bit,
    load,
    nothing_is_let_go,
    turns_go_on,
)

INFILL = Path(halfbyte.__file__).parent / "data" / "infill-10m.gguf"
WINDOW = 100


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that comes with the package, with a window."""
    made = tmp_path_factory.mktemp("windowed") / "windowed.gguf"
    reader = gguf.GGUFReader(INFILL)
    writer = gguf.GGUFWriter(made, "llama")
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kind, *inner = field.types
            writer.add_key_value(name, field.contents(), kind, *inner[:1])
    writer.add_uint32(WINDOW_KEY, WINDOW)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return made


@pytest.fixture(scope="module", autouse=True)
def little_is_kept() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kv_cache, "_SLACK", 30)
        patch.setattr(kv_cache, "_LEAST_KEPT", 0)
        yield


@pytest.fixture(scope="module")
def model(path: Path, little_is_kept: None) -> Iterator[halfbyte.Model]:
    with load(path) as loaded:
        assert isinstance(loaded.engine.layout, WindowedLayout)
        yield loaded


@pytest.fixture(scope="module")
def keeping(path: Path) -> Iterator[halfbyte.Model]:
    """One that lets nothing go."""
    with nothing_is_let_go():
        loaded = load(path)
    with loaded:
        assert not isinstance(loaded.engine.layout, WindowedLayout)
        yield loaded


@pytest.mark.parametrize("name", ASKED)
def test_what_is_let_go_changes_no_bit(
    model: halfbyte.Model, keeping: halfbyte.Model, name: str
) -> None:
    letting_go_changes_no_bit(model, keeping, name)


def test_guesses_and_a_draft_model_change_no_bit(
    model: halfbyte.Model, keeping: halfbyte.Model, path: Path
) -> None:
    with load(path, draft=path) as drafting:
        guesses_change_no_bit(model, keeping, drafting)


def test_turns_go_on_where_they_part_after_a_restart_too(path: Path, tmp_path: Path) -> None:
    turns_go_on(path, tmp_path, last=3)


def test_a_context_takes_what_is_kept(model: halfbyte.Model, keeping: halfbyte.Model) -> None:
    page = keeping.kv_nbytes(PAGE)
    assert [model.kv_nbytes(n) // page for n in (PAGE, 5 * PAGE, 9 * PAGE)] == [1, 5, 5]
    assert keeping.kv_nbytes(9 * PAGE) == 9 * page
