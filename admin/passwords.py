"""Passwords and one-time codes of local accounts: argon2id (RFC 9106), TOTP (RFC 6238), secrets encrypted at rest.

Knows no table and no page.
"""

import base64
import secrets
import time
from dataclasses import dataclass
from typing import Final

import pyotp
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MINIMUM_PASSWORD_CHARACTERS: Final = 12
MAXIMUM_PASSWORD_CHARACTERS: Final = 128
CODE_STEP_SECONDS: Final = 30
CODE_STEPS_AROUND: Final = 1
"""Codes of the step before and after are taken too: clocks differ."""
ISSUER: Final = "Haechi"

_hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4, type=Type.ID)
_NOBODYS_HASH: Final = _hasher.hash(secrets.token_urlsafe(16))


def hash_password(password: str) -> str:
    """The argon2id hash of a password, with its parameters and salt in it."""
    return _hasher.hash(password)


def is_password(password_hash: str | None, password: str) -> bool:
    """Whether it is the password. Without a hash it takes as long as with one, so that names cannot be guessed."""
    try:
        matches = _hasher.verify(password_hash or _NOBODYS_HASH, password)
    except (VerificationError, InvalidHashError):
        return False
    return matches and password_hash is not None


def is_acceptable(password: str, login: str) -> bool:
    """Long, and not made of the account's name (NIST SP 800-63B, 5.1.1.2: length, no rules of composition)."""
    long_enough = MINIMUM_PASSWORD_CHARACTERS <= len(password) <= MAXIMUM_PASSWORD_CHARACTERS
    return long_enough and login.lower() not in password.lower() and len(set(password)) > 4


def new_password() -> str:
    """A first password, to be changed at the first login."""
    return secrets.token_urlsafe(12)


@dataclass(frozen=True)
class SecondFactors:
    """Makes and checks time-based codes; the secrets it hands out to be kept are encrypted under `key`."""

    key: str

    def new_secret(self) -> str:
        """A secret for an authenticator, in base 32."""
        return pyotp.random_base32()

    def address(self, secret: str, login: str) -> str:
        """The otpauth:// address that authenticators read."""
        return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=ISSUER)

    def encrypted(self, secret: str) -> str:
        return self._fernet().encrypt(secret.encode()).decode()

    def step_of(self, encrypted: str, code: str) -> int | None:
        """The time step whose code this is, of now and its neighbours; None where it is none of them."""
        totp = pyotp.TOTP(self._fernet().decrypt(encrypted.encode()).decode())
        current = int(time.time()) // CODE_STEP_SECONDS
        for step in range(current - CODE_STEPS_AROUND, current + CODE_STEPS_AROUND + 1):
            if secrets.compare_digest(totp.generate_otp(step).encode(), code.strip().encode()):
                return step
        return None

    def _fernet(self) -> Fernet:
        derived = HKDF(hashes.SHA256(), 32, salt=None, info=b"haechi console second factors").derive(self.key.encode())
        return Fernet(base64.urlsafe_b64encode(derived))
