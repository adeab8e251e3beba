"""People and groups of a SCIM service as rows of the directory (RFC 7643 resources, RFC 7644 list responses).

Reads what an identity provider answers, from files or over HTTPS; gives nobody a right that the provider did not state.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from llm_service.client import GROUP_PATTERN

USER_SCHEMA: Final = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_SCHEMA: Final = "urn:ietf:params:scim:schemas:core:2.0:Group"
PAGE_RESOURCES: Final = 200
MAXIMUM_PAGES: Final = 5_000
CALL_TIMEOUT_SECONDS: Final = 30.0


class ScimUnreadable(Exception):
    """What was read is no SCIM, or could not be had; the message says where and what to do, and quotes nothing."""


@dataclass(frozen=True)
class ScimMapping:
    """How the bank's SCIM is read.

    `channels`: the attribute that holds a person's id in each channel (`{"slack": "id", "teams": "externalId"}`; parts
    of a complex attribute and of an extension by dots). `groups`: our name of a group by its displayName; a group whose
    displayName is one of our names already needs no entry.
    """

    channels: Mapping[str, str]
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportedPeople:
    """Rows for the directory, and what was left out: people without an id in any channel, groups without a name."""

    rows: tuple[dict[str, Any], ...]
    inactive: int
    without_channel: int
    unmapped_groups: tuple[str, ...]


def people_of(resources: Iterable[Mapping[str, Any]], mapping: ScimMapping) -> ImportedPeople:
    """Rows of the directory from Users and Groups, nested groups followed. Raises `ScimUnreadable`."""
    users: list[Mapping[str, Any]] = []
    groups: dict[str, Mapping[str, Any]] = {}
    for resource in resources:
        schemas = resource.get("schemas") or ()
        if not isinstance(resource.get("id"), str):
            raise ScimUnreadable("a resource has no id (RFC 7643, section 3.1)")
        if USER_SCHEMA in schemas:
            users.append(resource)
        elif GROUP_SCHEMA in schemas:
            groups[resource["id"]] = resource
    names = {group_id: _name_of(group, mapping) for group_id, group in groups.items()}
    above = _groups_above(groups)
    rows = [_row(user, mapping, _groups_of(user, names, above, mapping)) for user in users]
    kept = tuple(row for row in rows if row["channels"])
    return ImportedPeople(
        rows=kept,
        inactive=sum(not row["active"] for row in kept),
        without_channel=len(rows) - len(kept),
        unmapped_groups=tuple(sorted(str(groups[one].get("displayName", one)) for one in names if names[one] is None)),
    )


def resources_of(content: Any) -> Iterator[dict[str, Any]]:
    """The resources of a list response, or of an object or a list that holds several. Raises `ScimUnreadable`."""
    if isinstance(content, list):
        for one in content:
            yield from resources_of(one)
    elif isinstance(content, dict) and "schemas" in content and "Resources" not in content and "id" in content:
        yield content
    elif isinstance(content, dict) and isinstance(content.get("Resources", []), list) and "schemas" in content:
        yield from (resource for resource in content.get("Resources", []) if isinstance(resource, dict))
    elif isinstance(content, dict) and content:
        for one in content.values():
            yield from resources_of(one)
    else:
        raise ScimUnreadable("expected a SCIM list response with `schemas` and `Resources` (RFC 7644, section 3.4.2)")


def read_resources(file: Path) -> list[dict[str, Any]]:
    """Resources of a file of list responses. Raises `ScimUnreadable`."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ScimUnreadable(f"{file}: cannot be read as JSON ({type(error).__name__})") from None
    return list(resources_of(content))


