"""Every router of the console, in the order of its menu."""

from typing import Final

from fastapi import APIRouter

from admin.pages import (
    access,
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
    handoffs,
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
    handoffs.router,
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
    access.router,
    tokens.router,
    platform.router,
)
