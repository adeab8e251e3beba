"""Logins of people and programs: by password and code, by the provider, by an API token; begun anew at every step.

A token that was given before a step is worthless after it, so that nobody can plant one (session fixation).
"""

import secrets
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from anyio import to_thread
from sqlalchemy.orm import Session

from admin.errors import Declined
from admin.passwords import SecondFactors, hash_password, is_acceptable, is_password, new_password
from admin.settings import ConsoleSettings
from llm_service.store import console
from llm_service.store.console_models import ConsoleAccount
from llm_service.store.session import open_database
from llm_service.store.transactions import Transactions

TOKEN_BYTES: Final = 32
TOKEN_PREFIX: Final = "haechi_"  # noqa: S105  the part of a token that is no secret
FIRST_LOGIN: Final = "admin"
FIRST_ROLES: Final = ("admin", "auditor")
Stage = Literal["password_change", "second_factor", "enrolment", "full"]


@dataclass(frozen=True)
class Person:
    """Who acts: an account with its roles. `account_id` is what audit rows and reviews are told.

    `scopes` narrow what a program reads; people have none, which is all that their roles may. `skipped` are the
    examples that they left for later in this login.
    """

    account_id: str
    login: str
    display_name: str
    kind: str
    roles: frozenset[str]
    stage: Stage
    csrf_token: str
    token_sha256: str
    id_token: str | None = None
    scopes: frozenset[str] = frozenset()
    skipped: tuple[str, ...] = ()


