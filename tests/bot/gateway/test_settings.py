"""What the gateway refuses to start on, and where its secrets come from."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from bot.gateway.settings import GatewaySettings, load_settings

SECRETS = {"service_token": "s" * 32, "rasa_token": "r" * 32, "session_secret": "k" * 32}
REDIS_URL = "redis://cache/0"


@pytest.mark.parametrize("missing", SECRETS)
def test_production_does_not_start_without_a_secret(missing: str) -> None:
    with pytest.raises(ValidationError, match=f"HAECHI_{missing.upper()}"):
        GatewaySettings(environment="production", redis_url=REDIS_URL, **{**SECRETS, missing: "short"})


def test_production_does_not_start_where_each_replica_would_count_alone() -> None:
    with pytest.raises(ValidationError, match="HAECHI_REDIS_URL"):
        GatewaySettings(environment="production", **SECRETS)


def test_production_starts_on_whole_secrets() -> None:
    settings = GatewaySettings(environment="production", redis_url=REDIS_URL, **SECRETS)
    assert settings.environment == "production"


def test_secrets_are_read_from_files_and_variables_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "haechi_service_token").write_text("from the file")
    (tmp_path / "haechi_rasa_token").write_text("from the file")
    monkeypatch.setenv("HAECHI_SECRETS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HAECHI_RASA_TOKEN", "from the variable")
    settings = load_settings()
    assert settings.service_token.get_secret_value() == "from the file"
    assert settings.rasa_token.get_secret_value() == "from the variable"


def test_a_secret_is_not_printed() -> None:
    assert SECRETS["session_secret"] not in repr(GatewaySettings(**SECRETS))


def test_a_refusal_prints_no_secret() -> None:
    with pytest.raises(ValidationError) as refused:
        GatewaySettings(environment="production", service_token="a-short-token", redis_url=REDIS_URL)
    assert "a-short-token" not in str(refused.value)
