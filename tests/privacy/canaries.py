"""Canaries: invented personal data of every type of the policy, made anew for each run from a random seed.

No file of the project holds one, so wherever one is found, the run has written it there. Each type comes in the form
people mostly write and in a disguise that the masker promises to see through.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LUHN_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
RRN_WEIGHTS: Final = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
BRN_WEIGHTS: Final = (1, 3, 7, 1, 3, 7, 1, 3, 5)
HANGUL_DIGITS: Final = "공일이삼사오육칠팔구"
FULL_WIDTH: Final = str.maketrans("0123456789-@.", "０１２３４５６７８９－＠．")
ENCLOSED: Final = str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨")
ZERO_WIDTH: Final = "\N{ZERO WIDTH SPACE}"


@dataclass(frozen=True)
class Canary:
    """One invented value. `typed` is how it is written in a door, `known_as` every spelling that must be nowhere.

    `is_certain` says that the masker promises to find it; a hard name may stand in the masked text, never in a log.
    """

    type: str
    typed: str
    sentence: str
    known_as: tuple[str, ...]
    is_certain: bool = True
    disguised: bool = False

    @property
    def text(self) -> str:
        """A sentence that holds it, as a customer would write it."""
        return self.sentence.format(self.typed)


Make = Callable[[random.Random], str]
Disguise = Callable[[str], str]


def make_canaries(seed: str) -> tuple[Canary, ...]:
    """One canary a type and a disguised one beside it, and three names; the same for the same seed."""
    draw = random.Random(seed)
    made = []
    for type_, (make, disguise, sentence) in RECIPES.items():
        plain, hidden = make(draw), make(draw)
        made.append(Canary(type_, plain, sentence, _spellings(type_, plain)))
        known = _spellings(type_, hidden)
        spellings = tuple(dict.fromkeys((*map(disguise, known), *known)))
        made.append(Canary(type_, disguise(hidden), sentence, spellings, disguised=True))
    easy, hard = _name(draw, 2), _name(draw, 1)
    made.append(Canary("PERSON", easy, "저는 고객 {}이라고 합니다. 정기예금 이자가 궁금해요", (easy,)))
    made.append(Canary("PERSON", hard, "{} 정기예금 이자 알려 줘", (hard,), is_certain=False))
    return tuple(made)


def spaced(value: str) -> str:
    return " ".join(value.replace("-", ""))


def full_width(value: str) -> str:
    return value.translate(FULL_WIDTH)


def enclosed(value: str) -> str:
    return value.translate(ENCLOSED)


def zero_width(value: str) -> str:
    return ZERO_WIDTH.join(value)


def read_aloud(value: str) -> str:
    return "".join(HANGUL_DIGITS[int(sign)] if sign.isdigit() else " " for sign in value)


def spoken_mail(value: str) -> str:
    return value.replace("@", " 골뱅이 ").replace(".", " 점 ")


def html_digits(value: str) -> str:
    return "".join(f"&#{ord(sign)};" if sign.isdigit() else sign for sign in value)


def dotted(value: str) -> str:
    return value.replace("-", ".")


def _digits(draw: random.Random, count: int, first: str = "123456789") -> str:
    return draw.choice(first) + "".join(draw.choices("0123456789", k=count - 1))


def _date(draw: random.Random) -> tuple[int, int, int]:
    return draw.randint(1931, 1978), draw.randint(1, 12), draw.randint(1, 28)


def _registration(draw: random.Random, sexes: str, base: int) -> str:
    year, month, day = _date(draw)
    body = f"{year % 100:02}{month:02}{day:02}{draw.choice(sexes)}{_digits(draw, 5, '0123456789')}"
    total = sum(weight * int(digit) for weight, digit in zip(RRN_WEIGHTS, body, strict=True))
    return f"{body[:6]}-{body[6:]}{(base - total % 11) % 10}"


def _rrn(draw: random.Random) -> str:
    return _registration(draw, "12", 11)


def _frn(draw: random.Random) -> str:
    return _registration(draw, "56", 13)


def _passport(draw: random.Random) -> str:
    return f"M{_digits(draw, 3)}{draw.choice('ABCDEFGHJKLMNPRSTUVWXYZ')}{_digits(draw, 4)}"


def _licence(draw: random.Random) -> str:
    return f"{draw.randint(11, 26)}-{_digits(draw, 2)}-{_digits(draw, 6)}-{_digits(draw, 2)}"


def _brn(draw: random.Random) -> str:
    body = f"{_digits(draw, 3, '123456')}{draw.choice(('12', '23', '45'))}{_digits(draw, 4)}"
    total = sum(weight * int(digit) for weight, digit in zip(BRN_WEIGHTS, body, strict=True)) + int(body[8]) * 5 // 10
    return f"{body[:3]}-{body[3:5]}-{body[5:]}{-total % 10}"


def _card(draw: random.Random) -> str:
    body = _digits(draw, 15, "4")
    total = sum(
        LUHN_DOUBLED[int(digit)] if place % 2 == 0 else int(digit) for place, digit in enumerate(reversed(body))
    )
    number = f"{body}{-total % 10}"
    return "-".join(number[at : at + 4] for at in range(0, 16, 4))


def _account(draw: random.Random) -> str:
    return f"{_digits(draw, 3)}-{_digits(draw, 2)}-{_digits(draw, 6)}"


def _phone(draw: random.Random) -> str:
    return f"010-{_digits(draw, 4, '23456789')}-{_digits(draw, 4)}"


def _email(draw: random.Random) -> str:
    return f"{''.join(draw.choices('abcdefghijkmnpqrstuvwxyz', k=7))}{_digits(draw, 3)}@example.com"


def _address(draw: random.Random) -> str:
    road = "".join(draw.choices("가나다라마바사아자차카타파하", k=2))
    return f"서울특별시 마포구 {road}로{draw.randint(11, 98)}길 {draw.randint(11, 98)}-{draw.randint(11, 98)}"


def _birthdate(draw: random.Random) -> str:
    year, month, day = _date(draw)
    return f"{year}-{month:02}-{day:02}"


def _ip(draw: random.Random) -> str:
    return ".".join(str(draw.randint(128, 223)) for _ in range(4))


def _plate(draw: random.Random) -> str:
    return f"{draw.randint(100, 699)}{draw.choice('가나다라마거너더러머버서')}{_digits(draw, 4)}"


def _customer(draw: random.Random) -> str:
    return _digits(draw, 10)


def _name(draw: random.Random, given: int) -> str:
    syllables = draw.sample("민서준지현우수아영진호연채윤성재은혜", given)
    return draw.choice("김이박최정강조윤장임") + "".join(syllables)


RECIPES: Final[dict[str, tuple[Make, Disguise, str]]] = {
    "KR_RRN": (_rrn, full_width, "주민등록번호 {} 인데 정기예금 이자는 어떻게 되나요?"),
    "KR_FRN": (_frn, spaced, "외국인등록번호가 {} 인데 정기예금에 가입할 수 있나요?"),
    "KR_PASSPORT": (_passport, full_width, "여권번호는 {} 이고 정기예금 이자가 궁금합니다"),
    "KR_DRIVER_LICENSE": (_licence, full_width, "운전면허번호 {} 로 실명확인이 되나요?"),
    "KR_BRN": (_brn, full_width, "사업자등록번호 {} 로 예금 통장을 만들 수 있나요?"),
    "CREDIT_CARD": (_card, zero_width, "카드번호 {} 인데 정기예금 이자는 언제 나오나요?"),
    "KR_BANK_ACCOUNT": (_account, dotted, "국민은행 계좌번호 {} 로 이자를 받을 수 있나요?"),
    "PHONE": (_phone, read_aloud, "제 전화번호는 {} 입니다. 중도해지 이자는 얼마인가요?"),
    "EMAIL": (_email, spoken_mail, "메일 {} 로 정기예금 안내를 보내 주세요"),
    "ADDRESS": (_address, full_width, "집 주소는 {} 이고 정기예금 이자가 궁금합니다"),
    "BIRTHDATE": (_birthdate, full_width, "생년월일은 {} 인데 정기예금 이자는 얼마인가요?"),
    "IP": (_ip, full_width, "접속 IP {} 에서 오류가 나요. 정기예금 이자는요?"),
    "VEHICLE_PLATE": (_plate, enclosed, "차량번호 {} 로 담보대출이 되나요?"),
    "CUSTOMER_ID": (_customer, html_digits, "고객번호 {} 인데 정기예금 이자는 어떻게 되나요?"),
}


def _spellings(type_: str, value: str) -> tuple[str, ...]:
    """What must be nowhere: of a mail the local part, of an address all from the road on, else the whole value."""
    match type_:
        case "EMAIL":
            return (value.partition("@")[0],)
        case "ADDRESS":
            return (value.split(" ", 2)[2],)
        case _:
            return (value,)
