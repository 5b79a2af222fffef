import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kiva_pipeline.mis.records import BALANCE_RECORDS
from kiva_pipeline.periods import Month
from kiva_pipeline.rules.repayment_rules import REPAYMENT_RULES
from kiva_pipeline.rules.repayments import STRAY_BALANCE, build_repayment_report, wire_amounts
from kiva_pipeline.rules.rows import REPORT_COLUMNS
from kiva_pipeline_tests.rules.examples import balances, codes, kiva_loans, settings

GROUP = {
    "internal_loan_id": "G-7", "internal_client_id": "G", "borrower_count": 2,
    "loan_local_price": "7000",
}  # fmt: skip
ID = {"internal_loan_id": "1042970"}


def members(*pairs):
    return pd.DataFrame(list(pairs), columns=["group_id", "loan_id"]).astype("str")


def terms(amount="principal_repaid", column_format="two_column", **more):
    return settings(repayments={"amount": amount, "column_format": column_format, **more})


def report(answers, expected, who=(), with_settings=None):
    return build_repayment_report(
        answers,
        expected,
        members(*who),
        settings=with_settings or settings(),
        month=Month(2026, 10),
    )


def group_report(*answers, count=2, **more):
    who = [("G-7", "a"), ("G-7", "b")]
    return report(balances(*answers), kiva_loans(GROUP | {"borrower_count": count}), who, **more)


A, B = {"loan_id": "a", "client_id": "1"}, {"loan_id": "b", "client_id": "2", "repaid_minor": 1}
UNREADABLE = {
    f"{name}_unreadable": {f"{name}_minor": "?"}
    for name in (
        "disbursed", "disbursed_later", "repaid", "charged_back", "recovered", "written_off",
        "unknown",
    )
}  # fmt: skip
THREE = terms(column_format="three_column")
BROKEN = {
    "no_currency": ("blocked", lambda: report(balances({"currency": None}), kiva_loans({}))),
    "currency_digits_unreadable": (
        "blocked", lambda: report(balances({"currency_digits": 9}), kiva_loans({})),
    ),
    "duplicate_loan_id": ("blocked", lambda: report(balances({}, {}), kiva_loans({}))),
    **{
        code: ("blocked", lambda change=change: report(balances(change), kiva_loans({})))
        for code, change in UNREADABLE.items()
    },
    "shared_internal_loan_id": (
        "blocked", lambda: report(balances({}), kiva_loans({}, {"kiva_id": "9"})),
    ),
    "no_client_id_to_send": (
        "blocked",
        lambda: report(
            balances({"client_id": None}), kiva_loans({"internal_client_id": ""}),
            with_settings=THREE,
        ),
    ),
    "no_internal_loan_id": (
        "missing", lambda: report(balances({}), kiva_loans({"internal_loan_id": ""})),
    ),
    "not_in_mis": ("missing", lambda: report(balances(), kiva_loans({}))),
    "group_members_unknown": ("missing", lambda: report(balances(), kiva_loans(GROUP))),
    "group_members_differ": ("missing", lambda: group_report(A, B, count=3)),
    "group_member_not_in_mis": ("missing", lambda: group_report(A)),
    "mis_loan_asked_twice": (
        "held",
        lambda: report(
            balances(A, B), kiva_loans(GROUP, GROUP | {"internal_loan_id": "G-8"}),
            [("G-7", "a"), ("G-7", "b"), ("G-8", "a"), ("G-8", "b")],
        ),
    ),
    "other_currency": ("held", lambda: report(balances({"currency": "USD"}), kiva_loans({}))),
    "other_client": ("held", lambda: report(balances({"client_id": "1"}), kiva_loans({}))),
    "other_borrower_count": (
        "held",
        lambda: report(
            balances(A, B, {"loan_id": "c", "client_id": "3", "disbursed_minor": 0,
                            "disbursed_later_minor": 1}),
            kiva_loans(GROUP | {"loan_local_price": "7000.01"}),
            [("G-7", "a"), ("G-7", "b"), ("G-7", "c")],
        ),
    ),
    "disbursal_undone": (
        "needs_person",
        lambda: report(balances({"disbursed_minor": 0, "repaid_minor": 0}), kiva_loans({})),
    ),
    "price_unreadable": (
        "held", lambda: report(balances({}), kiva_loans({"loan_local_price": "3,500"})),
    ),
    "other_principal": (
        "held", lambda: report(balances({}), kiva_loans({"loan_local_price": "3500.01"})),
    ),
    "repaid_above_principal": (
        "held", lambda: report(balances({"repaid_minor": 350_001}), kiva_loans({})),
    ),
    "repaid_negative": (
        "held", lambda: report(balances({"charged_back_minor": 2_501}), kiva_loans({})),
    ),
    "recoveries": ("held", lambda: report(balances({"recovered_minor": 5}), kiva_loans({}))),
    "unknown_transactions": (
        "held", lambda: report(balances({"unknown_types": "99"}), kiva_loans({})),
    ),
}  # fmt: skip


