"""Documents over HTTP: taken in with who may see them, listed, withdrawn, and found only by those who may."""

import asyncio
import json

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from llm_service.client import ServiceError
from llm_service.store.models import AuditEvent

DEPOSIT = """# 해치 든든정기예금 상품설명서

## 가입 대상
실명의 개인이면 누구나 가입할 수 있습니다.

## 중도해지
만기 전에 해지하면 중도해지이율을 적용합니다. 중도해지이율은 연 0.50%입니다.
""".encode()
INTERNAL = "# 창구 업무 지침\n\n## 잔액증명서\n잔액증명서 발급 수수료 면제는 지점장이 승인합니다.\n".encode()


async def test_a_document_is_taken_in_listed_and_found(service) -> None:
    report = await service.client.upload_document("예금/든든정기예금.md", DEPOSIT, ["staff", "customer"])
    assert (report.path, report.state, report.reason) == ("예금/든든정기예금.md", "ready", None)
    assert report.passages > 0
    listed = await service.client.documents()
    assert [(entry["document_id"], entry["path"], entry["state"]) for entry in listed] == [
        (report.document_id, "예금/든든정기예금.md", "ready")
    ]
    assert sorted(listed[0]["audience"]) == ["customer", "staff"]
    found = await service.client.search("중도해지이율은 얼마인가요?", "customer", k=3)
    assert found.results[0].document == "예금/든든정기예금.md"
    assert "0.50%" in found.results[0].text
    assert found.timings["mask"] > 0


async def test_the_same_content_again_is_unchanged(service) -> None:
    first = await service.client.upload_document("a.md", DEPOSIT, ["customer"])
    again = await service.client.upload_document("a.md", DEPOSIT, ["customer"])
    assert (again.state, again.document_id) == ("unchanged", first.document_id)


async def test_a_customer_never_finds_what_is_for_staff(service) -> None:
    await service.client.upload_document("staff.md", INTERNAL, ["staff"])
    staff = await service.client.search("잔액증명서 수수료 면제", "staff")
    customer = await service.client.search("잔액증명서 수수료 면제", "customer")
    assert [hit.document for hit in staff.results] == ["staff.md"]
    assert (customer.results, customer.refused) == ([], True)


async def test_a_withdrawn_document_is_found_no_more(service) -> None:
    report = await service.client.upload_document("a.md", DEPOSIT, ["customer"])
    assert (await _delete(service, report.document_id)).status_code == 204
    assert (await _delete(service, report.document_id)).status_code == 204
    assert (await service.client.search("중도해지이율", "customer")).results == []
    assert [entry["state"] for entry in await service.client.documents()] == ["withdrawn"]
    assert [row.action for row in _audit(service)] == ["document.taken_in", "document.withdrawn"]


async def test_an_unknown_document_cannot_be_withdrawn(service) -> None:
    reply = await _delete(service, 4711)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "document_not_found")


@pytest.mark.parametrize(
    ("path", "content"),
    [("broken.pdf", b"%PDF-1.7 broken"), ("empty.csv", b""), ("program.exe", b"MZ\x00\x01")],
)
async def test_a_bad_file_is_reported_and_the_next_one_taken_in(service, path: str, content: bytes) -> None:
    bad = await service.client.upload_document(path, content, ["customer"])
    good = await service.client.upload_document("good.md", DEPOSIT, ["customer"])
    assert (bad.path, bad.state, good.state) == (path, "failed", "ready")
    assert bad.reason


@pytest.mark.parametrize("path", ["../secret.md", "/etc/passwd", "a//b.md", ".", "a\x00.md"])
async def test_a_path_outside_the_folder_is_refused(service, path: str) -> None:
    with pytest.raises(ServiceError) as refused:
        await service.client.upload_document(path, DEPOSIT, ["customer"])
    assert (refused.value.status, refused.value.code) == (422, "document_path_invalid")
    assert await service.client.documents() == []


@pytest.mark.parametrize("audience", [[], ["everyone"], ["staff", "customer", "staff"]])
async def test_a_document_for_nobody_known_is_refused(service, audience: list) -> None:
    with pytest.raises(ServiceError) as refused:
        await service.client.upload_document("a.md", DEPOSIT, audience)
    assert (refused.value.status, refused.value.code) == (422, "invalid_request")


async def test_a_document_over_the_limit_is_refused(make_settings, analysers, run_service) -> None:
    async with run_service(make_settings(maximum_document_bytes=2048), analysers) as service:
        with pytest.raises(ServiceError) as refused:
            await service.client.upload_document("big.md", b"x" * 40_000, ["customer"])
        assert (refused.value.status, refused.value.code) == (413, "body_too_large")
        larger_than_other_bodies = await service.client.upload_document("a.md", DEPOSIT, ["customer"])
    assert larger_than_other_bodies.state == "ready"


async def test_documents_handed_in_at_once_are_all_taken_in(service) -> None:
    contents = {f"{n}.md": DEPOSIT + f"\n\n{n}번 상품입니다.\n".encode() for n in range(6)}
    reports = await asyncio.gather(
        *(service.client.upload_document(path, content, ["customer"]) for path, content in contents.items())
    )
    assert {report.state for report in reports} == {"ready"}
    assert {entry["path"] for entry in await service.client.documents()} == set(contents)


async def test_what_a_document_says_about_itself_is_declared_with_it(service) -> None:
    form = {"path": "a.md", "audience": "customer", "title": "여신 규정", "in_force_from": "2030-01-01"}
    async with httpx.AsyncClient(base_url=service.url, headers=_headers(service)) as http:
        reply = await http.post("/v1/documents", data=form, files={"file": ("upload", DEPOSIT)})
    assert reply.json()["state"] == "ready"
    entry = (await service.client.documents())[0]
    assert (entry["title"], entry["in_force_from"]) == ("여신 규정", "2030-01-01")
    assert (await service.client.search("중도해지이율", "customer")).results == []


async def test_masking_alone_keeps_nothing(service) -> None:
    assert await service.client.mask("제 번호는 010-1234-5678") == {
        "masked": "제 번호는 <PHONE_1>",
        "entity_counts": {"PHONE": 1},
    }
    assert json.dumps(await service.client.documents()) == "[]"


def _headers(service) -> dict[str, str]:
    return {"Authorization": service.client._http.headers["Authorization"]}


async def _delete(service, document_id) -> httpx.Response:
    async with httpx.AsyncClient(base_url=service.url, headers=_headers(service)) as http:
        return await http.delete(f"/v1/documents/{document_id}")


def _audit(service) -> list[AuditEvent]:
    with Session(service.database) as session:
        return list(session.scalars(select(AuditEvent).order_by(AuditEvent.id)))
