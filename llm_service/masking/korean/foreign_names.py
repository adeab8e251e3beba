"""Names of persons that are not written the Korean way: in Latin letters, or foreign names in Hangul.

Latin names count behind a label, before an honorific, or with a Korean family name beside Korean syllables; foreign
names in Hangul only as a word unknown to Kiwi directly behind a label, in a self-introduction or before 님 and 씨.
"""

import re
from collections.abc import Iterator

from llm_service.masking.korean.name_forms import PLACE_ENDING
from llm_service.masking.korean.names import INTRODUCTION_BEFORE, INTRODUCTION_BEHIND, any_of
from llm_service.masking.korean.recogniser import LIKELY, POSSIBLE, Finding, KoreanRecogniser, finding
from llm_service.masking.language import Morpheme, Reading
from llm_service.masking.rules import NameFile

_LATIN_SYLLABLE = (
    r"(?:[bcdfghjkmnprstwy]{0,2}(?:yeo|yae|eo|eu|ae|ui|oo|ee|ou|wa|wo|we|wi|ya|ye|yo|yu|a|e|i|o|u|y)"
    r"(?:ng|n|m|k|l|p|b|h|t|r)?)"
)
_WORD = r"[A-Z][A-Za-z'-]{1,15}"
_NO_NAME_WORD = (
    r"(?i:card|plus|gold|vip|bank|private|banking|platinum|premium|classic|family|check|credit|debit|mobile|web|app|pay|service"
    r"|center|centre|open|smart|one|super|black|silver|the|korea|seoul|global|call|happy|prime|master|visa|business|account)\b"
)
_ADDRESSED = re.compile(r"\s?(?:님|씨|고객님)(?![가-힣]{2})")
_NAME_LABEL = re.compile(r"(?:성명|이름|성함|고객명|예금주명?)(?:은|는|이|가)?\s?:?\s?$")
_LATIN = re.compile(r"[A-Za-z]{2}")


class ForeignNameRecogniser(KoreanRecogniser):
    TYPES = ("PERSON",)

    def __init__(self, names: NameFile) -> None:
        super().__init__()
        self._names = names
        self._organisation_endings = tuple(names.not_person_endings)
        self._strict_label_before = re.compile(
            rf"(?:{any_of(names.strict_labels)})(?:은|는|이|가)?\s{{0,2}}[:=\-/(]?\s{{0,2}}$"
        )
        self._latin = _latin_names(names)

    def find(self, reading: Reading) -> Iterator[Finding]:
        view = reading.base
        if _LATIN.search(view.text):
            for match in self._latin.finditer(view.text):
                group = match.lastgroup or "name"
                yield finding("PERSON", view, match.start(group), match.end(group), LIKELY)
        if reading.has_hangul:
            yield from self._in_hangul(reading)

    def _in_hangul(self, reading: Reading) -> Iterator[Finding]:
        text = reading.base.text
        previous_end = -1
        for morpheme in reading.morphemes:
            if morpheme.tag not in ("NNP", "NNG") or morpheme.end - morpheme.start < 2:
                continue
            follows = text[previous_end : morpheme.start] == " " and (morpheme.tag == "NNP" or not morpheme.known)
            if follows or self._is_foreign_name(morpheme, text):
                previous_end = morpheme.end
                yield finding("PERSON", reading.base, morpheme.start, morpheme.end, POSSIBLE)

    def _is_foreign_name(self, morpheme: Morpheme, text: str) -> bool:
        if morpheme.end - morpheme.start < 3 or morpheme.form in self._names.not_persons:
            return False
        head = text[max(0, morpheme.start - 14) : morpheme.start]
        introduced = INTRODUCTION_BEFORE.search(head) and INTRODUCTION_BEHIND.match(text, morpheme.end)
        if morpheme.known:
            # Kiwi knows many foreign names (제임스) and tags them as proper nouns, like places and companies.
            named = introduced or _NAME_LABEL.search(head)
            return bool(morpheme.tag == "NNP" and named and not self._is_place_or_organisation(morpheme.form))
        return bool(introduced or self._strict_label_before.search(head) or _ADDRESSED.match(text, morpheme.end))

    def _is_place_or_organisation(self, form: str) -> bool:
        return PLACE_ENDING.search(form) is not None or form.endswith(self._organisation_endings)


def _latin_names(names: NameFile) -> re.Pattern[str]:
    """Every way in which a Latin name counts, as one pattern whose named group is the name."""
    family = any_of({form for name in names.latin_surnames for form in (name, name.upper())})
    given = rf"(?:(?i:{_LATIN_SYLLABLE})(?:[- ]?(?i:{_LATIN_SYLLABLE})){{1,2}})"
    labelled = (
        rf"(?:{any_of(names.latin_labels)})(?:님|은|는|이|가|:|\s|=|\(|-|is\s|s\s|’s\s|'s\s){{1,5}}"
        rf"(?P<name>(?!{_NO_NAME_WORD}){_WORD}(?:(?:,\s|[ .]){_WORD}|\s[A-Z]\.?){{1,3}})"
    )
    introduced = rf"(?:I'm|I am|This is|this is)\s(?P<self>{_WORD}(?:\s{_WORD}){{1,2}})"
    spelt = (
        r"(?:영문\s?(?:이름|성명|명)|여권\s?(?:이름|성명))[은는이가:\s(]{1,4}"
        r"(?P<spelt>[A-Za-z]{2,15}(?:[ -][A-Za-z]{2,15}){1,2})"
    )
    behind = any_of(word for word in names.honorifics | names.titles if word != "앞으로")
    addressed = (
        rf"(?<![A-Za-z])(?P<addressed>(?!{_NO_NAME_WORD}){_WORD}(?:\s(?!{_NO_NAME_WORD}){_WORD}){{1,3}})\s?(?:{behind})"
    )
    family_first = rf"(?<![A-Za-z])(?P<family_first>(?:{family})(?:,?\s|/)(?=[A-Z]){given})(?![A-Za-z])"
    family_last = rf"(?<![A-Za-z])(?P<family_last>(?=[A-Z]){given}\s(?:{family}))(?![A-Za-z])"
    return re.compile(
        rf"{labelled}(?![A-Za-z])|{introduced}|{spelt}(?![A-Za-z])|{addressed}|{family_first}|{family_last}"
    )
