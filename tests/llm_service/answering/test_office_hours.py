"""When people are there: days, hours and holidays of Seoul."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from llm_service.answering.office_hours import SEOUL, OfficeHours, read_holidays
from llm_service.errors import Misconfigured

WEEK = OfficeHours.of("mon-fri 09:00-12:00, mon-fri 13:00-18:00, sat 10:00-12:00", [date(2026, 11, 23)])


@pytest.mark.parametrize(
    ("there", "is_open", "opens_at"),
    [
        ("2026-11-20 09:00", True, None),
        ("2026-11-20 08:59", False, "2026-11-20 09:00"),
        ("2026-11-20 12:00", False, "2026-11-20 13:00"),
        ("2026-11-20 17:59", True, None),
        ("2026-11-20 18:00", False, "2026-11-21 10:00"),
        ("2026-11-21 11:59", True, None),
        ("2026-11-21 12:00", False, "2026-11-24 09:00"),
        ("2026-11-23 10:00", False, "2026-11-24 09:00"),
    ],
    ids=["opens", "before", "lunch", "last minute", "Friday night", "Saturday", "over Monday's holiday", "holiday"],
)
def test_the_next_opening_is_the_first_open_minute(there: str, is_open: bool, opens_at: str | None) -> None:
    office = WEEK.at(datetime.fromisoformat(there).replace(tzinfo=SEOUL).astimezone(UTC))

    expected = datetime.fromisoformat(opens_at).replace(tzinfo=SEOUL) if opens_at else None
    assert (office.enabled, office.open, office.opens_at) == (True, is_open, expected)


def test_without_hours_nobody_is_ever_there() -> None:
    office = OfficeHours.of("").at(datetime(2026, 11, 20, tzinfo=UTC))
    assert (office.enabled, office.open, office.opens_at) == (False, False, None)


@pytest.mark.parametrize(
    "wrong",
    ["always", "mon-fri 9:00-18:00", "fri-mon 09:00-18:00", "mon 18:00-09:00", "mon 09:00-25:00", "day 09:00-10:00"],
)
def test_hours_that_cannot_be_meant_stop_the_start(wrong: str) -> None:
    with pytest.raises(Misconfigured, match="office_hours_invalid"):
        OfficeHours.of(wrong)


def test_the_file_of_holidays_is_read_with_its_remarks(tmp_path: Path) -> None:
    file = tmp_path / "holidays.txt"
    file.write_text("# 2027\n2027-02-07  # 설날\n\n2027-02-08\n", encoding="utf-8")
    assert read_holidays(file) == {date(2027, 2, 7), date(2027, 2, 8)}
    file.write_text("7 February\n", encoding="utf-8")
    with pytest.raises(Misconfigured, match="line 1"):
        read_holidays(file)
    with pytest.raises(Misconfigured, match="missing"):
        read_holidays(tmp_path / "missing.txt")
