"""Files become searchable documents: parse, cut into passages, mask, analyse, store in one transaction, tell the index.

The rows are the truth: what was reported is committed, and the index catches up from them. Knows no format, no command
line and no HTTP; a bad file is a report, while a masker or database that fails stops the work.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from llm_service.client import Audience, DocumentReport
from llm_service.errors import InvalidInput
from llm_service.logs import get_logger
from llm_service.masked import MaskedText, RawText
from llm_service.retrieval.chunking import CHUNKING_VERSION, draft_passages
from llm_service.retrieval.draft import PassageDraft, searchable_text
from llm_service.retrieval.identity import Identity, identify, korean_today
from llm_service.retrieval.lexical import PassageTerms, pack_terms
from llm_service.retrieval.loaders.content import FailureCode, LoadedDocument, UnreadableDocument
from llm_service.retrieval.manifest import MANIFEST_NAME, Declaration, read_manifest
from llm_service.retrieval.reasons import explain
from llm_service.retrieval.statutes import is_repealing_act
from llm_service.store import documents
from llm_service.store.documents import EditionRecord, PassageRecord, StoredDocument
from llm_service.store.transactions import Transactions

MAX_PATH_CHARACTERS = 512
IGNORED_NAMES = {MANIFEST_NAME, "Thumbs.db", "desktop.ini"}
IGNORED_PREFIXES = (".", "~$")

_log = get_logger(__name__)


class Parser(Protocol):
    """Reads files apart from this process; `IsolatedParser` is the one."""

    def parse(self, path: str, content: bytes) -> LoadedDocument:
        """The document's blocks. Raises `UnreadableDocument`."""


class Masked(Protocol):
    """A masked text and how many values of each type it had."""

    @property
    def text(self) -> MaskedText: ...
    @property
    def counts(self) -> Mapping[str, int]: ...


class DocumentMasker(Protocol):
    """Masks identifiers in text of any length."""

    def mask_document(self, raw: RawText) -> Masked:
        """Raises `MaskingUnavailable` rather than let anything pass."""


class PassageAnalyser(Protocol):
    """Korean analysis of (header, text) pairs, in order and in batches."""

    def passages_terms(self, passages: Iterable[tuple[str, str]]) -> Iterator[PassageTerms]: ...


