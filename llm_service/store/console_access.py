"""Questions of the access review: who may do what, when they last did, who looked at it, and who is locked out.

A review is of one account by somebody else, of the roles that were looked at; every change writes its audit row.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from llm_service.errors import Conflict
from llm_service.store import audit, console
from llm_service.store.console_models import ConsoleAccessReview, ConsoleAccount, ConsoleLoginFailure
from llm_service.store.models import AuditEvent, now

REVIEW_EVERY: Final = timedelta(days=31)
LOGINS: Final = ("login.succeeded", "login.failed", "login.ended")
"""What is no use of a right: it says that somebody was here."""


@dataclass(frozen=True)
class Access:
    """One account with what a reviewer needs to know; `is_due` where nobody looked within `REVIEW_EVERY`."""

    account: ConsoleAccount
    last_use_at: datetime | None
    is_due: bool


def access_of_all(session: Session, keys: Mapping[str, str]) -> list[Access]:
    """Every account that may log in, those that are due first. `keys`: under which hash the audit knows an account."""
    found = [
        Access(one, last_use(session, {one.id, keys.get(one.id, one.id)}), is_due(one))
        for one in console.accounts(session)
        if one.is_active
    ]
    return sorted(found, key=lambda access: (not access.is_due, access.account.login))


def last_use(session: Session, actors: Collection[str]) -> datetime | None:
    """When somebody last did more than log in, under any of the names the audit has for them."""
    newest = [
        session.scalar(
            select(AuditEvent.at)
            .where(AuditEvent.actor == actor, AuditEvent.action.not_in(LOGINS))
            .order_by(AuditEvent.at.desc())
            .limit(1)
        )
        for actor in actors
    ]
    return max((at for at in newest if at is not None), default=None)


def is_due(account: ConsoleAccount) -> bool:
    """Whether somebody has to look at an account: new ones, changed ones, and all once a month."""
    return account.access_reviewed_at is None or account.access_reviewed_at < now() - REVIEW_EVERY


def review(session: Session, actor: str, account_id: str, roles: Sequence[str], decision: str) -> None:
    """Note that `actor` looked at an account with these roles: `kept`, or `closed`, which keeps it out from now on.

    Raises `NotFound`, and `Conflict` (own_access, access_changed, last_admin).
    """
    found = console.account(session, account_id)
    if found.id == actor:
        raise Conflict("own_access", "somebody else reviews one's own access")
    if sorted(roles) != found.roles or not found.is_active:
        raise Conflict("access_changed", "the account was changed since; look at it again")
    if decision == "closed":
        console.set_active(session, actor, account_id, is_active=False)
    found.access_reviewed_at = now()
    session.add(ConsoleAccessReview(account_id=found.id, reviewer_id=actor, roles=list(found.roles), decision=decision))
    session.flush()
    details = {"decision": decision, "roles": found.roles}
    audit.record(session, actor, "account.access_reviewed", "account", found.id, details)


def reviews(session: Session, limit: int) -> list[ConsoleAccessReview]:
    """The newest reviews."""
    statement = select(ConsoleAccessReview).order_by(ConsoleAccessReview.reviewed_at.desc())
    return list(session.scalars(statement.limit(limit)))


def locked_until(session: Session, accounts: Sequence[ConsoleAccount]) -> dict[str, datetime]:
    """Until when accounts are locked after too many failed logins, by the account's id."""
    names = {console.sha256_of(one.login): one.id for one in accounts}
    failures: dict[str, list[datetime]] = {}
    since = now() - console.LOCKOUT_WINDOW
    statement = (
        select(ConsoleLoginFailure).where(ConsoleLoginFailure.at > since).order_by(ConsoleLoginFailure.at.desc())
    )
    for failure in session.scalars(statement):
        if failure.login_sha256 in names:
            failures.setdefault(names[failure.login_sha256], []).append(failure.at)
    return {
        account_id: times[console.LOCKOUT_FAILURES - 1] + console.LOCKOUT_WINDOW
        for account_id, times in failures.items()
        if len(times) >= console.LOCKOUT_FAILURES
    }


def unlock(session: Session, actor: str, account_id: str) -> None:
    """Forget the failed logins of an account. Raises `NotFound`."""
    found = console.account(session, account_id)
    console.forget_failures(session, found.login)
    audit.record(session, actor, "account.unlocked", "account", found.id)
