"""Logging in with the company's account, against the certified npm `oidc-provider` in a Node process of its own."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from joserfc.jwk import KeySet, RSAKey
from pydantic import SecretStr

from admin.app import create_app
from admin.errors import Declined
from admin.oidc import Provider
from admin.parts import Parts
from llm_service.store import audit, console
from tests.admin.platform import Platform
from tests.bot.gateway.stand_ins import served

PROVIDER = Path(__file__).with_name("provider")
ROLES = {"bank-reviewers": "reviewer", "bank-approvers": "approver"}


@dataclass(frozen=True)
class Company:
    """The provider's URL and a console that logs in there."""

    issuer: str
    url: str
    platform: Platform
    provider: Provider


@pytest.fixture(scope="module")
def company(platform: Platform) -> Iterator[Company]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("NO LOGIN AT A PROVIDER IS TESTED: node is missing; apt-get install nodejs npm")
    if not (PROVIDER / "node_modules").is_dir():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("NO LOGIN AT A PROVIDER IS TESTED: npm is missing; apt-get install npm")
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts"], cwd=PROVIDER, capture_output=True, timeout=240, check=False
        )
        if done.returncode != 0:
            pytest.skip("NO LOGIN AT A PROVIDER IS TESTED: run `npm ci` in tests/admin/provider")
    port = _free_port()
    app = create_app(platform.settings)
    with served(app) as url:
        issuer = f"http://127.0.0.1:{port}"
        settings = platform.settings.model_copy(
            update={
                "console_url": url,
                "oidc_issuer": issuer,
                "oidc_client_id": "console",
                "oidc_client_secret": SecretStr("a client secret for tests, long enough"),
                "oidc_roles": ROLES,
            }
        )
        parts: Parts = app.state.parts
        # Where the console is served is known now only; both sides have to know it.
        app.state.parts = replace(parts, settings=settings, provider=Provider(settings, parts.transactions))
        process = subprocess.Popen(
            [node, "provider.js", str(port), url],
            cwd=PROVIDER,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert "ready" in process.stdout.readline()
            yield Company(issuer, url, platform, app.state.parts.provider)
        finally:
            process.terminate()
            process.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=30, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        yield client


def at_provider(client: httpx.Client, company: Company, person: str, where: str = "/") -> str:
    """Log in at the provider as a person would; returns the address it sends the browser back to."""
    response = client.get(f"{company.url}/login/provider", params={"next": where})
    address = response.headers["location"]
    for _ in range(12):
        if address.startswith(company.url):
            return address
        response = client.get(address)
        while "<form" in response.text and response.status_code == 200:
            action = re.search(r'<form[^>]*action="([^"]+)"', response.text)
            prompt = re.search(r'name="prompt" value="([a-z]+)"', response.text)
            assert action
            assert prompt
            form = {"prompt": prompt[1], "login": person, "password": "anything"}
            response = client.post(urljoin(address, action[1]), data=form)
        address = urljoin(address, response.headers["location"])
    raise AssertionError("the provider never sent the browser back")


def test_a_group_gives_its_role_and_one_lands_where_one_wanted_to_be(client: httpx.Client, company: Company) -> None:
    assert "회사 계정으로 로그인" in client.get(f"{company.url}/login").text
    returned = client.get(at_provider(client, company, "kim", "/reviews"))
    assert (returned.status_code, returned.headers["location"]) == (303, "/reviews")
    assert client.get(f"{company.url}/reviews").status_code == 200
    assert client.get(f"{company.url}/accounts").status_code == 403
    assert "kim name" in client.get(f"{company.url}/profile").text


def test_a_login_by_the_provider_is_one_row_by_the_person(client: httpx.Client, company: Company) -> None:
    for _ in range(2):  # the first one may add the account, which is a row too
        before = company.platform.work(lambda session: audit.verify(session).last_position)
        client.get(at_provider(client, company, "kim"))
    rows = company.platform.work(lambda session: audit.chain_rows(session, before, 10))
    names = company.platform.work(console.names_of)
    assert [(row.action, names[row.actor]) for row in rows] == [("login.succeeded", "kim name")]


def test_a_person_without_a_group_of_the_bank_is_told_so(client: httpx.Client, company: Company) -> None:
    refused = client.get(at_provider(client, company, "park"))
    assert (refused.status_code, "no_role" in refused.text) == (403, True)


def test_the_browser_that_began_the_login_has_to_end_it_and_only_once(client: httpx.Client, company: Company) -> None:
    address = at_provider(client, company, "kim")
    with httpx.Client(trust_env=False, timeout=30) as stranger:
        assert "login_state_lost" in stranger.get(address).text
    state_cookie = client.cookies["haechi_login_state"]
    assert client.get(address).status_code == 303
    client.cookies.set("haechi_login_state", state_cookie)
    assert "login_state_lost" in client.get(address).text


def test_a_code_that_was_used_or_made_up_opens_nothing(client: httpx.Client, company: Company) -> None:
    address = at_provider(client, company, "kim")
    state = parse_qs(urlsplit(address).query)["state"][0]
    refused = client.get(f"{company.url}/login/provider/return", params={"state": state, "code": "made-up"})
    assert (refused.status_code, "provider_refused" in refused.text) == (403, True)


async def test_an_id_token_with_another_nonce_is_refused(client: httpx.Client, company: Company) -> None:
    query = parse_qs(urlsplit(at_provider(client, company, "kim")).query)
    state, code = query["state"][0], query["code"][0]

    def another_nonce(session: "object") -> None:
        kept = console.take_once(session, "oidc_state", state)  # type: ignore[arg-type]
        assert kept
        changed = {**kept, "nonce": "another"}
        console.put_once(session, "oidc_state", state, changed, lives=console.LOCKOUT_WINDOW)  # type: ignore[arg-type]

    company.platform.work(another_nonce)
    with pytest.raises(Declined, match="provider_refused"):
        await company.provider.finish(state, code)


def test_keys_that_the_provider_changed_are_fetched_again(client: httpx.Client, company: Company) -> None:
    company.provider._keys = KeySet([RSAKey.generate_key(2048, {"kid": "old"})])
    assert client.get(at_provider(client, company, "lee")).status_code == 303


def test_a_code_that_has_expired_opens_nothing(client: httpx.Client, company: Company) -> None:
    client.get(f"{company.issuer}/clock/-120")
    address = at_provider(client, company, "kim")
    client.get(f"{company.issuer}/clock/0")
    refused = client.get(address)
    assert (refused.status_code, "provider_refused" in refused.text) == (403, True)


def test_logging_out_at_the_provider_ends_the_login_here(client: httpx.Client, company: Company) -> None:
    client.get(at_provider(client, company, "kim"))
    profile = client.get(f"{company.url}/profile")
    csrf = re.search(r'name="csrf" value="([^"]+)"', profile.text)
    assert csrf
    out = client.post(f"{company.url}/logout", data={"csrf": csrf[1]})
    address = re.search(rf'href="({re.escape(company.issuer)}[^"]+)"', out.text)
    assert address
    # A second login of the same provider session: the provider's logout ends it without this browser asking here.
    client.get(at_provider(client, company, "kim"))
    assert client.get(f"{company.url}/profile").status_code == 200
    page = client.get(address[1].replace("&amp;", "&"))
    form = re.search(r'action="([^"]+)"[^>]*>.*?name="xsrf" value="([^"]+)"', page.text, re.S)
    assert form
    client.post(form[1], data={"xsrf": form[2], "logout": "yes"})
    assert client.get(f"{company.url}/profile").headers["location"].startswith("/login")
    rows = company.platform.work(lambda session: audit.events(session, "login.ended_by_provider", None, 1))
    assert rows[0].details["sessions"] >= 1


def test_a_logout_token_that_the_provider_did_not_sign_ends_nothing(client: httpx.Client, company: Company) -> None:
    client.get(at_provider(client, company, "kim"))
    forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJraW0ifQ."
    refused = client.post(f"{company.url}/login/provider/logout", data={"logout_token": forged})
    assert refused.status_code in (400, 403)
    assert client.get(f"{company.url}/profile").status_code == 200


def test_a_provider_that_is_down_is_said_within_seconds(platform: Platform, client: httpx.Client) -> None:
    settings = platform.settings.model_copy(
        update={"oidc_issuer": f"http://127.0.0.1:{_free_port()}", "oidc_client_id": "console", "oidc_roles": ROLES}
    )
    with served(create_app(settings)) as url:
        refused = client.get(f"{url}/login/provider")
        assert (refused.status_code, "provider_down" in refused.text) == (503, True)
        assert refused.elapsed.total_seconds() < 5
