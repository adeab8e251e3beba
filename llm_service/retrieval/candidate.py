"""What retrieval is asked with and what it hands on: entitlement in, candidates out. Knows no index and no engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

from llm_service.masked import MaskedText

Audience = Literal["staff", "customer"]

EVERY_GROUP: Final = "*"
"""Stands in the index for a document of no group, which its whole audience may see; it is no group's name."""


@dataclass(frozen=True)
class Entitlement:
    """What the asking person may see, as of which day. It is applied inside the index query, never after it.

    A document is seen by those of its audience who are in one of its groups, or by all of its audience if it has no
    groups. `shared_with` is who else reads the answer where it is given: a document must be for each of them.
    """

    audience: Audience
    as_of: date
    groups: frozenset[str] = frozenset()
    shared_with: frozenset[Audience] = frozenset()

    @property
    def audiences(self) -> tuple[Audience, ...]:
        """Everybody a document must be for, in a fixed order."""
        return tuple(sorted({self.audience, *self.shared_with}))

    def allows(self, audience: Sequence[str], groups: Sequence[str], in_force_from: date, in_force_to: date) -> bool:
        """Whether a document with these properties may be seen; `in_force_to` is exclusive."""
        in_force = in_force_from <= self.as_of < in_force_to
        of_group = not groups or not self.groups.isdisjoint(groups)
        return in_force and of_group and set(self.audiences) <= set(audience)


def shared_entitlement(members: Sequence[Entitlement]) -> Entitlement:
    """What may be shown where all of these people read along: a channel, a group chat.

    Only what every single one may see: documents for each one's audience, and of their groups those that all have.
    (A document of two groups of which each member has another is left out too.) Raises ValueError for nobody, for whom
    nothing can be shown, and for members who ask as of different days.
    """
    if not members:
        raise ValueError("a channel without known members is shown nothing")
    if len({member.as_of for member in members}) != 1:
        raise ValueError("members of one channel are shown one day's documents")
    audiences = sorted({audience for member in members for audience in member.audiences})
    groups = frozenset.intersection(*(member.groups for member in members))
    return Entitlement(audiences[0], members[0].as_of, groups, frozenset(audiences[1:]))


@dataclass(frozen=True)
class Candidate:
    """A passage that may carry the answer, with all a citation needs. `score` orders one question's candidates only."""

    passage_id: int
    document_path: str
    document_title: str
    label: str
    article: str | None
    heading_path: tuple[str, ...]
    page: int | None
    text: MaskedText
    score: float
    in_force_from: date
    in_force_to: date
    signals: Mapping[str, float] = field(default_factory=dict, compare=False)
    """What spoke for it, by name (`ranking.Signals`); for explaining only."""


@dataclass(frozen=True)
class Retrieved:
    """Candidates, best first, and how sure retrieval is (0 to 1, calibrated) that they carry an answer at all.

    `fallbacks` names optional parts that were set but did not answer, as "part:reason".
    """

    candidates: tuple[Candidate, ...]
    confidence: float
    features: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
