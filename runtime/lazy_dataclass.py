"""`dataclass`, whose methods are written when they are first asked for.

The standard library's compiles some six functions a class, for half a millisecond, and a start
imports two hundred such classes, of which it uses few methods. The fields are the standard
library's, so that `fields`, `replace` and `asdict` take these classes too.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to checkers it is true, and this `dataclass` the standard library's
if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    import dataclasses

    def dataclass(*, frozen=False, slots=False, eq=True, repr=True, init=True, kw_only=False):
        """As `dataclasses.dataclass` with these options, of fields that are no InitVar.

        Whatever is `frozen` lets its subclasses set no attribute either.
        """

        def decorate(cls):
            own = dict(cls.__dict__)
            cls.__doc__ = cls.__doc__ or cls.__name__  # else the standard library asks for more
            made = dataclasses.dataclass(
                cls, init=False, repr=False, eq=False, slots=slots, kw_only=kw_only
            )
            methods = {
                "__init__": init and _Method(made, _init, frozen),
                "__repr__": repr and _Method(made, _repr),
                "__eq__": eq and _Method(made, _eq),
                **(_FROZEN if frozen else {}),
                **(_STATE if frozen and slots else {}),
            }
            for name, method in methods.items():
                if method and name not in own:
                    setattr(made, name, method)
            if eq and own.get("__hash__") is None:
                made.__hash__ = _Method(made, _hash) if frozen else None
            return made

        return decorate

    class _Method:
        """A method of `cls` until somebody looks at it: then its source is compiled.

        `write(cls, scope, *args)` gives the source and puts into `scope` what that refers to.
        """

        def __init__(self, cls, write, *args):
            self._cls, self._write, self._args = cls, write, args

        def __get__(self, instance, owner=None):
            cls, scope = self._cls, {}
            source = self._write(cls, scope, *self._args)
            exec(source, scope)  # of names of fields alone
            name = f"_{self._write.__name__}__"
            method = scope[name]
            method.__module__, method.__qualname__ = cls.__module__, f"{cls.__qualname__}.{name}"
            if name == "__init__":
                types = {f.name: f.type for f in dataclasses.fields(cls) if f.init}
                method.__annotations__ = types | {"return": None}
            setattr(cls, name, method)
            return method.__get__(instance, owner)

    class _Factory:
        """The default of a field that has a factory."""

        def __repr__(self):
            return "<factory>"

    def _init(cls, scope, frozen):
        scope |= {"_put": object.__setattr__, "_factory": _Factory()}
        first, by_name, lines = ["self"], [], ["pass"]
        for field in dataclasses.fields(cls):
            name = value = parameter = field.name
            if field.default is not dataclasses.MISSING:
                scope[f"_of_{name}"] = field.default
                parameter = f"{name}=_of_{name}"
                value = name if field.init else f"_of_{name}"
            elif field.default_factory is not dataclasses.MISSING:
                scope[f"_of_{name}"] = field.default_factory
                parameter = f"{name}=_factory"
                value = f"_of_{name}()"
                if field.init:
                    value = f"_of_{name}() if {name} is _factory else {name}"
            if field.init:
                (by_name if field.kw_only else first).append(parameter)
            if field.init or parameter != name:
                lines.append(
                    f"_put(self, {name!r}, {value})" if frozen else f"self.{name} = {value}"
                )
        if hasattr(cls, "__post_init__"):
            lines.append("self.__post_init__()")
        arguments = ", ".join([*first, *(["*", *by_name] if by_name else [])])
        return f"def __init__({arguments}):\n " + "\n ".join(lines)

    def _repr(cls, scope):
        shown = [f"{f.name}={{self.{f.name}!r}}" for f in dataclasses.fields(cls) if f.repr]
        text = "{self.__class__.__qualname__}(" + ", ".join(shown) + ")"
        return f"def __repr__(self): return f{text!r}"

    def _eq(cls, scope):
        names = [f.name for f in dataclasses.fields(cls) if f.compare]
        own, others = ("".join(f"{of}.{name}, " for name in names) for of in ("self", "other"))
        return (
            "def __eq__(self, other):\n"
            " if other.__class__ is not self.__class__: return NotImplemented\n"
            f" return ({own}) == ({others})"
        )

    def _hash(cls, scope):
        names = [f.name for f in dataclasses.fields(cls) if f.compare and f.hash is not False]
        return f"def __hash__(self): return hash(({''.join(f'self.{name}, ' for name in names)}))"

    def _refuse_setting(self, name, value):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def _refuse_deleting(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def _state(self):
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def _set_state(self, state):
        for field, value in zip(dataclasses.fields(self), state, strict=True):
            object.__setattr__(self, field.name, value)

    _FROZEN = {"__setattr__": _refuse_setting, "__delattr__": _refuse_deleting}
    _STATE = {"__getstate__": _state, "__setstate__": _set_state}
