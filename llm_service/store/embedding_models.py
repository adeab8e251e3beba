"""The table of dense vectors: one row a passage and embedding model, so that an index is built again without the model.

Knows neither models nor indexes: a vector is bytes here.
"""

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from llm_service.store.models import Base


class PassageEmbedding(Base):
    """A passage as one embedding model sees it; `model` is the model's identity, `vector` packed 16-bit floats."""

    __tablename__ = "passage_embeddings"

    passage_id: Mapped[int] = mapped_column(ForeignKey("passages.id", ondelete="CASCADE"), primary_key=True)
    model: Mapped[str] = mapped_column(String(32), primary_key=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)
