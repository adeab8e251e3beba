"""Alembic's entry: runs the migrations on the connection that `migrate.py` hands over."""

from typing import Any, Literal

from alembic import context

import llm_service.store.learning_models  # noqa: F401  its tables belong to the schema
from llm_service.store import (  # noqa: F401 (tables)
    adapter_models,
    console_models,
    control_models,
    embedding_models,
    evaluation_models,
    handoff_models,
    index_models,
)
from llm_service.store.models import Base, UtcDateTime


def render_item(kind: str, item: Any, _autogenerate_context: Any) -> str | Literal[False]:
    """Write our own column types as what they are in the database, so that migrations import no model."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=render_item,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
