"""Who may import whom. The tables are the architecture; imports inside functions count too.

A room is a folder, or a module at the top of `runtime/` or `kernels/`; names are importable ones
less `halfbyte.` (`converting` lies in `convert/`). A room may import itself, its row, and, outside
kernels, the ground, of which kernels take `dataclass` alone; the more particular row counts
(`prompt.template`, `prompt`).
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.architecture.house import FACADE, MODULES

# Room of kernels -> the rooms of kernels and the packages that it may import.
KERNELS = {
    "compiler": ("", "llvmlite numba"),
    "vectors": ("compiler", "llvmlite numba numpy"),
    "patience": ("compiler vectors", ""),
    "pool": ("compiler patience vectors", "numpy"),
    "formats": ("compiler vectors pool", "numpy"),
    "layouts": ("compiler vectors pool formats", "numpy"),
    "products": ("compiler vectors pool formats layouts", "llvmlite"),
    "quantizers": ("compiler vectors pool formats layouts", "numpy"),
    "limits": ("compiler vectors pool formats layouts products", "llvmlite numpy"),
    "stages": ("compiler vectors pool formats layouts products quantizers", "numpy"),
    "sampling": ("compiler vectors", "numpy"),
    "claims": ("compiler patience vectors pool", ""),
    "step": ("claims compiler vectors pool formats layouts products quantizers stages", ""),
}
# Room -> the rooms and the packages that it may import.
ROOMS = {
    # the ground
    "import_lock": ("", ""),
    "lazy_dataclass": ("", ""),
    "done_beside": ("", ""),
    "printable": ("", ""),
    "errors": ("printable", ""),
    "progress": ("", ""),
    "results": ("", ""),
    "call_arguments": ("errors progress", ""),
    "cache_scope": ("errors", ""),
    "process_bound": ("errors", ""),
    "settings": ("", "platformdirs"),
    "files": ("errors", "numpy"),
    "system": ("kernels settings", ""),
    # a model's parts
    "gguf": ("kernels.formats", "numpy"),
    "tokenizer": ("gguf settings", "google numpy sentencepiece tokenizers"),
    "families": ("gguf kernels.layouts", "numpy"),
    "lora": ("converting families gguf kernels.quantizers", "numpy"),
    "engine": ("families gguf kernels lora", "numpy"),
    "generation": (
        ("constraints engine kernels.compiler kernels.layouts kernels.sampling lora "
         "tokenizer"),
        "numpy",
    ),
    "constraints": ("tokenizer", "llguidance numpy"),
    "prompt": ("prompt.template tokenizer", "numpy"),
    "prompt.template": ("", "jinja2"),
    "quality": ("families gguf kernels.quantizers tokenizer", "gguf numpy"),
    # files into models
    "converting": (
        "families gguf kernels lora quality system tokenizer",
        "gguf numpy safetensors typing_extensions",
    ),
    "models": ("converting gguf settings", "filelock huggingface_hub"),
    "planning": ("constraints families generation prompt tokenizer", "llguidance"),
    "methods": (
        ("engine generation kernels.compiler lora planning prompt quality settings system "
         "tokenizer"),
        "numpy typing_extensions",
    ),
    "model": (
        "engine families generation methods planning prompt tokenizer",
        "numpy typing_extensions",
    ),
    "engine_options": ("engine families settings system", ""),
    "loading": (
        (
            "engine engine_options families generation gguf kernels lora methods model models "
            "settings system tokenizer"
        ),
        "",
    ),
    "golden": ("model quality", "numpy"),
    "verification": ("gguf golden loading model quality tokenizer", "numpy"),
    "conversion": ("converting golden loading lora models quality", "typing_extensions"),
    # what users see
    "halfbyte": (
        ("conversion converting generation hf kernels.compiler loading model models prompt "
         "tokenizer"), "",
    ),
    "hf": (
        ("families generation gguf loading model models prompt.template "
         "settings tokenizer"),
        "numpy sentencepiece tokenizers torch typing_extensions",
    ),
    "cli": (  # everything but kernels
        ("constraints conversion converting engine families generation gguf golden halfbyte hf "
         "loading model models prompt quality server settings system tokenizer "
         "verification"),
        "httptools numpy prometheus_client pydantic starlette tomli uvicorn",
    ),
    "server": (
        "families generation gguf halfbyte model models prompt tokenizer",
        "numpy prometheus_client pydantic pydantic_core starlette uvicorn",
    ),
    "ray": ("halfbyte server", "numpy ray starlette"),
    "__main__": ("cli kernels.compiler", ""),
    # kernels' own map, and its rooms
    "kernels": ("", ""),
    **{
        f"kernels.{room}": (" ".join(f"kernels.{name}" for name in rooms.split()), packages)
        for room, (rooms, packages) in KERNELS.items()
    },
}  # fmt: skip
# Code generation stays in these files.
LLVMLITE = {
    "kernels/compiler/host_cpu.py",
    "kernels/compiler/llvm_linker.py",
    "kernels/compiler/numba_compiler.py",
    "kernels/limits/int8_peak.py",
    "kernels/products/bf16_weights.py",
    "kernels/products/byte_dots.py",
    "kernels/products/dots.py",
    "kernels/vectors/amx.py",
    "kernels/vectors/atomics.py",
    "kernels/vectors/bf16.py",
    "kernels/vectors/calls.py",
    "kernels/vectors/emit.py",
    "kernels/vectors/hadamard.py",
    "kernels/vectors/scalars.py",
    "kernels/vectors/simd.py",
    "kernels/vectors/table_lookup.py",
    "kernels/vectors/tile_type.py",
    "kernels/vectors/tiles.py",
    "kernels/vectors/transpose.py",
}
GROUND = {
    "cache_scope",
    "call_arguments",
    "done_beside",
    "errors",
    "files",
    "import_lock",
    "lazy_dataclass",
    "printable",
    "process_bound",
    "progress",
    "results",
}


def _short(name: str) -> str:
    return name.removeprefix("halfbyte.")


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] == "halfbyte"


def _is_in(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def _room_of(name: str) -> str | None:
    """The longest row that the name lies in."""
    return max((room for room in ROOMS if _is_in(_short(name), room)), key=len, default=None)


def _may(room: str, imported: str) -> bool:
    """Whether the tables let a room import that module or package."""
    rooms, packages = (set(column.split()) for column in ROOMS[room])
    if not _is_ours(imported):
        return imported.partition(".")[0] in packages
    if room not in GROUND:
        rooms |= {"lazy_dataclass"} if _is_in(room, "kernels") else GROUND
    return _room_of(imported) == room or any(_is_in(_short(imported), r) for r in rooms)


def test_every_module_has_a_row() -> None:
    lost = [module.path for module in MODULES.values() if _room_of(module.name) is None]
    assert not lost, f"{lost}: no row; say in ROOMS or KERNELS what they may import"


def test_arrows() -> None:
    wrong = [
        f"{module.path}:{one.line} imports {one.name}"
        for module in MODULES.values()
        if (room := _room_of(module.name)) is not None
        for one in module.imports
        if not _may(room, one.name)
    ]
    assert not wrong, "move the code, or change the architecture (ROOMS):\n" + "\n".join(wrong)


def test_the_tables_name_what_is_there() -> None:
    named = set(ROOMS) | {room for rooms, _ in ROOMS.values() for room in rooms.split()}
    missing = {name for name in named if name not in map(_short, MODULES)}
    assert not missing, "no such module; correct ROOMS or KERNELS"


@pytest.mark.parametrize("room", ROOMS)
def test_packages_of_the_tables_are_used(room: str) -> None:
    used = {
        one.name.partition(".")[0]
        for module in MODULES.values()
        if _room_of(module.name) == room
        for one in module.imports
    }
    unused = set(ROOMS[room][1].split()) - used
    assert not unused, f"{room} imports them no more; delete from its row"


def test_conversion_is_imported_lazily() -> None:
    """Whoever loads a finished model does not pay for what makes one."""
    eager = [
        f"{module.path}:{one.line}"
        for module in MODULES.values()
        if _room_of(module.name) not in {"converting", "conversion"}
        for one in module.imports
        if not one.lazy
        and (_is_in(_short(one.name), "converting") or _short(one.name) == "conversion")
    ]
    assert not eager, f"import what converts inside a function: {eager}"


def _circle(arrows: set[tuple[str, str]]) -> str:
    """A circle among the modules, as text; "" if there is none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for source, imported in arrows:
        sorter.add(source, imported)
    try:
        sorter.prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return ""


def _arrows() -> set[tuple[str, str]]:
    """Who imports whom, less the facade, which offers the names of all."""
    return {
        (module.name, one.name)
        for module in MODULES.values()
        for one in module.imports
        if _is_ours(one.name) and FACADE not in (module.name, one.name)
    }


def test_no_circles() -> None:
    circle = _circle(_arrows())
    assert not circle, f"move what both need below both: {circle}"


def test_code_generation_stays_where_it_is() -> None:
    users = {
        module.path
        for module in MODULES.values()
        if any(_is_in(one.name, "llvmlite") for one in module.imports)
    }
    assert not users - LLVMLITE, "use the operations of kernels/vectors, or extend LLVMLITE"
    assert not LLVMLITE - users, "generates no code any more; delete from LLVMLITE"


def test_dataclasses_are_lazy() -> None:
    slow = [
        f"{module.path}:{node.lineno}"
        for module in MODULES.values()
        if module.name != "halfbyte.lazy_dataclass"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses"
        if {"dataclass"} <= (names := {one.name for one in node.names}) and "InitVar" not in names
    ]
    assert not slow, f"take halfbyte.lazy_dataclass's: {slow}"
