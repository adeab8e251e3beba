"""Makes the secrets of an embedded platform, once, as one file each that only their owner can read.

Production brings its own secrets (variables or a mounted directory); nothing here runs there.
"""

import secrets
from pathlib import Path

SECRET_NAMES = (
    "haechi_service_token",
    "haechi_rasa_token",
    "haechi_session_secret",
    "haechi_identity_key",
    "haechi_redis_password",
)
SECRET_BYTES = 32


def ensure_secrets(home: Path) -> Path:
    """The secrets directory of `home`, with every secret in it; existing ones are left as they are."""
    directory = home / "secrets"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    for name in SECRET_NAMES:
        path = directory / name
        if not path.exists():
            _write_private(path, secrets.token_urlsafe(SECRET_BYTES))
    return directory


def read_secret(home: Path, name: str) -> str:
    """One secret of an embedded platform. Raises FileNotFoundError before `ensure_secrets` ran."""
    return (home / "secrets" / name).read_text(encoding="ascii").strip()


def _write_private(path: Path, value: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(value, encoding="ascii")
