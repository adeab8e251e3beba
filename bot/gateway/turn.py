"""The story of one chat turn: accept it masked, route it, reply or have it answered, stream what comes.

Channels hand in a question and get events; llm_service masks, keeps and answers; routing decides. This module knows no
HTTP, no channel and no rule of Korean.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from bot.gateway.conversation_queue import ConversationQueue
from bot.gateway.decision import Decision
from bot.gateway.handoff import Handoffs, status_body, status_text
from bot.gateway.metrics import Metrics
from bot.gateway.routing import Router
from bot.gateway.sessions import OwnedTurn
from bot.gateway.texts import error_body, sentence
from llm_service.client import (
    AcceptedTurn,
    ConversationKey,
    LlmServiceClient,
    Locale,
    Route,
    ServiceError,
    StreamEvent,
    Verdict,
)

TURN_EVENT_ID = 0
REPLY_ENGINE = "rules"
REPLY_BY_REFUSED_VERDICT = {"answer_not_found": "nothing_to_judge", "turn_not_finished": "not_finished"}
HANDED_OFF = "handed_off"
TO_THE_PERSON = Decision(Route("", 0.0, by="handoff"), asks_documents=False)
ChatEventName = Literal["turn", "sources", "notice", "token", "done", "error"]


@dataclass(frozen=True)
class Question:
    """A question as a channel received it. `text` is raw: it goes to llm_service's masking and nowhere else.

    `reply_to` is where the channel finds the person again when an agent writes later; pages read events and need none.
    """

    event_id: str
    conversation: ConversationKey
    text: str = field(repr=False)
    as_of: date | None = None
    reply_to: str = field(default="", repr=False)


@dataclass(frozen=True)
class ChatEvent:
    """One event for the person. `id` is what a reader hands back to go on after it."""

    id: int
    event: ChatEventName
    data: dict[str, Any]


@dataclass(frozen=True)
class OpenTurn:
    """A turn that is under way: accepted, routed, and answered here (`reply`) or in llm_service (`reply` is None)."""

    turn: OwnedTurn
    masked: bool
    intent: str | None
    locale: Locale
    state: str
    reply: str | None
    follow_up: str
    handoff: bool
    timings: dict[str, float]
    started: float
    masked_text: str = field(default="", repr=False)
    handoff_status: dict[str, Any] | None = None


class ChatTurns:
    """Opens turns (raises `ServiceError`, `Declined`) and streams them (every failure becomes an `error` event)."""

    def __init__(
        self,
        llm_service: LlmServiceClient,
        router: Router,
        queue: ConversationQueue,
        metrics: Metrics,
        handoffs: Handoffs | None = None,
    ) -> None:
        """Without `handoffs` whoever asks for a person is told the telephone."""
        self._llm_service = llm_service
        self._router = router
        self._queue = queue
        self._metrics = metrics
        self._handoffs = handoffs

    async def open(self, question: Question) -> OpenTurn:
        """Accept, route and dispatch one question. The same event id again is the same turn: it only streams again."""
        started = time.perf_counter()
        async with self._queue.turn_of(question.conversation.thread):
            accepted = await self._llm_service.create_turn(question.event_id, question.conversation, question.text)
            if accepted.state == HANDED_OFF:
                return _opened(question, accepted, started, TO_THE_PERSON, reply="")
            if accepted.state != "received":
                return await self._reopen(question, accepted, started)
            decision = await self._router.decide(
                accepted.conversation_id, accepted.masked_text, question.conversation.locale
            )
            if decision.asks_documents:
                return await self._ask_documents(question, accepted, decision, started)
            return await self._reply(question, accepted, decision, started)

    async def stream(self, opened: OpenTurn, after: int | None = None) -> AsyncGenerator[ChatEvent]:
        """The turn's events after the id the reader has seen; None means from the beginning. Close what you get."""
        answer = self._answer(opened, after or 0) if opened.reply is None else _told_events(opened, after or 0)
        with self._metrics.follow_stream(first_time=opened.state == "received") as followed:
            if after is None:
                for event in _opening(opened):
                    yield event
            async with aclosing(answer) as events:
                async for event in events:
                    if event.event in ("done", "error"):
                        followed.end(event.data.get("state", "failed"), event.data.get("timings", {}))
                    yield event

    async def stop(self, turn: OwnedTurn) -> None:
        """Stop a running answer; its stream ends with `done`, state stopped."""
        await self._llm_service.stop_answer(turn.turn_id, turn.conversation_id)

    async def _ask_documents(
        self, question: Question, accepted: AcceptedTurn, decision: Decision, started: float
    ) -> OpenTurn:
        await self._llm_service.start_answer(accepted.turn_id, accepted.conversation_id, decision.route, question.as_of)
        return _opened(question, accepted, started, decision, follow_up="\n\n".join(decision.replies))

    async def _reply(self, question: Question, accepted: AcceptedTurn, decision: Decision, started: float) -> OpenTurn:
        locale = question.conversation.locale
        said = [*decision.replies]
        if decision.verdict:
            said.insert(0, sentence("replies", await self._judge(accepted, decision.verdict), locale))
        status = None
        if decision.handoff:
            if self._handoffs is not None:
                status = await self._handoffs.ask_in_turn(
                    question.conversation, accepted.masked_text, question.reply_to
                )
            said.append(status_text(status, locale))
        text = "\n\n".join(said) or status_text(None, locale)
        await self._llm_service.store_reply(accepted.turn_id, accepted.conversation_id, decision.route, text)
        opened = _opened(question, accepted, started, decision, reply=text)
        return replace(opened, handoff_status=status_body(status, locale)) if status is not None else opened

    async def _reopen(self, question: Question, accepted: AcceptedTurn, started: float) -> OpenTurn:
        kept = await self._llm_service.turn(accepted.turn_id, accepted.conversation_id)
        route = Route(kept.intent or "", 0.0, by="replayed")
        reply = kept.answer if kept.state == "replied" else None
        return _opened(question, accepted, started, Decision(route, asks_documents=reply is None), reply=reply)

    async def _answer(self, opened: OpenTurn, after: int) -> AsyncGenerator[ChatEvent]:
        """llm_service's events, `done` completed with what only the gateway knows. A broken stream ends in `error`."""
        seen, first_token = after, 0.0
        failure = "stream_interrupted"
        try:
            async with aclosing(
                self._llm_service.events(opened.turn.turn_id, opened.turn.conversation_id, after)
            ) as events:
                async for event in events:
                    seen = event.id
                    if event.event == "token" and not first_token:
                        first_token = _milliseconds_since(opened.started)
                    yield _completed(opened, event, first_token)
                    failure = "" if event.event in ("done", "error") else failure
        except ServiceError as error:
            failure = error.code if failure else ""
        if failure:
            yield ChatEvent(seen, "error", error_body(failure))

    async def _judge(self, accepted: AcceptedTurn, verdict: Verdict) -> str:
        """Typed praise or blame is feedback on the conversation's last answer. Returns the code of what to say."""
        try:
            await self._llm_service.judge_last_answer(accepted.conversation_id, f"typed-{accepted.turn_id}", verdict)
        except ServiceError as error:
            if error.code not in REPLY_BY_REFUSED_VERDICT:
                raise
            return REPLY_BY_REFUSED_VERDICT[error.code]
        return "feedback"


