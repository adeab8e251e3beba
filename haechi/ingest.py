"""Walks folders of documents and hands each file to llm_service, with a progress bar; knows no format.

Who may see a file is said by the folder's `audience.yaml`, or by one audience for the whole folder.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from haechi.batch import CommandFailed
from haechi.texts import sentence
from llm_service.client import Audience, DocumentReport, LlmServiceClient, ServiceError
from llm_service.retrieval.manifest import MANIFEST_NAME, Declaration, read_manifest

NOT_DOCUMENTS = {MANIFEST_NAME, "README.md"}


@dataclass(frozen=True)
class DocumentFolder:
    """A folder to ingest, and who may see all of it where it has no `audience.yaml`."""

    path: Path
    audience: tuple[Audience, ...] | None = None

    @classmethod
    def parse(cls, written: str) -> Self:
        """`FOLDER` or `FOLDER=staff,customer`. Raises `CommandFailed` for an unknown audience."""
        path, _, audience = written.partition("=")
        names = tuple(name.strip() for name in audience.split(",") if name.strip())
        unknown = set(names) - {"staff", "customer"}
        if unknown:
            names_unknown = ", ".join(sorted(unknown))
            raise CommandFailed("audience_unknown", f"unknown audience {names_unknown}; staff and customer are known")
        return cls(Path(path), cast("tuple[Audience, ...]", names) or None)


@dataclass
class IngestSummary:
    """What became of the files: how many of each state, how many nobody may see, and what failed with its reason."""

    counts: dict[str, int] = field(default_factory=dict)
    passages: int = 0
    undeclared: int = 0
    failed: list[DocumentReport] = field(default_factory=list)

    def add(self, report: DocumentReport) -> None:
        self.counts[report.state] = self.counts.get(report.state, 0) + 1
        if report.state == "ready":
            self.passages += report.passages
        if report.state in ("failed", "quarantined"):
            self.failed.append(report)


async def ingest_folders(
    llm_service: LlmServiceClient, folders: Sequence[DocumentFolder], console: Console, *, maximum_bytes: int
) -> IngestSummary:
    """Ingest every file of every folder that changed. A bad file is reported by name and the rest goes on.

    Bad is also a file over `maximum_bytes`, which is not read, and a link out of its folder, which is not followed.

    Raises `InvalidInput` for an `audience.yaml` that cannot be read.
    """
    summary = IngestSummary()
    columns = (
        TextColumn(sentence("ingest_documents")),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    files = [(folder, file) for folder in folders for file in files_of(folder.path)]
    manifests = {folder: read_manifest(folder.path, folder.audience) for folder in folders}
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(files))
        for folder, file in files:
            path = file.relative_to(folder.path).as_posix()
            progress.update(bar, description=path)
            declared = manifests[folder].declaration(path)
            if declared is None:
                summary.undeclared += 1
            else:
                refused = _refusal(folder, file, maximum_bytes)
                summary.add(
                    DocumentReport(path, "failed", refused, None, 0)
                    if refused
                    else await _upload(llm_service, path, file, declared)
                )
            progress.advance(bar)
        progress.update(bar, description="")
    report_failures(summary, console)
    return summary


def files_of(folder: Path) -> list[Path]:
    """Every document of a folder, in a fixed order; hidden files and the folder's own notes are none."""
    if not folder.is_dir():
        raise CommandFailed("folder_missing", f"there is no folder {folder}")
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in NOT_DOCUMENTS)
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def report_failures(summary: IngestSummary, console: Console) -> None:
    """One line a failed file, and one line for all."""
    for report in summary.failed:
        console.print(f"  [yellow]{report.state}[/yellow] {report.path}: {report.reason}", highlight=False)
    if summary.undeclared:
        console.print(sentence("ingest_undeclared", count=summary.undeclared), style="dim")
    counts = ", ".join(f"{count} {state}" for state, count in sorted(summary.counts.items()))
    documents, passages = sentence("ingest_documents"), sentence("ingest_passages")
    said = f"{documents}: {counts}; {passages}: {summary.passages}"
    console.print(said, style="dim", highlight=False)


def _refusal(folder: DocumentFolder, file: Path, maximum_bytes: int) -> str:
    """Why a file is not even read, as a code; empty when it may be."""
    if not file.resolve().is_relative_to(folder.path.resolve()):
        return "outside_folder"
    return "too_large" if file.stat().st_size > maximum_bytes else ""


async def _upload(llm_service: LlmServiceClient, path: str, file: Path, declared: Declaration) -> DocumentReport:
    try:
        return await llm_service.upload_document(path, file.read_bytes(), **asdict(declared))
    except ServiceError as error:
        return DocumentReport(path, "failed", error.code, None, 0)
