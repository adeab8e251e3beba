"""Every route of the console, from the route table: the audit rows it leaves, by whom, and that without them it did
nothing."""

from collections.abc import Iterator

import pytest
from sqlalchemy import delete, select

from llm_service.adapters.fleet import Fleet, Lack
from llm_service.errors import Unavailable
from llm_service.store import audit
from llm_service.store.adapter_models import AdapterAlias, AdapterPromotion
from llm_service.store.control_models import Control
from llm_service.store.models import AuditChain, AuditEvent
from tests.admin.deeds import DEEDS, Deed
from tests.admin.platform import Platform, platform_key
from tests.admin.test_roles import METHOD_OF

TOLD_BY_THE_PROVIDER = frozenset({"provider_login", "provider_return", "provider_logout"})
"""What these leave behind, `test_oidc.py` says: they need a provider."""
COUNTED_MEANWHILE = ("hour_counts", "hour_counting")
"""Tables that the service fills by itself."""


@pytest.fixture
def one_model_server(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A replica that never gets as far as carrying an adapter: what is promoted waits, and ends with the test."""
    monkeypatch.setattr(Fleet, "is_empty", property(lambda _fleet: False))
    monkeypatch.setattr(Fleet, "lacking", lambda _fleet, _adapter: {"replica": Lack("loading", 0, is_final=False)})
    yield
    platform.work(lambda session: [session.execute(delete(kind)) for kind in (AdapterPromotion, AdapterAlias, Control)])


def newest(platform: Platform) -> int:
    return platform.work(lambda session: session.scalar(select(AuditChain.last_position)) or 0)


def rows_since(platform: Platform, position: int) -> list[AuditEvent]:
    behind = select(AuditEvent).where(AuditEvent.position > position).order_by(AuditEvent.position)
    return platform.work(lambda session: list(session.scalars(behind)))


def names_of(platform: Platform, deed: Deed) -> set[str]:
    """How the records know who acts."""
    return {platform.accounts[deed.login], platform_key(platform, deed.login)}


def test_every_route_has_its_deed() -> None:
    assert DEEDS.keys() == METHOD_OF.keys() - TOLD_BY_THE_PROVIDER


@pytest.mark.usefixtures("one_model_server")
@pytest.mark.parametrize("name", sorted(DEEDS))
def test_a_route_leaves_exactly_its_rows_by_the_acting_person(platform: Platform, name: str) -> None:
    deed = DEEDS[name](platform)
    if deed.token is None:
        # The cookie's own login is a row of its own.
        deed = Deed(**{**vars(deed), "token": platform.token_of(deed.login)})
    before = newest(platform)
    assert deed.done_on(platform, METHOD_OF[name]).status_code < 400
    rows = rows_since(platform, before)
    assert [row.action for row in rows] == list(deed.rows)
    assert {row.actor for row in rows} <= names_of(platform, deed)
    assert [row.position for row in rows] == list(range(before + 1, before + 1 + len(rows)))


@pytest.mark.usefixtures("one_model_server")
@pytest.mark.parametrize("name", sorted(name for name in DEEDS if METHOD_OF[name] == "POST"))
def test_without_its_row_a_deed_is_not_done(platform: Platform, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    deed = DEEDS[name](platform)
    if not deed.rows:
        return
    deed = Deed(**{**vars(deed), "token": deed.token or platform.token_of(deed.login)})
    before = platform.everything(*COUNTED_MEANWHILE)
    keep = audit.record

    def keep_and_fail(*arguments: object, **named: object) -> None:
        keep(*arguments, **named)  # type: ignore[arg-type]
        raise Unavailable("database_unavailable", "the connection was lost before the commit")

    monkeypatch.setattr(audit, "record", keep_and_fail)
    assert deed.done_on(platform, METHOD_OF[name]).status_code >= 500
    assert platform.everything(*COUNTED_MEANWHILE) == before


def test_the_chain_of_all_that_was_done_holds(platform: Platform) -> None:
    assert platform.work(audit.verify).fault is None
