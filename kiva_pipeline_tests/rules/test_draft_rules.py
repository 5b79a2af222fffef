import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kiva_pipeline.mis.records import INSTALMENT_RECORDS, LOAN_RECORDS
from kiva_pipeline.rules.draft_rules import DRAFT_RULES
from kiva_pipeline.rules.drafts import STRAY_INSTALMENT
from kiva_pipeline.rules.members import MEMBER_RULES
from kiva_pipeline.rules.rows import DRAFT_COLUMNS
from kiva_pipeline_tests.rules.examples import (
    INSTALMENTS,
    LOAN,
    bullet,
    codes,
    drafts_of,
    group,
    loan,
    reasons,
)


def instalments(**changes):
    return [INSTALMENTS[0] | changes, INSTALMENTS[1]]


def broken_loan(**changes):
    return [loan(**changes)], None


def broken_schedule(**changes):
    return [LOAN], instalments(**changes)


def broken_group(**changes):
    """A group whose second member is changed."""
    loans, schedule = group(2)
    return [loans[0], loans[1] | changes], schedule


def group_with(**changes):
    return group(2, **changes)


BROKEN = {
    "no_loan_id": ([loan(loan_id=None), loan(loan_id="A-1")], None),
    "no_client_id": broken_loan(client_id=" "),
    "loan_id_unreadable": (
        [loan(loan_id="A-2036-\u200b12")],
        [i | {"loan_id": "A-2036-\u200b12"} for i in INSTALMENTS],
    ),
    "client_id_unreadable": broken_loan(client_id=451219.0),
    "group_id_unreadable": group_with(group_id="G-7\x00"),
    "group_client_id_unreadable": group_with(group_client_id="G-7\ufffd"),
    "no_currency": broken_group(currency=None),
    "currency_digits_unreadable": broken_loan(currency_digits="two"),
    "principal_unreadable": broken_loan(principal="a lot"),
    "principal_has_fraction": broken_loan(principal="3500.001"),
    "principal_too_large": broken_loan(principal="9e30"),
    "disbursed_on_unreadable": broken_loan(disbursed_on="20/11/2026"),
    "waiver_signed_on_unreadable": broken_loan(waiver_signed_on="yes"),
    "first_name_unreadable": broken_loan(first_name=b"Az\xefz"),
    "last_name_unreadable": broken_loan(last_name="Rakhimov\x01"),
    "group_name_unreadable": group_with(group_name="Umoja\ufffd"),
    "description_unreadable": broken_loan(description=b"Sells \x80 vegetables."),
    "loan_use_unreadable": broken_loan(loan_use="to buy\x00 a counter."),
    "instalment_number_unreadable": broken_schedule(number="first"),
    "instalment_due_on_unreadable": broken_schedule(due_on=None),
    "instalment_principal_unreadable": broken_schedule(principal="?"),
    "instalment_principal_has_fraction": broken_schedule(principal="1750.005"),
    "instalment_principal_too_large": broken_schedule(principal="1" + "0" * 20),
    "instalment_interest_too_large": broken_schedule(interest="1" + "0" * 20),
    "instalment_interest_unreadable": broken_schedule(interest="?"),
    "instalment_interest_has_fraction": broken_schedule(interest="0.001"),
    "amount_not_positive": (
        [loan(principal="0")],
        [i | {"principal": "0"} for i in INSTALMENTS],
    ),
    "gender_unreadable": broken_loan(gender="xq"),
    "gender_missing": broken_loan(gender=None),
    "no_first_name": broken_loan(first_name="  "),
    "no_last_name": broken_loan(last_name=None),
    "no_waiver": broken_loan(waiver_signed_on=None),
    "waiver_in_future": broken_loan(waiver_signed_on="2026-11-11"),
    "waiver_old": broken_loan(waiver_signed_on="2026-05-23"),
    "no_schedule": ([LOAN], []),
    "instalment_twice": broken_schedule(number=2),
    "instalment_negative": broken_schedule(interest="-35"),
    "instalment_not_after_disbursal": broken_schedule(due_on="2026-11-20"),
    "schedule_sum_differs": broken_schedule(principal="1750.01"),
    "last_name_in_description": broken_loan(description="РАХИМОВ sells vegetables."),
    "pictured_unknown": broken_group(pictured=None),
    "id_of_loan_and_group": (
        [*group(2)[0], loan(loan_id="G-7-2026-11-25", client_id="C-01")
         | {k: group(1)[0][0][k] for k in ("currency", "currency_digits", "location", "language",
            "disbursed_on", "activity", "principal", "description")}],
        [*group(2)[1], bullet("G-7-2026-11-25", "100000")],
    ),
    "group_of_one": group(1),
    "no_group_name": group_with(group_name=None),
    "no_group_client_id": group_with(group_client_id=None),
    "group_group_name_differs": broken_group(group_name="Abahuje"),
    "group_group_client_id_differs": broken_group(group_client_id="G-8"),
    "group_currency_differs": broken_group(currency="TJS"),
    "group_disbursed_on_differs": broken_group(disbursed_on="2026-11-26"),
    "group_language_differs": broken_group(language="Russian"),
    "group_activity_differs": broken_group(activity="Retail"),
    "group_theme_differs": broken_group(theme="Green"),
    "group_location_differs": broken_group(location="Dushanbe"),
    "group_description_differs": broken_group(description="The group keeps goats."),
    "group_loan_use_differs": broken_group(loan_use="to buy goats."),
    "group_photo_sha256_differs": broken_group(photo_sha256="cd" * 32),
    "no_activity": broken_loan(activity=None),
    "activity_not_listed": broken_loan(activity="Banking"),
    "activity_ambiguous": broken_loan(activity="cafe"),
    "no_theme": broken_loan(theme=None),
    "theme_not_listed": broken_loan(theme="Blue"),
    "no_language": broken_loan(language=None),
    "language_not_listed": broken_loan(language="Latin"),
    "no_location": broken_loan(location=None),
    "location_not_listed": broken_loan(location="Atlantis"),
    "location_ambiguous": broken_loan(location="San Juan"),
    "currency_not_listed": broken_loan(currency="XTS"),
    "language_not_with_currency": broken_loan(language="Spanish"),
    "window_ran_out": broken_loan(disbursed_on="2026-10-11"),
    "window_not_open": (
        [loan(disbursed_on="2027-02-09")],
        [INSTALMENTS[0] | {"due_on": "2027-03-01"}, INSTALMENTS[1] | {"due_on": "2027-04-01"}],
    ),
    "window_shuts_soon": broken_loan(disbursed_on="2026-10-17"),
    "no_description": broken_loan(description=None),
    "no_loan_use": broken_loan(loan_use=None),
    "description_first_person": broken_loan(language="en", description="I sell vegetables."),
    "loan_use_first_person": broken_loan(language="en", loan_use="to buy my counter."),
    "no_photo": broken_loan(photo_ref=None, photo_sha256=None, photo_mime=None, photo_bytes=None),
    "photo_unreadable": broken_loan(photo_sha256=None, photo_mime=None, photo_bytes=None),
    "photo_not_an_image": broken_loan(photo_mime="application/pdf"),
    "photo_too_large": broken_loan(photo_bytes=8_000_001),
    "duplicate_loan_id": ([LOAN, loan(source_key="2")], None),
}  # fmt: skip
# What can't be broken alone: a member's blank currency is also the group's second currency, and so
# on; a group's own id or name is in each of its members' rows; a theme or language of the example
# lists has no double.
ACCOMPANIED = {
    "group_currency_differs", "group_language_differs", "id_of_loan_and_group",
    "group_id_unreadable", "group_client_id_unreadable", "group_name_unreadable",
}  # fmt: skip
SHOWN_ELSEWHERE = {
    "theme_ambiguous",
    "language_ambiguous",
    "instalment_no_loan_id",
}


