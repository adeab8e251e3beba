"""Invented values for the slots of the templates: names, numbers and addresses that belong to nobody, and harmless
look-alikes.

Numbers follow their format (check digits where the format has one, and wrong ones where people meet them); nothing
is drawn from Faker, whose Korean resident numbers and addresses are malformed.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Value:
    """A value for a slot. `core` is the part that must disappear, as offsets into text; `kind` splits the report."""

    text: str
    type: str | None
    core: tuple[int, int] | None = None
    kind: str = ""


# --- names

_NAMES: dict[str, list[str]] = {
    kind: words.split()
    for kind, words in yaml.safe_load((Path(__file__).parent / "names.yaml").read_text("utf-8")).items()
}
LATIN_SURNAMES = (
    "Kim",
    "Lee",
    "Park",
    "Choi",
    "Jung",
    "Kang",
    "Cho",
    "Yoon",
    "Jang",
    "Lim",
    "Han",
    "Seo",
    "Shin",
    "Hong",
)
LATIN_GIVEN = (
    "Gildong",
    "Min Ji",
    "Minji",
    "Seo-jun",
    "Ji Hoon",
    "Hyunwoo",
    "Soo-min",
    "Young Hee",
    "Jiwon",
    "Dong Hyun",
)


def person(r: random.Random) -> Value:
    draw = r.random()
    surname = r.choice(_NAMES["surnames"])
    if draw < 0.12:
        uncommon = r.choice(_NAMES["uncommon_first"]) + r.choice(_NAMES["uncommon_last"])
        return Value(surname + uncommon, "PERSON", kind="unlisted")
    if draw < 0.72:
        return Value(surname + r.choice(_NAMES["given_names"]), "PERSON", kind="three")
    if draw < 0.82:
        return Value(surname + r.choice(_NAMES["one_syllable_given_names"]), "PERSON", kind="two")
    if draw < 0.90:
        long_surname = r.choice(_NAMES["two_syllable_surnames"])
        return Value(long_surname + r.choice(_NAMES["given_names"]), "PERSON", kind="long surname")
    return Value(surname + r.choice(_NAMES["word_names"]), "PERSON", kind="word")


def person_latin(r: random.Random) -> Value:
    family, given = r.choice(LATIN_SURNAMES), r.choice(LATIN_GIVEN)
    name = r.choice((f"{family} {given}", f"{given} {family}", f"{family} {given}".upper()))
    return Value(name, "PERSON", kind="latin")


def person_foreign(r: random.Random) -> Value:
    return Value(r.choice(_NAMES["foreign_names"]), "PERSON", kind="foreign")


# --- numbers


def digits(r: random.Random, count: int, first: str = "0123456789") -> str:
    return r.choice(first) + "".join(r.choice("0123456789") for _ in range(count - 1)) if count else ""


def _grouped(r: random.Random, shape: str, separator: str = "-") -> str:
    return separator.join(digits(r, int(group)) for group in shape.split("-"))


def _birth(r: random.Random, year_from: int = 1945, year_to: int = 2006) -> tuple[int, int, int]:
    return r.randint(year_from, year_to), r.randint(1, 12), r.randint(1, 28)


_RRN_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)


def _registration(r: random.Random, foreign: bool) -> str:
    year, month, day = _birth(r, year_to=2023)
    sex = r.choice("12") if year < 2000 else r.choice("34")
    century = str(int(sex) + 4) if foreign else sex
    body = f"{year % 100:02}{month:02}{day:02}{century}{digits(r, 5)}"
    total = sum(weight * int(digit) for weight, digit in zip(_RRN_WEIGHTS, body, strict=True))
    check = str(((13 if foreign else 11) - total % 11) % 10) if r.random() < 0.7 else digits(r, 1)
    return f"{body[:6]}{r.choices(('-', '', ' ', ' - '), (7, 3, 1, 1))[0]}{body[6:]}{check}"


def rrn(r: random.Random) -> Value:
    return Value(_registration(r, foreign=False), "KR_RRN")


def frn(r: random.Random) -> Value:
    return Value(_registration(r, foreign=True), "KR_FRN")


def phone(r: random.Random) -> Value:
    head = r.choices(
        ("010", "011", "016", "070", "0507", "02", "031", "051", "062", "064", "+82 10", "+82-10", "8210"),
        (60, 3, 2, 4, 4, 4, 3, 2, 1, 1, 3, 3, 1),
    )[0]
    middle = digits(r, 3 if head in ("02", "011", "016") and r.random() < 0.6 else 4, "23456789")
    tail = digits(r, 4)
    if head == "8210":
        return Value(f"+8210{middle}{tail}", "PHONE", kind="+82")
    separator = r.choices(("-", "", ".", " "), (6, 3, 1, 1))[0]
    if head == "02" and r.random() < 0.4:
        return Value(f"(02){r.choice(('', ' '))}{middle}-{tail}", "PHONE", kind="landline")
    return Value(separator.join((head, middle, tail)), "PHONE", kind=head)


def phone_land(r: random.Random) -> Value:
    head = r.choice(("02", "031", "032", "042", "051", "053", "055", "061", "063", "064"))
    return Value(
        r.choice(("{}-{}-{}", "{}){}-{}", "({}) {}-{}", "{} {} {}")).format(
            head, digits(r, 3, "23456789"), digits(r, 4)
        ),
        "PHONE",
        kind="landline",
    )


def card(r: random.Random) -> Value:
    amex = r.random() < 0.06
    prefix = (
        r.choice(("34", "37"))
        if amex
        else r.choice(("4", "51", "53", "55", "35", "62", "9410", "9430", "9490", "2221", "6011", "5409", "4579"))
    )
    body = prefix + digits(r, (14 if amex else 15) - len(prefix))
    total = sum(
        v - 9 if v > 9 else v for v in (int(d) * (1 if place % 2 else 2) for place, d in enumerate(reversed(body)))
    )
    number = body + str(-total % 10)
    separator = r.choices(("-", " ", ""), (6, 2, 3))[0]
    groups = (number[:4], number[4:10], number[10:]) if amex else tuple(number[at : at + 4] for at in range(0, 16, 4))
    return Value(separator.join(groups), "CREDIT_CARD")


BANK_SHAPES = {
    "국민은행": ("6-2-6", "3-2-6"),
    "신한은행": ("3-3-6", "3-2-6"),
    "우리은행": ("4-3-6", "3-6-2-3"),
    "하나은행": ("3-6-5",),
    "농협": ("3-4-4-2", "6-2-6"),
    "기업은행": ("3-6-2-3",),
    "카카오뱅크": ("4-2-7",),
    "토스뱅크": ("4-4-4",),
    "케이뱅크": ("3-3-6",),
    "새마을금고": ("4-4-4-1",),
    "우체국": ("6-2-6",),
    "수협": ("3-2-6",),
    "신협": ("5-2-6",),
    "SC제일은행": ("3-2-6",),
    "씨티은행": ("3-6-3",),
    "부산은행": ("3-4-4-2",),
    "대구은행": ("3-2-6-1",),
    "광주은행": ("3-3-6",),
    "전북은행": ("4-2-7",),
}


def account(r: random.Random) -> Value:
    shape = r.choice(r.choice(tuple(BANK_SHAPES.values())))
    if r.random() < 0.2:
        return Value(_grouped(r, shape, ""), "KR_BANK_ACCOUNT", kind="bare")
    return Value(_grouped(r, shape, r.choices(("-", " "), (9, 1))[0]), "KR_BANK_ACCOUNT", kind="grouped")


def account_bare(r: random.Random) -> Value:
    return Value(digits(r, r.randint(11, 14), "123456789"), "KR_BANK_ACCOUNT", kind="bare")


def bank(r: random.Random) -> Value:
    return Value(r.choice(tuple(BANK_SHAPES)), None)


def brn(r: random.Random) -> Value:
    body = digits(r, 3, "123456") + r.choice(("01", "12", "23", "45", "86", "87")) + digits(r, 4)
    total = sum(w * int(d) for w, d in zip((1, 3, 7, 1, 3, 7, 1, 3, 5), body, strict=True)) + int(body[8]) * 5 // 10
    number = body + str(-total % 10)
    return Value(f"{number[:3]}-{number[3:5]}-{number[5:]}" if r.random() < 0.75 else number, "KR_BRN")


def passport(r: random.Random) -> Value:
    if r.random() < 0.5:
        return Value(r.choice("MMMSRDOG") + digits(r, 8), "KR_PASSPORT", kind="old")
    return Value(
        r.choice("MMS") + digits(r, 3) + r.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") + digits(r, 4), "KR_PASSPORT", kind="new"
    )


def licence(r: random.Random) -> Value:
    rest = f"{digits(r, 2)}-{digits(r, 6)}-{digits(r, 2)}"
    if r.random() < 0.25:
        return Value(
            f"{r.choice(('서울', '경기', '부산', '대구', '인천', '강원', '경남'))} {rest}",
            "KR_DRIVER_LICENSE",
            kind="region",
        )
    number = f"{r.choice((11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28))}-{rest}"
    return Value(
        r.choices((number, number.replace("-", " "), number.replace("-", "")), (7, 1, 2))[0], "KR_DRIVER_LICENSE"
    )


def customer_id(r: random.Random) -> Value:
    return Value(digits(r, r.choice((9, 10)), "123456789"), "CUSTOMER_ID")


def email(r: random.Random) -> Value:
    local = r.choice(("minji", "hong", "kim", "s.park", "jh_lee", "lucky", "happy-day", "abc")) + r.choice(
        ("", str(r.randint(1, 9999)), ".kr", "_07")
    )
    domain = r.choice(
        ("naver.com", "gmail.com", "daum.net", "hanmail.net", "kakao.com", "example.co.kr", "company.kr", "nate.com")
    )
    return Value(f"{local}@{domain}", "EMAIL", (0, len(local)))


def ip(r: random.Random) -> Value:
    if r.random() < 0.15:
        return Value(
            ":".join(f"{r.randint(0, 65535):x}" for _ in range(8))
            if r.random() < 0.5
            else f"2001:db8:{r.randint(1, 9999)}::{r.randint(1, 99)}",
            "IP",
            kind="6",
        )
    return Value(".".join(str(r.randint(1, 254)) for _ in range(4)), "IP", kind="4")


def plate(r: random.Random) -> Value:
    head, syllable = (
        digits(r, r.choice((2, 3)), "123456789"),
        r.choice("가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주하허호"),
    )
    region = r.choice(("서울", "경기", "부산", "인천")) if r.random() < 0.15 else ""
    return Value(
        f"{region}{head[:2] if region else head}{syllable}{r.choice(('', ' '))}{digits(r, 4)}", "VEHICLE_PLATE"
    )


def birthdate(r: random.Random) -> Value:
    year, month, day = _birth(r)
    forms = (
        f"{year}-{month:02}-{day:02}",
        f"{year}.{month:02}.{day:02}",
        f"{year}년 {month}월 {day}일",
        f"{year % 100:02}{month:02}{day:02}",
        f"{year}{month:02}{day:02}",
        f"{year % 100:02}.{month:02}.{day:02}",
        f"{year % 100:02}년 {month}월 {day}일",
        f"{year}/{month}/{day}",
        f"{year}. {month}. {day}",
    )
    return Value(r.choice(forms), "BIRTHDATE")


def birthdate6(r: random.Random) -> Value:
    year, month, day = _birth(r)
    return Value(f"{year % 100:02}{month:02}{day:02}", "BIRTHDATE")


_ROADS = {
    "서울특별시 강남구": ("테헤란로", "강남대로94길", "봉은사로", "언주로147길"),
    "서울 마포구": ("와우산로", "월드컵북로 6길", "독막로"),
    "서울시 종로구": ("세종대로", "율곡로", "자하문로7길"),
    "경기도 성남시 분당구": ("판교역로", "정자일로", "황새울로 200번길"),
    "경기 수원시 영통구": ("광교중앙로", "도청로"),
    "부산광역시 해운대구": ("센텀중앙로", "마린시티1로"),
    "대구 수성구": ("동대구로", "달구벌대로"),
    "인천광역시 연수구": ("송도과학로", "컨벤시아대로"),
    "대전 유성구": ("대학로", "엑스포로97번길"),
    "전북 전주시 완산구": ("홍산로", "효자로"),
    "강원도 춘천시": ("중앙로", "춘천로"),
    "제주특별자치도 제주시": ("노형로", "연북로"),
    "충남 천안시 서북구": ("불당대로", "검은들3길"),
    "경남 창원시 성산구": ("중앙대로", "원이대로"),
}
_LOTS = {
    "서울 관악구": ("봉천동", "신림동"),
    "서울특별시 송파구": ("잠실동", "문정동"),
    "경기도 고양시 일산동구": ("장항동", "마두동"),
    "부산 사하구": ("하단동", "괴정동"),
    "전남 여수시": ("학동", "소라면 죽림리"),
    "경북 포항시 북구": ("양덕동", "흥해읍 옥성리"),
    "광주광역시 서구": ("치평동", "화정동"),
    "충북 청주시 흥덕구": ("가경동", "오송읍 만수리"),
}
_BUILDINGS = (
    "래미안아파트",
    "자이",
    "푸르지오",
    "한빛빌딩",
    "현대아파트",
    "힐스테이트",
    "행복빌라",
    "삼성타워",
    "롯데캐슬",
    "그린오피스텔",
)


def address(r: random.Random) -> Value:
    places = _ROADS if r.random() < 0.65 else _LOTS
    region = r.choice(tuple(places))
    lane = r.choice(places[region])
    number = str(r.randint(1, 400)) + (
        f"-{r.randint(1, 60)}" if r.random() < (0.2 if places is _ROADS else 0.8) else ""
    )
    if places is _LOTS and r.random() < 0.3:
        number += "번지"
    flat = f"{r.randint(101, 130)}동 {r.randint(1, 25)}0{r.randint(1, 6)}호"
    detail = r.choices(
        (
            "",
            f" {flat}",
            f", {flat}",
            f" {r.choice(_BUILDINGS)} {flat}",
            f" {r.choice(_BUILDINGS)} {r.randint(1, 20)}층",
            f", {r.randint(1, 9)}층 {r.randint(101, 909)}호",
            f" ({r.choice(('역삼동', '서교동'))})",
        ),
        (4, 3, 2, 3, 2, 1, 1),
    )[0]
    core = f"{lane} {number}{detail}"
    return Value(f"{region} {core}", "ADDRESS", (len(region) + 1, len(region) + 1 + len(core)))


# --- values that are no personal data


def _amount(r: random.Random) -> str:
    return r.choice(
        (
            f"{r.randint(1, 900)}만원",
            f"{r.randint(1, 9)}억원",
            f"{r.randint(1, 99)},{digits(r, 3)},000원",
            f"{r.randint(1, 9)}천만원",
            f"{r.randint(1, 999)},{digits(r, 3)}원",
        )
    )


def _time_stamp(r: random.Random) -> str:
    return (
        f"2026{r.randint(1, 12):02}{r.randint(1, 28):02}{r.randint(0, 23):02}{r.randint(0, 59):02}{r.randint(0, 59):02}"
    )


def _date(r: random.Random) -> str:
    year, month, day = r.randint(2019, 2027), r.randint(1, 12), r.randint(1, 28)
    return r.choice(
        (
            f"{year}-{month:02}-{day:02}",
            f"{year}.{month}.{day}",
            f"{year}년 {month}월 {day}일",
            f"{month}월 {day}일",
            f"{month}/{day}",
        )
    )


PERSONAL: dict[str, Callable[[random.Random], Value]] = {
    "PERSON": person,
    "PERSON_LATIN": person_latin,
    "PERSON_FOREIGN": person_foreign,
    "PHONE": phone,
    "PHONE_OLD": phone,
    "PHONE_LAND": phone_land,
    "RRN": rrn,
    "FRN": frn,
    "CARD": card,
    "ACCOUNT": account,
    "ACCOUNT_BARE": account_bare,
    "BRN": brn,
    "PASSPORT": passport,
    "LICENCE": licence,
    "CUSTOMER_ID": customer_id,
    "EMAIL": email,
    "IP": ip,
    "PLATE": plate,
    "BIRTHDATE": birthdate,
    "BIRTHDATE6": birthdate6,
    "ADDRESS": address,
}
HARMLESS: dict[str, Callable[[random.Random], str]] = {
    "BANK": lambda r: r.choice(tuple(BANK_SHAPES)),
    "TITLE": lambda r: r.choice(("대리", "과장", "차장", "팀장", "주임", "계장")),
    "PERSON_HONORIFIC": lambda r: r.choice(("님", " 님", " 팀장님", " 대리님", "씨")),
    "AMOUNT": _amount,
    "AMOUNT_PLAIN": lambda r: digits(r, r.randint(5, 12), "123456789"),
    "AMOUNT_BIG": lambda r: f"{r.randint(1, 99)}억 {r.randint(1, 9999)}만원",
    "DATE": _date,
    "DATE8": lambda r: f"2026{r.randint(1, 12):02}{r.randint(1, 28):02}",
    "TIME": lambda r: f"{r.randint(0, 23):02}:{r.randint(0, 59):02}",
    "SECOND": lambda r: f"{r.randint(0, 59):02}",
    "TIMESTAMP": _time_stamp,
    "PERCENT": lambda r: f"{r.randint(0, 15)}.{r.randint(0, 99)}%",
    "CITY": lambda r: r.choice(
        ("강남", "종로", "수원", "대구", "부산", "전주", "성남", "안양", "여의도", "광화문", "춘천", "구미")
    ),
    "SERVICE_NUMBER": lambda r: (
        f"{r.choice(('1588', '1577', '1544', '1599', '1600', '1661', '1670', '1800', '1899'))}-{digits(r, 4)}"
    ),
    "SHORT_NUMBER": lambda r: r.choice(("112", "119", "1332", "118", "1345")),
    "ARTICLE": lambda r: f"{r.randint(1, 130)}조{r.choice(('', '의2', '의3'))}",
    "COUNT": lambda r: str(r.randint(2, 900)),
    "COUNT_BIG": lambda r: f"{r.randint(1, 999)},{digits(r, 3)},{digits(r, 3)}",
    "VERSION": lambda r: f"{r.randint(1, 12)}.{r.randint(0, 20)}.{r.randint(0, 30)}",
    "VERSION4": lambda r: f"{r.randint(1, 12)}.{r.randint(0, 20)}.{r.randint(0, 30)}.{r.randint(0, 99)}",
    "INDEX": lambda r: f"{r.randint(1, 3)},{digits(r, 3)}.{digits(r, 2)}",
    "YEAR": lambda r: str(r.randint(2010, 2026)),
    "MONTH": lambda r: str(r.randint(1, 12)),
    "MONTH2": lambda r: f"{r.randint(1, 12):02}",
    "DAY": lambda r: str(r.randint(1, 28)),
    "DAY2": lambda r: f"{r.randint(1, 28):02}",
    "ERROR_CODE": lambda r: f"{r.choice(('E', 'ERR-', 'BK', 'NW-'))}{digits(r, r.randint(3, 6))}",
    "LETTERS": lambda r: r.choice(("SN", "AB", "OTP", "K")),
    "SWIFT": lambda r: r.choice(("ABCDKRSE", "XYZBKRSEXXX")),
    "DIGIT": lambda r: digits(r, 1),
}


def _digit_maker(count: int) -> Callable[[random.Random], str]:
    return lambda r: digits(r, count, "123456789")


HARMLESS |= {f"DIGITS{count}": _digit_maker(count) for count in (3, 4, 5, 6, 7, 8, 9, 10, 12)}
