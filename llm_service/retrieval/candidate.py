"""What retrieval is asked with and what it hands on: entitlement in, candidates out. Knows no index and no engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from llm_service.masked import MaskedText

Audience = Literal["staff", "customer"]


@dataclass(frozen=True)
class Entitlement:
    """What the asking person may see, as of which day. It is applied inside the index query, never after it."""

    audience: Audience
    as_of: date


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


@dataclass(frozen=True)
class Retrieved:
    """Candidates, best first, and how sure retrieval is (0 to 1, calibrated) that they carry an answer at all."""

    candidates: tuple[Candidate, ...]
    confidence: float
    features: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
