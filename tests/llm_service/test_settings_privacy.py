"""What production refuses to start without, where personal data is concerned."""

import pytest

from llm_service.errors import Misconfigured
from llm_service.settings import Settings

PRODUCTION = {
    "environment": "production",
    "database_url": "postgresql://db/haechi",
    "redis_url": "redis://cache/0",
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
