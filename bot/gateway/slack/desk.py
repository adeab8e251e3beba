"""Works on what Slack delivered: answers questions, keeps verdicts and corrections, stops answers, greets.

Whatever fails, the person is told a reason; only where Slack itself takes no message is that left to the log.
"""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.gateway.channel import (
    AnswerEnded,
    AnswerFailed,
    AnswerRestated,
    AnswerText,
    AnswerWithdrawn,
    ChannelPiece,
    ChannelQuestion,
    ChannelTurns,
    Notice,
    TurnOpened,
)
from bot.gateway.directory import Person
from bot.gateway.errors import Declined
from bot.gateway.inbox import ChannelInbox, Delivery, Taken
from bot.gateway.limits import Limits
from bot.gateway.outbound import Blocked, OutboundGate, OutboundText
from bot.gateway.sessions import OwnedTurn, Sessions
from bot.gateway.slack.blocks import (
    MARKDOWN_CHARACTERS,
    Words,
    below_answer,
    correction_form,
    markdown,
    suggested_prompts,
)
from bot.gateway.slack.deliveries import UP
from bot.gateway.slack.handoff import reply_place
from bot.gateway.slack.message import NotDelivered, Place, StoppedByPerson, StreamedMessage
from bot.gateway.slack.people import SLACK, SlackPeople
from llm_service.client import LlmServiceClient, Locale, ServiceError, Verdict
from llm_service.logs import get_logger

JUDGED_STATES: Final = ("answered", "refused")
HANDLE_OWNER: Final = "slack"
RESPONSE_POSTS: Final = 4
BUSY_SECONDS: Final = 60
THREAD_SECONDS: Final = 7 * 24 * 3600
"""How long a thread that was answered is followed without a mention."""
_log = get_logger("gateway.slack.desk")


@dataclass(frozen=True)
class DeskParts:
    """What the desk is handed by `app.py`. `response_hosts` are where answers to commands may be sent."""

    client: AsyncWebClient
    turns: ChannelTurns
    gate: OutboundGate
    people: SlackPeople
    inbox: ChannelInbox
    sessions: Sessions
    llm_service: LlmServiceClient
    limits: Limits
    proxy: str | None
    response_hosts: frozenset[str]


