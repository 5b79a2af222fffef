import pytest

from kiva_pipeline.periods import Month
from kiva_pipeline_tests.sandbox.conftest import Practice
from kiva_pipeline_tests.sandbox.test_drafts import individual


@pytest.mark.parametrize(
    ("row", "code", "severity"),
    [
        (("NOBODY", 1), "unknown_loan", "error"),
        (("ENDED", 3500), "ended_loan", "error"),
        (("RAISING", 1), "not_paying_back", "error"),
        (("1042970", -1), "negative_amount", "error"),
        (("1042970", 3500.01), "above_principal", "error"),
        (("JOD-1", 1250.126), "above_principal", "error"),
        (("JOD-1", 250.024), "below_last", "error"),
        (("1042970", 10, "481395"), "wrong_client", "error"),
        (("JOD-1", 250.025), "no_change", "warning"),
        (("G-40", 9500000), "delinquent", "warning"),
    ],
)
def test_a_row_is_answered_with_its_problem(
    shared: Practice, row: tuple, code: str, severity: str
) -> None:
    assert shared.report(row) == [(row[0], code, severity)]


def test_a_row_with_an_error_is_not_applied_and_its_neighbours_are(practice: Practice) -> None:
    problems = practice.report(("1042970", 100), ("NOBODY", 5), ("G-40", 9_100_000), ("JOD-1", -1))
    assert [code for _, code, _ in problems] == ["unknown_loan", "delinquent", "negative_amount"]
    assert practice.counted("1042970") == {"2026-10": "100"}
    assert practice.counted("G-40") == {"2026-10": "9100000"}
    assert practice.counted("NOBODY") == practice.counted("JOD-1") == {}


@pytest.mark.parametrize(
    ("column_format", "row", "problem"),
    [
        ("two_column", ("1042970", 10, "184729"), "client_id_unexpected"),
        ("three_column", ("1042970", 10), "client_id_missing"),
        ("three_column", ("1042970", 10, ""), "client_id_missing"),
    ],
)
def test_the_other_column_format_is_an_error(
    start, column_format: str, row: tuple, problem: str
) -> None:
    assert start(column_format=column_format).report(row) == [("1042970", problem, "error")]


def test_a_later_value_replaces_the_earlier_one_and_is_never_added(practice: Practice) -> None:
    practice.report(("1042970", 300))
    practice.report(("1042970", 250.50), ("1042970", 250.75))
    assert practice.counted("1042970") == {"2026-10": "250.75"}


def test_amounts_are_exact_at_any_number_of_digits(practice: Practice) -> None:
    body = (
        '{"repayments":[{"loan_id":"JOD-1","amount":1250.125},{"loan_id":"1042970","amount":1E+3}]}'
    )
    answer = practice.client.post(
        "/v3/partner/145/repayments", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.json()["problems"] == []
    assert practice.counted("JOD-1") == {"2026-10": "1250.125"}
    assert practice.counted("1042970") == {"2026-10": "1000"}


def test_a_finalized_period_stays_and_the_next_one_takes_what_comes(practice: Practice) -> None:
    practice.report(("1042970", 300))
    assert practice.report(("1042970", 200)) == []  # mended while the period is open
    assert practice.control("finalize/145", "POST") == {"open_period": "2026-11"}
    assert practice.report(("1042970", 199.99)) == [("1042970", "below_last", "error")]
    assert practice.report(("1042970", 200)) == [("1042970", "no_change", "warning")]
    practice.report(("1042970", 450))
    assert practice.counted("1042970") == {"2026-10": "200", "2026-11": "450"}


def test_a_loan_that_is_repaid_in_full_ends_when_the_period_is_finalized(
    practice: Practice,
) -> None:
    practice.report(("1042970", 3500), ("1043223", 3499.99))
    practice.control("finalize/145", "POST")
    statuses = {
        loan["internal_loan_id"]: (loan["status"], loan["ended_time"] is not None)
        for loan in practice.get("/loans")["data"]
    }
    assert statuses["1042970"] == ("ended", True)
    assert statuses["1043223"] == ("payingBack", False)
    assert practice.report(("1042970", 3500)) == [("1042970", "ended_loan", "error")]


def test_a_figure_is_held_against_the_schedule_of_a_published_draft(start) -> None:
    practice = start(open_month=Month(2026, 12))
    lines = [{"date": f"2026-{month}-31", "principal": 1000} for month in ("10", "12")]
    lines.append({"date": "2027-01-01", "principal": 1500})
    draft = practice.post("/loan_draft", individual(schedule=lines))
    practice.control(f"publish/{draft['loan_draft_uuid']}", "POST", params={"status": "payingBack"})
    assert practice.report(("A-1", 1999.99)) == [("A-1", "delinquent", "warning")]
    assert practice.report(("A-1", 2000)) == []
    assert practice.report(("A-1", 2000.01)) == [("A-1", "prepaid", "warning")]


def test_ten_thousand_rows_in_one_call_are_one_upload(practice: Practice) -> None:
    rows = [(f"' OR '{i}", i) for i in range(9_999)] + [("1042970", 10)]
    problems = practice.report(*rows)
    assert {code for _, code, _ in problems} == {"unknown_loan"}
    assert (len(problems), practice.counted("1042970")) == (9_999, {"2026-10": "10"})
    assert practice.control("facts")["repayment_uploads"] == 1
