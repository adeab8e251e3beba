"""Finds turns by what is masked in them and by what is known about them, page by page, the newest first.

Words are found by LIKE within a bounded window: no copy of what people wrote is kept for searching, and a page costs
the same on every database and however many turns there are (docs/decisions/0013-running-the-platform.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, exists, literal, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session, contains_eager

from llm_service.store.models import Conversation, Feedback, Turn, UtcDateTime

TURNS_LOOKED_AT: Final = 10_000
"""How many turns one page looks at; whoever wants to look further back asks for the next page."""


@dataclass(frozen=True)
class Place:
    """A place in the order of the turns."""

    at: datetime
    id: str


@dataclass(frozen=True)
class Sought:
    """Which turns; what is None is not asked. `rating` is up, down or none; `until` is exclusive."""

    text: str | None = None
    channel: str | None = None
    audience: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    rating: str | None = None
    state: str | None = None
    intent: str | None = None
    engine: str | None = None
    adapter: str | None = None
    user_key: str | None = None

    @property
    def asked(self) -> list[str]:
        """The names of what is asked, for the audit: never the values."""
        return sorted(name for name, value in vars(self).items() if value is not None)


@dataclass(frozen=True)
class FoundPage:
    """Turns with their conversations. `next` is where to go on; `looked_back_to` where the window ended, if it did."""

    turns: Sequence[Turn]
    next: Place | None
    looked_back_to: datetime | None


def search(session: Session, sought: Sought, after: Place | None, limit: int) -> FoundPage:
    """One page of turns behind a place. Nothing is counted: an exact total would look at every turn."""
    behind = [Turn.created_at >= sought.since] if sought.since else []
    behind += [Turn.created_at < sought.until] if sought.until else []
    behind += [_place < _row(after)] if after else []
    # A person's conversations are found by their own index, however old they are.
    edge = None if sought.user_key else _edge(session, behind)
    within = [*behind, _place >= _row(edge)] if edge else behind
    found = list(session.scalars(_statement(sought).where(*within).order_by(*_newest_first).limit(limit + 1)))
    if len(found) > limit:
        last = found[limit - 1]
        return FoundPage(found[:limit], Place(last.created_at, last.id), None)
    return FoundPage(found, edge, edge.at if edge else None)


def verdicts_on(session: Session, turn_ids: Sequence[str]) -> dict[str, list[str]]:
    """The verdicts on turns, by turn."""
    found: dict[str, list[str]] = {}
    rows = (
        select(Feedback.turn_id, Feedback.verdict).where(Feedback.turn_id.in_(turn_ids)).order_by(Feedback.created_at)
    )
    for turn_id, verdict in session.execute(rows):
        found.setdefault(turn_id, []).append(verdict)
    return found


def turns_of(session: Session, conversation_id: str, from_position: int, limit: int) -> list[Turn]:
    """The turns of a conversation in their order, from a position on."""
    statement = select(Turn).where(Turn.conversation_id == conversation_id, Turn.position >= from_position)
    return list(session.scalars(statement.order_by(Turn.position).limit(limit)))


_place = tuple_(Turn.created_at, Turn.id)
_newest_first = (Turn.created_at.desc(), Turn.id.desc())


def _row(place: Place) -> Any:
    return tuple_(literal(place.at, UtcDateTime()), literal(place.id))


def _edge(session: Session, behind: Sequence[ColumnElement[bool]]) -> Place | None:
    """The last turn that is looked at; None where the window reaches the end."""
    statement = select(Turn.created_at, Turn.id).where(*behind).order_by(*_newest_first)
    row = session.execute(statement.offset(TURNS_LOOKED_AT - 1).limit(1)).one_or_none()
    return Place(row.created_at, row.id) if row else None


def _statement(sought: Sought) -> Select[Turn]:
    statement = select(Turn).join(Turn.conversation).options(contains_eager(Turn.conversation))
    equal = (
        (Conversation.channel, sought.channel),
        (Conversation.audience, sought.audience),
        (Conversation.user_key, sought.user_key),
        (Turn.state, sought.state),
        (Turn.intent, sought.intent),
        (Turn.engine, sought.engine),
        (Turn.adapter, sought.adapter),
    )
    statement = statement.where(*(column == value for column, value in equal if value is not None))
    if sought.text is not None:
        statement = statement.where(or_(_holds(Turn.question, sought.text), _holds(Turn.answer, sought.text)))
    return statement.where(*_rated(sought.rating))


def _holds(column: InstrumentedAttribute[Any], words: str) -> ColumnElement[bool]:
    """Whether a text holds the words. Hangul and digits have no capitals, and folding every text costs three times."""
    has_capitals = words.lower() != words.upper()
    return column.icontains(words, autoescape=True) if has_capitals else column.contains(words, autoescape=True)


def _rated(rating: str | None) -> list[ColumnElement[bool]]:
    if rating is None:
        return []
    given = exists().where(Feedback.turn_id == Turn.id)
    return [~given] if rating == "none" else [given.where(Feedback.verdict == rating)]
