"""The table of what the index's owner keeps beside the index: derived from the rows, replaceable at any time."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from llm_service.store.models import Base, now


class IndexStatistics(Base):
    """The term statistics of one generation, packed (`llm_service.retrieval.statistics`). They may be behind the rows:
    whoever reads them compares the documents they count with those that are ready."""

    __tablename__ = "index_statistics"

    generation_id: Mapped[int] = mapped_column(
        ForeignKey("index_generations.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    body: Mapped[bytes] = mapped_column(LargeBinary)
    kept_at: Mapped[datetime] = mapped_column(default=now)
