"""Options in a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from halfbyte.cli import serve
from halfbyte.cli.parser import Parser


def parsed(*argv: str) -> argparse.Namespace:
    parser = Parser("halfbyte serve", "")
    serve.add(parser)
    return parser.parse(argv)


def test_a_file_says_what_the_command_line_does_not(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(
        'port = 9000\nparallel = 4\nollama = true\ninsecure = false\ncors_origin = ["http://a", "http://b"]\n'
        '[model]\nfast = "x.gguf"\nbest = "y.gguf"\n'
    )
    args = parsed("--config", str(file), "--port", "8012")
    assert (args.port, args.parallel, args.ollama, args.insecure) == (8012, 4, True, None)
    assert (args.cors_origin, args.model) == (
        ["http://a", "http://b"],
        ["fast=x.gguf", "best=y.gguf"],
    )
    assert parsed("--config", str(file), "-m", "z").model == ["z"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "no option prot; did you mean --port"),
        ("port = 'x'", "argument --port: expected a whole number from 0, got 'x'"),
        ("port = true", "port: expected a text or a number, got True"),
        ("ollama = 1", "ollama: expected true or false, got 1"),
        ("[model]\nx = true", "model.x: expected a text, got True"),
        ("[model]\nqwen2.5 = 'x'", "{'5': 'x'}; a name with a dot wants quotes"),
        ("port", "expected TOML"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, capsys: Any, text: str, said: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(SystemExit):
        parsed("--config", str(file))
    assert said in capsys.readouterr().err


def test_a_file_that_is_not_there_is_told(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        parsed("--config", "/nothing/there.toml")
    assert "--config /nothing/there.toml: No such file" in capsys.readouterr().err
