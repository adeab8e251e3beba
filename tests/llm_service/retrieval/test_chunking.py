"""Passages: whole where they are short, cut where a reader would cut, and cited the way a reader cites."""

import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.retrieval.chunking import draft_passages
from llm_service.retrieval.draft import PassageDraft, searchable_text
from llm_service.retrieval.loaders.content import Block, LoadedDocument
from llm_service.retrieval.loaders.formats import load
from llm_service.retrieval.sections import MAX_PASSAGE_CHARACTERS
from llm_service.retrieval.sentences import sentence_pieces
from llm_service.retrieval.statutes import articles_of, is_repealing_act

STATUTES = Path(os.environ.get("STATUTES", Path(__file__).parents[4] / "shared" / "data" / "statutes"))
ARTICLES_OF_THE_COLLECTION = 2_476
SINCE = date(2026, 9, 1)
LAW_HEAD = (
    "---\n제목: 시험에 관한 법률\n법령ID: '000001'\n법령구분: 법률\n시행일자: 2026-09-01\n---\n\n# 시험에 관한 법률\n\n"
)
LONG = "이 항은 길어서 혼자서도 한 조각을 거의 채우는 항으로서 그 내용을 되풀이하여 적는다. " * 9


def law(body: str) -> list[PassageDraft]:
    document = load("법률.md", (LAW_HEAD + body).encode())
    return draft_passages(document, document.title or "", SINCE)


def drafts_of(markdown: str, title: str = "안내") -> list[PassageDraft]:
    return draft_passages(load("a.md", markdown.encode()), title, None)


def test_a_short_article_is_one_passage_cited_with_its_law_and_date() -> None:
    chapter = "## 제1장 총칙 <개정 2015.12.22>\n\n### 제1절 통칙\n\n"
    (passage,) = law(f"{chapter}##### 제4조의2 (비밀보장)\n\n**①** 누설하지 못한다. <신설 2024.1.1>\n")
    assert passage == PassageDraft(
        text="제4조의2(비밀보장)\n① 누설하지 못한다. <신설 2024.1.1>",
        header="시험에 관한 법률 제4조의2(비밀보장)",
        label="「시험에 관한 법률」 제4조의2 (시행 2026-09-01)",
        heading_path=("제1장 총칙", "제1절 통칙"),
        article="제4조의2",
    )
    assert searchable_text(passage.text) == "① 누설하지 못한다."


def test_a_long_article_is_split_between_its_paragraphs_and_says_which_it_holds() -> None:
    passages = law(f"##### 제4조 (비밀)\n\n**①** 짧다.\n\n**②** {LONG}\n\n**③** {LONG}\n\n**④** 끝.\n")
    assert [passage.label for passage in passages] == [
        "「시험에 관한 법률」 제4조 제1항~제2항 (시행 2026-09-01)",
        "「시험에 관한 법률」 제4조 제3항~제4항 (시행 2026-09-01)",
    ]
    assert all(passage.text.startswith("제4조(비밀)\n") for passage in passages)
    assert [passage.parent for passage in passages] == [0, 0]


def test_a_long_list_is_split_between_its_items_and_repeats_its_opening() -> None:
    items = "".join(f"  {number}\\. {LONG}\n" for number in ("1", "2", "2의2"))
    passages = law(f"##### 제5조 (요건)\n\n**①** 다음 각 호의 요건을 모두 갖춰야 한다.\n\n{items}")
    assert [passage.clause for passage in passages] == ["제1항 제1호", "제1항 제2호", "제1항 제2호의2"]
    assert all("다음 각 호의 요건을 모두 갖춰야 한다." in passage.text for passage in passages)


def test_a_list_without_paragraphs_is_split_down_to_its_sub_items() -> None:
    sub_items = "".join(f"    {mark}\\. {LONG}\n" for mark in "가나")
    passages = law(
        f'##### 제2조 (정의)\n\n용어의 뜻은 다음과 같다.\n\n  1\\. "기관"이란 다음의 것을 말한다.\n{sub_items}'
    )
    assert [passage.clause for passage in passages] == ["제1호 가목", "제1호 나목"]
    assert all(
        passage.text.split("\n")[1:3] == ["용어의 뜻은 다음과 같다.", '1. "기관"이란 다음의 것을 말한다.']
        for passage in passages
    )


@pytest.mark.parametrize(("mark", "number"), [("①", 1), ("⑳", 20), ("㉑", 21), ("㉟", 35), ("㊱", 36), ("㊿", 50)])
def test_every_circled_number_is_a_paragraph(mark: str, number: int) -> None:
    passages = law(f"##### 제4조 (비밀)\n\n**{mark}** {mark} {LONG}\n\n**①** {LONG}\n")
    assert passages[0].clause == f"제{number}항"
    assert passages[0].text.count(mark) == 1