def severities():
    return {
        prefix + rule.code: rule.severity
        for book, prefix in (
            (LOAN_RECORDS, ""),
            (INSTALMENT_RECORDS, "instalment_"),
            (MEMBER_RULES, ""),
            (DRAFT_RULES, ""),
        )
        for rule in book.rules
    }


def test_every_rule_has_a_row_that_breaks_it():
    assert set(BROKEN) | SHOWN_ELSEWHERE == set(severities())


@pytest.mark.parametrize("code", BROKEN)
def test_a_row_that_breaks_one_rule_names_just_that_rule(code):
    judged = drafts_of(*BROKEN[code])
    row = next(i for i in range(len(judged.rows)) if code in codes(judged, i))
    assert code in ACCOMPANIED or codes(judged, row) == [code]
    good = severities()[code] == "warn"
    draft = judged.rows.iloc[row]
    assert draft["state"] == ("good" if good else "blocked")
    assert draft["reason_code"] == ("" if good else code) or code in ACCOMPANIED
    # What only the day is against is written all the same: an accepted draft stays recognisable.
    written = good or code in {"window_ran_out", "window_not_open"}
    assert (draft["payload"] != "") == (draft["payload_hash"] != "") == written
    assert judged.counts[code] == 1
    assert all(
        reason[part] for reason in reasons(judged, row) for part in
        ("code", "field", "value_class", "severity", "sentence")
    )  # fmt: skip


