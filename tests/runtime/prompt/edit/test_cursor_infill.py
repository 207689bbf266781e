"""The fallback: where an insertion ends, and what the model is shown for it."""

from __future__ import annotations

import pytest

from halfbyte.prompt.edit.cursor_infill import around, lay_out, repository_of, stop_texts
from tests.runtime.prompt.edit.asked import at


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ("f(‸)", "\n"), ("f(‸)\nx", "\n"), ("x = ‸  \ny", "\n\n"), ("x‸", "\n\n"),
        ("‸\nx", "\n\n"), ("x = ‸\r\ny", "\n\n"),
    ],
)  # fmt: skip
def test_it_ends_with_the_line_or_the_paragraph(text: str, stop: str) -> None:
    assert stop_texts(at(text).view) == (stop,)


def test_what_is_shown() -> None:
    asked = at("a\r\nb‸c\r\n", "x.py", related=[("y.py", "y")])
    assert around(asked.view) == ("a\nb", "c\n")
    repository = repository_of(asked)
    assert repository is not None
    assert (repository.current, dict(repository.files)) == ("x.py", {"y.py": "y"})
    layout = lay_out(asked)
    assert (layout.begin, layout.old, layout.draft) == (3, "", "")
    assert layout.read("d\n") == ("d\n", None)
    assert not layout.needs_end


def test_other_files() -> None:
    """Without any, the prompt is that of a file alone; of one file there may be parts."""
    assert repository_of(at("‸")) is None
    parts = [("y", "a\r\n"), ("z", "b"), ("y", "c"), ("y", "d")]
    repository = repository_of(at("‸", related=parts))
    assert repository is not None
    assert list(repository.files.items()) == [("y", "a\nc\nd"), ("z", "b")]