class IndexUpdater(Protocol):
    """Brings the index up to the rows: the owner itself, or a call to the process that owns it."""

    def apply_changes(self) -> object:
        """Apply every change that the index does not hold yet."""


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
    ) -> None:
        self._records = records
        self._parser = parser
        self._masker = masker
        self._analyser = analyser
        self._index = index
        self._today = today

    def ingest_file(
        self, relative_path: str, content: bytes, audience: Sequence[Audience], declared: Declaration | None = None
    ) -> DocumentReport:
        """Store one file under its path; unchanged content is not read again.

        A new content under a known path is a new edition. The report's `reason` is `code: sentence`, None when all is
        well.
        """
        report = self._ingest(relative_path, content, declared or Declaration(tuple(audience)))
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
        reports: list[DocumentReport] = []
        for done, file in enumerate(files, start=1):
            path = file.relative_to(directory).as_posix()
            declared = manifest.declaration(unicodedata.normalize("NFC", path))
            report = self._ingest_from_disk(path, file, declared)
            reports.append(report)
            progress(Progress(done, len(files), report))
        self._index.apply_changes()
        return reports

    def withdraw(self, relative_path: str) -> int:
        """Take every ready edition stored under a path out of the answers; returns how many there were."""
        return self._change_state(
            relative_path, None, lambda session, document_id: documents.withdraw(session, document_id, "withdrawn")
        )

    def restore(self, relative_path: str) -> int:
        """Undo `withdraw`; returns how many editions are in the answers again."""
        return self._change_state(relative_path, "withdrawn", documents.restore)

    def delete(self, relative_path: str) -> int:
        """Erase everything stored under a path, passages and vectors included; returns how many editions there were."""
        path = normalise_path(relative_path)
        erased = self._records.run_blocking(lambda session: documents.delete_path(session, path))
        self._index.apply_changes()
        return len(erased)

    def _change_state(self, relative_path: str, reason: str | None, change: Callable[[Any, int], None]) -> int:
        path = normalise_path(relative_path)

        def work(session: Any) -> int:
            chosen = documents.editions_at(session, path, "withdrawn" if reason else "ready", reason)
            for stored in chosen:
                change(session, stored.id)
            return len(chosen)

        count = self._records.run_blocking(work)
        self._index.apply_changes()
        return count

    def _ingest_from_disk(self, path: str, file: Path, declared: Declaration | None) -> DocumentReport:
        if declared is None:
            return DocumentReport(path, "quarantined", explain("no_audience"), None, 0)
        try:
            content = file.read_bytes()
        except OSError:
            return DocumentReport(path, "failed", explain("unreadable_file"), None, 0)
        return self._ingest(path, content, declared)

    def _ingest(self, relative_path: str, content: bytes, declared: Declaration) -> DocumentReport:
        try:
            path = normalise_path(relative_path)
        except UnreadableDocument as error:
            return DocumentReport(relative_path, "failed", explain(error.code), None, 0)
        digest = hashlib.sha256(content).hexdigest()
        known = self._records.run_blocking(lambda session: self._unchanged(session, path, digest, declared))
        if known is not None:
            return known
        try:
            loaded = self._parser.parse(path, content)
            identity = identify(path, loaded, declared, self._today())
            edition = self._edition(path, digest, declared, loaded, identity)
        except UnreadableDocument as error:
            edition = self._unreadable(path, digest, declared, error.code)
        return self._store(edition)

    def _unchanged(self, session: Any, path: str, digest: str, declared: Declaration) -> DocumentReport | None:
        """A report if this content under this declaration is what was stored last; a new audience is taken over at
        once."""
        latest = documents.latest_of_path(session, path)
        if latest is None or latest.content_sha256 != digest or latest.details.get("made_from") != _made_from(declared):
            return None
        if latest.reason == "duplicate_edition" and not documents.same_edition(
            session, latest.series, latest.in_force_from, digest
        ):
            return None
        if tuple(latest.audience) != tuple(declared.audience):
            documents.change_audience(session, latest.id, declared.audience)
            return _report(latest, latest.state if latest.state != "withdrawn" else "unchanged")
        return _report(latest, "unchanged" if latest.state in {"ready", "withdrawn"} else latest.state)

    def _edition(
        self, path: str, digest: str, declared: Declaration, loaded: LoadedDocument, identity: Identity
    ) -> EditionRecord:
        drafts = draft_passages(loaded, identity.title, identity.in_force_from if identity.date_is_stated else None)
        if not drafts:
            raise UnreadableDocument("no_text")
        counts: dict[str, int] = {}
        passages = list(self._passages(drafts, counts))
        held_back = is_repealing_act(loaded)
        return EditionRecord(
            path=path,
            series=identity.series,
            title=self._mask(identity.title, {}, {}),
            kind=identity.kind,
            audience=declared.audience,
            content_sha256=digest,
            in_force_from=identity.in_force_from,
            state="quarantined" if held_back else "ready",
            reason="repealing_act" if held_back else None,
            entity_counts=counts,
            details={**identity.details, **_origin(loaded, identity), "made_from": _made_from(declared)},
            passages=passages,
        )

    def _passages(self, drafts: Sequence[PassageDraft], counts: dict[str, int]) -> Iterator[PassageRecord]:
        seen: dict[str, MaskedText] = {}
        headings: dict[str, int] = {}
        masked = [(self._mask(draft.text, counts), self._mask(draft.header, headings, seen), draft) for draft in drafts]
        analysed = self._analyser.passages_terms((header, searchable_text(text)) for text, header, _ in masked)
        for (text, header, draft), terms in zip(masked, analysed, strict=True):
            yield PassageRecord(
                text=text,
                header=header,
                label=self._mask(draft.label, headings, seen),
                article=draft.article,
                clause=draft.clause,
                heading_path=tuple(self._mask(heading, headings, seen) for heading in draft.heading_path),
                page=draft.page,
                parent_position=draft.parent,
                vectors=pack_terms(terms),
            )

    def _mask(self, text: str, counts: dict[str, int], seen: dict[str, MaskedText] | None = None) -> MaskedText:
        if seen is not None and text in seen:
            return seen[text]
        masked = self._masker.mask_document(RawText(text))
        for kind, count in masked.counts.items():
            counts[kind] = counts.get(kind, 0) + count
        if seen is not None:
            seen[text] = masked.text
        return masked.text

    def _unreadable(self, path: str, digest: str, declared: Declaration, code: FailureCode) -> EditionRecord:
        title = PurePosixPath(path).stem
        return EditionRecord(
            path=path,
            series=f"path:{path}",
            title=self._mask(title, {}),
            kind="document",
            audience=declared.audience,
            content_sha256=digest,
            in_force_from=self._today(),
            state="failed",
            reason=code,
            details={"made_from": _made_from(declared)},
        )

    def _store(self, edition: EditionRecord) -> DocumentReport:
        def work(session: Any) -> DocumentReport:
            twin = documents.same_edition(session, edition.series, edition.in_force_from, edition.content_sha256)
            if edition.state == "ready" and twin is not None and twin.path != edition.path:
                duplicate = _duplicate(edition)
                documents.add_edition(session, duplicate)
                return DocumentReport(edition.path, "unchanged", explain("duplicate_edition"), twin.id, twin.passages)
            document_id = documents.add_edition(session, edition)
            reason = explain(edition.reason) if edition.reason else None
            state = "ready" if edition.state == "withdrawn" else edition.state
            return DocumentReport(
                edition.path, state, reason, document_id, len(edition.passages), dict(edition.entity_counts)
            )

        report = self._records.run_blocking(work)
        _log.info("document_stored", state=report.state, passages=report.passages, reason=edition.reason)
        return report


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
    """What passages depend on besides the content: if it differs, the file is read again."""
    since = declared.in_force_from.isoformat() if declared.in_force_from else ""
    return f"{CHUNKING_VERSION}|{since}|{declared.title or ''}"


def _origin(loaded: LoadedDocument, identity: Identity) -> dict[str, Any]:
    return {"format": loaded.format, "date_is_stated": identity.date_is_stated, "notes": list(loaded.notes)}


def _duplicate(edition: EditionRecord) -> EditionRecord:
    return EditionRecord(
        path=edition.path,
        series=edition.series,
        title=edition.title,
        kind=edition.kind,
        audience=edition.audience,
        content_sha256=edition.content_sha256,
        in_force_from=edition.in_force_from,
        state="withdrawn",
        reason="duplicate_edition",
        details=edition.details,
    )


def _report(stored: StoredDocument, state: Any) -> DocumentReport:
    reason = explain(stored.reason) if stored.reason else None
    return DocumentReport(stored.path, state, reason, stored.id, stored.passages, dict(stored.entity_counts))
