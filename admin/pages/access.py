"""The access review: everybody's roles, last login and last use of a right, looked at by somebody else once a month."""

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting
from admin.parts import Parts, parts_of
from admin.people import key_of, names
from admin.rendering import back, page
from llm_service.store import console, console_access

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
AccountId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Roles = Annotated[list[str], Form()]
REVIEWS_SHOWN: Final = 50


@router.get("/access", name="access")
async def access(request: Request, parts: PartsHere, person: Acting) -> HTMLResponse:
    """Those who are due first, and what was reviewed before."""
    accounts = await parts.transactions.read(console.accounts)
    keys = {one.id: key_of(parts, one.id) for one in accounts}
    found = await parts.transactions.read(partial(console_access.access_of_all, keys=keys))
    return page(
        request,
        "access.html",
        person,
        found=found,
        due=sum(one.is_due for one in found),
        reviews=await parts.transactions.read(partial(console_access.reviews, limit=REVIEWS_SHOWN)),
        names=await names(parts),
    )


@router.post("/access/{account_id}/keep", name="keep_access")
async def keep_access(parts: PartsHere, person: Acting, account_id: AccountId, roles: Roles) -> Response:
    """Somebody else's roles are as they should be."""
    return await _reviewed(parts, person.account_id, account_id, roles, "kept")


@router.post("/access/{account_id}/close", name="close_access")
async def close_access(parts: PartsHere, person: Acting, account_id: AccountId, roles: Roles) -> Response:
    """Somebody else should not have access any more: the account is closed, and its logins end."""
    return await _reviewed(parts, person.account_id, account_id, roles, "closed")


async def _reviewed(parts: Parts, actor: str, account_id: str, roles: list[str], decision: str) -> Response:
    work = partial(console_access.review, actor=actor, account_id=account_id, roles=roles, decision=decision)
    await parts.transactions.run(work)
    return back("/access", f"access_{decision}")
