"""What the Rasa process reads from its environment, and where it keeps its model. Standard library only."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

PROJECT = Path(__file__).resolve().parent
DEFAULT_HOME = ".haechi"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 5005
DEFAULT_ACTIONS_URL = "http://127.0.0.1:8082/actions"
DEFAULT_REDIS_PORT = 6379


class SecretMissing(Exception):
    """A token is neither in the environment nor in the secrets directory. Carries its name only."""


@dataclass(frozen=True)
class TrackerAddress:
    """Where conversations are kept when they outlive the process."""

    host: str
    port: int
    database: str
    password: str


def home() -> Path:
    """The platform's data directory."""
    return Path(os.environ.get("HAECHI_HOME", DEFAULT_HOME)).resolve()


def models_directory() -> Path:
    return home() / "rasa" / "models"


def host() -> str:
    return os.environ.get("HAECHI_RASA_HOST", DEFAULT_HOST)


def port() -> int:
    return int(os.environ.get("HAECHI_RASA_PORT", DEFAULT_PORT))


def actions_url() -> str:
    return os.environ.get("HAECHI_ACTIONS_URL") or DEFAULT_ACTIONS_URL


def secret(name: str) -> str:
    """A token by its name, `haechi_rasa_token` say: from HAECHI_RASA_TOKEN, else from the secrets directory.

    That is HAECHI_SECRETS_DIRECTORY, else `secrets` in the data directory.

    Raises SecretMissing: without a token nothing is served.
    """
    value = os.environ.get(name.upper(), "").strip()
    path = Path(os.environ.get("HAECHI_SECRETS_DIRECTORY") or home() / "secrets") / name
    if not value and path.is_file():
        value = path.read_text(encoding="ascii").strip()
    if not value:
        raise SecretMissing(
            f"Set {name.upper()}, or put the token into the file {name} of HAECHI_SECRETS_DIRECTORY"
            " or of the folder secrets of HAECHI_HOME"
        )
    return value


def tracker_address() -> TrackerAddress | None:
    """Where HAECHI_RASA_TRACKER_URL (redis://:password@host:port/database) says, or None: in memory."""
    url = os.environ.get("HAECHI_RASA_TRACKER_URL", "")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme != "redis" or not parts.hostname:
        raise ValueError("HAECHI_RASA_TRACKER_URL has to be redis://[:password@]host:port/database")
    return TrackerAddress(
        host=parts.hostname,
        port=parts.port or DEFAULT_REDIS_PORT,
        database=parts.path.strip("/") or "0",
        password=unquote(parts.password or "") or os.environ.get("HAECHI_REDIS_PASSWORD", ""),
    )
