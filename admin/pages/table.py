"""Every router of the console, in the order of its menu."""

from typing import Final

from fastapi import APIRouter

from admin.pages import (
    accounts,
    adapters,
    audit,
    conversations,
    dashboard,
    datasets,
    documents,
    health,
    login,
    reviews,
    runs,
    tokens,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    health.router,
    login.router,
    dashboard.router,
    reviews.router,
    conversations.router,
    documents.router,
    datasets.router,
    runs.router,
    adapters.router,
    audit.router,
    accounts.router,
    tokens.router,
)
