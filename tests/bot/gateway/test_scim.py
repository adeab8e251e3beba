"""SCIM people become directory rows; nobody gets a group that no group of theirs stands for."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.gateway.directory import checked
from bot.gateway.scim import (
    GROUP_SCHEMA,
    USER_SCHEMA,
    ScimMapping,
    ScimUnreadable,
    fetch_resources,
    people_of,
    read_resources,
    resources_of,
)

EXTENSION = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
MAPPING = ScimMapping({"slack": "id", "teams": "externalId"}, {"여신심사부": "loans"})


def user(number: str, **more: Any) -> dict[str, Any]:
    return {"schemas": [USER_SCHEMA], "id": number, "userName": f"{number}@bank.example", "active": True, **more}


def group(number: str, name: str, *members: str) -> dict[str, Any]:
    listed = [{"value": member} for member in members]
    return {"schemas": [GROUP_SCHEMA], "id": number, "displayName": name, "members": listed}


def listed(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [LIST], "totalResults": len(resources), "Resources": list(resources)}


@pytest.mark.parametrize(
    ("resources", "groups"),
    [
        ([user("U1")], []),
        ([user("U1"), group("g1", "여신심사부", "U1")], ["loans"]),
        ([user("U1"), group("g1", "compliance", "U1"), group("g2", "여신심사부", "U2")], ["compliance"]),
        ([user("U1"), group("g1", "감사실", "U1")], []),
        ([user("U1"), group("g1", "1팀", "U1"), group("g2", "여신심사부", "g1")], ["loans"]),
        ([user("U1"), group("g1", "여신심사부", "U1", "g2"), group("g2", "compliance", "g1")], ["compliance", "loans"]),
        ([user("U1", groups=[{"value": "g9", "display": "여신심사부"}])], ["loans"]),
        ([user("U1", groups=[{"value": "g1", "display": "compliance"}]), group("g1", "compliance")], []),
    ],
    ids=["none", "named", "only own", "unmapped", "nested", "circle", "of the user", "the group itself decides"],
)
def test_groups_become_entitlements(resources: list[dict[str, Any]], groups: list[str]) -> None:
    content = checked(people_of(resources, MAPPING).rows)

    assert content.errors == ()
    assert content.people["slack", "U1"].groups == tuple(groups)
    assert content.people["slack", "U1"].audience == "staff"


@pytest.mark.parametrize(
    ("active", "audience"), [(True, "staff"), (False, "customer"), ("false", "customer"), (None, "customer")]
)
def test_who_is_not_active_has_the_least(active: Any, audience: str) -> None:
    imported = people_of([user("U1", active=active), group("g1", "여신심사부", "U1")], MAPPING)
    person = checked(imported.rows).people["slack", "U1"]

    assert (person.audience, bool(person.groups)) == (audience, audience == "staff")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("id", "U1"),
        ("externalId", "entra-1"),
        ("name.familyName", "홍"),
        (f"{EXTENSION}.employeeNumber", "20231"),
        ("missing", None),
        ("name", None),
    ],
)
def test_a_channels_id_is_read_at_its_path(path: str, found: str | None) -> None:
    resource = user("U1", externalId="entra-1", name={"familyName": "홍"}, **{EXTENSION: {"employeeNumber": "20231"}})
    imported = people_of([resource], ScimMapping({"teams": path}))

    assert [row["channels"] for row in imported.rows] == ([{"teams": found}] if found else [])
    assert imported.without_channel == (0 if found else 1)


def test_what_was_left_out_is_told() -> None:
    imported = people_of([user("U1"), user("U2", active=False), group("g1", "감사실", "U1")], MAPPING)

    assert (imported.inactive, imported.unmapped_groups) == (1, ("감사실",))


@pytest.mark.parametrize(("language", "locale"), [("en-US", "en"), ("ko-KR", "ko"), ("fr", "ko"), (None, "ko")])
def test_the_language_of_a_person_is_kept(language: str | None, locale: str) -> None:
    imported = people_of([user("U1", preferredLanguage=language)], MAPPING)

    assert [row["locale"] for row in imported.rows] == [locale]


@pytest.mark.parametrize(
    "content", [listed(user("U1")), [listed(user("U1"))], {"users": listed(user("U1")), "groups": listed()}, user("U1")]
)
def test_list_responses_are_found_in_files_however_they_are_bundled(tmp_path: Path, content: Any) -> None:
    (tmp_path / "scim.json").write_text(json.dumps(content), encoding="utf-8")

    assert [one["id"] for one in read_resources(tmp_path / "scim.json")] == ["U1"]


@pytest.mark.parametrize("content", ["text", 1, {}, None])
def test_what_is_no_scim_is_refused(content: Any) -> None:
    with pytest.raises(ScimUnreadable):
        list(resources_of(content))


def service(pages: dict[str, list[dict[str, Any]]], size: int) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["Authorization"] != "Bearer right":
            return httpx.Response(401, json={"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"]})
        all_of = pages[request.url.path.rsplit("/", 1)[1]]
        start = int(request.url.params["startIndex"]) - 1
        page = listed(*all_of[start : start + size])
        return httpx.Response(200, json={**page, "totalResults": len(all_of)})

    return httpx.MockTransport(answer)


async def test_every_page_is_fetched() -> None:
    people = [user(f"U{number}") for number in range(7)]
    transport = service({"Users": people, "Groups": [group("g1", "loans", "U6")]}, size=3)

    found = await fetch_resources("https://idp.bank.example/scim/v2/", "right", transport)

    assert [one["id"] for one in found] == [*(f"U{number}" for number in range(7)), "g1"]


@pytest.mark.parametrize(
    ("url", "token"),
    [("https://idp.bank.example/scim/v2", "wrong"), ("http://idp.bank.example/scim/v2", "right"), ("ftp://x", "right")],
)
async def test_a_refusal_is_no_empty_directory_and_the_token_never_goes_out_in_clear(url: str, token: str) -> None:
    with pytest.raises(ScimUnreadable):
        await fetch_resources(url, token, service({"Users": [], "Groups": []}, size=3))
