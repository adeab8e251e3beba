"""Whatever random people in random roles ask of the real service: two different people stand behind everything learnt.

The services and their databases are real; only the replicas that would carry an adapter are said to be there.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llm_service.adapters.fleet import Fleet, Lack
from llm_service.client import PERSON_HEADER, ROLES_HEADER
from llm_service.store import adapter_rollout, adapters, datasets, training
from llm_service.store.adapter_models import Adapter, AdapterAlias, AdapterApproval, AdapterLock, AdapterPromotion
from llm_service.store.identities import Identities
from llm_service.store.learning_models import ReviewItem
from llm_service.store.models import AuditEvent, now
from tests.admin.platform import Platform, corrected
from tests.conftest import IDENTITY_KEY, SERVICE_TOKEN

PEOPLE = ("kim", "lee", "park", "choi", "jung")
ROLES = ("reviewer", "approver", "trainer", "admin")
EXAMPLES = 12
STEPS = 40
REFUSED = {403, 404, 409, 422}
somebody = st.sampled_from(PEOPLE)
anything = st.integers(0, 3)
"""One of the newest things of a kind."""


def key_of(person: str) -> str:
    return Identities(IDENTITY_KEY.encode()).user_key("console", person)


class People(RuleBasedStateMachine):
    """Asks llm_service as the console does; what was allowed is held against the rules, and the records as well."""

    platform: ClassVar[Platform]

    def __init__(self) -> None:
        super().__init__()
        self.http = httpx.Client(
            base_url=self.platform.settings.llm_service_url,
            headers={"Authorization": f"Bearer {SERVICE_TOKEN}"},
            trust_env=False,
            timeout=60,
        )
        self.roles: Mapping[str, frozenset[str]] = {}
        self.items: list[str] = []
        self.adapters: list[str] = []
        self.proposals: list[tuple[str, str]] = []
        self.platform.work(_nothing_serves)

    def teardown(self) -> None:
        self.http.close()
        self.platform.work(_nothing_serves)

    @initialize(roles=st.fixed_dictionaries({person: st.sets(st.sampled_from(ROLES), min_size=1) for person in PEOPLE}))
    def are_given_roles(self, roles: dict[str, set[str]]) -> None:
        self.roles = {person: frozenset(held) for person, held in roles.items()}

    @initialize()
    def have_an_example(self) -> None:
        self.items.append(corrected(self.platform))

    @rule(person=somebody)
    def draft(self, person: str) -> None:
        text = secrets.token_hex(6)
        draft = {"kind": "curated", "question": f"질문 {text}", "answer": "답", "group": text, "licence": "bank"}
        told = self.ask(person, "/v1/review/drafts", {"reviewer", "trainer"}, drafts=[draft])
        self.items += told["ids"] if told else []

    @rule(person=somebody, which=anything, late=st.booleans())
    def propose(self, person: str, which: int, late: bool) -> None:
        found = self.item(which)
        words = {"question": "질문", "answer": "고친 답", "rubric": "partial"}
        told = self.ask(person, f"{_path(found)}/propose", {"reviewer", "approver"}, **_version(found, late), **words)
        assert not (told and late)

    @rule(person=somebody, which=anything, late=st.booleans())
    def approve(self, person: str, which: int, late: bool) -> None:
        found = self.item(which)
        told = self.ask(person, f"{_path(found)}/approve", {"approver"}, **_version(found, late), rubric="partial")
        if told:
            assert not late
            assert key_of(person) not in (found.proposed_by, found.first_approver)

    @rule(person=somebody, which=anything)
    def reject(self, person: str, which: int) -> None:
        found = self.item(which)
        form = {**_version(found), "reason": "outdated"}
        self.ask(person, f"{_path(found)}/reject", {"reviewer", "approver"}, **form)

    @rule(person=somebody, which=anything)
    def reopen(self, person: str, which: int) -> None:
        found = self.item(which)
        self.ask(person, f"{_path(found)}/reopen", {"approver"}, **_version(found), reason="law_changed")

    @rule(person=somebody)
    def take(self, person: str) -> None:
        told = self.ask(person, "/v1/review/next", {"reviewer", "approver"})
        if told and told["item"]:
            assert key_of(person) not in (told["item"]["proposed_by"], told["item"]["first_approver"])

    @rule(person=somebody, registrar=somebody)
    def train(self, person: str, registrar: str) -> None:
        dataset = self.platform.work(_ready_dataset)
        form = {"dataset": dataset, "recipe": "tiny-cpu", "base": "tiny"}
        if told := self.ask(person, "/v1/training/runs", {"trainer"}, **form):
            self.adapters.append(self.platform.work(lambda session: _trained(session, told["id"], registrar)))

    @rule(person=somebody, which=anything)
    def propose_adapter(self, person: str, which: int) -> None:
        if self.adapters:
            name = self.adapters[-1 - which % len(self.adapters)]
            told = self.ask(person, f"/v1/adapters/{name}/propose", {"trainer", "reviewer", "approver"})
            self.proposals += [(name, told["proposal_id"])] if told else []

    @rule(person=somebody, which=anything)
    def approve_adapter(self, person: str, which: int) -> None:
        if self.proposals:
            name, proposal_id = self.proposals[-1 - which % len(self.proposals)]
            self.ask(person, f"/v1/adapters/{name}/approve", {"approver"}, proposal_id=proposal_id)

    @rule(person=somebody, which=anything, alias=st.sampled_from(["active", "canary"]))
    def promote(self, person: str, which: int, alias: str) -> None:
        if not self.adapters:
            return
        name = self.adapters[-1 - which % len(self.adapters)]
        form = {"target": alias, "share": 0.1 if alias == "canary" else None}
        version = self.platform.work(lambda session: adapters.adapter_named(session, name))
        if self.ask(person, f"/v1/adapters/{name}/promote", {"approver", "admin"}, **form):
            assert key_of(person) != version.trained_by

    @rule(person=somebody, share=st.sampled_from([0.2, 1.0]))
    def give_the_canary_more(self, person: str, share: float) -> None:
        canary = self.platform.work(adapter_rollout.aliases).canary
        if self.ask(person, "/v1/adapters/canary-share", {"approver", "admin"}, share=share) and canary:
            trained_by = self.platform.work(lambda session: adapters.adapter_named(session, canary).trained_by)
            assert key_of(person) != trained_by

    @rule(person=somebody, alias=st.sampled_from(["active", "canary"]))
    def roll_back(self, person: str, alias: str) -> None:
        self.ask(person, "/v1/adapters/rollback", {"trainer", "approver", "admin"}, target=alias, reason="operator")

    @rule()
    def every_replica_has_loaded(self) -> None:
        self.platform.work(_flip)

    @invariant()
    def two_others_approved_what_is_approved(self) -> None:
        found = self.platform.work(lambda session: _of(session, self.items))
        approvers = {key_of(person) for person, held in self.roles.items() if "approver" in held}
        for item in found:
            people = [item.proposed_by, item.first_approver, item.second_approver]
            known = [person for person in people if person is not None]
            assert len(set(known)) == len(known)
            if item.state == "approved":
                assert len(known) == 3
                assert {item.first_approver, item.second_approver} <= approvers
            assert self.platform.work(partial(_approvers_in_audit, item_id=item.id)) >= set(known[1:])

    @invariant()
    def nobody_brought_their_own_work_to_people(self) -> None:
        for started_by, approver, makers in self.platform.work(_promotions):
            assert started_by != makers[0]
            assert approver not in makers

    def item(self, which: int) -> ReviewItem:
        return self.platform.item(self.items[-1 - which % len(self.items)])

    def ask(self, person: str, path: str, allowed: set[str], **body: Any) -> dict[str, Any] | None:
        """What the service answers; None where it refuses, as it must whoever lacks a role."""
        held = self.roles[person]
        headers = {PERSON_HEADER: person, ROLES_HEADER: ",".join(sorted(held))}
        reply = self.http.post(path, json=body, headers=headers)
        if reply.is_success:
            assert held & allowed
            return dict(reply.json())
        assert reply.status_code in REFUSED, reply.text
        return None


def _path(item: ReviewItem) -> str:
    return f"/v1/review/items/{item.id}"


def _version(item: ReviewItem, late: bool = False) -> dict[str, int]:
    return {"version": item.version - 1 if late else item.version}


def _nothing_serves(session: Session) -> None:
    for kind in (AdapterAlias, AdapterPromotion):
        session.execute(delete(kind))


def _ready_dataset(session: Session) -> str:
    version = datasets.request(session, "nobody", {})
    datasets.freeze(session, version.id, datasets.Frozen("a" * 64, {"rows": 0, "kinds": {}}, []))
    return version.name


def _trained(session: Session, run_id: str, registrar: str) -> str:
    """The version that a finished training left behind, registered by somebody."""
    run, sha256 = training.run(session, run_id), secrets.token_hex(32)
    run.state, run.stage, run.ended_at = "succeeded", "succeeded", now()
    new = adapters.NewAdapter(
        family="four-eyes",
        sha256=sha256,
        files={},
        location=f"volume:{sha256}",
        base_model="tiny",
        base_revision="1",
        lora_rank=8,
        target_modules=["q_proj"],
        dataset_version="d1",
        recipe={},
        evaluation_id="e1",
        evaluation={},
        training_run_id=run_id,
        trained_by=run.requested_by,
        probes=[],
    )
    return adapters.register(session, new, key_of(registrar)).name


def _flip(session: Session) -> None:
    running = adapter_rollout.running_promotion(session)
    if running is None:
        return
    held = session.get(AdapterLock, 1)
    if held is not None:
        held.expires_at = now() - timedelta(seconds=1)
        session.flush()
    lock = adapter_rollout.take_lock(session, "test", 10)
    assert lock is not None
    adapter_rollout.flip(session, running.id, lock)
    adapter_rollout.release_lock(session, lock)


def _of(session: Session, item_ids: list[str]) -> list[ReviewItem]:
    return list(session.scalars(select(ReviewItem).where(ReviewItem.id.in_(item_ids))))


def _approvers_in_audit(session: Session, item_id: str) -> set[str]:
    approvals = AuditEvent.action.in_(("review.first_approved", "review.approved"))
    return set(session.scalars(select(AuditEvent.actor).where(AuditEvent.subject_id == item_id, approvals)))


def _promotions(session: Session) -> list[tuple[str, str, tuple[str, ...]]]:
    """Of every promotion: who started it, who had approved it, and who trained and registered the version."""
    rows = session.execute(
        select(AdapterPromotion.started_by, AdapterApproval.approver, Adapter.trained_by, Adapter.registered_by)
        .join(AdapterApproval, AdapterApproval.id == AdapterPromotion.approval_id)
        .join(Adapter, Adapter.name == AdapterPromotion.adapter)
    )
    return [(row[0], row[1], (row[2], row[3])) for row in rows]


@pytest.fixture
def replicas_that_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every promotion waits for a replica, until a step of the test says that it has loaded."""
    monkeypatch.setattr(Fleet, "is_empty", property(lambda _fleet: False))
    monkeypatch.setattr(Fleet, "lacking", lambda _fleet, _adapter: {"replica": Lack("loading", 0, is_final=False)})


