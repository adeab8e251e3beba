"""What changed between two editions of a document: clauses added, removed, changed, word for word where asked.

A clause is a 항 of an article, the article itself where it has none, or the section under one heading. Notes of when
something was amended are no change. Knows no files and no answers.
"""

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Literal, NamedTuple, TypeVar

from llm_service.masked import MaskedText
from llm_service.retrieval.draft import without_revision_notes
from llm_service.store import editions
from llm_service.store.editions import Edition, EditionPassage
from llm_service.store.models import OPEN_END
from llm_service.store.passages import reading
from llm_service.store.session import SessionFactory

ChangeKind = Literal["added", "removed", "changed"]
WordKind = Literal["same", "removed", "added"]

_MARK = re.compile(r"[①-⑳㉑-㉟㊱-㊿]")
_PLACEHOLDER_NUMBER = re.compile(r"<([A-Z][A-Z_]{0,40})_\d+>")
_DAY = timedelta(days=1)
Key = TypeVar("Key", bound=Hashable)


class Clause(NamedTuple):
    """Where a text stands: `place` is an article (제4조의2) or a heading path, `mark` the 항 (②) or empty."""

    place: str
    mark: str

    def __str__(self) -> str:
        return f"{self.place} {self.mark}".strip()


@dataclass(frozen=True)
class ClauseChange:
    """One clause in both editions; `before` is empty for an added one, `after` for a removed one."""

    clause: Clause
    kind: ChangeKind
    before: MaskedText
    after: MaskedText


@dataclass(frozen=True)
class WordChange:
    kind: WordKind
    text: MaskedText


@dataclass(frozen=True)
class Changes:
    """What an edition changed of the one before it, in the order of the text; all is added where there is none."""

    edition: Edition
    previous: Edition | None
    clauses: tuple[ClauseChange, ...]

    def touches(self, passage: EditionPassage) -> bool:
        """Whether a passage holds a clause that was changed or removed, or stands in an article that gained one."""
        own = clauses_of((passage,))
        places = {clause.place for clause in own}
        return any(
            change.clause in own or (change.kind == "added" and change.clause.place in places)
            for change in self.clauses
        )


class EditionHistory:
    """Looks up in the records what questions about another day need. Synchronous; may be used from several threads."""

    def __init__(self, sessions: SessionFactory) -> None:
        self._sessions = sessions

    def day_before_change(self, passage_id: int) -> date | None:
        """The last day on which the clauses of a passage read otherwise; None if no stored edition does.

        Where an edition that follows is known already, what holds before it holds now: None.
        """
        with reading(self._sessions) as session:
            known = editions.editions_until(session, passage_id)
        if not known or known[0].in_force_to != OPEN_END:
            return None
        own = next(passage for passage in known[0].passages if passage.id == passage_id)
        wanted = clauses_of((own,)).keys()
        now = _only(wanted, known[0])
        for later, earlier in pairwise(known):
            if _only(wanted, earlier) != now:
                return later.in_force_from - _DAY
        return None

    def without_stated_day(self, passage_ids: Iterable[int]) -> set[int]:
        """Those of the passages whose document does not say since when it applies."""
        with reading(self._sessions) as session:
            return editions.without_stated_day(session, list(passage_ids))


def changes_between(previous: Edition | None, edition: Edition) -> Changes:
    """The clauses that differ. An article that is new or gone is one change, not one for each 항."""
    before = clauses_of(previous.passages) if previous else {}
    after = clauses_of(edition.passages)
    before_places, after_places = _whole(before), _whole(after)
    found: list[ClauseChange] = []
    for place in _merged(before_places, after_places):
        if place not in before_places:
            found.append(ClauseChange(Clause(place, ""), "added", MaskedText(""), MaskedText(after_places[place])))
        elif place not in after_places:
            found.append(ClauseChange(Clause(place, ""), "removed", MaskedText(before_places[place]), MaskedText("")))
        else:
            old = {clause: text for clause, text in before.items() if clause.place == place}
            new = {clause: text for clause, text in after.items() if clause.place == place}
            found.extend(_differing(old, new))
    return Changes(edition, previous, tuple(found))


def clauses_of(passages: Iterable[EditionPassage]) -> dict[Clause, str]:
    """The text of each clause, normalised: without notes of amendment, numbers of placeholders and odd blanks.

    What is repeated at the head of each part of a split article counts once.
    """
    lines: dict[Clause, dict[str, None]] = {}
    for passage in passages:
        place = passage.article or " > ".join(passage.heading_path)
        mark = ""
        for line in map(_normalised, passage.text.split("\n")):
            if passage.article and (found := _MARK.match(line)):
                mark = found[0]
            if line:
                lines.setdefault(Clause(place, mark), {})[line] = None
    return {clause: "\n".join(found) for clause, found in lines.items()}


def word_changes(change: ClauseChange) -> tuple[WordChange, ...]:
    """The two texts of a clause word by word: what stayed, what went, what came."""
    before, after = change.before.split(), change.after.split()
    found: list[WordChange] = []
    for tag, start, end, new_start, new_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            found.append(WordChange("same", MaskedText(" ".join(before[start:end]))))
            continue
        if end > start:
            found.append(WordChange("removed", MaskedText(" ".join(before[start:end]))))
        if new_end > new_start:
            found.append(WordChange("added", MaskedText(" ".join(after[new_start:new_end]))))
    return tuple(found)


def _differing(old: Mapping[Clause, str], new: Mapping[Clause, str]) -> Iterable[ClauseChange]:
    for clause in _merged(old, new):
        before, after = old.get(clause, ""), new.get(clause, "")
        if before != after:
            kind: ChangeKind = "changed" if before and after else "added" if after else "removed"
            yield ClauseChange(clause, kind, MaskedText(before), MaskedText(after))


def _only(wanted: Iterable[Clause], edition: Edition) -> dict[Clause, str | None]:
    known = clauses_of(edition.passages)
    return {clause: known.get(clause) for clause in wanted}


def _whole(clauses: Mapping[Clause, str]) -> dict[str, str]:
    """The text of each article or section as a whole."""
    whole: dict[str, str] = {}
    for clause, text in clauses.items():
        whole[clause.place] = f"{whole[clause.place]}\n{text}" if clause.place in whole else text
    return whole


def _merged(before: Iterable[Key], after: Iterable[Key]) -> list[Key]:
    """The keys of both in the order of the text: what went stands where it stood."""
    old, new = list(before), list(after)
    merged: dict[Key, None] = {}
    for _, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        merged |= dict.fromkeys((*old[start:end], *new[new_start:new_end]))
    return list(merged)


def _normalised(line: str) -> str:
    return _PLACEHOLDER_NUMBER.sub(r"<\1>", " ".join(without_revision_notes(line).split()))
