"""The tables of running the platform: what an admin sets while it runs, and what is counted hour by hour.

Neither holds anything about a person but who set a control; counts outlive the turns they were counted from.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from llm_service.masked import MaskedText
from llm_service.store.models import Base, now


class Control(Base):
    """What somebody set in the place of a setting of the environment: `value` until it is set anew, and why.

    `reason` is a code; `note` is what was typed beside it, masked. `changed_by` is a person's keyed hash.
    """

    __tablename__ = "controls"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON(none_as_null=False))
    reason: Mapped[str] = mapped_column(String(32))
    note: Mapped[MaskedText | None]
    changed_by: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[datetime] = mapped_column(default=now)
    version: Mapped[int] = mapped_column(default=1)


class HourCount(Base):
    """What one channel saw in one hour of UTC that is over. Turns by when they were asked, verdicts by when given."""

    __tablename__ = "hour_counts"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(String(16), primary_key=True)
    turns: Mapped[int] = mapped_column(default=0)
    answered: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)
    replied: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    cut_sentences: Mapped[int] = mapped_column(default=0)
    turns_with_cuts: Mapped[int] = mapped_column(default=0)
    masked_values: Mapped[int] = mapped_column(default=0)
    turns_with_masked: Mapped[int] = mapped_column(default=0)
    thumbs_up: Mapped[int] = mapped_column(default=0)
    thumbs_down: Mapped[int] = mapped_column(default=0)


class HourCounting(Base):
    """The one row that says until when hours are counted; every hour before is, though it may have no row."""

    __tablename__ = "hour_counting"
    __table_args__ = (CheckConstraint("id = 1", name="ck_hour_counting_one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    counted_until: Mapped[datetime]
