"""The token by which a bank's own site says who is at the chat: signed there, valid for minutes, checked here.

A JSON Web Signature (RFC 7515) with the claims of RFC 7519, by HMAC-SHA256 or Ed25519 (RFC 8037). The algorithm is the
one of the settings, whatever the token's header says (RFC 8725 §3.1). This module knows no request and keeps nothing.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

import jwt

from bot.gateway.errors import Declined

Algorithm = Literal["HS256", "EdDSA"]
Kind = Literal["guest", "customer"]

AUDIENCE: Final = "haechi-chat"
LONGEST_LIFE_SECONDS: Final = 15 * 60
CLOCK_DIFFERENCE_SECONDS: Final = 30
KINDS: Final[tuple[Kind, ...]] = ("guest", "customer")
# A SHA-256, in hexadecimal: whoever puts a customer's number here is refused before it is kept anywhere.
HASHED: Final = re.compile(r"[0-9a-f]{64}")
REQUIRED_CLAIMS: Final = ("aud", "sub", "iat", "exp", "kind")


@dataclass(frozen=True)
class SignedPerson:
    """Whom the bank's site vouches for. `subject` is its own hash of the person."""

    kind: Kind
    subject: str


class SignedTokens:
    """Reads tokens signed with one key: the shared secret of HS256, or the public key in PEM of EdDSA."""

    def __init__(self, key: str, algorithm: Algorithm) -> None:
        self._key = key
        self._algorithm = algorithm

    def person(self, token: str) -> SignedPerson:
        """Whom the token is about. Raises `Declined` 401, by a code that says what is wrong with the token."""
        claims = self._claims(token)
        if claims["exp"] - claims["iat"] > LONGEST_LIFE_SECONDS:
            raise Declined("identity_too_long_lived", 401)
        if claims["kind"] not in KINDS:
            raise Declined("identity_incomplete", 401)
        if not HASHED.fullmatch(claims["sub"]):
            raise Declined("identity_not_hashed", 401)
        return SignedPerson(claims["kind"], claims["sub"])

    def _claims(self, token: str) -> dict[str, Any]:
        if not self._key:
            raise Declined("identity_not_accepted", 401)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[self._algorithm],
                audience=AUDIENCE,
                leeway=CLOCK_DIFFERENCE_SECONDS,
                options={"require": list(REQUIRED_CLAIMS), "strict_aud": True},
            )
        except jwt.ExpiredSignatureError:
            raise Declined("identity_expired", 401) from None
        except jwt.InvalidAudienceError:
            raise Declined("identity_for_another", 401) from None
        except (jwt.MissingRequiredClaimError, jwt.ImmatureSignatureError, jwt.InvalidIssuedAtError):
            raise Declined("identity_incomplete", 401) from None
        except jwt.InvalidTokenError:
            raise Declined("identity_not_accepted", 401) from None
        return claims


def is_signed(token: str) -> bool:
    """Whether a bearer token is a JSON Web Signature at all; guests' and services' tokens are none."""
    try:
        return "alg" in jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, RecursionError):
        # The second: a header of brackets within brackets, deeper than a parser goes.
        return False
