"""A console before a real llm_service, over shared records, with people of every role, examples and a training run."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TypeVar

import httpx
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from admin.app import create_app
from admin.passwords import SecondFactors, hash_password
from admin.policies import ROLES
from admin.settings import ConsoleSettings
from llm_service import app as llm_service_app
from llm_service import wiring
from llm_service.masked import MaskedText
from llm_service.settings import Settings
from llm_service.store import console, datasets, review, training
from llm_service.store.identities import Identities
from llm_service.store.learning_models import ReviewItem
from llm_service.store.models import Base
from llm_service.store.session import open_database
from llm_service.store.transactions import Transactions
from tests.bot.gateway.stand_ins import served
from tests.conftest import IDENTITY_KEY, MENTION_KEY, SERVICE_TOKEN, VAULT_KEYS

CONSOLE_KEY = "a console key for tests, 32 characters or more"
PASSWORD = "correct horse battery staple"
TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
LIFETIMES = console.Lifetimes(timedelta(minutes=15), timedelta(hours=8))
XSS = "<img src=x onerror=alert(1)><script>alert(2)</script>{{ 7 * 7 }}'\"&"
SOURCE = {
    "document_id": None,
    "passage_id": None,
    "path": "내규.md",
    "title": "여신 내규",
    "label": "여신 내규 제4조 (시행 2025-04-01)",
    "article": "제4조",
    "text": "지점장은 신용대출 한도를 5천만원까지 승인할 수 있다.",
    "in_force_from": "2025-04-01",
}
Result = TypeVar("Result")


@dataclass
class Platform:
    """The two services, and their records."""

    url: str
    settings: ConsoleSettings
    database: Engine
    accounts: dict[str, str] = field(default_factory=dict)

    def work(self, work: Callable[[Session], Result]) -> Result:
        return Transactions(self.database).run_blocking(work)

    def token_of(self, login: str) -> str:
        """A whole login, as the cookie carries it."""
        token = secrets.token_urlsafe(32)
        account_id = self.accounts[login]
        self.work(
            lambda session: console.open_session(
                session, account_id, console.sha256_of(token), f"csrf-of-{login}", "full", LIFETIMES
            )
        )
        return token

    @contextmanager
    def logged_in(self, login: str) -> Iterator[httpx.Client]:
        """A browser of a person, which sends what browsers send; forms carry `csrf-of-LOGIN`."""
        cookies = {self.settings.cookie_name: self.token_of(login)}
        with httpx.Client(
            base_url=self.url, cookies=cookies, headers={"Sec-Fetch-Site": "same-origin"}, trust_env=False, timeout=60
        ) as client:
            yield client

    def add_account(self, login: str, roles: list[str], *, with_second_factor: bool = True) -> str:
        password_hash = hash_of_password()
        factors = SecondFactors(CONSOLE_KEY)

        def add(session: Session) -> str:
            made = console.add_local_account(session, "test", login, f"{login} 님", password_hash, roles)
            console.set_password(session, "test", made.id, password_hash, must_change=False)
            if with_second_factor:
                console.set_second_factor(session, "test", made.id, factors.encrypted(TOTP_SECRET), None)
            return made.id

        self.accounts[login] = self.work(add)
        return self.accounts[login]

    def add_items(self, count: int, prefix: str = "질문", made_by: str = "glossary") -> list[str]:
        """Drafts for the queue, from the oldest on."""

        def add(session: Session) -> list[str]:
            made = []
            for number in range(count):
                draft = review.Draft(
                    kind="glossary",
                    question=MaskedText(f"{prefix} {number}"),
                    answer=MaskedText(f"{prefix} {number}의 답입니다."),
                    made_by=made_by,
                    group_key=f"{prefix}-{number}",
                    licence="bank",
                    sources=(SOURCE,),
                )
                item_id = review.add_draft(session, draft)
                assert item_id is not None
                made.append(item_id)
            return made

        return self.work(add)

    def item(self, item_id: str) -> ReviewItem:
        return self.work(lambda session: review.item(session, item_id))

    def everything(self, *but: str) -> dict[str, list[str]]:
        """Every row of every table, in words, without the tables that are named."""
        with self.database.connect() as connection:
            return {
                table.name: sorted(map(repr, connection.execute(select(table))))
                for table in Base.metadata.sorted_tables
                if table.name not in but
            }


@cache
def hash_of_password() -> str:
    """The hash of everybody's password, made once: making one takes long on purpose."""
    return hash_password(PASSWORD)


