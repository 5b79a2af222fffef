"""The numbers of a month: every row once, money exact."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from kiva_pipeline.money import to_minor
from kiva_pipeline.reporting.reconciliation import (
    RECONCILIATION_COLUMNS,
    money_by_decision,
    money_text,
    reconcile,
)
from kiva_pipeline.submission.decisions import DECISION_COLUMNS, Tally


def decisions(*rows):
    """``(decision, reason, mis_rows, amount, currency, digits)`` each."""
    empty = {name: "" if kind == "str" else 0 for name, kind in DECISION_COLUMNS.items()}
    return pd.DataFrame(
        [
            empty | {
                "business_id": f"L{number}", "decision": row[0], "reason_code": row[1],
                "mis_rows": row[2], "amount": row[3], "currency": row[4], "currency_digits": row[5],
            }
            for number, row in enumerate(rows)
        ],
        columns=list(DECISION_COLUMNS),
    ).astype(DECISION_COLUMNS)  # fmt: skip


ROWS = (
    ("accepted", "accepted", 1, 1230000, "KES", 2),
    ("accepted", "accepted", 3, 45000, "RWF", 0),
    ("accepted", "accepted", 1, 5, "KES", 2),
    ("held", "jump", 1, 7500, "JOD", 3),
    ("held", "lower_than_sent", 1, 100, "JOD", 3),
    ("missing", "not_in_mis", 1, None, "", None),
)


def test_each_decision_and_reason_is_one_line_with_rows_and_money_by_currency():
    table = reconcile("repayments", decisions(*ROWS))
    assert list(table.itertuples(index=False, name=None)) == [
        ("repayments", "accepted", "accepted", 3, 5, "KES 12,300.05; RWF 45,000"),
        ("repayments", "held", "jump", 1, 1, "JOD 7.500"),
        ("repayments", "held", "lower_than_sent", 1, 1, "JOD 0.100"),
        ("repayments", "missing", "not_in_mis", 1, 1, ""),
    ]


def test_a_stream_with_no_rows_has_no_lines_but_its_columns():
    table = reconcile("journals", decisions())
    assert table.empty
    assert {name: str(kind) for name, kind in table.dtypes.items()} == RECONCILIATION_COLUMNS


def test_the_totals_of_a_run_are_the_same_however_it_was_cut_into_chunks():
    whole, parts = Tally(), Tally()
    whole.add(decisions(*ROWS))
    for row in ROWS:
        parts.add(decisions(row))
    assert money_by_decision(whole) == money_by_decision(parts)
    assert money_by_decision(whole) == {
        "accepted": "KES 12,300.05; RWF 45,000",
        "held": "JOD 7.600",
    }
    assert (whole.total, whole.mis_rows) == (parts.total, parts.mis_rows) == (6, 8)


def test_a_currency_kept_with_different_decimals_is_one_exact_sum():
    assert money_text([("UGX", 0, 45), ("UGX", 2, 5), ("UGX", 3, 1)]) == "UGX 45.051"


def test_money_without_a_currency_says_so():
    assert money_text([("", 2, -1205)]) == "no currency -12.05"


AMOUNTS = st.tuples(st.sampled_from(["KES", "RWF"]), st.integers(0, 3), st.integers(0, 10**15))


@given(st.lists(AMOUNTS, max_size=20))
def test_no_cent_is_lost_or_rounded(amounts):
    told = dict(part.split(" ") for part in money_text(amounts).split("; ") if part)
    for currency in ("KES", "RWF"):
        exact = sum(minor * 10 ** (3 - digits) for c, digits, minor in amounts if c == currency)
        assert to_minor(told.get(currency, "0").replace(",", ""), 3) == exact
