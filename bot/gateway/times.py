"""Times as people say them, in Seoul: "오후 3시 20분에", "tomorrow at 09:00". The words stand in `texts.yaml`."""

import math
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bot.gateway.texts import LOCALES, sentence
from llm_service.client import Locale

SEOUL: Final = ZoneInfo("Asia/Seoul")
SPOKEN_SECONDS: Final = 90
"""Up to here a wait is said in seconds; beyond, as a time of day."""


def spoken_wait(seconds: int, locale: Locale, at: datetime | None = None) -> str:
    """When to come back after a wait that begins at `at` (now): "12초 뒤에", "오후 3시 20분에"; never too early."""
    if seconds <= SPOKEN_SECONDS:
        return sentence("times", "in_seconds", locale).format(seconds=max(1, seconds))
    now = at or datetime.now(UTC)
    return spoken_time(now + timedelta(seconds=seconds), locale, now)


def spoken_waits(seconds: int | None) -> dict[Locale, str] | None:
    """The same in each language, for `error_body`; None where there is nothing to wait for."""
    return {locale: spoken_wait(seconds, locale) for locale in LOCALES} if seconds else None


def spoken_time(moment: datetime, locale: Locale, at: datetime | None = None) -> str:
    """A time to come, seen from `at` (now): of today, of tomorrow, or with its date; whole minutes, rounded up."""
    minutes = math.ceil(moment.timestamp() / 60)
    there = datetime.fromtimestamp(minutes * 60, SEOUL)
    days = (there.date() - (at or datetime.now(UTC)).astimezone(SEOUL).date()).days
    code = {0: "today", 1: "tomorrow"}.get(days, "later")
    clock = _clock(there, locale)
    weekday = sentence("weekdays", f"day_{there.isoweekday()}", locale)
    month = sentence("months", f"month_{there.month}", locale)
    return sentence("times", code, locale).format(clock=clock, weekday=weekday, month=month, day=there.day)


def _clock(there: datetime, locale: Locale) -> str:
    half = "morning" if there.hour < 12 else "afternoon"
    code = half if there.minute else f"{half}_whole"
    return sentence("times", code, locale).format(
        hour=there.hour % 12 or 12, minute=there.minute, hour24=f"{there.hour:02}", minute2=f"{there.minute:02}"
    )
