"""Where the parts of one machine listen and how long a start may take; checked against `docs/settings.md`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PlatformSettings(BaseSettings):
    """Settings of the supervisor and of the `haechi` command."""

    model_config = SettingsConfigDict(env_prefix="HAECHI_", extra="ignore", frozen=True)

    home: Path = Field(Path(".haechi"), description="Directory of everything this machine keeps.")
    gateway_host: str = Field("127.0.0.1", description="Address the gateway listens on.")
    gateway_port: int = Field(8080, description="Port the gateway listens on.")
    llm_service_port: int = Field(8081, description="Port llm_service listens on.")
    actions_port: int = Field(8082, description="Port the action server listens on.")
    console_port: int = Field(8083, description="Port the console listens on.")
    rasa_port: int = Field(5005, description="Port Rasa listens on.")
    redis_port: int = Field(6390, description="Port the embedded Redis server listens on.")
    rasa_python: str = Field("", description="Python 3.10 with Rasa; empty looks for .venv-rasa beside the project.")
    workers: bool = Field(
        False,
        description="Whether `haechi up` also starts the workers of the job queue: one for training, one for all else.",
    )
    start_timeout_seconds: float = Field(300.0, gt=0, description="How long a start may take before it is given up.")

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def console_url(self) -> str:
        return f"http://127.0.0.1:{self.console_port}"

    @property
    def llm_service_url(self) -> str:
        return f"http://127.0.0.1:{self.llm_service_port}"