class SlackDesk:
    """Handles one delivery at a time for as many workers as the inbox lets in."""

    def __init__(self, parts: DeskParts) -> None:
        self._parts = parts
        self._client = parts.client

    async def handle(self, taken: Taken) -> None:
        """Work on a delivery to its end. What nobody foresaw is told to the person, then raised for the log."""
        working = asyncio.ensure_future(self._work(taken))
        try:
            await asyncio.wait({working})
        finally:
            working.cancel()
        if working.cancelled():
            return
        if (error := working.exception()) is not None:
            await self._apologise(taken.delivery.body, "internal_error")
            raise error

    async def decline_busy(self, delivery: Delivery) -> None:
        """Too much waits already: say so at once."""
        await self._apologise(delivery.body, "channel_busy", BUSY_SECONDS)

    async def open_form(self, delivery: Delivery, trigger_id: str) -> None:
        """The form behind a thumb down. Slack's trigger lives three seconds, so this waits in no queue."""
        body = delivery.body
        words = self._words((await self._parts.people.person_of(body["user"])).locale)
        place = {"channel": body["channel"], "thread": body["thread"]}
        form = correction_form(self._parts.gate.handle(body["handle"]), place, words)
        try:
            await self._client.views_open(trigger_id=trigger_id, view=form)
        except SlackApiError as error:
            _log.warning("form_not_opened", code=error.response.get("error", ""))
            await self._whisper(body, words("form_not_opened"))

    async def _work(self, taken: Taken) -> None:
        body = taken.delivery.body
        match taken.delivery.kind:
            case "question":
                await self._question(taken)
            case "command":
                await self._command(taken.delivery)
            case "verdict":
                await self._verdict(taken.delivery, "up" if body["verdict"] == UP else "down")
            case "correction":
                await self._correction(taken.delivery)
            case "stopped":
                await self._stop(body)
            case "opened":
                await self._greet(body)

    async def _question(self, taken: Taken) -> None:
        body = taken.delivery.body
        place = Place(body["team"], body["channel"], body["thread"], body["user"])
        if body["way"] == "thread" and await self._parts.inbox.remembered(_thread_note(place)) is None:
            return
        person = await self._person(place)
        question = ChannelQuestion(
            SLACK,
            taken.delivery.key,
            f"{place.channel}:{place.thread}",
            person,
            body["text"],
            reply_place(place.channel, place.thread),
        )
        taken_over = await self._parts.inbox.remembered(f"shown-{taken.delivery.key}") if taken.again else None
        answer = _Answer(self._parts, place, taken.delivery.key, self._words(person.locale), taken_over)
        if place.is_direct:
            await self._say_status(place, answer.words("searching"))
        async with aclosing(self._parts.turns.answer(question)) as pieces:
            async for piece in pieces:
                await answer.show(piece)

    async def _command(self, delivery: Delivery) -> None:
        """A command's answer is seen by the person alone; it comes as a whole, since nothing ephemeral can stream."""
        body = delivery.body
        place = Place(body["team"], body["channel"], "", body["user"])
        person = await self._person(place)
        words = self._words(person.locale)
        if not body["text"]:
            return await self._respond(body, [words("how_to_ask")], [])
        question = ChannelQuestion(SLACK, delivery.key, f"{place.channel}:command", person, body["text"])
        said: list[OutboundText] = []
        below: list[dict[str, Any]] = []
        async with aclosing(self._parts.turns.answer(question)) as pieces:
            async for piece in pieces:
                match piece:
                    case Notice(text=text) | AnswerFailed(text=text) | AnswerWithdrawn(private=text):
                        said.append(text)
                    case AnswerEnded():
                        said += await self._echoed(body["text"], words, person.locale)
                        said += [piece.text] if piece.text else []
                        below = below_answer(piece.sources, self._handle_of(piece), words)
        return await self._respond(body, said, below)

    async def _echoed(self, text: str, words: Words, locale: Locale) -> list[OutboundText]:
        """The question above its answer, since a command is not shown; not one that must not leave again."""
        try:
            return [words("you_asked") + await self._parts.gate.markdown(text, "person", locale)]
        except Blocked:
            return []

    async def _verdict(self, delivery: Delivery, verdict: Verdict) -> None:
        body = delivery.body
        words = self._words((await self._parts.people.person_of(body["user"])).locale)
        if await self._kept(delivery, verdict, None, None) and verdict == "up":
            await self._whisper(body, words("thanks"))

    async def _correction(self, delivery: Delivery) -> None:
        body = delivery.body
        correction = (body["correction"] or "").strip() or None
        words = self._words((await self._parts.people.person_of(body["user"])).locale)
        if await self._kept(delivery, "down", body["reason"], correction):
            await self._whisper(body, words("thanks_for_correction"))

    async def _kept(self, delivery: Delivery, verdict: Verdict, reason: str | None, correction: str | None) -> bool:
        """Store a verdict, once for every delivery's key; each further one is another row, so that none is lost."""
        body = delivery.body
        try:
            await self._parts.limits.remark(SLACK, body["user"])
            turn = self._parts.sessions.owned_turn(body["handle"], HANDLE_OWNER)
            await self._parts.llm_service.give_feedback(
                turn.turn_id, turn.conversation_id, f"slack-{delivery.key}", verdict, reason, correction
            )
        except (Declined, ServiceError) as refused:
            locale = (await self._parts.people.person_of(body["user"])).locale
            await self._whisper(body, self._parts.turns.failed(refused, locale).text)
            return False
        return True

    async def _stop(self, body: dict[str, Any]) -> None:
        for ts in body["messages"]:
            noted = await self._parts.inbox.remembered(_turn_note(body["channel"], ts))
            if noted is not None:
                await self._parts.turns.stop(OwnedTurn(*noted.split()))

    async def _greet(self, body: dict[str, Any]) -> None:
        words = self._words((await self._parts.people.person_of(body["user"])).locale)
        await self._called(
            "suggestions_not_set",
            self._client.assistant_threads_setSuggestedPrompts(
                channel_id=body["channel"], title=words("suggestions_title").text, prompts=suggested_prompts(words)
            ),
        )

    async def _say_status(self, place: Place, text: OutboundText) -> None:
        await self._called(
            "status_not_set",
            self._client.assistant_threads_setStatus(
                channel_id=place.channel, thread_ts=place.thread, status=text.text
            ),
        )

    async def _person(self, place: Place) -> Person:
        person = await self._parts.people.person_of(place.user)
        return person if place.is_direct else self._parts.people.read_along(person, place.channel)

    async def _respond(self, body: dict[str, Any], said: list[OutboundText], below: list[dict[str, Any]]) -> None:
        host = urlsplit(body["response_url"]).hostname
        if host not in self._parts.response_hosts:
            _log.error("response_host_refused", consequence="the answer to a command was not sent")
            return
        webhook = AsyncWebhookClient(body["response_url"], proxy=self._parts.proxy)
        pages = [page for text in said for page in text.pages(MARKDOWN_CHARACTERS)][:RESPONSE_POSTS]
        for number, page in enumerate(pages, start=1):
            blocks = [markdown(page), *(below if number == len(pages) else [])]
            sent = await webhook.send(
                text=page.clipped(300).text, blocks=blocks, response_type="ephemeral", replace_original=number == 1
            )
            if sent.status_code != 200:
                _log.error("command_not_answered", status=sent.status_code)

    async def _apologise(self, body: dict[str, Any], code: str, wait_seconds: int | None = None) -> None:
        if "user" not in body or "channel" not in body:
            return
        locale = (await self._parts.people.person_of(body["user"])).locale
        text = self._parts.turns.failure_sentence(code, locale, wait_seconds)
        if "response_url" in body:
            await self._respond(body, [text], [])
        else:
            await self._whisper(body, text)

    async def _whisper(self, body: dict[str, Any], text: OutboundText) -> None:
        await whisper(self._client, body["channel"], body["user"], body.get("thread") or "", text)

    async def _called(self, failure: str, call: Any) -> None:  # slack_sdk's coroutines of anything
        try:
            await call
        except SlackApiError as error:
            _log.warning(failure, code=error.response.get("error", ""))
        except (TimeoutError, aiohttp.ClientError, SlackClientError) as error:
            _log.warning(failure, code=type(error).__name__)

    def _handle_of(self, ended: AnswerEnded) -> OutboundText | None:
        return handle_of(self._parts, ended)

    def _words(self, locale: Locale) -> Words:
        return lambda code: self._parts.gate.own("slack", code, locale)


