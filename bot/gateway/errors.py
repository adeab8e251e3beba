"""What the gateway refuses, by stable code; the sentences people read stand in `texts.yaml` under the same code."""

from collections.abc import Sequence


class Declined(Exception):
    """A request that goes no further. `status` is HTTP's; nothing of it has been stored."""

    def __init__(self, code: str, status: int, retry_after_seconds: int | None = None) -> None:
        super().__init__(f"{code} ({status})")
        self.code = code
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class AssetsChanged(Exception):
    """What browsers would be given is not what the build wrote."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"not as the build wrote them: {', '.join(names)}; install the package again, or build bot/widget"
        )
