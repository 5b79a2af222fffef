"""``Retry-After`` is read in both forms, and no header can make it raise."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiva_pipeline.partner_api.retry_after import seconds_to_wait

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0), ("120", 120.0), (" 7 ", 7.0),
        ("Tue, 24 Nov 2026 08:01:30 GMT", 90.0),
        ("Tue, 24 Nov 2026 10:01:30 +0200", 90.0),
        ("Tuesday, 24-Nov-26 08:01:30 GMT", 90.0),
        ("Tue, 24 Nov 2026 08:01:30", 90.0),
        ("Tue, 24 Nov 2026 07:00:00 GMT", 0.0),
        ("", None), ("soon", None), ("-5", None), ("1.5", None), ("٣", None), ("1e999", None),
        ("9" * 400, None), ("Tue, 99 Nov 2026 08:01:30 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +9999999999", None),
    ],
)  # fmt: skip
def test_both_forms_are_read_and_all_else_is_unknown(header: str, seconds: float | None) -> None:
    assert seconds_to_wait(header, NOW) == seconds


NUMBERS = st.integers(-1, 10**12)


@given(
    st.text()
    | st.builds("Tue, {} Nov {} {}:{}:01 {:+}".format, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
)
def test_no_header_raises_or_asks_for_less_than_nothing(header: str) -> None:
    seconds = seconds_to_wait(header, NOW)
    assert seconds is None or seconds >= 0
