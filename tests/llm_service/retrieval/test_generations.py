"""The index follows the rows: built, brought up to date, repaired and rebuilt from them, and never ahead of them."""

import subprocess
import sys
import textwrap
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, func, select, update

from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Entitlement
from llm_service.retrieval.edge import EdgeIndexes
from llm_service.retrieval.generations import GENERATIONS_KEPT, IndexOwner
from llm_service.retrieval.lexical import Lexical, PackedTerms, term_id
from llm_service.retrieval.packed_statistics import unpack_statistics
from llm_service.retrieval.statistics import TermStatistics, Visibility
from llm_service.retrieval.term_counts import added_up
from llm_service.retrieval.vocabulary import Vocabulary
from llm_service.store.index_models import IndexStatistics
from llm_service.store.models import IndexChange, IndexGeneration, Passage
from llm_service.store.session import SessionFactory
from tests.llm_service.retrieval.conftest import OpenOwner
from tests.llm_service.retrieval.rows import add_document, close_edition, remove_document

CUSTOMER = Entitlement("customer", date(2026, 11, 21))
DEPOSIT = ("예금 안내", "정기예금은 만기에 원금과 이자를 지급합니다.")
LOAN = ("대출 안내", "대출을 중도에 갚으면 중도상환수수료가 있습니다.")


def active_generations(sessions: SessionFactory) -> list[str]:
    with sessions() as session:
        return list(session.execute(select(IndexGeneration.name).where(IndexGeneration.active)).scalars())


def pending(sessions: SessionFactory) -> int:
    with sessions() as session:
        statement = select(func.count(IndexChange.sequence)).where(IndexChange.applied_at.is_(None))
        return session.execute(statement).scalar_one()


def counted(owner: IndexOwner) -> tuple[dict[int, Visibility], int, dict[int, int]]:
    """What an owner's statistics say: which documents, how many passages, how many of them hold each term."""
    statistics = owner._serving.statistics
    documents, _ = statistics.settled()
    counts = added_up([document.counts for document in documents.values()])
    frequencies = dict(zip(counts.terms.tolist(), counts.counts.tolist(), strict=True))
    corpus = statistics.within(CUSTOMER)
    shown = [one.counts for one in documents.values() if one.visibility.allows(CUSTOMER)]
    assert all(corpus.frequency(term) == added_up(shown).of(term) for term in frequencies)
    return statistics.visibilities(), statistics.passages(), frequencies


def kept(sessions: SessionFactory, owner: IndexOwner) -> TermStatistics:
    """The statistics that are written down."""
    with sessions() as session:
        body = session.execute(select(IndexStatistics.body)).scalar_one()
    return unpack_statistics(body, owner._made_with)


def test_a_first_start_serves_an_empty_index(open_owner: OpenOwner) -> None:
    owner = open_owner()
    assert owner.count() == 0
    assert owner.retriever.search(MaskedText("예금"), CUSTOMER).candidates == ()
    assert owner.apply_changes() == 0


