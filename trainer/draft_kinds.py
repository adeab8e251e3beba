"""What can be drafted out of documents; apart from what drafts, so that the command line need not load that."""

from typing import Literal

DraftKind = Literal["glossary", "four_choice", "four_choice_writing", "summary", "rag", "refusal"]
