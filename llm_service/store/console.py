"""Questions about the console's accounts, logins, saved views and API tokens; every change writes its audit row.

Knows no password and no code: hashing, second factors and what a role may do are the console's knowledge.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from llm_service.errors import Conflict, InvalidInput, NotFound
from llm_service.learning_client import MAXIMUM_SKIPPED
from llm_service.store import audit
from llm_service.store.console_models import (
    ConsoleAccount,
    ConsoleLoginFailure,
    ConsoleOnce,
    ConsoleSession,
    ConsoleToken,
    ConsoleView,
)
from llm_service.store.models import now

LOCKOUT_WINDOW: Final = timedelta(minutes=15)
LOCKOUT_FAILURES: Final = 5
SEEN_AGAIN_AFTER: Final = timedelta(seconds=20)
"""A session's last use is written this often at most: pages would otherwise wait for a writer."""
MAXIMUM_VIEWS: Final = 50
SYSTEM: Final = "console"
"""The actor of what no person did: the first account, a failed login."""


@dataclass(frozen=True)
class Lifetimes:
    """How long a login lasts without use, and at most."""

    idle: timedelta
    absolute: timedelta


@dataclass(frozen=True)
class LoggedIn:
    """A session with its account."""

    session: ConsoleSession
    account: ConsoleAccount


@dataclass(frozen=True)
class Provider:
    """What the provider's login leaves in a session."""

    session: str | None
    id_token: str


def sha256_of(value: str) -> str:
    """The hash by which tokens, states and names of failed logins are found."""
    return hashlib.sha256(value.encode()).hexdigest()


def account_count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ConsoleAccount)) or 0


def accounts(session: Session) -> list[ConsoleAccount]:
    """Every account, by name."""
    return list(session.scalars(select(ConsoleAccount).order_by(ConsoleAccount.login)))


def account(session: Session, account_id: str) -> ConsoleAccount:
    """Raises `NotFound` (account_not_found)."""
    found = session.get(ConsoleAccount, account_id)
    if found is None:
        raise NotFound("account_not_found", "there is no such account")
    return found


def account_named(session: Session, login: str) -> ConsoleAccount | None:
    return session.scalar(select(ConsoleAccount).where(ConsoleAccount.login == login.strip().lower()))


def add_local_account(
    session: Session, actor: str, login: str, display_name: str, password_hash: str, roles: Sequence[str]
) -> ConsoleAccount:
    """A local account whose password must be changed at the first login. Raises `Conflict` (login_taken)."""
    name = login.strip().lower()
    if account_named(session, name) is not None:
        raise Conflict("login_taken", "there is an account of this name")
    made = ConsoleAccount(
        login=name,
        display_name=display_name,
        kind="local",
        password_hash=password_hash,
        must_change_password=True,
        roles=sorted(set(roles)),
    )
    session.add(made)
    session.flush()
    audit.record(session, actor, "account.added", "account", made.id, {"kind": "local", "roles": made.roles})
    return made


def account_of_provider(
    session: Session, subject: str, login: str, display_name: str, roles: Sequence[str]
) -> ConsoleAccount:
    """The account of a person the provider knows, with the roles the provider says today."""
    found = session.scalar(select(ConsoleAccount).where(ConsoleAccount.subject == subject))
    wanted = sorted(set(roles))
    if found is None:
        taken = account_named(session, login) is not None
        name = f"{login.strip().lower()[:48]}#{sha256_of(subject)[:8]}" if taken else login.strip().lower()
        found = ConsoleAccount(login=name, display_name=display_name, kind="oidc", subject=subject, roles=wanted)
        session.add(found)
        session.flush()
        audit.record(session, found.id, "account.added", "account", found.id, {"kind": "oidc", "roles": wanted})
    elif found.roles != wanted:
        _change_roles(session, SYSTEM, found, wanted)
    return found


def set_roles(session: Session, actor: str, account_id: str, roles: Sequence[str]) -> None:
    """Give an account other roles; its logins end, so that none goes on with the old ones.

    Raises `NotFound`, and `Conflict` (roles_from_provider, last_admin).
    """
    found = account(session, account_id)
    if found.kind == "oidc":
        raise Conflict("roles_from_provider", "the roles of this account come from the provider's groups")
    wanted = sorted(set(roles))
    if "admin" in found.roles and "admin" not in wanted:
        _refuse_last_admin(session, found)
    if wanted != found.roles:
        _change_roles(session, actor, found, wanted)


