"""The example programs run, with the packaged model, and print what they are for."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
# Program -> a part of what it prints; what is random of a text is repeated by its seed.
PRINTED = {
    "complete": "import numpy as np\nif __name__ == \"__main__\":\nwith open(path) as f:\n",
    "embeddings": "0.83  def read_lines(path):\n0.64  class Stack:\n",
    "infill": "'lib import Path', stop, ",
    "tools": "weather({'city': '",
    "json_extraction": "year: 1952\nfrom: ",
    "processor": "numbers = [1, 2] * (3.0)",
    "rank": " -0.568 sum(values) / len(values)\n -0.990 values + 1\n",
    "stream": "def __init__(self, config: ",
}  # fmt: skip


def run(name: str, *args: str) -> None:
    """Run an example as `python NAME.py ARGS` would."""
    before = sys.argv
    sys.argv = [f"{name}.py", *args]
    try:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    finally:
        sys.argv = before


def test_each_example_is_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*PRINTED, "convert"}


@pytest.mark.parametrize("name", PRINTED)
def test_it_prints_code(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(name)
    assert PRINTED[name] in capsys.readouterr().out


def test_a_folder_is_converted_and_verified(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("convert", str(tiny_folder), str(tmp_path / "tiny.gguf"))
    printed = capsys.readouterr().out
    assert " bits per weight, KL 0." in printed
    assert printed.count(": as recorded\n") == 4
    assert (tmp_path / "tiny.gguf").is_file()
