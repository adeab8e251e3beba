"""A stage with two replicas that load at run time. What the databases decide is tested on both, beside the store."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.llm_service.adapters.memory_replica import MemoryReplica
from tests.llm_service.adapters.stage import Stage


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def replicas() -> list[MemoryReplica]:
    return [MemoryReplica("http://replica-0"), MemoryReplica("http://replica-1")]


@pytest.fixture
def stage(database: Engine, tmp_path: Path, replicas: list[MemoryReplica]) -> Stage:
    return Stage(database, tmp_path, replicas)
