"""Texts at the input cap that drive careless rules into quadratic time: long runs, near-misses and repeated
triggers.
"""

import random

from llm_service.masking.masker import MAX_MASK_CHARACTERS

_REPEATED = {
    "one digit": "1",
    "phone digits": "0101234567",
    "spaced digits": "1 ",
    "dashed digits": "1-",
    "dotted digits": "1.",
    "decoded digits": "&#48;",
    "percent": "%30",
    "broken percent": "%ff",
    "full width": "０",
    "invisible": "0\u200b",
    "one syllable": "가",
    "a surname": "이",
    "surnames": "김민지",
    "names": "김민지 ",
    "spaced name": "김 민 지 ",
    "particles": "는이은가",
    "hangul digits": "공일이삼사오육칠팔구",
    "spaced hangul digits": "공 ",
    "spoken dots": "1점",
    "letters and dots": "a점",
    "decomposed": "\u1100\u1161",
    "laughter": "ㅋㅋ",
    "roads": "로1",
    "lots": "동1호",
    "long words": "가나다라마바사아자차동 ",
    "addresses": "서울시 강남구 테헤란로 152 ",
    "labels": "고객 이름은 ",
    "birth labels": "생년월일 ",
    "resident numbers": "901231-1234567 ",
    "colons": ":",
    "hexadecimal": "abcd:",
    "latin capitals": "A",
    "latin names": "Kim Min Ji ",
    "latin words": "Ab ",
    "look-alikes": "l1",
    "letters O": "0O-",
    "at signs": "@",
    "at words": "at ",
    "line breaks": "\n",
    "brackets": "((",
    "placeholders": "<PERSON_",
    "messages": "이하늘 고객님이 예금주로 되어 있는데요 010-1234-5678 ",
}
_SYLLABLES = random.Random(1)

HOSTILE_TEXTS = {name: (part * MAX_MASK_CHARACTERS)[:MAX_MASK_CHARACTERS] for name, part in _REPEATED.items()} | {
    "a..@": "a" + "." * (MAX_MASK_CHARACTERS - 2) + "@",
    "a@..a": "a" * 2000 + "@" + ".a" * 900,
    "address details": "테헤란로 1" + ", a" * 1300,
    "random syllables": "".join(chr(_SYLLABLES.randrange(0xAC00, 0xD7A3)) for _ in range(MAX_MASK_CHARACTERS)),
    "ambiguous syllables": "".join(
        _SYLLABLES.choice("가이나은는를지고서에하의도다") for _ in range(MAX_MASK_CHARACTERS)
    ),
}
