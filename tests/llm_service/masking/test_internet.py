"""Mail and IP addresses, written or spelt out."""

import pytest

from tests.llm_service.masking.conftest import Found

MASKED = [
    # text, type, value
    ("hong@example.com으로 보내주세요", "EMAIL", "hong@example.com"),
    ("메일은 h.o.n-g_1@gmail.com이요", "EMAIL", "h.o.n-g_1@gmail.com"),
    ("hong골뱅이naver점com", "EMAIL", "hong골뱅이naver점com"),
    ("hong 골뱅이 naver 점 com", "EMAIL", "hong 골뱅이 naver 점 com"),
    ("hong(at)naver[dot]com", "EMAIL", "hong(at)naver[dot]com"),
    ("hong at naver dot com", "EMAIL", "hong at naver dot com"),
    ("ｈｏｎｇ＠ｎａｖｅｒ．ｃｏｍ", "EMAIL", "ｈｏｎｇ＠ｎａｖｅｒ．ｃｏｍ"),
    ("hong&#64;naver&#46;com", "EMAIL", "hong&#64;naver&#46;com"),
    ("hong 골뱅이 네이버", "EMAIL", "hong 골뱅이 네이버"),
    ("192.168.0.1에서 접속", "IP", "192.168.0.1"),
    ("192점168점0점1", "IP", "192점168점0점1"),
    ("2001:db8::1에서", "IP", "2001:db8::1"),
    ("10 . 0 . 0 . 1", "IP", "10 . 0 . 0 . 1"),
    ("１９２．１６８．０．１", "IP", "１９２．１６８．０．１"),
]
KEPT = [
    "@멘션은 어떻게 하나요",
    "이메일 주소를 바꾸고 싶어요",
    "버전 10.2.1.3",
    "앱 버전이 4.19.7.24인데",
    "12:30:45에 접속",
    "v1.2.3.4 배포",
]


@pytest.mark.parametrize(("text", "type_", "value"), MASKED)
def test_the_value_is_found_exactly(found: Found, text: str, type_: str, value: str) -> None:
    assert found(text) == [(type_, value)]


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(found: Found, text: str) -> None:
    assert found(text) == []
