"""Review over HTTP: a correction travels from a thumb down to an approved example, through four people."""

import asyncio
from typing import Any

import pytest

from llm_service.client import ConversationKey, LlmServiceClient, Route, ServiceError
from llm_service.learning_client import LearningClient, NewDraft, QueueWanted
from llm_service.operations_client import OperationsClient
from llm_service.store import datasets
from llm_service.store.transactions import Transactions
from tests.conftest import RunningService

PHONE = "010-2345-6789"


@pytest.fixture
def people(service: RunningService) -> dict[str, LearningClient]:
    roles = {"reviewer": ["reviewer"], "first": ["approver"], "second": ["approver"], "trainer": ["trainer"]}
    return {name: LearningClient(service.client, name, held) for name, held in roles.items()}


async def judge(client: LlmServiceClient, correction: str = "", event: str = "1") -> None:
    """A deterministic reply that a customer judges."""
    turn = await client.create_turn(event, ConversationKey("web", "t", "u", "customer"), f"제 번호는 {PHONE} 예요")
    await client.store_reply(turn.turn_id, turn.conversation_id, Route("greet", 1.0, "rasa"), "안녕하세요")
    await client.give_feedback(turn.turn_id, turn.conversation_id, event, "down", "wrong", correction or None)


async def test_a_correction_is_proposed_by_one_and_approved_by_two_others(
    service: RunningService, people: dict[str, LearningClient]
) -> None:
    await judge(service.client)
    item = await people["reviewer"].next_review_item()
    assert item is not None
    assert "<PHONE_1>" in item.question
    typed = f"<PHONE_1>이 아니라 {PHONE.replace('2', '3')}로 전화해 주세요. <PHONE_7>"
    proposed = await people["reviewer"].propose(item.id, item.version, item.question, typed, "wrong")
    assert proposed.proposed_answer == "<PHONE_1>이 아니라 <PHONE_2>로 전화해 주세요. ‹PHONE 7›"
    first = await people["first"].approve(item.id, proposed.version)
    done = await people["second"].approve(item.id, first.version)
    assert (done.state, len({done.proposed_by, done.first_approver, done.second_approver})) == ("approved", 3)
    assert await people["trainer"].review_counts() == {"approved": 1}
    examples = await Transactions(service.database).read(lambda session: list(datasets.approved_examples(session)))
    assert [example.answer for example in examples] == [done.proposed_answer]
    actions = [event.action for event in await service.client.audit_events()]
    assert actions[:3] == ["review.approved", "review.first_approved", "review.proposed"]


async def test_of_two_approvals_of_one_version_one_is_a_conflict(
    service: RunningService, people: dict[str, LearningClient]
) -> None:
    await judge(service.client, "영업점에 문의해 주세요.")
    (item,) = await people["trainer"].review_items()
    results = await asyncio.gather(
        *(people[name].approve(item.id, item.version, "wrong") for name in ("first", "second")), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, ServiceError)]
    assert [(error.status, error.code) for error in refused] == [(409, "review_item_changed")]


async def test_nobody_approves_their_own_words(service: RunningService, people: dict[str, LearningClient]) -> None:
    approver = people["first"]
    await judge(service.client)
    (item,) = await approver.review_items()
    proposed = await approver.propose(item.id, item.version, "질문", "답변", "wrong")
    with pytest.raises(ServiceError) as refused:
        await approver.approve(item.id, proposed.version)
    assert (refused.value.status, refused.value.code) == (403, "own_proposal")


async def test_that_an_item_was_read_is_an_audit_row(
    service: RunningService, people: dict[str, LearningClient]
) -> None:
    await judge(service.client, "영업점에 문의해 주세요.")
    (item,) = await people["reviewer"].review_items()
    assert (await people["reviewer"].review_item(item.id)).revisions == []
    (row,) = await service.client.audit_events("review.read")
    assert (row.subject_id, len(row.actor)) == (item.id, 64)


async def test_drafts_are_masked_and_come_in_once(people: dict[str, LearningClient], service: RunningService) -> None:
    drafts = [NewDraft("curated", f"{number}번 질문: {PHONE}", "답변", "file:1", "CC-BY-4.0") for number in range(25)]
    added = await people["trainer"].add_drafts(drafts)
    assert len({one for one in added if one}) == 25
    assert await people["trainer"].add_drafts(drafts[:2]) == [None, None]
    items = await people["trainer"].review_items(kinds=["curated"], limit=200)
    assert all(PHONE not in item.question and "<PHONE_1>" in item.question for item in items)


async def test_drafts_are_kept_with_the_passages_that_search_finds_for_them(
    people: dict[str, LearningClient], service: RunningService
) -> None:
    text = "# 송금\n\n다른 은행으로 송금할 때 수수료는 건당 500원입니다.\n"
    await service.client.upload_document("수수료.md", text.encode(), ["staff"])
    draft = NewDraft("rag", "다른 은행 송금 수수료는 얼마인가요?", "건당 500원입니다. [1]", "file:1", "bank")
    await people["trainer"].add_drafts([draft], passages=1)
    (item,) = await people["trainer"].review_items(kinds=["rag"])
    assert [(one["path"], "건당 500원" in one["text"]) for one in item.sources] == [("수수료.md", True)]


async def test_a_draft_with_an_unknown_passage_is_refused(people: dict[str, LearningClient]) -> None:
    with pytest.raises(ServiceError) as refused:
        await people["trainer"].add_drafts([NewDraft("rag", "질문", "답변", "file:1", "bank", passages=[99])])
    assert (refused.value.status, refused.value.code) == (404, "passage_not_found")


async def test_long_drafts_come_in_however_many_there_are(people: dict[str, LearningClient]) -> None:
    longest = "가" * 3990
    drafts = [NewDraft("general", f"{number} {longest}", longest, "file:1", "bank") for number in range(5)]
    assert len(set(await people["trainer"].add_drafts(drafts))) == 5


