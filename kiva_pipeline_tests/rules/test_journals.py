import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kiva_pipeline.mis.records import NOTE_RECORDS, canonical_notes
from kiva_pipeline.rules.journals import JOURNAL_RULES, build_journal_updates
from kiva_pipeline.rules.rows import JOURNAL_COLUMNS
from kiva_pipeline_tests.rules.examples import KEY, codes, kiva_loans, settings

NOTE = {
    "source_key": "1", "note_id": "n1", "loan_id": "1042970", "client_id": "184729",
    "written_on": "2026-10-05", "subject": "A new oven",
    "body": "With the loan she bought an oven and now bakes twice a day.",
    "image_url": "https://example.org/p/1042970.jpg",
}  # fmt: skip
THREE = settings(repayments={"amount": "principal_repaid", "column_format": "three_column"})


def journals(*changes, kiva=None, with_settings=None):
    notes = canonical_notes(pd.DataFrame([NOTE | c for c in changes], columns=list(NOTE)))
    loans = kiva_loans({} if kiva is None else kiva)
    return build_journal_updates(notes, loans, settings=with_settings or settings(), field_key=KEY)


BROKEN = {
    "no_note_id": lambda: journals({"note_id": None}),
    "no_loan_id": lambda: journals({"loan_id": None}),
    "note_id_unreadable": lambda: journals({"note_id": 17.0}),
    "loan_id_unreadable": lambda: journals(
        {"loan_id": "1042970\ufeff"}, kiva={"internal_loan_id": "1042970\ufeff"}
    ),
    "client_id_unreadable": lambda: journals(
        {"client_id": "4\n2"}, kiva={"internal_client_id": "4\n2"}
    ),
    "subject_unreadable": lambda: journals({"subject": "A \ufffd"}),
    "body_unreadable": lambda: journals({"body": b"\xff bought an oven."}),
    "image_url_unreadable": lambda: journals({"image_url": "https://example.org/\x00.jpg"}),
    "written_on_unreadable": lambda: journals({"written_on": "yesterday"}),
    "note_twice": lambda: journals({}, {"source_key": "2"}),
    "loan_not_at_kiva": lambda: journals({"loan_id": "77"}),
    "loan_takes_no_journal": lambda: journals({}, kiva={"status": "refunded"}),
    "other_client": lambda: journals({"client_id": "1"}),
    "no_client_id_to_send": lambda: journals(
        {"client_id": None}, kiva={"internal_client_id": ""}, with_settings=THREE
    ),
    "no_subject": lambda: journals({"subject": None}),
    "no_body": lambda: journals({"body": "  "}),
    "image_not_https": lambda: journals({"image_url": "http://example.org/p.jpg"}),
    "subject_long": lambda: journals({"subject": "x" * 151}),
    "body_long": lambda: journals({"body": "x" * 10_001}),
    "body_first_person": lambda: journals({"body": "I bought an oven."}),
}
WARNINGS = {"subject_long", "body_long", "body_first_person"}


def test_every_rule_has_a_note_that_breaks_it():
    assert set(BROKEN) == {r.code for book in (NOTE_RECORDS, JOURNAL_RULES) for r in book.rules}


@pytest.mark.parametrize("code", BROKEN)
def test_a_note_that_breaks_one_rule_names_just_that_rule(code):
    judged = BROKEN[code]()
    row = judged.rows.iloc[0]
    good = code in WARNINGS
    assert codes(judged) == [code]
    assert (row["state"], row["reason_code"]) == (("good", "") if good else ("blocked", code))
    # What only Kiva's list is against is written all the same: it stays recognisable.
    written = good or code in KIVAS_LIST
    assert (row["payload"] != "") == (row["payload_hash"] != "") == written
    assert judged.counts[code] == 1


def test_a_journal_is_kivas_example_and_names_the_client_only_for_three_column_partners():
    three = journals({}, with_settings=THREE)
    assert json.loads(three.rows["payload"][0]) == {
        "internal_loan_id": "1042970",
        "internal_client_id": "184729",
        "subject": "A new oven",
        "body": "With the loan she bought an oven and now bakes twice a day.",
        "image_url": "https://example.org/p/1042970.jpg",
    }
    two = json.loads(journals({"image_url": None}).rows["payload"][0])
    assert set(two) == {"internal_loan_id", "subject", "body"}
    assert three.rows["business_id"][0] == "1042970/n1"


@pytest.mark.parametrize(
    "address",
    ["https://", "https://x", "https://user:pw@example.org/p.jpg", "javascript:x",
     "https://example.org/a b.jpg", "//example.org/p.jpg", "https://example.org"],
)  # fmt: skip
def test_only_full_https_addresses_without_credentials_are_images(address):
    assert codes(journals({"image_url": address})) == ["image_not_https"]


def test_a_groups_note_may_name_one_of_its_members():
    judged = journals({"client_id": "member"}, kiva={"borrower_count": 5}, with_settings=THREE)
    assert judged.rows["state"][0] == "good"
    assert json.loads(judged.rows["payload"][0])["internal_client_id"] == "184729"


def test_notes_with_one_id_are_blocked_together_with_all_that_is_wrong_with_them():
    judged = journals({}, {"source_key": "2", "written_on": "?"})
    assert codes(judged) == ["written_on_unreadable", "note_twice"]
    assert judged.rows["mis_rows"].tolist() == [2]


def test_no_note_is_no_journal():
    judged = journals()
    assert judged.rows.dtypes.astype(str).to_dict() == JOURNAL_COLUMNS
    assert judged.rows.empty
    assert set(judged.counts) == set(BROKEN)


KIVAS_LIST = {"loan_not_at_kiva", "loan_takes_no_journal"}

notes = st.fixed_dictionaries(
    {},
    optional={
        "note_id": st.sampled_from(["n1", "n2", "a/b", "", None]),
        "loan_id": st.sampled_from(["1042970", "77", "x/a", None]),
        "body": st.text(max_size=8),
        "written_on": st.sampled_from(["2026-10-05", "?"]),
    },
)


@hypothesis_settings(max_examples=20, deadline=None)
@given(st.lists(notes, max_size=8))
def test_every_note_is_in_exactly_one_row_and_every_blocked_row_says_why(changes):
    rows = journals(*({"source_key": str(i)} | c for i, c in enumerate(changes))).rows
    assert rows["mis_rows"].sum() == len(changes)
    assert rows["business_id"].is_unique
    blocked = rows["state"] == "blocked"
    assert rows.loc[blocked, "reasons"].str.contains('"severity":"block"').all()
    written = ~blocked | rows["reason_code"].isin(KIVAS_LIST)
    assert (written | (rows["payload"] == "")).all()
    assert ((rows["payload"] != "") | blocked).all()
