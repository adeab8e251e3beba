"""Who has access: looked at by somebody else, locked out and let in again; tokens that read a part; a code to scan."""

import re
import secrets
from datetime import timedelta

import httpx
import pytest
import segno
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from admin import policies
from admin.qr import QUIET_MODULES, qr_code
from llm_service.store import audit, console
from llm_service.store.console_models import ConsoleAccessReview, ConsoleAccount
from llm_service.store.models import now
from tests.admin.deeds import begun, newcomer
from tests.admin.platform import XSS, Platform


def row_of(page: str, login: str) -> str:
    """The row of an account in the list of the review."""
    found = re.search(rf"<tr data-item><td>(?:(?!</tr>).)*{re.escape(login)}.*?</tr>", page, re.DOTALL)
    assert found
    return found[0]


def keep(client: httpx.Client, login: str, account_id: str, roles: list[str], to: str = "keep") -> httpx.Response:
    return client.post(f"/access/{account_id}/{to}", data={"csrf": f"csrf-of-{login}", "roles": roles})


def test_access_is_confirmed_by_somebody_else_and_due_again_after_a_month(platform: Platform) -> None:
    login = newcomer(platform)
    account_id = platform.accounts[login]
    roles = platform.work(lambda session: list(console.account(session, account_id).roles))
    with platform.logged_in("auditor") as auditor:
        assert "점검 대상" in row_of(auditor.get("/access").text, login)
        assert keep(auditor, "auditor", account_id, roles).status_code == 303
        assert "점검 대상" not in row_of(auditor.get("/access").text, login)
        last = now() - timedelta(days=32)
        platform.work(
            lambda session: session.execute(
                update(ConsoleAccount).where(ConsoleAccount.id == account_id).values(access_reviewed_at=last)
            )
        )
        assert "점검 대상" in row_of(auditor.get("/access").text, login)
    (row,) = platform.work(lambda session: audit.events(session, "account.access_reviewed", None, 1))
    assert (row.actor, row.subject_id, row.details) == (
        platform.accounts["auditor"],
        account_id,
        {"decision": "kept", "roles": roles},
    )


def test_nobody_reviews_their_own_access_nor_roles_they_did_not_see(platform: Platform) -> None:
    with platform.logged_in("auditor") as auditor:
        assert "본인의 권한은 다른 사람이" in row_of(auditor.get("/access").text, "auditor 님")
        own = keep(auditor, "auditor", platform.accounts["auditor"], ["auditor"])
        assert (own.status_code, "own_access" in own.text) == (409, True)
        changed = keep(auditor, "auditor", platform.accounts["agent"], ["agent", "admin"])
        assert (changed.status_code, "access_changed" in changed.text) == (409, True)
        assert keep(auditor, "auditor", platform.accounts["agent"], ["agent"], "close").status_code == 403


def test_the_database_too_refuses_a_review_of_ones_own_access(platform: Platform) -> None:
    def add(session: Session) -> None:
        session.add(
            ConsoleAccessReview(
                account_id=platform.accounts["agent"], reviewer_id=platform.accounts["agent"], roles=[], decision="kept"
            )
        )
        session.flush()

    with pytest.raises(IntegrityError):
        platform.work(add)


def test_an_admin_closes_what_is_not_needed_and_other_roles_make_it_due_again(platform: Platform) -> None:
    closed, changed = newcomer(platform), newcomer(platform)
    with platform.logged_in("admin") as admin:
        found = platform.work(lambda session: console.account(session, platform.accounts[closed]))
        assert keep(admin, "admin", found.id, found.roles, "close").status_code == 303
        assert not platform.work(lambda session: console.account(session, found.id)).is_active
        other = platform.work(lambda session: console.account(session, platform.accounts[changed]))
        assert keep(admin, "admin", other.id, other.roles).status_code == 303
        admin.post(f"/accounts/{other.id}/roles", data={"csrf": "csrf-of-admin", "roles": ["agent", "auditor"]})
        assert "점검 대상" in row_of(admin.get("/access").text, changed)


