"""What an admin may set while the platform runs, shown with its limits and changed with a reason.

What is typed beside a reason is masked before it is kept. Knows no roles; the limits are `store.controls`'.
"""

from collections.abc import Callable, Mapping
from functools import partial

from sqlalchemy.orm import Session

from llm_service.answering.answer_switch import AnswerSwitch
from llm_service.answering.masking_desk import MaskingDesk
from llm_service.answering.text_rules import require_readable
from llm_service.errors import InvalidInput
from llm_service.masked import MaskedText, RawText
from llm_service.operations_client import ControlsView, ControlView
from llm_service.store import controls
from llm_service.store.control_models import Control
from llm_service.store.transactions import Transactions

MAXIMUM_NOTE_CHARACTERS = 300


class ControlDesk:
    """`environment` holds the numbers that hold where nothing is set, `fixed` what only the environment says."""

    def __init__(
        self,
        transactions: Transactions,
        masking: MaskingDesk,
        switch: AnswerSwitch,
        environment: Mapping[str, int],
        fixed: Mapping[str, bool | int | float | str],
        seconds_kept: float,
    ) -> None:
        self._transactions = transactions
        self._masking = masking
        self._switch = switch
        self._environment = environment
        self._fixed = fixed
        self._seconds_kept = seconds_kept

    async def show(self) -> ControlsView:
        """Every control as it is in the records now."""
        return self._view(await self._transactions.read(controls.all_set))

    async def switch_answers(
        self, person: str, *, is_on: bool, reason: str, note: RawText, version: int | None
    ) -> ControlsView:
        """Switch answers on or off. Raises what `controls.switch_answers` raises."""
        work = partial(
            controls.switch_answers,
            actor=person,
            is_on=is_on,
            reason=reason,
            note=await self._masked(note),
            version=version,
        )
        return await self._changed(work)

    async def set_number(
        self, person: str, name: str, value: int | None, reason: str, note: RawText, version: int
    ) -> ControlsView:
        """Set a number or give it back. Raises what `controls.set_number` raises."""
        masked = await self._masked(note)
        work = partial(
            controls.set_number, actor=person, name=name, value=value, reason=reason, note=masked, version=version
        )
        return await self._changed(work)

    async def _changed(self, work: Callable[[Session], Control]) -> ControlsView:
        await self._transactions.run(work)
        self._switch.forget()
        return await self.show()

    async def _masked(self, note: RawText) -> MaskedText | None:
        """Raises `InvalidInput` (note_too_long), and what masking raises."""
        if not note.reveal().strip():
            return None
        if len(note) > MAXIMUM_NOTE_CHARACTERS:
            raise InvalidInput("note_too_long", f"a note has {MAXIMUM_NOTE_CHARACTERS} characters at most")
        require_readable(note)
        return (await self._masking.mask(note)).masked.text

    def _view(self, found: Mapping[str, Control]) -> ControlsView:
        shown = {controls.ANSWERS: _shown(controls.ANSWERS, True, found.get(controls.ANSWERS))}
        shown |= {name: _shown(name, self._environment[name], found.get(name)) for name in controls.LIMITS}
        return ControlsView(shown, dict(self._fixed), self._seconds_kept)


def _shown(name: str, environment: bool | int, found: Control | None) -> ControlView:
    limits = controls.LIMITS.get(name)
    is_set = found is not None and found.value is not None
    return ControlView(
        name=name,
        value=found.value if found is not None and is_set else environment,
        environment=environment,
        is_set=is_set,
        version=found.version if found else 0,
        lowest=limits.lowest if limits else None,
        highest=limits.highest if limits else None,
        reason=found.reason if found else None,
        note=found.note if found else None,
        changed_by=found.changed_by if found else None,
        changed_at=found.changed_at.isoformat() if found else None,
    )
