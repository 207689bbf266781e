"""Write tests/data/golden_keys.json: every key that transformers or llama.cpp reads.

PYTHONPATH=LLAMA_CPP/gguf-py .venvs/torch/bin/python benchmarks/make_keys_golden.py LLAMA_CPP PEER

LLAMA_CPP is a checkout of llama.cpp, PEER a Python that has llama-cpp-python (.venvs/peer): it
saves a model with llama.cpp's own saver.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gguf
import transformers
from transformers import GenerationConfig
from transformers.modeling_rope_utils import RopeParameters
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "data" / "golden_keys.json"
LIBRARY = Path(transformers.__file__).parent
# Where transformers' models of all families share code that asks configurations.
SHARED = ("modeling_utils", "masking_utils", "cache_utils", "modeling_rope_utils",
          "modeling_layers", "configuration_utils")  # fmt: skip
CONFIG = re.compile(r"(hparams|config|text_config)$")
ROPE = re.compile(r"(rope_parameters|rope_scaling|rope_params)$")
SAVE = """
import sys
import llama_cpp
llama_cpp.llama_backend_init()
parameters = llama_cpp.llama_model_default_params()
model = llama_cpp.llama_model_load_from_file(sys.argv[1].encode(), parameters)
llama_cpp.llama_model_save_to_file(model, sys.argv[2].encode())
"""


def asked(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Objects and the keys that they are asked for, as `config["a"]` or `getattr(config, "a")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            yield from _texts(node.value, [node.slice])
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
            yield from _texts(node.comparators[0], [node.left])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if node.func.attr in ("get", "pop"):
                yield from _texts(node.func.value, node.args[:1])
            if node.func.attr == "find_hparam" and isinstance(node.args[0], ast.List):
                yield from _texts(ast.Name("hparams"), node.args[0].elts)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
            yield from _texts(node.args[0], node.args[1:2])


def _texts(owner: ast.expr, keys: list[ast.expr]) -> Iterator[tuple[str, str]]:
    for key in keys:
        if (
            isinstance(key, ast.Constant)
            and isinstance(key.value, str)
            and key.value.isidentifier()
        ):
            yield ast.unparse(owner), key.value


def config_keys(llama_cpp: Path) -> dict[str, set[str]]:
    """Keys of config.json: of decoders of text, of other models alone, of the object for RoPE."""
    found: dict[str, set[str]] = {"decoders": set(), "others": set(), "rope": set()}
    for kind in CONFIG_MAPPING_NAMES:
        made = CONFIG_MAPPING[kind]
        is_decoder = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        keys = {field.name for field in dataclasses.fields(made)} | set(made.attribute_map)
        found["decoders" if is_decoder else "others"] |= keys
    files = [*(LIBRARY / f"{name}.py" for name in SHARED), *llama_cpp.glob("conversion/*.py")]
    for file in files:
        for owner, key in asked(ast.parse(file.read_text("utf-8"))):
            if ROPE.search(owner):
                found["rope"].add(key)
            elif CONFIG.search(owner) or (owner == "kwargs" and file.stem == "configuration_utils"):
                found["decoders"].add(key)
    found["decoders"] |= set(GenerationConfig._get_default_generation_params())
    found["rope"] |= set(RopeParameters.__annotations__)
    found["others"] -= found["decoders"]
    return found


def gguf_keys(llama_cpp: Path) -> dict[str, list[str]]:
    """Keys behind the architecture, and elsewhere."""
    source = (llama_cpp / "src" / "llama-arch.cpp").read_text("utf-8")
    keys = set(re.findall(r'\{ LLM_KV_\w+, +"([^"]+)"', source))
    keys |= {key.replace("{arch}", "%s") for key in _constants(gguf.constants.Keys)}
    keys = {key for key in keys if "{" not in key}  # those with numbers or names within describe
    return {
        "architecture": sorted(k.removeprefix("%s.") for k in keys if k.startswith("%s.")),
        "elsewhere": sorted(k for k in keys if not k.startswith("%s.")),
    }


def _constants(owner: type) -> Iterator[str]:
    for name, value in vars(owner).items():
        if not name.startswith("__"):
            yield from [value] if isinstance(value, str) else _constants(value)


def saved_numbers(peer_python: str) -> dict[str, object]:
    """What llama.cpp's saver says of a model beside its vocabulary."""
    with tempfile.TemporaryDirectory() as folder:
        model, out = ROOT / "runtime" / "data" / "infill-10m.gguf", Path(folder) / "saved.gguf"
        subprocess.run([peer_python, "-c", SAVE, str(model), str(out)], check=True)
        fields = gguf.GGUFReader(out).fields
        found = {k: field.contents() for k, field in fields.items() if field.types}
    found = {k: v for k, v in found.items() if not k.startswith(("tokenizer.", "GGUF."))}
    return {k: v[:8] if isinstance(v, list) else v for k, v in found.items()}


def main() -> None:
    """Collect all and write them."""
    llama_cpp = Path(sys.argv[1])
    document = {
        "transformers": transformers.__version__,
        "config": {kind: sorted(keys) for kind, keys in config_keys(llama_cpp).items()},
        "gguf": gguf_keys(llama_cpp),
        "saved": saved_numbers(sys.argv[2]),
    }
    lines = json.dumps(document, indent=None).replace('], "', '],\n"').replace('}, "', '},\n"')
    OUT.write_text(lines + "\n")


if __name__ == "__main__":
    main()
