"""Pages that need something to show: a turn of a conversation, an adapter on its way, a document's edition."""

import re

import pytest
from sqlalchemy.orm import Session

from llm_service.masked import MaskedText
from llm_service.store import adapter_rollout, adapters, audit
from llm_service.store.models import Conversation, Turn
from tests.admin.platform import Platform, corrected, platform_key, trained


@pytest.fixture(scope="module")
def adapter(platform: Platform) -> str:
    """A version that the trainer trained and a pipeline registered."""

    def register(session: Session) -> str:
        new = adapters.NewAdapter(
            family="bank-qa",
            sha256="b" * 64,
            files={"adapter_model.safetensors": {"sha256": "c" * 64, "bytes": 3}},
            location="volume:bank-qa",
            base_model="tiny-mistral",
            base_revision="1",
            lora_rank=32,
            target_modules=["q_proj", "v_proj"],
            dataset_version="bank-qa-v1",
            recipe={"epochs": 3},
            evaluation_id="e1",
            evaluation={"exact_match": 0.83},
            training_run_id="r1",
            trained_by=platform_key(platform, "trainer"),
            probes=[],
        )
        return adapters.register(session, new, platform_key(platform, "trainer")).name

    return platform.work(register)


def test_an_adapter_is_proposed_by_one_and_approved_by_another(platform: Platform, adapter: str) -> None:
    with platform.logged_in("trainer") as trainer, platform.logged_in("approver") as approver:
        shown = trainer.get(f"/adapters/{adapter}")
        assert "0.83" in shown.text
        assert "trainer 님" in shown.text
        assert trainer.post(f"/adapters/{adapter}/propose", data={"csrf": "csrf-of-trainer"}).status_code == 303
        waiting = approver.get(f"/adapters/{adapter}").text
        assert "승인 대기" in waiting
        proposal_id = waiting.partition('name="proposal_id" value="')[2][:32]
        form = {"csrf": "csrf-of-approver", "proposal_id": proposal_id}
        assert approver.post(f"/adapters/{adapter}/approve", data=form).status_code == 303
        assert "approver 님 승인" in trainer.get(f"/adapters/{adapter}").text
        assert adapter in trainer.get("/adapters").text


def test_a_promotion_says_why_it_is_wanted(platform: Platform, adapter: str) -> None:
    key, other = platform_key(platform, "trainer"), platform_key(platform, "approver")

    def prepare(session: Session) -> None:
        proposal = adapters.propose(session, adapter, key)
        adapters.approve(session, proposal.id, other)
        begun = adapter_rollout.start_promotion(session, adapter, "canary", 0.05, other, "rules_changed")
        lock = adapter_rollout.take_lock(session, "test", 5)
        assert lock is not None
        adapter_rollout.fail_promotion(session, begun.id, lock, "load_timeout", {})
        adapter_rollout.release_lock(session, lock)

    platform.work(prepare)
    with platform.logged_in("approver") as approver:
        form = {"csrf": "csrf-of-approver", "target": "active", "purpose": "because"}
        refused = approver.post(f"/adapters/{adapter}/promote", data=form)
        nowhere = approver.post(f"/adapters/{adapter}/promote", data=form | {"purpose": "trial"})
        listed = approver.get("/adapters").text
    assert (refused.status_code, "invalid_request" in refused.text) == (422, True)
    assert (nowhere.status_code, "no_model_servers" in nowhere.text) == (409, True)
    assert "법령이나 내규 변경" in listed
    (row,) = platform.work(lambda session: audit.events(session, "adapter.promotion_started", None, 1))
    assert row.details["purpose"] == "rules_changed"


def test_rolling_back_where_nothing_serves_says_so(platform: Platform) -> None:
    with platform.logged_in("admin") as admin:
        form = {"csrf": "csrf-of-admin", "target": "active", "reason": "precaution"}
        refused = admin.post("/adapters/rollback", data=form)
    assert (refused.status_code, "nothing_to_roll_back" in refused.text) == (409, True)


def test_a_turn_is_shown_masked_and_that_it_was_read_is_audited(platform: Platform) -> None:
    def ask(session: Session) -> str:
        conversation = Conversation(
            channel="web", thread_key="t" * 64, user_key="u" * 64, audience="customer", locale="ko"
        )
        turn = Turn(
            conversation=conversation,
            event_id="1",
            position=1,
            question=MaskedText("제 번호 <PHONE_1>로 알려 주세요"),
            answer=MaskedText("영업점에 문의해 주세요."),
            state="replied",
        )
        session.add(turn)
        session.flush()
        return turn.id

    turn_id = platform.work(ask)
    with platform.logged_in("agent") as agent:
        assert agent.get(f"/conversations?turn={turn_id}").headers["location"] == f"/turns/{turn_id}"
        shown = agent.get(f"/turns/{turn_id}")
    assert shown.status_code == 200
    assert "제 번호 &lt;PHONE_1&gt;로 알려 주세요" in shown.text
    (row,) = platform.work(lambda session: audit.events(session, "conversation.read", None, 1))
    assert row.subject_id == turn_id


def test_one_persons_rows_are_found_under_both_their_names(platform: Platform) -> None:
    item_id = corrected(platform)
    with platform.logged_in("approver2") as other:
        other.get(f"/reviews/{item_id}")
    account_id = platform.accounts["approver2"]

    def rows(shown: str) -> list[str]:
        return re.findall(r'class="mono keep">([a-z_]+\.[a-z_]+)</td>', shown)

    with platform.logged_in("auditor") as auditor:
        newest = auditor.get(f"/audit?account={account_id}").text
        assert rows(newest)[:2] == ["review.read", "login.succeeded"]
        assert rows(auditor.get(f"/audit?account={account_id}&action=login.succeeded").text)[0] == "login.succeeded"
        assert "review.read" not in rows(auditor.get(f"/audit?account={platform.accounts['auditor']}").text)
        assert auditor.get("/audit?account=approver2").status_code == 422
    (own,) = platform.work(lambda session: audit.events(session, "review.read", None, 1))
    actors = [account_id, own.actor]
    found = platform.work(lambda session: audit.events(session, None, None, 3, actors))
    behind = platform.work(lambda session: audit.events(session, None, found[0].id, 2, actors))
    assert [event.id for event in behind] == [event.id for event in found[1:]]


def test_the_chain_of_the_audit_is_verified_from_the_page(platform: Platform) -> None:
    with platform.logged_in("auditor") as auditor:
        shown = auditor.post("/audit/verify", data={"csrf": "csrf-of-auditor"})
        exported = auditor.get("/audit/export?format=csv").text.splitlines()
    assert "온전합니다" in shown.text
    assert exported[0] == "position,at,actor,action,subject_kind,subject_id,details,sha256"
    assert len(exported) > 10


def test_a_training_is_followed_from_the_step_a_reader_has(platform: Platform) -> None:
    path = f"/runs/{trained(platform)}/events"
    steps: list[int] = []
    with (
        platform.logged_in("trainer") as trainer,
        trainer.stream("GET", path, headers={"Last-Event-ID": "30"}) as events,
    ):
        assert events.headers["content-type"].startswith("text/event-stream")
        for line in events.iter_lines():
            if line.startswith("id: "):
                steps.append(int(line.removeprefix("id: ")))
            elif line == "event: progress":
                break
    assert steps == list(range(31, 41))
