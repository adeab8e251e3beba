"""One platform for the whole of these tests: starting it takes seconds, and tests ask only for what they made."""

from collections.abc import Iterator

import pytest

from llm_service import wiring
from tests.admin.platform import Platform, running_platform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, analysers: wiring.Analysers) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("console"), analysers) as running:
        yield running
