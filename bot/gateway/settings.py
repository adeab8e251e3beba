"""Typed settings of the gateway, each with a sentence of help; `docs/settings.md` is checked against them.

Values come from `HAECHI_*` variables, then from files of the secrets directory, then from defaults that work embedded.
Which part is built from them is decided in `app.py`, not here.
"""

import os
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MINIMUM_SECRET_CHARACTERS = 32
ORIGIN = re.compile(r"https://[a-z0-9.-]+(?::[0-9]{1,5})?|http://(?:localhost|127\.0\.0\.1)(?::[0-9]{1,5})?")


class GatewaySettings(BaseSettings):
    """Settings of the one door for people."""

    model_config = SettingsConfigDict(env_prefix="HAECHI_", extra="ignore", frozen=True, hide_input_in_errors=True)

    environment: Literal["embedded", "production"] = Field(
        "embedded", description="production refuses missing and short secrets, and limits counted in this process."
    )
    gateway_host: str = Field("127.0.0.1", description="Address the gateway listens on.")
    gateway_port: int = Field(8080, description="Port the gateway listens on.")
    llm_service_url: str = Field("http://127.0.0.1:8081", description="Where the gateway finds llm_service.")
    service_token: SecretStr = Field(
        SecretStr(""), description="Token of service-to-service calls: to llm_service, and from the command line."
    )
    rasa_url: str = Field(
        "http://127.0.0.1:5005",
        description="Where the gateway finds Rasa; empty routes every question by the fallback.",
    )
    rasa_token: SecretStr = Field(SecretStr(""), description="Token the gateway presents to Rasa's guarded channel.")
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="Redis for rate limits shared by replicas; empty counts in this process, embedded only.",
    )
    session_secret: SecretStr = Field(
        SecretStr(""),
        description="Key that signs guest sessions; empty makes one up at start, so that a restart ends every session.",
    )
    session_seconds: int = Field(1800, ge=60, description="How long a guest session is valid.")
    sessions_per_minute_per_address: int = Field(
        30, ge=1, description="Guest sessions one network address may open a minute."
    )
    questions_per_minute_per_user: int = Field(
        20, ge=1, description="Questions one person may ask a minute, in any one channel."
    )
    questions_at_once_per_user: int = Field(
        20, ge=1, description="Questions one person may ask in a burst, before the pace of a minute counts."
    )
    questions_per_day_per_user: int = Field(
        500, ge=1, description="Questions one person may ask a day in any one channel; days end at midnight in Seoul."
    )
    questions_per_minute_per_channel: int = Field(
        6000, ge=1, description="Questions that may come from one whole channel (web, slack, teams) a minute."
    )
    questions_per_minute_per_address: int = Field(
        120, ge=1, description="Questions that may come from one network address a minute."
    )
    waiting_questions_per_conversation: int = Field(
        4, ge=1, description="Questions of one conversation that may wait for the one being routed."
    )
    widget_origins: str = Field(
        "",
        description="Origins of the bank's sites that carry the chat, separated by commas (https://www.bank.example);"
        " pages of other origins may not call the gateway.",
    )
    widget_token_key: SecretStr = Field(
        SecretStr(""),
        description="What checks the tokens of the bank's site (docs/widget.md): the shared secret of HS256, or the"
        " public key of EdDSA in PEM; empty accepts none.",
    )
    widget_token_algorithm: Literal["HS256", "EdDSA"] = Field(
        "EdDSA", description="How the bank's site signs its tokens; any other algorithm is refused."
    )
    anonymous_guests: bool = Field(
        True, description="Whether visitors without a token of the bank's site may ask as guests."
    )
    maximum_question_characters: int = Field(
        4000, ge=1, description="Longest question accepted; longer ones are refused unread."
    )
    maximum_body_bytes: int = Field(65_536, ge=1024, description="Largest request body accepted.")
    directory_file: Path | None = Field(
        None,
        description="Who the users of Slack and Teams are to the bank: a YAML, JSON or CSV file (docs/identity.md);"
        " without one everybody there is a customer without groups.",
    )
    trusted_proxies: str = Field(
        "", description="Addresses of reverse proxies whose X-Forwarded-For is believed, separated by commas."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Level of our own log lines; none of them carries text."
    )

    @field_validator("widget_origins")
    @classmethod
    def refuse_what_is_no_origin(cls, listed: str) -> str:
        """An origin has a scheme, a host and nothing behind it (RFC 6454); http is for one's own machine."""
        for origin in filter(None, map(str.strip, listed.split(","))):
            if not ORIGIN.fullmatch(origin):
                raise ValueError("each of HAECHI_WIDGET_ORIGINS is https://host or https://host:port, without a path")
        return listed

    @model_validator(mode="after")
    def refuse_weak_token_key(self) -> Self:
        """A short shared secret can be guessed; a PEM where a secret is wanted would make the public key the secret."""
        key = self.widget_token_key.get_secret_value()
        pem_wanted = self.widget_token_algorithm in ("EdDSA",)
        if key and (key.lstrip().startswith("-----BEGIN") != pem_wanted or len(key) < MINIMUM_SECRET_CHARACTERS):
            raise ValueError(
                "HAECHI_WIDGET_TOKEN_KEY is the public key in PEM for EdDSA, or for HS256 a secret of"
                f" {MINIMUM_SECRET_CHARACTERS} characters or more"
            )
        return self

    @model_validator(mode="after")
    def refuse_unsafe_production(self) -> Self:
        """Production does not start on missing or short secrets, nor where each replica would count limits alone."""
        if self.environment == "production":
            secrets = {
                "HAECHI_SERVICE_TOKEN": self.service_token,
                "HAECHI_RASA_TOKEN": self.rasa_token,
                "HAECHI_SESSION_SECRET": self.session_secret,
            }
            weak = [name for name, value in secrets.items() if len(value) < MINIMUM_SECRET_CHARACTERS]
            if weak:
                raise ValueError(
                    f"production needs {MINIMUM_SECRET_CHARACTERS} characters or more in {', '.join(weak)};"
                    " see docs/settings.md"
                )
            if not self.redis_url.get_secret_value():
                raise ValueError("production needs HAECHI_REDIS_URL; see docs/settings.md")
        return self


def load_settings() -> GatewaySettings:
    """Settings of this process: variables first, then one file per secret in the secrets directory."""
    return GatewaySettings(_secrets_dir=secrets_directory())


def secrets_directory() -> Path | None:
    named = os.environ.get("HAECHI_SECRETS_DIRECTORY")
    directory = Path(named) if named else Path(os.environ.get("HAECHI_HOME", ".haechi")) / "secrets"
    return directory if directory.is_dir() else None
