"""Models that chat, for the protocols' tests: the packaged one with templates of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import gguf

import halfbyte
from halfbyte.server.shelf import Shelf
from tests.gguf_copies import copy_keys, write

PACKAGED = Path(__file__).resolve().parents[3] / "runtime" / "data" / "infill-10m.gguf"
_TOOLS = "{% for t in tools or [] %}{{ t | tojson }}\n{% endfor %}"
_TURNS = (
    "{% for m in messages %}|{{ m.role }}|"
    "{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{{ c.id }}"
    "{% endfor %}{% if m.tool_call_id %}{{ m.tool_call_id }}{% endif %}\n{% endfor %}|assistant|"
)
# Calls functions as Hermes does, and never thinks.
CALLS = _TOOLS + _TURNS
# Thinks first, unless it is told not to.
THINKS = CALLS + (
    "{% if enable_thinking is defined and not enable_thinking %}{% else %}<think>\n{% endif %}"
    "{# </think> #}"
)


@cache
def _packaged() -> gguf.GGUFReader:
    return gguf.GGUFReader(PACKAGED)  # which takes a while to look at each field


def with_template(path: Path, template: str | Sequence[Mapping[str, str]]) -> Path:
    """The packaged model's file with a chat template, or several, as `{"name", "template"}`."""
    reader, writer = _packaged(), gguf.GGUFWriter(path, "llama")
    copy_keys(reader, writer)
    writer.add_chat_template(template)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    write(writer)
    return path


@contextmanager
def chat_models(folder: Path, others: Mapping[str, halfbyte.Model]) -> Iterator[Shelf]:
    """A shelf with `calls`, `thinks` and other models, which are loaded already."""
    sources = {
        "calls": str(with_template(folder / "calls.gguf", CALLS)),
        "thinks": str(with_template(folder / "thinks.gguf", THINKS)),
    }
    shelf = Shelf({**sources, **{name: name for name in others}}, halfbyte.load)
    with ExitStack() as models:
        for name, source in sources.items():
            shelf.put(name, models.enter_context(halfbyte.load(source, threads=2)))
        for name, model in others.items():
            shelf.put(name, model)
        yield shelf
