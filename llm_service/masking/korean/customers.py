"""Customer numbers of the bank (고객번호, CIF): nine or ten digits behind their label; without it nothing tells them
from other numbers.
"""

import re
from collections.abc import Iterator

from llm_service.masking.korean.recogniser import STRONG, Finding, KoreanRecogniser, finding
from llm_service.masking.language import Reading

_NUMBER = re.compile(
    r"(?:고객\s?(?:관리)?\s?(?:번호|아이디|ID|식별번호|No\.?)|회원\s?번호|CIF\s?(?:번호|No\.?|NO\.?|ID)?|cif\s?(?:번호|no\.?)?|실명\s?번호|고객\s?코드)"
    r"[^0-9\n]{0,12}(?P<number>(?:[A-Za-z]{0,2}-?)?[0-9](?:[\s.·/_-]{0,2}[0-9]){6,11})(?![0-9])",
)


class CustomerNumberRecogniser(KoreanRecogniser):
    TYPES = ("CUSTOMER_ID",)

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            for match in view.matches(_NUMBER):
                yield finding("CUSTOMER_ID", view, match.start("number"), match.end("number"), STRONG)
