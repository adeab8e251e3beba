"""Mail addresses and IP addresses, written or spelt out (골뱅이, 점, (at), [dot]).

An own mail rule, because Presidio's asks the internet for the list of public suffixes and stops at a word boundary,
so a Korean particle behind the address hides it. Addresses after RFC 5322 (dot-atoms) and RFC 4291.
"""

import ipaddress
import re
from collections.abc import Iterator

from llm_service.masking.korean.recogniser import LIKELY, STRONG, Finding, KoreanRecogniser, before, finding
from llm_service.masking.language import Reading

_OPEN, _CLOSE, _BLANKS = r"[\[({<]\s?", r"\s?[\])}>]", r"\s{0,2}"
_AT = rf"(?:{_BLANKS}(?:@|{_OPEN}(?:at|AT|@|골뱅이){_CLOSE}|골뱅이|골벵이|앳|엣){_BLANKS}|\s(?:at|AT)\s)"
_DOT = rf"(?:{_BLANKS}(?:\.|{_OPEN}(?:dot|DOT|\.|점){_CLOSE}|점|쩜|닷){_BLANKS}|\s(?:dot|DOT)\s)"
_SPELT_AT = re.compile(r"골뱅이|골벵이|앳|엣")
_MAIL_TRIGGER = re.compile(r"@|골뱅이|골벵이|앳|엣|at|AT")
_DOMAIN_WORDS = r"네이버|지메일|다음|한메일|카카오|네이트|구글|핫메일|아웃룩|야후"
_MAIL_TAIL = re.compile(
    rf"{_AT}(?P<domain>(?:[A-Za-z0-9_-]{{1,63}}|{_DOMAIN_WORDS})(?:{_DOT}(?:[A-Za-z0-9-]{{1,63}}|컴|넷|씨오|케이알)){{1,4}})"
)
_LOCAL_END = re.compile(r"[A-Za-z0-9._%+'-]{1,64}$")
_SPELT_JOINT = rf"(?:{_DOT}|\s?(?:언더바|언더스코어|밑줄|하이픈|대시|다시)\s?)"
_SPELT_LOCAL_END = re.compile(rf"[A-Za-z0-9_%+-]{{1,40}}(?:{_SPELT_JOINT}[A-Za-z0-9_%+-]{{1,40}}){{0,3}}$")
_HANGUL_LOCAL_END = re.compile(r"[A-Za-z0-9._가-힣-]{1,20}$")
_SPELT_PROVIDER = re.compile(
    rf"[A-Za-z0-9_%+-]{{1,40}}(?:{_SPELT_JOINT}[A-Za-z0-9_%+-]{{1,40}}){{0,3}}"
    rf"\s?(?:골뱅이|골벵이|앳|엣)\s?(?:{_DOMAIN_WORDS}|naver|gmail|daum|hanmail|kakao|nate)"
)

_V4_DOT = r"\s?(?:\.|점|쩜|닷|dot|\[\.\]|\(\.\)|\[dot\])\s?"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_V4 = re.compile(rf"(?<![0-9.])(?:{_OCTET}{_V4_DOT}){{3}}{_OCTET}(?![0-9]|\.[0-9])")
_V6 = re.compile(r"(?<![0-9A-Za-z:])(?:[0-9A-Fa-f]{1,4}:{1,2}|::){1,8}[0-9A-Fa-f]{0,4}(?:%[a-z0-9]+)?(?![0-9A-Za-z:])")
_VERSION_BEFORE = re.compile(
    r"(?:버전|버젼|version|Version|VERSION|ver\.?|Ver\.?|(?<![A-Za-z])[vV]|빌드|build|펌웨어|릴리스|패치)[\s:=은는이가]{0,4}$"
)
_VERSION_AFTER = re.compile(r"\s?(?:버전|버젼|version|Version|빌드|패치|으?로\s?업데이트|릴리스)")


class MailRecogniser(KoreanRecogniser):
    TYPES = ("EMAIL",)

    def find(self, reading: Reading) -> Iterator[Finding]:
        view = reading.base
        if not _MAIL_TRIGGER.search(view.text):
            return
        for match in _MAIL_TAIL.finditer(view.text):
            if local := _local_part(before(view, match.start(), reach=130), spelt=match.group().lstrip()[0] != "@"):
                yield finding("EMAIL", view, match.start() - len(local), match.end(), STRONG)
        if _SPELT_AT.search(view.text):
            for match in _SPELT_PROVIDER.finditer(view.text):
                yield finding("EMAIL", view, match.start(), match.end(), LIKELY)


def _local_part(head: str, *, spelt: bool) -> str:
    rules = (_SPELT_LOCAL_END, _LOCAL_END) if spelt else (_LOCAL_END, _SPELT_LOCAL_END, _HANGUL_LOCAL_END)
    return next((match.group() for rule in rules if (match := rule.search(head))), "")


class IpRecogniser(KoreanRecogniser):
    TYPES = ("IP",)

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            for match in view.matches(_V4):
                if not _is_version(view.text, match):
                    yield finding("IP", view, match.start(), match.end(), LIKELY if view.guessed else STRONG)
            if ":" in view.text:
                for match in view.matches(_V6):
                    if _is_ipv6(match.group()):
                        yield finding("IP", view, match.start(), match.end(), STRONG)


def _is_version(text: str, match: re.Match[str]) -> bool:
    return bool(
        _VERSION_BEFORE.search(text[max(0, match.start() - 12) : match.start()])
        or _VERSION_AFTER.match(text, match.end())
    )


def _is_ipv6(value: str) -> bool:
    if sum(character.isalnum() for character in value) < 3 or value.count(":") < 2:
        return False
    try:
        ipaddress.IPv6Address(value.partition("%")[0])
    except ValueError:
        return False
    return True
