"""`haechi ingest` and `haechi documents`: files into the platform, and what it holds."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from haechi.commands import datasets, review, revisions, training
from haechi.connection import platform
from haechi.ingest import DocumentFolder, IngestSummary, ingest_folders
from haechi.settings import PlatformSettings
from llm_service.settings import load_settings

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object. / JSON으로 출력")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module to the `haechi` command."""
    app.command("ingest")(ingest)
    app.command("documents")(documents)
    app.command("changes")(revisions.changes)
    app.command("retest")(revisions.retest)
    review.register(app)
    datasets.register(app)
    training.register(app)


def ingest(
    folder: Annotated[Path, typer.Argument(help="Folder of documents. / 문서 폴더", exists=True, file_okay=False)],
    audience: Annotated[
        str,
        typer.Option(help="staff, or staff,customer; without it the folder's audience.yaml, else staff. / 열람 대상"),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """폴더의 문서를 적재합니다. 바뀐 것만 다시 적재합니다. Ingest a folder; only what changed is ingested again."""
    console = Console(stderr=as_json)
    chosen = DocumentFolder.parse(f"{folder}={audience}" if audience else str(folder))
    summary = asyncio.run(_ingest(chosen, console))
    if as_json:
        typer.echo(json.dumps(_as_object(summary), ensure_ascii=False))


def documents(
    as_json: AsJson = False,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Only what is held back, with the reason. / 격리된 문서만")
    ] = False,
) -> None:
    """적재된 문서를 보여줍니다. What the platform holds."""
    held = asyncio.run(_documents())
    if quarantined:
        held = [document for document in held if document["state"] == "quarantined"]
    if as_json:
        typer.echo(json.dumps(held, ensure_ascii=False))
        return
    for document in held:
        typer.echo(
            f"{document['document_id']:>5} {document['state']:11} {document['in_force_from']} "
            f"{_shown_to(document):15} {document['title']}  ({document['path']})"
        )
        if document["state"] == "quarantined":
            typer.echo(f"      {document['reason']}")


def _shown_to(document: dict[str, Any]) -> str:
    groups = f" [{','.join(document['groups'])}]" if document["groups"] else ""
    return ",".join(document["audience"]) + groups


async def _ingest(folder: DocumentFolder, console: Console) -> IngestSummary:
    async with platform(PlatformSettings()) as found:
        return await ingest_folders(
            found.llm_service, [folder], console, maximum_bytes=load_settings().maximum_document_bytes
        )


async def _documents() -> list[dict[str, Any]]:
    async with platform(PlatformSettings()) as found:
        return await found.llm_service.documents()


def _as_object(summary: IngestSummary) -> dict[str, object]:
    return {
        "counts": summary.counts,
        "passages": summary.passages,
        "undeclared": summary.undeclared,
        "failed": [asdict(report) for report in summary.failed],
    }
