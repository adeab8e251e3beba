"""The answering service's own words, read from `texts.yaml` by locale; knows no question and no document."""

from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from llm_service.engines.base import Locale

RefusalReason = Literal["no_passages", "low_confidence", "not_supported", "not_verified", "search_down", "answers_off"]


def notice_text(code: str, locale: Locale, position: int | None = None) -> str:
    """What a `Notice` says to people. Raises KeyError for a code that `texts.yaml` does not hold."""
    return str(_texts()[locale]["notices"][code]).format(position=position)


def cut_off_text(locale: Locale) -> str:
    """Stands below an answer that its engine did not finish."""
    return str(_texts()[locale]["cut_off"])


def as_of_text(day: date, locale: Locale) -> str:
    """As of which day an answer holds."""
    return str(_texts()[locale]["as_of"]).format(date=day.isoformat())


def day_remark(code: str, day: date, locale: Locale) -> str:
    """What to know about a day other than the answer's: `another_today`, `undated`."""
    return str(_texts()[locale]["day_remarks"][code]).format(date=day.isoformat())


def refusal_text(reason: RefusalReason, nearest_titles: Iterable[str], locale: Locale) -> str:
    """That nothing was found, why, which documents come nearest, and the offer of a hand-off."""
    texts = _texts()[locale]["refusal"]
    # What was not searched was not found either, but to say so would mislead.
    opening = "" if reason in {"search_down", "answers_off"} else f"{texts['opening']} "
    lines = [f"{opening}{texts['reasons'][reason]}"]
    titles = [f"- {title}" for title in nearest_titles]
    if titles:
        lines += ["", str(texts["nearest"]), *titles]
    return "\n".join([*lines, "", str(texts["hand_off"])])


def not_found_openings() -> tuple[str, ...]:
    """How an answer begins that says it found nothing, without the full stop; engines are told to write it."""
    return tuple(str(texts["refusal"]["opening"]).rstrip(".") for texts in _texts().values())


@cache
def _texts() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load(files(__package__).joinpath("texts.yaml").read_text(encoding="utf-8"))
    return loaded
