"""Ingest: what is reported is committed, editions follow one another, nobody sees what nobody allowed."""

import io
import os
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path

import docx
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from llm_service.errors import InvalidInput, MaskingUnavailable
from llm_service.masked import RawText
from llm_service.retrieval.edge import EdgeIndexes
from llm_service.retrieval.generations import IndexOwner
from llm_service.retrieval.ingest import Ingest, Progress, normalise_path
from llm_service.retrieval.loaders.content import Block, LoadedDocument, UnreadableDocument
from llm_service.retrieval.loaders.isolation import IsolatedParser
from llm_service.retrieval.manifest import Declaration
from llm_service.retrieval.masked_draft import Masked
from llm_service.store import documents
from llm_service.store.documents import StoredDocument
from llm_service.store.models import OPEN_END, AuditEvent, IndexChange, Passage
from llm_service.store.session import session_factory
from llm_service.store.transactions import Transactions
from llm_service.wiring import Analysers

STATUTES = Path(os.environ.get("STATUTES", Path(__file__).parents[4] / "shared" / "data" / "statutes"))
TODAY = date(2026, 11, 21)
EVERYONE = ("staff", "customer")

Build = Callable[..., Ingest]


class Clock:
    """The day it is in a test."""

    def __init__(self) -> None:
        self.today = TODAY

    def __call__(self) -> date:
        return self.today


class CountingIndex:
    """Stands where the index owner stands and counts how often it was told."""

    def __init__(self) -> None:
        self.told = 0

    def apply_changes(self) -> int:
        self.told += 1
        return 0


class FailingMasker:
    def mask_document(self, raw: RawText, with_names: bool = False) -> Masked:
        raise MaskingUnavailable("the rules cannot be loaded")


@pytest.fixture(scope="session")
def parser() -> Iterator[IsolatedParser]:
    with IsolatedParser() as isolated:
        yield isolated


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def build(database: Engine, parser: IsolatedParser, analysers: Analysers, clock: Clock) -> Build:
    """Ingest on a real database with the real masker and analyser; keywords replace single parts."""

    def made(**parts: object) -> Ingest:
        standard = {
            "records": Transactions(database),
            "parser": parser,
            "masker": analysers.masker,
            "analyser": analysers.lexical,
            "index": CountingIndex(),
            "today": clock,
        }
        return Ingest(**{**standard, **parts})  # type: ignore[arg-type]

    return made


@pytest.fixture
def ingest(build: Build) -> Ingest:
    return build()


@pytest.fixture
def stored(database: Engine) -> Callable[[], list[StoredDocument]]:
    """Every document row there is."""

    def read() -> list[StoredDocument]:
        with session_factory(database)() as session:
            return documents.list_documents(session)

    return read


def law(since: str, text: str = "한도는 1억원이다.", number: str = "1", promulgated: str = "2026-01-01") -> bytes:
    head = f"제목: 시험법\n법령ID: '000009'\n법령구분: 법률\n시행일자: {since}\n"
    head += f"공포일자: {promulgated}\n공포번호: '{number}'"
    return f"---\n{head}\n---\n\n# 시험법\n\n##### 제1조 (한도)\n\n{text}\n".encode()


def changes(session: Session) -> list[tuple[int, str]]:
    rows = session.scalars(select(IndexChange).order_by(IndexChange.sequence))
    return [(row.document_id, row.action) for row in rows]


def periods(rows: list[StoredDocument]) -> dict[str, tuple[date, date]]:
    return {row.path: (row.in_force_from, row.in_force_to) for row in rows if row.state == "ready"}


def test_a_document_is_stored_with_its_passages_and_the_index_is_told(ingest: Ingest, database: Engine) -> None:
    report = ingest.ingest_file("법률.md", law("2026-03-01"), EVERYONE)
    assert (report.path, report.state, report.reason, report.passages) == ("법률.md", "ready", None, 1)
    with session_factory(database)() as session:
        (document,) = documents.list_documents(session)
        (passage,) = session.scalars(select(Passage)).all()
        assert changes(session) == [(report.document_id, "upsert")]
    assert (document.title, document.kind, document.series) == ("시험법", "law", "law:000009")
    assert document.audience == EVERYONE
    assert document.details["promulgation_number"] == "1"
    assert passage.label == "「시험법」 제1조 (시행 2026-03-01)"
    assert passage.header == "시험법 제1조(한도)"
    assert passage.article == "제1조"
    assert len(passage.vectors) > 0


