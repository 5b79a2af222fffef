"""The guards on a month's figures: what the MIS says about a loan, held against Kiva's own row.

Everything is judged as principal *repaid*. What must not break: a loan without an answer is
missing, never 0, and only rows that were answered are compared.
"""

from collections.abc import Callable

import pandas as pd

from kiva_pipeline.money import to_digits
from kiva_pipeline.rulebook import Rule, Rulebook, Severity
from kiva_pipeline.rules.reasons import Details, Rows
from kiva_pipeline.rules.runs import whole_numbers

_BLOCK, _MISSING, _HOLD = Severity.BLOCK, Severity.MISSING, Severity.HOLD


def _hold(
    code: str,
    field: str,
    value_class: str,
    sentence: str,
    holds: Callable[[pd.DataFrame], "pd.Series[bool]"],
    severity: Severity = _HOLD,
) -> Rule:
    return Rule(
        code,
        field,
        value_class,
        severity,
        sentence,
        lambda frame: ~frame["answered"] | holds(frame),
    )


REPAYMENT_RULES = Rulebook(
    "repayments",
    [
        Rule(
            "shared_internal_loan_id", "loan_id", "not unique", _BLOCK,
            "Kiva has more than one loan under this internal loan id; a figure would land on the"
            " wrong one. Correct the id of one of them in PA2.",
            lambda f: ~f["shared"],
        ),
        Rule(
            "no_client_id_to_send", "client_id", "missing", _BLOCK,
            "Reports of this partner name the client, but neither Kiva nor the MIS has a client id"
            " for this loan; enter it in the MIS.",
            lambda f: ~f["client_needed"] | ~f["answered"] | (f["client_id"] != ""),
        ),
        Rule(
            "no_internal_loan_id", "loan_id", "missing", _MISSING,
            "Kiva's loan has no internal loan id, so the MIS can't be asked; enter it in PA2.",
            lambda f: f["loan_id"] != "",
        ),
        Rule(
            "not_in_mis", "amount", "missing", _MISSING,
            "The MIS does not know this loan; find its account, or its new id after a migration.",
            lambda f: f["is_group"] | (f["answers"] > 0) | (f["loan_id"] == ""),
        ),
        Rule(
            "group_members_unknown", "amount", "missing", _MISSING,
            "Nobody has said which loans make up this group, so there is no figure for it. Name"
            " them in a CSV file with the columns group_id and loan_id, and run"
            " `kiva-pipeline adopt --groups FILE`.",
            lambda f: ~f["is_group"] | (f["asked"] > 0),
        ),
        Rule(
            "group_members_differ", "amount", "missing", _MISSING,
            "Fewer loans are known for this group than Kiva has borrowers, so there is no figure"
            " for it; find the group's other loans in the MIS.",
            lambda f: ~f["is_group"] | (f["asked"] == 0)
            | ((f["asked"] >= f["borrowers"]) & (f["borrowers"] > 0)),
        ),
        Rule(
            "group_member_not_in_mis", "amount", "missing", _MISSING,
            "The MIS does not know all loans of this group, so there is no figure for it; find the"
            " missing accounts.",
            lambda f: ~f["is_group"] | (f["answers"] == f["asked"]),
        ),
        _hold(
            "mis_loan_asked_twice", "amount", "not unique",
            "One loan of the MIS answers for more than one loan of Kiva's; its principal would be"
            " reported twice. Find out which one it belongs to.",
            lambda f: ~f["asked_twice"],
        ),
        _hold(
            "other_currency", "amount", "another currency",
            "The MIS has this loan in another currency than Kiva; is it the right loan?",
            lambda f: f["same_currency"],
        ),
        _hold(
            "other_client", "client_id", "another client",
            "The MIS has this loan for another client than Kiva; is it the right loan?",
            lambda f: f["same_client"],
        ),
        _hold(
            "other_borrower_count", "amount", "another number of borrowers",
            "Kiva has another number of borrowers for this loan than the draft had; is it the"
            " right loan? Correct it in PA2.",
            lambda f: (f["asked"] == f["borrowers"]) | (f["borrowers"] == 0),
        ),
        _hold(
            "disbursal_undone", "amount", "nothing disbursed",
            "Kiva has this loan, but its disbursal was undone in the MIS, or never booked; delete"
            " or amend it in PA2, or book the disbursal in the MIS.",
            lambda f: ~f["undone"], Severity.PERSON,
        ),
        _hold(
            "price_unreadable", "amount", "Kiva's principal is not a number",
            "Kiva's principal of this loan can't be read, so the figure can't be checked against"
            " it; look the loan up in PA2.",
            lambda f: f["price"].notna(),
        ),
        _hold(
            "other_principal", "amount", "another principal",
            "The principal disbursed in the MIS is not Kiva's; is it the right loan, was it topped"
            " up, or was it posted net of fees?",
            lambda f: f["price"].isna() | f["undone"] | (f["disbursed"] == f["price"]),
        ),
        _hold(
            "repaid_above_principal", "amount", "above the principal",
            "More principal is repaid than Kiva's loan has; check the loan's transactions.",
            lambda f: f["price"].isna() | (f["amount"] <= f["price"]),
        ),
        _hold(
            "repaid_negative", "amount", "negative",
            "The principal repaid is below zero; check reversals and chargebacks of the loan.",
            lambda f: f["amount"] >= 0,
        ),
        _hold(
            "recoveries", "amount", "has recoveries",
            "Money was recovered on this loan after a write-off. Agree with Kiva whether it counts"
            " as repaid, and say so in the settings: repayments.recoveries: count or ignore.",
            lambda f: ~f["hold_recoveries"] | (f["recovered"] == 0),
        ),
        _hold(
            "unknown_transactions", "amount", "has unknown transaction types",
            "The loan has transactions of types that nobody has classified. Say what they are in"
            " the settings, under repayments.transaction_types.",
            lambda f: (f["unknown"] == 0) & (f["unknown_types"] == ""),
        ),
    ],
)  # fmt: skip


