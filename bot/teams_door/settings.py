"""Typed settings of the Teams door, each with a sentence of help; `docs/settings.md` is checked against them.

The door stands in the DMZ: it is given neither a database nor a service token, and no key that opens what it seals.
"""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

BOT_FRAMEWORK_KEYS_URL = "https://login.botframework.com/v1/.well-known/keys"
BOT_FRAMEWORK_ISSUER = "https://api.botframework.com"
PUBLIC_SERVICE_HOST = "smba.trafficmanager.net"


class TeamsDoorSettings(BaseSettings):
    """Settings of the one process that Microsoft's servers reach."""

    model_config = SettingsConfigDict(env_prefix="HAECHI_", extra="ignore", frozen=True, hide_input_in_errors=True)

    environment: Literal["embedded", "production"] = Field(
        "embedded", description="production refuses a door without allow-lists, and one that asks for no token."
    )
    teams_enabled: bool = Field(False, description="Whether the Teams door opens at all.")
    teams_door_host: str = Field("127.0.0.1", description="Address the Teams door listens on, behind a reverse proxy.")
    teams_door_port: int = Field(8084, description="Port the Teams door listens on.")
    teams_app_id: str = Field("", description="The bot's Microsoft App ID: the only audience whose tokens are taken.")
    teams_tenants: str = Field(
        "", description="Entra tenants whose people are served, separated by commas; everybody else's are refused."
    )
    teams_service_hosts: str = Field(
        PUBLIC_SERVICE_HOST,
        description="Hosts that a serviceUrl may name, exactly, separated by commas. Never a suffix: customers of"
        " Azure can register names below trafficmanager.net.",
    )
    teams_keys_url: str = Field(
        BOT_FRAMEWORK_KEYS_URL, description="Where the Bot Framework publishes its signing keys (JWKS)."
    )
    teams_token_issuer: str = Field(BOT_FRAMEWORK_ISSUER, description="Who has to have issued a token.")
    teams_proxy: str = Field("", description="Forward proxy towards Microsoft, http://host:port; empty goes directly.")
    teams_redis_url: SecretStr = Field(
        SecretStr(""), description="Redis in which the door leaves messages; its user needs no other right there."
    )
    teams_inbox_public_key: str = Field(
        "", description="Public key, from `haechi teams-keys`, that messages are sealed for; opens nothing."
    )
    teams_inbox_messages: int = Field(
        10_000, ge=1, description="Messages that may wait in Redis; the next is declined until there is room again."
    )
    teams_allow_unauthenticated: bool = Field(
        False, description="Take messages without a token, for Microsoft's test client on a developer's own machine."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Level of our own log lines; none of them carries text."
    )

    @property
    def tenants(self) -> frozenset[str]:
        return named(self.teams_tenants)

    @property
    def service_hosts(self) -> frozenset[str]:
        return named(self.teams_service_hosts)

    @model_validator(mode="after")
    def refuse_an_open_door(self) -> Self:
        """A door that opens knows whom it serves; in production it also asks everybody for a token."""
        if not self.teams_enabled:
            return self
        needed = {
            "HAECHI_TEAMS_APP_ID": self.teams_app_id,
            "HAECHI_TEAMS_TENANTS": self.tenants,
            "HAECHI_TEAMS_SERVICE_HOSTS": self.service_hosts,
            "HAECHI_TEAMS_REDIS_URL": self.teams_redis_url.get_secret_value(),
            "HAECHI_TEAMS_INBOX_PUBLIC_KEY": self.teams_inbox_public_key,
        }
        if missing := [name for name, value in needed.items() if not value]:
            raise ValueError(f"the Teams door needs {', '.join(missing)}; see docs/teams.md")
        if any("*" in host or host.startswith(".") for host in self.service_hosts):
            raise ValueError("HAECHI_TEAMS_SERVICE_HOSTS names hosts exactly, without wildcards; see docs/teams.md")
        if self.environment == "production":
            if self.teams_allow_unauthenticated:
                raise ValueError(
                    "production never takes Teams messages without a token: unset HAECHI_TEAMS_ALLOW_UNAUTHENTICATED"
                )
            if not self.teams_keys_url.startswith("https://"):
                raise ValueError("production reads Microsoft's signing keys by https: see HAECHI_TEAMS_KEYS_URL")
        return self


def load_settings() -> TeamsDoorSettings:
    """Settings of this process: variables first, then one file per secret in the secrets directory."""
    return TeamsDoorSettings(_secrets_dir=secrets_directory())


def secrets_directory() -> Path | None:
    named_directory = os.environ.get("HAECHI_SECRETS_DIRECTORY")
    directory = Path(named_directory) if named_directory else Path(os.environ.get("HAECHI_HOME", ".haechi")) / "secrets"
    return directory if directory.is_dir() else None


def named(listed: str) -> frozenset[str]:
    """The names of a list separated by commas, in lower case."""
    return frozenset(name.strip().lower() for name in listed.split(",") if name.strip())
