"""Logging in: passwords, codes, lockout, first passwords, sessions that end, tokens that only read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pyotp
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from admin.logins import first_password
from admin.settings import ConsoleSettings
from llm_service.store import audit, console
from llm_service.store.console_models import ConsoleAccount, ConsoleLoginFailure, ConsoleSession
from llm_service.store.models import Base, now
from llm_service.store.session import open_database
from tests.admin.platform import PASSWORD, TOTP_SECRET, Platform

NEW_PASSWORD = "another long phrase of mine"


@contextmanager
def nobody(platform: Platform) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=platform.url, headers={"Sec-Fetch-Site": "same-origin"}, trust_env=False, timeout=60
    ) as client:
        yield client


def by_password(client: httpx.Client, login: str, password: str = PASSWORD, where: str = "/") -> httpx.Response:
    return client.post("/login", data={"name": login, "password": password, "next": where})


def csrf_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found
    return found[1]


def current_code(ahead: int = 0) -> str:
    return str(pyotp.TOTP(TOTP_SECRET).at(now() + timedelta(seconds=30 * ahead)))


def by_code(client: httpx.Client, code: str) -> httpx.Response:
    return client.post("/login/code", data={"code": code, "csrf": csrf_of(client.get("/login/code"))})


@pytest.fixture
def person(platform: Platform, request: pytest.FixtureRequest) -> str:
    """A reviewer nobody else logs in as."""
    login = re.sub(r"[^a-z0-9]", "-", request.node.name.lower())[-40:]
    platform.add_account(login, ["reviewer"])
    return login


def test_a_password_and_a_code_open_a_login_where_one_wanted_to_be(platform: Platform, person: str) -> None:
    with nobody(platform) as client:
        asked = client.get("/reviews?state=pending")
        assert asked.headers["location"] == "/login?next=%2Freviews%3Fstate%3Dpending"
        first = by_password(client, person, where="/reviews?state=pending")
        assert first.headers["location"] == "/login/code"
        assert client.get("/reviews").headers["location"] == "/login/code"
        done = by_code(client, current_code())
        assert done.headers["location"] == "/reviews?state=pending"
        assert client.get("/reviews?state=pending").status_code == 200


def test_every_step_gives_a_new_token_and_the_old_one_is_worthless(platform: Platform, person: str) -> None:
    name = platform.settings.cookie_name
    with nobody(platform) as client:
        client.headers["Cookie"] = f"{name}=planted"
        before = by_password(client, person).cookies[name]
        del client.headers["Cookie"]
        after = by_code(client, current_code()).cookies[name]
        assert len({before, after, "planted"}) == 3
        client.cookies.clear()
        client.cookies.set(name, before)
        assert client.get("/").headers["location"] == "/login"


def test_the_cookie_is_for_this_site_and_no_script(platform: Platform, person: str) -> None:
    with nobody(platform) as client:
        cookie = by_password(client, person).headers.get_list("set-cookie")[0]
    assert cookie.startswith("haechi_console=")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Max-Age" not in cookie


def test_with_tls_the_cookie_is_bound_to_the_host() -> None:
    settings = ConsoleSettings(console_url="https://console.bank.example")
    assert (settings.cookie_name, settings.is_behind_tls) == ("__Host-haechi_console", True)


def test_a_wrong_password_and_an_unknown_name_are_told_apart_by_nobody(platform: Platform, person: str) -> None:
    with nobody(platform) as client:
        wrong, unknown = by_password(client, person, "wrong"), by_password(client, f"nobody-{person}", "wrong")
    assert wrong.status_code == unknown.status_code == 401
    shown = [re.sub(r'(nonce|value)="[^"]*"', "", page.text) for page in (wrong, unknown)]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("exists", [True, False])
def test_after_five_failures_even_the_right_password_waits_a_quarter_of_an_hour(
    platform: Platform, person: str, exists: bool
) -> None:
    login = person if exists else f"x-{person}"
    with nobody(platform) as client:
        for _ in range(5):
            assert by_password(client, login, "wrong").status_code == 401
        assert by_password(client, login).status_code == 429
        platform.work(_a_quarter_of_an_hour_passes)
        assert by_password(client, login).status_code == (303 if exists else 401)


def _a_quarter_of_an_hour_passes(session: Session) -> None:
    session.execute(update(ConsoleLoginFailure).values(at=now() - timedelta(minutes=16)))


def test_a_code_is_taken_once(platform: Platform, person: str) -> None:
    code = current_code()
    with nobody(platform) as client:
        by_password(client, person)
        assert by_code(client, code).status_code == 303
    with nobody(platform) as client:
        by_password(client, person)
        assert by_code(client, code).status_code == 401
        assert by_code(client, "000000").status_code == 401
        assert by_code(client, current_code(ahead=1)).status_code == 303


def test_a_first_password_is_changed_and_a_second_factor_set_up_before_anything_else(platform: Platform) -> None:
    with platform.logged_in("admin") as admin:
        form = {"login": "newcomer", "display_name": "새 직원", "roles": ["reviewer"], "csrf": "csrf-of-admin"}
        made = admin.post("/accounts", data=form)
    found = re.search(r'class="secret mono">([^<]+)<', made.text)
    assert found
    with nobody(platform) as client:
        assert by_password(client, "newcomer", found[1]).headers["location"] == "/login/password"
        assert client.get("/reviews").headers["location"] == "/login/password"
        csrf = csrf_of(client.get("/login/password"))
        too_short = {"csrf": csrf, "old": found[1], "new": "short", "again": "short"}
        assert client.post("/login/password", data=too_short).status_code == 422
        with_name = {"csrf": csrf, "old": found[1], "new": "newcomer newcomer", "again": "newcomer newcomer"}
        assert client.post("/login/password", data=with_name).status_code == 422
        good = {"csrf": csrf, "old": found[1], "new": NEW_PASSWORD, "again": NEW_PASSWORD}
        assert client.post("/login/password", data=good).headers["location"] == "/login/second-factor"
        page = client.get("/login/second-factor")
        secret = re.search(r'name="secret" value="([A-Z2-7]+)"', page.text)
        assert secret
        wrong = {"csrf": csrf_of(page), "secret": secret[1], "code": "000000"}
        assert client.post("/login/second-factor", data=wrong).status_code == 401
        right = wrong | {"code": pyotp.TOTP(secret[1]).now()}
        assert client.post("/login/second-factor", data=right).headers["location"] == "/"
        assert client.get("/reviews").status_code == 200


async def test_the_first_account_is_made_once(platform: Platform) -> None:
    assert await first_password(platform.settings) is None


async def test_where_nobody_can_log_in_the_first_password_is_given_once(tmp_path: "object") -> None:
    settings = ConsoleSettings(home=tmp_path, console_key="k" * 32)  # type: ignore[arg-type]
    database = open_database(settings.resolved_database_url)
    Base.metadata.create_all(database)
    database.dispose()
    password = await first_password(settings)
    assert password
    assert len(password) >= 16
    assert await first_password(settings) is None


@pytest.mark.parametrize(
    "over", [{"last_seen_at": timedelta(minutes=-16)}, {"expires_at": timedelta(seconds=-1)}], ids=["idle", "absolute"]
)
def test_a_login_ends_by_itself(platform: Platform, over: dict[str, timedelta]) -> None:
    with platform.logged_in("agent") as client:
        assert client.get("/").status_code == 200
        account_id = platform.accounts["agent"]
        changed = {name: now() + delta for name, delta in over.items()}
        platform.work(
            lambda session: session.execute(
                update(ConsoleSession).where(ConsoleSession.account_id == account_id).values(**changed)
            )
        )
        assert client.get("/").headers["location"] == "/login"


def test_other_roles_end_every_login_of_the_person(platform: Platform, person: str) -> None:
    with platform.logged_in(person) as client, platform.logged_in("admin") as admin:
        path = f"/accounts/{platform.accounts[person]}/roles"
        changed = admin.post(path, data={"roles": ["agent", "auditor"], "csrf": "csrf-of-admin"})
        assert changed.status_code == 303
        assert client.get("/").headers["location"] == "/login"
        rows = platform.work(lambda session: audit.events(session, "account.roles_changed", None, 1))
        assert (rows[0].actor, rows[0].details) == (
            platform.accounts["admin"],
            {"before": ["reviewer"], "after": ["agent", "auditor"]},
        )


def test_the_last_admin_stays(platform: Platform) -> None:
    account_id = platform.accounts["admin"]
    with platform.logged_in("admin") as admin:
        refused = admin.post(f"/accounts/{account_id}/roles", data={"roles": ["agent"], "csrf": "csrf-of-admin"})
        assert (refused.status_code, "마지막 관리자" in refused.text) == (409, True)
        closed = admin.post(f"/accounts/{account_id}/active", data={"active": "false", "csrf": "csrf-of-admin"})
        assert closed.status_code == 409


def test_a_closed_account_is_out_at_once(platform: Platform, person: str) -> None:
    with platform.logged_in(person) as client, platform.logged_in("admin") as admin:
        admin.post(f"/accounts/{platform.accounts[person]}/active", data={"active": "false", "csrf": "csrf-of-admin"})
        assert client.get("/").headers["location"] == "/login"
        assert by_password(client, person).status_code == 401


def test_after_logging_out_the_token_is_worthless(platform: Platform) -> None:
    token = platform.token_of("agent")
    with nobody(platform) as client:
        client.cookies.set(platform.settings.cookie_name, token)
        assert client.post("/logout", data={"csrf": "csrf-of-agent"}).status_code == 200
        client.cookies.set(platform.settings.cookie_name, token)
        assert client.get("/").headers["location"] == "/login"


def test_an_api_token_reads_in_one_role_and_changes_nothing(platform: Platform) -> None:
    with platform.logged_in("auditor") as auditor:
        form = {"name": "SIEM", "role": "auditor", "days": "30", "csrf": "csrf-of-auditor"}
        found = re.search(r'class="secret mono">([^<]+)<', auditor.post("/tokens", data=form).text)
        assert found
        assert auditor.post("/tokens", data=form | {"role": "admin"}).status_code == 422
    with nobody(platform) as program:
        program.headers["Authorization"] = f"Bearer {found[1]}"
        rows = program.get("/audit/export?format=jsonl").text.splitlines()
        assert len(rows) > 3
        assert program.post("/audit/verify").status_code == 403
        assert program.get("/datasets").status_code == 200
        token_id = platform.work(lambda session: console.tokens(session)[0][0].id)
        with platform.logged_in("admin") as admin:
            admin.post(f"/tokens/{token_id}/revoke", data={"csrf": "csrf-of-admin"})
        assert program.get("/audit/export?format=jsonl").status_code == 401


def test_no_secret_stands_in_the_records(platform: Platform) -> None:
    token = platform.token_of("agent")
    dump = "\n".join(row for rows in platform.everything().values() for row in rows)
    for secret in (token, PASSWORD, TOTP_SECRET):
        assert secret not in dump
    hashes = platform.work(lambda session: [one.password_hash or "" for one in session.query(ConsoleAccount)])
    assert all(one.startswith("$argon2id$v=19$m=65536,t=3,p=4$") for one in hashes)
