"""A base of one layer and a dataset of sixteen rows, built once for all training tests."""

from pathlib import Path

import pytest

from tests.trainer.small import write_small_dataset
from trainer.tiny_base import Recipe, tiny_base

SMALL_BASE = Recipe(rows=200, vocabulary=700, width=64, layers=1, heads=2, intermediate=64, steps=2, batch=2)


@pytest.fixture(scope="session")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"), SMALL_BASE)


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_dataset(tmp_path_factory.mktemp("data"))
