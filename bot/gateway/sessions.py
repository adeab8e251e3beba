"""Who is asking: guest tokens, tokens of the bank's own site, the service token, and turn handles bound to their owner.

Everything is carried by the signatures (itsdangerous, HMAC-SHA256): nothing is remembered here, so a restart with the
same secret and a second replica know the same people.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadSignature, SignatureExpired, Signer, URLSafeTimedSerializer

from bot.gateway.errors import Declined
from bot.gateway.signed_tokens import SignedTokens, is_signed
from llm_service.client import Audience

SERVICE_USER: Final = "service"


@dataclass(frozen=True)
class Person:
    """The asking person: a guest with a random id, somebody the bank's site vouches for, or a service for others."""

    user: str
    audience: Audience
    is_service: bool
    vouched_for: bool = False


@dataclass(frozen=True)
class OwnedTurn:
    """llm_service's two names of one turn."""

    turn_id: str
    conversation_id: str


class Sessions:
    """Issues and reads guest tokens and turn handles. `secret` signs both, under different salts.

    `signed_tokens` reads what the bank's site has signed; None accepts none of those.
    """

    def __init__(
        self, secret: str, service_token: str, valid_seconds: int, signed_tokens: SignedTokens | None = None
    ) -> None:
        self._secret = secret
        self._service_token = service_token.encode()
        self._signed_tokens = signed_tokens or SignedTokens("", "HS256")
        self.valid_seconds = valid_seconds
        self._tokens = URLSafeTimedSerializer(
            secret, salt="haechi.guest", signer_kwargs={"digest_method": hashlib.sha256}
        )

    def issue(self, renewed: Person | None = None) -> str:
        """A guest token for a new random user, or for the same user again while the old token is still valid."""
        return self._tokens.dumps({"user": renewed.user if renewed else secrets.token_urlsafe(16)})

    def person(self, token: str) -> Person:
        """Who presents this token. Raises `Declined` 401."""
        if self._service_token and hmac.compare_digest(token.encode(), self._service_token):
            return Person(SERVICE_USER, "customer", is_service=True)
        if is_signed(token):
            signed = self._signed_tokens.person(token)
            # The kind is part of the person: what a guest has asked is not the customer's of the same hash.
            return Person(f"{signed.kind}:{signed.subject}", "customer", is_service=False, vouched_for=True)
        try:
            claims = self._tokens.loads(token, max_age=self.valid_seconds)
        except SignatureExpired:
            raise Declined("session_expired", 401) from None
        except BadSignature:
            raise Declined("session_required", 401) from None
        return Person(claims["user"], "customer", is_service=False)

    def turn_handle(self, turn: OwnedTurn, user: str) -> str:
        """`<turn id>.<conversation id>.<signature>`: what a person may name a turn by; worthless to anyone else."""
        return self._handle_signer(user).sign(f"{turn.turn_id}.{turn.conversation_id}").decode()

    def owned_turn(self, handle: str, user: str) -> OwnedTurn:
        """The turn behind a handle. Raises `Declined` 404 for anyone but its owner."""
        try:
            turn_id, conversation_id = self._handle_signer(user).unsign(handle).decode().split(".")
        except (BadSignature, ValueError):
            raise Declined("turn_not_found", 404) from None
        return OwnedTurn(turn_id, conversation_id)

    def pseudonym(self, subject: str) -> str:
        """A keyed hash for counting by user or address without keeping either."""
        return hmac.new(self._secret.encode(), subject.encode(), hashlib.sha256).hexdigest()[:32]

    def _handle_signer(self, user: str) -> Signer:
        return Signer(self._secret, salt=f"haechi.turn.{user}", digest_method=hashlib.sha256)
