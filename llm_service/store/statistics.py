"""Counts of turns and verdicts, hour by hour: what an overview of a month reads in place of a month of turns.

An hour is counted once, when it is over and nothing of it can change any more; the newest hours are counted when they
are asked for. Counts hold no text and nobody's id, and outlive the turns.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Row, Select, Text, case, cast, extract, func, select
from sqlalchemy.orm import Session

from llm_service.store.control_models import HourCount, HourCounting
from llm_service.store.models import Conversation, Feedback, Turn, now

HOUR: Final = timedelta(hours=1)
HOUR_SECONDS: Final = 3600
CLOSED_AFTER: Final = timedelta(minutes=10)
"""How long after its end an hour is counted: an answer begun in its last second has ended by then."""
COUNTED_AT_FIRST: Final = timedelta(days=31)
"""How far back the counting begins on records that were never counted."""
STATES: Final = ("answered", "refused", "replied", "failed")


@dataclass
class Tally:
    """The counts of one channel in one hour, as `HourCount` keeps them."""

    turns: int = 0
    answered: int = 0
    refused: int = 0
    replied: int = 0
    failed: int = 0
    cut_sentences: int = 0
    turns_with_cuts: int = 0
    masked_values: int = 0
    turns_with_masked: int = 0
    thumbs_up: int = 0
    thumbs_down: int = 0

    def add(self, other: "Tally | Row[Any]") -> None:
        """Add what has a number under each of our names."""
        for name in NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))


NAMES: Final = tuple(one.name for one in fields(Tally))


def hour_of(at: datetime) -> datetime:
    """The beginning of the hour of a time."""
    return at.replace(minute=0, second=0, microsecond=0)


def count_closed_hours(session: Session, limit: int) -> int:
    """Count the next hours that are over, at most `limit`; returns how many were. Any number of processes may."""
    state = session.get(HourCounting, 1, with_for_update=True)
    if state is None:
        state = HourCounting(id=1, counted_until=_beginning(session))
        session.add(state)
        session.flush()
    counted = 0
    while counted < limit and state.counted_until + HOUR <= now() - CLOSED_AFTER:
        hour = state.counted_until
        for channel, tally in _tallies(session, hour, hour + HOUR).items():
            session.add(HourCount(hour=hour, channel=channel, **vars(tally)))
        state.counted_until = hour + HOUR
        counted += 1
    session.flush()
    return counted


def by_step(session: Session, since: datetime, until: datetime, hours: int) -> Iterator[tuple[datetime, str, Tally]]:
    """The counts from the hour of `since` on, by when a step of so many hours begins and by channel, in pieces.

    What was not counted yet is counted here.
    """
    state = session.get(HourCounting, 1)
    counted_until = min(max(state.counted_until, since), until) if state else since
    # The database adds up: a month is two thousand rows.
    passed = cast(extract("epoch", HourCount.hour), BigInteger) - int(since.timestamp())
    sums = [func.sum(getattr(HourCount, name)).label(name) for name in NAMES]
    kept = select((passed // (hours * HOUR_SECONDS)).label("step"), HourCount.channel, *sums)
    kept = kept.where(HourCount.hour >= since, HourCount.hour < counted_until).group_by("step", HourCount.channel)
    for row in session.execute(kept):
        tally = Tally()
        tally.add(row)
        yield since + row.step * hours * HOUR, row.channel, tally
    hour = counted_until
    while hour < until:
        for channel, tally in _tallies(session, hour, min(hour + HOUR, until)).items():
            yield since + (hour - since) // (hours * HOUR) * hours * HOUR, channel, tally
        hour += HOUR


def _beginning(session: Session) -> datetime:
    first = session.scalar(select(func.min(Turn.created_at)))
    return hour_of(max(first, now() - COUNTED_AT_FIRST) if first else now())


def _tallies(session: Session, since: datetime, until: datetime) -> dict[str, Tally]:
    found: dict[str, Tally] = {}
    within = (Turn.created_at >= since, Turn.created_at < until)
    turns = (
        select(
            Conversation.channel,
            Turn.state,
            func.count().label("turns"),
            func.coalesce(func.sum(Turn.cut_sentences), 0).label("cut"),
            func.sum(case((Turn.cut_sentences > 0, 1), else_=0)).label("with_cuts"),
        )
        .join(Conversation)
        .where(*within)
        .group_by(Conversation.channel, Turn.state)
    )
    for row in session.execute(turns):
        tally = found.setdefault(row.channel, Tally())
        tally.turns += row.turns
        tally.cut_sentences += row.cut
        tally.turns_with_cuts += row.with_cuts
        if row.state in STATES:
            setattr(tally, row.state, getattr(tally, row.state) + row.turns)
    for channel, counts in session.execute(_masked(*within)):
        tally = found.setdefault(channel, Tally())
        tally.masked_values += sum(counts.values())
        tally.turns_with_masked += 1
    _add_verdicts(session, since, until, found)
    return found


def _masked(*within: ColumnElement[bool]) -> Select[str, dict[str, int]]:
    holds_some = cast(Turn.entity_counts, Text) != "{}"
    return select(Conversation.channel, Turn.entity_counts).join(Conversation).where(*within, holds_some)


def _add_verdicts(session: Session, since: datetime, until: datetime, found: dict[str, Tally]) -> None:
    verdicts = (
        select(Conversation.channel, Feedback.verdict, func.count().label("verdicts"))
        .select_from(Feedback)
        .join(Turn, Turn.id == Feedback.turn_id)
        .join(Conversation, Conversation.id == Turn.conversation_id)
        .where(Feedback.created_at >= since, Feedback.created_at < until)
        .group_by(Conversation.channel, Feedback.verdict)
    )
    for row in session.execute(verdicts):
        tally = found.setdefault(row.channel, Tally())
        if row.verdict == "up":
            tally.thumbs_up += row.verdicts
        else:
            tally.thumbs_down += row.verdicts
