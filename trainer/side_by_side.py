"""A blind sheet for experts: two answers to each question in an order nobody can guess, and the count of their votes.

Knows no model; which side is whose stands in a key that is kept apart from the sheet.
"""

import csv
import io
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from llm_service.answering.sign_test import sign_test
from llm_service.errors import InvalidInput

Side = Literal["left", "right"]
Vote = Literal["left", "right", "tie", "both_bad"]
SIDES: Final[tuple[Side, ...]] = ("left", "right")
VOTES: Final[tuple[Vote, ...]] = ("left", "right", "tie", "both_bad")
COLUMNS: Final = ("id", "question", "left", "right", "vote")
# A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV Injection").
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Pair:
    """One question and what two subjects answered to it."""

    item_id: str
    question: str
    first: str
    second: str


@dataclass(frozen=True)
class Sheet:
    """What experts see (CSV), and, apart from it, on which side the first subject stands for each item."""

    text: str
    first_stands: Mapping[str, Side]


@dataclass(frozen=True)
class Tally:
    """Votes by meaning. `probability` is that of a split at least this uneven if both were equally good (sign test)."""

    first: int
    second: int
    tie: int
    both_bad: int
    unvoted: int
    probability: float


def make_sheet(pairs: Sequence[Pair], seed: int) -> Sheet:
    """A sheet whose rows and sides are shuffled; the same seed gives the same sheet. Equal answers are left out."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, and blind for people only
    shown = [pair for pair in pairs if pair.first != pair.second]
    chance.shuffle(shown)
    sides = {pair.item_id: chance.choice(SIDES) for pair in shown}
    written = io.StringIO()
    sheet = csv.writer(written, lineterminator="\n")
    sheet.writerow(COLUMNS)
    for pair in shown:
        answers = (pair.first, pair.second) if sides[pair.item_id] == "left" else (pair.second, pair.first)
        sheet.writerow([pair.item_id, *map(_cell, (pair.question, *answers)), ""])
    return Sheet(written.getvalue(), sides)


def read_votes(text: str) -> Mapping[str, Vote]:
    """The votes of a filled sheet by item id; rows without a vote are left out.

    Raises `InvalidInput` (votes_invalid) for a sheet of other columns, a vote that is none, and a row that comes twice.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    if rows and not {"id", "vote"} <= set(rows[0]):
        raise InvalidInput("votes_invalid", "the sheet needs its columns id and vote")
    votes: dict[str, Vote] = {}
    for number, row in enumerate(rows, start=2):
        vote = (row["vote"] or "").strip().lower()
        if not vote:
            continue
        if vote not in VOTES or row["id"] in votes:
            raise InvalidInput("votes_invalid", f"line {number}: one vote of {', '.join(VOTES)} for each id")
        votes[row["id"]] = cast("Vote", vote)
    return votes


def count_votes(first_stands: Mapping[str, Side], votes: Mapping[str, Vote]) -> Tally:
    """Who was preferred. Raises `InvalidInput` (votes_of_another_sheet) for votes on items the sheet never had."""
    if not votes.keys() <= first_stands.keys():
        raise InvalidInput("votes_of_another_sheet", "these votes belong to another sheet")
    meant = Counter(_meant(first_stands[item], vote) for item, vote in votes.items())
    return Tally(
        first=meant["first"],
        second=meant["second"],
        tie=meant["tie"],
        both_bad=meant["both_bad"],
        unvoted=len(first_stands) - len(votes),
        probability=round(sign_test(meant["first"], meant["second"]), 4),
    )


def _meant(first_stands: Side, vote: Vote) -> str:
    if vote in ("tie", "both_bad"):
        return vote
    return "first" if vote == first_stands else "second"


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
