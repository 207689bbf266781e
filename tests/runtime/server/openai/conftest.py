"""Models that chat: the packaged one with templates of others, and clients of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import httpx
import openai
import pytest

import halfbyte
from halfbyte.server.served_model import ServedModel
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving

ROOT = Path(__file__).resolve().parents[4]
PACKAGED = ROOT / "runtime" / "data" / "infill-10m.gguf"
TEMPLATES = ROOT / "tests" / "runtime" / "prompt" / "template" / "templates"
# A model that always thinks first, as R1 does.
THINKS = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n"
    "{% if m['reasoning_content'] %}({{ m['reasoning_content'] }}){% endif %}{% endfor %}"
    "{% if enable_thinking is defined and not enable_thinking %}{% else %}<think>\n{% endif %}"
    "{# </think> #}"
)


def with_template(path: Path, template: str) -> Path:
    """The packaged model with a chat template."""
    reader = gguf.GGUFReader(PACKAGED)
    writer = gguf.GGUFWriter(path, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind = field.types[0]
        element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, element)
    writer.add_chat_template(template)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="session")
def chat_shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """`tools` calls functions as Qwen does, `thinks` thinks first, and `plain` has no template."""
    folder = tmp_path_factory.mktemp("chats")
    tools = (TEMPLATES / "qwen.jinja").read_text("utf-8")
    sources = {
        "tools": str(with_template(folder / "tools.gguf", tools)),
        "thinks": str(with_template(folder / "thinks.gguf", THINKS)),
        "plain": "infill-10m",
    }
    made = Shelf(sources, halfbyte.load)
    models = [halfbyte.load(source, threads=2) for source in sources.values()]
    for name, model in zip(sources, models, strict=True):
        made.put(name, model)
    yield made
    for model in models:
        model.close()


@pytest.fixture(scope="session")
def chat_url(chat_shelf: Shelf) -> Iterator[str]:
    """A server of them."""
    with serving(chat_shelf) as made:
        yield made


@pytest.fixture
def chatter(chat_url: str) -> Iterator[openai.OpenAI]:
    """OpenAI's client of that server."""
    with openai.OpenAI(
        base_url=f"{chat_url}/v1", api_key="none", max_retries=0,
        http_client=httpx.Client(trust_env=False, timeout=60),
    ) as made:  # fmt: skip
        yield made


@pytest.fixture
def post(chat_url: str) -> Iterator[httpx.Client]:
    """A plain client of it."""
    with httpx.Client(base_url=chat_url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def tools_model(chat_shelf: Shelf) -> halfbyte.Model:
    """The model that calls functions."""
    return _loaded(chat_shelf, "tools").model


@pytest.fixture
def thinking_model(chat_shelf: Shelf) -> halfbyte.Model:
    """The model that thinks."""
    return _loaded(chat_shelf, "thinks").model


@pytest.fixture
def served_tools(chat_shelf: Shelf) -> ServedModel:
    """The model that calls functions, as protocols see it."""
    return _loaded(chat_shelf, "tools")


def _loaded(shelf: Shelf, name: str) -> ServedModel:
    return next(one for one in shelf.loaded() if one.name == name)


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    """As a user makes it, but that it does not look for proxies."""
    with openai.OpenAI(
        base_url=f"{url}/v1", api_key="none", http_client=httpx.Client(trust_env=False)
    ) as made:
        yield made


@pytest.fixture
def model(shelf: Shelf) -> halfbyte.Model:
    """The served model, for what is right."""
    return shelf.loaded()[0].model
