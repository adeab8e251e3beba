"""Role by route, generated from the route table: who may do what is what `policies.py` says, and nothing else."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from admin import policies
from admin.access import own_path
from admin.app import named_routes
from admin.pages.table import ROUTERS
from admin.rendering import check_policies
from llm_service.errors import Misconfigured
from tests.admin.platform import Platform

ON_SQLITE_ALONE = True

METHOD_OF = {route.name: next(iter(route.methods)) for router in ROUTERS for route in router.routes}  # type: ignore[attr-defined]
PATH_OF = named_routes()
GUARDED = sorted(policies.ALLOWED)
EXAMPLES = {"document_id": "1", "name": "bank-qa-v1"}


@pytest.fixture(scope="module")
def browsers(platform: Platform) -> Iterator[dict[str, httpx.Client]]:
    """One browser of each role for the whole matrix, and one of nobody."""
    with ExitStack() as stack:
        found = {role: stack.enter_context(platform.logged_in(role)) for role in policies.ROLES}
        found["nobody"] = stack.enter_context(
            httpx.Client(base_url=platform.url, headers={"Sec-Fetch-Site": "same-origin"}, trust_env=False)
        )
        yield found


def path_of(name: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: EXAMPLES.get(match[1], "0" * 32), PATH_OF[name])


def ask(client: httpx.Client, name: str, **form: str) -> httpx.Response:
    if METHOD_OF[name] == "GET":
        return client.get(path_of(name))
    return client.post(path_of(name), data=form)


def code_of(response: httpx.Response) -> str:
    found = re.search(r"<code>([a-z_]+)</code>", response.text)
    return found[1] if found and response.status_code >= 400 else ""


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize("role", policies.ROLES)
def test_a_role_reaches_exactly_the_routes_of_the_table(
    browsers: dict[str, httpx.Client], role: str, name: str
) -> None:
    response = ask(browsers[role], name)
    if role in policies.ALLOWED[name]:
        # Forms carry no token here, so nothing is done; that they got as far as the token is what is tested.
        assert code_of(response) == "form_outdated" if METHOD_OF[name] == "POST" else response.status_code != 403
    else:
        assert (response.status_code, code_of(response)) == (403, "not_permitted")
        assert "다른 역할의 화면" in response.text


@pytest.mark.parametrize("name", GUARDED)
def test_without_a_login_every_guarded_route_leads_to_the_login(browsers: dict[str, httpx.Client], name: str) -> None:
    response = ask(browsers["nobody"], name)
    assert response.status_code == 303
    assert response.headers["location"].startswith("/login")


@pytest.mark.parametrize("name", [name for name in GUARDED if METHOD_OF[name] == "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://elsewhere.example"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    ],
)
def test_a_form_of_another_site_changes_nothing(
    browsers: dict[str, httpx.Client], name: str, headers: dict[str, str]
) -> None:
    role = sorted(policies.ALLOWED[name])[0]
    response = browsers[role].post(path_of(name), data={"csrf": f"csrf-of-{role}"}, headers=headers)
    assert (response.status_code, code_of(response)) == (403, "form_forged")


def test_every_route_is_named_and_a_missing_one_stops_the_start() -> None:
    check_policies(PATH_OF)
    with pytest.raises(Misconfigured, match="console_policies_incomplete"):
        check_policies({**PATH_OF, "forgotten": "/forgotten"})
    with pytest.raises(Misconfigured, match="console_policies_incomplete"):
        check_policies({name: path for name, path in PATH_OF.items() if name != "audit"})


def test_an_unnamed_route_is_closed_to_everybody() -> None:
    assert not any(policies.may({role}, "forgotten") for role in policies.ROLES)


@pytest.mark.parametrize(
    ("where", "leads_to"),
    [
        ("/reviews?state=pending", "/reviews?state=pending"),
        ("//elsewhere.example", "/"),
        ("/\\elsewhere.example", "/"),
        ("https://elsewhere.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_nobody_is_sent_elsewhere_after_a_login(where: str, leads_to: str) -> None:
    assert own_path(where) == leads_to
