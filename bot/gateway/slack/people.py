"""Who a Slack user is to the bank, and what may be said where several read along.

The directory file decides where there is one; else Slack's user groups do, by a mapping file. Rights are the least
where neither knows. Knows Slack's one call about user groups.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final, Protocol

import yaml
from pydantic import BaseModel, ConfigDict, Field
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.gateway.directory import Person
from llm_service.client import GROUP_PATTERN, MAXIMUM_GROUPS, Audience
from llm_service.logs import get_logger

MEMBERS_KEPT_SECONDS: Final = 300.0
MEMBERS_STALE_SECONDS: Final = 900.0
SLACK: Final = "slack"
_log = get_logger("gateway.slack.people")


class Directory(Protocol):
    """Who a channel's user is."""

    async def person_of(self, channel: str, external_id: str) -> Person: ...


class Rights(BaseModel):
    """What members of a user group, or readers of a channel, may see."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    audience: Audience
    groups: tuple[Annotated[str, Field(pattern=GROUP_PATTERN)], ...] = Field((), max_length=MAXIMUM_GROUPS)


class Entitlements(BaseModel):
    """The mapping file: rights by user group (S…) and by channel (C…, G…)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_groups: dict[str, Rights] = {}
    channels: dict[str, Rights] = {}


class EntitlementsUnreadable(Exception):
    """The mapping file cannot be used; the message names it and what to do."""


@dataclass
class _Members:
    read_at: float
    users: frozenset[str] = field(repr=False)


class SlackPeople:
    """Rights of Slack users. `directory` is asked first, or instead, where a directory file is set."""

    def __init__(
        self,
        client: AsyncWebClient,
        directory: Directory,
        entitlements: Entitlements,
        *,
        directory_decides: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._directory = directory
        self._entitlements = entitlements
        self._directory_decides = directory_decides
        self._clock = clock
        self._members: dict[str, _Members] = {}

    async def person_of(self, user: str) -> Person:
        """A user's rights for themselves, as in a direct message."""
        person = await self._directory.person_of(SLACK, user)
        if self._directory_decides:
            return person
        for group, rights in self._entitlements.user_groups.items():
            if user in await self._users_of(group):
                person = _with(person, rights)
        return person

    def read_along(self, person: Person, channel: str) -> Person:
        """The rights with which a person is answered in a channel: what its readers may see as well, and no more."""
        readers = self._entitlements.channels.get(channel, Rights(audience="customer"))
        audience: Audience = "staff" if (person.audience, readers.audience) == ("staff", "staff") else "customer"
        return replace(person, audience=audience, groups=tuple(sorted({*person.groups} & {*readers.groups})))

    async def _users_of(self, group: str) -> frozenset[str]:
        known = self._members.get(group)
        now = self._clock()
        if known is not None and now - known.read_at < MEMBERS_KEPT_SECONDS:
            return known.users
        try:
            listed = (await self._client.usergroups_users_list(usergroup=group))["users"]
        except SlackApiError as error:
            _log.warning("user_group_unreadable", code=error.response.get("error", ""))
            # Rights that cannot be taken away any more are no rights: an old list counts a while and then not at all.
            return known.users if known is not None and now - known.read_at < MEMBERS_STALE_SECONDS else frozenset()
        self._members[group] = _Members(now, frozenset(listed))
        return self._members[group].users


def read_entitlements(file: Path | None) -> Entitlements:
    """The mapping of a file; empty without one. Raises `EntitlementsUnreadable`."""
    if file is None:
        return Entitlements()
    try:
        content: Mapping[str, object] = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        return Entitlements.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise EntitlementsUnreadable(
            f"{file}: cannot be used ({type(error).__name__}); it maps user_groups and channels to audience and groups,"
            " see docs/slack.md"
        ) from None


def _with(person: Person, rights: Rights) -> Person:
    audience: Audience = "staff" if "staff" in (person.audience, rights.audience) else "customer"
    return replace(person, audience=audience, groups=tuple(sorted({*person.groups, *rights.groups})))
