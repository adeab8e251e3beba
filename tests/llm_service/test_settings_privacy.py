"""What production refuses to start without: keys for personal data, and servers in place of embedded parts."""

import pytest

from llm_service.errors import Misconfigured
from llm_service.settings import Settings

PRODUCTION = {
    "environment": "production",
    "database_url": "postgresql://db/haechi",
    "redis_url": "redis://cache/0",
    "qdrant_url": "http://vectors:6333",
    "service_token": "s" * 32,
    "identity_key": "i" * 32,
    "mention_key": "m" * 32,
    "vault_keys": "k1:" + "A" * 43 + "=",
}


def test_production_starts_with_keys_of_its_own() -> None:
    assert Settings(**PRODUCTION).environment == "production"  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["identity_key", "mention_key", "vault_keys"])
def test_production_does_not_start_without_a_key_for_personal_data(missing: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        Settings(**{**PRODUCTION, missing: ""})  # type: ignore[arg-type]
    assert refused.value.code == "secret_missing"
    assert f"HAECHI_{missing.upper()}" in refused.value.message


@pytest.mark.parametrize("short", ["identity_key", "mention_key"])
def test_production_does_not_start_with_a_short_key(short: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        Settings(**{**PRODUCTION, short: "short"})  # type: ignore[arg-type]
    assert refused.value.code == "secret_too_short"
    assert "short" not in refused.value.message.removeprefix("secret_too_short")


@pytest.mark.parametrize(
    ("missing", "code"),
    [("database_url", "embedded_database"), ("qdrant_url", "embedded_vectors"), ("redis_url", "secret_missing")],
)
def test_production_does_not_start_on_an_embedded_part(missing: str, code: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        Settings(**{**PRODUCTION, missing: ""})  # type: ignore[arg-type]
    assert refused.value.code == code
    assert f"HAECHI_{missing.upper()}" in refused.value.message


def test_the_password_of_the_records_is_not_printed_and_still_used() -> None:
    url = "postgresql://haechi:a-password@db/haechi"
    settings = Settings(**{**PRODUCTION, "database_url": url})  # type: ignore[arg-type]
    assert "a-password" not in f"{settings!r}{settings}{settings.model_dump()}"
    assert settings.resolved_database_url == url
