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
    assert (repository.current, dict(repository.files)) == ("x.py", {"y.py": "y"})
    layout = lay_out(asked)
    assert (layout.begin, layout.old, layout.draft) == (3, "", "")
    assert layout.read("d\n") == ("d\n", None)
    assert not layout.needs_end
