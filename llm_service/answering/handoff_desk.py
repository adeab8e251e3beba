"""Hand-offs as people and agents have them: asked for in the office hours, written masked, followed, delivered, ended.

Knows no HTTP and no channel. Whose conversation it is was settled by the caller's keys; what an agent may is the API's.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy.orm import Session

from llm_service.answering.intake import TurnIntake
from llm_service.answering.masking_desk import MaskingDesk
from llm_service.answering.office_hours import Office, OfficeHours
from llm_service.answering.text_rules import require_question, require_readable
from llm_service.client import ConversationKey
from llm_service.errors import NotFound, Unavailable
from llm_service.handoff_client import DeliveryView, HandoffStatus, HandoffView, OfficeView, SaidView
from llm_service.logs import get_logger
from llm_service.masked import RawText
from llm_service.masking.vault import Detected, Vault
from llm_service.metrics import Metrics
from llm_service.store import audit, conversations, handoffs
from llm_service.store.handoff_models import OPEN_STATES, Handoff, HandoffEvent
from llm_service.store.models import now
from llm_service.store.transactions import Transactions

LOOK_SECONDS: Final = 1.0
"""How often a reader's hand-off is looked at: what an agent writes is read at most this much later."""
CLAIM_SECONDS: Final = 60
DELIVERIES_AT_ONCE: Final = 20
SHOWN_TURNS: Final = 50
PLACES_KEPT: Final = timedelta(days=1)
"""How long after its end a hand-off's words are still tried to be delivered to a messenger."""
LOG = get_logger(__name__)


@dataclass(frozen=True)
class HandoffTimes:
    """`reply`: how soon the person has to hear something; `waiting`, `silence`: after which one ends by itself."""

    reply: timedelta
    waiting: timedelta
    silence: timedelta


@dataclass(frozen=True)
class FollowedEvent:
    """One event for the person's stream: state {"state", "at"}, or message {"author", "message_id", "text", "at"}."""

    id: int
    event: str
    data: dict[str, Any]


