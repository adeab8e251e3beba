"""Four eyes: nobody approves what they proposed, two people approve, and the database itself refuses anything else."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from llm_service.errors import Conflict, HaechiError, InvalidInput, NotFound, NotPermitted
from llm_service.masked import MaskedText
from llm_service.store import review
from llm_service.store.learning_models import ReviewItem, ReviewRevision
from llm_service.store.models import AuditEvent, Base, now
from llm_service.store.review import Proposal, QueueFilter
from llm_service.store.session import open_database
from llm_service.store.transactions import Transactions
from tests.llm_service.store.learning_rows import ANA, BEN, CHO, DEE, approved, draft, item_of, judged_turn

PEOPLE = (ANA, BEN, CHO, DEE)
PROPOSAL = Proposal(MaskedText("금리가 어떻게 되나요?"), MaskedText("연 3.5%입니다."), "wrong")


@pytest.fixture
def session(database: Engine) -> Iterator[Session]:
    with Session(database, expire_on_commit=False) as opened, opened.begin():
        yield opened


def test_a_verdict_opens_an_item_with_the_correction_as_what_is_proposed(session: Session) -> None:
    feedback = judged_turn(session)
    item = item_of(session, feedback)
    assert (item.state, item.proposed_answer, item.answer) == ("pending", "연 3.5%입니다.", "연 3.0%입니다. [1]")
    assert item.group_key == item.conversation_id
    assert item.tags == ["ask_knowledge", "wrong", "answered"]


def test_praise_proposes_the_answer_and_blame_alone_proposes_nothing(session: Session) -> None:
    assert item_of(session, judged_turn(session, correction=None, verdict="up")).proposed_answer == "연 3.0%입니다. [1]"
    blamed = item_of(session, judged_turn(session, correction=None))
    assert blamed.proposed_answer is None
    with pytest.raises(InvalidInput, match="answer_missing"):
        review.approve(session, ANA, blamed.id, blamed.version, "wrong")


def test_two_others_approve_what_a_reviewer_proposed(session: Session) -> None:
    feedback = judged_turn(session)
    item = item_of(session, feedback)
    review.propose(session, ANA, item.id, 1, PROPOSAL)
    assert (item.state, feedback.state) == ("proposed", "proposed")
    with pytest.raises(NotPermitted, match="own_proposal"):
        review.approve(session, ANA, item.id, 2)
    review.approve(session, BEN, item.id, 2)
    assert (item.state, feedback.state) == ("first_approved", "proposed")
    with pytest.raises(NotPermitted, match="approved_by_you_already"):
        review.approve(session, BEN, item.id, 3)
    review.approve(session, CHO, item.id, 3)
    assert (item.state, feedback.state, item.rubric) == ("approved", "approved", "wrong")


def test_a_new_proposal_voids_the_approval_given_before(session: Session) -> None:
    item = item_of(session, judged_turn(session))
    review.approve(session, BEN, item.id, 1, "wrong")
    review.propose(session, ANA, item.id, 2, PROPOSAL)
    assert (item.state, item.first_approver) == ("proposed", None)
    revisions = session.scalars(select(ReviewRevision)).all()
    assert [(revision.version, revision.proposed_by) for revision in revisions] == [(3, ANA)]


def test_a_rejected_item_says_why_and_is_decided(session: Session) -> None:
    feedback = judged_turn(session)
    item = item_of(session, feedback)
    review.reject(session, ANA, item.id, 1, "not_useful")
    assert (item.state, item.rejection_reason, feedback.state) == ("rejected", "not_useful", "rejected")
    with pytest.raises(Conflict, match="review_item_decided"):
        review.approve(session, BEN, item.id, 2, "wrong")


def test_a_reopened_item_needs_two_approvals_again(session: Session) -> None:
    item = approved(session, item_of(session, judged_turn(session)).id)
    review.reopen(session, CHO, item.id, item.version, "law_changed")
    assert (item.state, item.first_approver, item.second_approver) == ("proposed", None, None)
    with pytest.raises(Conflict, match="review_item_open"):
        review.reopen(session, CHO, item.id, item.version, "law_changed")


def test_a_decision_on_an_older_version_is_a_conflict(session: Session) -> None:
    item = item_of(session, judged_turn(session))
    review.approve(session, BEN, item.id, 1, "wrong")
    with pytest.raises(Conflict, match="review_item_changed"):
        review.approve(session, CHO, item.id, 1)


@pytest.mark.parametrize("unknown", ["0" * 32, "", "x' OR 1=1", "0" * 31])
def test_an_unknown_item_is_not_found(session: Session, unknown: str) -> None:
    with pytest.raises(NotFound, match="review_item_not_found"):
        review.item(session, unknown)


def test_two_reviewers_never_hold_the_same_item_and_a_lease_runs_out(session: Session) -> None:
    first, second = (item_of(session, judged_turn(session)) for _ in range(2))
    held = [review.lease_next(session, person, QueueFilter()) for person in (ANA, BEN, CHO)]
    assert held == [first, second, None]
    with pytest.raises(Conflict, match="review_item_leased"):
        review.reject(session, BEN, first.id, 1, "not_useful")
    first.leased_until = now() - timedelta(seconds=1)
    assert review.lease_next(session, CHO, QueueFilter()) is first


def test_whoever_asks_for_the_next_item_gives_back_the_one_before(session: Session) -> None:
    first, second = (item_of(session, judged_turn(session)) for _ in range(2))
    assert review.lease_next(session, ANA, QueueFilter()) is first
    assert review.lease_next(session, ANA, QueueFilter(), leaving=first.id) is second
    assert first.leased_by is None


def test_what_was_skipped_comes_last_and_in_the_order_of_skipping(session: Session) -> None:
    first, second, third = (item_of(session, judged_turn(session)) for _ in range(3))
    skipped = [second.id, first.id]
    assert review.lease_next(session, ANA, QueueFilter(), skipped) is third
    assert review.lease_next(session, ANA, QueueFilter(), skipped, leaving=third.id) is second
    assert review.lease_next(session, ANA, QueueFilter(kinds=("glossary",)), skipped) is None
    for decided in (second, third):
        review.reject(session, ANA, decided.id, decided.version, "not_useful")
    assert review.lease_next(session, ANA, QueueFilter(), skipped) is first
    assert review.lease_next(session, ANA, QueueFilter(), skipped, leaving=first.id) is None


def test_what_waits_is_counted_no_further_than_is_asked(session: Session) -> None:
    items = [item_of(session, judged_turn(session)) for _ in range(5)]
    review.propose(session, ANA, items[0].id, 1, PROPOSAL)
    assert review.counts(session) == {"pending": 4, "proposed": 1}
    assert review.counts(session, ["pending", "approved"], up_to=2) == {"pending": 3}
    since = now() - timedelta(days=1)
    assert [review.progress(session, ANA, since, up_to).waiting for up_to in (None, 4, 3, 2)] == [4, 4, 4, 3]
    assert [review.progress(session, BEN, since, up_to).waiting for up_to in (None, 5, 4, 1)] == [5, 5, 5, 2]
    assert review.progress(session, ANA, since).decided == 1


def test_nobody_is_handed_what_they_may_not_decide(session: Session) -> None:
    item = item_of(session, judged_turn(session))
    review.propose(session, ANA, item.id, 1, PROPOSAL)
    assert review.lease_next(session, ANA, QueueFilter()) is None
    review.approve(session, BEN, item.id, 2)
    assert review.lease_next(session, BEN, QueueFilter()) is None
    assert review.lease_next(session, CHO, QueueFilter()) is item


def test_the_same_draft_comes_into_the_queue_once(session: Session) -> None:
    assert review.add_draft(session, draft()) is not None
    assert review.add_draft(session, draft()) is None


def test_the_queue_is_read_page_by_page_oldest_first(session: Session) -> None:
    items = [item_of(session, judged_turn(session)).id for _ in range(5)]
    read: list[str] = []
    while page := review.queue(session, QueueFilter(), limit=2, after=read[-1] if read else None):
        after = read[-1] if read else None
        assert [one.id for one in review.listed(session, QueueFilter(), limit=2, after=after)] == [o.id for o in page]
        read += [item.id for item in page]
    assert read == items


def test_every_change_of_state_leaves_one_audit_row_that_says_who(session: Session) -> None:
    item = approved(session, item_of(session, judged_turn(session)).id)
    rows = session.execute(
        select(AuditEvent.action, AuditEvent.actor).where(AuditEvent.subject_id == item.id).order_by(AuditEvent.id)
    ).all()
    assert [tuple(row) for row in rows] == [("review.first_approved", ANA), ("review.approved", BEN)]


@pytest.mark.parametrize(
    "values",
    [
        {"state": "approved"},
        {"state": "first_approved"},
        {"state": "first_approved", "first_approver": ANA, "proposed_by": ANA, "rubric": "wrong"},
        {"state": "approved", "first_approver": ANA, "second_approver": ANA, "rubric": "wrong"},
        {"state": "approved", "first_approver": ANA, "second_approver": BEN, "proposed_by": BEN, "rubric": "wrong"},
        {
            "state": "approved",
            "first_approver": ANA,
            "second_approver": BEN,
            "proposed_answer": None,
            "rubric": "wrong",
        },
        {"state": "approved", "first_approver": ANA, "second_approver": BEN, "rubric": None},
        {"state": "pending", "second_approver": BEN},
        {"state": "rejected"},
        {"state": "rejected", "rejected_by": ANA},
        {"state": "published"},
        {"rubric": "fine"},
    ],
    ids=str,
)
def test_the_database_itself_refuses(database: Engine, values: dict[str, object]) -> None:
    with Session(database) as opened, opened.begin():
        item_id = item_of(opened, judged_turn(opened)).id
    with pytest.raises(IntegrityError), Session(database) as opened, opened.begin():
        opened.execute(update(ReviewItem).where(ReviewItem.id == item_id).values(**values))


def test_of_two_approvals_at_once_one_is_a_conflict(database: Engine) -> None:
    transactions = Transactions(database)
    item_id = transactions.run_blocking(lambda opened: item_of(opened, judged_turn(opened)).id)
    transactions.run_blocking(lambda opened: review.approve(opened, ANA, item_id, 1, "wrong"))
    assert _at_once(
        *(
            lambda person=person: transactions.run_blocking(lambda opened: review.approve(opened, person, item_id, 2))
            for person in (BEN, CHO)
        )
    ) == ["approved", "review_item_changed"]


def _at_once(*works: Callable[[], ReviewItem]) -> list[str]:
    begin, results = threading.Barrier(len(works)), []

    def do(work: Callable[[], ReviewItem]) -> None:
        begin.wait()
        try:
            results.append(work().state)
        except HaechiError as error:
            results.append(error.code)

    threads = [threading.Thread(target=do, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(results)


ACTIONS = st.tuples(
    st.sampled_from(["propose", "approve", "approve", "approve", "reject", "reopen", "lease", "stale"]),
    st.sampled_from(PEOPLE),
)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('review') / 'haechi.db'}")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, max_size=25))
def test_whatever_random_people_do_an_approved_item_has_two_of_them_and_not_its_proposer(
    records: Engine, actions: list[tuple[str, str]]
) -> None:
    with Session(records, expire_on_commit=False) as opened, opened.begin():
        item_id = item_of(opened, judged_turn(opened)).id
        approvers: list[str] = []
        for action, person in actions:
            item = review.item(opened, item_id)
            before = (item.state, item.version)
            try:
                _act(opened, action, person, item)
            except HaechiError:
                assert (item.state, item.version) == before, "a refused action changes nothing"
                continue
            approvers = _model(approvers, action, person)
            assert [one for one in (item.first_approver, item.second_approver) if one] == approvers
            assert (item.state == "approved") == (len(set(approvers)) == 2)
            assert item.proposed_by not in approvers


def _act(session: Session, action: str, person: str, item: ReviewItem) -> None:
    match action:
        case "propose":
            review.propose(session, person, item.id, item.version, PROPOSAL)
        case "approve":
            review.approve(session, person, item.id, item.version, "wrong")
        case "reject":
            review.reject(session, person, item.id, item.version, "not_useful")
        case "reopen":
            review.reopen(session, person, item.id, item.version, "law_changed")
        case "lease":
            review.lease_next(session, person, QueueFilter())
        case "stale":
            review.approve(session, person, item.id, item.version - 1, "wrong")


def _model(approvers: list[str], action: str, person: str) -> list[str]:
    """Who has approved after an action that was let through."""
    if action == "approve":
        return [*approvers, person]
    return [] if action in ("propose", "reject", "reopen") else approvers
