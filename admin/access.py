"""Lets a request in: whose login it carries, whether the login is whole, the role of the route, and no forged form.

Routes get the acting person from here and nowhere else; what a role may do stands in `policies.py`.
"""

import hmac
from typing import Annotated, Final
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request

from admin import policies
from admin.errors import Declined, LoginRequired, StageMissing
from admin.logins import Person
from admin.parts import Parts, parts_behind, parts_of

SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "X-CSRF-Token"
BEARER: Final = "bearer "
RENEWING: Final = "renewing"


async def acting_person(request: Request, parts: Annotated[Parts, Depends(parts_of)]) -> Person:
    """The person with a whole login and a role for this route. Raises `LoginRequired`, `StageMissing`, `Declined`."""
    person = await _program(request, parts) or await _logged_in(request, parts)
    if person is None:
        raise LoginRequired(_place(request))
    if person.stage != "full":
        raise StageMissing(person.stage)
    if not policies.may(person.roles, _route_name(request), person.scopes):
        raise Declined("not_permitted", 403)
    await _refuse_forged(request, parts, person)
    return person


async def person_logging_in(request: Request, parts: Annotated[Parts, Depends(parts_of)]) -> Person:
    """The person of a login that need not be whole. Raises `LoginRequired`, `Declined`."""
    person = await _logged_in(request, parts)
    if person is None:
        raise LoginRequired("/")
    await _refuse_forged(request, parts, person)
    return person


async def nobody_yet(request: Request, parts: Annotated[Parts, Depends(parts_of)]) -> None:
    """For forms before any login: they must come from a page of ours. Raises `Declined` (form_forged)."""
    if request.method not in SAFE_METHODS:
        _refuse_other_origins(request, parts)


async def person_of(request: Request) -> Person | None:
    """Whose menu an error page shows: the person of a whole login, if there is one."""
    person = await _logged_in(request, parts_behind(request))
    return person if person is not None and person.stage == "full" else None


Acting = Annotated[Person, Depends(acting_person)]
LoggingIn = Annotated[Person, Depends(person_logging_in)]


def own_path(where: str) -> str:
    """A path of this console, whatever was asked for: nobody is sent elsewhere after a login."""
    split = urlsplit(where)
    is_own = where.startswith("/") and not where.startswith(("//", "/\\")) and not split.scheme and not split.netloc
    return where if is_own and "\\" not in where else "/"


async def _logged_in(request: Request, parts: Parts) -> Person | None:
    token = request.cookies.get(parts.settings.cookie_name)
    # A page that renews itself is nobody at the desk: it must not keep a login alive that nobody uses.
    in_use = RENEWING not in request.query_params
    return await parts.logins.person(token, in_use=in_use) if token else None


async def _program(request: Request, parts: Parts) -> Person | None:
    """Programs read and change nothing. Raises `Declined` (token_invalid, token_reads_only)."""
    header = request.headers.get("authorization", "")
    if header[: len(BEARER)].lower() != BEARER:
        return None
    if request.method not in SAFE_METHODS:
        raise Declined("token_reads_only", 403)
    person = await parts.logins.program(header[len(BEARER) :])
    if person is None:
        raise Declined("token_invalid", 401)
    return person


async def _refuse_forged(request: Request, parts: Parts, person: Person) -> None:
    if request.method in SAFE_METHODS:
        return
    _refuse_other_origins(request, parts)
    given = request.headers.get(CSRF_HEADER) or (await request.form()).get(CSRF_FIELD)
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), person.csrf_token.encode()):
        raise Declined("form_outdated", 403)


def _refuse_other_origins(request: Request, parts: Parts) -> None:
    """Sec-Fetch-Site where the browser sends it, else Origin; a form that says neither is not a browser's."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None and site != "same-origin":
        raise Declined("form_forged", 403)
    if origin is not None and origin not in _own_origins(request, parts):
        raise Declined("form_forged", 403)
    if site is None and origin is None:
        raise Declined("form_forged", 403)


def _own_origins(request: Request, parts: Parts) -> set[str]:
    configured = urlsplit(parts.settings.console_url)
    origins = {f"{configured.scheme}://{configured.netloc}"}
    # On one machine a browser may say localhost or 127.0.0.1, at whatever port; nobody else's page has such an origin.
    if parts.settings.environment == "embedded" and request.url.hostname in LOOPBACK_HOSTS:
        origins.add(f"http://{request.headers.get('host', '')}")
    return origins


def _route_name(request: Request) -> str:
    return str(getattr(request.scope.get("route"), "name", ""))


def _place(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return quote(request.url.path) + query if request.method in SAFE_METHODS else "/"
