"""Dataset versions: asked for, looked at, compared. Questions are those of the review queue; rows lie in files."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting
from admin.parts import Parts, parts_of
from admin.people import learning_of
from admin.rendering import back, page

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
SHOWN_ROWS = 200
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


@router.get("/datasets", name="datasets")
async def datasets(request: Request, parts: PartsHere, person: Acting) -> HTMLResponse:
    learning = learning_of(parts, person)
    counts = await learning.review_counts(["approved"])
    return page(
        request, "datasets.html", person, datasets=await learning.datasets(), approved=counts.get("approved", 0)
    )


@router.post("/datasets", name="request_dataset")
async def request_dataset(
    parts: PartsHere,
    person: Acting,
    general_share: Annotated[int, Form(ge=0, le=90)] = 50,
    heldout_share: Annotated[int, Form(ge=0, le=50)] = 10,
) -> Response:
    """Ask for the next version; shares are in percent."""
    settings = {"general_share": general_share / 100, "heldout_share": heldout_share / 100}
    made = await learning_of(parts, person).request_dataset(settings)
    return back(f"/datasets/{made.name}", "dataset_requested")


@router.get("/datasets/{name}", name="dataset")
async def dataset(
    request: Request,
    parts: PartsHere,
    person: Acting,
    name: Annotated[str, Path(pattern=NAME)],
    against: Annotated[str, Query(pattern=rf"^$|{NAME}")] = "",
) -> HTMLResponse:
    """One version with its statistics, and what it has more and less than another."""
    learning = learning_of(parts, person)
    found = await learning.dataset(name)
    compared = against or found.parent or ""
    difference = await learning.dataset_difference(name, compared) if compared else None
    return page(
        request,
        "dataset.html",
        person,
        dataset=found,
        others=[other.name for other in await learning.datasets() if other.name != name],
        compared=compared,
        difference=difference,
        shown_rows=SHOWN_ROWS,
    )
