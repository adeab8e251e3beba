"""A stage with two replicas that load at run time. What the databases decide is tested on both, beside the store."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from llm_service.store.models import Base
from llm_service.store.session import open_database
from tests.llm_service.adapters.memory_replica import MemoryReplica
from tests.llm_service.adapters.stage import Stage


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'haechi.db'}"
    engine = open_database(url)
    Base.metadata.create_all(engine)
    engine.dispose()
    return url


@pytest.fixture
def replicas() -> list[MemoryReplica]:
    return [MemoryReplica("http://replica-0"), MemoryReplica("http://replica-1")]


@pytest.fixture
def stage(database: Engine, tmp_path: Path, replicas: list[MemoryReplica]) -> Stage:
    return Stage(database, tmp_path, replicas)
