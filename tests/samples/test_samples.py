"""The sample documents and the questions about them belong together: what a question expects stands in its document."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import docx
import pypdfium2
import pytest
import yaml

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
QUESTIONS: list[dict[str, Any]] = [
    json.loads(line) for line in (ROOT / "tests/data/sample_questions.jsonl").read_text(encoding="utf-8").splitlines()
]
ANSWERABLE = [question for question in QUESTIONS if question["document"]]
DOCUMENTS = [path for folder in ("public", "staff") for path in sorted((SAMPLES / folder).iterdir())]
MAX_PDF_BYTES = 300_000


def text_of(path: Path) -> str:
    """A sample's text without any blanks, which a PDF's line ends would otherwise make unpredictable."""
    if path.suffix == ".pdf":
        with pypdfium2.PdfDocument(path) as pdf:
            text = "".join(page.get_textpage().get_text_bounded() for page in pdf)
    elif path.suffix == ".docx":
        document = docx.Document(str(path))
        cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
        text = "".join([*(paragraph.text for paragraph in document.paragraphs), *cells])
    else:
        text = path.read_text(encoding="utf-8")
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("question", ANSWERABLE, ids=[question["id"] for question in ANSWERABLE])
def test_what_a_question_expects_stands_in_its_document(question: dict[str, Any]) -> None:
    text = text_of(SAMPLES / question["document"])
    assert [word for word in question["must"] if re.sub(r"\s", "", word) not in text] == []
    assert question["must"]


def test_customers_ask_only_about_what_customers_may_see() -> None:
    hidden = [q["id"] for q in ANSWERABLE if q["audience"] == "customer" and not q["document"].startswith("public/")]
    assert hidden == []


def test_there_are_enough_questions_of_both_kinds_each_asked_once() -> None:
    assert len(ANSWERABLE) >= 40
    assert len(QUESTIONS) - len(ANSWERABLE) >= 15
    for key in ("id", "question"):
        assert len({question[key] for question in QUESTIONS}) == len(QUESTIONS)


def test_every_sample_document_is_asked_about() -> None:
    asked = {question["document"] for question in ANSWERABLE}
    assert [path.name for path in DOCUMENTS if path.relative_to(SAMPLES).as_posix() not in asked] == []


def test_the_audience_file_covers_every_document_and_names_only_real_paths() -> None:
    rules = yaml.safe_load((SAMPLES / "audience.yaml").read_text(encoding="utf-8"))["documents"]
    assert [rule["path"] for rule in rules if not (SAMPLES / rule["path"]).exists()] == []
    for path in DOCUMENTS:
        covering = [rule for rule in rules if path.relative_to(SAMPLES).as_posix().startswith(rule["path"])]
        audience = max(covering, key=lambda rule: len(rule["path"]))["audience"]
        assert audience == (["staff"] if path.parent.name == "staff" else ["staff", "customer"])


def test_the_tellers_questions_are_many_distinct_and_answered() -> None:
    with (SAMPLES / "staff/창구직원_FAQ.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["질문", "답변", "분류"]
    assert len({row["질문"] for row in rows}) == len(rows) >= 80
    assert all(all(row.values()) for row in rows)


def test_the_glossary_explains_at_least_sixty_terms_once_each() -> None:
    terms = re.findall(r"^### (.+)$", (SAMPLES / "public/보험용어집.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(terms)) == len(terms) >= 60


def test_the_pdf_is_small_and_every_page_has_a_text_layer() -> None:
    path = SAMPLES / "public/전자금융_이용안내.pdf"
    assert path.stat().st_size < MAX_PDF_BYTES
    with pypdfium2.PdfDocument(path) as pdf:
        texts = [page.get_textpage().get_text_bounded() for page in pdf]
    assert len(texts) >= 3
    assert [number for number, text in enumerate(texts, 1) if f"{number} / {len(texts)}" not in text] == []


def test_no_phone_number_but_the_fictitious_nationwide_one() -> None:
    numbers = {number for path in DOCUMENTS for number in re.findall(r"\d{2,4}-\d{3,4}(?:-\d{4})?", text_of(path))}
    allowed = re.compile(r"1588-0000|\d{4}-\d{2}-\d{2}")
    assert [number for number in numbers if not allowed.fullmatch(number)] == []
