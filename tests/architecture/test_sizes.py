"""How large a file and a function may be: a screen for a function, few parameters.

What is larger is listed with the size it may not exceed; what has become small enough leaves its
list. Lines of a function count from `def`; `self` and `cls` are no parameters.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.architecture.house import MODULES, Function, functions_in

MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 50
MAX_PARAMETERS = 12

LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS = {}
MANY_PARAMETERS = {
    "kernels/products/matmul.py:_tile_of.add_tile": 14,
    "kernels/products/float_units.py:add_float_units": 19,
    "kernels/products/scaled_units.py:add_scaled_units": 19,
    "kernels/products/scaled_units.py:add_q2_k_units": 19,
    "kernels/products/scaled_units.py:add_super_16_units": 19,
    "kernels/products/scaled_units.py:add_super_32_units": 19,
    "kernels/products/power_units.py:add_power_units": 19,
    "kernels/products/wide_units.py:add_2_units": 19,
    "kernels/products/wide_units.py:add_4_units": 19,
    "kernels/products/wide_units.py:add_8_units": 19,
    "kernels/products/wide_units.py:add_units_of": 19,
    "kernels/stages/attention_page.py:attend_page": 19,
    "kernels/stages/attention_page.py:weigh_rows": 13,
    "kernels/stages/codes_page.py:attend_codes": 19,
    "kernels/stages/latent_page.py:attend_latents": 19,
    "runtime/loading.py:load": 15,
    "runtime/hf/tokenizer/code_llama_tokenizer.py:CodeLlamaTokenizer.__init__": 19,
}


def _n_lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _n_parameters(function: Function) -> int:
    all_of = function.args
    named = [*all_of.posonlyargs, *all_of.args, *all_of.kwonlyargs]
    starred = [arg for arg in (all_of.vararg, all_of.kwarg) if arg is not None]
    return len([arg for arg in named + starred if arg.arg not in ("self", "cls")])


def _functions() -> Iterator[tuple[str, Function]]:
    for module in MODULES.values():
        for name, function in functions_in(module.tree):
            yield f"{module.path}:{name}", function


def _sizes(kind: str) -> list[tuple[str, int]]:
    if kind == "LONG_FILES":
        return [(module.path, module.n_lines) for module in MODULES.values()]
    size = _n_lines if kind == "LONG_FUNCTIONS" else _n_parameters
    return [(name, size(function)) for name, function in _functions()]


@pytest.mark.parametrize(
    ("kind", "limit", "exceptions"),
    [
        ("LONG_FILES", MAX_FILE_LINES, LONG_FILES),
        ("LONG_FUNCTIONS", MAX_FUNCTION_LINES, LONG_FUNCTIONS),
        ("MANY_PARAMETERS", MAX_PARAMETERS, MANY_PARAMETERS),
    ],
)
def test_sizes(kind: str, limit: int, exceptions: dict[str, int]) -> None:
    sizes = _sizes(kind)
    wrong = [
        f"{name}: {size}; at most {exceptions.get(name, limit)}, so divide it"
        for name, size in sizes
        if size > exceptions.get(name, limit)
    ]
    unneeded = set(exceptions) - {name for name, size in sizes if size > limit}
    wrong += [f"{name}: small enough or gone, delete from {kind}" for name in sorted(unneeded)]
    assert not wrong, "\n".join(wrong)
