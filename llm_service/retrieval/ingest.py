"""Files become searchable documents: parse, cut into passages, mask, analyse, store in one transaction, tell the index.

The rows are the truth: what was reported is committed, and the index catches up from them. Knows no format, no command
line and no HTTP; a bad file is a report, while a masker or database that fails stops the work.
"""

import hashlib
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, Protocol

from llm_service.client import Audience, DocumentReport
from llm_service.errors import InvalidInput
from llm_service.logs import get_logger
from llm_service.retrieval.chunking import CHUNKING_VERSION, draft_passages
from llm_service.retrieval.draft import PassageDraft, searchable_text
from llm_service.retrieval.identity import OTHER_KIND, Identity, identify, korean_today
from llm_service.retrieval.injection import INJECTION_RULES_VERSION, flagged
from llm_service.retrieval.lexical import PassageTerms, pack_terms
from llm_service.retrieval.loaders.content import FailureCode, LoadedDocument, UnreadableDocument
from llm_service.retrieval.manifest import MANIFEST_NAME, Declaration, read_manifest
from llm_service.retrieval.masked_draft import DocumentMasker, DocumentMasking, MaskedDraft
from llm_service.retrieval.reasons import explain
from llm_service.retrieval.statutes import is_repealing_act
from llm_service.store import audit, documents
from llm_service.store.documents import EditionRecord, PassageRecord, StoredDocument
from llm_service.store.transactions import Transactions

INSTRUCTIONS = "instructions"
"""Key in a document's `details`: families of orders found (`injection.py`), by the passage's position as text."""

NEEDS_OCR, PAGE_NEEDS_OCR = "needs_ocr", "page_needs_ocr"
"""Reason of a file of scans, and note on a single page of one, that nobody recognised."""
MAX_PATH_CHARACTERS = 512
FILES_AHEAD = 2
IGNORED_NAMES = {MANIFEST_NAME, "Thumbs.db", "desktop.ini"}
IGNORED_PREFIXES = (".", "~$")

_log = get_logger(__name__)


MOST_IDENTIFIERS = 20
"""Identifiers (masked all the same) above which a document looks like a list of people and waits for a person."""
ReportState = Literal["ready", "unchanged", "failed", "quarantined"]
PathChange = Callable[[Any, str], int]
"""A change of `store.documents` to everything under a path; the session is the store's own type."""
Noted = Callable[[Any, DocumentReport], None]
"""Told of a report in the transaction that made it true, with that transaction's session."""


COMMAND: Final = "ingest"
"""Whose doing the audit says it was where nobody is named: a folder is taken in, or a path changed, by a command."""


def note_intake(session: Any, report: DocumentReport, actor: str = COMMAND) -> None:
    """Write into the audit, in the transaction that stores a file, what became of it."""
    details = {"state": report.state, "passages": report.passages, "entity_counts": report.entity_counts}
    audit.record(session, actor, "document.taken_in", "document", str(report.document_id), details)


class Parser(Protocol):
    """Reads files apart from this process; `IsolatedParser` is the one. `reads_scans`: it recognises scanned pages."""

    reads_scans: bool

    def parse(self, path: str, content: bytes) -> LoadedDocument:
        """The document's blocks. Raises `UnreadableDocument`."""


class PassageAnalyser(Protocol):
    """Korean analysis of (header, text) pairs, in order and in batches."""

    def passages_terms(self, passages: Iterable[tuple[str, str]]) -> Iterator[PassageTerms]: ...


class IndexUpdater(Protocol):
    """Brings the index up to the rows: the owner itself, or a call to the process that owns it."""

    def apply_changes(self) -> object:
        """Apply every change that the index does not hold yet."""


@dataclass(frozen=True)
class _Prepared:
    """A file read, cut and masked: an edition whose passages are still to be analysed."""

    edition: EditionRecord
    drafts: list[MaskedDraft]


@dataclass(frozen=True)
class _Settled:
    """A file that need not be read, or cannot be: known already, perhaps to be given to other people."""

    report: DocumentReport
    given_to: Declaration | None = None


@dataclass(frozen=True)
class Progress:
    """One file of a directory is done: `report` says what became of it."""

    done: int
    total: int
    report: DocumentReport


