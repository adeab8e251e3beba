"""Lets Rasa run without TensorFlow: stands in for the packages it imports at module level and never calls here.

Imported before `rasa`. It knows nothing of Rasa; it answers for a fixed list of package names and for nothing else.
Rasa 3.6 imports TensorFlow unconditionally through `rasa.nlu.extractors.extractor`, whatever the pipeline needs.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

ABSENT_PACKAGES = ("tensorflow", "tensorflow_hub", "tensorflow_text", "tensorflow_addons", "keras", "tensorboard")
REPORTED_VERSION = "2.12.0"


class TensorFlowAbsent(RuntimeError):
    """Something called into TensorFlow, which this environment leaves out on purpose."""


class _StandIn(type):
    """Makes a stand-in usable where Rasa mentions TensorFlow at import: as base class, annotation or decorator."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(name)

    def __getitem__(cls, item: object) -> type:
        return cls

    def __or__(cls, other: object) -> Any:
        return cls

    __ror__ = __or__

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        if len(arguments) == 1 and callable(arguments[0]) and not options:
            return arguments[0]
        raise TensorFlowAbsent(f"{cls.__name__} needs TensorFlow, which this environment leaves out")


def _stand_in(name: str) -> type:
    return _StandIn(name, (), {})


class _StandInModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        stand_in = _stand_in(name)
        setattr(self, name, stand_in)
        return stand_in


class _Loader(importlib.abc.Loader):
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = _StandInModule(spec.name)
        module.__path__ = []
        module.__version__ = REPORTED_VERSION  # type: ignore[attr-defined]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: a stand-in has no body."""


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.split(".", maxsplit=1)[0] not in ABSENT_PACKAGES:
            return None
        return importlib.machinery.ModuleSpec(fullname, _Loader(), is_package=True)


def leave_out_tensorflow() -> None:
    """Put the stand-ins in place. Call once, before the first import of `rasa`."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
