import json
import unicodedata
from datetime import date

import numpy as np
import pandas as pd
import pytest

from kiva_pipeline.rules.drafts import STRAY_INSTALMENT, build_loan_drafts
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
    reasons,
    settings,
)


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


NAMES = [
    "Abeba አበባ ሰላም", "أحمد العلي", "Արամ Պետրոսյան", "অমিত রায়", "བཀྲ་ཤིས་ ཚེ་རིང",
    "Чинара Асанова", "मोहन देशमुख", "გიორგი ბერიძე", "Γιώργος Παπαδόπουλος", "ગીતા પટેલ",
    "ਗੁਰਪ੍ਰੀਤ ਸਿੰਘ", "김 민수", "林 志玲", "דוד כהן", "ひかり すずき", "カナ タナカ", "ಕಾವ್ಯ ಗೌಡ", "ខៀវ សំផន",
    "ລາວ ສີສຸກ", "മീര നായർ", "Бат Эрдэнэ", "မောင် မောင်", "ନୀତା ଦାସ", "සුනිල් පෙරේරා",
    "தமிழ் செல்வன்", "తెలుగు రావు", "ޢަލީ ރަޝީދު", "สมชาย ใจดี", "ⵎⵓⵃⵎⵎⴷ ⴰⵎⴰⵣⵉⵖ",
    "ߞߊ߲ߓߊ ߖߊ߬ߟߏ߫", "ꕙꔤ ꕞꕌ", "𞤀𞤤𞤵 𞤄𞤢𞤪𞤭", "ᏣᎳᎩ ᎠᏂ", "ᐃᓄᒃ ᑐᒃᑐ", "ꦗꦮ ꦱꦫꦶ", "ᬩᬮᬶ ᬥᬾᬯ", "ᥖᥭ ᥘᥫ",
    "ᱥᱟᱱ ᱛᱟᱲ", "ꯃꯩ ꯇꯩ", "ꆈ ꌠ", "ᜊ ᜌ", "Nguyễn Ánh", "José Núñez", "Øystein Ærø",
    "'Abd-al\u200f محمد",
]  # fmt: skip


def test_names_in_45_scripts_and_spellings_go_out_as_they_are():
    names = [name.partition(" ")[::2] for name in NAMES]
    loans = [
        loan(loan_id=f"N{i:02}", first_name=first, last_name=last)
        for i, (first, last) in enumerate(names)
    ]
    judged = drafts_of(loans, [bullet(f"N{i:02}", "3500") for i in range(len(names))])
    borrowers = [json.loads(payload)["entreps"][0] for payload in judged.rows["payload"]]
    assert [(one["first_name"], one["last_name"]) for one in borrowers] == names


def test_decomposed_and_composed_spellings_are_the_same_draft():
    hashes = set()
    for form in ("NFC", "NFD"):
        spelled = {
            column: unicodedata.normalize(form, text)
            for column, text in (("first_name", "José"), ("description", "Él vende café."))
        }
        loans, schedule = frames([LOAN], INSTALMENTS)
        judged = build_loan_drafts(
            loans.assign(**spelled),
            schedule,
            KIVA_LISTS,
            settings=settings(),
            today=TODAY,
            field_key=KEY,
        )
        hashes.add(judged.rows["payload_hash"][0])
        assert unicodedata.is_normalized("NFC", judged.rows["payload"][0])
    assert len(hashes) == 1


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


def test_instalments_of_no_loan_are_counted():
    assert drafts_of([LOAN], [*INSTALMENTS, bullet("?", "1")]).counts[STRAY_INSTALMENT] == 1


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


def test_each_draft_gets_its_own_instalments_summed_by_due_day():
    loans, _ = group(2)
    schedule = [
        bullet("L-01", "60000", "2027-03-01"),
        bullet("L-01", "40000", "2027-01-01") | {"number": 2},
        bullet("L-02", "70000", "2027-02-01"),
        bullet("L-02", "30000", "2027-03-01") | {"number": 2},
        bullet("A-2036-12", "3500", "2027-02-01"),
    ]
    single, of_group = (
        [(entry["date"], entry["principal"]) for entry in json.loads(payload)["schedule"]]
        for payload in drafts_of([*loans, LOAN], schedule).rows["payload"]
    )
    assert single == [("2027-02-01", 3500)]
    assert of_group == [("2027-01-01", 40000), ("2027-02-01", 70000), ("2027-03-01", 90000)]


def test_loans_without_an_id_are_told_apart_by_their_key_in_the_mis():
    judged = drafts_of([loan(loan_id=None, source_key=key) for key in ("7", "8")])
    assert judged.rows["business_id"].tolist() == ["row:7", "row:8"]
    assert judged.rows["loan_ids"].tolist() == ['[""]', '[""]']


def test_members_that_spell_the_same_activity_otherwise_do_not_differ():
    loans, schedule = group(2)
    judged = drafts_of([loans[0], loans[1] | {"activity": "FARMING "}], schedule)
    assert judged.rows[["state", "reasons"]].to_numpy().tolist() == [["good", ""]]