def test_identifiers_are_masked_in_text_label_and_title_and_counted(
    ingest: Ingest, database: Engine, stored: Callable[[], list[StoredDocument]]
) -> None:
    report = ingest.ingest_file(
        "명단.md", "# 담당 010-2345-6789\n\n전화 010-1234-5678, 메일 hong@bank.kr\n".encode(), EVERYONE
    )
    with session_factory(database)() as session:
        (passage,) = session.scalars(select(Passage)).all()
    everything = f"{passage.text} {passage.header} {passage.label} {passage.heading_path} {stored()[0].title}"
    assert "010" not in everything
    assert "hong" not in everything
    assert report.entity_counts["PHONE"] == 1
    assert report.entity_counts["EMAIL"] == 1


def test_nothing_is_stored_when_masking_cannot_be_had(build: Build, stored: Callable[[], list[StoredDocument]]) -> None:
    with pytest.raises(MaskingUnavailable):
        build(masker=FailingMasker()).ingest_file("a.txt", "내용".encode(), EVERYONE)
    assert stored() == []


def test_unchanged_content_is_not_read_again(build: Build, database: Engine) -> None:
    first = build().ingest_file("a.txt", "한도는 1억원입니다.".encode(), EVERYONE)
    again = build(parser=None, masker=None, analyser=None).ingest_file(
        "a.txt", "한도는 1억원입니다.".encode(), EVERYONE
    )
    assert (again.state, again.document_id, again.passages) == ("unchanged", first.document_id, 1)
    with session_factory(database)() as session:
        assert len(changes(session)) == 1


class Scanner:
    """Stands where the parsing process stands: reads a scan if it may."""

    def __init__(self, reads_scans: bool) -> None:
        self.reads_scans = reads_scans

    def parse(self, path: str, content: bytes) -> LoadedDocument:
        if not self.reads_scans:
            raise UnreadableDocument("needs_ocr")
        return LoadedDocument("pdf", (Block("paragraph", "한도는 1억원입니다.", page=1),), notes=("page_by_ocr:1",))


def test_a_scan_that_was_refused_is_read_as_soon_as_scans_can_be(build: Build) -> None:
    states = [
        build(parser=Scanner(reads)).ingest_file("scan.pdf", b"%PDF-scan", EVERYONE).state
        for reads in (False, False, True, True)
    ]
    assert states == ["failed", "failed", "ready", "unchanged"]


def test_another_audience_is_taken_over_without_reading_the_file_again(
    build: Build, database: Engine, stored: Callable[[], list[StoredDocument]]
) -> None:
    report = build().ingest_file("a.txt", "한도는 1억원입니다.".encode(), EVERYONE)
    build(parser=None).ingest_file("a.txt", "한도는 1억원입니다.".encode(), ("staff",))
    assert [row.audience for row in stored()] == [("staff",)]
    with session_factory(database)() as session:
        assert changes(session) == [(report.document_id, "upsert")] * 2


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_an_edition_is_in_force_until_the_next_whatever_their_order_of_arrival(
    order: tuple[int, ...], ingest: Ingest, stored: Callable[[], list[StoredDocument]]
) -> None:
    days = ["2020-12-10", "2024-09-15", "2026-12-17"]
    for position in order:
        ingest.ingest_file(f"법률_{position}.md", law(days[position], text=f"{position}번째 판이다."), EVERYONE)
    assert periods(stored()) == {
        "법률_0.md": (date(2020, 12, 10), date(2024, 9, 15)),
        "법률_1.md": (date(2024, 9, 15), date(2026, 12, 17)),
        "법률_2.md": (date(2026, 12, 17), OPEN_END),
    }


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_editions_with_one_first_day_the_later_promulgated_stands(
    order: tuple[int, ...], ingest: Ingest, stored: Callable[[], list[StoredDocument]]
) -> None:
    editions = [
        ("먼저.md", law("2026-03-01", "먼저 공포했다.", "17758", "2025-12-29")),
        ("나중.md", law("2026-03-01", "나중에 공포했다.", "17799", "2025-12-29")),
    ]
    for position in order:
        ingest.ingest_file(*editions[position], EVERYONE)
    states = {row.path: (row.state, row.reason) for row in stored()}
    assert states == {"나중.md": ("ready", None), "먼저.md": ("withdrawn", "replaced_edition")}


def test_the_same_edition_under_another_name_is_kept_once(
    ingest: Ingest, stored: Callable[[], list[StoredDocument]]
) -> None:
    first = ingest.ingest_file("current/법률.md", law("2026-03-01"), EVERYONE)
    second = ingest.ingest_file("revisions/법률.md", law("2026-03-01"), EVERYONE)
    assert (first.state, second.state, second.passages) == ("ready", "unchanged", 0)
    assert second.reason is not None
    assert second.reason.startswith("duplicate_edition: ")
    assert list(periods(stored())) == ["current/법률.md"]
    ingest.delete("current/법률.md")
    assert ingest.ingest_file("revisions/법률.md", law("2026-03-01"), EVERYONE).state == "ready"


