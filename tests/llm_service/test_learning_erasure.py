"""An erased person leaves what was learnt: examples, rows and files of datasets; adapters trained on them are named."""

from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, update
from sqlalchemy.orm import Session

from llm_service.answering.dataset_erasing import finish_erasures
from llm_service.store import datasets, learning_erasure
from llm_service.store.adapter_models import Adapter, AdapterState
from llm_service.store.dataset_files import DatasetFiles
from llm_service.store.learning_models import DatasetVersion, ReviewItem
from llm_service.store.models import Conversation, Turn
from llm_service.store.transactions import Transactions
from tests.conftest import RunningService
from tests.llm_service.store.learning_rows import ANA, MENTION_KEY, approved, approved_draft, item_of, judged_turn
from trainer.dataset import Sources, build

PERSON, OTHER = "7" * 64, "8" * 64
WORDS = "지워질 사람의 질문입니다"


@pytest.fixture
def transactions(database: Engine) -> Transactions:
    return Transactions(database)


@pytest.fixture
def files(tmp_path: Path) -> DatasetFiles:
    return DatasetFiles(tmp_path / "datasets")


def learnt(transactions: Transactions, files: DatasetFiles, user_key: str = PERSON) -> str:
    """The name of a dataset made of one person's correction, another one's, and a draft."""

    def prepare(session: Session) -> str:
        approved(session, item_of(session, judged_turn(session, user_key, question=WORDS)).id)
        approved(session, item_of(session, judged_turn(session, OTHER, question="다른 사람이 물은 것")).id)
        approved_draft(session)
        return datasets.request(session, ANA, {"general_share": 0, "heldout_share": 0}).id

    return build(transactions, files, transactions.run_blocking(prepare), Sources(lambda text: {}))


def erase(transactions: Transactions, **found_by: str) -> learning_erasure.Learnt:
    def work(session: Session) -> learning_erasure.Learnt:
        found = learning_erasure.learnt_from(session, [], **found_by)  # type: ignore[arg-type]
        learning_erasure.take_out(session, found, "service")
        return found

    return transactions.run_blocking(work)


def states(transactions: Transactions) -> dict[str, str]:
    return transactions.run_blocking(lambda session: {one.name: one.state for one in session.query(DatasetVersion)})


def texts(files: DatasetFiles, name: str) -> str:
    return (files.directory(name) / "train.jsonl").read_text(encoding="utf-8")


def test_the_dataset_is_written_anew_without_the_person_and_the_old_files_are_gone(
    transactions: Transactions, files: DatasetFiles
) -> None:
    name = learnt(transactions, files)
    assert WORDS in texts(files, name)
    assert erase(transactions, user_key=PERSON).datasets == (name,)
    assert finish_erasures(transactions, files) == ["bank-qa-v2"]
    assert not files.directory(name).exists()
    assert WORDS not in texts(files, "bank-qa-v2")
    assert states(transactions) == {"bank-qa-v1": "erased", "bank-qa-v2": "ready"}
    successor = transactions.run_blocking(lambda session: datasets.by_name(session, "bank-qa-v2"))
    assert successor.content_sha256 is not None
    files.verify("bank-qa-v2", successor.content_sha256)
    assert len(transactions.run_blocking(partial(datasets.rows_of, version_id=successor.id))) == 2


def test_an_erasure_that_was_interrupted_is_finished_once(transactions: Transactions, files: DatasetFiles) -> None:
    name = learnt(transactions, files)
    erase(transactions, user_key=PERSON)
    finish_erasures(transactions, files)

    def as_if_killed_before_the_last_step(session: Session) -> None:
        session.execute(update(DatasetVersion).where(DatasetVersion.name == name).values(state="erasing"))

    transactions.run_blocking(as_if_killed_before_the_last_step)
    assert finish_erasures(transactions, files) == ["bank-qa-v2"]
    assert states(transactions) == {"bank-qa-v1": "erased", "bank-qa-v2": "ready"}
    assert finish_erasures(transactions, files) == []


def test_a_person_is_found_after_the_turns_are_gone_by_id_and_by_value(
    transactions: Transactions, files: DatasetFiles
) -> None:
    learnt(transactions, files)
    transactions.run_blocking(lambda session: session.execute(delete(Conversation)))
    by_id = transactions.run_blocking(lambda session: learning_erasure.learnt_from(session, [], user_key=PERSON))
    by_value = transactions.run_blocking(
        lambda session: learning_erasure.learnt_from(session, [], mention_key=MENTION_KEY)
    )
    assert (len(by_id.items), len(by_value.items)) == (1, 2)


def test_adapters_trained_on_the_person_are_named_and_may_not_be_promoted(
    transactions: Transactions, files: DatasetFiles
) -> None:
    name = learnt(transactions, files)

    def register(session: Session) -> None:
        for number, dataset in enumerate((name, "bank-qa-v0"), start=1):
            session.add(_adapter(f"bank-qa-v{number}-aaa", number, dataset))
            session.flush()
            session.add(AdapterState(adapter=f"bank-qa-v{number}-aaa", changed_by=ANA))

    transactions.run_blocking(register)
    assert erase(transactions, user_key=PERSON).adapters == ("bank-qa-v1-aaa",)
    kept = transactions.run_blocking(lambda session: {one.adapter: one.state for one in session.query(AdapterState)})
    assert kept == {"bank-qa-v1-aaa": "rejected", "bank-qa-v2-aaa": "candidate"}


def test_corrections_that_nobody_approved_go_with_their_turn_and_approved_ones_stay(
    transactions: Transactions, files: DatasetFiles
) -> None:
    learnt(transactions, files)
    transactions.run_blocking(lambda session: judged_turn(session, PERSON))
    transactions.run_blocking(lambda session: session.execute(delete(Turn)))
    assert transactions.run_blocking(learning_erasure.delete_undecided_without_feedback) == 1
    assert transactions.run_blocking(lambda session: session.query(ReviewItem).count()) == 3


async def test_erasing_a_person_through_the_service_rewrites_the_dataset(
    service: RunningService, tmp_path: Path
) -> None:
    transactions = Transactions(service.database)
    files = DatasetFiles(tmp_path / "learning" / "datasets")
    user_key = service.parts.identities.user_key("web", "kim")
    name = learnt(transactions, files, user_key)
    counted = await service.client.erase_channel_user("web", "kim", "data_subject_request", dry_run=True)
    assert (counted.datasets, files.exists(name)) == ([name], True)
    erased = await service.client.erase_channel_user("web", "kim", "data_subject_request", dry_run=False)
    assert (erased.conversations, erased.datasets) == (1, [name])
    assert not files.exists(name)
    assert WORDS not in texts(files, "bank-qa-v2")


def _adapter(name: str, number: int, dataset: str) -> Adapter:
    return Adapter(
        name=name,
        family="bank-qa",
        number=number,
        sha256=f"{number:064x}",
        files={},
        location="x",
        base_model="tiny",
        base_revision="1",
        lora_rank=8,
        target_modules=[],
        dataset_version=dataset,
        recipe={},
        evaluation_id="1",
        evaluation={},
        training_run_id="1",
        trained_by=ANA,
        registered_by="trainer",
    )
