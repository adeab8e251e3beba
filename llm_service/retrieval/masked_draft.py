"""Drafts of passages with identifiers masked: from here on nothing of the document is raw. Knows no rules of
detection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llm_service.masked import MaskedText, RawText
from llm_service.retrieval.draft import PassageDraft


class Masked(Protocol):
    """A masked text and how many values of each type it had."""

    @property
    def text(self) -> MaskedText: ...
    @property
    def counts(self) -> Mapping[str, int]: ...


class DocumentMasker(Protocol):
    """Masks identifiers in text of any length."""

    def mask_document(self, raw: RawText, with_names: bool = False) -> Masked:
        """Raises `MaskingUnavailable` rather than let anything pass."""


@dataclass(frozen=True)
class MaskedDraft:
    """A passage that may be stored; fields as in `PassageDraft`."""

    text: MaskedText
    header: MaskedText
    label: MaskedText
    heading_path: tuple[MaskedText, ...]
    article: str | None
    clause: str | None
    page: int | None
    parent: int | None


@dataclass
class DocumentMasking:
    """Masks one document, piece by piece; person names only if asked. `counts`: values of each type in its passages."""

    masker: DocumentMasker
    with_names: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    _names: dict[str, MaskedText] = field(default_factory=dict)

    def drafts(self, drafts: Sequence[PassageDraft]) -> list[MaskedDraft]:
        """The drafts in their order. Raises `MaskingUnavailable`."""
        return [self._draft(draft) for draft in drafts]

    def name(self, text: str) -> MaskedText:
        """A title, heading or label: what recurs is masked once, and not counted with the values of the text."""
        if text not in self._names:
            self._names[text] = self.masker.mask_document(RawText(text), self.with_names).text
        return self._names[text]

    def _draft(self, draft: PassageDraft) -> MaskedDraft:
        masked = self.masker.mask_document(RawText(draft.text), self.with_names)
        for kind, count in masked.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
        return MaskedDraft(
            text=masked.text,
            header=self.name(draft.header),
            label=self.name(draft.label),
            heading_path=tuple(map(self.name, draft.heading_path)),
            article=draft.article,
            clause=draft.clause,
            page=draft.page,
            parent=draft.parent,
        )
