"""What one scope has asked, no other can tell: neither by counts nor by what is quicker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.cache_scope import current_scope, scoped
from halfbyte.constraints.constraint import Constraint
from halfbyte.errors import RequestError
from halfbyte.generation.speculation.pool import Pools
from halfbyte.tokenizer.known_parts import KnownParts

TEXT = "".join(f"def f{i}(x):\n    return x + {i}\n\n\n" for i in range(12))


@pytest.fixture(scope="module")
def model() -> Iterator[halfbyte.Model]:
    with halfbyte.load("infill-10m", threads=1) as loaded:
        yield loaded


def n_reused(model: halfbyte.Model, **how: Any) -> int:
    return model.complete(TEXT, max_tokens=3, **how).stats.n_reused


def test_prompts_are_known_in_their_scope_alone(model: halfbyte.Model) -> None:
    plain = model.complete(TEXT, max_tokens=3)
    ours = model.complete(TEXT, max_tokens=3, cache_scope="ours")
    assert ours.stats.n_reused == 0 and n_reused(model, cache_scope="theirs") == 0
    again = model.complete(TEXT, max_tokens=3, cache_scope="ours")
    assert again.stats.n_reused > 100 and n_reused(model) > 100
    assert plain.tokens == ours.tokens == again.tokens


def test_a_context_has_a_scope_that_a_call_may_change(model: halfbyte.Model) -> None:
    with scoped("a context's"):
        assert n_reused(model) == 0
        assert n_reused(model) > 100
        assert n_reused(model, cache_scope="a call's") == 0
    assert current_scope() is None
    assert n_reused(model, cache_scope="a context's") > 100


async def _three(model: halfbyte.Model) -> list[int]:
    scopes = ("one", "two", "one")
    done = [await model.acomplete(TEXT, max_tokens=3, cache_scope=scope) for scope in scopes]
    return [one.stats.n_reused for one in done]


def test_so_it_is_with_asyncio(model: halfbyte.Model) -> None:
    import asyncio

    first, second, third = asyncio.run(_three(model))
    assert (first, second) == (0, 0) and third > 100


def test_nobody_types_along_with_others(model: halfbyte.Model) -> None:
    def typed(prefix: str, scope: str) -> int:
        return model.infill(prefix, "\n", max_tokens=12, cache_scope=scope).n_typed

    whole = model.infill("import nu", "\n", max_tokens=12, cache_scope="typing")
    longer = "import nu" + whole.text[:2]
    assert typed(longer, "else") == 0
    assert typed(longer, "typing") == 2


def test_scores_and_embeddings_have_one(model: halfbyte.Model) -> None:
    model.score(TEXT, "def", cache_scope="scores")
    assert n_reused(model, cache_scope="scores") > 100
    with scoped("embedded"):
        model.embed(TEXT, pooling="last")
        assert n_reused(model) > 100


def test_a_saved_cache_keeps_them_apart(model: halfbyte.Model, tmp_path: Path) -> None:
    model.complete(TEXT, max_tokens=3, cache_scope="saved")
    model.save_cache(tmp_path / "cache")
    with halfbyte.load("infill-10m", threads=1) as other:
        other.load_cache(tmp_path / "cache")
        assert n_reused(other, cache_scope="nobody's") == 0
        assert n_reused(other, cache_scope="saved") > 100


def test_parts_of_texts_are_known_in_their_scope_alone() -> None:
    asked: list[str] = []

    def encode(part: str) -> list[int]:
        asked.append(part)
        return [1]

    known, part = KnownParts(), "x" * 100
    for scope in ("a", "a", "b", None):
        with scoped(scope):
            known.ids(part, None, encode)
    assert len(asked) == 3


def test_grammars_are_compiled_for_each(model: halfbyte.Model) -> None:
    grammars, asked = model._planner._maker.grammars, Constraint("regex", "[0-9]+")
    with scoped("a"):
        mine = grammars.compiled(asked)
        assert grammars.compiled(asked) is mine
    assert grammars.compiled(asked) is not mine


def test_answers_are_guessed_from_ones_own() -> None:
    pools = Pools()
    pools.of("a").add([1, 2, 3])
    assert pools.of("a").texts[0].ids and not pools.of("b").texts[0].ids
    for i in range(8):
        pools.of(str(i))
    assert not pools.of("a").texts[0].ids  # of many, those used last are kept


@pytest.mark.parametrize("scope", ["", "x" * 257, 1, b"x"])
def test_a_bad_scope_is_named(model: halfbyte.Model, scope: Any) -> None:
    with pytest.raises(RequestError) as caught:
        model.complete("x", cache_scope=scope)
    assert caught.value.param == "cache_scope"
