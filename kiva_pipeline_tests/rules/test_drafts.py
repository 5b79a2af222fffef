import json
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kiva_pipeline.mis.records import INSTALMENT_RECORDS, LOAN_RECORDS
from kiva_pipeline.rules.draft_rules import DRAFT_RULES
from kiva_pipeline.rules.drafts import STRAY_INSTALMENT, build_loan_drafts
from kiva_pipeline.rules.members import MEMBER_RULES
from kiva_pipeline.rules.rows import DRAFT_COLUMNS
from kiva_pipeline_tests.rules.examples import (
    INSTALMENTS,
    KEY,
    KIVA_LISTS,
    LOAN,
    TODAY,
    bullet,
    drafts_of,
    frames,
    group,
    loan,
    settings,
)


def reasons(judged, row=0):
    text = judged.rows["reasons"].iloc[row]
    return json.loads(text) if text else []


def codes(judged, row=0):
    return [reason["code"] for reason in reasons(judged, row)]


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
    "no_currency": broken_group(currency=None),
    "currency_digits_unreadable": broken_loan(currency_digits="two"),
    "principal_unreadable": broken_loan(principal="a lot"),
    "principal_has_fraction": broken_loan(principal="3500.001"),
    "disbursed_on_unreadable": broken_loan(disbursed_on="20/11/2026"),
    "waiver_signed_on_unreadable": broken_loan(waiver_signed_on="yes"),
    "instalment_number_unreadable": broken_schedule(number="first"),
    "instalment_due_on_unreadable": broken_schedule(due_on=None),
    "instalment_principal_unreadable": broken_schedule(principal="?"),
    "instalment_principal_has_fraction": broken_schedule(principal="1750.005"),
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
# on; a theme or language of the example lists has no double.
ACCOMPANIED = {
    "group_currency_differs", "group_language_differs", "id_of_loan_and_group",
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
    assert (draft["payload"] != "") == (draft["payload_hash"] != "") == good
    assert judged.counts[code] == 1
    assert all(
        reason[part] for reason in reasons(judged, row) for part in
        ("code", "field", "value_class", "severity", "sentence")
    )  # fmt: skip


def test_an_individual_draft_is_exactly_kivas_example_and_has_no_group_field():
    body = json.loads(drafts_of([LOAN]).rows["payload"][0])
    assert body == {
        "activity_id": 25,
        "client_waiver_signed": True,
        "currency": "TJS",
        "description": "Aziz sells vegetables at the market.",
        "description_language_id": 5,
        "disburse_time": "2026-11-20",
        "entreps": [
            {
                "amount": 3500,
                "client_id": "451219",
                "first_name": "Азиз",
                "gender": "male",
                "last_name": "Рахимов",
                "loan_id": "A-2036-12",
            }
        ],
        "loanuse": "to buy a refrigerated counter for vegetables.",
        "location": "Dushanbe: Tajikistan",
        "schedule": [
            {"date": "2026-12-20", "interest": 35.0, "principal": 1750.0},
            {"date": "2027-01-20", "interest": 17.5, "principal": 1750.0},
        ],
        "theme_type_id": 48,
    }


def test_a_group_of_forty_keeps_its_members_order_and_photo_flags_whatever_order_they_came_in():
    loans, schedule = group(40)
    loans = [one | {"pictured": i % 3 != 0} for i, one in enumerate(loans)]
    shuffled = np.random.default_rng(1).permutation(len(loans))
    judged = drafts_of([loans[i] for i in shuffled], schedule[::-1])
    body = json.loads(judged.rows["payload"][0])
    assert [one["loan_id"] for one in body["entreps"]] == [f"L-{i:02}" for i in range(1, 41)]
    assert body["not_pictured"] == [i % 3 == 0 for i in range(40)]
    assert body["group_name"] == "Twisungane"
    assert (body["internal_client_id"], body["internal_loan_id"]) == ("G-7", "G-7-2026-11-25")
    assert body["schedule"] == [{"date": "2027-05-25", "interest": 0, "principal": 4_000_000}]
    assert '"amount":100000,' in judged.rows["payload"][0]
    row = judged.rows.iloc[0]
    assert (row["mis_rows"], row["amount"], row["client_id"]) == (40, 4_000_000, "G-7")
    assert json.loads(row["loan_ids"])[39] == "L-40"


def test_one_bad_member_blocks_its_whole_group_and_is_named_by_its_loan_id_only():
    loans, schedule = group(40)
    loans[17] |= {"principal": "-1", "first_name": "Nsengimana"}
    judged = drafts_of([*loans, LOAN], [*schedule, *INSTALMENTS])
    assert dict(zip(judged.rows["business_id"], judged.rows["state"], strict=True)) == {
        "A-2036-12": "good",
        "G-7-2026-11-25": "blocked",
    }
    why = reasons(judged, 1)
    assert {reason["code"] for reason in why} == {"amount_not_positive", "schedule_sum_differs"}
    assert all(reason["detail"].startswith("loan L-18") for reason in why)
    assert "Nsengimana" not in judged.rows["reasons"][1]


def test_the_window_says_the_day_on_which_it_ran_out_shuts_or_opens():
    late, soon, early = (
        drafts_of([loan(disbursed_on=day, waiver_signed_on="2026-10-01")],
                  [bullet("A-2036-12", "3500")])
        for day in ("2026-10-11", "2026-10-12", "2027-02-09")
    )  # fmt: skip
    assert reasons(late)[0]["detail"] == "ran out on 2026-11-09"
    assert reasons(soon)[0]["detail"] == "last day 2026-11-10"
    assert reasons(early)[0]["detail"] == "can go from 2026-11-11"
    assert drafts_of([loan(disbursed_on="2027-02-08")], [bullet("A-2036-12", "3500")]).rows[
        "state"
    ].tolist() == ["good"]


@pytest.mark.parametrize(
    ("currency", "digits", "language", "amount", "wire"),
    [
        ("RWF", 0, "en", "3500", "3500"),
        ("TJS", 2, "ru", "3500.10", "3500.10"),
        ("TND", 3, "en", "3500.001", "3500.001"),
    ],
)
def test_amounts_are_exact_digits_of_the_loans_currency(currency, digits, language, amount, wire):
    changes = {"currency": currency, "currency_digits": digits, "language": language}
    judged = drafts_of([loan(principal=amount, **changes)], [bullet("A-2036-12", amount)])
    assert f'"amount":{wire},' in judged.rows["payload"][0]
    assert f'"principal":{wire}}}' in judged.rows["payload"][0]


NAMES = ["Abeba አበባ ሰላም", "أحمد العلي", "Արամ Պետրոսյան", "অমিত রায়", "བཀྲ་ཤིས་ ཚེ་རིང", "Чинара Асанова", "मोहन देशमुख", "გიორგი ბერიძე", "Γιώργος Παπαδόπουλος", "ગીતા પટેલ", "ਗੁਰਪ੍ਰੀਤ ਸਿੰਘ", "김 민수", "林 志玲", "דוד כהן", "ひかり すずき", "カナ タナカ", "ಕಾವ್ಯ ಗೌಡ", "ខៀវ សំផន", "ລາວ ສີສຸກ", "മീര നായർ", "Бат Эрдэнэ", "မောင် မောင်", "ନୀତା ଦାସ", "සුනිල් පෙරේරා", "தமிழ் செல்வன்", "తెలుగు రావు", "ޢަލީ ރަޝީދު", "สมชาย ใจดี", "ⵎⵓⵃⵎⵎⴷ ⴰⵎⴰⵣⵉⵖ", "ߞߊ߲ߓߊ ߖߊ߬ߟߏ߫", "ꕙꔤ ꕞꕌ", "𞤀𞤤𞤵 𞤄𞤢𞤪𞤭", "ᏣᎳᎩ ᎠᏂ", "ᐃᓄᒃ ᑐᒃᑐ", "ꦗꦮ ꦱꦫꦶ", "ᬩᬮᬶ ᬥᬾᬯ", "ᥖᥭ ᥘᥫ", "ᱥᱟᱱ ᱛᱟᱲ", "ꯃꯩ ꯇꯩ", "ꆈ ꌠ", "ᜊ ᜌ", "Nguyễn Ánh", "José Núñez", "Øystein Ærø", "'Abd-al\u200f محمد"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_in_any_script_go_out_as_they_are(name):
    first, _, last = name.partition(" ")
    judged = drafts_of([loan(first_name=first, last_name=last)])
    borrower = json.loads(judged.rows["payload"][0])["entreps"][0]
    assert (borrower["first_name"], borrower["last_name"]) == (first, last)
    assert judged.rows["state"][0] == "good"


def test_decomposed_and_composed_spellings_are_the_same_draft():
    composed = drafts_of([loan(first_name="José", description="Él vende café.")])
    decomposed = drafts_of([loan(first_name="José", description="Él vende café.")])
    assert composed.rows["payload_hash"][0] == decomposed.rows["payload_hash"][0] != ""


def test_the_partners_own_spellings_come_first():
    mapped = settings(
        mapping={
            "activities": {"Retail": "Farming", "cafe": "Café"},
            "genders": {"Жен.": "female"},
            "locations": {"San Juan": "San Juan: Peru"},
        }
    )
    judged = drafts_of(
        [loan(gender="жен", location="san juan"), loan(loan_id="B", activity="CAFÉ")],
        [*INSTALMENTS, bullet("B", "3500")],
        with_settings=mapped,
    )
    first, second = (json.loads(text) for text in judged.rows["payload"])
    assert (first["activity_id"], first["entreps"][0]["gender"]) == (110, "female")
    assert (first["location"], second["activity_id"]) == ("San Juan: Peru", 7)


def test_no_name_text_or_wrong_value_is_in_any_reason():
    secret = "Zzyzx"
    bad = loan(
        first_name=secret, last_name=secret, gender=secret, principal=secret, activity=secret,
        theme=secret, location=secret, language=secret, description=f"I am {secret}",
        loan_use=f"my {secret}", waiver_signed_on=secret, disbursed_on=secret, currency=secret,
        group_name=secret, group_id="G", photo_mime=secret,
    )  # fmt: skip
    judged = drafts_of([bad, bad | {"loan_id": "B", "group_name": "other"}])
    assert judged.rows["state"].tolist() == ["blocked"]
    assert secret.lower() not in judged.rows["reasons"][0].lower()


def test_nothing_in_is_nothing_out_with_every_rule_counted():
    judged = drafts_of([], [])
    assert (len(judged.rows), judged.rows.dtypes.astype(str).to_dict()) == (0, DRAFT_COLUMNS)
    assert set(judged.counts) == {*severities(), STRAY_INSTALMENT}
    assert set(drafts_of([LOAN]).counts) == set(judged.counts)


def test_instalments_of_no_loan_are_counted():
    assert drafts_of([LOAN], [*INSTALMENTS, bullet("?", "1")]).counts[STRAY_INSTALMENT] == 1


def test_with_a_fifth_of_the_rows_dirty_the_others_go_out():
    schedules = [bullet(f"N{i:03}", "3500") for i in range(200)]
    dirt = [broken[0][0] for code, broken in BROKEN.items() if broken[1] is None]
    dirt = [one for one in dirt if drafts_of([one]).rows["state"][0] == "blocked"]
    loans = [
        (dirt[i % len(dirt)] if i % 5 == 0 else LOAN)
        | {"source_key": str(i), "loan_id": f"N{i:03}"}
        for i in range(200)
    ]
    judged = drafts_of(loans, schedules)
    bad = judged.rows["business_id"].str[1:].astype(int) % 5 == 0
    unbroken = {"no_loan_id", "duplicate_loan_id"}
    assert judged.rows.loc[~bad, "state"].eq("good").all()
    blocked = judged.rows.loc[bad & judged.rows["reasons"].ne(""), "state"]
    assert blocked.eq("blocked").all()
    assert len(blocked) >= 40 - 2 * len(unbroken)


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


@hypothesis_settings(max_examples=60, deadline=None)
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


def test_the_same_inputs_under_another_key_hide_their_texts_otherwise():
    canonical = frames([LOAN], INSTALMENTS)
    one, other = (
        build_loan_drafts(*canonical, KIVA_LISTS, settings=settings(), today=TODAY, field_key=key)
        for key in (KEY, b"another")
    )
    assert one.rows["payload_hash"][0] == other.rows["payload_hash"][0]
    hashes = json.loads(one.rows["field_hashes"][0]), json.loads(other.rows["field_hashes"][0])
    assert hashes[0].keys() == hashes[1].keys()
    assert not set(hashes[0].values()) & set(hashes[1].values())


def test_a_changed_loan_is_told_by_the_fields_that_changed():
    before, after = (
        json.loads(drafts_of([one]).rows["field_hashes"][0])
        for one in (LOAN, loan(first_name="Aziz", photo_sha256="cd" * 32))
    )
    changed = {field for field in before if before[field] != after[field]}
    assert changed == {"entreps.first_name", "photo"}


def test_the_input_frames_are_left_as_they_were():
    loans, schedule = frames(*group(3))
    copies = loans.copy(), schedule.copy()
    build_loan_drafts(
        loans, schedule, KIVA_LISTS, settings=settings(), today=date(2026, 11, 1), field_key=KEY
    )
    pd.testing.assert_frame_equal(loans, copies[0])
    pd.testing.assert_frame_equal(schedule, copies[1])
