"""Not the package, which lies in runtime/: what `import halfbyte` finds above a clone of that name.

Without this file that would be an empty namespace. It gives way to the installed halfbyte, or says
in a sentence what is missing; old Pythons have to be able to read it.
"""

import sys
from importlib.util import module_from_spec
from os.path import abspath, dirname

_CLONE = dirname(abspath(__file__))


def _installed():
    """The spec of the installed package, or None: what is found without the clone's folder."""
    paths = sys.path[:]
    sys.path[:] = [path for path in paths if abspath(path or ".") != dirname(_CLONE)]
    try:
        specs = (finder.find_spec(__name__, None) for finder in sys.meta_path)
        return next((spec for spec in specs if spec is not None and spec.origin), None)
    finally:
        sys.path[:] = paths


def _give_way():
    if sys.version_info < (3, 10):
        raise ImportError("halfbyte needs Python 3.10 or later; this is " + sys.version.split()[0])
    spec = _installed()
    if spec is None:
        raise ImportError(
            _CLONE + " is a clone of halfbyte, which is not installed: run `pip install "
            + _CLONE + "`, or `make demo` in there and then its .venv/bin/python"
        )  # fmt: skip
    module = module_from_spec(spec)
    sys.modules[__name__] = module
    spec.loader.exec_module(module)


if __name__ == "halfbyte":
    _give_way()