def repayment_details(facts: pd.DataFrame) -> Details:
    """What to add to the sentences of ``REPAYMENT_RULES``: amounts, currencies and ids."""
    digits = whole_numbers(facts["currency_digits"])
    currencies, prices = facts["currency"].array, facts["price_text"].array
    numbers = {
        name: whole_numbers(facts[name])
        for name in ("amount", "disbursed", "recovered", "unknown", "asked", "answers", "borrowers")
    }

    def digits_of(name: str, at: int) -> str:
        return to_digits(int(numbers[name][at]), int(digits[at]))

    def money(name: str) -> Callable[[Rows], list[str]]:
        return lambda rows: [f"{digits_of(name, at)} {currencies[at]}" for at in rows.tolist()]

    def against_price(name: str) -> Callable[[Rows], list[str]]:
        return lambda rows: [
            f"MIS {digits_of(name, at)}, Kiva {prices[at]} {currencies[at]}" for at in rows.tolist()
        ]

    def borrowers(rows: Rows) -> list[str]:
        return [
            f"{numbers['asked'][at]} loans known, {numbers['borrowers'][at]} borrowers at Kiva"
            for at in rows.tolist()
        ]

    return {
        "group_members_differ": borrowers,
        "other_borrower_count": borrowers,
        "group_member_not_in_mis": lambda rows: [
            f"{numbers['answers'][at]} of {numbers['asked'][at]} answered" for at in rows.tolist()
        ],
        "other_principal": against_price("disbursed"),
        "repaid_above_principal": against_price("amount"),
        "repaid_negative": money("amount"),
        "recoveries": money("recovered"),
        "unknown_transactions": lambda rows: [
            f"{amount} ({types})" if types else amount
            for amount, types in zip(
                money("unknown")(rows), facts["unknown_types"].iloc[rows], strict=True
            )
        ],
        "disbursal_undone": lambda rows: facts["undone_loans"].iloc[rows].tolist(),
    }
