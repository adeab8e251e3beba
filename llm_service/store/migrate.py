"""Brings the database to the newest schema with Alembic; the migrations are the only way the schema changes."""

import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from llm_service.logs import configure_logging
from llm_service.settings import load_settings
from llm_service.store.session import open_database

MIGRATIONS = Path(__file__).resolve().parent / "migrations"


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Apply every migration that is missing up to a revision, in one transaction where the database can."""
    configuration = _configuration()
    with engine.begin() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, revision)


def is_current(engine: Engine) -> bool:
    """Whether the database has exactly the schema of this release."""
    head = ScriptDirectory.from_config(_configuration()).get_current_head()
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == head


def write_migration(engine: Engine, message: str, revision: str) -> None:
    """Write a migration: the difference between the models and a database at the newest schema (bin/migration)."""
    configuration = _configuration()
    with engine.begin() as connection:
        configuration.attributes["connection"] = connection
        command.revision(configuration, message=message, rev_id=revision, autogenerate=True)


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    return configuration


def main() -> None:
    """`python -m llm_service.store.migrate`: upgrade the database of the settings."""
    os.umask(0o077)  # the SQLite file is for its user alone
    settings = load_settings()
    configure_logging("migrate", settings.log_level)
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = open_database(settings.resolved_database_url)
    try:
        upgrade(database)
    finally:
        database.dispose()


if __name__ == "__main__":
    main()
