"""Retrieval over an empty SQLite file and Qdrant Edge, with the real Korean analysis."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from llm_service.retrieval.edge import EdgeIndexes
from llm_service.retrieval.generations import IndexOwner
from llm_service.retrieval.lexical import Lexical
from llm_service.store.session import SessionFactory, open_database, session_factory
from llm_service.wiring import Analysers

OpenOwner = Callable[..., IndexOwner]


@pytest.fixture(scope="session")
def lexical(analysers: Analysers) -> Lexical:
    return analysers.lexical


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Engine]:
    engine = open_database(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(sqlite: Engine) -> SessionFactory:
    return session_factory(sqlite)


@pytest.fixture
def open_owner(tmp_path: Path, sessions: SessionFactory, lexical: Lexical) -> Iterator[OpenOwner]:
    """Opens the index of this test; what it opened last is closed at the end."""
    opened: list[IndexOwner] = []

    def open_one(analysis: Lexical = lexical) -> IndexOwner:
        while opened:
            opened.pop().close()
        opened.append(IndexOwner(EdgeIndexes(tmp_path / "index"), sessions, analysis))
        return opened[-1]

    yield open_one
    while opened:
        opened.pop().close()