def test_deleted_articles_and_addenda_are_left_out() -> None:
    passages = law(
        "##### 제1조 (목적)\n\n목적이다.\n\n##### 제2조\n\n삭제 <2015.7.24>\n\n"
        "##### 제3조 (삭제권)\n\n삭제를 요구할 수 있다.\n\n"
        "## 부칙\n\n부칙 <제1호>\n\n제1조(시행일) 이 법은 공포한 날부터 시행한다.\n"
    )
    assert [passage.article for passage in passages] == ["제1조", "제3조"]


def test_deleted_items_are_shown_and_not_searched() -> None:
    (passage,) = law("##### 제1조 (목적)\n\n다음과 같다.\n\n  1\\. 하나\n  2\\. 삭제 <2015.7.24>\n")
    assert passage.text.endswith("1. 하나\n2. 삭제 <2015.7.24>")
    assert searchable_text(passage.text) == "다음과 같다.\n1. 하나"


def test_drawn_tables_and_image_tags_of_the_law_portal_become_text() -> None:
    (passage,) = law(
        "##### 제1조 (수수료)\n\n표와 같다.\n\t┌──┬──┐\n\t│금액 │수수료│\n\t└──┴──┘\n"
        '\t<img src="http://x/1" alt="i" >\n\t</img>\n'
    )
    assert passage.text == "제1조(수수료)\n표와 같다.\n금액 | 수수료"


def test_an_act_that_only_repeals_is_told_apart() -> None:
    assert is_repealing_act(load("a.md", f"{LAW_HEAD}##### 제0조\n\n이자제한법은 이를 폐지한다.\n".encode()))
    assert not is_repealing_act(load("a.md", f"{LAW_HEAD}##### 제1조 (폐지)\n\n규칙을 폐지한다.\n".encode()))


@pytest.mark.skipif(not STATUTES.is_dir(), reason="the statutes are not on this machine")
def test_the_whole_collection_has_its_known_number_of_articles_none_lost_in_cutting() -> None:
    found = 0
    for file in sorted((STATUTES / "current").glob("*/*.md")):
        document = load(file.name, file.read_bytes())
        articles = [article.number for article in articles_of(document.blocks)]
        drafts = draft_passages(document, document.title or "", SINCE)
        assert list(dict.fromkeys(draft.article for draft in drafts)) == articles
        assert all(len(draft.text) < MAX_PASSAGE_CHARACTERS + 100 for draft in drafts)
        found += len(articles)
    assert found == ARTICLES_OF_THE_COLLECTION


@pytest.mark.skipif(not STATUTES.is_dir(), reason="the statutes are not on this machine")
def test_every_line_of_a_statute_is_in_one_of_its_passages() -> None:
    document = load("법률.md", next((STATUTES / "current").glob("은행법/법률.md")).read_bytes())
    shown = {line for draft in draft_passages(document, "은행법", SINCE) for line in draft.text.splitlines()}
    lines = [line for article in articles_of(document.blocks) for line in article.lines]
    assert [line for line in lines if line not in shown] == []


@pytest.mark.parametrize("page", [None, 3])
def test_a_regulation_in_any_format_is_cited_by_article(page: int | None) -> None:
    lines = [
        "여신업무 취급규정",
        "제1장 총칙",
        "제1조(목적) 이 규정은 여신업무의 기준을 정한다.",
        "제2조(정의) ① 여신이란 대출과 지급보증을 말한다.",
        "제3조(다른 규정)에 따라 정한다는 이 줄은 조문의 시작이 아니다.",
        "② 차주란 돈을 빌린 사람을 말한다.",
        "제 3 조 (한도) 1인당 한도는 1억원으로 한다.",
        "제4조 삭제 <2025.1.1>",
        "부칙",
        "제1조(시행일) 이 규정은 2026년 9월 1일부터 시행한다.",
        "[별표 1]",
        "수수료는 600원이다.",
    ]
    document = LoadedDocument("pdf", tuple(Block("paragraph", line, page=page) for line in lines))
    passages = draft_passages(document, "여신업무 취급규정", SINCE)
    assert [(passage.article, passage.heading_path) for passage in passages] == [
        (None, ()),
        ("제1조", ("제1장 총칙",)),
        ("제2조", ("제1장 총칙",)),
        ("제3조", ("제1장 총칙",)),
        (None, ("부칙",)),
        (None, ("[별표 1]",)),
    ]
    assert passages[2].text.startswith("제2조(정의)\n① 여신이란")
    assert {passage.page for passage in passages} == {page}
    assert passages[3].label == "「여신업무 취급규정」 제3조 (시행 2026-09-01)"