async def fetch_resources(
    base_url: str, token: str, transport: httpx.AsyncBaseTransport | None = None
) -> list[dict[str, Any]]:
    """All Users and Groups of a SCIM service, page by page. Raises `ScimUnreadable`.

    `base_url` ends before /Users and is https, but on this machine itself: the token goes there.
    """
    _require_safe(base_url)
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/scim+json, application/json"}
    async with httpx.AsyncClient(
        headers=headers, timeout=CALL_TIMEOUT_SECONDS, transport=transport, trust_env=True, follow_redirects=False
    ) as http:
        return [resource for kind in ("Users", "Groups") for resource in await _all_of(http, base_url, kind)]


async def _all_of(http: httpx.AsyncClient, base_url: str, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _ in range(MAXIMUM_PAGES):
        query = {"startIndex": str(len(found) + 1), "count": str(PAGE_RESOURCES)}
        try:
            response = await http.get(f"{base_url.rstrip('/')}/{kind}", params=query)
            content = response.json() if response.is_success else None
        except (httpx.HTTPError, ValueError) as error:
            raise ScimUnreadable(f"{kind} could not be fetched ({type(error).__name__})") from None
        if not isinstance(content, dict):
            raise ScimUnreadable(f"{kind}: the service answered {response.status_code}; is the token still valid?")
        page = list(resources_of(content))
        found += page
        if not page or len(found) >= int(content.get("totalResults", 0)):
            return found
    raise ScimUnreadable(f"{kind}: more than {MAXIMUM_PAGES:,} pages")


def _require_safe(base_url: str) -> None:
    url = urlsplit(base_url)
    if url.scheme != "https" and not (url.scheme == "http" and _is_this_machine(url.hostname or "")):
        raise ScimUnreadable("a SCIM service is asked over https: its token goes along")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _row(user: Mapping[str, Any], mapping: ScimMapping, groups: frozenset[str]) -> dict[str, Any]:
    ids = {channel: _attribute(user, path) for channel, path in mapping.channels.items()}
    language = str(user.get("preferredLanguage") or user.get("locale") or "")
    return {
        "id": user["id"],
        "channels": {channel: external_id for channel, external_id in ids.items() if external_id},
        "groups": sorted(groups),
        "locale": "en" if language.casefold().startswith("en") else "ko",
        "active": user.get("active", True) is True,
    }


def _attribute(resource: Mapping[str, Any], path: str) -> str:
    """The text at a path: `externalId`, `name.familyName`, or an extension's `urn:…:User.employeeNumber`."""
    value: Any = resource
    extension = next((name for name in resource if name.startswith("urn:") and path.startswith(f"{name}.")), None)
    if extension is not None:
        value, path = resource[extension], path[len(extension) + 1 :]
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def _name_of(group: Mapping[str, Any], mapping: ScimMapping) -> str | None:
    shown = str(group.get("displayName", ""))
    if shown in mapping.groups:
        return mapping.groups[shown]
    return shown if re.fullmatch(GROUP_PATTERN, shown) else None


def _groups_above(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, set[str]]:
    """Which groups have a member, person or group, by the member's id."""
    above: dict[str, set[str]] = {}
    for group_id, group in groups.items():
        for member in group.get("members") or ():
            if isinstance(member, Mapping) and isinstance(member.get("value"), str):
                above.setdefault(member["value"], set()).add(group_id)
    return above


def _groups_of(
    user: Mapping[str, Any], names: Mapping[str, str | None], above: Mapping[str, set[str]], mapping: ScimMapping
) -> frozenset[str]:
    """Our names of a person's groups: as the groups say, and as the person's own read-only `groups` say."""
    to_visit, seen = [*above.get(user["id"], ())], set[str]()
    while to_visit:
        group_id = to_visit.pop()
        if group_id not in seen:
            seen.add(group_id)
            to_visit += above.get(group_id, ())
    listed = [
        _name_of({"displayName": one.get("display", "")}, mapping)
        for one in user.get("groups") or ()
        if isinstance(one, Mapping) and one.get("value") not in names
    ]
    return frozenset(name for name in [*(names[group_id] for group_id in seen), *listed] if name)
