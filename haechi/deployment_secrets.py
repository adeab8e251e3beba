"""Makes the secrets of a deployment, a file each: what compose mounts, and what a cluster's Secret is made from.

Knows which parts need which secret and how the addresses of the stores carry their passwords; not where it is deployed.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from haechi.secrets import SECRET_MAKERS
from llm_service.errors import Conflict

PASSWORD_BYTES = 24
# Containers read them as users of their own; the directory is what keeps others of the host out.
FILE_MODE, DIRECTORY_MODE = 0o444, 0o700


def write_deployment_secrets(directory: Path, postgresql: str, redis: str) -> list[str]:
    """Names of the secrets written into a directory that is made for them.

    `postgresql` and `redis` are host:port of the stores. Raises `Conflict` (secrets_exist) rather than replace one:
    a vault key that is gone takes every value behind a placeholder with it.
    """
    if directory.exists() and any(directory.iterdir()):
        raise Conflict("secrets_exist", "the directory already holds files; name an empty one, or none that exists")
    directory.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)
    directory.chmod(DIRECTORY_MODE)
    written = []
    for name, value in deployment_secrets(postgresql, redis):
        path = directory / name
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(value, encoding="ascii")
        path.chmod(FILE_MODE)
        written.append(name)
    return written


def deployment_secrets(postgresql: str, redis: str) -> Iterator[tuple[str, str]]:
    """Each secret's name and a fresh value of it."""
    for name, make in SECRET_MAKERS.items():
        if name != "haechi_redis_password":
            yield name, make()
    for_postgresql, for_redis = (secrets.token_urlsafe(PASSWORD_BYTES) for _ in range(2))
    address = f"haechi:{quote(for_postgresql)}@{postgresql}/haechi"
    yield "postgresql_password", for_postgresql
    yield "haechi_database_url", f"postgresql://{address}"
    # The form that KEDA's trigger reads: https://keda.sh/docs/scalers/postgresql/
    yield "keda_postgresql_connection", f"postgresql://{address}?sslmode=prefer"
    yield "redis_configuration", f"requirepass {for_redis}\nsave 60 1\n"
    # Databases apart: answer streams, limits and jobs in one, Rasa's conversations in the other.
    yield "haechi_redis_url", f"redis://:{quote(for_redis)}@{redis}/0"
    yield "haechi_rasa_tracker_url", f"redis://:{quote(for_redis)}@{redis}/1"
    yield "haechi_qdrant_api_key", secrets.token_urlsafe(PASSWORD_BYTES)
    yield "grafana_password", secrets.token_urlsafe(PASSWORD_BYTES)
