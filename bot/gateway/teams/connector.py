"""Calls to the Bot Connector, the one way out to Teams: a message posted, a message put in another's place.

Wire: Microsoft Learn, "Bot Connector API" (v3) and "Stream bot messages". Shows the bot's token to listed hosts only.
Knows no answer; what may be sent was decided before.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

import httpx
from microsoft_teams.api.activities.message import MessageActivityInput
from microsoft_teams.api.activities.typing import TypingActivityInput
from microsoft_teams.api.models import Account, ConversationAccount

from bot.teams_door.errors import Refused
from bot.teams_door.message import ConversationType, TeamsMessage
from bot.teams_door.service_urls import check_service_host
from llm_service.logs import get_logger

TIMEOUT_SECONDS: Final = 10.0
CONNECT_TIMEOUT_SECONDS: Final = 3.0
TOKEN_MARGIN_SECONDS: Final = 300.0
ATTEMPTS: Final = 5
LONGEST_WAIT_SECONDS: Final = 30.0
# Statuses that Microsoft asks bots to try again on; a request that timed out may have arrived, and is not repeated.
TRY_AGAIN: Final = frozenset({412, 429, 502, 503, 504})
PLACE_SAFE_CHARACTERS: Final = ":;@=+,"

Outgoing = MessageActivityInput | TypingActivityInput
Failure = Literal["throttled", "refused", "unreachable", "token_refused", "host_refused"]
T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
_log = get_logger("gateway.teams.connector")


class NotSent(Exception):
    """Teams did not take an activity. `retry_after_seconds` is what it asked for, 0 where it did not."""

    def __init__(self, failure: Failure, status: int = 0, retry_after_seconds: float = 0.0) -> None:
        super().__init__(f"{failure} ({status})")
        self.code = failure
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class StreamStopped(Exception):
    """The person pressed Stop."""


class StreamOver(Exception):
    """The stream's two minutes are over; its message can still be put in place."""


@dataclass(frozen=True)
class Place:
    """Where in Teams something is said, and as an answer to what."""

    service_url: str
    tenant_id: str
    conversation_id: str
    conversation_type: ConversationType
    bot_id: str
    reply_to_id: str | None = None

    @staticmethod
    def of(message: TeamsMessage) -> "Place":
        return Place(
            message.service_url,
            message.tenant_id,
            message.conversation_id,
            message.conversation_type,
            message.bot_id,
            message.activity_id if message.kind == "question" else message.reply_to_id,
        )


class BotToken:
    """The bot's own token by client credentials (RFC 6749, section 4.4), kept until shortly before it ends."""

    def __init__(self, http: httpx.AsyncClient, url: str, form: dict[str, str]) -> None:
        self._http = http
        self._url = url
        self._form = form
        self._value = ""
        self._valid_until = 0.0
        self._lock = asyncio.Lock()

    async def value(self) -> str:
        """Raises `NotSent`."""
        async with self._lock:
            if time.monotonic() >= self._valid_until:
                await self._fetch()
            return self._value

    def forget(self) -> None:
        """The connector did not take it: ask for a new one next time."""
        self._valid_until = 0.0

    async def _fetch(self) -> None:
        try:
            response = await self._http.post(self._url, data=self._form)
            granted = response.json() if response.is_success else {}
            self._value = str(granted["access_token"])
            self._valid_until = time.monotonic() + max(0.0, float(granted["expires_in"]) - TOKEN_MARGIN_SECONDS)
        except httpx.HTTPError as error:
            raise NotSent("unreachable") from error
        except (ValueError, KeyError, TypeError):
            # What Microsoft says of it names the app and the tenant, and belongs into no log.
            raise NotSent("token_refused", response.status_code) from None