def set_active(session: Session, actor: str, account_id: str, *, is_active: bool) -> None:
    """Let an account in or keep it out. Raises `NotFound`, and `Conflict` (last_admin)."""
    found = account(session, account_id)
    if found.is_active == is_active:
        return
    if not is_active and "admin" in found.roles:
        _refuse_last_admin(session, found)
    found.is_active = is_active
    if not is_active:
        end_sessions_of(session, found.id)
    action = "account.activated" if is_active else "account.deactivated"
    audit.record(session, actor, action, "account", found.id)


def set_password(session: Session, actor: str, account_id: str, password_hash: str, *, must_change: bool) -> None:
    """Replace a password; every login of the account ends. Raises `NotFound`, `Conflict` (no_local_account)."""
    found = account(session, account_id)
    if found.kind != "local":
        raise Conflict("no_local_account", "the password of this account is the provider's")
    found.password_hash, found.must_change_password = password_hash, must_change
    end_sessions_of(session, found.id)
    audit.record(session, actor, "account.password_changed", "account", found.id, {"must_change": must_change})


def set_second_factor(session: Session, actor: str, account_id: str, secret: str | None, step: int | None) -> None:
    """Keep the (encrypted) secret of a second factor, or take it away so that another is set up."""
    found = account(session, account_id)
    found.totp_secret, found.totp_last_step = secret, step
    action = "account.second_factor_set" if secret else "account.second_factor_removed"
    audit.record(session, actor, action, "account", found.id)


def take_code(session: Session, account_id: str, step: int) -> bool:
    """Note that the code of a time step was used; False if it, or a later one, was used before."""
    taken = session.execute(
        update(ConsoleAccount)
        .where(
            ConsoleAccount.id == account_id,
            ConsoleAccount.totp_last_step.is_(None) | (ConsoleAccount.totp_last_step < step),
        )
        .values(totp_last_step=step)
    )
    assert isinstance(taken, CursorResult)
    return taken.rowcount == 1


def is_locked(session: Session, login: str) -> bool:
    """Whether too many attempts failed for a name, existing or not, within the window."""
    statement = (
        select(func.count())
        .select_from(ConsoleLoginFailure)
        .where(
            ConsoleLoginFailure.login_sha256 == sha256_of(login.strip().lower()),
            ConsoleLoginFailure.at > now() - LOCKOUT_WINDOW,
        )
    )
    return (session.scalar(statement) or 0) >= LOCKOUT_FAILURES


def note_failure(session: Session, login: str, stage: str) -> None:
    """Count a failed attempt, and tell the audit whose account it was if there is one."""
    name = login.strip().lower()
    session.execute(delete(ConsoleLoginFailure).where(ConsoleLoginFailure.at < now() - LOCKOUT_WINDOW))
    session.add(ConsoleLoginFailure(login_sha256=sha256_of(name)))
    session.flush()
    known = account_named(session, name)
    locked = is_locked(session, name)
    audit.record(
        session, SYSTEM, "login.failed", "account", known.id if known else "unknown", {"stage": stage, "locked": locked}
    )


def forget_failures(session: Session, login: str) -> None:
    session.execute(
        delete(ConsoleLoginFailure).where(ConsoleLoginFailure.login_sha256 == sha256_of(login.strip().lower()))
    )


def open_session(
    session: Session,
    account_id: str,
    token_sha256: str,
    csrf_token: str,
    stage: str,
    lifetimes: Lifetimes,
    provider: Provider | None = None,
) -> None:
    """Begin a login; logins that are over are forgotten on the way. A full one is audited, and seen on the account."""
    session.execute(delete(ConsoleSession).where(ConsoleSession.expires_at < now()))
    session.add(
        ConsoleSession(
            id=token_sha256,
            account_id=account_id,
            stage=stage,
            csrf_token=csrf_token,
            expires_at=now() + lifetimes.absolute,
            provider_session=provider.session if provider else None,
            id_token=provider.id_token if provider else None,
        )
    )
    session.flush()
    if stage == "full":
        found = account(session, account_id)
        found.last_login_at = now()
        audit.record(session, account_id, "login.succeeded", "account", account_id, {"kind": found.kind})