def test_an_upload_under_a_known_path_supersedes_from_its_day_on(
    ingest: Ingest, clock: Clock, stored: Callable[[], list[StoredDocument]]
) -> None:
    ingest.ingest_file("수수료.txt", "수수료는 500원입니다.".encode(), EVERYONE)
    clock.today = date(2027, 1, 10)
    ingest.ingest_file("수수료.txt", "수수료는 600원입니다.".encode(), EVERYONE)
    assert [(row.in_force_from, row.in_force_to) for row in stored()] == [
        (TODAY, clock.today),
        (clock.today, OPEN_END),
    ]


def test_an_upload_on_the_same_day_replaces_and_may_be_undone(
    ingest: Ingest, database: Engine, stored: Callable[[], list[StoredDocument]]
) -> None:
    for text in ("500원입니다.", "600원입니다.", "500원입니다."):
        report = ingest.ingest_file("수수료.txt", text.encode(), EVERYONE)
        assert report.state == "ready"
    assert sorted((row.state, row.in_force_to) for row in stored()) == [("ready", OPEN_END), ("withdrawn", OPEN_END)]
    with session_factory(database)() as session:
        ready = [row for row in stored() if row.state == "ready"]
        texts = session.scalars(select(Passage.text).where(Passage.document_id == ready[0].id)).all()
    assert texts == ["500원입니다."]


def test_a_stated_day_counts_before_today(ingest: Ingest, stored: Callable[[], list[StoredDocument]]) -> None:
    ingest.ingest_file("a.txt", "안내\n시행일: 2026년 9월 1일\n내용입니다.".encode(), EVERYONE)
    ingest.ingest_file("b.md", "---\n시행일자: 2025-05-01\n---\n내용입니다.".encode(), EVERYONE)
    declared = Declaration(("staff",), title="정식 이름", in_force_from=date(2024, 1, 1))
    ingest.ingest_file("c.txt", "시행일: 2026년 9월 1일".encode(), EVERYONE, declared)
    assert [(row.path, row.in_force_from, row.title) for row in stored()] == [
        ("a.txt", date(2026, 9, 1), "a"),
        ("b.md", date(2025, 5, 1), "b"),
        ("c.txt", date(2024, 1, 1), "정식 이름"),
    ]
    assert stored()[2].audience == ("staff",)


def test_person_names_of_a_document_are_masked_only_if_asked(ingest: Ingest, database: Engine) -> None:
    text = "# 담당자\n\n담당자 김민수 대리에게 문의합니다. 전화는 02-345-6789입니다.".encode()
    ingest.ingest_file("그대로.md", text, EVERYONE)
    ingest.ingest_file("가림.md", text, EVERYONE, Declaration(EVERYONE, mask_names=True))
    with session_factory(database)() as session:
        left, masked = session.scalars(select(Passage.text).order_by(Passage.document_id))
    assert "김민수" in left
    assert "김민수" not in masked
    assert "6789" not in left + masked


def test_a_document_full_of_identifiers_waits_masked_for_a_person(build: Build, database: Engine) -> None:
    ingest = build(most_identifiers=2)
    few = ingest.ingest_file("안내.txt", "담당자 02-345-6789, 02-345-6790로 문의하세요.".encode(), EVERYONE)
    many = ingest.ingest_file("명단.txt", "연락처 010-1234-5678, 010-1234-5679, 010-1234-5680".encode(), EVERYONE)
    assert few.state == "ready"
    assert many.state == "quarantined"
    assert many.reason is not None
    assert many.reason.startswith("too_many_identifiers: ")
    assert many.entity_counts == {"PHONE": 3}
    with session_factory(database)() as session:
        assert [row.document_id for row in session.scalars(select(IndexChange))] == [few.document_id]
        assert not any("5678" in text for text in session.scalars(select(Passage.text)))


def test_a_repealing_act_is_held_back_and_not_indexed(ingest: Ingest, database: Engine) -> None:
    act = law("1998-01-13").decode().replace("제1조 (한도)", "제0조").replace("한도는 1억원이다.", "이 법을 폐지한다.")
    report = ingest.ingest_file("법률.md", act.encode(), EVERYONE)
    assert report.state == "quarantined"
    assert report.reason is not None
    assert report.reason.startswith("repealing_act: ")
    with session_factory(database)() as session:
        assert changes(session) == []


