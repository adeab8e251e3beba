"""Makes the secrets of an embedded platform, once, as one file each that only their owner can read.

Production brings its own secrets (variables or a mounted directory); nothing here runs there.
"""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from llm_service.masking.vault_keys import new_vault_key, write_vault_keys

SECRET_BYTES = 32


def _token() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


SECRET_MAKERS: Mapping[str, Callable[[], str]] = {
    "haechi_service_token": _token,
    "haechi_rasa_token": _token,
    "haechi_session_secret": _token,
    "haechi_identity_key": _token,
    "haechi_mention_key": _token,
    "haechi_console_key": _token,
    "haechi_redis_password": _token,
    "haechi_vault_keys": lambda: write_vault_keys([new_vault_key()]),
}
SECRET_NAMES = tuple(SECRET_MAKERS)


def ensure_secrets(home: Path) -> Path:
    """The secrets directory of `home`, with every secret in it; existing ones are left as they are.

    Both directories are closed to every other user of the machine.
    """
    directory = home / "secrets"
    for private in (home, directory):
        private.mkdir(parents=True, exist_ok=True, mode=0o700)
        private.chmod(0o700)
    for name, make in SECRET_MAKERS.items():
        path = directory / name
        if not path.exists():
            _write_private(path, make())
    return directory


def read_secret(home: Path, name: str) -> str:
    """One secret of an embedded platform. Raises FileNotFoundError before `ensure_secrets` ran."""
    return (home / "secrets" / name).read_text(encoding="ascii").strip()


def _write_private(path: Path, value: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(value, encoding="ascii")
