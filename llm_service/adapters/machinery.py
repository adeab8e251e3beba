"""Puts the parts of adapters together over the model servers of a deployment; settings are read elsewhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from llm_service.adapters.adapter_metrics import AdapterMetrics
from llm_service.adapters.desk import AdapterDesk
from llm_service.adapters.files import Limits
from llm_service.adapters.fleet import Fleet
from llm_service.adapters.keeper import AdapterKeeper
from llm_service.adapters.locations import SharedVolume
from llm_service.adapters.promotion import Patience, Promotions
from llm_service.adapters.published_set import PublishedSet
from llm_service.adapters.registry import IsMasked, Registry
from llm_service.adapters.routing import AdapterRouter
from llm_service.adapters.stores import StoreAccess, fetch
from llm_service.adapters.watch import Rule, Watch
from llm_service.engines.model_server import ModelServer
from llm_service.store.transactions import Transactions

VERSIONS: Final = "versions"
INCOMING: Final = "incoming"
PUBLISHED_SET: Final = "adapter-set.json"


@dataclass(frozen=True)
class AdapterOptions:
    """`root` holds `versions`, `incoming` and the published set; servers see versions at `versions_on_servers`."""

    root: Path
    versions_on_servers: str = ""
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)
    rule: Rule = field(default_factory=Rule)
    unload_after_seconds: float = 120.0
    stores: StoreAccess = field(default_factory=StoreAccess)


@dataclass(frozen=True)
class Adapters:
    """`router` says which adapter a turn gets, `fleet` which replica carries it; `keeper` runs for ever."""

    registry: Registry
    fleet: Fleet
    router: AdapterRouter
    keeper: AdapterKeeper
    desk: AdapterDesk
    metrics: AdapterMetrics


def build_adapters(
    transactions: Transactions,
    options: AdapterOptions,
    servers: Callable[[], Sequence[ModelServer]],
    is_masked: IsMasked,
    routing_key: bytes,
) -> Adapters:
    """All parts over these servers; without any, versions can be registered and approved, and none promoted."""
    volume = SharedVolume(options.root / VERSIONS, options.versions_on_servers)
    registry = Registry(transactions, volume, volume, options.limits, is_masked)
    fleet = Fleet(servers, registry, options.unload_after_seconds)
    router = AdapterRouter(transactions, fleet, routing_key)
    promotions = Promotions(transactions, fleet, router, options.patience)
    watch = Watch(transactions, router, options.rule)
    published = PublishedSet(options.root / PUBLISHED_SET)
    keeper = AdapterKeeper(transactions, registry, fleet, promotions, watch, published)
    incoming = options.root / INCOMING
    fetched = partial(fetch, access=options.stores, maximum_bytes=options.limits.weights_bytes)
    desk = AdapterDesk(transactions, registry, fleet, router, promotions, options.rule, incoming, keeper.wake, fetched)
    return Adapters(registry, fleet, router, keeper, desk, AdapterMetrics(watch, fleet))
