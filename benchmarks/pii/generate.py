"""Builds the labelled evaluation sets from the templates, the same for the same seed. Knows nothing of the masker.

Run: python -m benchmarks.pii.generate FOLDER writes plain.jsonl, disguised.jsonl and look_alikes.jsonl in the
scorer's format.
"""

import argparse
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.pii.disguises import DIGIT_DISGUISES, NAME_DISGUISES, SPELT_MAIL
from benchmarks.pii.values import HARMLESS, PERSONAL, Value

SEED = 20261121
TEXTS_PER_TEMPLATE = 8
CLEAN_TEXTS_PER_TEMPLATE = 8
LOOK_ALIKES_PER_TEMPLATE = 6
DISGUISED_TEXTS_PER_CELL = 12

Sample = dict[str, Any]
_FOLDER = Path(__file__).parent
_SLOT = re.compile(r"\{(?P<slot>[A-Z0-9_]+)(?:\|(?P<with_final>[가-힣]+)/(?P<without>[가-힣]+))?\}")
_FINAL_OF_DIGIT = "0136678"  # digits whose Korean reading ends in a consonant
_DISGUISED_SLOTS = {
    "PHONE": ("제 번호는 {} 입니다", "연락처 {}로 전화 주세요", "전화 {} 남겨둘게요"),
    "RRN": ("주민번호 {} 확인해 주세요", "주민등록번호가 {}인데 인증이 안돼요"),
    "FRN": ("외국인등록번호 {} 조회 바랍니다",),
    "CARD": ("카드번호 {} 정지해 주세요", "제 카드는 {} 이에요"),
    "ACCOUNT": ("계좌번호 {}로 입금해 주세요", "국민은행 {} 이 계좌로 보내주세요"),
    "LICENCE": ("운전면허 {} 진위확인",),
    "CUSTOMER_ID": ("고객번호 {} 조회 부탁",),
    "BRN": ("사업자번호 {} 입니다",),
}
# Values with letters: separators would make others of them, so only their digits are disguised.
_LETTERED_SLOTS = {
    "PASSPORT": ("여권번호 {} 입니다", "여권 {} 갱신했어요"),
    "PLATE": ("차량 {} 조회", "{} 차주인데요"),
    "IP": ("{} 에서 접속", "아이피는 {}예요"),
    "BIRTHDATE": ("생년월일 {} 입니다", "생일은 {}이고요"),
}
_DIGIT_BY_DIGIT = (
    "full_width",
    "zero_width",
    "circled",
    "superscript",
    "mathematical_bold",
    "keycap",
    "struck_out",
    "arabic_indic",
    "devanagari",
    "hangul",
    "mixed",
    "homoglyph",
    "entity",
)


def plain_set(seed: int = SEED) -> list[Sample]:
    """Texts with personal data from every template, and texts without: at least 35 % of the whole."""
    r = random.Random(seed)
    samples = [
        _sample(r, template, f"{register}-{index}", register)
        for register, templates in _templates("templates.yaml").items()
        for index, template in enumerate(templates)
        for _ in range(TEXTS_PER_TEMPLATE)
    ]
    samples += [
        _sample(r, template, f"clean-{register}-{index}", register)
        for register, templates in _templates("clean.yaml").items()
        if register != "look_alikes"
        for index, template in enumerate(templates)
        for _ in range(CLEAN_TEXTS_PER_TEMPLATE)
    ]
    return samples


def look_alike_set(seed: int = SEED) -> list[Sample]:
    """Texts without personal data whose numbers and words look like it."""
    r = random.Random(seed + 1)
    return [
        _sample(r, template, f"look-alike-{index}", "look_alikes")
        for index, template in enumerate(_templates("clean.yaml")["look_alikes"])
        for _ in range(LOOK_ALIKES_PER_TEMPLATE)
    ]


