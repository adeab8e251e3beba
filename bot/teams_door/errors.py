"""What the Teams door refuses, by stable code. Whoever is refused learns status and code, and nothing more."""


class Refused(Exception):
    """A request that goes no further; nothing of it is kept. `retry_after_seconds` asks Microsoft to come back."""

    def __init__(self, code: str, status: int, retry_after_seconds: int | None = None) -> None:
        super().__init__(f"{code} ({status})")
        self.code = code
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class InboxUnavailable(Exception):
    """Redis did not take the message; nothing of it is kept."""


class Unsealable(Exception):
    """An entry of the inbox that no key of this process opens, or that is not what the door writes."""