def test_withdrawn_documents_stay_out_until_restored_and_deleted_ones_are_gone(
    ingest: Ingest, database: Engine, stored: Callable[[], list[StoredDocument]]
) -> None:
    ingest.ingest_file("옛.md", law("2025-01-01", "옛 판이다."), EVERYONE)
    ingest.ingest_file("새.md", law("2026-01-01", "새 판이다."), EVERYONE)
    assert ingest.withdraw("새.md") == 1
    assert periods(stored()) == {"옛.md": (date(2025, 1, 1), OPEN_END)}
    assert ingest.ingest_file("새.md", law("2026-01-01", "새 판이다."), EVERYONE).state == "unchanged"
    assert ingest.restore("새.md") == 1
    assert periods(stored())["옛.md"] == (date(2025, 1, 1), date(2026, 1, 1))
    assert ingest.delete("새.md") == 1
    assert periods(stored()) == {"옛.md": (date(2025, 1, 1), OPEN_END)}
    with session_factory(database)() as session:
        assert len(session.scalars(select(Passage)).all()) == 1
        rows = session.execute(select(AuditEvent.actor, AuditEvent.action).order_by(AuditEvent.id))
        assert [tuple(row) for row in rows] == [
            ("ingest", f"document.{what}")
            for what in ("taken_in", "taken_in", "withdrawn", "taken_in", "restored", "deleted")
        ]


@pytest.mark.parametrize(
    "path", ["", " ", "/etc/passwd", "../a.txt", "a/../b.txt", "a//b.txt", "./a.txt", "a\x00.txt", "a\n.txt", "x" * 600]
)
def test_a_path_outside_its_folder_is_refused(path: str, ingest: Ingest) -> None:
    report = ingest.ingest_file(path, b"text", EVERYONE)
    assert report.state == "failed"
    assert report.reason is not None
    assert report.reason.startswith("invalid_path: ")
    with pytest.raises(UnreadableDocument):
        normalise_path(path)


def test_decomposed_hangul_in_a_path_is_the_same_path() -> None:
    assert normalise_path(unicodedata.normalize("NFD", "예금/안내.md")) == "예금/안내.md"


def folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_bad_files_of_a_directory_are_named_and_the_rest_is_ingested(
    ingest: Ingest, tmp_path: Path, stored: Callable[[], list[StoredDocument]]
) -> None:
    root = folder(
        tmp_path / "in",
        {
            "좋은.md": "# 좋은 문서\n\n내용입니다.".encode(),
            "깨진.pdf": b"%PDF-1.7 broken",
            "빈.csv": b"",
            "암호.docx": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "그림.png": b"\x89PNG",
            ".숨김": b"x",
            "~$임시.docx": b"x",
        },
    )
    (root / "바깥.txt").symlink_to("/etc/hostname")
    seen: list[Progress] = []
    reports = ingest.ingest_directory(root, progress=seen.append)
    assert {report.path: (report.state, (report.reason or "").partition(":")[0]) for report in reports} == {
        "그림.png": ("failed", "unsupported_format"),
        "깨진.pdf": ("failed", "broken_file"),
        "빈.csv": ("failed", "empty_file"),
        "암호.docx": ("failed", "password_protected"),
        "좋은.md": ("ready", ""),
    }
    assert [(progress.done, progress.total) for progress in seen] == [(number, 5) for number in range(1, 6)]
    assert {row.path for row in stored() if row.audience == ("staff",)} == {report.path for report in reports}
    again = ingest.ingest_directory(root)
    assert [report.state for report in again] == ["failed", "failed", "failed", "failed", "unchanged"]
    assert [report.document_id for report in again] == [report.document_id for report in reports]


def test_the_manifest_decides_by_the_longest_path_and_covers_nobody_else(
    ingest: Ingest, tmp_path: Path, stored: Callable[[], list[StoredDocument]]
) -> None:
    manifest = """documents:
      - {path: "public/", audience: [staff, customer]}
      - {path: "public/내부.txt", audience: [staff], title: 내부 안내, in_force_from: 2026-07-01}"""
    root = folder(
        tmp_path / "in",
        {
            "audience.yaml": manifest.encode(),
            "public/안내.txt": "안내입니다.".encode(),
            "public/내부.txt": "내부입니다.".encode(),
            "publication.txt": "덮이지 않는 글입니다.".encode(),
        },
    )
    reports = {report.path: report for report in ingest.ingest_directory(root)}
    assert {path: report.state for path, report in reports.items()} == {
        "public/내부.txt": "ready",
        "public/안내.txt": "ready",
        "publication.txt": "quarantined",
    }
    rows = {row.path: row for row in stored()}
    assert rows["public/안내.txt"].audience == EVERYONE
    assert (rows["public/내부.txt"].audience, rows["public/내부.txt"].title) == (("staff",), "내부 안내")
    assert rows["public/내부.txt"].in_force_from == date(2026, 7, 1)
    assert "publication.txt" not in rows


