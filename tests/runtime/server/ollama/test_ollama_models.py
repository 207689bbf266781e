"""Which models there are, and what they can do, through Ollama's own client."""

from __future__ import annotations

from pathlib import Path

import gguf
import httpx
import ollama
import pytest

import halfbyte
from halfbyte.server.ollama.ollama_models import tagged
from halfbyte.server.shelf import Shelf
from tests.runtime.server.chat_models import PACKAGED
from tests.runtime.server.conftest import serving

READER = gguf.GGUFReader(PACKAGED)
N_WEIGHTS = sum(int(tensor.n_elements) for tensor in READER.tensors)


def test_models_are_listed_under_their_names(client: ollama.Client) -> None:
    listed = client.list().models
    assert [one.model for one in listed] == ["calls:latest", "thinks:latest", "infill-10m:latest"]
    packaged = listed[2]
    assert packaged.size == PACKAGED.stat().st_size and len(packaged.digest) == 64
    assert len({one.digest for one in listed}) == 3
    assert packaged.modified_at.timestamp() == pytest.approx(PACKAGED.stat().st_mtime)
    details = packaged.details
    assert (details.family, details.format, details.parameter_size) == ("llama", "gguf", "10.4M")
    assert details.quantization_level == "Q8_0"
    assert tagged("a:b") == "a:b"


def test_abilities_are_told(client: ollama.Client, models: dict[str, halfbyte.Model]) -> None:
    packaged = client.show("infill-10m")
    assert packaged.capabilities == ["completion", "insert", "embedding"]
    assert ".Suffix" in packaged.template  # by which Continue knows
    assert client.show("calls").capabilities == ["completion", "tools", "insert", "embedding"]
    thinks = client.show("thinks:latest")
    assert thinks.capabilities == ["completion", "tools", "thinking", "embedding"]
    config = models["infill-10m"].config
    info = packaged.modelinfo
    assert info["general.architecture"] == "llama" and info["llama.context_length"] == 512
    assert info["llama.embedding_length"] == config.dim == 256
    assert info["general.parameter_count"] == N_WEIGHTS
    lines = dict(line.split(None, 1) for line in client.show("calls").parameters.splitlines())
    assert lines["num_ctx"] == "512" and float(lines["temperature"]) == 0.8
    assert lines["repeat_penalty"] == "1"


def test_running_models_are_those_in_memory(client: ollama.Client, chatting: Shelf) -> None:
    running = client.ps().models
    assert [one.name for one in running] == ["calls:latest", "thinks:latest", "infill-10m:latest"]
    assert running[0].context_length == 512 and running[0].size_vram == 0
    assert running[0].expires_at.year > 2100
    served = chatting.loaded()[0]
    chatting.keep(served, 60)
    left = client.ps().models[0].expires_at.timestamp()
    chatting.keep(served, None)
    assert left < client.ps().models[0].expires_at.timestamp() - 1e9


def test_nothing_is_loaded_to_be_looked_at(tmp_path: Path) -> None:
    def load(source: str) -> halfbyte.Model:
        raise AssertionError(source)

    sources = {"a": str(PACKAGED), "b": str(tmp_path / "gone.gguf")}
    with (
        serving(Shelf(sources, load)) as url,
        ollama.Client(url, trust_env=False) as client,
    ):
        assert [one.size for one in client.list().models] == [PACKAGED.stat().st_size, 0]
        assert client.ps().models == []
        assert "insert" in client.show("a").capabilities
        with pytest.raises(ollama.ResponseError, match="model not found"):
            client.show("c")


def test_somebody_is_there(http_ollama: httpx.Client) -> None:
    assert http_ollama.head("/").status_code == 200
    told = http_ollama.get("/api/version").json()
    assert told["halfbyte"] == halfbyte.__version__
    assert tuple(map(int, told["version"].split("."))) >= (0, 12, 11)
    assert http_ollama.get("/api/nothing").json().keys() == {"error"}
    assert http_ollama.get("/api/chat").status_code == 405