class Logins:
    """Opens, finds and ends logins. Raises `Declined` with what a person should be told."""

    def __init__(self, transactions: Transactions, settings: ConsoleSettings) -> None:
        self._transactions = transactions
        self._lifetimes = settings.lifetimes
        self._needs_second_factor = settings.console_second_factor == "required"
        self._second_factors = SecondFactors(settings.console_key.get_secret_value())

    async def first_password(self) -> str | None:
        """Make the first account where there is none; its password is returned once and kept nowhere."""
        if await self._transactions.read(console.account_count):
            return None
        password = new_password()
        hashed = await to_thread.run_sync(hash_password, password)

        def add(session: Session) -> bool:
            if console.account_count(session):
                return False
            console.add_local_account(session, console.SYSTEM, FIRST_LOGIN, "Administrator", hashed, FIRST_ROLES)
            return True

        return password if await self._transactions.run(add) else None

    async def by_password(self, login: str, password: str) -> str:
        """The token of a new login, which may still lack a step. Raises `Declined` (login_failed, login_locked)."""
        if await self._transactions.read(partial(console.is_locked, login=login)):
            raise Declined("login_locked", 429)
        found = await self._transactions.read(partial(console.account_named, login=login))
        matches = await to_thread.run_sync(is_password, found.password_hash if found else None, password)
        if found is None or not matches or not found.is_active:
            await self._transactions.run(partial(console.note_failure, login=login, stage="password"))
            raise Declined("login_failed", 401)
        return await self._transactions.run(partial(self._begin, account_id=found.id, stage=self._next_stage(found)))

    async def by_code(self, person: Person, code: str) -> str:
        """Finish a login with a time-based code. Raises `Declined` (code_wrong, login_locked)."""
        found = await self._account(person)
        if await self._transactions.read(partial(console.is_locked, login=found.login)):
            raise Declined("login_locked", 429)
        step = self._second_factors.step_of(found.totp_secret or "", code) if found.totp_secret else None

        def finish(session: Session) -> str | None:
            if step is None or not console.take_code(session, found.id, step):
                return None
            return self._begin(session, found.id, "full", ends=person.token_sha256)

        token = await self._transactions.run(finish)
        if token is None:
            await self._transactions.run(partial(console.note_failure, login=found.login, stage="code"))
            raise Declined("code_wrong", 401)
        return token

    async def change_password(self, person: Person, old: str, new: str) -> str:
        """Replace one's own password; every other login of the account ends. Raises `Declined`."""
        found = await self._account(person)
        if await self._transactions.read(partial(console.is_locked, login=found.login)):
            raise Declined("login_locked", 429)
        if not await to_thread.run_sync(is_password, found.password_hash, old):
            await self._transactions.run(partial(console.note_failure, login=found.login, stage="password"))
            raise Declined("password_wrong", 401)
        if not is_acceptable(new, found.login) or new == old:
            raise Declined("password_unacceptable", 422)
        hashed = await to_thread.run_sync(hash_password, new)

        def change(session: Session) -> str:
            console.set_password(session, found.id, found.id, hashed, must_change=False)
            return self._begin(session, found.id, self._next_stage(console.account(session, found.id)))

        return await self._transactions.run(change)

    async def enrol(self, person: Person, secret: str, code: str) -> str:
        """Set up a second factor that has shown its first code. Raises `Declined` (code_wrong)."""
        encrypted = self._second_factors.encrypted(secret)
        step = self._second_factors.step_of(encrypted, code)
        if step is None:
            raise Declined("code_wrong", 401)

        def keep(session: Session) -> str:
            console.set_second_factor(session, person.account_id, person.account_id, encrypted, step)
            return self._begin(session, person.account_id, "full", ends=person.token_sha256)

        return await self._transactions.run(keep)

    def new_second_factor(self, login: str) -> tuple[str, str]:
        """A secret to be set up, and its otpauth:// address."""
        secret = self._second_factors.new_secret()
        return secret, self._second_factors.address(secret, login)

    def address_of(self, secret: str, login: str) -> str:
        """The otpauth:// address of a secret that is being set up."""
        return self._second_factors.address(secret, login)

    async def by_provider(
        self, subject: str, login: str, display_name: str, roles: frozenset[str], provider: console.Provider
    ) -> str:
        """The token of a new login that the provider vouches for. Raises `Declined` (account_closed)."""

        def vouched(session: Session) -> str | None:
            found = console.account_of_provider(session, subject, login, display_name, sorted(roles))
            return self._begin(session, found.id, "full", provider=provider) if found.is_active else None

        token = await self._transactions.run(vouched)
        if token is None:
            raise Declined("account_closed", 403)
        return token

    async def person(self, token: str, *, in_use: bool = True) -> Person | None:
        """Who a cookie's token belongs to, if that login still stands. Not `in_use`: a page only looked for news."""
        token_sha256 = console.sha256_of(token)
        work = partial(console.logged_in, token_sha256=token_sha256, lifetimes=self._lifetimes)
        found = await self._transactions.read(work)
        if found is None:
            return None
        if in_use and console.is_to_be_seen(found.session):
            await self._transactions.run(partial(console.see, token_sha256=token_sha256))
        return _person(found)

    async def program(self, token: str) -> Person | None:
        """Who an API token reads as: its person, in the token's one role."""
        found = await self._transactions.run(partial(console.use_token, token_sha256=console.sha256_of(token)))
        if found is None:
            return None
        owner, held = found
        return Person(
            account_id=owner.id,
            login=owner.login,
            display_name=owner.display_name,
            kind=owner.kind,
            roles=frozenset({held.role}),
            stage="full",
            csrf_token="",
            token_sha256="",
            scopes=frozenset(held.scopes),
        )

    async def end(self, person: Person) -> None:
        await self._transactions.run(partial(console.end_session, token_sha256=person.token_sha256))

    async def _account(self, person: Person) -> ConsoleAccount:
        return await self._transactions.read(partial(console.account, account_id=person.account_id))

    def _next_stage(self, found: ConsoleAccount) -> Stage:
        if found.must_change_password:
            return "password_change"
        if found.totp_secret is not None:
            return "second_factor"
        return "enrolment" if self._needs_second_factor else "full"

    def _begin(
        self,
        session: Session,
        account_id: str,
        stage: Stage,
        ends: str | None = None,
        provider: console.Provider | None = None,
    ) -> str:
        """Open a login in the transaction of what led to it; returns its token."""
        token, csrf_token = secrets.token_urlsafe(TOKEN_BYTES), secrets.token_urlsafe(TOKEN_BYTES)
        if ends is not None:
            console.end_session(session, ends)
        if stage == "full":
            console.forget_failures(session, console.account(session, account_id).login)
        token_sha256 = console.sha256_of(token)
        console.open_session(session, account_id, token_sha256, csrf_token, stage, self._lifetimes, provider)
        return token


async def first_password(settings: ConsoleSettings) -> str | None:
    """The password of the first account, made where there is none; for whoever starts the platform on one machine."""
    database = open_database(settings.resolved_database_url)
    try:
        return await Logins(Transactions(database), settings).first_password()
    finally:
        database.dispose()


def new_api_token() -> str:
    """A token for a program; only its hash is kept."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def _person(found: console.LoggedIn) -> Person:
    stage: Stage = found.session.stage  # type: ignore[assignment]  # a constraint of the table
    return Person(
        account_id=found.account.id,
        login=found.account.login,
        display_name=found.account.display_name,
        kind=found.account.kind,
        roles=frozenset(found.account.roles),
        stage=stage,
        csrf_token=found.session.csrf_token,
        token_sha256=found.session.id,
        id_token=found.session.id_token,
        skipped=tuple(found.session.skipped),
    )