def test_every_rule_has_a_row_that_breaks_it():
    every = {rule.code for book in (BALANCE_RECORDS, REPAYMENT_RULES) for rule in book.rules}
    # A balance without an id answers for nobody: it is counted as a stray one.
    assert set(BROKEN) | {"no_loan_id"} == every


@pytest.mark.parametrize("code", BROKEN)
def test_a_row_that_breaks_one_rule_names_just_that_rule_and_is_not_good(code):
    state, made = BROKEN[code]
    judged = made()
    row = judged.rows.iloc[0]
    assert (row["state"], row["reason_code"], codes(judged)) == (state, code, [code])
    assert judged.counts[code] == len(judged.rows)
    assert pd.isna(row["amount"]) == (state == "missing" or code in BALANCE_CODES)
    assert (row["payload_hash"] != "") == (state == "held")


BALANCE_CODES = {rule.code for rule in BALANCE_RECORDS.rules}


def test_a_figure_is_repaid_less_charged_back_unless_the_settings_leave_those_out():
    answer, expected = balances({"charged_back_minor": 500}), kiva_loans({})
    assert report(answer, expected).rows["amount"][0] == 2_000
    without = terms(count_chargebacks=False)
    assert report(answer, expected, with_settings=without).rows["amount"][0] == 2_500


def test_a_groups_figure_is_the_exact_sum_of_its_members():
    judged = group_report(A, B)
    row = judged.rows.iloc[0]
    assert (row["state"], row["amount"], row["disbursed"]) == ("good", 2_501, 700_000)
    assert (row["client_id"], row["mis_rows"], row["loan_ids"]) == ("G", 2, '["a","b"]')


def test_a_group_of_forty_has_no_figure_while_one_member_is_unreadable():
    answers = [{"loan_id": f"m{i}", "repaid_minor": 100} for i in range(40)]
    expected = kiva_loans(GROUP | {"borrower_count": 40, "loan_local_price": "140000"}, ID)
    who = [("G-7", f"m{i}") for i in range(40)]
    good = report(balances({}, *answers), expected, who)
    assert good.rows["amount"].tolist() == [4_000, 2_500]
    answers[7]["repaid_minor"] = None
    judged = report(balances({}, *answers), expected, who)
    assert judged.rows["state"].tolist() == ["blocked", "good"]
    assert json.loads(judged.rows["reasons"][0])[0]["detail"] == "loan m7"


def test_a_group_whose_members_nobody_knows_is_missing_even_if_its_id_is_a_loan_in_the_mis():
    judged = report(balances({"loan_id": "G-7"}), kiva_loans(GROUP))
    assert (judged.rows["state"][0], judged.rows["mis_rows"][0]) == ("missing", 0)
    assert pd.isna(judged.rows["amount"][0])


def test_a_group_without_a_borrower_count_and_with_a_blank_member_is_missing():
    judged = report(balances(), kiva_loans(GROUP | {"borrower_count": None}), [("G-7", "")])
    assert codes(judged) == ["group_members_unknown"]
    assert (judged.rows["state"][0], judged.rows["payload_hash"][0]) == ("missing", "")


def test_an_individual_loan_named_as_its_own_member_is_still_held_against_kivas_client():
    own = [("1042970", "1042970")]
    assert codes(report(balances({"client_id": "1"}), kiva_loans({}), own)) == ["other_client"]
    assert codes(report(balances(), kiva_loans({}), own)) == ["not_in_mis"]


def test_a_loan_that_is_disbursed_after_the_month_is_reported_as_nothing_repaid():
    later = {"disbursed_minor": 0, "disbursed_later_minor": 350_000, "repaid_minor": 0}
    for amount, sent in (("principal_repaid", "0.00"), ("principal_outstanding", "3500.00")):
        rows = report(balances(later), kiva_loans({}), with_settings=terms(amount)).rows
        assert (rows["state"][0], rows["amount"][0], rows["disbursed"][0]) == ("good", 0, 350_000)
        assert wire_amounts(rows, terms(amount)) == [sent]


