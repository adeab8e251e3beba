"""Which files of a folder are handed to the service, and what is said of the others."""

import io
import json
from pathlib import Path

from rich.console import Console

from haechi.commands.documents import _as_object
from haechi.ingest import DocumentFolder, IngestSummary, ingest_folders
from llm_service.client import DocumentReport

MAXIMUM_BYTES = 1_000


class RecordingService:
    """Stands where llm_service would: takes every document, and remembers which."""

    def __init__(self) -> None:
        self.taken: dict[str, bytes] = {}

    async def upload_document(self, path: str, content: bytes, **_declared: object) -> DocumentReport:
        self.taken[path] = content
        return DocumentReport(path, "ready", "", 1, 1)


async def ingested(folder: Path) -> tuple[RecordingService, IngestSummary, str]:
    service, printed = RecordingService(), io.StringIO()
    chosen = DocumentFolder(folder, ("staff",))
    console = Console(file=printed, width=200)
    summary = await ingest_folders(service, [chosen], console, maximum_bytes=MAXIMUM_BYTES)  # type: ignore[arg-type]
    return service, summary, printed.getvalue()


async def test_a_file_over_the_limit_is_named_without_being_read(tmp_path: Path) -> None:
    (tmp_path / "fits.md").write_bytes(b"a" * MAXIMUM_BYTES)
    with (tmp_path / "huge.pdf").open("wb") as huge:
        huge.truncate(1 << 40)  # a hole of a tebibyte: reading it would end the test
    service, summary, printed = await ingested(tmp_path)
    assert list(service.taken) == ["fits.md"]
    assert [(report.path, report.reason) for report in summary.failed] == [("huge.pdf", "too_large")]
    assert "huge.pdf" in printed


async def test_a_link_out_of_the_folder_is_named_and_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    (folder / "parts").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.md").write_text("# not for answers\n", encoding="utf-8")
    (folder / "parts" / "own.md").write_text("# own\n", encoding="utf-8")
    (folder / "linked.md").symlink_to(outside / "secret.md")
    (folder / "inside.md").symlink_to(folder / "parts" / "own.md")
    service, summary, printed = await ingested(folder)
    assert sorted(service.taken) == ["inside.md", "parts/own.md"]
    assert [(report.path, report.reason) for report in summary.failed] == [("linked.md", "outside_folder")]
    assert "linked.md" in printed


def test_programs_are_told_how_many_files_no_line_covers() -> None:
    assert json.loads(json.dumps(_as_object(IngestSummary(undeclared=2))))["undeclared"] == 2


def test_only_what_was_taken_in_now_counts_as_new_passages() -> None:
    summary = IngestSummary()
    summary.add(DocumentReport("a.md", "ready", None, 1, 3))
    summary.add(DocumentReport("b.md", "unchanged", None, 2, 5))
    assert (summary.counts, summary.passages) == ({"ready": 1, "unchanged": 1}, 3)
