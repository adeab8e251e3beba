"""When to come back is said in words, in Seoul's time, and never too early."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.gateway.texts import error_body
from bot.gateway.times import spoken_time, spoken_wait, spoken_waits

NOON = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)  # Saturday, 12:00 in Seoul


@pytest.mark.parametrize(
    ("seconds", "korean", "english"),
    [
        (0, "1초 뒤에", "in 1 seconds"),
        (12, "12초 뒤에", "in 12 seconds"),
        (91, "오늘 오후 12시 2분에", "today at 12:02 (Korean time)"),
        (3 * 3600 + 20 * 60, "오늘 오후 3시 20분에", "today at 15:20 (Korean time)"),
        (12 * 3600, "내일 오전 12시에", "tomorrow at 00:00 (Korean time)"),
        (21 * 3600 + 30 * 60, "내일 오전 9시 30분에", "tomorrow at 09:30 (Korean time)"),
        (45 * 3600, "11월 23일(월) 오전 9시에", "on Monday, 23 November at 09:00 (Korean time)"),
    ],
)
def test_a_wait_is_said_as_people_say_it(seconds: int, korean: str, english: str) -> None:
    assert (spoken_wait(seconds, "ko", NOON), spoken_wait(seconds, "en", NOON)) == (korean, english)


@given(st.integers(91, 12 * 3600 - 60))
def test_the_minute_that_is_said_is_not_before_the_wait_is_over(seconds: int) -> None:
    said = spoken_wait(seconds, "en", NOON).removeprefix("today at ")
    hour, minute = int(said[:2]), int(said[3:5])
    assert (hour - 12) * 3600 + minute * 60 >= seconds
    assert (hour - 12) * 3600 + minute * 60 < seconds + 60


def test_a_time_without_a_zone_of_its_own_counts_from_seouls_day() -> None:
    late = datetime(2026, 11, 21, 15, 30, tzinfo=UTC)  # 00:30 of the 22nd in Seoul
    assert spoken_time(datetime(2026, 11, 22, 0, 0, tzinfo=UTC), "ko", late) == "오늘 오전 9시에"


@pytest.mark.parametrize("code", ["too_many_questions", "daily_limit_reached", "channel_busy", "too_many_sessions"])
def test_every_limit_says_when_to_come_back(code: str) -> None:
    body = error_body(code, when=spoken_waits(12))
    assert "12초 뒤에" in body["message_ko"]
    assert "in 12 seconds" in body["message"]
