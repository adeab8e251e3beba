"""When people of the bank are there: days and hours in Seoul, less the holidays of a file. Knows no hand-off."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from llm_service.errors import Misconfigured

SEOUL: Final = ZoneInfo("Asia/Seoul")
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SEARCHED_DAYS: Final = 60
"""Longer than any run of holidays: who is not back within two months has closed."""
WHOLE_DAY_MINUTES: Final = 24 * 60
_PART: Final = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? (\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True)
class Office:
    """Whether people are there now; `opens_at` is when they will be back, None where they are or never will be."""

    enabled: bool
    open: bool
    opens_at: datetime | None


@dataclass(frozen=True)
class OfficeHours:
    """Opening times by weekday (Monday is 0) as minutes from midnight, and the days without any."""

    hours: Mapping[int, tuple[tuple[int, int], ...]]
    holidays: frozenset[date] = frozenset()

    @classmethod
    def of(cls, text: str, holidays: Iterable[date] = ()) -> "OfficeHours":
        """From "mon-fri 09:00-12:00, mon-fri 13:00-18:00"; empty means that nobody is ever there.

        Raises `Misconfigured` (office_hours_invalid).
        """
        hours: dict[int, list[tuple[int, int]]] = {}
        for part in filter(None, (one.strip() for one in text.casefold().split(","))):
            found = _PART.fullmatch(part)
            if found is None or not {found[1], found[2] or found[1]} <= set(DAYS):
                raise _invalid(part)
            first, last = DAYS.index(found[1]), DAYS.index(found[2] or found[1])
            begin, end = int(found[3]) * 60 + int(found[4]), int(found[5]) * 60 + int(found[6])
            if not (first <= last and begin < end <= WHOLE_DAY_MINUTES):
                raise _invalid(part)
            for day in range(first, last + 1):
                hours.setdefault(day, []).append((begin, end))
        return cls({day: tuple(sorted(spans)) for day, spans in hours.items()}, frozenset(holidays))

    def at(self, moment: datetime) -> Office:
        """How it is at a moment, which has a zone."""
        there = moment.astimezone(SEOUL)
        for days in range(SEARCHED_DAYS):
            day = there.date() + timedelta(days=days)
            for begin, end in self._spans(day):
                if _moment(day, end) <= there:
                    continue
                opens = _moment(day, begin)
                if opens <= there:
                    return Office(enabled=True, open=True, opens_at=None)
                return Office(enabled=True, open=False, opens_at=opens.astimezone(UTC))
        return Office(enabled=bool(self.hours), open=False, opens_at=None)

    def _spans(self, day: date) -> tuple[tuple[int, int], ...]:
        return () if day in self.holidays else self.hours.get(day.weekday(), ())


def read_holidays(file: Path) -> frozenset[date]:
    """The days of a file, one a line as 2026-02-17, anything behind # left out. Raises `Misconfigured`."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured("holidays_unreadable", f"{file}: {type(error).__name__}") from None
    days = set()
    for number, line in enumerate(lines, start=1):
        if written := line.partition("#")[0].strip():
            try:
                days.add(date.fromisoformat(written))
            except ValueError:
                wrong = f"{file}, line {number}: a day is written 2026-02-17"
                raise Misconfigured("holidays_unreadable", wrong) from None
    return frozenset(days)


def _moment(day: date, minutes: int) -> datetime:
    return datetime.combine(day, time(), SEOUL) + timedelta(minutes=minutes)


def _invalid(part: str) -> Misconfigured:
    return Misconfigured("office_hours_invalid", f'HAECHI_HANDOFF_HOURS: "{part}"; write "mon-fri 09:00-18:00"')
