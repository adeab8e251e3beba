"""What may leave for Slack and Teams: checked by the real masking, made inert; nothing while that is away."""

import html
import re

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.gateway import outbound
from bot.gateway.markup import Markup, clipped
from bot.gateway.outbound import Blocked, OutboundGate, OutboundText, stable_length
from llm_service import wiring
from llm_service.client import LlmServiceClient
from llm_service.masked import RawText

HOSTS = ["www.law.go.kr", "bank.example"]
MARKUP = Markup(HOSTS, "(masked)", "(no link)")
LIVE_IN_SLACK = re.compile(r"<[!@#a-z]|https?://(?!www\.law\.go\.kr|bank\.example)|@(?=\w)", re.IGNORECASE)
FRAGMENTS = [
    *("<!channel>", "<!here|here>", "<@U012ABCDEF>", "<#C012|general>", "<https://evil.example|여기>"),
    *("https://evil.example/a?b=1", "www.evil.example", "HTTPS://BANK.EXAMPLE@evil.example"),
    *("[약관](https://www.law.go.kr/법령/은행법)", "https://bank.example/도움말_1 ", "[약관](javascript:alert(1))"),
    *("![그림](https://evil.example/p.png)", "[a\\]b](https://evil.example)", "[a [b] c](https://evil.example)"),
    *("[x]: https://evil.example", "javascript:alert(1)", "<script>alert(1)</script>", "<at>everyone</at>"),
    *("&lt;!channel&gt;", "&#60;!channel&#62;", "@channel", "@here", "<PHONE_1>", "[PERSON_1]", "&lt; phone_1 &gt;"),
    *("| 상품 | 금리 |\n|---|---|\n| 가 | 3.5% |\n", "```\n<!channel>\n```", "**굵게**", "[1]", "[2] "),
    *("\n\n", " ", "\n", "예금", "이자는 ", "!", "[", "]", "(", ")", "<", ">", "&", "\u202e", "\x00", "가", "a", "1"),
]


def mask_app(analysers: wiring.Analysers) -> Starlette:
    async def mask(request: Request) -> Response:
        found = analysers.masker.mask(RawText((await request.json())["text"]))
        return JSONResponse({"masked": found.text, "entity_counts": dict(found.counts)})

    return Starlette(routes=[Route("/v1/mask", mask, methods=["POST"])])


def gate_before(app: Starlette) -> OutboundGate:
    client = LlmServiceClient("http://llm-service", "token", httpx.ASGITransport(app))
    return OutboundGate(client, HOSTS, "https://bank.example/chat")


@pytest.fixture
async def gate(analysers: wiring.Analysers) -> OutboundGate:
    return gate_before(mask_app(analysers))


def says(answer: Response) -> Starlette:
    async def mask(_request: Request) -> Response:
        return answer

    return Starlette(routes=[Route("/v1/mask", mask, methods=["POST"])])