def disguised_set(seed: int = SEED) -> list[Sample]:
    """One disguised value per text: every digit type in every disguise, mail spelt out, names spaced or decomposed."""
    r = random.Random(seed + 2)
    samples = []
    for op, disguise in DIGIT_DISGUISES.items():
        for slot, frames in _DISGUISED_SLOTS.items():
            for _ in range(DISGUISED_TEXTS_PER_CELL // 3):
                value = PERSONAL[slot](r)
                shown = disguise(r, re.sub(r"[^\d-]", "-", value.text).strip("-") if slot != "LICENCE" else value.text)
                samples.append(_framed(r.choice(frames), Value(shown, value.type), op))
    for op in _DIGIT_BY_DIGIT:
        for slot, frames in _LETTERED_SLOTS.items():
            for _ in range(DISGUISED_TEXTS_PER_CELL // 3):
                value = PERSONAL[slot](r)
                samples.append(_framed(r.choice(frames), Value(DIGIT_DISGUISES[op](r, value.text), value.type), op))
    for op, disguise in SPELT_MAIL.items():
        for _ in range(DISGUISED_TEXTS_PER_CELL):
            shown = disguise(r, PERSONAL["EMAIL"](r).text)
            samples.append(_framed(r.choice(("메일은 {} 입니다", "{}로 보내주세요")), Value(shown, "EMAIL"), op))
    for op, disguise in NAME_DISGUISES.items():
        for _ in range(DISGUISED_TEXTS_PER_CELL):
            shown = disguise(r, PERSONAL["PERSON"](r).text)
            samples.append(
                _framed(r.choice(("예금주 {} 확인", "저는 {}입니다", "고객 {}님 방문")), Value(shown, "PERSON"), op)
            )
    return samples


def _templates(name: str) -> dict[str, list[str]]:
    content: dict[str, list[str]] = yaml.safe_load((_FOLDER / name).read_text(encoding="utf-8"))
    return content


def _sample(r: random.Random, template: str, group: str, register: str) -> Sample:
    parts: list[str] = []
    spans: list[dict[str, Any]] = []
    at = length = 0
    for slot in _SLOT.finditer(template):
        value = _value(r, slot["slot"])
        parts += (template[at : slot.start()], value.text)
        length += slot.start() - at
        if value.type:
            spans.append(_span(value, length))
        length += len(value.text)
        if slot["without"]:
            particle = slot["with_final"] if _ends_in_consonant(value.text, slot["without"]) else slot["without"]
            parts.append(particle)
            length += len(particle)
        at = slot.end()
    parts.append(template[at:])
    kinds = [span.pop("kind") for span in spans]
    return {"text": "".join(parts), "spans": spans, "group": group, "register": register, "kind": kinds}


def _framed(frame: str, value: Value, op: str) -> Sample:
    start = frame.index("{}")
    span = {key: part for key, part in _span(value, start).items() if key != "kind"}
    return {"text": frame.replace("{}", value.text), "spans": [span], "op": op, "group": op}


def _value(r: random.Random, slot: str) -> Value:
    return PERSONAL[slot](r) if slot in PERSONAL else Value(HARMLESS[slot](r), None)


def _span(value: Value, start: int) -> dict[str, Any]:
    span = {"start": start, "end": start + len(value.text), "type": value.type, "kind": value.kind or value.type}
    if value.core:
        span |= {"core_start": start + value.core[0], "core_end": start + value.core[1]}
    return span


def _ends_in_consonant(text: str, without: str) -> bool:
    last = text[-1]
    if "가" <= last <= "힣":
        final = (ord(last) - 0xAC00) % 28
        return final != 0 and not (final == 8 and without == "로")  # 로 follows ㄹ as it follows a vowel
    return last in _FINAL_OF_DIGIT and not (without == "로" and last in "178")


def write_sets(folder: Path, seed: int = SEED) -> dict[str, Path]:
    """Writes the three sets into `folder` and returns their paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = {"plain": plain_set(seed), "disguised": disguised_set(seed), "look_alikes": look_alike_set(seed)}
    return {name: _write(folder / f"{name}.jsonl", samples) for name, samples in sets.items()}


def _write(path: Path, samples: Sequence[Sample]) -> Path:
    path.write_text("".join(_lines(samples)), encoding="utf-8")
    return path


def _lines(samples: Sequence[Sample]) -> Iterator[str]:
    for sample in samples:
        yield json.dumps(sample, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for path in write_sets(parser.parse_args().folder).values():
        print(path)
