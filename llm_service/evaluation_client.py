"""The way in to evaluations and blind comparisons for what is outside llm_service: shapes that travel, and the calls.

Every call acts for a person with roles, who are named beside the service token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llm_service.client import LlmServiceClient

Subject = Literal["base", "active", "candidate"]
Vote = Literal["left", "right", "tie", "both_bad"]
Order = Literal["set", "worst"]


@dataclass(frozen=True)
class EvaluationView:
    """One evaluation. `verdict` is the gate's (candidate, rejected), none where no gate was held. `kept`: questions."""

    id: str
    run_id: str | None
    dataset: str | None
    adapter: str | None
    state: str
    subjects: list[str]
    set_name: str
    kept: int
    verdict: str | None
    requested_by: str
    error_code: str | None
    created_at: str
    ended_at: str | None


@dataclass(frozen=True)
class EvaluationDetails:
    """An evaluation with its report: {"set", "subjects", "comparisons", "decision", "rules"}, scores without text."""

    evaluation: EvaluationView
    report: dict[str, Any]
    tags: list[str]


@dataclass(frozen=True)
class SubjectAnswer:
    """What one subject answered, where it was kept, and its scores."""

    answer: str | None
    score: float
    scores: dict[str, float]


@dataclass(frozen=True)
class ComparedItem:
    """One question; `delta` is the score of `of` minus that of `against`.

    `is_withheld`: this person is still to judge it blind, so nothing is told of who answered what.
    """

    item_id: str
    position: int
    kind: str
    tags: list[str]
    question: str
    reference: str | None
    is_withheld: bool
    delta: float | None
    subjects: dict[str, SubjectAnswer]


@dataclass(frozen=True)
class ComparedItems:
    """A page of questions, and how many of all were worse, better or the same; withheld ones are none of these."""

    items: list[ComparedItem]
    matching: int
    worse: int
    better: int
    same: int
    withheld: int


@dataclass(frozen=True)
class BlindView:
    """A comparison as far as anybody may see it. `own_votes`: how many questions this person has judged."""

    id: str
    evaluation_id: str
    run_id: str | None
    adapter: str | None
    first: str
    second: str
    pairs: int
    votes: int
    own_votes: int
    may_vote: bool
    requested_by: str
    created_at: str
    closed_by: str | None
    closed_at: str | None


@dataclass(frozen=True)
class BlindQuestion:
    """How one question came out; `outcome` is what most of its votes say: first, second, equal, none."""

    question: str
    first: int
    second: int
    tie: int
    both_bad: int
    outcome: str


@dataclass(frozen=True)
class BlindVoter:
    """How many votes a person gave, and when the last."""

    voter: str
    votes: int
    newest_at: str


@dataclass(frozen=True)
class BlindResult:
    """Votes by meaning, and questions by what most of their votes say.

    `probability`: of a split of questions at least this uneven, if both were equally good (sign test, two-sided).
    """

    first: int
    second: int
    tie: int
    both_bad: int
    questions_first: int
    questions_second: int
    questions_equal: int
    questions_unvoted: int
    probability: float
    questions: list[BlindQuestion]
    voters: list[BlindVoter]


@dataclass(frozen=True)
class BlindPairView:
    """What is judged next, and how many are left with it."""

    item_id: str
    question: str
    left: str
    right: str
    left_to_judge: int


class EvaluationClient:
    """Calls for one person; `headers` say who it is, as in `llm_service.learning_client`. Raises `ServiceError`."""

    def __init__(self, service: LlmServiceClient, headers: Mapping[str, str]) -> None:
        self._service = service
        self._headers = headers

    async def evaluations(self, run_id: str | None = None, adapter: str | None = None) -> list[EvaluationView]:
        """The newest first."""
        query = {name: value for name, value in (("run_id", run_id), ("adapter", adapter)) if value}
        return [EvaluationView(**one) for one in (await self._call("GET", "/evaluations", query=query))["evaluations"]]

    async def evaluation(self, evaluation_id: str) -> EvaluationDetails:
        found = await self._call("GET", f"/evaluations/{evaluation_id}")
        return EvaluationDetails(**{**found, "evaluation": EvaluationView(**found["evaluation"])})

    async def items(
        self,
        evaluation_id: str,
        of: str,
        against: str,
        *,
        worse_only: bool = False,
        tag: str = "",
        offset: int = 0,
        limit: int = 50,
    ) -> ComparedItems:
        """Question by question; reading them is an audit row."""
        query = {"of": of, "against": against, "worse_only": worse_only, "offset": offset, "limit": limit}
        found = await self._call(
            "GET", f"/evaluations/{evaluation_id}/items", query={**query, **({"tag": tag} if tag else {})}
        )
        return ComparedItems(**{**found, "items": [_compared(one) for one in found["items"]]})

    async def request_evaluation(self, adapter: str | None) -> EvaluationView:
        """Ask for an evaluation of a registered adapter on the frozen set; a worker does it."""
        return EvaluationView(**await self._call("POST", "/evaluations", {"adapter": adapter}))

    async def request_blind(self, evaluation_id: str, first: str, second: str) -> BlindView:
        """Lay two subjects of an evaluation side by side."""
        body = {"evaluation_id": evaluation_id, "first": first, "second": second}
        return BlindView(**await self._call("POST", "/blind", body))

    async def blind_comparisons(self) -> list[BlindView]:
        """The newest first."""
        return [BlindView(**one) for one in (await self._call("GET", "/blind"))["comparisons"]]

    async def blind(self, comparison_id: str) -> BlindView:
        return BlindView(**await self._call("GET", f"/blind/{comparison_id}"))

    async def blind_result(self, comparison_id: str) -> BlindResult:
        """`ServiceError` 409 (blind_comparison_open) before it is closed."""
        found = await self._call("GET", f"/blind/{comparison_id}/result")
        questions = [BlindQuestion(**one) for one in found["questions"]]
        return BlindResult(
            **{**found, "questions": questions, "voters": [BlindVoter(**one) for one in found["voters"]]}
        )

    async def next_pair(self, comparison_id: str) -> BlindPairView | None:
        """What this person is to judge next; None when there is nothing left."""
        found = await self._call("GET", f"/blind/{comparison_id}/next")
        return BlindPairView(**found["pair"]) if found["pair"] else None

    async def vote(self, comparison_id: str, item_id: str, vote: str) -> None:
        """Judge one question, once and for good."""
        await self._call("POST", f"/blind/{comparison_id}/votes", {"item_id": item_id, "vote": vote})

    async def close_blind(self, comparison_id: str) -> BlindView:
        """End the voting; from now on the result can be seen."""
        return BlindView(**await self._call("POST", f"/blind/{comparison_id}/close", {}))

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        sent = dict(body) if body is not None else None
        return await self._service.call_as(method, f"/v1{path}", sent, self._headers, query)


def _compared(told: Mapping[str, Any]) -> ComparedItem:
    subjects = {name: SubjectAnswer(**one) for name, one in told["subjects"].items()}
    return ComparedItem(**{**told, "subjects": subjects})