VALUES = {
    "resident number": "900101-1234568",
    "resident number, spaced": "900101 - 1234568",
    "resident number in bold halves": "9001**01-12**34568",
    "resident number across an empty image": "900101-1![2](https://evil.example/x)34568",
    "resident number across a link": "900101-1[2](https://evil.example/x)34568",
    "resident number with escapes": "900101\\-1234568",
    "card": "카드 4111-1111-1111-1111",
    "telephone": "010-1234-5678",
    "mail address": "hong@example.com",
    "zero width": "010\u200b-1234\u200b-5678",
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
async def test_a_text_with_a_persons_value_does_not_leave(gate: OutboundGate, value: str) -> None:
    for written in (gate.markdown, gate.literal):
        with pytest.raises(Blocked) as blocked:
            await written(f"조회한 값은 {value} 입니다.", "bank", "ko")
        assert blocked.value.reason == "personal_data"


async def test_a_link_that_stays_carries_no_value_in_its_address(gate: OutboundGate) -> None:
    link = "[문의](https://www.law.go.kr/?to=hong@example.com)"
    with pytest.raises(Blocked):
        await gate.markdown(link, "bank", "ko")
    assert (await gate.literal(link, "bank", "ko")).text == "문의"


async def test_a_value_deep_in_a_long_text_does_not_leave(gate: OutboundGate) -> None:
    for before in (0, 3290, 3490, 7000):
        with pytest.raises(Blocked):
            await gate.markdown("가나다 " * (before // 4) + "010-1234-5678 입니다", "bank", "ko")


async def test_a_name_that_a_person_typed_does_not_leave_but_the_banks_words_do(gate: OutboundGate) -> None:
    text = "홍길동 고객님의 예금"
    with pytest.raises(Blocked):
        await gate.markdown(text, "person", "ko")
    assert (await gate.markdown(text, "bank", "ko")).text == text


@pytest.mark.parametrize(
    "answer",
    [
        JSONResponse({"error": {"code": "masking_unavailable", "message": "", "message_ko": ""}}, 503),
        JSONResponse({"masked": "x"}),
        JSONResponse({"entity_counts": None}),
        Response("not json", 200),
    ],
)
async def test_while_masking_does_not_answer_nothing_leaves(answer: Response) -> None:
    with pytest.raises(Blocked) as blocked:
        await gate_before(says(answer)).markdown("예금자보호 한도는 얼마인가요?", "bank", "ko")
    assert blocked.value.reason == "unchecked"


async def test_while_llm_service_is_away_nothing_leaves() -> None:
    away = LlmServiceClient("http://127.0.0.1:9", "token")
    with pytest.raises(Blocked) as blocked:
        await OutboundGate(away, HOSTS, "").literal("예금", "bank", "ko")
    assert blocked.value.reason == "unchecked"
    await away.close()


def test_nobody_but_the_gate_makes_text_that_may_leave() -> None:
    with pytest.raises(TypeError, match="outbound gate"):
        OutboundText(object(), "010-1234-5678")


async def test_a_text_that_may_leave_does_not_show_itself(gate: OutboundGate) -> None:
    assert "예금" not in f"{await gate.markdown('예금', 'bank', 'ko')!r}"


async def test_placeholders_leave_as_a_word_and_are_never_restored(gate: OutboundGate) -> None:
    for placeholder in ("<PHONE_1>", "[PHONE_1]", "&lt;phone_1&gt;"):
        assert (await gate.markdown(f"번호 {placeholder} 로", "bank", "ko")).text == "번호 (가린 개인정보) 로"


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("[은행법](https://www.law.go.kr/LSW)", "[은행법](https://www.law.go.kr/LSW)"),
        ("[은행법](https://www.law.go.kr/법령)", "[은행법](https://www.law.go.kr/%EB%B2%95%EB%A0%B9)"),
        ("[은행법](http://www.law.go.kr/LSW)", "은행법"),
        ("[은행법](https://www.law.go.kr@evil.example)", "은행법"),
        ("[은행법](https://www.law.go.kr.evil.example)", "은행법"),
        ("[은행법](https://www.law.go.kr:8443/)", "은행법"),
        ("[열기](javascript:alert)", "열기"),
        ("![그림](https://www.law.go.kr/p.png)", "그림"),
        ("보기: https://evil.example/a.", "보기: (no link)."),
        ("링크https://evil.example", "링크(no link)"),
        ("<!channel> 모두", "&lt;!channel&gt; 모두"),
        ("@channel 모두", "@\u2060channel 모두"),
        ("근거는 [1], [2]에 있습니다.", "근거는 [1], [2]에 있습니다."),
        ("[https://evil.example](https://www.law.go.kr/)", "[(no link)](https://www.law.go.kr/)"),
        ("**굵게** `코드`\n- 하나\n- 둘", "**굵게** `코드`\n- 하나\n- 둘"),
    ],
)
def test_markdown_is_made_inert(written: str, sent: str) -> None:
    assert MARKUP.markdown(written) == sent


fragments = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=8)), max_size=25).map("".join)


