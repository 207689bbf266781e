"""A file of keys that is not as it should be is refused whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from halfbyte.errors import SettingError
from halfbyte.server.api_keys import ApiKeys, read_keys


def written(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "keys"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_names_and_keys(tmp_path: Path) -> None:
    text = "# who\n\nalice:sk-11111111\n bob : a:b:c:d:e:f \n"
    keys = read_keys(written(tmp_path, text))
    assert keys == {"sk-11111111": "alice", "a:b:c:d:e:f": "bob"}
    found = ApiKeys(keys)
    assert found and not ApiKeys({})
    assert found.name_of("sk-11111111") == "alice" and found.name_of("a:b:c:d:e:f") == "bob"
    assert found.name_of("sk-1111111") is found.name_of("") is found.name_of("\udc80") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alice", "something else in line 1"),
        ("a:12345678\nb:short", "something else in line 2"),
        ("a b:12345678", "something else in line 1"),
        ("a:with blank8", "something else in line 1"),
        ("a:12345678\nb:12345678", "another one in line 2"),
        ("a:12345678\na:87654321", "another one in line 2"),
        ("# nothing", "none"),
        ("a:12345678\n" + "#" * (1 << 20), "a larger one"),
    ],
)
def test_what_is_no_key_is_told_without_it(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_keys(written(tmp_path, text))
    assert said in str(caught.value) and "1234" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SettingError, match=f"mode {mode:o}.*chmod 600"):
        read_keys(written(tmp_path, "a:12345678", mode))