def test_a_document_that_only_mentions_articles_is_cut_by_its_headings() -> None:
    passages = drafts_of("## 근거\n\n제3조(한도) 에 따른다.\n\n제5조(금리) 에 따른다.\n")
    assert [(passage.article, passage.label) for passage in passages] == [(None, "「안내」 근거")]


def test_sections_are_cited_by_their_headings_and_the_title_is_not_repeated() -> None:
    passages = drafts_of("# 안내\n\n머리글\n\n## 예금\n\n### 금리\n\n연 3%\n\n## 대출\n\n연 5%\n")
    assert [(passage.label, passage.header, passage.text) for passage in passages] == [
        ("「안내」", "안내", "머리글"),
        ("「안내」 예금 > 금리", "안내 예금 금리", "연 3%"),
        ("「안내」 대출", "안내 대출", "연 5%"),
    ]


def test_a_heading_with_nothing_below_it_is_kept_as_text() -> None:
    assert [passage.text for passage in drafts_of("## 표지\n\n## 본문\n\n글\n\n## 끝\n")] == ["표지", "글", "끝"]


def test_a_long_section_is_cut_evenly_between_sentences() -> None:
    sentence = "정기예금은 목돈을 한 번에 맡기고 만기에 이자를 함께 받는 예금입니다."
    passages = drafts_of("## 설명\n\n" + " ".join([sentence] * 26))
    assert len(passages) == 2
    assert all(passage.text.endswith("예금입니다.") and passage.text.startswith("정기예금은") for passage in passages)
    assert abs(len(passages[0].text) - len(passages[1].text)) <= 3 * len(sentence)
    assert [passage.parent for passage in passages] == [0, 0]


def test_a_table_that_goes_on_in_the_next_passage_repeats_its_heading_row() -> None:
    rows = "".join(
        f"| 상품 {number} | 연 2.85% | 1인당 {number}억원까지 맡길 수 있습니다 |\n" for number in range(1, 31)
    )
    passages = drafts_of(f"## 표\n\n| 상품 | 금리 | 한도 |\n|---|---|---|\n{rows}")
    assert len(passages) > 1
    assert all(passage.text.startswith("상품 | 금리 | 한도\n상품 ") for passage in passages)
    assert "\n".join(passage.text for passage in passages).count("연 2.85%") == 30


def test_a_passage_never_spans_two_pages() -> None:
    blocks = tuple(Block("paragraph", f"{page}쪽의 글", page=page) for page in (1, 1, 2))
    passages = draft_passages(LoadedDocument("pdf", blocks), "안내", None)
    assert [(passage.page, passage.label) for passage in passages] == [(1, "「안내」, p. 1"), (2, "「안내」, p. 2")]


def test_a_question_and_its_answer_are_one_passage_cited_by_row() -> None:
    document = load("faq.csv", "질문,답변\n한도는?,1억원입니다.\n금리는?,연 3%입니다.\n".encode())
    passages = draft_passages(document, "FAQ", None)
    assert [(passage.text, passage.header, passage.label) for passage in passages] == [
        ("Q. 한도는?\nA. 1억원입니다.", "FAQ 한도는?", "「FAQ」 한도는?, 행 2"),
        ("Q. 금리는?\nA. 연 3%입니다.", "FAQ 금리는?", "「FAQ」 금리는?, 행 3"),
    ]
    assert searchable_text(passages[0].text) == "A. 1억원입니다."


def test_rows_of_a_sheet_are_cited_by_sheet_and_row() -> None:
    blocks = tuple(Block("row", f"상품: 예금 {n} | 금리: 연 3%", sheet="금리표", row=n, table=1) for n in (2, 3))
    (passage,) = draft_passages(LoadedDocument("xlsx", blocks), "금리", None)
    assert passage.label == "「금리」, 시트 금리표, 행 2~3"


def test_labels_of_endless_headings_stay_within_the_column() -> None:
    (passage,) = drafts_of("".join(f"{'#' * level} {'제목 ' * 200}\n\n" for level in range(1, 7)) + "글")
    assert len(passage.label) <= 512


@given(st.text(alphabet="가나다 라마.,!?1㉠", max_size=3000), st.integers(min_value=20, max_value=900))
def test_cutting_a_line_loses_no_character_and_keeps_to_the_room(line: str, room: int) -> None:
    pieces = list(sentence_pieces(line, room))
    assert "".join("".join(pieces).split()) == "".join(line.split())
    assert all(len(piece) <= room + 1 for piece in pieces)
