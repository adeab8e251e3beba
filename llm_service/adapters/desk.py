"""What people ask of adapters: what there is, who serves, and the steps from registered to rolled back.

People are keyed hashes already; who may do what is decided at the edge and by the database.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from anyio import to_thread
from sqlalchemy.orm import Session

from llm_service.adapter_client import (
    AdapterDetails,
    AdapterStatus,
    AdapterView,
    ComparisonView,
    PromotionView,
    ProposalView,
    ReplicaStatus,
    Target,
)
from llm_service.adapters.fleet import Fleet
from llm_service.adapters.locations import Location
from llm_service.adapters.promotion import Promotions
from llm_service.adapters.registry import Origin, Registry, probe_from
from llm_service.adapters.routing import AdapterRouter
from llm_service.adapters.watch import Rule
from llm_service.errors import Conflict, HaechiError, InvalidInput
from llm_service.store import adapter_rollout, adapter_turns, adapters, audit, training
from llm_service.store.adapter_models import Adapter, AdapterApproval, AdapterPromotion, AdapterProposal, AdapterState
from llm_service.store.adapter_rollout import Aliases
from llm_service.store.adapters import RecordedProbe
from llm_service.store.transactions import Transactions

PROBES_FILE: Final = "probes.json"
MAXIMUM_PROBES_BYTES: Final = 1_000_000
RECENT_PROMOTIONS: Final = 5

Fetch = Callable[[Location, Path], None]
"""Writes the files of a location into an empty directory; `stores.fetch` with its settings."""


@dataclass(frozen=True)
class Submission:
    """A directory below `incoming`, and where it comes from. `trained_by` counts only for a run that is not ours.

    With `source`, an s3:// or oci:// location, the directory is one that does not exist yet.
    """

    directory: str
    family: str
    base_model: str
    base_revision: str
    dataset_version: str
    training_run_id: str
    trained_by: str
    evaluation_id: str = ""
    evaluation: Mapping[str, Any] | None = None
    recipe: Mapping[str, Any] | None = None
    source: str = ""


class AdapterDesk:
    """Answers people. `wake` has the keeper look at once, so that nobody waits for its next round."""

    def __init__(
        self,
        transactions: Transactions,
        registry: Registry,
        fleet: Fleet,
        router: AdapterRouter,
        promotions: Promotions,
        rule: Rule,
        incoming: Path,
        wake: Callable[[], None],
        fetched: Fetch | None = None,
    ) -> None:
        self._fetched = fetched
        self._transactions = transactions
        self._registry = registry
        self._fleet = fleet
        self._router = router
        self._promotions = promotions
        self._rule = rule
        self._incoming = incoming
        self._wake = wake

    async def register(self, submission: Submission, person: str) -> str:
        """Take a directory in; returns the version's name. Raises as `Registry.register` and `stores.fetch`."""
        directory = self._incoming / submission.directory
        if not submission.source:
            return await self._taken_in(directory, submission, person)
        if self._fetched is None:
            raise InvalidInput("adapter_location_refused", "this process fetches nothing; copy the files to the volume")
        location = Location.parse(submission.source)
        try:
            await to_thread.run_sync(partial(directory.mkdir, parents=True))
            await to_thread.run_sync(self._fetched, location, directory)
            return await self._taken_in(directory, submission, person)
        finally:
            await to_thread.run_sync(partial(shutil.rmtree, directory, ignore_errors=True))

    async def _taken_in(self, directory: Path, submission: Submission, person: str) -> str:
        probes = await to_thread.run_sync(_probes_in, directory)
        trained_by = await self._transactions.read(
            partial(_trained_by, run_id=submission.training_run_id, otherwise=submission.trained_by)
        )
        told = {name: value for name, value in vars(submission).items() if name not in {"directory", "source"}}
        return await self._registry.register(directory, Origin(**{**told, "trained_by": trained_by}), probes, person)

    async def listed(self) -> list[AdapterView]:
        return await self._transactions.read(_listed)

    async def details(self, name: str) -> AdapterDetails:
        """Raises `NotFound` (adapter_not_found)."""
        return await self._transactions.read(partial(_details, name=name))

    async def status(self) -> AdapterStatus:
        status = await self._transactions.read(partial(_status, rule=self._rule))
        replicas = [ReplicaStatus(**{**vars(view), "carries": list(view.carries)}) for view in self._fleet.views()]
        return AdapterStatus(**{**vars(status), "replicas": replicas})

    async def propose(self, name: str, person: str) -> str:
        """Raises as `store.adapters.propose`."""
        proposal = await self._transactions.run(partial(adapters.propose, name=name, proposer=person))
        return proposal.id

    async def approve(self, name: str, proposal_id: str, person: str) -> str:
        """Raises as `store.adapters.approve`, and `Conflict` (proposal_of_another_adapter)."""
        return await self._transactions.run(partial(_approve, name=name, proposal_id=proposal_id, person=person))

    async def promote(
        self, name: str, target: Target, share: float | None, person: str, purpose: str | None = None
    ) -> str:
        """Raises as `Promotions.start`, and `InvalidInput` (canary_share_missing)."""
        if (target == "canary") != (share is not None):
            raise InvalidInput("canary_share_missing", "a canary needs a share, an active version has none")
        promotion_id = await self._promotions.start(name, target, share, person, purpose)
        self._wake()
        return promotion_id

    async def reject(self, name: str, reason: str, person: str) -> None:
        """Raises `NotFound` (adapter_not_found) and `Conflict` (adapter_in_use)."""
        await self._transactions.run(partial(_reject, name=name, reason=reason, person=person))

    async def set_share(self, share: float, person: str) -> AdapterStatus:
        """Raises `Conflict` (no_canary)."""
        await self._transactions.run(partial(adapter_rollout.set_share, share=share, by=person))
        self._router.forget()
        return await self.status()

    async def roll_back(self, target: Target, reason: str, person: str) -> AdapterStatus:
        """Raises `Conflict` (nothing_to_roll_back)."""
        await self._transactions.run(partial(adapter_rollout.roll_back, target=target, by=person, reason=reason))
        self._router.forget()
        self._wake()
        return await self.status()


