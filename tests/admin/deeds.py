"""For each route of the console: what a person sends it, and the audit rows that this has to leave behind, in order.

A route whose rows are () keeps nothing and shows nothing of a conversation.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httpx
import pyotp
from sqlalchemy import delete
from sqlalchemy.orm import Session

from admin.logins import new_api_token
from llm_service.masked import MaskedText
from llm_service.store import adapters, blind, console, controls, datasets, review, training
from llm_service.store.adapter_models import AdapterAlias
from llm_service.store.console_models import ConsoleSession
from llm_service.store.control_models import Control
from llm_service.store.documents import EditionRecord, store_edition
from llm_service.store.learning_models import ReviewItem
from llm_service.store.models import Conversation, Turn, now
from tests.admin.handing_over import taken, waiting
from tests.admin.learning import evaluated
from tests.admin.platform import (
    LIFETIMES,
    PASSWORD,
    TOTP_SECRET,
    Platform,
    corrected,
    hash_of_password,
    platform_key,
    trained,
)

Form = dict[str, str | list[str]]


@dataclass(frozen=True)
class Deed:
    """What `login` sends, and the `rows` of it. `token` is the cookie of a login that is no ordinary one."""

    login: str
    path: str
    rows: tuple[str, ...] = ()
    form: Form = field(default_factory=dict)
    files: dict[str, tuple[str, bytes]] | None = None
    token: str | None = None

    def done_on(self, platform: Platform, method: str) -> httpx.Response:
        """Send it, as a browser would."""
        cookies = {platform.settings.cookie_name: self.token or platform.token_of(self.login)}
        with httpx.Client(
            base_url=platform.url,
            cookies=cookies,
            headers={"Sec-Fetch-Site": "same-origin"},
            trust_env=False,
            timeout=60,
        ) as client:
            if method == "GET":
                return client.get(self.path)
            return client.post(self.path, data={"csrf": f"csrf-of-{self.login}", **self.form}, files=self.files)


DEEDS: Final[dict[str, Callable[[Platform], Deed]]] = {}


def deed(name: str) -> Callable[[Callable[[Platform], Deed]], Callable[[Platform], Deed]]:
    """Names the route of a function that prepares what is sent to it."""

    def named(make: Callable[[Platform], Deed]) -> Callable[[Platform], Deed]:
        assert name not in DEEDS, name
        DEEDS[name] = make
        return make

    return named


def shows(name: str, login: str, path: str, *rows: str) -> None:
    """A page that needs nothing prepared."""
    DEEDS[name] = lambda _platform: Deed(login, path, rows)


for _name, _login, _path in (
    ("dashboard", "approver", "/"),
    ("profile", "agent", "/profile"),
    ("documents", "admin", "/documents"),
    ("datasets", "trainer", "/datasets"),
    ("runs", "trainer", "/runs"),
    ("adapters", "approver", "/adapters"),
    ("audit", "auditor", "/audit"),
    ("accounts", "admin", "/accounts"),
    ("tokens", "admin", "/tokens"),
    ("login_form", "agent", "/login"),
    ("logged_out", "agent", "/logged-out"),
    ("live", "agent", "/health/live"),
    ("ready", "agent", "/health/ready"),
):
    shows(_name, _login, _path)
shows("reviews", "reviewer", "/reviews", "review.listed")
shows("export_audit", "auditor", "/audit/export", "audit.exported")


def only(platform: Platform, *wanted: str) -> None:
    """Let nobody find another example in the queue than these."""

    def leave(session: Session) -> None:
        for item in session.query(ReviewItem).filter(ReviewItem.state.in_(review.OPEN_STATES)):
            item.leased_by, item.leased_until = None, None
            if item.id not in wanted:
                item.state, item.rejected_by, item.rejection_reason = "rejected", "test", "duplicate"
                item.first_approver, item.first_approved_at = None, None

    platform.work(leave)


@deed("review")
def read_item(platform: Platform) -> Deed:
    return Deed("auditor", f"/reviews/{corrected(platform)}", ("review.read",))


@deed("approvals")
def list_approvals(_platform: Platform) -> Deed:
    return Deed("auditor", "/approvals", ("review.listed",))


@deed("compare_review")
def compare(platform: Platform) -> Deed:
    return Deed("reviewer", f"/reviews/{corrected(platform)}/compare", ("review.compared",))


@deed("next_review")
def take_next(platform: Platform) -> Deed:
    only(platform, corrected(platform))
    return Deed("approver", "/reviews/next", ("review.taken",))


@deed("skip")
def skip(platform: Platform) -> Deed:
    first, second = corrected(platform), corrected(platform)
    only(platform, first, second)
    return Deed("approver", f"/reviews/{first}/skip", ("review.skipped", "review.taken"))


@deed("propose")
def propose(platform: Platform) -> Deed:
    item_id = corrected(platform)
    only(platform, item_id)
    form: Form = {"version": "2", "question": "질문", "answer": "고친 답", "rubric": "wrong"}
    return Deed("approver", f"/reviews/{item_id}/propose", ("review.proposed",), form)


@deed("approve")
def approve(platform: Platform) -> Deed:
    item_id = corrected(platform)
    only(platform, item_id)
    return Deed("approver", f"/reviews/{item_id}/approve", ("review.first_approved",), {"version": "2"})


@deed("reject")
def reject(platform: Platform) -> Deed:
    item_id = corrected(platform)
    only(platform, item_id)
    form: Form = {"version": "2", "reason": "outdated"}
    return Deed("approver", f"/reviews/{item_id}/reject", ("review.rejected",), form)


@deed("reopen")
def reopen(platform: Platform) -> Deed:
    item_id = corrected(platform)
    key = platform_key(platform, "approver")
    platform.work(lambda session: review.reject(session, key, item_id, 2, "outdated"))
    return Deed("approver", f"/reviews/{item_id}/reopen", ("review.reopened",), {"version": "3"})


@deed("save_view")
def save_view(_platform: Platform) -> Deed:
    form: Form = {"name": secrets.token_hex(4), "query": "state=pending"}
    return Deed("reviewer", "/views", ("view.saved",), form)


@deed("delete_view")
def delete_view(platform: Platform) -> Deed:
    account_id, name = platform.accounts["reviewer"], secrets.token_hex(4)
    platform.work(lambda session: console.save_view(session, account_id, "reviews", name, "state=pending"))
    view = platform.work(lambda session: console.views(session, account_id, "reviews"))[0]
    return Deed("reviewer", f"/views/{view.id}/delete", ("view.deleted",))


def asked(platform: Platform) -> Turn:
    """A turn of a conversation of its own."""

    def ask(session: Session) -> Turn:
        conversation = Conversation(
            channel="web", thread_key=secrets.token_hex(32), user_key="u" * 64, audience="customer", locale="ko"
        )
        turn = Turn(conversation=conversation, event_id="1", position=1, question=MaskedText("질문"), state="replied")
        turn.answer = MaskedText("영업점에 문의해 주세요.")
        session.add(turn)
        session.flush()
        return turn

    return platform.work(ask)


@deed("turn")
def read_turn(platform: Platform) -> Deed:
    return Deed("agent", f"/turns/{asked(platform).id}", ("conversation.read",))


@deed("search_conversations")
def search_conversations(platform: Platform) -> Deed:
    return Deed("agent", "/conversations", ("conversation.searched",), {"text": asked(platform).question[:8]})


@deed("conversation")
def read_conversation(platform: Platform) -> Deed:
    return Deed("agent", f"/conversations/{asked(platform).conversation_id}", ("conversation.read",))


def stored(platform: Platform, state: str) -> int:
    """An edition of a document of its own."""
    name = secrets.token_hex(6)
    edition = EditionRecord(
        path=f"{name}.md",
        series=f"path:{name}",
        title=name,
        kind="other",
        audience=("staff",),
        content_sha256=name,
        in_force_from=now().date(),
        state=state,  # type: ignore[arg-type]
        reason="instructions_in_text" if state == "quarantined" else None,
    )
    return platform.work(lambda session: store_edition(session, edition)).id


@deed("document")
def read_document(platform: Platform) -> Deed:
    return Deed("reviewer", f"/documents/{stored(platform, 'ready')}")


@deed("upload_document")
def upload_document(_platform: Platform) -> Deed:
    content = f"# 안내 {secrets.token_hex(4)}\n\n예금은 5천만원까지 보호됩니다.".encode()
    form: Form = {"path": f"{secrets.token_hex(4)}.md", "audience": ["staff"]}
    return Deed("admin", "/documents", ("document.taken_in",), form, {"file": ("안내.md", content)})


@deed("release_document")
def release_document(platform: Platform) -> Deed:
    path = f"/documents/{stored(platform, 'quarantined')}/release"
    return Deed("approver", path, ("document.released",), {"reason": "reviewed"})


def ready_dataset(platform: Platform) -> str:
    """The name of a dataset that can be trained on."""

    def make(session: Session) -> str:
        version = datasets.request(session, platform_key(platform, "trainer"), {})
        datasets.freeze(session, version.id, datasets.Frozen("a" * 64, {"rows": 0, "kinds": {}}, []))
        return version.name

    return platform.work(make)


@deed("dataset")
def read_dataset(platform: Platform) -> Deed:
    return Deed("trainer", f"/datasets/{ready_dataset(platform)}")


@deed("request_dataset")
def request_dataset(_platform: Platform) -> Deed:
    return Deed("trainer", "/datasets", ("dataset.requested",))


@deed("run")
def read_run(platform: Platform) -> Deed:
    return Deed("trainer", f"/runs/{trained(platform)}")


@deed("request_run")
def request_run(platform: Platform) -> Deed:
    form: Form = {"dataset": ready_dataset(platform), "recipe": "tiny-cpu", "base": "tiny"}
    return Deed("trainer", "/runs", ("training.requested",), form)


@deed("cancel_run")
def cancel_run(platform: Platform) -> Deed:
    return Deed("trainer", f"/runs/{trained(platform)}/cancel", ("training.cancelled",))


@deed("run_events")
def follow_run(platform: Platform) -> Deed:
    dataset, key = ready_dataset(platform), platform_key(platform, "trainer")

    def ended(session: Session) -> str:
        run = training.request(session, key, dataset, "tiny-cpu", "tiny")
        return training.cancel(session, key, run.id).id

    return Deed("trainer", f"/runs/{platform.work(ended)}/events")


def registered(platform: Platform) -> str:
    """A version of an adapter that the trainer trained."""

    def register(session: Session) -> str:
        key, sha256 = platform_key(platform, "trainer"), secrets.token_hex(32)
        new = adapters.NewAdapter(
            family="deeds",
            sha256=sha256,
            files={},
            location=f"volume:{sha256}",
            base_model="tiny",
            base_revision="1",
            lora_rank=8,
            target_modules=["q_proj"],
            dataset_version="d1",
            recipe={},
            evaluation_id="e1",
            evaluation={},
            training_run_id="r1",
            trained_by=key,
            probes=[],
        )
        return adapters.register(session, new, key).name

    return platform.work(register)


def approved(platform: Platform) -> tuple[str, str]:
    """A version that the reviewer proposed and the second approver approved, and the approval."""
    name = registered(platform)

    def agree(session: Session) -> str:
        proposal = adapters.propose(session, name, platform_key(platform, "reviewer"))
        return adapters.approve(session, proposal.id, platform_key(platform, "approver2")).id

    return name, platform.work(agree)


@deed("adapter")
def read_adapter(platform: Platform) -> Deed:
    return Deed("reviewer", f"/adapters/{registered(platform)}")


@deed("propose_adapter")
def propose_adapter(platform: Platform) -> Deed:
    return Deed("trainer", f"/adapters/{registered(platform)}/propose", ("adapter.proposed",))


@deed("approve_adapter")
def approve_adapter(platform: Platform) -> Deed:
    name, key = registered(platform), platform_key(platform, "reviewer")
    proposal = platform.work(lambda session: adapters.propose(session, name, key))
    return Deed("approver", f"/adapters/{name}/approve", ("adapter.approved",), {"proposal_id": proposal.id})


@deed("promote_adapter")
def promote_adapter(platform: Platform) -> Deed:
    name, _ = approved(platform)
    form: Form = {"target": "active", "share": "5", "purpose": "better_answers"}
    return Deed("approver", f"/adapters/{name}/promote", ("adapter.promotion_started",), form)


def with_canary(platform: Platform) -> None:
    """A canary that somebody promoted."""
    name, approval_id = approved(platform)

    def put(session: Session) -> None:
        session.execute(delete(AdapterAlias))
        session.add(AdapterAlias(alias="canary", adapter=name, approval_id=approval_id, share=0.05))

    platform.work(put)


@deed("set_canary_share")
def set_canary_share(platform: Platform) -> Deed:
    with_canary(platform)
    return Deed("approver", "/adapters/canary-share", ("adapter.canary_share",), {"share": "20"})


@deed("roll_back_adapter")
def roll_back_adapter(platform: Platform) -> Deed:
    with_canary(platform)
    form: Form = {"target": "canary", "reason": "precaution"}
    return Deed("admin", "/adapters/rollback", ("adapter.rolled_back",), form)


@deed("verify_audit")
def verify_audit(_platform: Platform) -> Deed:
    return Deed("auditor", "/audit/verify")


def newcomer(platform: Platform, *, with_second_factor: bool = True) -> str:
    """Somebody nobody else logs in as."""
    login = f"person-{secrets.token_hex(4)}"
    platform.add_account(login, ["reviewer"], with_second_factor=with_second_factor)
    return login


@deed("add_account")
def add_account(_platform: Platform) -> Deed:
    form: Form = {"login": f"new-{secrets.token_hex(4)}", "display_name": "새 직원", "roles": ["reviewer"]}
    return Deed("admin", "/accounts", ("account.added",), form)


@deed("set_roles")
def set_roles(platform: Platform) -> Deed:
    path = f"/accounts/{platform.accounts[newcomer(platform)]}/roles"
    return Deed("admin", path, ("account.roles_changed",), {"roles": ["agent", "auditor"]})


@deed("set_active")
def set_active(platform: Platform) -> Deed:
    path = f"/accounts/{platform.accounts[newcomer(platform)]}/active"
    return Deed("admin", path, ("account.deactivated",), {"active": "false"})


@deed("reset_password")
def reset_password(platform: Platform) -> Deed:
    path = f"/accounts/{platform.accounts[newcomer(platform)]}/password"
    return Deed("admin", path, ("account.password_changed",))


@deed("reset_second_factor")
def reset_second_factor(platform: Platform) -> Deed:
    path = f"/accounts/{platform.accounts[newcomer(platform)]}/second-factor"
    return Deed("admin", path, ("account.second_factor_removed",))


@deed("unlock_account")
def unlock_account(platform: Platform) -> Deed:
    return Deed("admin", f"/accounts/{platform.accounts[newcomer(platform)]}/unlock", ("account.unlocked",))


@deed("access")
def read_access(_platform: Platform) -> Deed:
    return Deed("auditor", "/access")


def access_of_newcomer(platform: Platform) -> tuple[str, Form]:
    """An account with the roles that somebody else looks at."""
    account_id = platform.accounts[newcomer(platform)]
    roles = platform.work(lambda session: list(console.account(session, account_id).roles))
    return account_id, {"roles": roles}


@deed("keep_access")
def keep_access(platform: Platform) -> Deed:
    account_id, form = access_of_newcomer(platform)
    return Deed("auditor", f"/access/{account_id}/keep", ("account.access_reviewed",), form)


@deed("close_access")
def close_access(platform: Platform) -> Deed:
    account_id, form = access_of_newcomer(platform)
    return Deed("admin", f"/access/{account_id}/close", ("account.deactivated", "account.access_reviewed"), form)


@deed("add_token")
def add_token(_platform: Platform) -> Deed:
    return Deed("auditor", "/tokens", ("token.added",), {"name": "SIEM", "role": "auditor", "days": "30"})


@deed("revoke_token")
def revoke_token(platform: Platform) -> Deed:
    kept = console.sha256_of(new_api_token())
    account_id = platform.accounts["auditor"]
    token_id = platform.work(
        lambda session: console.add_token(session, account_id, "SIEM", "auditor", kept, LIFETIMES.absolute)
    )
    return Deed("admin", f"/tokens/{token_id}/revoke", ("token.revoked",))


def begun(platform: Platform, login: str, stage: str) -> str:
    """The cookie of a login that lacks something."""
    token, account_id = secrets.token_urlsafe(32), platform.accounts[login]
    csrf = f"csrf-of-{login}"

    def begin(session: Session) -> None:
        session.execute(delete(ConsoleSession).where(ConsoleSession.account_id == account_id))
        console.open_session(session, account_id, console.sha256_of(token), csrf, stage, LIFETIMES)

    platform.work(begin)
    return token


@deed("login")
def log_in(platform: Platform) -> Deed:
    """A login is a row when it is whole."""
    login = newcomer(platform)
    return Deed(login, "/login", (), {"name": login, "password": PASSWORD})


@deed("second_factor_form")
def ask_for_code(platform: Platform) -> Deed:
    login = newcomer(platform)
    return Deed(login, "/login/code", token=begun(platform, login, "second_factor"))


@deed("second_factor")
def give_code(platform: Platform) -> Deed:
    login = newcomer(platform)
    form: Form = {"code": pyotp.TOTP(TOTP_SECRET).now()}
    token = begun(platform, login, "second_factor")
    return Deed(login, "/login/code", ("login.succeeded",), form, token=token)


@deed("enrolment_form")
def ask_for_second_factor(platform: Platform) -> Deed:
    login = newcomer(platform, with_second_factor=False)
    return Deed(login, "/login/second-factor", token=begun(platform, login, "enrolment"))


@deed("enrolment")
def set_up_second_factor(platform: Platform) -> Deed:
    login = newcomer(platform, with_second_factor=False)
    form: Form = {"secret": TOTP_SECRET, "code": pyotp.TOTP(TOTP_SECRET).now()}
    rows = ("account.second_factor_set", "login.succeeded")
    return Deed(login, "/login/second-factor", rows, form, token=begun(platform, login, "enrolment"))


@deed("password_form")
def ask_for_password(platform: Platform) -> Deed:
    return Deed(newcomer(platform), "/login/password")


@deed("password")
def change_password(platform: Platform) -> Deed:
    """The code is asked for again before the login is whole."""
    login, new = newcomer(platform), "another long phrase of mine"
    platform.work(
        lambda session: console.set_password(
            session, "test", platform.accounts[login], hash_of_password(), must_change=True
        )
    )
    token = begun(platform, login, "password_change")
    form: Form = {"old": PASSWORD, "new": new, "again": new}
    return Deed(login, "/login/password", ("account.password_changed",), form, token=token)


@deed("logout")
def log_out(platform: Platform) -> Deed:
    return Deed(newcomer(platform), "/logout", ("login.ended",))


@deed("choose_language")
def choose_language(_platform: Platform) -> Deed:
    return Deed("agent", "/language", form={"locale": "en"})


@deed("choose_theme")
def choose_theme(_platform: Platform) -> Deed:
    return Deed("agent", "/theme", form={"theme": "dark"})


for _name, _login, _path in (
    ("evaluations", "trainer", "/evaluations"),
    ("blind", "reviewer", "/blind"),
    ("platform", "admin", "/platform"),
    ("conversations", "agent", "/conversations"),
):
    shows(_name, _login, _path)


@deed("evaluation")
def read_evaluation(platform: Platform) -> Deed:
    return Deed("trainer", f"/evaluations/{evaluated(platform)}", ("evaluation.read",))


@deed("request_evaluation")
def request_evaluation(platform: Platform) -> Deed:
    return Deed("trainer", "/evaluations", ("evaluation.requested",), {"adapter": registered(platform)})


def compared(platform: Platform) -> str:
    """A blind comparison of what the trainer trained with its base."""
    evaluation_id, key = evaluated(platform), platform_key(platform, "trainer")
    return platform.work(lambda session: blind.request(session, key, evaluation_id, "base", "candidate").id)


@deed("request_blind")
def request_blind(platform: Platform) -> Deed:
    form: Form = {"evaluation_id": evaluated(platform), "first": "base", "second": "candidate"}
    return Deed("trainer", "/blind", ("blind.requested",), form)


@deed("blind_comparison")
def read_comparison(platform: Platform) -> Deed:
    return Deed("reviewer", f"/blind/{compared(platform)}")


@deed("blind_pair")
def read_pair(platform: Platform) -> Deed:
    return Deed("reviewer", f"/blind/{compared(platform)}/vote")


@deed("vote_blind")
def vote(platform: Platform) -> Deed:
    comparison_id, key = compared(platform), platform_key(platform, "reviewer")
    pair = platform.work(lambda session: blind.next_pair(session, key, comparison_id))
    assert pair is not None
    form: Form = {"item_id": pair.item_id, "vote": "tie"}
    return Deed("reviewer", f"/blind/{comparison_id}/vote", ("blind.voted",), form)


@deed("close_blind")
def close_comparison(platform: Platform) -> Deed:
    return Deed("trainer", f"/blind/{compared(platform)}/close", ("blind.closed",))


shows("handoffs", "agent", "/handoffs")


@deed("handoff")
def read_handoff(platform: Platform) -> Deed:
    return Deed("auditor", f"/handoffs/{waiting(platform)}", ("handoff.read",))


@deed("take_handoff")
def take_handoff(platform: Platform) -> Deed:
    return Deed("agent", f"/handoffs/{waiting(platform)}/take", ("handoff.taken",))


@deed("release_handoff")
def release_handoff(platform: Platform) -> Deed:
    return Deed("agent", f"/handoffs/{taken(platform)}/release", ("handoff.released",))


@deed("reply_handoff")
def reply_handoff(platform: Platform) -> Deed:
    form: Form = {"event_id": secrets.token_hex(16), "text": "안녕하세요, 무엇을 도와드릴까요?"}
    return Deed("agent", f"/handoffs/{taken(platform)}/reply", ("handoff.replied",), form)


@deed("close_handoff")
def close_handoff(platform: Platform) -> Deed:
    return Deed("agent", f"/handoffs/{taken(platform)}/close", ("handoff.closed",))


def as_the_environment_says(platform: Platform) -> None:
    platform.work(lambda session: session.execute(delete(Control)))


@deed("switch_answers_off")
def switch_answers_off(platform: Platform) -> Deed:
    as_the_environment_says(platform)
    return Deed("approver", "/platform/answers/off", ("answers.switched_off",), {"reason": "incident"})


@deed("switch_answers_on")
def switch_answers_on(platform: Platform) -> Deed:
    as_the_environment_says(platform)
    key = platform_key(platform, "approver")
    platform.work(lambda session: controls.switch_answers(session, key, is_on=False, reason="incident", note=None))
    form: Form = {"reason": "resolved", "version": "1"}
    return Deed("admin", "/platform/answers/on", ("answers.switched_on",), form)


@deed("set_control")
def set_control(platform: Platform) -> Deed:
    as_the_environment_says(platform)
    form: Form = {"reason": "law", "value": "90", "version": "0"}
    return Deed("admin", "/platform/controls/retention_days_turns", ("control.changed",), form)


shows("curated", "approver", "/curated", "review.listed")
shows("export_examples", "trainer", "/curated/export", "examples.exported")


@deed("preview_import")
def preview_import(_platform: Platform) -> Deed:
    """Nothing is kept of a preview."""
    content = "질문,답\n예금은 얼마까지 보호되나요?,1억원까지 보호됩니다.\n".encode()
    form: Form = {"kind": "curated", "licence": "bank"}
    return Deed("trainer", "/curated/preview", (), form, {"file": ("examples.csv", content)})


@deed("import_examples")
def import_examples(_platform: Platform) -> Deed:
    """Each draft is a row, and the import is one."""
    text = f"예금은 얼마까지 보호되나요? {secrets.token_hex(4)}"
    row = {"number": 1, "question": text, "answer": "1억원까지 보호됩니다.", "category": ""}
    form: Form = {"name": "examples.csv", "kind": "curated", "licence": "bank", "rows": json.dumps([row])}
    return Deed("trainer", "/curated/import", ("review.drafted", "examples.imported"), form)


@deed("withdraw_document")
def withdraw_document(platform: Platform) -> Deed:
    path = f"/documents/{stored(platform, 'ready')}/withdraw"
    return Deed("admin", path, ("document.withdrawn",), {"reason": "outdated"})
