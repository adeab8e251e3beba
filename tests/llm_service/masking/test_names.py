"""Names of persons: what makes a name, with and without cues, and the words that look like names."""

import pytest

from tests.llm_service.masking.conftest import Found

FOUND = [
    # text, names
    ("박서준 고객님이 오셨습니다", ["박서준"]),
    ("어제 김민지가 와서 통장을 만들었어요", ["김민지"]),
    ("예금주 이하늘", ["이하늘"]),
    ("수취인: 정다은", ["정다은"]),
    ("허준 고객 상담 완료", ["허준"]),
    ("담당자 이황입니다", ["이황"]),
    ("남궁민수 차장에게 결재 올렸습니다", ["남궁민수"]),
    ("황보라 팀장이 처리", ["황보라"]),
    ("김철수 대리, 이영희 팀장 참석", ["김철수", "이영희"]),
    ("상담원 김수현과 통화 중 끊겼어요", ["김수현"]),
    ("제 이름은 왕서현이고요", ["왕서현"]),
    ("저는 서울에 사는 김영수라고 합니다", ["김영수"]),
    ("안녕하세요 김율입니다", ["김율"]),
    ("본인(홍길동)은 위 내용을 확인함", ["홍길동"]),
    ("김민지, 박서준, 이하늘 세 명", ["김민지", "박서준", "이하늘"]),
    ("김영수/이철수 공동대표", ["김영수", "이철수"]),
    ("신한 110-123-456789 김영수", ["김영수"]),
    ("김영수 010-1234-5678", ["김영수"]),
    ("이름은장연희이에요", ["장연희"]),
    ("김민지고객님대출문의", ["김민지"]),
    ("박 서준 고객님", ["박 서준"]),
    ("김 민 지 고객", ["김 민 지"]),
    ("김.민.지 고객", ["김.민.지"]),
    (
        "수취인 \u1100\u1175\u11b7\u1106\u1175\u11ab\u110c\u1175 확인",
        ["\u1100\u1175\u11b7\u1106\u1175\u11ab\u110c\u1175"],
    ),
    ("예금주 김\u200b민\u200b지 확인", ["김\u200b민\u200b지"]),
    ("고객명 Hong Gildong", ["Hong Gildong"]),
    ("KIM MIN JI 여권", ["KIM MIN JI"]),
    ("영문이름 hong gildong 입니다", ["hong gildong"]),
    ("Nguyen Van Anh 고객", ["Nguyen Van Anh"]),
    ("My name is Minji Kim.", ["Minji Kim"]),
    ("고객 응우옌반안 님", ["응우옌반안"]),
    ("성명: 제임스", ["제임스"]),
]
KEPT = [
    "정기예금 금리가 어떻게 되나요 이자율은?",
    "김 대리님 말고 다른 분과 통화하고 싶어요",
    "하나은행이랑 우리은행 중에 어디가 나아요",
    "정다운 적금 상품 설명 부탁해요",
    "황금알 적금 금리",
    "강남구에 있는 지점 찾아줘",
    "여의도 지점 ATM 장애",
    "문서로 통지하고 전원의 찬성으로 정한다",
    "임원의 직무를 공정하게 수행하도록 지정한 사람",
    "예대율과 지지율 뜻",
    "신협 계좌에서 다른 은행으로 이체할 때 수수료",
    "만기일 11/9, 가입일 2026-08-11",
    "육천만 원 대출",
    "이사 준비 때문에 이사비용 대출 알아봐요",
    "하지만 이번달 한도가 남은 게 없어요",
    "Happy Card 고객 이벤트",
]


@pytest.mark.parametrize(("text", "names"), FOUND)
def test_a_person_s_name_is_found(found: Found, text: str, names: list[str]) -> None:
    assert [value for type_, value in found(text) if type_ == "PERSON"] == names


@pytest.mark.parametrize("text", KEPT)
def test_a_word_that_looks_like_a_name_stays(found: Found, text: str) -> None:
    assert found(text) == []


def test_a_date_beside_a_name_is_a_birth_date(found: Found) -> None:
    assert found("김민지(90.01.01)") == [("PERSON", "김민지"), ("BIRTHDATE", "90.01.01")]


def test_a_recent_date_beside_a_name_is_a_visit(found: Found) -> None:
    assert found("김민지 2025.01.02 방문") == [("PERSON", "김민지")]