class Ingest:
    """Stores documents one by one; may be used from several threads."""

    def __init__(
        self,
        records: Transactions,
        parser: Parser,
        masker: DocumentMasker,
        analyser: PassageAnalyser,
        index: IndexUpdater,
        today: Callable[[], date] = korean_today,
        most_identifiers: int = MOST_IDENTIFIERS,
    ) -> None:
        self._records = records
        self._parser = parser
        self._masker = masker
        self._analyser = analyser
        self._index = index
        self._today = today
        self._most_identifiers = most_identifiers

    def ingest_file(
        self,
        relative_path: str,
        content: bytes,
        audience: Sequence[Audience],
        declared: Declaration | None = None,
        noted: Noted = note_intake,
    ) -> DocumentReport:
        """Store one file under its path; unchanged content is not read again.

        A new content under a known path is a new edition. The report's `reason` is `code: sentence`, None when all is
        well.
        """
        prepared = self._prepare(relative_path, content, declared or Declaration(tuple(audience)))
        report = self._finish(prepared, noted)
        self._index.apply_changes()
        return report

    def ingest_directory(
        self,
        directory: Path,
        audience: Sequence[Audience] | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> list[DocumentReport]:
        """Store every file below a directory, in order of path; a bad one is reported and the rest goes on.

        Who may see them is said by the directory's `audience.yaml`, else by `audience`, else it is staff only. May be
        stopped and started again at any point: every report stands for a committed document.
        Raises `InvalidInput` if the directory or its `audience.yaml` cannot be used.
        """
        if not directory.is_dir():
            raise InvalidInput("directory_missing", "the directory to ingest does not exist")
        manifest = read_manifest(directory, audience)
        files = list(_files_below(directory))
        declared = ((file, manifest.declaration(_path_below(directory, file))) for file in files)
        reports: list[DocumentReport] = []
        for prepared in self._prepared_ahead(directory, declared):
            reports.append(self._finish(prepared))
            progress(Progress(len(reports), len(files), reports[-1]))
        self._index.apply_changes()
        return reports

    def withdraw(self, relative_path: str) -> int:
        """Take every ready edition stored under a path out of the answers; returns how many there were."""
        return self._change(relative_path, documents.withdraw_path, "document.withdrawn")

    def restore(self, relative_path: str) -> int:
        """Undo `withdraw`; returns how many editions are in the answers again."""
        return self._change(relative_path, documents.restore_path, "document.restored")

    def delete(self, relative_path: str) -> int:
        """Erase everything stored under a path, passages and vectors included; returns how many editions there were."""
        return self._change(relative_path, documents.delete_path, "document.deleted")

    def _change(self, relative_path: str, change: PathChange, action: str) -> int:
        path = normalise_path(relative_path)
        changed = self._records.run_blocking(partial(_change_path, path=path, change=change, action=action))
        self._index.apply_changes()
        return changed

    def _prepared_ahead(
        self, directory: Path, files: Iterable[tuple[Path, Declaration | None]]
    ) -> Iterator[_Prepared | _Settled]:
        """Files in order, the next ones read and masked while the caller analyses this one: two cores are busy."""
        with ThreadPoolExecutor(1, thread_name_prefix="ingest") as ahead:
            waiting: deque[Future[_Prepared | _Settled]] = deque()
            try:
                for file, declared in files:
                    waiting.append(ahead.submit(self._prepare_from_disk, directory, file, declared))
                    if len(waiting) > FILES_AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for unneeded in waiting:
                    unneeded.cancel()

    def _prepare_from_disk(self, directory: Path, file: Path, declared: Declaration | None) -> _Prepared | _Settled:
        path = _path_below(directory, file)
        if declared is None:
            return _Settled(DocumentReport(path, "quarantined", explain("no_audience"), None, 0))
        try:
            content = file.read_bytes()
        except OSError:
            return _Settled(DocumentReport(path, "failed", explain("unreadable_file"), None, 0))
        return self._prepare(path, content, declared)

    def _prepare(self, relative_path: str, content: bytes, declared: Declaration) -> _Prepared | _Settled:
        """Everything up to masking, unless the file is unchanged or has no valid path."""
        try:
            path = normalise_path(relative_path)
        except UnreadableDocument as error:
            return _Settled(DocumentReport(relative_path, "failed", explain(error.code), None, 0))
        digest = hashlib.sha256(content).hexdigest()
        known = self._unchanged(path, digest, declared)
        if known is not None:
            return known
        try:
            loaded = self._parser.parse(path, content)
            return self._masked_edition(path, digest, declared, loaded)
        except UnreadableDocument as error:
            return _Prepared(self._unreadable(path, digest, declared, error.code), [])

    def _finish(self, prepared: _Prepared | _Settled, noted: Noted = note_intake) -> DocumentReport:
        """Store what was prepared, and have it noted in the same transaction."""
        if isinstance(prepared, _Settled):
            return self._records.run_blocking(partial(_settle, settled=prepared, noted=noted))
        edition = replace(prepared.edition, passages=list(self._analysed(prepared.drafts)))
        report = self._records.run_blocking(partial(_store, edition=edition, noted=noted))
        _log.info("document_stored", state=report.state, passages=report.passages, reason=edition.reason)
        return report

    def _unchanged(self, path: str, digest: str, declared: Declaration) -> _Settled | None:
        """A report if this content under this declaration is what was stored last, be it for other people."""
        latest = self._records.run_blocking(lambda session: documents.latest_of_path(session, path))
        if latest is None or latest.content_sha256 != digest or latest.details.get("made_from") != _made_from(declared):
            return None
        if _has_unread_scans(latest) and self._parser.reads_scans:
            return None
        if latest.reason == documents.DUPLICATE and self._records.run_blocking(
            lambda session: documents.same_edition(session, latest.series, latest.in_force_from, digest) is None
        ):
            return None
        if set(latest.audience) == set(declared.audience) and set(latest.groups) == set(declared.groups):
            return _Settled(_report(latest, "unchanged" if latest.state == "ready" else None))
        return _Settled(_report(latest), given_to=declared)

    def _masked_edition(self, path: str, digest: str, declared: Declaration, loaded: LoadedDocument) -> _Prepared:
        identity = identify(path, loaded, declared, self._today())
        drafts = draft_passages(loaded, identity.title, identity.in_force_from if identity.date_is_stated else None)
        if not drafts:
            raise UnreadableDocument("no_text")
        masking = DocumentMasking(self._masker, declared.mask_names)
        masked = masking.drafts(drafts)
        orders = _orders(identity.title, drafts)
        identifiers = sum(count for kind, count in masking.counts.items() if kind != "PERSON")
        reason = _reason_to_wait(loaded, orders, identifiers > self._most_identifiers)
        details = {**identity.details, **_origin(loaded, identity), "made_from": _made_from(declared)}
        if orders:
            details[INSTRUCTIONS] = orders
        if reason and (released := self._released(path, digest)):
            reason, details = None, {**details, documents.RELEASED: released}
        edition = EditionRecord(
            path=path,
            series=identity.series,
            title=masking.name(identity.title),
            kind=identity.kind,
            audience=declared.audience,
            content_sha256=digest,
            in_force_from=identity.in_force_from,
            state="quarantined" if reason else "ready",
            reason=reason,
            entity_counts=masking.counts,
            details=details,
            groups=declared.groups,
        )
        return _Prepared(edition, masked)

    def _released(self, path: str, digest: str) -> str | None:
        """Why a person released this very content before, however often it is read again."""
        return self._records.run_blocking(lambda session: documents.released_reason(session, path, digest))

    def _analysed(self, drafts: Sequence[MaskedDraft]) -> Iterator[PassageRecord]:
        analysed = self._analyser.passages_terms((draft.header, searchable_text(draft.text)) for draft in drafts)
        for draft, terms in zip(drafts, analysed, strict=True):
            yield PassageRecord(
                text=draft.text,
                header=draft.header,
                label=draft.label,
                article=draft.article,
                clause=draft.clause,
                heading_path=draft.heading_path,
                page=draft.page,
                parent_position=draft.parent,
                vectors=pack_terms(terms),
            )

    def _unreadable(self, path: str, digest: str, declared: Declaration, code: FailureCode) -> EditionRecord:
        return EditionRecord(
            path=path,
            series=f"path:{path}",
            title=DocumentMasking(self._masker).name(PurePosixPath(path).stem),
            kind=OTHER_KIND,
            audience=declared.audience,
            content_sha256=digest,
            in_force_from=self._today(),
            state="failed",
            reason=code,
            details={"made_from": _made_from(declared)},
            groups=declared.groups,
        )


def _store(session: Any, edition: EditionRecord, noted: Noted) -> DocumentReport:
    report = _report(documents.store_edition(session, edition))
    noted(session, report)
    return report


def _change_path(session: Any, path: str, change: PathChange, action: str) -> int:
    changed = change(session, path)
    # A path is a text of somebody's; its hash finds the row again.
    audit.record(session, COMMAND, action, "path", hashlib.sha256(path.encode()).hexdigest(), {"editions": changed})
    return changed


def _settle(session: Any, settled: _Settled, noted: Noted) -> DocumentReport:
    report, given_to = settled.report, settled.given_to
    if given_to is not None and report.document_id is not None:
        documents.change_audience(session, report.document_id, given_to.audience, given_to.groups)
    noted(session, report)
    return report


def _reason_to_wait(loaded: LoadedDocument, orders: object, is_full_of_identifiers: bool) -> str | None:
    """Why a document waits for a person before it answers anybody, None if it need not."""
    if is_repealing_act(loaded):
        return "repealing_act"
    if orders:
        return "instructions_in_text"
    return "too_many_identifiers" if is_full_of_identifiers else None


def normalise_path(relative_path: str) -> str:
    """The path as it is stored: NFC (macOS decomposes Hangul), with slashes, below its folder.

    Raises `UnreadableDocument` with `invalid_path`.
    """
    path = unicodedata.normalize("NFC", relative_path).replace("\\", "/")
    parts = path.split("/")
    if (
        not path.strip()
        or len(path) > MAX_PATH_CHARACTERS
        or any(part in {"", ".", ".."} for part in parts)
        or any(unicodedata.category(character) in {"Cc", "Cs"} for character in path)
    ):
        raise UnreadableDocument("invalid_path")
    return path


def _path_below(directory: Path, file: Path) -> str:
    return unicodedata.normalize("NFC", file.relative_to(directory).as_posix())


def _files_below(directory: Path) -> Iterator[Path]:
    """Regular files in order of path; links are not followed, hidden and temporary files are left out."""
    for entry in sorted(directory.iterdir(), key=lambda item: item.name):
        if entry.name.startswith(IGNORED_PREFIXES) or entry.name in IGNORED_NAMES or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _files_below(entry)
        elif entry.is_file():
            yield entry


def _made_from(declared: Declaration) -> str:
    """A digest of what passages depend on besides the content: if it differs, the file is read again."""
    since = declared.in_force_from.isoformat() if declared.in_force_from else ""
    read_with = f"{CHUNKING_VERSION}.{INJECTION_RULES_VERSION}{'.names' if declared.mask_names else ''}"
    return hashlib.sha256(f"{read_with}|{since}|{declared.title or ''}".encode()).hexdigest()[:32]


def _has_unread_scans(stored: StoredDocument) -> bool:
    """Whether pages of it wait for text recognition, which was not to be had when it was read."""
    return stored.reason == NEEDS_OCR or any(
        note.startswith(PAGE_NEEDS_OCR) for note in stored.details.get("notes", ())
    )


def _orders(title: str, drafts: Sequence[PassageDraft]) -> dict[str, list[str]]:
    """Families of orders by the passage's position; the title's stand with the first passage.

    Headings stand on lines of their own, as headings: "Instruction:" is an order there and a word elsewhere.
    """
    texts = ["".join(f"## {name}\n" for name in draft.heading_path) + f"\n{draft.text}" for draft in drafts]
    texts[0] = f"{title}\n\n{texts[0]}"
    return {str(position): list(codes) for position, codes in flagged(texts).items()}


def _origin(loaded: LoadedDocument, identity: Identity) -> dict[str, Any]:
    return {"format": loaded.format, "date_is_stated": identity.date_is_stated, "notes": list(loaded.notes)}


def _report(stored: StoredDocument, state: ReportState | None = None) -> DocumentReport:
    """What became of a file; an edition that was withdrawn, by a person or by another edition, changed nothing."""
    reason = explain(stored.reason) if stored.reason else None
    told = state or ("unchanged" if stored.state == "withdrawn" else stored.state)
    return DocumentReport(stored.path, told, reason, stored.id, stored.passages, dict(stored.entity_counts))
