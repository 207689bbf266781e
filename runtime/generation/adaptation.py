"""The adapters of a model by name, and which of them a call goes through."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from halfbyte.call_arguments import literal
from halfbyte.engine.adapter_weights import AdapterWeights, Applied
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.lora.paths import check_scale, is_pair

_EXPECTED = "a name, a pair of name and scale, or a list of these"


class LoadedAdapters:
    """Those of one model; each change is one store, so that threads may look at any time.

    Attributes:
        usual: what calls go through that do not say.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, AdapterWeights] = {}
        self.usual: tuple[Applied, ...] = ()

    @property
    def names(self) -> list[str]:
        """Their names, in the order in which they were loaded."""
        return list(self._by_name)

    def check_new(self, name: object) -> str:
        """A name that none has; RequestError where one does."""
        if not isinstance(name, str) or not name:
            raise RequestError("name", expected="a name, or None", got=literal(name))
        if name in self._by_name:
            hint = "unload it first, or give this one another name"
            raise RequestError("name", expected="a name that no adapter has", got=name, hint=hint)
        return name

    def add(self, name: str, weights: AdapterWeights) -> None:
        """Have one more."""
        self._by_name = {**self._by_name, name: weights}

    def remove(self, name: object) -> AdapterWeights:
        """Have one less; RequestError where there is none of that name."""
        found = self.get(name, "name")
        self._by_name = {n: one for n, one in self._by_name.items() if n != name}
        self.usual = tuple(one for one in self.usual if one.weights is not found)
        return found

    def get(self, name: object, param: str) -> AdapterWeights:
        """The one of that name; RequestError names the argument `param`."""
        found = self._by_name.get(name) if isinstance(name, str) else None
        if found is None:
            known = ", ".join(self._by_name) or "none: model.load_adapter loads one"
            raise RequestError(param, expected="the name of a loaded adapter", got=literal(name),
                               hint=f"loaded are {known}")  # fmt: skip
        return found

    @property
    def usual_scales(self) -> dict[str, float]:
        """Each one's scale in calls that do not say, by name; 0 where it has no part."""
        scales = {one.weights.digest: one.scale for one in self.usual}
        return {name: scales.get(one.digest, 0.0) for name, one in self._by_name.items()}

    def has(self, digest: str) -> bool:
        """Whether one computes that."""
        return any(one.digest == digest for one in self._by_name.values())


@dataclass(frozen=True, slots=True)
class Adaptation:
    """The adapters that a call goes through, in order."""

    applied: tuple[Applied, ...] = ()

    @classmethod
    def split(
        cls, loaded: LoadedAdapters, options: Mapping[str, Any]
    ) -> tuple[Adaptation, dict[str, Any]]:
        """That among a call's options, and the other options.

        Raises:
            RequestError: an unknown name, or a scale that is none.
        """
        rest = dict(options)
        return cls(applied(loaded, rest.pop("adapter", None))), rest

    @property
    def key(self) -> str | None:
        """What tells it from others; None for the model alone."""
        return key_of(self.applied)


def applied(loaded: LoadedAdapters, adapter: object) -> tuple[Applied, ...]:
    """The adapters of an argument `adapter`, those of scale 0 left out; the usual for None."""
    if adapter is None:
        return loaded.usual
    made = []
    for one in _items(adapter):
        name, scale = one if is_pair(one) else (one, 1.0)
        made.append(Applied(loaded.get(name, "adapter"), check_scale(scale, "adapter")))
    return tuple(one for one in made if one.scale)


def _items(adapter: object) -> list[object]:
    if isinstance(adapter, str) or is_pair(adapter):
        return [adapter]
    is_list = isinstance(adapter, Iterable) and not isinstance(adapter, (bytes, Mapping))
    if is_list and getattr(adapter, "shape", None) != ():  # no array that is a number
        return list(adapter)  # type: ignore[call-overload]
    raise RequestError("adapter", expected=_EXPECTED, got=literal(adapter))


def key_of(adapters: Iterable[Applied], scope: str | None = None) -> str | None:
    """What remembered prompts are told apart by: what is computed, at which scale, and for whom."""
    key = "+".join(f"{one.weights.digest}*{one.scale!r}" for one in adapters)
    return key or None if scope is None else f"{key}@{scope!r}"


def is_of(key: Hashable, scope: str | None) -> bool:
    """Whether what is remembered under a key of `key_of` is a scope's; None's is all there is."""
    return scope is None or (isinstance(key, str) and key.partition("@")[2] == repr(scope))
