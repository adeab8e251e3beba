"""The way in to adapters for what is outside llm_service: the shapes that travel, and the calls.

Every call acts for a person with roles, who are named beside the service token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llm_service.client import LlmServiceClient

Target = Literal["active", "canary"]


@dataclass(frozen=True)
class ProposalView:
    """Who asked for a version, and who agreed. People are keyed hashes, times UTC in ISO 8601."""

    id: str
    proposer: str
    created_at: str
    approver: str | None
    approved_at: str | None


@dataclass(frozen=True)
class AdapterView:
    """One version. `aliases` are those it has now; `state` is candidate, rejected or retired."""

    name: str
    family: str
    number: int
    sha256: str
    state: str
    state_reason: str
    aliases: list[str]
    base_model: str
    base_revision: str
    lora_rank: int
    target_modules: list[str]
    dataset_version: str
    training_run_id: str
    evaluation_id: str
    trained_by: str
    registered_by: str
    created_at: str


@dataclass(frozen=True)
class AdapterDetails:
    """A version with everything that is known of it: files by hash, recipe, evaluation's figures, proposals."""

    adapter: AdapterView
    location: str
    files: dict[str, Any]
    recipe: dict[str, Any]
    evaluation: dict[str, Any]
    probes: int
    proposals: list[ProposalView]


@dataclass(frozen=True)
class PromotionView:
    """One attempt to bring a version into service. `lacking` says which replica lacks it, and why.

    `purpose` is why whoever started it wanted it, `reason` why it ended; both are codes.
    """

    id: str
    adapter: str
    target: str
    share: float | None
    state: str
    purpose: str | None
    reason: str
    lacking: dict[str, str]
    started_by: str
    created_at: str
    serving_at: str | None
    ended_at: str | None


@dataclass(frozen=True)
class ReplicaStatus:
    """One model server as it was seen last: what it was proved to carry, what it lacks and why."""

    address: str
    dialect: str
    is_ready: bool
    carries: list[str]
    lacks: dict[str, str]


@dataclass(frozen=True)
class ComparisonView:
    """The last look of the watch at one measure; `lower` to `upper` is the interval of the difference."""

    adapter: str
    against: str
    measure: str
    events: int
    turns: int
    events_against: int
    turns_against: int
    lower: float
    upper: float
    verdict: str
    looked_at: str


@dataclass(frozen=True)
class AdapterStatus:
    """Who serves, on which replicas, what is under way, and how the watch sees it. No name is the base model."""

    active: str | None
    previous: str | None
    can_roll_back: bool
    canary: str | None
    share: float
    rule: dict[str, float]
    promotions: list[PromotionView]
    replicas: list[ReplicaStatus]
    comparisons: list[ComparisonView]


class AdapterClient:
    """Calls for one person; `headers` say who it is, as in `llm_service.learning_client`. Raises `ServiceError`."""

    def __init__(self, service: LlmServiceClient, headers: Mapping[str, str]) -> None:
        self._service = service
        self._headers = headers

    async def adapters(self) -> list[AdapterView]:
        """Every version, the newest first."""
        return [AdapterView(**one) for one in (await self._call("GET", ""))["adapters"]]

    async def adapter(self, name: str) -> AdapterDetails:
        found = await self._call("GET", f"/{name}")
        proposals = [ProposalView(**one) for one in found["proposals"]]
        return AdapterDetails(**{**found, "adapter": AdapterView(**found["adapter"]), "proposals": proposals})

    async def status(self) -> AdapterStatus:
        return _status(await self._call("GET", "/status"))

    async def register(self, body: Mapping[str, Any]) -> str:
        """Take a directory of the volume's `incoming` in; returns the version's name."""
        return str((await self._call("POST", "", body))["name"])

    async def propose(self, name: str) -> str:
        """Ask for a version to be promoted; returns the proposal's id."""
        return str((await self._call("POST", f"/{name}/propose"))["proposal_id"])

    async def approve(self, name: str, proposal_id: str) -> str:
        """Agree to somebody else's proposal; returns the approval's id."""
        return str((await self._call("POST", f"/{name}/approve", {"proposal_id": proposal_id}))["approval_id"])

    async def promote(
        self, name: str, target: Target = "active", share: float | None = None, purpose: str | None = None
    ) -> str:
        """Begin to bring an approved version into service; `status` tells how far it is. `purpose` is a code."""
        body = {"target": target, "share": share, "purpose": purpose}
        return str((await self._call("POST", f"/{name}/promote", body))["promotion_id"])

    async def reject(self, name: str, reason: str) -> None:
        """A version that serves nowhere will never serve; `reason` is a code."""
        await self._call("POST", f"/{name}/reject", {"reason": reason})

    async def set_share(self, share: float) -> AdapterStatus:
        """Give the canary another share of the conversations."""
        return _status(await self._call("POST", "/canary-share", {"share": share}))

    async def roll_back(self, target: Target, reason: str) -> AdapterStatus:
        """Let the previous version be active again, or take the canary out."""
        return _status(await self._call("POST", "/rollback", {"target": target, "reason": reason}))

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        sent = dict(body or {}) if method == "POST" else None
        return await self._service.call_as(method, f"/v1/adapters{path}", sent, self._headers)


def _status(found: Mapping[str, Any]) -> AdapterStatus:
    shapes: Sequence[tuple[str, Any]] = (
        ("promotions", PromotionView),
        ("replicas", ReplicaStatus),
        ("comparisons", ComparisonView),
    )
    return AdapterStatus(**{**found, **{field: [shape(**one) for one in found[field]] for field, shape in shapes}})
