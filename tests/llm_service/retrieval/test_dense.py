"""Optional models help retrieval where they answer, and cost nothing but their help where they do not."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Entitlement, Retrieved
from llm_service.retrieval.edge import EdgeIndexes
from llm_service.retrieval.embedding import Prefixes, ServerEmbedder
from llm_service.retrieval.generations import IndexOwner
from llm_service.retrieval.inference_server import REST_SECONDS
from llm_service.retrieval.lexical import Lexical
from llm_service.retrieval.rerank import ServerReranker
from llm_service.store.embedding_models import PassageEmbedding
from llm_service.store.models import Document
from llm_service.store.session import SessionFactory
from tests.llm_service.retrieval.inference import Model, RunningServer, inference_server
from tests.llm_service.retrieval.rows import Part, add_document, remove_document

CUSTOMER = Entitlement("customer", date(2026, 11, 21))
STAFF = Entitlement("staff", date(2026, 11, 21))
SAVING: Part = ("저축 상품", "매달 정해진 금액을 넣고 만기에 받습니다.")
LOAN: Part = ("대출 안내", "대출을 중도에 갚으면 중도상환수수료가 있습니다.")
CARD: Part = ("카드 안내", "카드를 잃어버리면 바로 신고합니다.")
NO_SHARED_TERM = "목돈 마련"
OpenWith = Callable[[], IndexOwner]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def embeddings() -> Iterator[RunningServer]:
    with inference_server(Model()) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_dense(
    tmp_path: Path, sessions: SessionFactory, lexical: Lexical, embeddings: RunningServer, clock: Clock
) -> Iterator[OpenWith]:
    """Opens the index with the embedding server; what was opened last is closed."""
    opened: list[tuple[IndexOwner, ServerEmbedder]] = []

    def close() -> None:
        for owner, embedder in opened:
            owner.close()
            embedder.close()
        opened.clear()

    def open_one() -> IndexOwner:
        close()
        embedder = ServerEmbedder(embeddings.url, "", "", Prefixes(), 5.0, clock=clock)
        owner = IndexOwner(EdgeIndexes(tmp_path / "index"), sessions, lexical, embedder)
        opened.append((owner, embedder))
        return owner

    yield open_one
    close()


def ask(owner: IndexOwner, question: str, entitlement: Entitlement = CUSTOMER) -> Retrieved:
    return owner.retriever.search(MaskedText(question), entitlement)


def labels(found: Retrieved) -> list[str]:
    return [candidate.label for candidate in found.candidates]


def vectors_kept(sessions: SessionFactory) -> int:
    with sessions() as session:
        return session.execute(select(func.count()).select_from(PassageEmbedding)).scalar_one()


def test_what_shares_no_word_is_found_by_its_meaning(
    open_dense: OpenWith, sessions: SessionFactory, lexical: Lexical
) -> None:
    add_document(sessions, lexical, [LOAN, CARD, SAVING])
    found = ask(open_dense(), NO_SHARED_TERM)
    assert labels(found)[0] == "저축 상품"
    assert found.fallbacks == ()
    assert "embed" in found.timings


def test_documents_that_come_later_are_embedded_too_and_each_passage_once(
    open_dense: OpenWith, sessions: SessionFactory, lexical: Lexical, embeddings: RunningServer
) -> None:
    owner = open_dense()
    for number, part in enumerate((LOAN, SAVING)):
        add_document(sessions, lexical, [part], path=f"{number}.md")
        owner.apply_changes()
    owner.rebuild()
    assert labels(ask(open_dense(), NO_SHARED_TERM))[0] == "저축 상품"
    assert sum(SAVING[1] in text for text in embeddings.model.texts) == 1


def test_another_model_rebuilds_the_index(
    open_dense: OpenWith, sessions: SessionFactory, lexical: Lexical, embeddings: RunningServer
) -> None:
    add_document(sessions, lexical, [LOAN, SAVING])
    first = ask(open_dense(), NO_SHARED_TERM)
    embeddings.model.name = "another-model"
    embeddings.model.embed = lambda text: [0.5, float("목돈" in text or "저축" in text)]
    second = ask(open_dense(), NO_SHARED_TERM)
    assert labels(first)[0] == labels(second)[0] == "저축 상품"
    assert second.fallbacks == ()
    assert vectors_kept(sessions) == 2


def test_the_same_model_again_opens_the_index_as_it_is(
    open_dense: OpenWith, sessions: SessionFactory, lexical: Lexical, embeddings: RunningServer
) -> None:
    add_document(sessions, lexical, [SAVING])
    open_dense()
    asked = len(embeddings.model.requests)
    owner = open_dense()
    assert labels(ask(owner, NO_SHARED_TERM)) == ["저축 상품"]
    assert not any(SAVING[1] in str(body) for _, body, _ in embeddings.model.requests[asked:])


def test_without_its_model_a_question_is_searched_by_terms_and_says_so(
    open_dense: OpenWith, sessions: SessionFactory, lexical: Lexical, embeddings: RunningServer, clock: Clock
) -> None:
    add_document(sessions, lexical, [LOAN, SAVING])
    owner = open_dense()
    embeddings.model.status = 500
    gone = ask(owner, "중도상환수수료")
    assert labels(gone) == ["대출 안내"]
    assert gone.fallbacks == ("embeddings:inference_refused",)
    assert ask(owner, "중도상환수수료").fallbacks == ("embeddings:inference_resting",)
    embeddings.model.status = 200
    clock.now = REST_SECONDS + 1
    back = ask(owner, NO_SHARED_TERM)
    assert labels(back)[0] == "저축 상품"
    assert back.fallbacks == ()


def test_a_start_without_the_model_serves_terms_and_is_completed_later(
    open_dense: OpenWith, sessions: SessionFactory, lexical: Lexical, embeddings: RunningServer
) -> None:
    embeddings.model.status = 500
    add_document(sessions, lexical, [LOAN, SAVING])
    owner = open_dense()
    assert labels(ask(owner, "중도상환수수료")) == ["대출 안내"]
    embeddings.model.status = 200
    owner.apply_changes()
    assert labels(ask(owner, NO_SHARED_TERM))[0] == "저축 상품"


def test_documents_taken_in_while_the_model_was_gone_are_found_by_terms_and_embedded_later(
    open_dense: OpenWith, sessions: SessionFactory, lexical: Lexical, embeddings: RunningServer, clock: Clock
) -> None:
    add_document(sessions, lexical, [LOAN], path="loan.md")
    owner = open_dense()
    embeddings.model.status = 500
    add_document(sessions, lexical, [SAVING], path="saving.md")
    owner.apply_changes()
    assert labels(ask(owner, "저축 상품"))[0] == "저축 상품"
    assert vectors_kept(sessions) == 1
    embeddings.model.status = 200
    clock.now = REST_SECONDS + 1
    owner.apply_changes()
    assert labels(ask(owner, NO_SHARED_TERM))[0] == "저축 상품"


def test_a_generation_of_a_model_that_is_gone_at_the_start_is_kept(
    open_dense: OpenWith, sessions: SessionFactory, lexical: Lexical, embeddings: RunningServer, clock: Clock
) -> None:
    add_document(sessions, lexical, [LOAN, SAVING])
    open_dense()
    embeddings.model.status = 500
    asked = len(embeddings.model.texts)
    owner = open_dense()
    assert labels(ask(owner, "중도상환수수료")) == ["대출 안내"]
    embeddings.model.status = 200
    clock.now = REST_SECONDS + 1
    assert labels(ask(owner, NO_SHARED_TERM))[0] == "저축 상품"
    assert not any(SAVING[1] in text for text in embeddings.model.texts[asked:])


def test_vectors_go_with_their_document(open_dense: OpenWith, sessions: SessionFactory, lexical: Lexical) -> None:
    document = add_document(sessions, lexical, [LOAN, SAVING])
    owner = open_dense()
    assert vectors_kept(sessions) == 2
    remove_document(sessions, document)
    owner.apply_changes()
    assert vectors_kept(sessions) == 0
    assert labels(ask(owner, NO_SHARED_TERM)) == []


def test_a_meaning_that_a_customer_may_not_see_is_not_found(
    open_dense: OpenWith, sessions: SessionFactory, lexical: Lexical
) -> None:
    add_document(sessions, lexical, [SAVING], audience=["staff"], path="staff.md")
    add_document(sessions, lexical, [LOAN], path="public.md")
    owner = open_dense()
    assert "저축 상품" not in labels(ask(owner, NO_SHARED_TERM))
    assert labels(ask(owner, NO_SHARED_TERM, STAFF))[0] == "저축 상품"


def test_a_model_switched_off_leaves_the_index_without_dense_vectors(
    open_dense: OpenWith, tmp_path: Path, sessions: SessionFactory, lexical: Lexical, embeddings: RunningServer
) -> None:
    add_document(sessions, lexical, [LOAN, SAVING])
    open_dense().close()
    asked = len(embeddings.model.requests)
    owner = IndexOwner(EdgeIndexes(tmp_path / "index"), sessions, lexical)
    assert labels(ask(owner, NO_SHARED_TERM)) == []
    assert len(embeddings.model.requests) == asked
    owner.close()


@pytest.fixture
def reranking(
    tmp_path: Path, sessions: SessionFactory, lexical: Lexical, embeddings: RunningServer
) -> Iterator[IndexOwner]:
    add_document(
        sessions, lexical, [("안내", "상담 시간은 아홉 시부터입니다."), ("안내 적금", "상담은 창구에서 합니다.")]
    )
    add_document(
        sessions, lexical, [("안내 저축", "상담 상담 상담은 직원끼리 합니다.")], audience=["staff"], path="2.md"
    )
    reranker = ServerReranker(embeddings.url, "", 20, 5.0)
    embeddings.model.embed = lambda text: [1.0, float("창구" in text)] if "시간" not in text else [1.0, 0.0]
    owner = IndexOwner(EdgeIndexes(tmp_path / "index"), sessions, lexical, reranker=reranker)
    yield owner
    owner.close()
    reranker.close()


def test_the_cross_encoder_orders_the_first_candidates_anew(reranking: IndexOwner, embeddings: RunningServer) -> None:
    embeddings.model.embed = lambda text: [1.0]
    first = ask(reranking, "상담 안내 시간")
    embeddings.model.embed = lambda text: [float("창구" in text or "안내 시간" in text)]
    second = ask(reranking, "상담 안내 시간")
    assert labels(first) == ["안내", "안내 적금"]
    assert labels(second) == ["안내 적금", "안내"]
    assert [found.score for found in second.candidates] == [found.score for found in first.candidates]
    assert [found.signals["rerank"] for found in second.candidates] == [1.0, 0.0]
    assert second.confidence == first.confidence


def test_without_the_cross_encoder_the_first_order_stands_and_it_is_said(
    reranking: IndexOwner, embeddings: RunningServer
) -> None:
    embeddings.model.status = 500
    found = ask(reranking, "상담 안내 시간")
    assert labels(found) == ["안내", "안내 적금"]
    assert found.fallbacks == ("reranker:inference_refused",)


@pytest.mark.parametrize(
    "reply",
    [b"{}", b"[]", b'[{"index": 0, "score": 1.0}]', b'[{"index": 0, "score": 1}, {"index": 2, "score": 1}]', b"[1, 2]"],
)
def test_scores_that_do_not_fit_the_candidates_leave_the_first_order(
    reranking: IndexOwner, embeddings: RunningServer, reply: bytes
) -> None:
    embeddings.model.raw = reply
    found = ask(reranking, "상담 안내 시간")
    assert labels(found) == ["안내", "안내 적금"]
    assert found.fallbacks == ("reranker:inference_reply",)


def test_the_cross_encoder_reads_nothing_that_the_person_may_not_see(
    reranking: IndexOwner, embeddings: RunningServer
) -> None:
    embeddings.model.requests.clear()
    ask(reranking, "상담")
    assert not any("직원끼리" in text for text in embeddings.model.texts)
    ask(reranking, "상담", STAFF)
    assert any("직원끼리" in text for text in embeddings.model.texts)


def test_the_rerank_server_is_asked_as_text_embeddings_inference_is(
    reranking: IndexOwner, embeddings: RunningServer
) -> None:
    embeddings.model.requests.clear()
    ask(reranking, "상담")
    [(path, body, _)] = embeddings.model.requests
    assert path == "/rerank"
    assert {"query", "texts", "raw_scores", "truncate"} == set(body)


def test_documents_deleted_while_they_are_embedded_leave_nothing(
    open_dense: OpenWith, sessions: SessionFactory, lexical: Lexical, embeddings: RunningServer
) -> None:
    add_document(sessions, lexical, [SAVING])

    def delete_meanwhile(text: str) -> list[float]:
        if SAVING[1] in text:
            with sessions() as session, session.begin():
                session.execute(delete(Document))
        return [1.0, 0.0]

    embeddings.model.embed = delete_meanwhile
    owner = open_dense()
    assert vectors_kept(sessions) == 0
    assert owner.count() == 0
