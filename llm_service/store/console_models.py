"""The tables of the console: accounts with roles, login sessions, failed logins, one-time states, views, API tokens.

Nothing here is about customers or answers. Secrets are kept as hashes, the second factor's encrypted by the console;
a person appears in every other table only as `ConsoleAccount.id`, which is random.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llm_service.store.models import Base, new_id, now

SESSION_STAGES: Final = ("password_change", "second_factor", "enrolment", "full")
"""What a login still lacks: a password of one's own, the code, a second factor to be set up, nothing."""


class ConsoleAccount(Base):
    """A person who may log in: with a password kept here (`local`), or through the bank's provider (`oidc`).

    `subject` is "issuer|sub" of the provider. `totp_secret` is ciphertext; `totp_last_step` is the time step of the
    newest code that was taken, so that no code is taken twice (RFC 6238, section 5.2).
    """

    __tablename__ = "console_accounts"
    __table_args__ = (
        CheckConstraint("kind IN ('local', 'oidc')", name="ck_console_accounts_kind"),
        CheckConstraint("(kind = 'local') = (password_hash IS NOT NULL)", name="ck_console_accounts_password"),
        CheckConstraint("(kind = 'oidc') = (subject IS NOT NULL)", name="ck_console_accounts_subject"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    login: Mapped[str] = mapped_column(String(64), unique=True)
    display_name: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(8))
    subject: Mapped[str | None] = mapped_column(String(512), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(256))
    must_change_password: Mapped[bool] = mapped_column(default=False)
    totp_secret: Mapped[str | None] = mapped_column(String(256))
    totp_last_step: Mapped[int | None]
    roles: Mapped[list[str]] = mapped_column(default=list)
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_login_at: Mapped[datetime | None]
    access_reviewed_at: Mapped[datetime | None]


class ConsoleSession(Base):
    """One login. `id` is the SHA-256 of the cookie's token, so that the table opens no session.

    `provider_session` and `id_token` are the provider's, for logging out there and being logged out from there.
    `skipped` are the examples that its person wants to see last, in the order in which they were skipped.
    """

    __tablename__ = "console_sessions"
    __table_args__ = (
        CheckConstraint(f"stage IN {SESSION_STAGES!r}", name="ck_console_sessions_stage"),
        Index("ix_console_sessions_provider_session", "provider_session"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("console_accounts.id", ondelete="CASCADE"), index=True)
    stage: Mapped[str] = mapped_column(String(16))
    csrf_token: Mapped[str] = mapped_column(String(64))
    provider_session: Mapped[str | None] = mapped_column(String(256))
    id_token: Mapped[str | None]
    skipped: Mapped[list[str]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_seen_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class ConsoleLoginFailure(Base):
    """A failed attempt, by the hash of the name that was typed: names that do not exist are locked like others."""

    __tablename__ = "console_login_failures"
    __table_args__ = (Index("ix_console_login_failures_login_at", "login_sha256", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    login_sha256: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(default=now)


class ConsoleOnce(Base):
    """Something that works once: the state of a login at the provider, the id of a logout token (`kind`).

    `key` is a SHA-256; `details` of a login hold nonce, verifier and where to go afterwards.
    """

    __tablename__ = "console_once"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class ConsoleView(Base):
    """A search of one page that a person saved under a name."""

    __tablename__ = "console_views"
    __table_args__ = (UniqueConstraint("account_id", "page", "name", name="uq_console_views_name"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("console_accounts.id", ondelete="CASCADE"))
    page: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(64))
    query: Mapped[str] = mapped_column(String(512))
    created_at: Mapped[datetime] = mapped_column(default=now)


class ConsoleAccessReview(Base):
    """That somebody looked at what another person may do, and what came of it: kept, or the account closed.

    `roles` are those that were looked at. Nobody reviews their own access: the database says so too.
    """

    __tablename__ = "console_access_reviews"
    __table_args__ = (
        CheckConstraint("reviewer_id <> account_id", name="ck_console_access_reviews_other"),
        CheckConstraint("decision IN ('kept', 'closed')", name="ck_console_access_reviews_decision"),
        Index("ix_console_access_reviews_account", "account_id", "reviewed_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("console_accounts.id", ondelete="CASCADE"))
    reviewer_id: Mapped[str] = mapped_column(String(32))
    roles: Mapped[list[str]] = mapped_column(default=list)
    decision: Mapped[str] = mapped_column(String(8))
    reviewed_at: Mapped[datetime] = mapped_column(default=now)


class ConsoleToken(Base):
    """A token with which a program reads as a person in one role. `sha256` is all that is kept of it.

    `scopes` name the parts of the console it may read; empty means all that the role may.
    """

    __tablename__ = "console_tokens"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("console_accounts.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    scopes: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
