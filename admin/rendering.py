"""Turns a template into a page: the texts in the person's language, the response's nonce, what the person may do.

Everything that is put into a template is escaped; no template marks anything as safe.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from admin import policies
from admin.errors import Declined
from admin.logins import Person
from admin.parts import parts_behind
from admin.texts import LOCALES, has_sentence, sentence
from llm_service.client import Locale
from llm_service.errors import Misconfigured
from llm_service.learning_client import COUNTED_UP_TO

TEMPLATES: Final = Path(__file__).with_name("templates")
LANGUAGE_COOKIE: Final = "haechi_language"
THEME_COOKIE: Final = "haechi_theme"
THEMES: Final = ("auto", "light", "dark")
KOREA: Final = timezone(timedelta(hours=9), "KST")
SECTIONS: Final = (
    ("dashboard", "/"),
    ("reviews", "/reviews"),
    ("approvals", "/approvals"),
    ("handoffs", "/handoffs"),
    ("conversations", "/conversations"),
    ("documents", "/documents"),
    ("curated", "/curated"),
    ("datasets", "/datasets"),
    ("runs", "/runs"),
    ("evaluations", "/evaluations"),
    ("blind", "/blind"),
    ("adapters", "/adapters"),
    ("audit", "/audit"),
    ("accounts", "/accounts"),
    ("access", "/access"),
    ("tokens", "/tokens"),
    ("platform", "/platform"),
)
"""The menu: the route that a person must be allowed to see the entry, and its path."""


def environment() -> Environment:
    """The templates; whatever a template names and nobody gave is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(when=when, day=day, short=short, counted=counted)
    return made


def page(
    request: Request, template: str, person: Person | None = None, status_code: int = 200, **values: Any
) -> HTMLResponse:
    """A whole page. `person` is whose menu is shown; without one there is none."""
    parts = parts_behind(request)
    locale = locale_of(request)
    context: dict[str, Any] = {
        "t": partial(_told, locale=locale),
        "known": partial(_told_if_known, locale=locale),
        "locale": locale,
        "other_locale": next(other for other in LOCALES if other != locale),
        "theme": theme_of(request),
        "themes": THEMES,
        "nonce": request.state.nonce,
        "assets": parts.assets,
        "person": person,
        "csrf": person.csrf_token if person else "",
        "may": partial(policies.may, person.roles if person else ()),
        "sections": [section for section in SECTIONS if person and policies.may(person.roles, section[0])],
        "here": request.url.path,
        "query": request.url.query,
        "notice": _notice(request, locale),
        **values,
    }
    return HTMLResponse(parts.templates.get_template(template).render(context), status_code)


def error_page(
    request: Request,
    code: str,
    status: int,
    person: Person | None = None,
    told: Mapping[Locale, str] | None = None,
) -> HTMLResponse:
    """What went wrong and what to do. A code the table lacks gets what llm_service `told`, or the general sentence."""
    locale = locale_of(request)
    if has_sentence(f"error_{code}"):
        text = sentence(f"error_{code}", locale)
    else:
        text = (told or {}).get(locale) or sentence("error_internal_error", locale)
    return page(request, "error.html", person, status, code=code, text=text, http_status=status)


def back(path: str, notice: str | None = None) -> RedirectResponse:
    """After a form: the page that shows what came of it, with a notice by its code."""
    if notice is None:
        return RedirectResponse(path, 303)
    return RedirectResponse(f"{path}{'&' if '?' in path else '?'}notice={notice}", 303)


def locale_of(request: Request) -> Locale:
    """The language a person chose; Korean before any choice."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    return "en" if chosen == "en" else "ko"


def theme_of(request: Request) -> str:
    chosen = request.cookies.get(THEME_COOKIE, "auto")
    return chosen if chosen in THEMES else "auto"


def when(value: str | datetime | None) -> str:
    """A time on Korean clocks."""
    if not value:
        return ""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(KOREA).strftime("%Y-%m-%d %H:%M")


def day(value: object) -> str:
    """A day; an edition without an end has none."""
    text = str(value or "")
    return "" if text.startswith("9999") else text[:10]


def counted(count: int) -> str:
    """A count of what waits; the queue is not counted to its end."""
    return f"{COUNTED_UP_TO:,}+" if count > COUNTED_UP_TO else f"{count:,}"


def beginning_of(day: str, days_later: int = 0) -> str | None:
    """When a day (2026-11-21, or empty) begins on Korean clocks, in ISO 8601. Raises `Declined` for no day at all."""
    if not day:
        return None
    try:
        beginning = datetime.combine(date.fromisoformat(day), time(), KOREA)
    except ValueError:
        raise Declined("invalid_request", 422) from None
    return (beginning + timedelta(days=days_later)).isoformat()


def short(value: str | None, characters: int = 12) -> str:
    """The beginning of a long id or hash."""
    return (value or "")[:characters]


def require_locale(value: str) -> Locale:
    """Raises `Declined` (invalid_request) for a language there is not."""
    if value not in get_args(Locale):
        raise Declined("invalid_request", 422)
    return "en" if value == "en" else "ko"


def check_policies(route_names: Mapping[str, str]) -> None:
    """Raises `Misconfigured` where the table of roles and the routes do not name the same things."""
    missing = [f"{path} ({name})" for name, path in route_names.items() if not policies.is_named(name)]
    named = policies.ALLOWED.keys() | policies.OPEN_ROUTES | policies.UNFINISHED_LOGIN_ROUTES
    superfluous = sorted(named - route_names.keys())
    if missing or superfluous:
        raise Misconfigured(
            "console_policies_incomplete",
            f"admin/policies.py lacks {missing or 'nothing'} and names {superfluous or 'nothing'} too many",
        )


def _told(code: str, locale: Locale, **values: object) -> str:
    return sentence(code, locale, **values)


def _told_if_known(prefix: str, code: str | None, locale: Locale) -> str:
    """The word for a value that llm_service names by a code, or the code itself."""
    if not code:
        return ""
    return sentence(f"{prefix}_{code}", locale) if has_sentence(f"{prefix}_{code}") else code


def _notice(request: Request, locale: Locale) -> str | None:
    code = f"notice_{request.query_params.get('notice', '')}"
    return sentence(code, locale) if has_sentence(code) else None