def test_documents_are_found_once_their_change_is_applied(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    owner = open_owner()
    add_document(sessions, lexical, [DEPOSIT])
    assert owner.apply_changes() == 1
    assert pending(sessions) == 0
    assert owner.apply_changes() == 0
    found = owner.retriever.search(MaskedText("예금 이자"), CUSTOMER)
    assert [candidate.label for candidate in found.candidates] == ["예금 안내"]


def test_what_was_committed_while_nobody_owned_the_index_is_found_at_the_next_start(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    add_document(sessions, lexical, [DEPOSIT])
    open_owner()
    add_document(sessions, lexical, [LOAN], path="loan.md")
    owner = open_owner()
    assert owner.count() == 2
    assert pending(sessions) == 0


def test_opening_again_builds_nothing(open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical) -> None:
    add_document(sessions, lexical, [DEPOSIT, LOAN])
    open_owner()
    before = active_generations(sessions)
    assert open_owner().count() == 2
    assert active_generations(sessions) == before


def test_a_removed_document_is_found_no_more(open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical) -> None:
    kept = add_document(sessions, lexical, [LOAN], path="loan.md")
    removed = add_document(sessions, lexical, [DEPOSIT])
    owner = open_owner()
    remove_document(sessions, removed)
    assert owner.apply_changes() == 1
    assert owner.count() == 1
    assert kept != removed
    assert [found.label for found in owner.retriever.search(MaskedText("예금 이자 대출"), CUSTOMER).candidates] == [
        "대출 안내"
    ]


def test_a_removed_document_is_not_shown_even_before_the_index_knows(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    document = add_document(sessions, lexical, [DEPOSIT])
    owner = open_owner()
    remove_document(sessions, document)
    assert owner.retriever.search(MaskedText("예금 이자"), CUSTOMER).candidates == ()


def test_closing_an_edition_changes_what_answers_after_that_day(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    document = add_document(sessions, lexical, [DEPOSIT])
    owner = open_owner()
    close_edition(sessions, document, date(2026, 6, 1))
    owner.apply_changes()
    question = MaskedText("예금 이자")
    assert owner.retriever.search(question, Entitlement("customer", date(2026, 5, 31))).candidates != ()
    assert owner.retriever.search(question, Entitlement("customer", date(2026, 6, 1))).candidates == ()


def test_an_index_that_differs_from_the_rows_is_rebuilt_at_start(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    add_document(sessions, lexical, [DEPOSIT, LOAN])
    owner = open_owner()
    before = active_generations(sessions)
    owner._serving.index.delete_passages([1])
    owner._serving.index.flush()
    assert open_owner().count() == 2
    assert active_generations(sessions) != before


def test_a_lost_index_folder_is_built_again(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical, tmp_path: Path
) -> None:
    add_document(sessions, lexical, [DEPOSIT])
    open_owner().close()
    indexes = EdgeIndexes(tmp_path / "index")
    for name in indexes.names():
        indexes.drop(name)
    indexes.close()
    assert open_owner().count() == 1


def test_another_analyser_reads_every_passage_again(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    add_document(sessions, lexical, [DEPOSIT])
    open_owner()
    other = Lexical(Vocabulary({"원금": ("원금",)}, (), frozenset(), frozenset(), "other"))
    owner = open_owner(other)
    with sessions() as session:
        blobs = session.execute(select(Passage.vectors)).scalars().all()
    assert {PackedTerms(blob).analyser for blob in blobs} == {term_id(other.version)}
    assert owner.count() == 1


def test_only_the_generation_in_use_and_the_one_before_are_kept(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical, tmp_path: Path
) -> None:
    add_document(sessions, lexical, [DEPOSIT])
    owner = open_owner()
    for _ in range(3):
        owner.rebuild()
    owner.close()
    indexes = EdgeIndexes(tmp_path / "index")
    assert len(indexes.names()) == GENERATIONS_KEPT
    assert set(active_generations(sessions)) < set(indexes.names())
    indexes.close()


def test_a_search_that_began_on_the_old_generation_ends_on_it(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    add_document(sessions, lexical, [DEPOSIT])
    owner = open_owner()
    old = owner._serving
    owner.rebuild()
    assert old.index.count() == 1
    assert owner._serving.generation != old.generation


def test_passages_much_longer_than_before_are_weighted_anew(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    add_document(sessions, lexical, [("안내", "짧은 글")])
    owner = open_owner()
    before = active_generations(sessions)
    add_document(sessions, lexical, [("안내", "예금과 대출의 이자를 계산하는 방법 " * 40)] * 3, path="long.md")
    owner.apply_changes()
    assert active_generations(sessions) != before
    assert owner.count() == 4


def test_a_change_committed_late_under_an_early_number_is_not_lost(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    add_document(sessions, lexical, [DEPOSIT])
    late = add_document(sessions, lexical, [LOAN], path="loan.md")
    owner = open_owner()
    with sessions() as session, session.begin():
        session.execute(update(IndexChange).values(applied_at=None).where(IndexChange.document_id == late))
        session.execute(update(IndexGeneration).values(applied_sequence=99))
    assert owner.apply_changes() == 1


def test_opening_again_reads_no_passage(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical, sqlite: Engine
) -> None:
    add_document(sessions, lexical, [DEPOSIT, LOAN])
    before = counted(open_owner())
    open_owner().close()
    asked: list[str] = []
    event.listen(sqlite, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    assert counted(open_owner()) == before
    assert asked
    assert not [statement for statement in asked if "passages.vectors" in statement]


def test_what_was_counted_is_kept_when_the_index_is_closed(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    owner = open_owner()
    for number in range(2):
        add_document(sessions, lexical, [DEPOSIT, LOAN], path=f"{number}.md")
        owner.apply_changes()
    expected = counted(owner)
    assert set(kept(sessions, owner).visibilities()) == {1}
    owner.close()
    assert set(kept(sessions, owner).visibilities()) == {1, 2}
    assert counted(open_owner()) == expected


@pytest.mark.parametrize("damage", ["missing", "damaged", "cut off", "empty"])
def test_statistics_that_cannot_be_used_are_counted_again(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical, damage: str
) -> None:
    add_document(sessions, lexical, [DEPOSIT, LOAN])
    owner = open_owner()
    expected = counted(owner)
    owner.close()
    with sessions() as session, session.begin():
        row = session.execute(select(IndexStatistics)).scalar_one()
        if damage == "missing":
            session.delete(row)
        else:
            middle = len(row.body) // 2
            row.body = {
                "damaged": row.body[:middle] + bytes([row.body[middle] ^ 255]) + row.body[middle + 1 :],
                "cut off": row.body[:middle],
                "empty": b"",
            }[damage]
    generations = active_generations(sessions)
    owner = open_owner()
    assert counted(owner) == expected
    assert active_generations(sessions) == generations
    owner.close()
    assert set(kept(sessions, owner).visibilities()) == {1}


def test_statistics_behind_the_rows_are_brought_up_to_them(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    kept_as_it_is = add_document(sessions, lexical, [DEPOSIT])
    gone = add_document(sessions, lexical, [LOAN], path="loan.md")
    closed = add_document(sessions, lexical, [LOAN, DEPOSIT], path="both.md")
    open_owner().close()
    remove_document(sessions, gone)
    close_edition(sessions, closed, date(2010, 1, 1))
    added = add_document(sessions, lexical, [DEPOSIT, LOAN], path="new.md")
    owner = open_owner()
    assert set(owner._serving.statistics.visibilities()) == {kept_as_it_is, closed, added}
    anew = counted(owner)
    owner.rebuild()
    assert counted(owner) == anew


def test_words_of_a_removed_document_are_kept_no_longer_than_its_points(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    add_document(sessions, lexical, [LOAN], path="loan.md")
    removed = add_document(sessions, lexical, [DEPOSIT])
    owner = open_owner()
    assert removed in kept(sessions, owner).visibilities()
    remove_document(sessions, removed)
    owner.apply_changes()
    assert removed not in kept(sessions, owner).visibilities()


def test_statistics_are_kept_of_the_generation_in_use_only(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    add_document(sessions, lexical, [DEPOSIT])
    owner = open_owner()
    owner.rebuild()
    with sessions() as session:
        kept_of = list(session.execute(select(IndexStatistics.generation_id)).scalars())
    assert kept_of == [owner._generation.id]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from llm_service.retrieval.edge import EdgeIndex, EdgeIndexes
    from llm_service.retrieval.kept_statistics import KeptStatistics
    from llm_service.store import passages
    from llm_service.retrieval.generations import IndexOwner
    from llm_service.retrieval.lexical import Lexical
    from llm_service.store.session import open_database, session_factory
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)
    owner = IndexOwner(EdgeIndexes(Path(sys.argv[1]) / "index"),
                       session_factory(open_database(f"sqlite:///{sys.argv[1]}/haechi.db")), Lexical())
    print("owned", flush=True)
    sys.stdin.readline()
    parts = {"index": EdgeIndex, "statistics": KeptStatistics, "rows": passages}
    part, _, moment = sys.argv[2].partition(" ")
    setattr(parts[part], moment, die)
    owner.apply_changes()
"""


@pytest.mark.parametrize(
    "moment",
    [
        "index upsert",
        "index flush",
        "rows mark_applied",
        "statistics note",
        "rows keep_statistics",
    ],
)
def test_a_kill_while_changes_are_applied_loses_nothing(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical, tmp_path: Path, moment: str
) -> None:
    gone = add_document(sessions, lexical, [DEPOSIT])
    add_document(sessions, lexical, [DEPOSIT], path="kept.md")
    open_owner().close()
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), moment],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "owned\n"
        add_document(sessions, lexical, [LOAN], path="loan.md")
        remove_document(sessions, gone)
        process.stdin.write("\n")
        process.stdin.close()
        assert process.wait() < 0
    owner = open_owner()
    assert owner.count() == 2
    assert pending(sessions) == 0
    found = owner.retriever.search(MaskedText("중도상환수수료"), CUSTOMER)
    assert [candidate.label for candidate in found.candidates] == ["대출 안내"]
    after_the_kill = counted(owner)
    owner.rebuild()
    assert counted(owner) == after_the_kill
