"""What forms offer, by code, in the order people see; the words stand in `texts.yaml`."""

from typing import Final

STATES: Final = ("pending", "proposed", "first_approved", "approved", "rejected")
KINDS: Final = (
    "correction",
    "curated",
    "glossary",
    "summary",
    "four_choice",
    "four_choice_writing",
    "rag",
    "refusal",
    "general",
)
RUBRIC: Final = ("correct", "partial", "wrong", "unsupported", "dangerous")
REASONS_TO_REJECT: Final = ("not_correct", "outdated", "no_source", "personal_data", "duplicate", "not_useful")
REASONS_TO_SWITCH_OFF: Final = ("wrong_answers", "incident", "attack", "maintenance", "regulator", "drill")
REASONS_TO_SWITCH_ON: Final = ("resolved", "false_alarm", "drill_over")
REASONS_TO_CHANGE: Final = ("policy", "law", "audit_finding", "space")
AUDIENCES: Final = ("customer", "staff")
TURN_STATES: Final = ("answered", "refused", "replied", "failed", "stopped", "answering", "received")
RATINGS: Final = ("down", "up", "none")
