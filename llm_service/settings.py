"""Typed settings of the answering service, each with a sentence of help; `docs/settings.md` is checked against them.

Values come from `HAECHI_*` variables, then from files of the secrets directory (`$HAECHI_HOME/secrets`, or where a
cluster mounts its secrets), then from defaults that work embedded: one machine, no network. Which part is built from
them is decided in `wiring.py`, not here.
"""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from llm_service.errors import Misconfigured

MINIMUM_SECRET_CHARACTERS = 32


class Settings(BaseSettings):
    """Settings of llm_service and of the commands that open its data directory."""

    model_config = SettingsConfigDict(env_prefix="HAECHI_", extra="ignore", frozen=True, hide_input_in_errors=True)

    environment: Literal["embedded", "production"] = Field(
        "embedded",
        description="embedded runs everything on one machine; production refuses missing and short secrets, the SQLite "
        "file, Qdrant Edge and answer streams kept in this process.",
    )
    home: Path = Field(
        Path(".haechi"), description="Directory of everything this machine keeps: database, vectors, secrets, models."
    )
    database_url: SecretStr = Field(
        SecretStr(""),
        description="SQLAlchemy URL of the records; empty means the SQLite file haechi.db in the home directory, "
        "embedded only.",
    )
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="Redis for answer streams; empty keeps them in this process, embedded only.",
    )
    qdrant_url: str = Field(
        "", description="URL of a Qdrant server; empty means Qdrant Edge inside this process, embedded only."
    )
    qdrant_api_key: SecretStr = Field(SecretStr(""), description="API key of the Qdrant server.")
    service_token: SecretStr = Field(
        SecretStr(""), description="Token that the gateway and the command line present to llm_service."
    )
    identity_key: SecretStr = Field(
        SecretStr(""),
        description="Key of the hashes that stand for users and threads in the records, 32 characters or more; "
        "changing it starts every conversation anew.",
    )
    vault_keys: SecretStr = Field(
        SecretStr(""),
        description="Keys that encrypt the values behind placeholders, as id:base64 of 32 bytes each, separated by "
        "commas or line ends; the first one encrypts, all decrypt. Empty means one generated into the secrets "
        "directory, embedded only; `haechi keys rotate` changes it.",
    )
    mention_key: SecretStr = Field(
        SecretStr(""),
        description="Key of the hashes by which `haechi erase-person` finds conversations that mention a value. Empty "
        "means one generated into the secrets directory, embedded only.",
    )
    find_by_value: bool = Field(
        True,
        description="Whether such a hash is kept of values that point at one person, as long as the conversation is.",
    )
    vault_seconds: int = Field(
        1800,
        ge=60,
        description="How long the values behind a conversation's placeholders are kept after its last use.",
    )
    retention_days_turns: int = Field(
        180,
        ge=1,
        description="How long turns are kept, with sources and feedback; a conversation goes with its last turn.",
    )
    retention_days_feedback: int = Field(
        180, ge=1, description="How long verdicts and corrections are kept; with their turn they go in any case."
    )
    retention_days_audit: int = Field(
        1095,
        ge=730,
        description="How long audit rows are kept; less than two years is refused (안전성 확보조치 기준 art. 8).",
    )
    handoff_hours: str = Field(
        "mon-fri 09:00-18:00",
        description='When people take over conversations, in Seoul: "mon-fri 09:00-12:00, mon-fri 13:00-18:00"; empty'
        " offers no live chat.",
    )
    handoff_holidays_file: Path | None = Field(
        None, description="Days without live chat: one a line as 2026-02-17, remarks behind #."
    )
    handoff_reply_seconds: float = Field(
        180.0, gt=0, description="How soon a person has to hear something after asking, or after writing to an agent."
    )
    handoff_waiting_seconds: float = Field(
        1800.0, gt=0, description="After which a hand-off that nobody took is abandoned."
    )
    handoff_silence_seconds: float = Field(
        1800.0, gt=0, description="After which a hand-off is closed in which neither side writes any more."
    )
    purge_every_seconds: float = Field(60.0, gt=0, description="How often what has outlived its time is deleted.")
    llm_service_host: str = Field("127.0.0.1", description="Address llm_service listens on.")
    llm_service_port: int = Field(8081, description="Port llm_service listens on.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Level of our own log lines; none of them carries text."
    )
    engine: Literal["extractive", "tgi", "vllm", "sglang", "llama-server", "devserver"] = Field(
        "extractive",
        description="What writes answers: extractive quotes the sources; the others are model servers "
        "(docs/engines.md), for which extractive stands in while none answers. devserver is refused in production.",
    )
    engine_urls: str = Field(
        "",
        description="Address of each replica of the model server, separated by commas; each one's own, no balancer's.",
    )
    engine_model: str = Field(
        "", description="Name of the base model at an OpenAI-compatible server; empty takes the first it lists."
    )
    engine_prompt_form: Literal["text", "messages"] = Field(
        "text",
        description="Whether OpenAI-compatible servers get the rendered prompt or messages to render themselves; TGI "
        "always gets the rendered prompt.",
    )
    engine_prompt_tokens: int = Field(6000, ge=512, description="Longest prompt, in tokens.")
    engine_answer_tokens: int = Field(512, ge=16, description="Longest answer a model may write, in tokens.")
    engine_running_per_server: int = Field(32, ge=1, description="How many answers each model server writes at once.")
    engine_waiting: int = Field(
        200, ge=0, description="How many answers wait for a model server; more are refused, 429."
    )
    engine_waiting_seconds: float = Field(
        20.0, gt=0, description="How long one waits before it is answered by quotation."
    )
    engine_connect_seconds: float = Field(3.0, gt=0, description="Longest time to reach a model server.")
    engine_first_token_seconds: float = Field(30.0, gt=0, description="Longest time until a model's first token.")
    engine_next_token_seconds: float = Field(15.0, gt=0, description="Longest time between two tokens of a model.")
    passages_per_answer: int = Field(5, ge=1, le=20, description="How many passages an answer may rest on.")
    refusal_threshold: float = Field(
        0.5, ge=0, le=1, description="Confidence that the passages carry an answer below which a question is refused."
    )
    answer_timeout_seconds: float = Field(
        60.0, gt=0, description="Longest time one answer may take before it ends as failed."
    )
    masking_timeout_seconds: float = Field(
        5.0, gt=0, description="Longest time masking may take before the text is declined and nothing is kept."
    )
    stream_heartbeat_seconds: float = Field(
        15.0, gt=0, description="How often a silent answer stream shows a waiting reader that it is alive."
    )
    shutdown_grace_seconds: float = Field(
        10.0, ge=0, description="How long running answers may finish when the service is asked to stop."
    )
    answer_log_seconds: int = Field(
        1800, ge=60, description="How long a finished answer can be replayed to a reader that lost its connection."
    )
    maximum_question_characters: int = Field(
        4000, ge=1, description="Longest question accepted; longer ones are refused unread."
    )
    maximum_body_bytes: int = Field(
        65_536, ge=1024, description="Largest request body accepted by every route but the upload of documents."
    )
    maximum_document_bytes: int = Field(50_000_000, ge=1024, description="Largest document accepted.")
    document_identifiers: int = Field(
        20,
        ge=0,
        description="Personal identifiers in a document above which it waits, masked, until a person releases it.",
    )

    learning_directory: Path = Field(
        Path(),
        description="Directory of datasets, training runs and base models, shared by llm_service and the workers; "
        "empty means `learning` in the home directory.",
    )
    heartbeat_file: Path | None = Field(
        None,
        description="File that a worker of the job queue touches while it lives, for a probe that reads its age; empty "
        "touches none.",
    )
    queue_url: SecretStr = Field(
        SecretStr(""), description="Redis of the job queue; empty takes HAECHI_REDIS_URL. Only workers need one."
    )
    job_lease_seconds: float = Field(
        30.0, gt=0, description="How long a job stays with a worker that says nothing before another may take it."
    )
    device: str = Field(
        "gpu:0", description="Name of the device that this machine's worker trains on; one training at a time on it."
    )
    base_model: str = Field("", description="Name of the base that a scheduled training takes, a folder in `bases`.")
    training_recipe: str = Field("", description="Name of the recipe that a scheduled training takes.")
    retrain_after_approvals: int = Field(
        0, ge=0, description="How many new approvals start a training by themselves; 0 never does."
    )
    training_timeout_seconds: int = Field(
        86_400, ge=60, description="Longest time one training may take before its worker is stopped; it then resumes."
    )

    @property
    def learning_root(self) -> Path:
        """The directory of everything that is learnt, with its default filled in."""
        return self.home / "learning" if self.learning_directory == Path() else self.learning_directory

    @property
    def adapters_root(self) -> Path:
        """The directory of adapters, with its default filled in."""
        return self.home / "adapters" if self.adapters_directory == Path() else self.adapters_directory

    @property
    def datasets_directory(self) -> Path:
        return self.learning_root / "datasets"

    adapters_directory: Path = Field(
        Path(),
        description="Directory of adapter versions, a volume that every model server reads; empty means `adapters` in "
        "the home directory.",
    )
    adapters_directory_on_servers: str = Field(
        "", description="Where the model servers see its folder `versions`; empty means at the same path."
    )
    adapter_s3_endpoint: str = Field(
        "", description="Address of the S3-compatible store that s3:// adapters come from; empty means none."
    )
    adapter_s3_region: str = Field("us-east-1", description="Its region.")
    adapter_s3_access_key: SecretStr = Field(SecretStr(""), description="Access key of that store.")
    adapter_s3_secret_key: SecretStr = Field(SecretStr(""), description="Secret key of that store.")
    adapter_registry: str = Field(
        "", description="HOST or HOST:PORT of the OCI registry that oci:// adapters come from; empty means none."
    )
    adapter_registry_user: str = Field("", description="User of that registry; empty asks without one.")
    adapter_registry_password: SecretStr = Field(SecretStr(""), description="Password of that registry.")
    adapter_maximum_rank: int = Field(
        32, ge=1, le=512, description="Highest LoRA rank taken in; the servers' own limit (vLLM: --max-lora-rank)."
    )
    adapter_load_seconds: float = Field(
        120.0, gt=0, description="How long a promotion waits for servers that load adapters at run time."
    )
    adapter_rollout_seconds: float = Field(
        3600.0, gt=0, description="How long a promotion waits for servers that have to be restarted with the new set."
    )
    adapter_unload_seconds: float = Field(
        120.0, gt=0, description="How long a replaced adapter stays loaded; more than the longest answer takes."
    )
    adapter_watch_turns: int = Field(
        30, ge=10, description="Turns on both sides below which the watch decides nothing about a canary."
    )
    adapter_watch_margin: float = Field(
        0.02, ge=0, lt=1, description="By how much more often a version may do badly before the watch takes it out."
    )
    adapter_watch_seconds: float = Field(
        3600.0, gt=0, description="How long a freshly promoted version is watched against the one before it."
    )
    ocr: bool = Field(
        False,
        description="Whether scanned PDF pages are read with Tesseract (kor+eng), where it is installed; pages it is "
        "not sure of are left out and noted.",
    )
    tokenizer: str = Field(
        "",
        description="tokenizer.json of the model that writes answers, or its directory, to count the prompt's tokens "
        "with; empty estimates them.",
    )
    embeddings: str = Field(
        "",
        description="Embedding model beside the search by terms: a sentence-transformers directory, the URL of a Text "
        "Embeddings Inference server, or of an OpenAI-compatible one (ending in /v1). Empty means by terms only; "
        "another model builds the index anew (docs/retrieval.md).",
    )
    embeddings_model: str = Field("", description="Model that an embeddings URL ending in /v1 is asked for.")
    embeddings_api_key: SecretStr = Field(SecretStr(""), description="API key of the embeddings URL.")
    embeddings_question_prefix: str = Field(
        "", description='What the embedding model wants before a question, for example "query: ", blank included.'
    )
    embeddings_passage_prefix: str = Field(
        "", description='What the embedding model wants before a passage, for example "passage: ", blank included.'
    )
    embeddings_timeout_seconds: float = Field(
        1.0, gt=0, description="Longest time a question waits for its embedding before it is searched by terms only."
    )
    reranker: str = Field(
        "",
        description="Cross-encoder that orders the first candidates anew: its directory, or the URL of a Text "
        "Embeddings Inference server. Empty means none.",
    )
    reranker_api_key: SecretStr = Field(SecretStr(""), description="API key of the re-ranker's URL.")
    reranker_candidates: int = Field(20, ge=2, le=50, description="How many candidates the cross-encoder reads.")
    reranker_timeout_seconds: float = Field(
        0.5, gt=0, description="Longest time a question waits for the cross-encoder before the first order stands."
    )

    @property
    def engine_addresses(self) -> tuple[str, ...]:
        """The model servers' addresses, each once, in the order given."""
        return tuple(dict.fromkeys(url.strip().rstrip("/") for url in self.engine_urls.split(",") if url.strip()))

    @property
    def resolved_database_url(self) -> str:
        """The database URL with the embedded default filled in. It may hold a password: it is never logged."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.home / 'haechi.db'}"

    @property
    def vault_keys_file(self) -> Path:
        """Where the vault's keys lie as a file, if they do: `haechi keys rotate` changes it while the service runs."""
        return Path(os.environ.get("HAECHI_SECRETS_DIRECTORY") or self.home / "secrets") / "haechi_vault_keys"

    @model_validator(mode="after")
    def refuse_unsafe_production(self) -> Self:
        """Production does not start on missing or short secrets, nor on an embedded part.

        Raises `Misconfigured` itself, which is no ValueError: pydantic does not wrap it, so no value is printed.
        """
        if self.engine != "extractive" and not self.engine_addresses:
            raise Misconfigured("engine_urls_missing", f"HAECHI_ENGINE={self.engine} needs HAECHI_ENGINE_URLS")
        if self.environment == "production":
            self._refuse_weak_secrets()
            self._refuse_embedded_parts()
        return self

    def _refuse_weak_secrets(self) -> None:
        missing = [
            name
            for name, secret in (
                ("HAECHI_SERVICE_TOKEN", self.service_token),
                ("HAECHI_IDENTITY_KEY", self.identity_key),
                ("HAECHI_VAULT_KEYS", self.vault_keys),
                ("HAECHI_MENTION_KEY", self.mention_key),
                ("HAECHI_REDIS_URL", self.redis_url),
            )
            if not secret.get_secret_value()
        ]
        if missing:
            raise Misconfigured("secret_missing", f"production needs {', '.join(missing)}; see docs/settings.md")
        for name, secret in (
            ("HAECHI_SERVICE_TOKEN", self.service_token),
            ("HAECHI_IDENTITY_KEY", self.identity_key),
            ("HAECHI_MENTION_KEY", self.mention_key),
        ):
            if len(secret.get_secret_value()) < MINIMUM_SECRET_CHARACTERS:
                raise Misconfigured("secret_too_short", f"{name} needs {MINIMUM_SECRET_CHARACTERS} characters or more")

    def _refuse_embedded_parts(self) -> None:
        if self.engine == "devserver":
            raise Misconfigured("embedded_engine", "production needs a model server or extractive, not devserver")
        if self.resolved_database_url.startswith("sqlite"):
            raise Misconfigured(
                "embedded_database", "production needs HAECHI_DATABASE_URL on PostgreSQL, not the SQLite file"
            )
        if not self.qdrant_url:
            raise Misconfigured(
                "embedded_vectors", "production needs HAECHI_QDRANT_URL of a Qdrant server, not Qdrant Edge"
            )


def load_settings() -> Settings:
    """Settings of this process: variables first, then one file per secret in the secrets directory.

    Raises `Misconfigured` if production would run on unsafe values.
    """
    return Settings(_secrets_dir=secrets_directory())


def secrets_directory() -> Path | None:
    """`HAECHI_SECRETS_DIRECTORY`, else `secrets` in the home directory; None while it does not exist."""
    named = os.environ.get("HAECHI_SECRETS_DIRECTORY")
    directory = Path(named) if named else Path(os.environ.get("HAECHI_HOME", ".haechi")) / "secrets"
    return directory if directory.is_dir() else None