def _probes_in(directory: Path) -> list[RecordedProbe]:
    path = directory / PROBES_FILE
    try:
        if path.is_symlink() or path.stat().st_size > MAXIMUM_PROBES_BYTES:
            raise InvalidInput("adapter_probe_refused", f"{PROBES_FILE} is a link, or too large")
        return [probe_from(fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        raise InvalidInput(
            "adapter_probe_missing", f"the directory has no {PROBES_FILE}, which the evaluation writes"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise InvalidInput("adapter_probe_refused", f"{PROBES_FILE} is no list of probes") from None


def _trained_by(session: Session, run_id: str, otherwise: str) -> str:
    """Who asked for the training, from its row; a run that the platform does not know was made by who is named."""
    try:
        return training.run(session, run_id).requested_by
    except HaechiError:
        return otherwise


def _listed(session: Session) -> list[AdapterView]:
    serving = adapter_rollout.aliases(session)
    return [_view(version, state, serving) for version, state in adapters.all_adapters(session)]


def _details(session: Session, name: str) -> AdapterDetails:
    version = adapters.adapter_named(session, name)
    view = _view(version, adapters.state_of(session, name), adapter_rollout.aliases(session))
    return AdapterDetails(
        adapter=view,
        location=version.location,
        files=version.files,
        recipe=version.recipe,
        evaluation=version.evaluation,
        probes=len(adapters.probes_of(session, name)),
        proposals=[_proposal(*pair) for pair in adapters.proposals_of(session, name)],
    )


def _status(session: Session, rule: Rule) -> AdapterStatus:
    serving = adapter_rollout.aliases(session)
    looked = adapter_turns.comparisons_of(session, [name for name in (serving.canary, serving.active) if name])
    fields = [name for name in ComparisonView.__dataclass_fields__ if name != "looked_at"]
    return AdapterStatus(
        active=serving.active,
        previous=serving.previous,
        can_roll_back=serving.has_previous,
        canary=serving.canary,
        share=serving.share,
        rule=asdict(rule),
        promotions=[_promotion(row) for row in adapter_rollout.recent_promotions(session, RECENT_PROMOTIONS)],
        replicas=[],
        comparisons=[
            ComparisonView(**{name: getattr(row, name) for name in fields}, looked_at=row.looked_at.isoformat())
            for row in looked
        ],
    )


def _approve(session: Session, name: str, proposal_id: str, person: str) -> str:
    approval = adapters.approve(session, proposal_id, person)
    if approval.adapter != name:
        raise Conflict("proposal_of_another_adapter", "the proposal is for another version; see `haechi adapters show`")
    return approval.id


def _reject(session: Session, name: str, reason: str, person: str) -> None:
    adapters.adapter_named(session, name)
    running = adapter_rollout.running_promotion(session)
    if name in adapter_rollout.aliases(session).names or (running is not None and running.adapter == name):
        raise Conflict("adapter_in_use", "the version serves, or may be rolled back to; roll back or replace it first")
    adapters.set_state(session, name, "rejected", reason, person)
    audit.record(session, person, "adapter.rejected", "adapter", name, {"reason": reason})


def _view(version: Adapter, state: AdapterState, serving: Aliases) -> AdapterView:
    fields = set(AdapterView.__dataclass_fields__) - {"state", "state_reason", "aliases", "created_at"}
    held = {"active": serving.active, "previous": serving.previous, "canary": serving.canary}
    return AdapterView(
        **{name: getattr(version, name) for name in fields},
        state=state.state,
        state_reason=state.reason,
        aliases=[alias for alias, name in held.items() if name == version.name],
        created_at=version.created_at.isoformat(),
    )


def _proposal(proposal: AdapterProposal, approval: AdapterApproval | None) -> ProposalView:
    return ProposalView(
        id=proposal.id,
        proposer=proposal.proposer,
        created_at=proposal.created_at.isoformat(),
        approver=approval.approver if approval else None,
        approved_at=approval.created_at.isoformat() if approval else None,
    )


def _promotion(row: AdapterPromotion) -> PromotionView:
    return PromotionView(
        id=row.id,
        adapter=row.adapter,
        target=row.target,
        share=row.share,
        state=row.state,
        purpose=row.purpose,
        reason=row.reason,
        lacking=dict(row.details.get("lacking", {})),
        started_by=row.started_by,
        created_at=row.created_at.isoformat(),
        serving_at=row.serving_at.isoformat() if row.serving_at else None,
        ended_at=row.ended_at.isoformat() if row.ended_at else None,
    )
