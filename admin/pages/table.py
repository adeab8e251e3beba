"""Every router of the console, in the order of its menu."""

from typing import Final

from fastapi import APIRouter

from admin.pages import (
    accounts,
    adapters,
    audit,
    blind,
    conversations,
    curated,
    dashboard,
    datasets,
    documents,
    evaluations,
    health,
    login,
    platform,
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
    curated.router,
    datasets.router,
    runs.router,
    evaluations.router,
    blind.router,
    adapters.router,
    audit.router,
    accounts.router,
    tokens.router,
    platform.router,
)
