"""Examples in files: handed out line by line, taken in only when confirmed, and never past four eyes."""

import json
import re
from functools import partial
from html import unescape

import httpx
import pytest

from llm_service.store import audit, review
from llm_service.store.learning_models import ReviewItem
from tests.admin.platform import XSS, Platform, corrected, platform_key

PHONE = "010-2345-6789"


def preview(client: httpx.Client, login: str, content: str | bytes, name: str = "예문.jsonl") -> httpx.Response:
    form = {"csrf": f"csrf-of-{login}", "kind": "curated", "licence": "bank"}
    body = content.encode() if isinstance(content, str) else content
    return client.post("/curated/preview", data=form, files={"file": (name, body)})


def confirm(client: httpx.Client, login: str, shown: str, **changed: str) -> httpx.Response:
    """Press the button of a preview."""
    fields = dict(
        re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', shown.partition("/curated/import")[2])
    )
    form = {name: unescape(value) for name, value in fields.items()} | {"csrf": f"csrf-of-{login}"} | changed
    return client.post("/curated/import", files={name: (None, value) for name, value in form.items()})


def pair(question: str, answer: str) -> str:
    return json.dumps({"instruction": question, "output": answer}, ensure_ascii=False)


def drafts(platform: Platform, question: str) -> list[ReviewItem]:
    return platform.work(lambda session: session.query(ReviewItem).filter_by(question=question).all())


def test_nothing_is_kept_before_somebody_confirms(platform: Platform) -> None:
    with platform.logged_in("trainer") as trainer:
        shown = preview(trainer, "trainer", pair("미리 보기만 한 질문", "미리 보기만 한 답"))
        assert shown.status_code == 200
        assert drafts(platform, "미리 보기만 한 질문") == []
        assert confirm(trainer, "trainer", shown.text).status_code == 303
    (kept,) = drafts(platform, "미리 보기만 한 질문")
    assert (kept.state, kept.proposed_by, kept.kind) == ("pending", platform_key(platform, "trainer"), "curated")
    (row,) = platform.work(lambda session: audit.events(session, "examples.imported", None, 1))
    assert row.details == {"rows": 1, "added": 1, "known": 0}


def test_every_row_says_what_is_wrong_with_it_and_personal_data_is_not_shown(platform: Platform) -> None:
    rows = [
        pair("좋은 질문", "좋은 답"),
        pair("제 번호는요?", f"{PHONE}입니다."),
        "{",
        json.dumps({"other": 1}),
        pair("질문", ""),
        pair("긴 질문", "가" * 4001),
    ]
    with platform.logged_in("reviewer") as reviewer:
        shown = preview(reviewer, "reviewer", "\n".join(rows)).text
    assert PHONE not in shown
    for said in ("올릴 행 1", "제외할 행 5", "전화번호", "JSON이 아닙니다", "알 수 없는 열", "4,000자를 넘습니다"):
        assert said in shown


def test_four_eyes_hold_for_what_came_in_a_file(platform: Platform) -> None:
    platform.add_account("importer", ["trainer", "approver"])
    with platform.logged_in("importer") as importer:
        shown = preview(importer, "importer", pair("파일에서 온 질문", "파일에서 온 답")).text
        confirm(importer, "importer", shown)
        (kept,) = drafts(platform, "파일에서 온 질문")
        form = {"csrf": "csrf-of-importer", "version": str(kept.version)}
        refused = importer.post(f"/reviews/{kept.id}/approve", data=form)
    assert (refused.status_code, "own_proposal" in refused.text) == (403, True)


def test_rows_that_were_changed_after_the_preview_are_looked_at_again(platform: Platform) -> None:
    with platform.logged_in("trainer") as trainer:
        shown = preview(trainer, "trainer", pair("바꿀 질문", "바꿀 답")).text
        forged = json.dumps([{"number": 1, "question": "바꾼 질문", "answer": PHONE, "category": ""}])
        refused = confirm(trainer, "trainer", shown, rows=forged)
        broken = confirm(trainer, "trainer", shown, rows='[{"number": 0}]')
    assert (refused.status_code, "import_row_refused" in refused.text) == (422, True)
    assert broken.status_code == 422
    assert drafts(platform, "바꾼 질문") == []


@pytest.mark.parametrize(
    ("content", "name", "status", "code"),
    [
        (b"\xff\xfe", "a.jsonl", 422, "curated_file_unreadable"),
        (b"[[[[" * 20_000, "a.json", 422, "curated_file_unreadable"),
        (b"hello", "a.txt", 422, "curated_file_unreadable"),
        (b"{}\n" * 501, "a.jsonl", 413, "curated_too_many"),
        (b"x" * 524_289, "a.jsonl", 413, "curated_too_large"),
        (b"", "a.jsonl", 422, "invalid_request"),
    ],
    ids=["no utf-8", "too deep", "another ending", "too many rows", "too large", "empty"],
)
def test_a_file_that_cannot_be_taken_says_why(
    platform: Platform, content: bytes, name: str, status: int, code: str
) -> None:
    with platform.logged_in("trainer") as trainer:
        refused = preview(trainer, "trainer", content, name)
    assert (refused.status_code, code in refused.text) == (status, True)


def test_a_file_beyond_every_limit_is_refused_unread(platform: Platform) -> None:
    with platform.logged_in("trainer") as trainer:
        assert preview(trainer, "trainer", b"x" * 600_000).status_code == 413


def test_approved_pairs_are_handed_out_whole_and_that_they_were_is_audited(platform: Platform) -> None:
    item_id = corrected(platform)
    for login in ("approver", "approver2"):
        key = platform_key(platform, login)
        version = platform.item(item_id).version
        platform.work(partial(review.approve, person=key, item_id=item_id, version=version))
    with platform.logged_in("auditor") as auditor:
        exported = auditor.get("/curated/export")
        listed = auditor.get("/curated").text
    lines = [json.loads(line) for line in exported.text.splitlines()]
    (line,) = [line for line in lines if line["id"] == item_id]
    assert line["messages"][1]["content"] == "지점장은 신용대출 한도를 5천만원까지 승인할 수 있습니다. [1]"
    assert exported.headers["content-disposition"] == 'attachment; filename="haechi-examples.jsonl"'
    assert f"/reviews/{item_id}" in listed
    (row,) = platform.work(lambda session: audit.events(session, "examples.exported", None, 1))
    assert (row.actor, row.details) == (platform_key(platform, "auditor"), {"examples": len(lines)})


def test_what_was_handed_out_can_be_taken_in_again(platform: Platform) -> None:
    item_id = corrected(platform)
    for version, login in ((2, "approver"), (3, "approver2")):
        key = platform_key(platform, login)
        platform.work(partial(review.approve, person=key, item_id=item_id, version=version))
    question = platform.item(item_id).proposed_question
    with platform.logged_in("trainer") as trainer:
        lines = trainer.get("/curated/export").text.splitlines()
        shown = preview(trainer, "trainer", [line for line in lines if question in line][-1]).text
    assert "올릴 행 1" in shown
    assert "제외할 행 0" in shown


def test_markup_in_a_file_is_shown_as_words(platform: Platform) -> None:
    with platform.logged_in("trainer") as trainer:
        shown = preview(trainer, "trainer", pair(XSS, XSS), f"{XSS.replace('/', '')}.jsonl").text
        assert confirm(trainer, "trainer", shown, name="a.jsonl").status_code == 303
    assert shown.count("&lt;img src=x onerror=alert(1)&gt;") >= 3
    assert "<img src=x" not in shown
    assert "<script>alert" not in shown
