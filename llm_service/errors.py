"""What can go wrong in the answering service, in the bank's words; HTTP is spoken at the edge only.

An error carries a stable `code`, a `kind` that the edge turns into a status, and a sentence that says what to do.
It never carries what a person wrote.

    HaechiError
    ├── InvalidInput        the caller must change the request
    ├── NotPermitted        the caller may not do this
    ├── NotFound            there is no such thing, or it is not the caller's
    ├── Conflict            the thing is in a state that forbids this
    ├── TooLarge            over a stated limit
    ├── Unavailable         a part is missing or down: try again, or see `haechi doctor`
    │   ├── MaskingUnavailable   masking cannot be had: the turn is declined and nothing is kept
    │   └── VaultUnavailable     the vault or its key cannot be had: the turn is declined and nothing is kept
    ├── Busy                too many wait for it already: try again after a moment
    └── Misconfigured       settings that must not run
"""

from typing import ClassVar, Literal

Kind = Literal["invalid", "forbidden", "not_found", "conflict", "too_large", "unavailable", "busy", "misconfigured"]


class HaechiError(Exception):
    """A failure with a stable code. `message` is English for operators; people read `texts.yaml` by code."""

    kind: ClassVar[Kind] = "unavailable"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class InvalidInput(HaechiError):
    kind = "invalid"


class NotPermitted(HaechiError):
    kind = "forbidden"


class NotFound(HaechiError):
    kind = "not_found"


class Conflict(HaechiError):
    kind = "conflict"


class TooLarge(HaechiError):
    kind = "too_large"


class Unavailable(HaechiError):
    kind = "unavailable"


class MaskingUnavailable(Unavailable):
    """Raised whenever text cannot be masked with certainty; callers decline the turn."""

    def __init__(self, message: str) -> None:
        super().__init__("masking_unavailable", message)


class VaultUnavailable(Unavailable):
    """Raised whenever values cannot be kept under their placeholders; callers decline the turn."""

    def __init__(self, message: str) -> None:
        super().__init__("vault_unavailable", message)


class Busy(HaechiError):
    kind = "busy"


class Misconfigured(HaechiError):
    kind = "misconfigured"