def test_nothing_in_is_nothing_out_with_every_rule_counted():
    judged = drafts_of([], [])
    assert (len(judged.rows), judged.rows.dtypes.astype(str).to_dict()) == (0, DRAFT_COLUMNS)
    assert set(judged.counts) == {*severities(), STRAY_INSTALMENT}
    assert set(drafts_of([LOAN]).counts) == set(judged.counts)


def test_with_a_fifth_of_the_rows_dirty_the_others_go_out():
    schedules = [bullet(f"N{i:03}", "3500") for i in range(200)]
    dirt = [
        loans[0]
        for code, (loans, schedule) in BROKEN.items()
        if schedule is None and severities()[code] == "block" and "loan_id" not in code
    ]
    loans = [
        (dirt[i % len(dirt)] if i % 5 == 0 else LOAN)
        | {"source_key": str(i), "loan_id": f"N{i:03}"}
        for i in range(200)
    ]
    judged = drafts_of(loans, schedules)
    bad = judged.rows["business_id"].str[1:].astype(int) % 5 == 0
    assert judged.rows.loc[~bad, "state"].eq("good").all()
    assert judged.rows.loc[bad, "state"].eq("blocked").all()
    assert judged.rows.loc[bad, "reasons"].ne("").all()


messy = st.fixed_dictionaries(
    {},
    optional={
        "loan_id": st.sampled_from(["A", "B", "C", "A/1", "", None]),
        "group_id": st.sampled_from(["G", "H", "A", None, None, None]),
        "principal": st.sampled_from(["0", "-1", "x", "3500", None]),
        "disbursed_on": st.sampled_from(["2026-11-20", "2020-01-01", "never"]),
        "gender": st.sampled_from(["f", "…", None]),
        "currency_digits": st.sampled_from([0, 2, 3, None]),
        "currency": st.sampled_from(["TJS", "rwf", None]),
        "location": st.text(max_size=3),
        "last_name": st.text(max_size=3),
    },
)


@hypothesis_settings(max_examples=15, deadline=None)
@given(st.lists(messy, max_size=12), st.randoms(use_true_random=False))
def test_every_mis_row_is_in_exactly_one_draft_and_every_blocked_draft_says_why(rows, random):
    loans = [loan(source_key=str(i), **row) for i, row in enumerate(rows)]
    schedule = [bullet(loan_id, "3500") for loan_id in ("A", "B", "C", "A/1", "A-2036-12")]
    judged = drafts_of(loans, schedule)
    drafts = judged.rows
    assert drafts["mis_rows"].sum() == len(loans)
    assert drafts["business_id"].is_unique
    said = [json.loads(text) if text else [] for text in drafts["reasons"]]
    for state, code, why in zip(drafts["state"], drafts["reason_code"], said, strict=True):
        assert (state == "blocked") == any(reason["severity"] == "block" for reason in why)
        assert code == next((r["code"] for r in why if r["severity"] == "block"), "")
    for code in judged.counts.keys() - {STRAY_INSTALMENT}:
        assert judged.counts[code] == sum(code in {r["code"] for r in why} for why in said)

    random.shuffle(loans)
    random.shuffle(schedule)
    again = drafts_of(loans, schedule).rows
    pd.testing.assert_frame_equal(again[["business_id", "state", "payload_hash"]],
                                  drafts[["business_id", "state", "payload_hash"]])  # fmt: skip
