"""Questions about approved examples: the pairs that may leave the platform, in the order of their approval."""

from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from llm_service.store.learning_models import ReviewItem


def approved_count(session: Session) -> int:
    statement = select(func.count()).select_from(ReviewItem).where(ReviewItem.state == "approved")
    return session.scalar(statement) or 0


def approved_page(session: Session, after: tuple[datetime, str] | None, limit: int) -> list[ReviewItem]:
    """Approved examples behind a place (time of the second approval, id), or from the first on."""
    statement = select(ReviewItem).where(ReviewItem.state == "approved")
    if after is not None:
        at, item_id = after
        later = (ReviewItem.second_approved_at == at) & (ReviewItem.id > item_id)
        statement = statement.where(or_(ReviewItem.second_approved_at > at, later))
    return list(session.scalars(statement.order_by(ReviewItem.second_approved_at, ReviewItem.id).limit(limit)))