@pytest.mark.parametrize(
    "manifest",
    [
        "documents: [{path: a}]",
        "documents: [{path: a, audience: [all]}]",
        "documents: [{path: a, audience: []}]",
        "x: [",
        "- a",
    ],
)
def test_an_invalid_manifest_stops_before_anything_is_stored(
    manifest: str, ingest: Ingest, tmp_path: Path, stored: Callable[[], list[StoredDocument]]
) -> None:
    root = folder(tmp_path / "in", {"audience.yaml": manifest.encode(), "a.txt": "안내".encode()})
    with pytest.raises(InvalidInput, match="audience_file_invalid"):
        ingest.ingest_directory(root)
    assert stored() == []


def test_a_manifest_and_an_argument_together_are_refused(ingest: Ingest, tmp_path: Path) -> None:
    root = folder(tmp_path / "in", {"audience.yaml": b"documents: []"})
    with pytest.raises(InvalidInput, match="audience_given_twice"):
        ingest.ingest_directory(root, audience=EVERYONE)


@pytest.mark.skipif(not STATUTES.is_dir(), reason="the statutes are not on this machine")
def test_editions_promulgated_in_another_order_are_in_force_in_the_order_of_their_days(
    ingest: Ingest, stored: Callable[[], list[StoredDocument]]
) -> None:
    name = "금융실명거래및비밀보장에관한법률"
    ingest.ingest_file("법률.md", (STATUTES / "current" / name / "법률.md").read_bytes(), EVERYONE)
    ingest.ingest_directory(STATUTES / "revisions" / name, audience=EVERYONE)
    days = [
        date(2019, 12, 27),
        date(2021, 1, 1),
        date(2021, 3, 25),
        date(2021, 7, 27),
        date(2021, 12, 30),
        date(2025, 4, 1),
    ]
    assert sorted(periods(stored()).values()) == list(pairwise([*days, OPEN_END]))


def test_the_index_holds_exactly_what_is_ready(
    build: Build, database: Engine, analysers: Analysers, tmp_path: Path
) -> None:
    owner = IndexOwner(EdgeIndexes(tmp_path / "vectors"), session_factory(database), analysers.lexical)
    ingest = build(index=owner)
    ingest.ingest_file("법률.md", law("2026-03-01"), EVERYONE)
    document = docx.Document()
    document.add_paragraph("한도는 1억원입니다.")
    buffer = io.BytesIO()
    document.save(buffer)
    ingest.ingest_file("a.docx", buffer.getvalue(), EVERYONE)
    assert owner.count() == 2
    ingest.withdraw("a.docx")
    assert owner.count() == 1
    ingest.delete("법률.md")
    assert owner.count() == 0
    owner.close()


KILLED_INGEST = """
import sys
from pathlib import Path
from llm_service.logs import configure_logging
from llm_service.retrieval.ingest import Ingest
from llm_service.retrieval.lexical import Lexical
from llm_service.retrieval.loaders.isolation import IsolatedParser
from llm_service.masking.masker import build_masker
from llm_service.store.session import open_database
from llm_service.store.transactions import Transactions

class Index:
    def apply_changes(self):
        return 0

configure_logging("ingest")
ingest = Ingest(Transactions(open_database(sys.argv[1])), IsolatedParser(), build_masker(), Lexical(), Index())
ingest.ingest_directory(Path(sys.argv[2]), progress=lambda done: print(done.report.path, flush=True))
"""


def test_a_killed_ingest_keeps_what_it_reported_and_goes_on_where_it_was(
    ingest: Ingest, database_url: str, tmp_path: Path, stored: Callable[[], list[StoredDocument]]
) -> None:
    files = {f"{number:03}.txt": (f"문서 {number}입니다. " * 100).encode() for number in range(40)}
    root = folder(tmp_path / "in", files)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_INGEST, database_url, str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    process.stdout.close()
    process.wait()
    kept = {row.path: row.passages for row in stored() if row.state == "ready"}
    assert set(acknowledged) <= set(kept)
    assert len(kept) < len(files)
    reports = ingest.ingest_directory(root)
    assert {report.path for report in reports if report.state == "unchanged"} == set(kept)
    assert {row.path for row in stored() if row.state == "ready" and row.passages} == set(files)
