"""Logging in and out: password, new password, code, second factor, the provider; language and theme on the way."""

import hmac
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from admin.access import LoggingIn, nobody_yet, own_path
from admin.errors import Declined
from admin.logins import Person
from admin.parts import Parts, parts_behind, parts_of
from admin.passwords import MAXIMUM_PASSWORD_CHARACTERS, MINIMUM_PASSWORD_CHARACTERS
from admin.qr import qr_code
from admin.rendering import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, back, error_page, page, require_locale

router = APIRouter()

STAGE_PATHS: Final = {
    "password_change": "/login/password",
    "second_factor": "/login/code",
    "enrolment": "/login/second-factor",
    "full": "/",
}
YEAR_SECONDS: Final = 31_536_000
STATE_COOKIE: Final = "haechi_login_state"
STATE_SECONDS: Final = 600
WHERE_COOKIE: Final = "haechi_login_where"
PartsHere = Annotated[Parts, Depends(parts_of)]
Name = Annotated[str, Form(max_length=64)]
Password = Annotated[str, Form(max_length=1024)]


@router.get("/login", name="login_form")
async def login_form(request: Request, next: str = "/") -> HTMLResponse:
    return _login_page(request, own_path(next))


@router.post("/login", name="login", dependencies=[Depends(nobody_yet)])
async def login(
    request: Request, parts: PartsHere, name: Name, password: Password, next: Annotated[str, Form()] = "/"
) -> Response:
    """A login by password; what it still lacks is asked on the next page."""
    try:
        token = await parts.logins.by_password(name, password)
    except Declined as declined:
        return _login_page(request, own_path(next), declined, name)
    response = await _to_next_step(parts, token)
    _set_cookie(response, parts, WHERE_COOKIE, own_path(next), STATE_SECONDS)
    return response


@router.get("/login/password", name="password_form")
async def password_form(request: Request, person: LoggingIn) -> HTMLResponse:
    return _password_page(request, person)


@router.post("/login/password", name="password")
async def password(
    request: Request,
    parts: PartsHere,
    person: LoggingIn,
    old: Password,
    new: Password,
    again: Password,
) -> Response:
    """Replace one's own password: the first one, or at any time; logins that are open elsewhere end."""
    if person.stage not in ("password_change", "full") or person.kind != "local":
        return back(STAGE_PATHS[person.stage])
    if not hmac.compare_digest(new.encode(), again.encode()):
        return _password_page(request, person, Declined("passwords_differ", 422))
    try:
        token = await parts.logins.change_password(person, old, new)
    except Declined as declined:
        return _password_page(request, person, declined)
    return await _to_next_step(parts, token)


@router.get("/login/code", name="second_factor_form")
async def second_factor_form(request: Request, person: LoggingIn) -> Response:
    if person.stage != "second_factor":
        return back(STAGE_PATHS[person.stage])
    return page(request, "code.html", declined=None, csrf=person.csrf_token)


@router.post("/login/code", name="second_factor")
async def second_factor(
    request: Request, parts: PartsHere, person: LoggingIn, code: Annotated[str, Form(max_length=16)]
) -> Response:
    if person.stage != "second_factor":
        return back(STAGE_PATHS[person.stage])
    try:
        token = await parts.logins.by_code(person, code)
    except Declined as declined:
        return page(request, "code.html", status_code=declined.status, declined=declined, csrf=person.csrf_token)
    return await _to_next_step(parts, token, own_path(request.cookies.get(WHERE_COOKIE, "/")))


@router.get("/login/second-factor", name="enrolment_form")
async def enrolment_form(request: Request, parts: PartsHere, person: LoggingIn) -> Response:
    if person.stage != "enrolment":
        return back(STAGE_PATHS[person.stage])
    secret, address = parts.logins.new_second_factor(person.login)
    return _enrolment_page(request, person, secret, address)


@router.post("/login/second-factor", name="enrolment")
async def enrolment(
    request: Request,
    parts: PartsHere,
    person: LoggingIn,
    secret: Annotated[str, Form(pattern=r"^[A-Z2-7]{32}$")],
    code: Annotated[str, Form(max_length=16)],
) -> Response:
    if person.stage != "enrolment":
        return back(STAGE_PATHS[person.stage])
    try:
        token = await parts.logins.enrol(person, secret, code)
    except Declined as declined:
        return _enrolment_page(request, person, secret, parts.logins.address_of(secret, person.login), declined)
    return await _to_next_step(parts, token)


@router.post("/logout", name="logout")
async def logout(request: Request, parts: PartsHere, person: LoggingIn) -> Response:
    """End the login here, and offer to end the provider's."""
    await parts.logins.end(person)
    address = None
    if person.id_token and parts.provider:
        try:
            address = await parts.provider.logout_address(person.id_token)
        except Declined:
            address = None  # the login here has ended in any case
    response = page(request, "logged_out.html", provider_address=address)
    response.delete_cookie(parts.settings.cookie_name, path="/", secure=parts.settings.is_behind_tls, httponly=True)
    return response