def logged_in(session: Session, token_sha256: str, lifetimes: Lifetimes) -> LoggedIn | None:
    """The login of a token, unless it is over or its account was closed."""
    row = session.execute(
        select(ConsoleSession, ConsoleAccount)
        .join(ConsoleAccount, ConsoleAccount.id == ConsoleSession.account_id)
        .where(
            ConsoleSession.id == token_sha256,
            ConsoleSession.expires_at > now(),
            ConsoleSession.last_seen_at > now() - lifetimes.idle,
            ConsoleAccount.is_active,
        )
    ).one_or_none()
    return LoggedIn(row[0], row[1]) if row else None


def is_to_be_seen(found: ConsoleSession) -> bool:
    """Whether the last use of a session is old enough to be written down again."""
    return found.last_seen_at < now() - SEEN_AGAIN_AFTER


def see(session: Session, token_sha256: str) -> None:
    """Note that a session was used just now."""
    session.execute(update(ConsoleSession).where(ConsoleSession.id == token_sha256).values(last_seen_at=now()))


def skip(session: Session, token_sha256: str, item_id: str) -> list[str]:
    """Note in a login that its person wants to see an example last; returns all such examples, the newest at the end.

    That it was left aside is an audit row. Of more than `MAXIMUM_SKIPPED` the oldest are forgotten.
    """
    found = session.get(ConsoleSession, token_sha256, with_for_update=True)
    if found is None:
        return [item_id]
    others = [skipped for skipped in found.skipped if skipped != item_id]
    found.skipped = [*others, item_id][-MAXIMUM_SKIPPED:]
    session.flush()
    audit.record(session, found.account_id, "review.skipped", "review_item", item_id)
    return found.skipped


def end_session(session: Session, token_sha256: str) -> None:
    """End one login, if it is there."""
    found = session.get(ConsoleSession, token_sha256)
    if found is None:
        return
    account_id, was_full = found.account_id, found.stage == "full"
    session.delete(found)
    session.flush()
    if was_full:
        audit.record(session, account_id, "login.ended", "account", account_id)


def end_sessions_of(session: Session, account_id: str) -> int:
    """End every login of an account; returns how many there were."""
    return _deleted(session, delete(ConsoleSession).where(ConsoleSession.account_id == account_id))


def end_sessions_at_provider(session: Session, subject: str | None, provider_session: str | None) -> int:
    """End what the provider says is over: one login of it, or every login of a person."""
    if provider_session is not None:
        ended = _deleted(session, delete(ConsoleSession).where(ConsoleSession.provider_session == provider_session))
    else:
        found = session.scalar(select(ConsoleAccount).where(ConsoleAccount.subject == subject))
        ended = end_sessions_of(session, found.id) if found else 0
    audit.record(session, SYSTEM, "login.ended_by_provider", "account", "provider", {"sessions": ended})
    return ended


def put_once(session: Session, kind: str, value: str, details: dict[str, Any], lives: timedelta) -> bool:
    """Keep something that works once; False if it was kept before. What is over is forgotten on the way."""
    session.execute(delete(ConsoleOnce).where(ConsoleOnce.expires_at < now()))
    if session.get(ConsoleOnce, (kind, sha256_of(value))) is not None:
        return False
    session.add(ConsoleOnce(kind=kind, key=sha256_of(value), details=details, expires_at=now() + lives))
    session.flush()
    return True


def take_once(session: Session, kind: str, value: str) -> dict[str, Any] | None:
    """What was kept, which is then gone; None if it was taken before or is over."""
    found = session.get(ConsoleOnce, (kind, sha256_of(value)), with_for_update=True)
    if found is None:
        return None
    details, is_over = dict(found.details), found.expires_at < now()
    session.delete(found)
    session.flush()
    return None if is_over else details


def views(session: Session, account_id: str, page: str) -> list[ConsoleView]:
    """What a person saved of a page, by name."""
    statement = select(ConsoleView).where(ConsoleView.account_id == account_id, ConsoleView.page == page)
    return list(session.scalars(statement.order_by(ConsoleView.name)))


def save_view(session: Session, account_id: str, page: str, name: str, query: str) -> None:
    """Save a search; the same name again replaces it. Raises `InvalidInput` (too_many_views)."""
    known = {view.name: view for view in views(session, account_id, page)}
    if name not in known and len(known) >= MAXIMUM_VIEWS:
        raise InvalidInput("too_many_views", "delete a saved view first")
    view = known.get(name) or ConsoleView(account_id=account_id, page=page, name=name)
    view.query = query
    session.add(view)
    session.flush()
    audit.record(session, account_id, "view.saved", "view", view.id, {"page": page})