@contextmanager
def running_platform(home: Path, analysers: wiring.Analysers, database_url: str = "") -> Iterator[Platform]:
    """Both services on loopback ports, until the block ends; on a SQLite file where no other records are named."""
    database = open_database(database_url or f"sqlite:///{home / 'haechi.db'}")
    Base.metadata.create_all(database)
    service_settings = Settings(
        home=home,
        database_url=database_url,
        service_token=SERVICE_TOKEN,
        identity_key=IDENTITY_KEY,
        mention_key=MENTION_KEY,
        vault_keys=VAULT_KEYS,
        shutdown_grace_seconds=0,
    )  # type: ignore[arg-type]
    service = llm_service_app.create_app(service_settings, lambda: wiring.open_parts(service_settings, analysers))
    with served(service) as llm_service_url:
        settings = ConsoleSettings(
            home=home,
            database_url=database_url,
            service_token=SERVICE_TOKEN,
            identity_key=IDENTITY_KEY,
            console_key=CONSOLE_KEY,
            llm_service_url=llm_service_url,
        )  # type: ignore[arg-type]
        with served(create_app(settings)) as url:
            platform = Platform(url, settings, database)
            for role in ROLES:
                platform.add_account(role, [role])
            platform.add_account("approver2", ["approver"])
            yield platform
    database.dispose()


def corrected(platform: Platform) -> str:
    """An example whose answer a reviewer corrected, waiting for its first approval."""
    (item_id,) = platform.add_items(1, f"정정 {secrets.token_hex(4)}")

    def change(session: Session) -> str:
        found = review.item(session, item_id)
        found.answer = MaskedText("지점장은 신용대출 한도를 3천만원까지 승인할 수 있습니다. [1]")
        proposal = review.Proposal(
            MaskedText("지점장의 신용대출 승인 한도는 얼마인가요?"),
            MaskedText("지점장은 신용대출 한도를 5천만원까지 승인할 수 있습니다. [1]"),
            "wrong",
        )
        review.propose(session, platform_key(platform, "reviewer"), item_id, found.version, proposal)
        return item_id

    return platform.work(change)


def hostile(platform: Platform) -> str:
    """An example with markup in every text a person can write."""

    def add(session: Session) -> str:
        draft = review.Draft(
            kind="curated",
            question=MaskedText(XSS),
            answer=MaskedText(XSS),
            made_by="curated",
            group_key=f"xss-{secrets.token_hex(4)}",
            licence="bank",
            tags=(XSS,),
            sources=({**SOURCE, "label": XSS, "text": XSS},),
        )
        item_id = review.add_draft(session, draft)
        assert item_id is not None
        found = review.item(session, item_id)
        found.answer = MaskedText(XSS + " 다른 답")
        proposal = review.Proposal(MaskedText(XSS + " 고침"), MaskedText(XSS + " 고침"), "wrong")
        review.propose(session, platform_key(platform, "reviewer"), item_id, found.version, proposal)
        return item_id

    return platform.work(add)


def trained(platform: Platform) -> str:
    """A ready dataset and a run that is half-way through."""

    def make(session: Session) -> str:
        key = platform_key(platform, "trainer")
        version = datasets.request(session, key, {"general_share": 0.5, "heldout_share": 0.1})
        datasets.freeze(session, version.id, datasets.Frozen("a" * 64, {"rows": 0, "kinds": {"glossary": 0}}, []))
        run = training.request(session, key, version.name, "tiny-cpu", "tiny-mistral")
        held = training.hold_device(session, run.id, f"cpu-{run.id[:8]}")
        assert held is not None
        training.begin(session, held)
        for step in range(1, 41):
            point = training.Point(
                step, 80, loss=1.74 - step * 0.01, heldout_loss=1.8 - step * 0.01 if step % 10 == 0 else None
            )
            training.tell(session, held, "train", point, [f"step {step}"])
        return run.id

    return platform.work(make)


def platform_key(platform: Platform, login: str) -> str:
    """How the records know a person of the console."""
    return Identities(IDENTITY_KEY.encode()).user_key("console", platform.accounts[login])