@given(fragments)
@settings(max_examples=500, deadline=None)
def test_nothing_a_model_writes_is_live(text: str) -> None:
    for rendered in (MARKUP.markdown(text), MARKUP.literal(text)):
        assert not LIVE_IN_SLACK.search(rendered), rendered
        assert "![" not in rendered
        targets = re.findall(r"\]\(([^)]*)\)", rendered)
        assert all(target.startswith(("https://www.law.go.kr", "https://bank.example")) for target in targets)
        assert not re.search(r"\][:\[]", rendered)
    assert not re.search(r"[<>]", MARKUP.markdown(text))
    assert not re.search(r"&(?!lt;|gt;|amp;)", MARKUP.markdown(text))


@given(fragments)
@settings(max_examples=150, deadline=None)
def test_what_may_leave_early_is_a_prefix_of_the_whole(text: str) -> None:
    whole = MARKUP.markdown(text)
    for end in range(len(text) + 1):
        early = MARKUP.markdown(text[: stable_length(text[:end])])
        assert whole.startswith(early), (early, whole)


@pytest.mark.parametrize("value", ["900101-1234568", "010 1234 5678", "공일공 일이삼사 오육칠팔", "110 - 234 - 567890"])
def test_no_piece_ends_inside_a_value(value: str) -> None:
    text = f"고객의 번호는 {value} 번으로 되어 있습니다 라고"
    start, end = text.index(value), text.index(value) + len(value)
    cuts = {stable_length(text[:position]) for position in range(len(text) + 1)}
    assert cuts.isdisjoint(range(start + 1, end))
    assert max(cuts) > end


CLEAN = ["예금자보호 ", "한도는 ", "1억원 ", "입니다. ", "[1] ", "\n\n", "- 이자 ", "<!channel> "]
clean_words = st.lists(st.sampled_from([*CLEAN, "[약관](https://bank.example/a) "]), min_size=1, max_size=40).map(
    "".join
)


@given(text=clean_words, cuts=st.lists(st.integers(0, 400), max_size=12))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_pieces_joined_are_byte_for_byte_the_whole(gate: OutboundGate, text: str, cuts: list[int]) -> None:
    stream = gate.stream("bank", "ko")
    pieces, last = [], 0
    for cut in [*sorted(cut for cut in cuts if cut < len(text)), len(text)]:
        stream.add(text[last:cut])
        pieces.append(await stream.release())
        last = cut
    pieces.append(await stream.finish())
    joined = "".join(piece.text for piece in pieces)
    assert joined == stream.whole.text == (await gate.markdown(text, "bank", "ko")).text


@pytest.mark.parametrize("value", ["900101-1234568", "010 1234 5678", "4111 1111 1111 1111"])
async def test_of_a_streamed_value_not_even_a_part_leaves(gate: OutboundGate, value: str) -> None:
    stream = gate.stream("bank", "ko")
    sent = ""
    with pytest.raises(Blocked):  # noqa: PT012 - where among the characters it stops is not promised
        for character in f"고객님이 물으신 그 번호는 {value} 번으로 되어 있습니다 라고 합니다.":
            stream.add(character)
            sent += (await stream.release()).text
        sent += (await stream.finish()).text
    assert not any(character.isdigit() for character in sent)


@given(st.text(max_size=300), st.integers(2, 100))
def test_pages_are_the_whole_text_and_none_is_too_long(text: str, maximum: int) -> None:
    whole = _own(text)
    pages = list(whole.pages(maximum))
    assert "".join(page.text for page in pages) == text
    assert all(0 < len(page) <= maximum for page in pages)


@given(st.text(max_size=300), st.integers(8, 100))
def test_a_clipped_text_is_not_too_long_and_ends_in_no_half_entity(text: str, maximum: int) -> None:
    short = clipped(html.escape(text, quote=False), maximum)
    assert len(short) <= maximum
    assert not re.search(r"&(?!lt;|gt;|amp;)", short)


def _own(text: str) -> OutboundText:
    return OutboundText(outbound._SEAL, text)