def test_a_locked_account_is_shown_and_let_in_again(platform: Platform) -> None:
    login = newcomer(platform)
    account_id = platform.accounts[login]
    for _ in range(console.LOCKOUT_FAILURES):
        platform.work(lambda session: console.note_failure(session, login, "password"))
    with platform.logged_in("admin") as admin:
        assert "까지 잠김" in admin.get("/accounts").text
        assert f"/accounts/{account_id}/unlock" in admin.get("/accounts").text
        assert admin.post(f"/accounts/{account_id}/unlock", data={"csrf": "csrf-of-admin"}).status_code == 303
        assert f"/accounts/{account_id}/unlock" not in admin.get("/accounts").text
    assert not platform.work(lambda session: console.is_locked(session, login))
    (row,) = platform.work(lambda session: audit.events(session, "account.unlocked", None, 1))
    assert (row.actor, row.subject_id) == (platform.accounts["admin"], account_id)


def made_token(client: httpx.Client, login: str, **form: object) -> str:
    answer = client.post("/tokens", data={"csrf": f"csrf-of-{login}", "name": "SIEM", "days": "30", **form})
    found = re.search(r'class="secret mono">([^<]+)<', answer.text)
    assert found
    return found[1]


def test_a_token_reads_its_scopes_and_nothing_else_of_its_role(platform: Platform) -> None:
    with platform.logged_in("auditor") as auditor:
        token = made_token(auditor, "auditor", role="auditor", scopes=["audit"])
        assert "감사" in auditor.get("/tokens").text
        unknown = {"csrf": "csrf-of-auditor", "name": "SIEM", "role": "auditor", "days": "30", "scopes": ["everything"]}
        assert auditor.post("/tokens", data=unknown).status_code == 422
    headers = {"Authorization": f"Bearer {token}", "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=platform.url, headers=headers, trust_env=False) as program:
        assert program.get("/audit/export?format=jsonl").status_code == 200
        assert [program.get(path).status_code for path in ("/reviews", "/access", "/platform", "/")] == [403] * 4


def test_whoever_is_no_admin_ends_their_own_tokens_only(platform: Platform) -> None:
    with platform.logged_in("auditor") as auditor, platform.logged_in("admin") as admin:
        made_token(admin, "admin", role="admin", name=secrets.token_hex(4))
        theirs = platform.work(lambda session: console.tokens(session)[0][0].id)
        made_token(auditor, "auditor", role="auditor", name=XSS[:64])
        own = platform.work(lambda session: console.tokens(session)[0][0].id)
        assert "<img src=x" not in admin.get("/tokens").text
        refused = auditor.post(f"/tokens/{theirs}/revoke", data={"csrf": "csrf-of-auditor"})
        assert (refused.status_code, "token_not_found" in refused.text) == (404, True)
        assert auditor.post(f"/tokens/{own}/revoke", data={"csrf": "csrf-of-auditor"}).status_code == 303


def test_every_scope_names_routes_that_only_read() -> None:
    assert all(routes <= policies.ALLOWED.keys() for routes in policies.SCOPES.values())
    assert not policies.may({"admin"}, "set_roles", {"people"})
    assert not policies.may({"agent"}, "audit", {"audit"})


def test_the_code_to_scan_is_drawn_as_it_is_computed() -> None:
    address = "otpauth://totp/Haechi:kim?secret=JBSWY3DPEHPK3PXP&issuer=Haechi"
    drawn = qr_code(address)
    matrix = segno.make(address, error="m", micro=False).matrix
    dark = {
        (x, y) for y, row in enumerate(matrix, QUIET_MODULES) for x, is_dark in enumerate(row, QUIET_MODULES) if is_dark
    }
    shown = {
        (int(x) + step, int(y))
        for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", drawn.path)
        for step in range(int(width))
    }
    assert (shown, drawn.size) == (dark, len(matrix) + 2 * QUIET_MODULES)


def test_setting_up_a_second_factor_shows_the_code_and_no_script(platform: Platform) -> None:
    login = newcomer(platform)
    cookies = {platform.settings.cookie_name: begun(platform, login, "enrolment")}
    with httpx.Client(base_url=platform.url, cookies=cookies, trust_env=False) as client:
        shown = client.get("/login/second-factor").text
    assert re.search(r'<svg class="qr" viewBox="0 0 \d+ \d+" role="img"[^>]*><path d="M[^"]+"></path></svg>', shown)
    assert "style=" not in shown