def _opened(
    question: Question,
    accepted: AcceptedTurn,
    started: float,
    decision: Decision,
    reply: str | None = None,
    follow_up: str = "",
) -> OpenTurn:
    timings = {stage: round(milliseconds, 3) for stage, milliseconds in accepted.timings.items()}
    if decision.route.milliseconds:
        timings["route"] = decision.route.milliseconds
    return OpenTurn(
        turn=OwnedTurn(accepted.turn_id, accepted.conversation_id),
        masked=bool(accepted.entity_counts),
        intent=decision.route.intent or None,
        locale=question.conversation.locale,
        state=accepted.state,
        reply=reply,
        follow_up=follow_up,
        handoff=decision.handoff,
        timings=timings,
        started=started,
        masked_text=accepted.masked_text if accepted.entity_counts else "",
    )


def _opening(opened: OpenTurn) -> list[ChatEvent]:
    # Whoever keeps the question keeps it as it was masked; where nothing was, it is the one that was sent.
    masked_text = {"masked_text": opened.masked_text} if opened.masked else {}
    turn = {"turn_id": opened.turn.turn_id, "masked": opened.masked, **masked_text}
    events = [ChatEvent(TURN_EVENT_ID, "turn", turn)]
    if opened.handoff:
        text = sentence("notices", "handoff", opened.locale)
        status = {"handoff": opened.handoff_status} if opened.handoff_status else {}
        events.append(ChatEvent(TURN_EVENT_ID, "notice", {"code": "handoff", "text": text, **status}))
    if opened.follow_up:
        events.append(ChatEvent(TURN_EVENT_ID, "notice", {"code": "follow_up", "text": opened.follow_up}))
    return events


async def _told_events(opened: OpenTurn, after: int) -> AsyncGenerator[ChatEvent]:
    """A reply of the rules; or, while a person has the conversation, that the words went to them."""
    total = _milliseconds_since(opened.started)
    is_handed_off = opened.state == HANDED_OFF
    done = {
        "turn_id": opened.turn.turn_id,
        "state": HANDED_OFF if is_handed_off else "replied",
        "refused": False,
        "engine": None if is_handed_off else REPLY_ENGINE,
        "intent": opened.intent,
        "timings": {**opened.timings, "first_token": total, "total": total},
    }
    told = ChatEvent(1, "token", {"text": opened.reply})
    if is_handed_off:
        text = sentence("notices", "handed_to_person", opened.locale)
        told = ChatEvent(1, "notice", {"code": "handed_to_person", "text": text})
    for event in (told, ChatEvent(2, "done", done)):
        if event.id > after:
            yield event


def _completed(opened: OpenTurn, event: StreamEvent, first_token: float) -> ChatEvent:
    match event.event:
        case "done":
            gateway = {"first_token": first_token} if first_token else {}
            timings = {**event.data["timings"], **opened.timings, **gateway}
            timings["total"] = _milliseconds_since(opened.started)
            timings = {stage: round(milliseconds, 3) for stage, milliseconds in timings.items()}
            return ChatEvent(event.id, "done", {**event.data, "intent": opened.intent, "timings": timings})
        case "error":
            return ChatEvent(event.id, "error", error_body(event.data["code"]))
        case _:
            return ChatEvent(event.id, event.event, event.data)


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
