"""docs/deploy: the unit is one that systemd takes, the image's steps are sound and work.

`make test-deployment` runs the steps whole, in an empty folder in place of a file system.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from halfbyte.cli import serve
from halfbyte.cli.parser import Parser

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "docs" / "deploy"
_ONCE = ("ENTRYPOINT", "CMD", "HEALTHCHECK")


def instructions() -> list[tuple[str, str]]:
    """Those of the Dockerfile, each on one line."""
    text = (DEPLOY / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(kind, rest) for kind, _, rest in (line.partition(" ") for line in joined.splitlines())]


def parsed(argv: list[str]) -> None:
    parser = Parser("halfbyte serve", "")
    serve.add(parser)
    parser.parse(argv)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_the_unit_is_one(tmp_path: Path) -> None:
    unit = (DEPLOY / "halfbyte.service").read_text()
    program = "/opt/halfbyte/bin/halfbyte"
    assert unit.count(program) == 1
    path = tmp_path / "halfbyte.service"
    path.write_text(unit.replace(program, sys.executable))
    for text, code in ((path.read_text(), 0), (path.read_text().replace("notify", "x"), 1)):
        path.write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True
        )
        said = [line for line in done.stderr.splitlines() if "halfbyte" in line]
        assert bool(said) == bool(code), done.stderr


def test_the_options_in_the_file_are_options() -> None:
    parsed(["--config", str(DEPLOY / "serve.toml")])


def test_the_image_is_sound() -> None:
    found = instructions()
    kinds = [kind for kind, _ in found]
    assert kinds[0] == "FROM" and re.fullmatch(r"[\w./-]+:[\w.-]+", found[0][1])
    assert ":latest" not in found[0][1]
    for kind in _ONCE:
        assert kinds.count(kind) == 1
    user = dict(found)["USER"]
    assert re.fullmatch(r"\d+:\d+", user) and not user.startswith("0")
    assert kinds.index("USER") > max(i for i, kind in enumerate(kinds) if kind == "RUN")
    for kind, rest in found:
        assert kind.isupper() and not (kind == "ADD" or "sudo" in rest or "curl" in rest)
        if kind == "RUN":
            assert "pip install" not in rest or "--no-cache-dir" in rest
            assert subprocess.run(["sh", "-n", "-c", rest]).returncode == 0
        if kind == "COPY":
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
    command = json.loads(dict(found)["ENTRYPOINT"]) + json.loads(dict(found)["CMD"])
    assert command[:2] == ["/opt/halfbyte/bin/halfbyte", "serve"]
    parsed(command[2:])


@pytest.mark.skipif("DEPLOY" not in os.environ, reason="make test-deployment runs it")
def test_the_steps_of_the_image_work(tmp_path: Path) -> None:
    def there(text: str) -> str:
        own = f"{os.getuid()}:{os.getgid()}"
        moved = re.sub(r"(?<![\w.])/(src|opt|var)\b", rf"{tmp_path}/\1", text)
        return moved.replace("10001:10001", own).replace("python3 -m", f"{sys.executable} -m")

    for kind, rest in instructions():
        if kind == "COPY":
            *sources, target = there(rest).split()
            for source in sources:
                into = Path(target) / ("" if (ROOT / source).is_dir() else source)
                into.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, into)
        elif kind == "RUN":
            subprocess.run(["sh", "-ec", there(rest)], check=True, cwd=tmp_path)
    assert not (tmp_path / "src").exists()
    halfbyte = tmp_path / "opt/halfbyte/bin/halfbyte"
    command = [str(halfbyte), "serve", "-m", "infill-10m", "--port", "0"]
    environment = {"HALFBYTE_CACHE": str(tmp_path / "var/lib/halfbyte"), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert any("ready: " in line for line in process.stderr)
        process.terminate()
        process.communicate()
    assert process.returncode == 0
