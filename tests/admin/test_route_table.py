"""The matrix of roles and routes forgets no route: it is made from what is served, and a gap stops the start."""

from collections.abc import Iterator

import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy.orm import Session

import admin.app
from admin import policies
from admin.access import acting_person, nobody_yet, person_logging_in
from admin.pages.table import ROUTERS
from admin.settings import ConsoleSettings
from llm_service.errors import Misconfigured
from llm_service.store import console
from tests.admin.platform import LIFETIMES, Platform
from tests.admin.test_roles import GUARDED, METHOD_OF, PATH_OF

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
OPEN_TO_EVERYBODY = {
    "login_form": None,
    "login": nobody_yet,
    "choose_language": nobody_yet,
    "choose_theme": nobody_yet,
    "provider_login": None,
    "provider_return": None,
    "provider_logout": None,
    "logged_out": None,
    "live": None,
    "ready": None,
}
"""Written down a second time on purpose, each with what keeps other sites' forms out."""


def asked_of(dependant: Dependant) -> Iterator[object]:
    """Everything a route depends on."""
    for inner in dependant.dependencies:
        yield inner.call
        yield from asked_of(inner)


def unguarded(routes: list[APIRoute]) -> list[str]:
    """The routes that let somebody in whom the table of roles would not."""
    doors = {True: acting_person, False: person_logging_in}
    return [
        route.name
        for route in routes
        if route.name not in policies.OPEN_ROUTES
        and doors[route.name in policies.ALLOWED] not in set(asked_of(route.dependant))
    ]


def test_what_is_served_is_what_the_matrix_is_made_of(platform: Platform) -> None:
    app = admin.app.create_app(platform.settings)
    served = [getattr(route, "original_router", route) for route in app.routes]
    assert served[:-1] == list(ROUTERS)
    assert getattr(served[-1], "name", "") == "static"
    assert set(GUARDED) | policies.OPEN_ROUTES | policies.UNFINISHED_LOGIN_ROUTES == set(PATH_OF)


def test_every_route_has_a_name_and_a_method_of_its_own() -> None:
    assert len({route.name for route in ROUTES}) == len(ROUTES) == len(METHOD_OF)
    assert all(len(route.methods or ()) == 1 for route in ROUTES)


def test_every_guarded_route_asks_who_acts() -> None:
    assert unguarded(ROUTES) == []


def test_what_is_open_is_open_on_purpose() -> None:
    assert set(OPEN_TO_EVERYBODY) == policies.OPEN_ROUTES
    for route in ROUTES:
        door = OPEN_TO_EVERYBODY.get(route.name)
        if door is not None:
            assert door in set(asked_of(route.dependant))


@pytest.fixture
def forgotten() -> APIRouter:
    """A page somebody adds, and forgets about who may see it."""
    router = APIRouter()

    @router.get("/forgotten", name="forgotten")
    async def page() -> str:
        return "everything"

    return router


def test_a_page_without_a_rule_stops_the_start(forgotten: APIRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin.app, "ROUTERS", (*ROUTERS, forgotten))
    with pytest.raises(Misconfigured, match="forgotten"):
        admin.app.create_app(ConsoleSettings())


def test_a_page_with_a_rule_that_it_does_not_ask_for_is_found(
    forgotten: APIRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(policies.ALLOWED, "forgotten", frozenset({"admin"}))
    routes = [route for route in forgotten.routes if isinstance(route, APIRoute)]
    assert unguarded([*ROUTES, *routes]) == ["forgotten"]


def test_nobody_deletes_what_somebody_else_saved(platform: Platform) -> None:
    def save(session: Session) -> str:
        console.save_view(session, platform.accounts["reviewer"], "reviews", "mine", "state=pending")
        return console.views(session, platform.accounts["reviewer"], "reviews")[0].id

    view_id = platform.work(save)
    with platform.logged_in("approver") as other:
        other.post(f"/views/{view_id}/delete", data={"csrf": "csrf-of-approver"})
    kept = platform.work(lambda session: console.views(session, platform.accounts["reviewer"], "reviews"))
    assert view_id in [view.id for view in kept]


def test_a_token_of_one_login_is_no_token_of_another(platform: Platform) -> None:
    with platform.logged_in("reviewer") as reviewer:
        forged = reviewer.post("/views", data={"csrf": "csrf-of-approver", "name": "theirs", "query": ""})
    assert forged.status_code == 403


def test_a_login_of_a_role_that_was_taken_away_opens_nothing_more(platform: Platform) -> None:
    login = "once-an-approver"
    platform.add_account(login, ["approver"])
    with platform.logged_in(login) as client:
        assert client.get("/reviews").status_code == 200
        platform.work(lambda session: console.set_roles(session, "test", platform.accounts[login], ["agent"]))
        assert client.get("/reviews").headers["location"].startswith("/login")
    token = platform.token_of(login)
    assert platform.work(lambda session: console.logged_in(session, console.sha256_of(token), LIFETIMES)) is not None
