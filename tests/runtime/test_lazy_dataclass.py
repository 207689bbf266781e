"""`dataclass` against the standard library's."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict, field, fields, replace
from typing import Any

import pytest

from halfbyte.lazy_dataclass import dataclass

OPTIONS: list[dict[str, Any]] = [
    {},
    {"frozen": True},
    {"frozen": True, "slots": True},
    {"slots": True, "kw_only": True},
    {"frozen": True, "slots": True, "eq": False, "repr": False},
]


def _class(decorator: Callable[..., Any], options: dict[str, Any]) -> Any:
    """A class with each kind of field, decorated."""

    class Point:
        """A place."""

        x: int
        y: float = 1.5
        names: list[str] = field(default_factory=list, repr=False)
        note: str = field(default="", compare=False)
        made: int = field(default=7, init=False)
        last: int = field(default=0, kw_only=True)

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("x is negative")

    Point.__qualname__ = "Point"
    return decorator(**options)(Point)


@dataclass(frozen=True, slots=True)
class Kept:
    """What pickle finds by its name."""

    x: int
    items: tuple[int, ...] = ()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_as_the_standard_library(options: dict[str, Any]) -> None:
    ours, theirs = _class(dataclass, options), _class(dataclasses.dataclass, options)
    names = [f.name for f in fields(theirs)]
    assert [f.name for f in fields(ours)] == names
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    a, b = (cls(x=2, note="n") for cls in (ours, theirs))
    assert (
        [getattr(a, n) for n in names] == [getattr(b, n) for n in names] == [2, 1.5, [], "n", 7, 0]
    )
    assert asdict(replace(a, y=3.0, last=4)) == asdict(replace(b, y=3.0, last=4))
    if options.get("repr", True):
        assert repr(a) == repr(b) == "Point(x=2, y=1.5, note='n', made=7, last=0)"
    for change in ({"x": 2}, {"x": 2, "note": "other"}, {"x": 3}):
        assert (a == ours(**change)) == (b == theirs(**change))
    assert a != b and a != 2
    assert (ours.__hash__ is None) == (theirs.__hash__ is None)
    assert hasattr(a, "__dict__") == hasattr(b, "__dict__")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_faults_as_the_standard_library(options: dict[str, Any]) -> None:
    def faults(cls: Any) -> Iterator[tuple[type[BaseException], str]]:
        place = cls(x=1)
        attempts: list[Callable[[], object]] = [
            cls,
            lambda: cls(x=1, z=2),
            lambda: cls(1, 2.0, [], "", 7, 0),
            lambda: cls(x=-1),
            lambda: setattr(place, "x", 5),
            lambda: delattr(place, "x"),
        ]
        for attempt in attempts:
            with pytest.raises(BaseException) as caught:
                attempt()
                raise KeyError("no fault")
            yield caught.type, str(caught.value)

    ours, theirs = _class(dataclass, options), _class(dataclasses.dataclass, options)
    assert list(faults(ours)) == list(faults(theirs))


def test_equal_places_have_equal_hashes() -> None:
    a, b, c = Kept(1, (2,)), Kept(1, (2,)), Kept(1, (3,))
    assert {a, b, c} == {a, c} and hash(a) == hash(b) == hash((1, (2,)))


def test_copies() -> None:
    one = Kept(1, (2, 3))
    assert pickle.loads(pickle.dumps(one)) == copy.copy(one) == copy.deepcopy(one) == one


def test_own_methods_stay() -> None:
    @dataclass(frozen=True)
    class Own:
        x: int

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 5

        def __repr__(self) -> str:
            return "own"

    assert Own(1) == Own(2) and hash(Own(1)) == 5 and repr(Own(1)) == "own"


def test_classes_that_inherit() -> None:
    @dataclass(frozen=True, slots=True)
    class Base:
        x: int

    @dataclass(frozen=True, slots=True)
    class Derived(Base):
        y: int = 2

    assert (Derived(1).x, Derived(1).y) == (1, 2) and Derived(1) != Base(1)


def test_methods_are_written_on_first_use() -> None:
    @dataclass(frozen=True, slots=True)
    class Late:
        x: int

    before = vars(Late)["__init__"]
    assert Late(3).x == 3
    assert inspect.isfunction(vars(Late)["__init__"]) and not inspect.isfunction(before)
    assert not inspect.isfunction(vars(Late)["__repr__"])
