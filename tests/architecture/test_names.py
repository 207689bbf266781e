"""Names: the packages that are installed, files that can be told apart, public names."""

from __future__ import annotations

import sys
from collections import defaultdict

import halfbyte
from tests.architecture.house import MODULES, PACKAGES, ROOT, Module, importable_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest needs it there

# Names that several files outside kernels and the command line have. The list may only shrink.
SAME_NAMES = {
    "errors": ["runtime/errors.py", "runtime/hf/errors.py"],
    "source": ["convert/sources/source.py", "runtime/prompt/template/source.py"],
}


def test_every_folder_is_an_installed_package() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = {importable_name(module.folder): module.folder for module in MODULES.values()}
    assert tools["package-dir"] == folders, "pyproject's package-dir lists other folders"
    assert sorted(tools["packages"]) == sorted(folders), "pyproject's packages lists other folders"


def test_every_folder_has_an_init() -> None:
    bare = {module.folder for module in MODULES.values()} - {
        module.folder for module in MODULES.values() if module.is_package
    }
    assert not bare, f"{sorted(bare)}: add an __init__.py that says what the folder holds"


def _same_names(modules: list[Module]) -> dict[str, list[str]]:
    by_name = defaultdict(list)
    for module in modules:
        if not module.stem.startswith("__"):
            by_name[module.stem].append(module.path)
    return {name: sorted(paths) for name, paths in by_name.items() if len(paths) > 1}


def test_names_of_kernels_are_unique() -> None:
    kernels = [m for m in MODULES.values() if m.path.startswith("kernels/")]
    assert not _same_names(kernels), "rename one: a file's name says its one noun"


def test_names_outside_kernels_are_unique() -> None:
    """The command line's files are left out: each has the name of its command."""
    others = [m for m in MODULES.values() if not m.path.startswith(("kernels/", "runtime/cli/"))]
    same = _same_names(others)
    assert {n: p for n, p in same.items() if p != SAME_NAMES.get(n)} == {}, "rename one"
    assert set(SAME_NAMES) <= set(same), "unique now; delete from SAME_NAMES"


def test_no_public_name_is_shadowed_by_a_module() -> None:
    """Importing halfbyte.load would make `halfbyte.load` the module, whoever does it."""
    shadowed = [name for name in halfbyte.__all__ if f"halfbyte.{name}" in MODULES]
    assert not shadowed, f"rename the modules {shadowed}"
    assert set(PACKAGES) & set(halfbyte.__all__) == {"convert"}  # why its package is `converting`