@router.get("/logged-out", name="logged_out")
async def logged_out(request: Request) -> HTMLResponse:
    """Where the provider sends a browser after logging out there."""
    return page(request, "logged_out.html", provider_address=None)


@router.get("/login/provider", name="provider_login")
async def provider_login(request: Request, parts: PartsHere, next: str = "/") -> Response:
    if parts.provider is None:
        raise Declined("no_provider", 404)
    address, state = await parts.provider.login_address(own_path(next))
    response = RedirectResponse(address, 303)
    _set_cookie(response, parts, STATE_COOKIE, state, STATE_SECONDS)
    return response


@router.get("/login/provider/return", name="provider_return")
async def provider_return(
    request: Request, parts: PartsHere, state: str = "", code: str = "", error: str = ""
) -> Response:
    """Back from the provider: only in the browser that went there, and once."""
    if parts.provider is None:
        raise Declined("no_provider", 404)
    kept = request.cookies.get(STATE_COOKIE, "")
    if not state or not hmac.compare_digest(kept.encode(), state.encode()):
        raise Declined("login_state_lost", 400)
    if error or not code:
        raise Declined("provider_refused", 403)
    vouched = await parts.provider.finish(state, code)
    token = await parts.logins.by_provider(
        vouched.subject, vouched.login, vouched.display_name, vouched.roles, vouched.provider
    )
    response = await _to_next_step(parts, token, vouched.where)
    response.delete_cookie(STATE_COOKIE)
    return response


@router.post("/login/provider/logout", name="provider_logout")
async def provider_logout(parts: PartsHere, logout_token: Annotated[str, Form(max_length=16_384)]) -> Response:
    """The provider itself says that logins are over; its signature stands where a browser's form has a token."""
    if parts.provider is None:
        raise Declined("no_provider", 404)
    await parts.provider.logout(logout_token)
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


@router.post("/language", name="choose_language", dependencies=[Depends(nobody_yet)])
async def choose_language(
    parts: PartsHere, locale: Annotated[str, Form()], next: Annotated[str, Form()] = "/"
) -> Response:
    response = back(own_path(next))
    _set_cookie(response, parts, LANGUAGE_COOKIE, require_locale(locale), YEAR_SECONDS)
    return response


@router.post("/theme", name="choose_theme", dependencies=[Depends(nobody_yet)])
async def choose_theme(parts: PartsHere, theme: Annotated[str, Form()], next: Annotated[str, Form()] = "/") -> Response:
    if theme not in THEMES:
        raise Declined("invalid_request", 422)
    response = back(own_path(next))
    _set_cookie(response, parts, THEME_COOKIE, theme, YEAR_SECONDS)
    return response


def to_login(where: str) -> Response:
    """The login, which brings a person back to where they wanted to be."""
    return RedirectResponse(f"/login?next={quote(where, safe='')}" if where != "/" else "/login", 303)


async def _to_next_step(parts: Parts, token: str, where: str = "/") -> Response:
    person = await parts.logins.person(token)
    if person is None:
        raise Declined("login_failed", 401)
    response = back(where if person.stage == "full" else STAGE_PATHS[person.stage])
    # A cookie of the browser's session: it ends with the browser, and on the server when its time is over.
    response.set_cookie(
        parts.settings.cookie_name,
        token,
        path="/",
        secure=parts.settings.is_behind_tls,
        httponly=True,
        samesite="lax",
    )
    return response


def _set_cookie(response: Response, parts: Parts, name: str, value: str, seconds: int) -> None:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=parts.settings.is_behind_tls,
        httponly=True,
        samesite="lax",
    )


def _login_page(request: Request, where: str, declined: Declined | None = None, name: str = "") -> HTMLResponse:
    return page(
        request,
        "login.html",
        status_code=declined.status if declined else 200,
        declined=declined,
        name=name,
        where=where,
        has_provider=parts_behind(request).provider is not None,
    )


def _password_page(request: Request, person: Person, declined: Declined | None = None) -> HTMLResponse:
    if person.kind != "local":
        return error_page(request, "no_local_account", 409)
    return page(
        request,
        "password.html",
        status_code=declined.status if declined else 200,
        declined=declined,
        csrf=person.csrf_token,
        is_first=person.stage == "password_change",
        minimum=MINIMUM_PASSWORD_CHARACTERS,
        maximum=MAXIMUM_PASSWORD_CHARACTERS,
    )


def _enrolment_page(
    request: Request, person: Person, secret: str, address: str, declined: Declined | None = None
) -> HTMLResponse:
    return page(
        request,
        "enrolment.html",
        status_code=declined.status if declined else 200,
        declined=declined,
        csrf=person.csrf_token,
        secret=secret,
        groups=[secret[start : start + 4] for start in range(0, len(secret), 4)],
        address=address,
        qr=qr_code(address),
    )
