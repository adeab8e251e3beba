"""One parsing process for all tests of the loaders: files are read here exactly as the service reads them."""

from collections.abc import Iterator

import pytest

from llm_service.retrieval.loaders.isolation import IsolatedParser


@pytest.fixture(scope="session")
def parser() -> Iterator[IsolatedParser]:
    with IsolatedParser(timeout_seconds=60) as isolated:
        yield isolated