class Connector:
    """Sends for one bot. `sleep` is injected, so that tests wait for nothing."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        token: BotToken,
        hosts: frozenset[str],
        *,
        https_only: bool,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._http = http
        self._token = token
        self._hosts = hosts
        self._https_only = https_only
        self._sleep = sleep

    async def post(self, place: Place, activity: Outgoing) -> str | None:
        """Say something new, trying again while Teams asks for it. Returns its id. Raises like `post_once`."""
        return await self._patiently(lambda: self.post_once(place, activity))

    async def post_once(self, place: Place, activity: Outgoing) -> str | None:
        """The same without a second try. Raises `NotSent`, and `StreamStopped` or `StreamOver` for a stream."""
        answer = await self._call("POST", place, self._path(place), _addressed(activity, place))
        found = answer.get("id")
        return found if isinstance(found, str) else None

    async def put(self, place: Place, activity_id: str, activity: Outgoing) -> None:
        """Put a message in the place of an earlier one; patient. Raises `NotSent`."""
        path = f"{self._path(place)}/{quote(activity_id, safe=PLACE_SAFE_CHARACTERS)}"
        addressed = _addressed(activity, place)
        addressed.id = activity_id
        await self._patiently(lambda: self._call("PUT", place, path, addressed))

    async def private_place(self, place: Place, user_id: str) -> Place:
        """The one-to-one chat with somebody of a group. Raises `NotSent` where they do not have the bot."""
        asked = {
            "isGroup": False,
            "bot": {"id": place.bot_id},
            "members": [{"id": user_id}],
            "tenantId": place.tenant_id,
            "channelData": {"tenant": {"id": place.tenant_id}},
        }
        answer = await self._request("POST", place, "/v3/conversations", asked)
        found = answer.get("id")
        if not isinstance(found, str):
            raise NotSent("refused")
        return replace(place, conversation_id=found, conversation_type="personal", reply_to_id=None)

    async def _patiently(self, send: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(ATTEMPTS):
            try:
                return await send()
            except NotSent as error:
                if error.status not in TRY_AGAIN or attempt == ATTEMPTS - 1:
                    raise
                wait = error.retry_after_seconds or 2.0**attempt
                _log.info("teams_tried_again", status=error.status, attempt=attempt + 1)
            await self._sleep(min(wait, LONGEST_WAIT_SECONDS))
        raise AssertionError("the last attempt returns or raises")

    async def _call(self, method: str, place: Place, path: str, activity: Outgoing) -> dict[str, Any]:
        return await self._request(method, place, path, activity.model_dump(by_alias=True, exclude_none=True))

    async def _request(self, method: str, place: Place, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            check_service_host(place.service_url, self._hosts, https_only=self._https_only)
        except Refused:
            raise NotSent("host_refused") from None
        headers = {"Authorization": f"Bearer {await self._token.value()}"}
        try:
            response = await self._http.request(
                method, place.service_url.rstrip("/") + path, json=body, headers=headers, follow_redirects=False
            )
        except httpx.HTTPError as error:
            _log.warning("teams_unreachable", kind=type(error).__name__)
            raise NotSent("unreachable", 503 if isinstance(error, httpx.ConnectError) else 0) from None
        if response.is_success:
            return _body_of(response)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._token.forget()
        raise _failure_of(response)

    @staticmethod
    def _path(place: Place) -> str:
        # Quoted: an id with slashes or dots in it is still one part of the path.
        return f"/v3/conversations/{quote(place.conversation_id, safe=PLACE_SAFE_CHARACTERS)}/activities"


def _addressed(activity: Outgoing, place: Place) -> Outgoing:
    copy = activity.model_copy()
    copy.from_ = Account(id=place.bot_id)
    copy.conversation = ConversationAccount(id=place.conversation_id)
    copy.reply_to_id = place.reply_to_id
    return copy


def _body_of(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json() if response.content else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _failure_of(response: httpx.Response) -> Exception:
    if response.status_code == httpx.codes.FORBIDDEN:
        error = _body_of(response).get("error")
        said = str(error.get("message", "")).lower() if isinstance(error, dict) else ""
        if "exceeded streaming time" in said:
            return StreamOver()
        if "cancel" in said:
            return StreamStopped()
    _log.warning("teams_refused", status=response.status_code)
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return NotSent("throttled", 429, _seconds_of(response.headers.get("retry-after", "")))
    return NotSent("refused", response.status_code, _seconds_of(response.headers.get("retry-after", "")))


def _seconds_of(header: str) -> float:
    return float(header) if header.isdecimal() else 0.0