def test_a_top_up_after_the_month_counts_for_kivas_price_and_for_what_is_outstanding():
    topped = balances({"disbursed_later_minor": 50_000})
    expected = kiva_loans({"loan_local_price": "4000"})
    rows = report(topped, expected, with_settings=terms("principal_outstanding")).rows
    assert (rows["state"][0], wire_amounts(rows, terms("principal_outstanding"))) == (
        "good", ["3975.00"],
    )  # fmt: skip
    assert codes(report(topped, kiva_loans({}))) == ["other_principal"]


def test_a_group_with_one_members_disbursal_undone_names_the_member_and_sends_nothing():
    judged = group_report(A, B | {"disbursed_minor": 0, "repaid_minor": 0})
    assert (judged.rows["state"][0], codes(judged)) == ("needs_person", ["disbursal_undone"])
    assert json.loads(judged.rows["reasons"][0])[0]["detail"] == "loan b"
    assert "PA2" in json.loads(judged.rows["reasons"][0])[0]["sentence"]


def test_a_write_off_changes_no_figure_in_either_mode():
    for amount, sent in (("principal_repaid", "25.00"), ("principal_outstanding", "3475.00")):
        written_off = balances({"written_off_minor": 347_500})
        rows = report(written_off, kiva_loans({}), with_settings=terms(amount)).rows
        assert (rows["state"][0], wire_amounts(rows, terms(amount))) == ("good", [sent])


@pytest.mark.parametrize(
    ("recoveries", "state", "amount"),
    [("hold", "held", 2_500), ("count", "good", 2_800), ("ignore", "good", 2_500)],
)
def test_recoveries_are_held_until_the_settings_say_what_they_are(recoveries, state, amount):
    judged = report(
        balances({"recovered_minor": 300}), kiva_loans({}),
        with_settings=terms(recoveries=recoveries),
    )  # fmt: skip
    assert (judged.rows["state"][0], judged.rows["amount"][0]) == (state, amount)


def test_unclassified_types_are_named_once_with_their_principal():
    answers = [A | {"unknown_minor": 5, "unknown_types": "gift, x"},
               B | {"unknown_minor": 6, "unknown_types": "x"}]  # fmt: skip
    judged = group_report(*answers)
    assert codes(judged) == ["unknown_transactions"]
    assert json.loads(judged.rows["reasons"][0])[0]["detail"] == "0.11 TJS (gift, x)"


def test_an_individual_loan_that_kiva_has_for_several_borrowers_is_held():
    own = [("1042970", "1042970")]
    judged = report(balances({}), kiva_loans({"borrower_count": 3}), own)
    assert (judged.rows["state"][0], codes(judged)) == ("held", ["other_borrower_count"])


def test_a_groups_client_is_held_against_the_one_that_its_draft_was_sent_with():
    who = members(("G-7", "a"), ("G-7", "b")).assign(client_id=["G", "G"])
    for kiva, found in (("G", []), ("H", ["other_client"]), ("", [])):
        expected = kiva_loans(GROUP | {"internal_client_id": kiva})
        judged = build_repayment_report(
            balances(A, B), expected, who, settings=settings(), month=Month(2026, 10)
        )
        assert codes(judged) == found
        assert judged.rows["client_id"][0] == (kiva or "G")


def test_client_ids_are_compared_without_case_width_and_spaces():
    answer = balances({"client_id": "ab １"})
    assert report(answer, kiva_loans({"internal_client_id": "AB1"})).rows["state"][0] == "good"


@pytest.mark.parametrize(
    ("digits", "price", "disbursed", "state"),
    [
        (0, "3500.00", 3_500, "good"),
        (2, "3500", 350_000, "good"),
        (3, "3500.0010", 3_500_001, "good"),
        (3, "3500.001", 3_500_000, "held"),
        (0, "3500.50", 3_500, "held"),
        (2, "1e30", 350_000, "held"),
        (2, "", 350_000, "held"),
    ],
)
def test_kivas_principal_is_compared_to_the_last_digit(digits, price, disbursed, state):
    answer = balances({"currency_digits": digits, "disbursed_minor": disbursed})
    judged = report(answer, kiva_loans({"loan_local_price": price}))
    assert judged.rows["state"][0] == state