@pytest.mark.usefixtures("replicas_that_load")
def test_whoever_does_whatever_two_people_stand_behind_what_is_learnt_and_served(platform: Platform) -> None:
    machine = type("PeopleHere", (People,), {"platform": platform})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


async def answered_at_once(platform: Platform, path: str, body: dict[str, Any], people: Sequence[str]) -> list[Any]:
    """What several approvers are answered who ask the same at the same moment."""
    async with httpx.AsyncClient(
        base_url=platform.settings.llm_service_url,
        headers={"Authorization": f"Bearer {SERVICE_TOKEN}"},
        trust_env=False,
        timeout=60,
    ) as client:
        headers = [{PERSON_HEADER: person, ROLES_HEADER: "approver"} for person in people]
        return list(await asyncio.gather(*(client.post(path, json=body, headers=named) for named in headers)))


async def test_of_many_approvals_at_the_same_moment_two_people_count_and_the_others_are_conflicts(
    platform: Platform,
) -> None:
    for _ in range(5):
        item_id = corrected(platform)
        path = f"/v1/review/items/{item_id}/approve"
        first = await answered_at_once(platform, path, {"version": 2}, PEOPLE[:2])
        assert sorted(reply.status_code for reply in first) == [200, 409]
        second = await answered_at_once(platform, path, {"version": 3}, PEOPLE[2:])
        assert sorted(reply.status_code for reply in second) == [200, 409, 409]
        found = platform.item(item_id)
        assert (found.state, found.version) == ("approved", 4)


async def test_however_many_ask_for_the_next_example_no_two_are_handed_the_same(platform: Platform) -> None:
    platform.add_items(len(PEOPLE) + 2, f"동시에 {secrets.token_hex(4)}")
    for _ in range(5):
        replies = await answered_at_once(platform, "/v1/review/next", {}, PEOPLE)
        assert len({reply.json()["item"]["id"] for reply in replies}) == len(PEOPLE)
