"""The migrations and the models are the same schema, on both databases."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from llm_service.store.migrate import is_current, upgrade
from llm_service.store.models import Base


def differences(database: Engine) -> list[object]:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def test_the_migrations_build_exactly_the_models(database: Engine) -> None:
    Base.metadata.drop_all(database)
    assert not is_current(database)
    upgrade(database)
    assert is_current(database)
    assert differences(database) == []


def test_migrating_a_current_database_changes_nothing(database: Engine) -> None:
    Base.metadata.drop_all(database)
    upgrade(database)
    upgrade(database)
    assert is_current(database)
