"""Modules that are loaded when something of them is first asked for: showing help must not load what computes."""

import importlib.util
import sys
from types import ModuleType


def later(name: str) -> ModuleType:
    """A module that runs at the first look at one of its names (Python documentation, "Implementing lazy imports").

    Its packages are imported at once, and whatever is wrong in it shows at that first look.
    """
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