@pytest.mark.parametrize(
    ("question", "code"), [(" ", "text_empty"), ("가\x07", "text_unreadable"), ("가" * 4001, None)]
)
async def test_a_proposal_that_nobody_can_read_is_refused(
    service: RunningService, people: dict[str, LearningClient], question: str, code: str | None
) -> None:
    await judge(service.client, "영업점에 문의해 주세요.")
    (item,) = await people["reviewer"].review_items()
    with pytest.raises(ServiceError) as refused:
        await people["reviewer"].propose(item.id, item.version, question, "답변", "wrong")
    assert refused.value.code == (code or "text_too_long")
    assert PHONE not in service.logs.getvalue()


async def test_datasets_and_runs_are_asked_for_watched_and_cancelled(
    service: RunningService, people: dict[str, LearningClient]
) -> None:
    trainer = people["trainer"]
    wanted = await trainer.request_dataset({"seed": 3})
    assert (wanted.name, wanted.state, wanted.settings["seed"]) == ("bank-qa-v1", "requested", 3)
    assert [one.name for one in await trainer.datasets()] == ["bank-qa-v1"]
    with pytest.raises(ServiceError) as refused:
        await trainer.request_training(wanted.name, "tiny-cpu", "tiny")
    assert (refused.value.status, refused.value.code) == (409, "dataset_not_ready")
    run = await _run_of_a_ready_dataset(service, trainer, wanted.id)
    assert (run.state, await trainer.training_points(run.id), (await trainer.training_log(run.id)).total) == (
        "queued",
        [],
        0,
    )
    assert (await trainer.cancel_training(run.id)).state == "cancelled"
    with pytest.raises(ServiceError) as refused:
        await trainer.cancel_training(run.id)
    assert (refused.value.status, refused.value.code) == (409, "training_ended")


async def _run_of_a_ready_dataset(service: RunningService, trainer: LearningClient, version_id: str) -> Any:
    frozen = datasets.Frozen("0" * 64, {}, [])
    await Transactions(service.database).run(lambda session: datasets.freeze(session, version_id, frozen))
    return await trainer.request_training("bank-qa-v1", "tiny-cpu", "tiny")


async def test_the_queue_is_asked_for_by_what_is_known_of_its_items(
    service: RunningService, people: dict[str, LearningClient]
) -> None:
    reviewer = people["reviewer"]
    await judge(service.client, "영업점에 문의해 주세요.")
    await people["trainer"].add_drafts([NewDraft("curated", "질문 하나", "답변 하나", "file:1", "bank", ["fees"])])

    async def found(**wanted: Any) -> list[str]:
        return [item.kind for item in await reviewer.review_items(wanted=QueueWanted(**wanted))]

    assert await found() == ["correction", "curated"]
    assert await found(audience="customer") == ["correction"]
    assert await found(tag="fees") == ["curated"]
    assert await found(tag="fee") == []
    assert await found(rubric="correct") == ["curated"]
    assert await found(since="2100-01-01T00:00:00Z") == []
    assert await found(until="2100-01-01T00:00:00Z", kind=["curated"]) == ["curated"]
    taken = await reviewer.next_review_item(wanted=QueueWanted(kind=["curated"]))
    assert taken is not None
    assert taken.kind == "curated"


async def test_who_proposed_does_not_find_their_own_among_what_others_did(people: dict[str, LearningClient]) -> None:
    await people["trainer"].add_drafts([NewDraft("curated", "질문 하나", "답변 하나", "file:1", "bank")])
    (item,) = await people["first"].review_items()
    proposed = await people["first"].propose(item.id, item.version, "질문", "고친 답변", "wrong")
    assert await people["first"].review_items(wanted=QueueWanted(others=True)) == []
    assert [one.id for one in await people["second"].review_items(wanted=QueueWanted(others=True))] == [proposed.id]


async def test_an_item_tells_what_was_decided_and_a_person_how_far_they_came(
    service: RunningService, people: dict[str, LearningClient]
) -> None:
    await judge(service.client, "영업점에 문의해 주세요.")
    (item,) = await people["reviewer"].review_items()
    assert (await people["first"].review_progress("2020-01-01T00:00:00Z")).waiting == 1
    first = await people["first"].approve(item.id, item.version, "wrong")
    await people["second"].reject(item.id, first.version, "outdated")
    read = await people["trainer"].review_item(item.id)
    assert [(event.action, event.details.get("reason")) for event in read.history] == [
        ("review.first_approved", None),
        ("review.rejected", "outdated"),
    ]
    done = await people["first"].review_progress("2020-01-01T00:00:00Z")
    assert (done.decided, done.waiting) == (1, 0)


async def test_an_example_is_answered_anew_side_by_side(
    service: RunningService, people: dict[str, LearningClient]
) -> None:
    text = "# 송금\n\n다른 은행으로 송금할 때 수수료는 건당 500원입니다.\n"
    await service.client.upload_document("수수료.md", text.encode(), ["staff"])
    await people["trainer"].add_drafts(
        [NewDraft("curated", "다른 은행 송금 수수료는 얼마인가요?", "모릅니다", "f", "bank")]
    )
    (item,) = await people["reviewer"].review_items()
    reviewer = OperationsClient(service.client, "reviewer", ["reviewer"])
    base, adapted = await reviewer.compare(item.id, [None, "bank-qa-v1"])
    assert (base.adapter, adapted.adapter, base.error_code, base.refused) == (None, "bank-qa-v1", None, False)
    assert "500원" in (base.answer or "")
    (row,) = await service.client.audit_events("review.compared")
    assert (row.subject_id, row.details) == (item.id, {"versions": 2})
