"""Where a text ends that must not show a stop string, however its pieces are cut."""

from hypothesis import given
from hypothesis import strategies as st

from llm_service.engines.stop_strings import StopScanner

TEXTS = st.text(alphabet="가나[]/ ", max_size=30)
STOPS = st.lists(st.text(alphabet="가나[]/ ", min_size=1, max_size=4), max_size=3)


@given(TEXTS, STOPS, st.data())
def test_however_a_text_is_cut_it_ends_before_its_first_stop_string(
    text: str, stop: list[str], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    scanner = StopScanner(stop)
    shown = "".join(map(scanner.feed, pieces))
    found = [place for one in stop if (place := text.find(one)) >= 0]
    assert scanner.found == bool(found)
    whole = shown + scanner.flush()
    if not found:
        assert whole == text
    else:
        # Of two that overlap the one that is whole first ends the text.
        assert text.startswith(whole)
        assert not any(one in whole for one in stop)
        assert len(whole) >= min(found)


def test_what_cannot_become_a_stop_string_is_shown_at_once() -> None:
    scanner = StopScanner(["[INST]"])
    assert [scanner.feed("금리는 [1] "), scanner.feed("["), scanner.feed("2]")] == ["금리는 [1] ", "", "[2]"]