class HandoffDesk:
    """What the routes of hand-offs do."""

    def __init__(
        self,
        transactions: Transactions,
        intake: TurnIntake,
        masking: MaskingDesk,
        vault: Vault,
        metrics: Metrics,
        hours: OfficeHours,
        times: HandoffTimes,
        maximum_characters: int,
        heartbeat_seconds: float,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._transactions = transactions
        self._intake = intake
        self._masking = masking
        self._vault = vault
        self._metrics = metrics
        self._hours = hours
        self._times = times
        self._maximum_characters = maximum_characters
        self._heartbeat_seconds = heartbeat_seconds
        self._clock = clock

    def office(self) -> OfficeView:
        """Whether people of the bank are there."""
        return _office_view(self._hours.at(self._clock()))

    async def ask(self, key: ConversationKey, reason: str, reply_to: str) -> HandoffStatus:
        """Ask for a person: a new hand-off, the open one, or none outside of the hours."""
        work = partial(
            _ask,
            find=self._intake.find_or_create,
            key=key,
            reason=reason,
            reply_to=reply_to,
            office=self.office(),
            due_at=now() + self._times.reply,
        )
        status = await self._transactions.run(work)
        if status.is_new:
            self._metrics.handoff("waiting")
        return status

    async def status(self, key: ConversationKey) -> HandoffStatus:
        """How the conversation's last hand-off stands."""
        return await self._transactions.read(
            partial(_status_of_key, find=self._intake.find, key=key, office=self.office())
        )

    async def write(self, handoff_id: str, conversation_id: str, event_id: str, raw: RawText) -> int:
        """Words of the person; the number of their event. Raises `NotFound`, `Conflict`, and as masking does."""
        require_question(raw, self._maximum_characters)
        timed = await self._masking.detect(raw)
        return await self._transactions.run(
            partial(
                _write,
                vault=self._vault,
                ids=(handoff_id, conversation_id, event_id),
                detected=timed.detected,
                due_at=now() + self._times.reply,
            )
        )

    async def leave(self, handoff_id: str, conversation_id: str) -> HandoffStatus:
        """The person gives it up."""
        work = partial(_leave, handoff_id=handoff_id, conversation_id=conversation_id, office=self.office())
        status, ended = await self._transactions.run(work)
        if ended:
            self._metrics.handoff(status.state)
        return status

    async def rate(self, handoff_id: str, conversation_id: str, rating: int) -> HandoffStatus:
        """The person's rating of a closed one."""
        status = await self._transactions.run(
            partial(_rate, handoff_id=handoff_id, conversation_id=conversation_id, rating=rating, office=self.office())
        )
        self._metrics.handoff_rated(rating)
        return status

    async def follow(
        self, handoff_id: str, conversation_id: str, after: int
    ) -> AsyncGenerator[FollowedEvent | None, None]:
        """What happens behind a number, until the end; None where nothing did for a heartbeat. Raises `NotFound`."""
        await self._transactions.read(partial(_owned, handoff_id=handoff_id, conversation_id=conversation_id))
        return self._following(handoff_id, after)

    async def queue(self, agent: str, states: Sequence[str], limit: int) -> list[HandoffView]:
        """Hand-offs for the console, the longest owed first."""
        return await self._transactions.read(partial(_queue, agent=agent, states=states, limit=limit))

    async def read(self, agent: str, handoff_id: str) -> HandoffView:
        """One with its conversation, masked. Another's is read with an audit row. Raises `NotFound`."""
        return await self._transactions.run(partial(_read, agent=agent, handoff_id=handoff_id))

    async def take(self, agent: str, handoff_id: str) -> HandoffView:
        """Make it the agent's. Raises `NotFound`, `Conflict` (handoff_taken, handoff_not_open)."""
        return await self._change(agent, handoff_id, handoffs.take, "taken")

    async def release(self, agent: str, handoff_id: str) -> HandoffView:
        """Back to those who wait. Raises as `take` does."""
        give_back = partial(handoffs.release, due_at=now() + self._times.reply)
        return await self._change(agent, handoff_id, give_back, "released")

    async def close(self, agent: str, handoff_id: str) -> HandoffView:
        """The agent is done. Raises as `take` does."""
        return await self._change(agent, handoff_id, handoffs.close, "closed")

    async def reply(self, agent: str, handoff_id: str, event_id: str, raw: RawText) -> HandoffView:
        """Words of the agent, masked: placeholders of the conversation stay. Raises as `take` does, and as masking."""
        require_readable(raw)
        require_question(raw, self._maximum_characters)
        timed = await self._masking.detect(raw, is_reply=True)
        return await self._transactions.run(
            partial(
                _reply,
                vault=self._vault,
                agent=agent,
                handoff_id=handoff_id,
                event_id=event_id,
                detected=timed.detected,
            )
        )

    async def undelivered(self, channel: str) -> list[DeliveryView]:
        """What a channel has to bring to its people, claimed for a minute."""
        until = now() + timedelta(seconds=CLAIM_SECONDS)
        return await self._transactions.run(partial(_claim, channel=channel, until=until))

    async def delivered(self, event_id: str) -> None:
        """A channel has brought an event to its person."""
        await self._transactions.run(partial(handoffs.mark_delivered, event_id=event_id))

    async def end_silent(self) -> list[str]:
        """End what nobody took and what both sides left; forget places of yesterday's. Raises `Unavailable`."""
        at = now()
        await self._transactions.run(partial(handoffs.forget_places, ended_before=at - PLACES_KEPT))
        return await self._transactions.run(
            partial(handoffs.end_silent, waiting_since=at - self._times.waiting, silent_since=at - self._times.silence)
        )

    async def keep_ending_silent(self, every_seconds: float) -> None:
        """End for ever what nobody took and what both sides left; while the records cannot be reached, later."""
        while True:
            await asyncio.sleep(every_seconds)
            try:
                ended = await self.end_silent()
            except Unavailable as error:
                LOG.warning("handoffs not ended", code=error.code)
                continue
            if ended:
                LOG.info("handoffs ended by silence", count=len(ended))

    async def _change(
        self, agent: str, handoff_id: str, change: Callable[[Session, str, str], Handoff], counted: str
    ) -> HandoffView:
        view = await self._transactions.run(partial(_changed, agent=agent, handoff_id=handoff_id, change=change))
        self._metrics.handoff(counted)
        return view

    async def _following(self, handoff_id: str, after: int) -> AsyncGenerator[FollowedEvent | None, None]:
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while True:
            try:
                events = await self._transactions.read(partial(_events_after, handoff_id=handoff_id, after=after))
            except Unavailable as error:
                # The status is on its way already: the stream ends early, and its reader comes back.
                LOG.warning("handoff stream ended early", handoff_id=handoff_id, code=error.code)
                return
            if events is None:
                return
            for event in events:
                yield event
                after, heard = event.id, loop.time()
                if event.data.get("state") not in (None, *OPEN_STATES):
                    return
            if loop.time() - heard >= self._heartbeat_seconds:
                yield None
                heard = loop.time()
            await asyncio.sleep(LOOK_SECONDS)


def _ask(
    session: Session,
    find: Callable[[Session, ConversationKey], Any],
    key: ConversationKey,
    reason: str,
    reply_to: str,
    office: OfficeView,
    due_at: datetime,
) -> HandoffStatus:
    conversation = find(session, key)
    session.flush()
    found = handoffs.open_of(session, conversation.id)
    if found is not None:
        return _status(session, found, office)
    if not office.open:
        return HandoffStatus("none", office)
    return _status(session, handoffs.ask(session, conversation, reason, reply_to, due_at), office, is_new=True)


def _status_of_key(
    session: Session, find: Callable[[Session, ConversationKey], Any], key: ConversationKey, office: OfficeView
) -> HandoffStatus:
    conversation = find(session, key)
    found = handoffs.latest_of(session, conversation.id) if conversation is not None else None
    return _status(session, found, office) if found is not None else HandoffStatus("none", office)


def _status(session: Session, found: Handoff, office: OfficeView, *, is_new: bool = False) -> HandoffStatus:
    return HandoffStatus(
        state=found.state,  # type: ignore[arg-type]  # the database holds it to these
        office=office,
        handoff_id=found.id,
        conversation_id=found.conversation_id,
        is_new=is_new,
        ahead=handoffs.ahead_of(session, found) if found.state == "waiting" else 0,
        asked_at=found.asked_at.isoformat(),
        due_at=_iso(found.due_at),
        rating=found.rating,
        last_event_id=found.last_position,
    )


def _owned(session: Session, handoff_id: str, conversation_id: str) -> Handoff:
    found = handoffs.one(session, handoff_id)
    if found.conversation_id != conversation_id:
        raise NotFound("handoff_not_found", "there is no such hand-off in this conversation")
    return found


def _write(session: Session, vault: Vault, ids: tuple[str, str, str], detected: Detected, due_at: datetime) -> int:
    handoff_id, conversation_id, event_id = ids
    _owned(session, handoff_id, conversation_id)
    masked = vault.mask(session, conversations.locked(session, conversation_id), detected)
    return handoffs.write(session, handoff_id, event_id, masked.text, due_at).position


def _leave(session: Session, handoff_id: str, conversation_id: str, office: OfficeView) -> tuple[HandoffStatus, bool]:
    was_open = _owned(session, handoff_id, conversation_id).state in OPEN_STATES
    return _status(session, handoffs.leave(session, handoff_id), office), was_open


def _rate(session: Session, handoff_id: str, conversation_id: str, rating: int, office: OfficeView) -> HandoffStatus:
    _owned(session, handoff_id, conversation_id)
    return _status(session, handoffs.rate(session, handoff_id, rating), office)


def _queue(session: Session, agent: str, states: Sequence[str], limit: int) -> list[HandoffView]:
    return [_view(found, agent) for found in handoffs.queue(session, states, limit)]


def _read(session: Session, agent: str, handoff_id: str) -> HandoffView:
    found = handoffs.one(session, handoff_id)
    view = _with_words(session, found, agent)
    if found.taken_by != agent:
        details = {"conversation_id": found.conversation_id}
        audit.record(session, agent, "handoff.read", "handoff", found.id, details)
    return view


def _changed(
    session: Session, agent: str, handoff_id: str, change: Callable[[Session, str, str], Handoff]
) -> HandoffView:
    return _with_words(session, change(session, agent, handoff_id), agent)


def _reply(
    session: Session, vault: Vault, agent: str, handoff_id: str, event_id: str, detected: Detected
) -> HandoffView:
    found = handoffs.one(session, handoff_id)
    masked = vault.mask(session, conversations.locked(session, found.conversation_id), detected)
    handoffs.reply(session, agent, handoff_id, event_id, masked.text)
    return _with_words(session, found, agent)


def _claim(session: Session, channel: str, until: datetime) -> list[DeliveryView]:
    claimed = handoffs.claim_undelivered(session, channel, until, DELIVERIES_AT_ONCE)
    return [
        DeliveryView(
            id=event.id,
            handoff_id=event.handoff_id,
            kind=event.state or event.kind,
            locale=event.handoff.conversation.locale,
            text=event.text or "",
            reply_to=event.handoff.reply_to or "",
        )
        for event in claimed
    ]


def _events_after(session: Session, handoff_id: str, after: int) -> list[FollowedEvent] | None:
    """None where the hand-off has been erased."""
    last = handoffs.last_position(session, handoff_id)
    if last <= after:
        return [] if last else None
    return [_followed(event) for event in handoffs.events_after(session, handoff_id, after)]


def _followed(event: HandoffEvent) -> FollowedEvent:
    at = event.at.isoformat()
    if event.kind == "state":
        return FollowedEvent(event.position, "state", {"state": event.state, "at": at})
    data = {"author": event.author, "message_id": event.event_id, "text": event.text, "at": at}
    return FollowedEvent(event.position, "message", data)


def _with_words(session: Session, found: Handoff, agent: str) -> HandoffView:
    said = [
        SaidView(one.author, one.text, one.at.isoformat())
        for one in handoffs.said_before(session, found.conversation_id, SHOWN_TURNS)
    ]
    said += (
        SaidView(event.author or "state", event.text or event.state or "", event.at.isoformat(), event.position)
        for event in handoffs.events_after(session, found.id, 0)
    )
    return _view(found, agent, sorted(said, key=lambda one: one.at))


def _view(found: Handoff, agent: str, said: Sequence[SaidView] = ()) -> HandoffView:
    return HandoffView(
        id=found.id,
        conversation_id=found.conversation_id,
        channel=found.conversation.channel,
        audience=found.conversation.audience,
        locale=found.conversation.locale,
        reason=found.reason,
        state=found.state,
        asked_at=found.asked_at.isoformat(),
        due_at=_iso(found.due_at),
        taken_by=found.taken_by,
        mine=found.taken_by == agent,
        first_reply_at=_iso(found.first_reply_at),
        ended_at=_iso(found.ended_at),
        ended_by=found.ended_by,
        rating=found.rating,
        last_position=found.last_position,
        said=list(said),
    )


def _office_view(office: Office) -> OfficeView:
    return OfficeView(**{**asdict(office), "opens_at": _iso(office.opens_at)})


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
