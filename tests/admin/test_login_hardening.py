"""What makes guessing slow and a login short: codes and old passwords count as attempts; no use makes a login long."""

import re
import secrets
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select, update

from admin.settings import ConsoleSettings
from llm_service.store import audit, console
from llm_service.store.console_models import ConsoleSession
from llm_service.store.models import now
from tests.admin.platform import PASSWORD, Platform
from tests.admin.test_login import by_code, by_password, csrf_of, current_code, nobody


@pytest.fixture
def somebody(platform: Platform) -> str:
    login = f"guarded-{secrets.token_hex(4)}"
    platform.add_account(login, ["reviewer"])
    return login


def test_five_wrong_codes_lock_the_name_for_password_and_code_alike(platform: Platform, somebody: str) -> None:
    with nobody(platform) as client:
        by_password(client, somebody)
        for _ in range(5):
            assert by_code(client, "000000").status_code == 401
        assert by_code(client, current_code()).status_code == 429
        assert by_password(client, somebody).status_code == 429
    rows = platform.work(lambda session: audit.events(session, "login.failed", None, 5))
    assert {row.subject_id for row in rows} == {platform.accounts[somebody]}
    assert rows[0].details == {"stage": "code", "locked": True}


def test_a_login_that_was_taken_over_does_not_guess_the_old_password(platform: Platform, somebody: str) -> None:
    form = {"new": "another long phrase of mine", "again": "another long phrase of mine"}
    with platform.logged_in(somebody) as client:
        csrf = csrf_of(client.get("/login/password"))
        for _ in range(5):
            wrong = client.post("/login/password", data={"csrf": csrf, "old": "a guess of mine", **form})
            assert wrong.status_code == 401
        right = client.post("/login/password", data={"csrf": csrf, "old": PASSWORD, **form})
    assert right.status_code == 429


def session_of(platform: Platform, token: str) -> ConsoleSession:
    row = select(ConsoleSession).where(ConsoleSession.id == console.sha256_of(token))
    return platform.work(lambda session: session.scalars(row).one())


def test_use_keeps_a_login_from_idling_and_does_not_make_it_longer(platform: Platform, somebody: str) -> None:
    token = platform.token_of(somebody)
    idle = update(ConsoleSession).where(ConsoleSession.id == console.sha256_of(token))
    platform.work(lambda session: session.execute(idle.values(last_seen_at=now() - timedelta(minutes=14))))
    before = session_of(platform, token)
    cookies = {platform.settings.cookie_name: token}
    with httpx.Client(base_url=platform.url, cookies=cookies, trust_env=False) as client:
        assert client.get("/profile").status_code == 200
    after = session_of(platform, token)
    assert now() - after.last_seen_at < timedelta(seconds=20)
    assert after.expires_at == before.expires_at


def test_a_login_lasts_a_quarter_of_an_hour_unused_and_eight_hours_at_most() -> None:
    lifetimes = ConsoleSettings().lifetimes
    assert (lifetimes.idle, lifetimes.absolute) == (timedelta(minutes=15), timedelta(hours=8))
    for name, value in (("console_idle_minutes", 61), ("console_absolute_hours", 25)):
        with pytest.raises(ValueError, match=name):
            ConsoleSettings(**{name: value})  # type: ignore[arg-type]


def test_a_token_somebody_planted_before_the_login_is_nobodys_after_it(platform: Platform, somebody: str) -> None:
    name = platform.settings.cookie_name
    planted = platform.token_of("agent")
    with nobody(platform) as victim:
        victim.cookies.set(name, planted)
        first = by_password(victim, somebody)
        assert first.cookies[name] != planted
    with nobody(platform) as attacker:
        attacker.cookies.set(name, planted)
        assert re.search(rf"\b{somebody}\b", attacker.get("/profile").text) is None
