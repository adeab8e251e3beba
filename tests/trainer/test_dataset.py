"""A dataset holds approved examples and nothing else: masked, without leaks and doubles, split by kin, frozen."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from llm_service.answering.prompt import instructions
from llm_service.api.datasets import BuilderSettings
from llm_service.errors import Conflict, InvalidInput
from llm_service.masked import MaskedText, RawText
from llm_service.store import datasets, review
from llm_service.store.dataset_files import DatasetFiles
from llm_service.store.datasets import ApprovedExample
from llm_service.store.models import Base
from llm_service.store.session import open_database
from llm_service.store.transactions import Transactions
from tests.llm_service.store.learning_rows import ANA, BEN, approved, approved_draft, draft, item_of, judged_turn
from trainer.dataset import DatasetSettings, Sources, build, evaluation_questions, select_rows, split_of

EVERYTHING = DatasetSettings(general_share=0, heldout_share=0)
SOURCE = {
    "path": "예금.md",
    "label": "「정기예금」 1.",
    "text": "정기예금 금리는 연 3.5%입니다.",
    "passage_id": 5,
    "document_id": 2,
}
START = datetime(2026, 11, 1, tzinfo=UTC)


def example(number: int, question: str, answer: str = "안내해 드립니다.", **changes: Any) -> ApprovedExample:
    given: dict[str, Any] = {
        "id": f"{number:032x}",
        "kind": "curated",
        "tags": (),
        "sources": (),
        "group_key": f"group {number}",
        "licence": "bank",
        "locale": "ko",
        "feedback_id": None,
        "conversation_id": None,
        "approved_at": START + timedelta(minutes=number),
    }
    return ApprovedExample(question=MaskedText(question), answer=MaskedText(answer), **{**given, **changes})


def nobody(text: str) -> dict[str, int]:
    return {}


def selected(
    *examples: ApprovedExample, settings: DatasetSettings = EVERYTHING, sources: Sources | None = None
) -> tuple[list[str], dict[str, Any]]:
    rows, statistics = select_rows(examples, settings, sources or Sources(nobody))
    return [one.row.messages[-2]["content"] for split in rows.values() for one in split], statistics


@pytest.fixture
def transactions(tmp_path: Path) -> Iterator[Transactions]:
    engine: Engine = open_database(f"sqlite:///{tmp_path / 'haechi.db'}")
    Base.metadata.create_all(engine)
    yield Transactions(engine)
    engine.dispose()


@pytest.fixture
def files(tmp_path: Path) -> DatasetFiles:
    return DatasetFiles(tmp_path / "datasets")


def requested(transactions: Transactions, **settings: Any) -> str:
    wanted = {"general_share": 0, "heldout_share": 0, **settings}
    return transactions.run_blocking(lambda session: datasets.request(session, ANA, wanted).id)


def test_a_row_with_passages_is_asked_exactly_as_serving_asks() -> None:
    corrected = example(1, "금리가 얼마예요?", "연 3.5%입니다. [1]", kind="correction", sources=(SOURCE,))
    rows, _ = select_rows([corrected], EVERYTHING, Sources(nobody))
    system, user, assistant = rows["train"][0].row.messages
    assert system == {"role": "system", "content": instructions()}
    assert user["content"].startswith("문서 [1] 「정기예금」 1.\n▏ 정기예금 금리는 연 3.5%입니다.")
    assert assistant == {"role": "assistant", "content": "연 3.5%입니다. [1]"}
    assert rows["train"][0].row.source["passages"] == [5]


def test_a_row_without_passages_does_not_teach_to_break_the_instructions() -> None:
    rows, _ = select_rows([example(1, "선물이 뭐야?")], EVERYTHING, Sources(nobody))
    assert [message["role"] for message in rows["train"][0].row.messages] == ["user", "assistant"]


def test_a_row_that_still_holds_personal_data_is_refused_and_counted_by_type(analysers: Any) -> None:
    masker = analysers.masker
    sources = Sources(lambda text: {entity.type: 1 for entity in masker.detect_in_reply(RawText(text))})
    kept, statistics = selected(
        example(1, "제 번호는 010-2345-6789 인데 금리가 얼마예요?"),
        example(2, "제 번호는 <PHONE_1> 인데 수수료가 얼마예요?"),
        sources=sources,
    )
    assert kept == ["제 번호는 <PHONE_1> 인데 수수료가 얼마예요?"]
    assert statistics["left_out"] == {"unmasked": 1, "unmasked:PHONE": 1}


def test_near_duplicates_leave_the_newest_and_paraphrases_stay() -> None:
    answer = "중도해지 이율은 약정이율의 절반으로, 가입 기간이 한 달 미만이면 연 0.1%를 적용합니다."
    kept, statistics = selected(
        example(1, "정기예금을 중간에 해지하면 이자가 얼마인가요", answer),
        example(2, "정기예금을 중간에 해지하면 이자가 얼마인가요?", answer),
        example(3, "만기 전에 깨면 손해가 큰가요?", "예, 약정이율보다 낮은 이율을 적용합니다."),
    )
    assert sorted(kept) == ["만기 전에 깨면 손해가 큰가요?", "정기예금을 중간에 해지하면 이자가 얼마인가요?"]
    assert statistics["left_out"] == {"duplicate": 1}


def test_of_two_answers_to_one_question_the_one_approved_last_is_learnt() -> None:
    rows, statistics = select_rows(
        [example(1, "금리는?", "연 3.0%입니다."), example(2, "금리는?", "연 3.5%입니다.")], EVERYTHING, Sources(nobody)
    )
    assert [one.row.messages[-1]["content"] for one in rows["train"]] == ["연 3.5%입니다."]
    assert statistics["left_out"] == {"outdated": 1}


def test_questions_of_the_evaluation_are_never_learnt(tmp_path: Path) -> None:
    items = tmp_path / "evaluation" / "facts"
    items.mkdir(parents=True)
    item = {"id": "1", "messages": [{"role": "user", "content": "예금자보호 한도는 얼마인가요?"}]}
    (items / "items.jsonl").write_text(json.dumps(item, ensure_ascii=False) + "\n", encoding="utf-8")
    sources = Sources(nobody, evaluation_questions(tmp_path))
    asked = example(1, "예금자보호 한도는 얼마인가요", "1억원입니다.")
    within = example(2, "음, 예금자보호 한도는 얼마인가요? 알려 주세요.", "1억원입니다!")
    kept, statistics = selected(asked, within, example(3, "카드 한도는 어떻게 올리나요?"), sources=sources)
    assert kept == ["카드 한도는 어떻게 올리나요?"]
    assert statistics["left_out"] == {"in_evaluation": 2}


def test_two_questions_on_one_passage_are_not_near_because_of_the_passage(tmp_path: Path) -> None:
    asked = example(1, "송금 수수료 알려 주세요", "건당 500원입니다. [1]", kind="rag", sources=(SOURCE,))
    rows, _ = select_rows([asked], DatasetSettings(general_share=0, heldout_share=0), Sources(nobody))
    served = rows["train"][0].row.messages[-2]["content"]
    items = tmp_path / "gate"
    items.mkdir()
    told = served.replace("송금 수수료 알려 주세요", "다른 은행에 보낼 때 얼마 드나요?")
    item = {"id": "1", "messages": [{"role": "user", "content": told}]}
    (items / "items.jsonl").write_text(json.dumps(item, ensure_ascii=False) + "\n", encoding="utf-8")
    sources = Sources(nobody, evaluation_questions(tmp_path))
    _, statistics = selected(asked, sources=sources)
    assert (statistics["rows"], statistics["left_out"]) == (1, {})


@pytest.mark.parametrize(("share", "general", "expected"), [(0.5, 20, 4), (0.5, 3, 3), (0.2, 20, 1), (0, 20, 0)])
def test_the_general_share_is_what_was_asked_for_or_all_there_is(share: float, general: int, expected: int) -> None:
    words = ["사과", "기차", "날씨", "구름", "바다", "산길", "학교", "연필", "시계", "그림"]
    examples = [
        example(number, f"{words[number % 10]} {number * 7919} 이야기", kind="general") for number in range(general)
    ]
    examples += [example(100 + number, f"{words[number]}통장 조건은?") for number in range(4)]
    settings = DatasetSettings(general_share=share, heldout_share=0)
    _, statistics = selected(*examples, settings=settings)
    assert statistics["kinds"].get("general", 0) == expected


@given(groups=st.sets(st.text(min_size=1, max_size=12), min_size=1, max_size=40), seed=st.integers(0, 5))
def test_kin_are_always_on_one_side_of_the_split(groups: set[str], seed: int) -> None:
    settings = DatasetSettings(general_share=0, heldout_share=0.3, seed=seed)
    examples = [
        example(10 * place + twin, f"{group} {place} {twin}", group_key=group)
        for place, group in enumerate(sorted(groups))
        for twin in range(3)
    ]
    rows, _ = select_rows(examples, settings, Sources(nobody))
    sides = {split: {one.row.group for one in of_split} for split, of_split in rows.items()}
    assert sides["train"].isdisjoint(sides["heldout"])
    assert all(split_of(group, settings) == split for split, held in sides.items() for group in held)


def test_a_version_is_frozen_with_a_row_for_every_example_and_the_same_input_gives_the_same_hash(
    transactions: Transactions, files: DatasetFiles, tmp_path: Path
) -> None:
    transactions.run_blocking(approved_draft)
    transactions.run_blocking(lambda session: approved(session, item_of(session, judged_turn(session)).id))
    name = build(transactions, files, requested(transactions), Sources(nobody))
    again = build(transactions, files, requested(transactions), Sources(nobody))
    first, second = (
        transactions.run_blocking(lambda session, n=n: datasets.by_name(session, n)) for n in (name, again)
    )
    assert (name, again, first.state) == ("bank-qa-v1", "bank-qa-v2", "ready")
    assert first.content_sha256 == second.content_sha256 == files.manifest(name)["content_sha256"]
    assert files.manifest(again)["parents"] == [name]
    rows = transactions.run_blocking(lambda session: datasets.rows_of(session, first.id))
    assert {row.row_id: row.content_sha256 for row in rows} == {
        one.id: one.content_sha256 for one in files.rows(name, "train")
    }
    assert {row.kind for row in rows} == {"curated", "correction"}


def test_nothing_unreviewed_is_trained_on(transactions: Transactions, files: DatasetFiles) -> None:
    transactions.run_blocking(lambda session: review.add_draft(session, draft()))
    half = transactions.run_blocking(lambda session: review.add_draft(session, draft("한 번만 승인된 질문")))
    transactions.run_blocking(lambda session: review.approve(session, ANA, str(half), 1))
    with pytest.raises(InvalidInput, match="dataset_empty"):
        build(transactions, files, requested(transactions), Sources(nobody))


def test_building_a_ready_version_again_changes_nothing(transactions: Transactions, files: DatasetFiles) -> None:
    transactions.run_blocking(approved_draft)
    version_id = requested(transactions)
    name = build(transactions, files, version_id, Sources(nobody))
    before = files.manifest(name)
    transactions.run_blocking(lambda session: approved_draft(session, "새로 승인된 질문"))
    assert build(transactions, files, version_id, Sources(nobody)) == name
    assert files.manifest(name) == before


def test_an_example_reopened_while_the_version_is_built_makes_it_outdated(
    transactions: Transactions, files: DatasetFiles
) -> None:
    item = transactions.run_blocking(approved_draft)

    def reopen(text: str) -> dict[str, int]:
        current = transactions.run_blocking(lambda session: review.item(session, item.id))
        if current.state == "approved":
            transactions.run_blocking(
                lambda session: review.reopen(session, BEN, item.id, current.version, "law_changed")
            )
        return {}

    with pytest.raises(Conflict, match="dataset_outdated"):
        build(transactions, files, requested(transactions), Sources(reopen))


def test_two_versions_differ_by_what_came_and_what_went(transactions: Transactions, files: DatasetFiles) -> None:
    gone = transactions.run_blocking(lambda session: approved_draft(session, "없어질 질문입니다"))
    transactions.run_blocking(lambda session: approved_draft(session, "남아 있을 질문입니다"))
    first = build(transactions, files, requested(transactions), Sources(nobody))
    transactions.run_blocking(lambda session: review.reopen(session, ANA, gone.id, gone.version, "law_changed"))
    come = transactions.run_blocking(lambda session: approved_draft(session, "새로 들어온 질문입니다"))
    second = build(transactions, files, requested(transactions), Sources(nobody))
    found = transactions.run_blocking(lambda session: datasets.difference(session, second, first))
    assert [row["row_id"] for row in found["added"]] == [come.id]
    assert [row["row_id"] for row in found["removed"]] == [gone.id]
    assert (found["moved"], found["changed"]) == ([], [])
    assert [row["question"] for row in found["added"]] == ["새로 들어온 질문입니다"]


def test_an_example_in_other_words_is_the_same_row_changed(transactions: Transactions, files: DatasetFiles) -> None:
    item = transactions.run_blocking(lambda session: approved_draft(session, "바뀔 질문입니다"))
    first = build(transactions, files, requested(transactions), Sources(nobody))
    transactions.run_blocking(partial(reworded, item_id=item.id))
    second = build(transactions, files, requested(transactions), Sources(nobody))
    found = transactions.run_blocking(lambda session: datasets.difference(session, second, first))
    assert [row["row_id"] for row in found["changed"]] == [item.id]
    assert (found["added"], found["removed"]) == ([], [])


def reworded(session: Session, item_id: str) -> None:
    """Reopened, proposed in other words, approved by two again."""
    found = review.item(session, item_id)
    review.reopen(session, ANA, item_id, found.version, "law_changed")
    proposal = review.Proposal(found.proposed_question, MaskedText("다른 말로 쓴 답입니다."), "wrong")
    review.propose(session, "e" * 64, item_id, found.version, proposal)
    for person in (ANA, BEN):
        review.approve(session, person, item_id, found.version)


def test_altered_files_are_noticed(transactions: Transactions, files: DatasetFiles) -> None:
    transactions.run_blocking(approved_draft)
    name = build(transactions, files, requested(transactions), Sources(nobody))
    frozen = transactions.run_blocking(lambda session: datasets.by_name(session, name)).content_sha256
    assert frozen is not None
    files.verify(name, frozen)
    with (files.directory(name) / "train.jsonl").open("a", encoding="utf-8") as lines:
        lines.write("{}\n")
    with pytest.raises(Conflict, match="dataset_altered"):
        files.verify(name, frozen)


def test_the_api_knows_the_same_settings_as_the_builder() -> None:
    assert BuilderSettings().model_dump() == DatasetSettings().model_dump()