@pytest.mark.parametrize(
    ("digits", "repaid", "outstanding"),
    [(0, "2500", "347500"), (2, "25.00", "3475.00"), (3, "2.500", "347.500")],
)
def test_the_wire_has_repaid_or_disbursed_less_repaid_in_exact_digits(digits, repaid, outstanding):
    price = {0: "350000", 2: "3500", 3: "350"}[digits]
    expected = kiva_loans({"loan_local_price": price}, {"internal_loan_id": "gone"})
    answer = balances({"currency_digits": digits})
    ours, theirs = terms(), terms("principal_outstanding")
    assert wire_amounts(report(answer, expected).rows, ours) == [repaid, ""]
    made = report(answer, expected, with_settings=theirs).rows
    assert wire_amounts(made, theirs) == [outstanding, ""]
    assert made["amount"][0] == 2_500


def test_the_hash_is_of_what_kiva_sees_and_of_nothing_else():
    def hashed(with_settings=None, kiva=None, **change):
        return report(balances(change), kiva_loans(kiva or {}), with_settings=with_settings).rows[
            "payload_hash"
        ][0]

    before = hashed()
    assert before == hashed(written_off_minor=7, disbursed_on="2026-01-11")
    finer = {"currency_digits": 3, "disbursed_minor": 3_500_000, "repaid_minor": 25_000}
    assert before == hashed(**finer)
    assert before != hashed(repaid_minor=2_501)
    assert before != hashed(terms("principal_outstanding"))
    assert before != hashed(THREE)
    assert hashed(THREE) != hashed(THREE, {"internal_client_id": "184730"}, client_id="184730")
    assert before == hashed(None, {"internal_client_id": "184730"}, client_id="184730")


def test_a_loan_that_kivas_list_has_twice_is_one_row():
    judged = report(balances({}), kiva_loans({}, {}))
    assert judged.rows["state"].tolist() == ["good"]


def test_balances_that_nobody_asked_for_are_counted():
    judged = report(balances({}, {"loan_id": "x"}, {"loan_id": ""}), kiva_loans({}))
    assert (judged.counts[STRAY_BALANCE], judged.rows["mis_rows"][0]) == (2, 1)


def test_nothing_expected_is_an_empty_report_with_every_rule_counted():
    judged = report(balances(), kiva_loans())
    assert judged.rows.dtypes.astype(str).to_dict() == REPORT_COLUMNS
    assert judged.rows.empty
    assert set(judged.counts) == set(report(balances({}), kiva_loans({})).counts)


loan_ids = st.sampled_from(["a", "b", "c", "d", "G", "H", ""])
answers = st.lists(
    st.fixed_dictionaries(
        {"loan_id": loan_ids, "repaid_minor": st.sampled_from([0, 5, -5, 400_000, None, "x"])},
        optional={"currency": st.sampled_from(["TJS", "tjs", "USD", None])},
    ),
    max_size=8,
)
wanted = st.lists(
    st.fixed_dictionaries(
        {
            "internal_loan_id": loan_ids,
            "kiva_id": st.sampled_from(["1", "2"]),
            "borrower_count": st.sampled_from([1, 2, None]),
        }
    ),
    max_size=8,
)


@hypothesis_settings(max_examples=25, deadline=None)
@given(answers, wanted, st.lists(st.tuples(st.sampled_from(["G", "H", "a"]), loan_ids), max_size=6))
def test_every_expected_loan_has_one_row_in_order_and_no_figure_comes_from_nowhere(
    answered, expected, who
):
    mis = balances(*answered)
    judged = report(mis, kiva_loans(*expected), who)
    rows = judged.rows
    ids = [e["internal_loan_id"] or f"kiva:{e['kiva_id']}" for e in expected]
    assert rows["business_id"].tolist() == list(dict.fromkeys(ids))
    assert rows["state"].isin(["good", "held", "needs_person", "missing", "blocked"]).all()
    assert rows.loc[rows["state"] != "good", "reason_code"].ne("").all()
    known = {loan["loan_id"] for loan in answered if isinstance(loan["repaid_minor"], int)}
    for row in rows[rows["state"].isin(["good", "held"])].itertuples():
        assert set(json.loads(row.loan_ids)) <= known
        assert not pd.isna(row.amount)
    unasked = judged.counts[STRAY_BALANCE]
    if not judged.counts["mis_loan_asked_twice"]:
        linked = [i for text in rows["loan_ids"] for i in json.loads(text)]
        if len(set(linked)) == len(linked):
            assert rows["mis_rows"].sum() + unasked == len(mis)
