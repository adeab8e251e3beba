"""Where the Rasa process finds its tokens."""

from pathlib import Path

import pytest

from bot.rasa.settings import SecretMissing, secret


def test_a_token_comes_from_the_named_secrets_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, token in (("home/secrets", "of-the-home"), ("mounted", "of-the-mount")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "haechi_rasa_token").write_text(f"{token}\n", encoding="ascii")
    monkeypatch.delenv("HAECHI_RASA_TOKEN", raising=False)
    monkeypatch.setenv("HAECHI_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HAECHI_SECRETS_DIRECTORY", raising=False)
    assert secret("haechi_rasa_token") == "of-the-home"
    monkeypatch.setenv("HAECHI_SECRETS_DIRECTORY", str(tmp_path / "mounted"))
    assert secret("haechi_rasa_token") == "of-the-mount"
    with pytest.raises(SecretMissing, match="HAECHI_SECRETS_DIRECTORY"):
        secret("haechi_service_token")
