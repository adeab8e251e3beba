"""Curated files in the three forms; a row that is none is named by number and reason, never by its text."""

import json
from pathlib import Path

import pytest

from llm_service.errors import InvalidInput
from trainer.curated import BadRow, read_curated

QA_TEXT = (
    "QA_text,Category\n"
    '"##Question: 골프보험 알려줘 ##Answer: 골프 중 생긴 손해를 보상합니다.",INSURANCE terms\n'
    '"질문만 있습니다",보험용어\n'
    '"## question : 선물이 뭐야?\n##answer: 미래의 거래를 지금 약속하는 계약입니다.",보험용어\n'
)


def written(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_the_tables_of_the_paper_are_read(tmp_path: Path) -> None:
    read = read_curated(written(tmp_path / "qa.csv", QA_TEXT), "curated", "bank")
    assert [(draft.question, draft.answer) for draft in read.drafts] == [
        ("골프보험 알려줘", "골프 중 생긴 손해를 보상합니다."),
        ("선물이 뭐야?", "미래의 거래를 지금 약속하는 계약입니다."),
    ]
    assert (read.drafts[0].tags, read.drafts[0].group) == (["category_insurance_terms"], "qa.csv:1")
    assert read.bad_rows == (BadRow(2, "not_question_and_answer"),)


def test_alpaca_rows_join_instruction_and_input(tmp_path: Path) -> None:
    rows = [
        {"instruction": "요약하세요.", "input": "긴 글", "output": "짧은 글"},
        {"instruction": "인사", "output": ""},
    ]
    read = read_curated(written(tmp_path / "a.json", json.dumps(rows)), "general", "CC0-1.0")
    assert [(draft.question, draft.answer, draft.licence) for draft in read.drafts] == [
        ("요약하세요.\n\n긴 글", "짧은 글", "CC0-1.0")
    ]
    assert read.bad_rows == (BadRow(2, "too_short"),)


def test_chats_of_one_question_and_one_answer_are_read_without_their_system_message(tmp_path: Path) -> None:
    chat = [("system", "너는 누구"), ("user", "안녕하세요"), ("assistant", "반갑습니다")]
    good = {"messages": [{"role": role, "content": content} for role, content in chat]}
    bad = [{"messages": good["messages"] * 2}, {"messages": "text"}, {"messages": ["text"]}, [1], {"other": 1}]
    lines = "\n".join(json.dumps(row) for row in (good, *bad))
    read = read_curated(written(tmp_path / "c.jsonl", lines), "curated", "bank")
    assert [(draft.question, draft.answer) for draft in read.drafts] == [("안녕하세요", "반갑습니다")]
    assert [row.reason for row in read.bad_rows] == [*["not_question_and_answer"] * 3, *["unknown_columns"] * 2]


@pytest.mark.parametrize(("name", "content"), [("a.json", "{"), ("a.jsonl", "{\n"), ("a.txt", "x"), ("a.json", "3")])
def test_a_file_in_no_known_form_is_refused_without_its_text(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(InvalidInput, match="curated_file_unreadable"):
        read_curated(written(tmp_path / name, content), "curated", "bank")