class _Answer:
    """One answer on its way into a thread."""

    def __init__(self, parts: DeskParts, place: Place, key: str, words: Words, taken_over: str | None) -> None:
        self._parts = parts
        self._place = place
        self._key = key
        self.words = words
        self._turn: OwnedTurn | None = None
        self._notices: list[OutboundText] = []
        self._whole: OutboundText | None = None
        self._message = StreamedMessage(parts.client, place, self._began, taken_over)

    async def show(self, piece: ChannelPiece) -> None:
        """Show one piece. What Slack does not take is tried once more as a message of its own, then logged."""
        try:
            await self._show(piece)
        except StoppedByPerson:
            if self._turn is not None:
                await self._parts.turns.stop(self._turn)
        except NotDelivered as failure:
            _log.error("answer_not_delivered", code=failure.code)
            if isinstance(piece, AnswerEnded | AnswerFailed | AnswerWithdrawn):
                text = self.words("not_delivered")
                await whisper(self._parts.client, self._place.channel, self._place.user, self._place.thread, text)

    async def _show(self, piece: ChannelPiece) -> None:
        match piece:
            case TurnOpened():
                self._turn = piece.turn
            case AnswerText():
                await self._message.show(piece.whole)
            case AnswerRestated():
                await self._message.restate()
            case Notice(private=True):
                await whisper(self._parts.client, self._place.channel, self._place.user, self._place.thread, piece.text)
            case Notice():
                self._notices.append(piece.text)
            case AnswerEnded():
                await self._end(piece)
            case AnswerFailed():
                await self._end_with(piece.text)
            case AnswerWithdrawn():
                await self._message.end_with(piece.shown)
                await whisper(
                    self._parts.client, self._place.channel, self._place.user, self._place.thread, piece.private
                )

    async def _end(self, ended: AnswerEnded) -> None:
        below = [markdown(notice) for notice in self._notices]
        below += below_answer(ended.sources, handle_of(self._parts, ended), self.words)
        if ended.state == "stopped":
            await self._message.end_stopped([markdown(self.words("stopped"))])
        elif ended.text:
            await self._message.end(ended.text, below)
        elif self._notices:
            await self._message.end(self._notices[0], below[1:])

    async def _end_with(self, reason: OutboundText) -> None:
        """An answer that broke off keeps what was shown of it; the reason stands below."""
        if self._message.has_begun:
            await self._message.break_off(markdown(reason))
        else:
            await self._message.end(reason, [])

    async def _began(self, ts: str) -> None:
        inbox = self._parts.inbox
        await inbox.remember(_thread_note(self._place), "answered", THREAD_SECONDS)
        await inbox.remember(f"shown-{self._key}", ts)
        if self._turn is not None:
            note = f"{self._turn.turn_id} {self._turn.conversation_id}"
            await inbox.remember(_turn_note(self._place.channel, ts), note)


async def whisper(client: AsyncWebClient, channel: str, user: str, thread: str, text: OutboundText) -> None:
    """Say something to one person: ephemeral in a channel, plainly in their own conversation with the bot."""
    words: dict[str, Any] = {"text": text.clipped(300).text, "blocks": [markdown(text)]}
    if thread:
        words["thread_ts"] = thread
    try:
        if channel.startswith("D"):
            await client.chat_postMessage(channel=channel, **words)
        else:
            await client.chat_postEphemeral(channel=channel, user=user, **words)
    except SlackApiError as error:
        _log.error("person_not_told", code=error.response.get("error", ""))
    except (TimeoutError, aiohttp.ClientError, SlackClientError) as error:
        _log.error("person_not_told", code=type(error).__name__)


def handle_of(parts: DeskParts, ended: AnswerEnded) -> OutboundText | None:
    """What an answer's thumbs carry; None where there is nothing to judge."""
    if ended.state not in JUDGED_STATES:
        return None
    return parts.gate.handle(parts.sessions.turn_handle(ended.turn, HANDLE_OWNER))


def _thread_note(place: Place) -> str:
    return f"thread-{place.channel}-{place.thread}"


def _turn_note(channel: str, ts: str) -> str:
    return f"turn-{channel}-{ts}"
