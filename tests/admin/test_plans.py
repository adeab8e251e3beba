"""However many turns there are, no page of the console reads a whole table: what it asks of PostgreSQL, planned.

The rows are those of the benchmark (`benchmarks.console_rows`), few enough for a test and enough for the planner, who
chooses by its statistics alone.
"""

import json
import secrets
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine, event, select

from benchmarks.console_rows import fill
from llm_service import wiring
from llm_service.store.learning_models import ReviewItem
from llm_service.store.models import Base, Conversation, Turn
from llm_service.store.session import open_database
from tests.admin.platform import Platform, running_platform
from tests.conftest import PostgresServer

pytestmark = pytest.mark.postgres
TURNS = 60_000
LARGE = frozenset({"turns", "turn_sources", "conversations", "feedback", "review_items", "audit_events"})
PAGES = (
    ("approver", "/"),
    ("approver", "/?period=7d&channel=web"),
    ("approver", "/reviews"),
    ("approver", "/reviews?state=first_approved"),
    ("approver", "/reviews?state=pending&state=approved&kind=glossary"),
    ("approver", "/reviews?state=proposed&audience=staff&rubric=partial&tag=wrong_number"),
    ("approver", "/reviews?after={item}"),
    ("auditor", "/reviews/{item}"),
    ("agent", "/conversations/{conversation}"),
    ("approver", "/approvals"),
    ("approver", "/curated"),
    ("agent", "/turns/{turn}"),
    ("auditor", "/audit"),
    ("auditor", "/audit?action=review.read"),
    ("auditor", "/audit?action=document.released"),
    ("auditor", "/audit?before=30000"),
    ("auditor", "/audit?account=00000000000000000000000000000000&before=30000"),
    ("admin", "/accounts"),
    ("trainer", "/datasets"),
    ("trainer", "/runs"),
)
SEARCHES = (
    {"text": "예금자보호"},
    {"text": "Never Seen", "rating": "down"},
    {"channel": "teams", "state": "refused"},
    {"person": "0" * 64},
)
DECISIONS = ("next", "approve", "skip", "propose", "reject")
Statement = tuple[str, Any]


@pytest.fixture(scope="module")
def crowded(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory, analysers: wiring.Analysers
) -> Iterator[Platform]:
    name = f"crowded_{uuid4().hex}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    url = postgres_server.url(name)
    database = open_database(url)
    Base.metadata.create_all(database)
    database.dispose()
    fill(url, TURNS)
    with running_platform(tmp_path_factory.mktemp("crowded"), analysers, url) as running:
        yield running
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def asked() -> Iterator[list[Statement]]:
    """Every question that is asked of any database meanwhile, with its parameters."""
    found: list[Statement] = []

    def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_others: Any) -> None:
        if statement.lstrip().startswith("SELECT") and (statement, parameters) not in found:
            found.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", keep)
    yield found
    event.remove(Engine, "before_cursor_execute", keep)


@pytest.fixture(scope="module")
def known(crowded: Platform) -> dict[str, str]:
    """Something of each kind, from the middle."""

    def middle(kind: type[Conversation | ReviewItem | Turn]) -> str:
        ids = select(kind.id).order_by(kind.id).offset(500).limit(1)
        return str(crowded.work(lambda session: session.scalar(ids)))

    return {"item": middle(ReviewItem), "turn": middle(Turn), "conversation": middle(Conversation)}


def whole_tables_read(database: Engine, asked: list[Statement]) -> list[str]:
    """The questions whose plan reads a large table from its beginning to its end."""
    found = []
    with database.connect() as connection:
        for statement, parameters in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
            nodes = list(_nodes(plan[0]["Plan"] if isinstance(plan, list) else json.loads(plan)[0]["Plan"]))
            read = [node["Relation Name"] for node in nodes if node["Node Type"].endswith("Seq Scan")]
            found += [f"{table}: {statement}" for table in read if table in LARGE]
    return found


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


@pytest.mark.parametrize(("login", "path"), PAGES, ids=[path for _, path in PAGES])
def test_a_page_reads_by_indices(
    crowded: Platform, known: dict[str, str], asked: list[Statement], login: str, path: str
) -> None:
    with crowded.logged_in(login) as client:
        asked.clear()
        assert client.get(path.format(**known)).status_code == 200
    assert asked
    assert whole_tables_read(crowded.database, asked) == []


@pytest.mark.parametrize("sought", SEARCHES, ids=str)
def test_a_search_reads_by_indices(crowded: Platform, asked: list[Statement], sought: dict[str, str]) -> None:
    with crowded.logged_in("agent") as client:
        asked.clear()
        assert client.post("/conversations", data={"csrf": "csrf-of-agent", **sought}).status_code == 200
    assert whole_tables_read(crowded.database, asked) == []


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_decision_reads_by_indices(crowded: Platform, asked: list[Statement], decision: str) -> None:
    forms = {
        "propose": {"question": "질문", "answer": secrets.token_hex(4), "rubric": "partial"},
        "reject": {"reason": "outdated"},
        "approve": {"rubric": "partial"},
    }
    with crowded.logged_in("approver") as client:
        item = _taken(client)
        version = str(crowded.item(item.rpartition("/")[2]).version)
        asked.clear()
        path = "/reviews/next" if decision == "next" else f"{item}/{decision}"
        form = {"csrf": "csrf-of-approver", "version": version, **forms.get(decision, {})}
        assert client.post(path, data=form).headers["location"].startswith("/reviews/")
    assert whole_tables_read(crowded.database, asked) == []


def _taken(client: httpx.Client) -> str:
    return client.post("/reviews/next", data={"csrf": "csrf-of-approver"}).headers["location"].partition("?")[0]


def test_a_question_without_an_index_would_be_found(crowded: Platform) -> None:
    by_engine = "SELECT id FROM turns WHERE engine = 'none' AND cut_sentences = 3 ORDER BY event_id"
    assert whole_tables_read(crowded.database, [(by_engine, ())]) == [f"turns: {by_engine}"]
