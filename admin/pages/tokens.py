"""API tokens: with one, a program reads what its person may read in one role; it changes nothing."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting
from admin.errors import Declined
from admin.logins import new_api_token
from admin.parts import Parts, parts_of
from admin.policies import SCOPES
from admin.rendering import back, page
from llm_service.store import console

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
EXPIRES_SOON: Final = timedelta(days=14)


@router.get("/tokens", name="tokens")
async def tokens(request: Request, parts: PartsHere, person: Acting) -> HTMLResponse:
    return await _tokens_page(request, parts, person, None)


@router.post("/tokens", name="add_token")
async def add_token(
    request: Request,
    parts: PartsHere,
    person: Acting,
    name: Annotated[str, Form(min_length=1, max_length=64)],
    role: Annotated[str, Form()],
    days: Annotated[int, Form(ge=1, le=365)] = 90,
    scopes: Annotated[list[str] | None, Form()] = None,
) -> HTMLResponse:
    """A token of one's own, which is shown this once."""
    if not set(scopes or ()) <= SCOPES.keys():
        raise Declined("invalid_request", 422)
    token = new_api_token()
    work = partial(
        console.add_token,
        account_id=person.account_id,
        name=name.strip(),
        role=role,
        token_sha256=console.sha256_of(token),
        lives=timedelta(days=days),
        scopes=scopes or (),
    )
    await parts.transactions.run(work)
    return await _tokens_page(request, parts, person, token)


@router.post("/tokens/{token_id}/revoke", name="revoke_token")
async def revoke_token(
    parts: PartsHere, person: Acting, token_id: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
) -> Response:
    """Admins end any token, everybody else their own."""
    of = None if "admin" in person.roles else person.account_id
    await parts.transactions.run(partial(console.revoke_token, actor=person.account_id, token_id=token_id, of=of))
    return back("/tokens", "token_revoked")


async def _tokens_page(request: Request, parts: Parts, person: Acting, token: str | None) -> HTMLResponse:
    found = await parts.transactions.read(console.tokens)
    return page(
        request,
        "tokens.html",
        person,
        tokens=found,
        new_token=token,
        own_roles=sorted(person.roles),
        scopes=tuple(SCOPES),
        soon=datetime.now(UTC) + EXPIRES_SOON,
        now=datetime.now(UTC),
    )
