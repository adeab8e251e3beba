"""People and roles: local accounts added, roles given, passwords and second factors reset, lock-outs ended."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Final

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting
from admin.errors import Declined
from admin.parts import Parts, parts_of
from admin.passwords import hash_password, new_password
from admin.policies import ROLES
from admin.rendering import back, page
from llm_service.store import console, console_access

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
AccountId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Roles = Annotated[list[str], Form()]
UNUSED_AFTER: Final = timedelta(days=90)


@router.get("/accounts", name="accounts")
async def accounts(request: Request, parts: PartsHere, person: Acting) -> HTMLResponse:
    """Everybody who may log in, what they may do, and who is locked out."""
    found = await parts.transactions.read(console.accounts)
    now = datetime.now(UTC)
    return page(
        request,
        "accounts.html",
        person,
        accounts=found,
        roles=ROLES,
        unused={one.id for one in found if console.never_used_since(one, now - UNUSED_AFTER)},
        locked=await parts.transactions.read(partial(console_access.locked_until, accounts=found)),
        due=sum(one.is_active and console_access.is_due(one) for one in found),
    )


@router.post("/accounts", name="add_account")
async def add_account(
    request: Request,
    parts: PartsHere,
    person: Acting,
    login: Annotated[str, Form(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{1,47}$")],
    display_name: Annotated[str, Form(min_length=1, max_length=128)],
    roles: Roles,
) -> HTMLResponse:
    """A local account with a first password, which is shown this once."""
    password = new_password()
    hashed = await to_thread.run_sync(hash_password, password)
    work = partial(
        console.add_local_account,
        actor=person.account_id,
        login=login,
        display_name=display_name.strip(),
        password_hash=hashed,
        roles=_known(roles),
    )
    made = await parts.transactions.run(work)
    return page(request, "password_once.html", person, login=made.login, password=password)


@router.post("/accounts/{account_id}/roles", name="set_roles")
async def set_roles(parts: PartsHere, person: Acting, account_id: AccountId, roles: Roles) -> Response:
    work = partial(console.set_roles, actor=person.account_id, account_id=account_id, roles=_known(roles))
    await parts.transactions.run(work)
    return back("/accounts", "roles_changed")


@router.post("/accounts/{account_id}/active", name="set_active")
async def set_active(
    parts: PartsHere, person: Acting, account_id: AccountId, active: Annotated[bool, Form()]
) -> Response:
    """Let an account in, or keep it out, which ends its logins."""
    work = partial(console.set_active, actor=person.account_id, account_id=account_id, is_active=active)
    await parts.transactions.run(work)
    return back("/accounts", "account_opened" if active else "account_closed")


@router.post("/accounts/{account_id}/password", name="reset_password")
async def reset_password(request: Request, parts: PartsHere, person: Acting, account_id: AccountId) -> HTMLResponse:
    """A new first password, which is shown this once."""
    password = new_password()
    hashed = await to_thread.run_sync(hash_password, password)
    work = partial(
        console.set_password, actor=person.account_id, account_id=account_id, password_hash=hashed, must_change=True
    )
    await parts.transactions.run(work)
    found = await parts.transactions.read(partial(console.account, account_id=account_id))
    return page(request, "password_once.html", person, login=found.login, password=password)


@router.post("/accounts/{account_id}/second-factor", name="reset_second_factor")
async def reset_second_factor(parts: PartsHere, person: Acting, account_id: AccountId) -> Response:
    """Take a lost second factor away; another is set up at the next login."""
    work = partial(console.set_second_factor, actor=person.account_id, account_id=account_id, secret=None, step=None)
    await parts.transactions.run(work)
    return back("/accounts", "second_factor_removed")


@router.post("/accounts/{account_id}/unlock", name="unlock_account")
async def unlock_account(parts: PartsHere, person: Acting, account_id: AccountId) -> Response:
    """Let somebody try again at once who failed too often."""
    await parts.transactions.run(partial(console_access.unlock, actor=person.account_id, account_id=account_id))
    return back("/accounts", "account_unlocked")


def _known(roles: list[str]) -> list[str]:
    if not roles or not set(roles) <= set(ROLES):
        raise Declined("roles_unknown", 422)
    return roles