def delete_view(session: Session, account_id: str, view_id: str) -> None:
    """Delete one of one's own saved views, if it is there."""
    mine = delete(ConsoleView).where(ConsoleView.id == view_id, ConsoleView.account_id == account_id)
    if _deleted(session, mine):
        audit.record(session, account_id, "view.deleted", "view", view_id)


def tokens(session: Session) -> list[tuple[ConsoleToken, ConsoleAccount]]:
    """Every API token with its person, the newest first."""
    statement = select(ConsoleToken, ConsoleAccount).join(ConsoleAccount, ConsoleAccount.id == ConsoleToken.account_id)
    return [(row[0], row[1]) for row in session.execute(statement.order_by(ConsoleToken.created_at.desc()))]


def add_token(
    session: Session,
    account_id: str,
    name: str,
    role: str,
    token_sha256: str,
    lives: timedelta,
    scopes: Sequence[str] = (),
) -> str:
    """Keep a new API token of a person in one of their roles; returns its id. Raises `InvalidInput` (role_not_held).

    `scopes` narrow what it reads; without any it reads all that the role may.
    """
    if role not in account(session, account_id).roles:
        raise InvalidInput("role_not_held", "a token has one of its person's own roles")
    made = ConsoleToken(
        account_id=account_id,
        name=name,
        role=role,
        scopes=sorted(set(scopes)),
        sha256=token_sha256,
        expires_at=now() + lives,
    )
    session.add(made)
    session.flush()
    told = {"role": role, "days": lives.days, "scopes": made.scopes}
    audit.record(session, account_id, "token.added", "token", made.id, told)
    return made.id


def revoke_token(session: Session, actor: str, token_id: str, *, of: str | None = None) -> None:
    """Make a token worthless, of this account where one is named. Raises `NotFound` (token_not_found)."""
    found = session.get(ConsoleToken, token_id)
    if found is None or of not in (None, found.account_id):
        raise NotFound("token_not_found", "there is no such token")
    if found.revoked_at is None:
        found.revoked_at = now()
        audit.record(session, actor, "token.revoked", "token", found.id)


def use_token(session: Session, token_sha256: str) -> tuple[ConsoleAccount, ConsoleToken] | None:
    """The person of a token and the token, if the person still has its role; notes the use."""
    found = session.scalar(select(ConsoleToken).where(ConsoleToken.sha256 == token_sha256))
    if found is None or found.revoked_at is not None or found.expires_at < now():
        return None
    owner = account(session, found.account_id)
    if not owner.is_active or found.role not in owner.roles:
        return None
    found.last_used_at = now()
    return owner, found


def names_of(session: Session) -> dict[str, str]:
    """What the accounts are called, by the id that stands in audit rows and reviews."""
    return {row[0]: row[1] for row in session.execute(select(ConsoleAccount.id, ConsoleAccount.display_name))}


def note(session: Session, actor: str, action: str, kind: str, subject: str, details: dict[str, Any]) -> None:
    """Keep in the audit whose doing something was that another service has done and recorded under its own name."""
    audit.record(session, actor, action, kind, subject, details)


def never_used_since(found: ConsoleAccount, since: datetime) -> bool:
    """Whether nobody logged in to an account after a time, for the review of who has access."""
    return found.last_login_at is None or found.last_login_at < since


def _change_roles(session: Session, actor: str, found: ConsoleAccount, wanted: list[str]) -> None:
    before, found.roles, found.access_reviewed_at = found.roles, wanted, None
    end_sessions_of(session, found.id)
    audit.record(session, actor, "account.roles_changed", "account", found.id, {"before": before, "after": wanted})


def _refuse_last_admin(session: Session, found: ConsoleAccount) -> None:
    # Locked in one order, so that two admins cannot take the role from each other at once.
    statement = select(ConsoleAccount).where(ConsoleAccount.is_active).order_by(ConsoleAccount.id).with_for_update()
    others = [one for one in session.scalars(statement) if one.id != found.id and "admin" in one.roles]
    if not others:
        raise Conflict("last_admin", "give the admin role to somebody else first")


def _deleted(session: Session, statement: Any) -> int:
    result = session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount
