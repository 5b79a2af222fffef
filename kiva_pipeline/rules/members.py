"""The loans behind the drafts: which draft each belongs to, and PA2's rules for one borrower.

An individual draft has one member, a group's draft one for each loan with the group's id. What
must not break: every MIS row belongs to exactly one draft, also one without an id.
"""

from datetime import date, timedelta

import pandas as pd

from kiva_pipeline.mis.records import LOAN_RECORDS
from kiva_pipeline.money import to_digits
from kiva_pipeline.rulebook import Rule, Rulebook, Severity
from kiva_pipeline.rules.lists import genders
from kiva_pipeline.rules.reasons import Details, Rows
from kiva_pipeline.rules.runs import whole_numbers
from kiva_pipeline.settings import ListSpellings

# A waiver is signed for one loan, near its disbursal; an older one is likely of an earlier loan.
WAIVER_DAYS = 180
_BLOCK, _WARN = Severity.BLOCK, Severity.WARN
_NFC = ("first_name", "last_name", "group_name", "description", "loan_use")

MEMBER_RULES = Rulebook(
    "borrowers",
    [
        Rule(
            "amount_not_positive", "entreps.amount", "zero or negative", _BLOCK,
            "Each borrower must receive an amount above zero; correct the principal in the MIS.",
            lambda f: f["principal"].isna() | (f["principal"] > 0),
        ),
        Rule(
            "gender_unreadable", "entreps.gender", "not male, female or unknown", _BLOCK,
            "The gender can't be read; correct it in the MIS or add its spelling to"
            " mapping.genders in the settings.",
            lambda f: f["kiva_gender"] != "",
        ),
        Rule(
            "gender_missing", "entreps.gender", "missing", _WARN,
            "The MIS has no gender; it goes to Kiva as unknown. Fill it in if it is known.",
            lambda f: f["gender"] != "",
        ),
        Rule(
            "no_first_name", "entreps.first_name", "missing", _BLOCK,
            "The borrower has no first name; enter it in the MIS.",
            lambda f: f["first_name"] != "",
        ),
        Rule(
            "no_last_name", "entreps.last_name", "missing", _WARN,
            "The borrower has no last name; enter it in the MIS unless the person has one name.",
            lambda f: f["last_name"] != "",
        ),
        Rule(
            "no_waiver", "client_waiver_signed", "missing", _BLOCK,
            "No signed waiver is recorded for this loan; have it signed and enter the day.",
            lambda f: f["waiver_signed_on"].notna() | f["waiver_unreadable"],
        ),
        Rule(
            "waiver_in_future", "client_waiver_signed", "in the future", _BLOCK,
            "The waiver's day lies in the future; correct it in the MIS.",
            lambda f: f["waiver_signed_on"].isna() | (f["waiver_signed_on"] <= f["today"]),
        ),
        Rule(
            "waiver_old", "client_waiver_signed", "long before the disbursal", _WARN,
            f"The waiver was signed more than {WAIVER_DAYS} days before the disbursal; each loan"
            " needs a new one. Check that it is this loan's.",
            lambda f: f["waiver_age"].isna() | (f["waiver_age"] <= timedelta(days=WAIVER_DAYS)),
        ),
        Rule(
            "no_schedule", "schedule", "missing", _BLOCK,
            "The loan has no repayment schedule; generate it in the MIS.",
            lambda f: (f["instalments"] > 0) | (f["loan_id"] == ""),
        ),
        Rule(
            "instalment_twice", "schedule", "not unique", _BLOCK,
            "Two instalments have the same number; correct the schedule in the MIS.",
            lambda f: ~f["number_twice"],
        ),
        Rule(
            "instalment_negative", "schedule", "negative", _BLOCK,
            "An instalment has a negative principal or interest; correct it in the MIS.",
            lambda f: ~f["negative"],
        ),
        Rule(
            "instalment_not_after_disbursal", "schedule.date", "not after the disbursal", _BLOCK,
            "An instalment is due on or before the disbursal day; correct the schedule or the day.",
            lambda f: ~f["too_early"],
        ),
        # Σ of instalments that can't be read says nothing: they are a reason of their own.
        Rule(
            "schedule_sum_differs", "schedule.principal", "not the loan's amount", _BLOCK,
            "The instalments' principal does not add up to the loan's amount; correct the schedule"
            " in the MIS.",
            lambda f: (
                f["principal"].isna()
                | (f["instalments"] == 0)
                | (f["instalment_problems"] != 0)
                | (f["scheduled"] == f["principal"])
            ),
        ),
        Rule(
            "last_name_in_description", "description", "has a last name", _WARN,
            "The description seems to hold the borrower's last name; Kiva publishes first names"
            " only. Take it out in PA2.",
            lambda f: ~f["last_name_shown"],
        ),
        Rule(
            "pictured_unknown", "not_pictured", "missing", _WARN,
            "The MIS does not say whether this member is in the group's photo; sent as pictured."
            " Check it in PA2.",
            lambda f: f["pictured"].notna() | ~f["in_group"],
        ),
    ],
)  # fmt: skip


def arrange_members(loans: pd.DataFrame) -> pd.DataFrame:
    """The same loans, sorted by draft and within it by client and loan id.

    Args:
        loans: ``LOAN_COLUMNS``.

    Returns:
        ``LOAN_COLUMNS`` with ``business_id`` (the draft's: the group's id, else the loan's, else
        ``row:`` and the key of the MIS row), ``draft`` (its number, from 0) and ``in_group``.
    """
    alone = loans["group_id"] == ""
    business_id = (
        loans["group_id"]
        .where(~alone, loans["loan_id"])
        .where(~alone | (loans["loan_id"] != ""), "row:" + loans["source_key"])
    )
    texts = {column: loans[column].str.normalize("NFC") for column in _NFC}
    texts["currency"] = loans["currency"].str.upper()
    members = loans.assign(business_id=business_id, in_group=~alone, **texts).sort_values(
        ["business_id", "client_id", "loan_id", "source_key"], kind="stable", ignore_index=True
    )
    return members.assign(draft=pd.factorize(members["business_id"])[0])


def member_facts(members: pd.DataFrame, spellings: ListSpellings, today: date) -> dict[str, object]:
    """What ``MEMBER_RULES`` and the payload need beside the members' own columns."""
    unreadable = (members["problems"] & LOAN_RECORDS.bit("waiver_signed_on_unreadable")) != 0
    found = genders(members["gender"], spellings.genders)
    return {
        "kiva_gender": pd.Series([gender or "" for gender in found], dtype="str"),
        "waiver_unreadable": unreadable,
        "waiver_age": members["disbursed_on"] - members["waiver_signed_on"],
        "today": pd.Timestamp(today),
    }


def member_names(members: pd.DataFrame) -> list[str]:
    """How a reason refers to a member of a group: by its loan id, never by a name; else ""."""
    return [
        (f"loan {loan_id}" if loan_id else f"MIS row {key}") if in_group else ""
        for loan_id, key, in_group in zip(
            members["loan_id"], members["source_key"], members["in_group"], strict=True
        )
    ]


def member_details(members: pd.DataFrame) -> Details:
    """What to add to the sentences of ``MEMBER_RULES``: days and amounts."""
    digits = whole_numbers(members["currency_digits"])
    principal, scheduled = whole_numbers(members["principal"]), members["scheduled"].to_numpy()

    def sums(rows: Rows) -> list[str]:
        return [
            f"instalments {to_digits(int(scheduled[at]), int(digits[at]))},"
            f" loan {to_digits(int(principal[at]), int(digits[at]))}"
            for at in rows
        ]

    first_due, signed = (
        members[column].to_numpy(dtype="datetime64[D]")
        for column in ("first_due", "waiver_signed_on")
    )
    return {
        "schedule_sum_differs": sums,
        "instalment_not_after_disbursal": lambda rows: [f"first due {d}" for d in first_due[rows]],
        "waiver_in_future": lambda rows: [f"signed {d}" for d in signed[rows]],
        "waiver_old": lambda rows: [f"signed {d}" for d in signed[rows]],
    }
