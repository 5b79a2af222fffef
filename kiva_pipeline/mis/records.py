"""Canonical records: raw MIS rows turned into typed columns, with what is wrong said a row.

Every raw row comes out as exactly one canonical row. What can't be read becomes empty and sets a
bit in ``problems``; nothing is dropped, guessed or rounded. Money is int64 minor units of the
loan's own currency; days are ``datetime64[ms]``; texts are NFC.
"""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa

from kiva_pipeline.mis import cells
from kiva_pipeline.rulebook import Rule, Rulebook, Severity

_DAY, _MINOR, _TEXT = "datetime64[ms]", "Int64", "str"

LOAN_COLUMNS = {
    "source_key": _TEXT, "loan_id": _TEXT, "client_id": _TEXT,
    "group_id": _TEXT, "group_client_id": _TEXT, "group_name": _TEXT,
    "first_name": _TEXT, "last_name": _TEXT, "gender": _TEXT, "pictured": "boolean",
    "principal": _MINOR, "currency": _TEXT, "currency_digits": "Int64",
    "disbursed_on": _DAY, "disbursed": "boolean",
    "activity": _TEXT, "theme": _TEXT, "location": _TEXT, "language": _TEXT,
    "description": _TEXT, "loan_use": _TEXT, "waiver_signed_on": _DAY,
    "photo_ref": _TEXT, "photo_sha256": _TEXT, "photo_mime": _TEXT, "photo_bytes": "Int64",
    "problems": "int64",
}  # fmt: skip
INSTALMENT_COLUMNS = {
    "source_key": _TEXT, "loan_id": _TEXT, "number": "Int64", "due_on": _DAY,
    "principal": _MINOR, "interest": _MINOR, "problems": "int64",
}  # fmt: skip
BALANCE_COLUMNS = {
    "loan_id": _TEXT, "client_id": _TEXT, "currency": _TEXT, "currency_digits": "Int64",
    "disbursed_on": _DAY, "disbursed": _MINOR, "disbursed_later": _MINOR, "repaid": _MINOR,
    "charged_back": _MINOR, "recovered": _MINOR, "written_off": _MINOR, "unknown": _MINOR,
    "unknown_types": _TEXT, "problems": "int64",
}  # fmt: skip
_BALANCE_AMOUNTS = (
    "disbursed", "disbursed_later", "repaid", "charged_back", "recovered", "written_off", "unknown",
)  # fmt: skip
NOTE_COLUMNS = {
    "source_key": _TEXT, "note_id": _TEXT, "loan_id": _TEXT, "client_id": _TEXT,
    "written_on": _DAY, "subject": _TEXT, "body": _TEXT, "image_url": _TEXT, "problems": "int64",
}  # fmt: skip

_BLOCK = Severity.BLOCK


# The texts that reach Kiva, and what a person calls them.
_LOAN_TEXTS = {
    "first_name": "first name", "last_name": "last name", "group_name": "group's name",
    "description": "description", "loan_use": "loan's use",
}  # fmt: skip
_NOTE_TEXTS = {"subject": "subject", "body": "text", "image_url": "image's address"}
_LOAN_IDS = {
    "loan_id": "loan id", "client_id": "client id", "group_id": "group id",
    "group_client_id": "group's client id",
}  # fmt: skip
_NOTE_IDS = {"note_id": "note's id", "loan_id": "loan id", "client_id": "client id"}


def _present(column: str, sentence: str) -> Rule:
    return Rule(
        f"no_{column}", column, "missing", _BLOCK, sentence, lambda frame: frame[column] != ""
    )


def _not_flagged(column: str, problem: str, value_class: str, sentence: str) -> Rule:
    flag = f"{column}_{problem}"
    return Rule(flag, column, value_class, _BLOCK, sentence, lambda frame: ~frame[flag])


def _readable(column: str, value_class: str, sentence: str) -> Rule:
    return _not_flagged(column, "unreadable", value_class, sentence)


def _readable_texts(names: dict[str, str]) -> list[Rule]:
    return [
        _readable(
            column,
            "not readable text",
            f"The {name} holds characters that can't be read; type it anew in the MIS.",
        )
        for column, name in names.items()
    ]


def _exact_ids(names: dict[str, str]) -> list[Rule]:
    return [
        _readable(
            column,
            "not the text of an id",
            f"The {name} holds invisible characters or came as a decimal number; correct it in the"
            " MIS, or let the MIS give it as text.",
        )
        for column, name in names.items()
    ]


def _unique(column: str, sentence: str) -> Rule:
    return Rule(
        f"duplicate_{column}",
        column,
        "not unique",
        _BLOCK,
        sentence,
        lambda frame: ~frame[column].duplicated(keep=False) | (frame[column] == ""),
    )


def _exact_money(column: str, name: str) -> list[Rule]:
    return [
        _readable(column, "not a number", f"The {name} can't be read; it must be a number."),
        _not_flagged(
            column,
            "has_fraction",
            "more decimals than the currency has",
            f"The {name} has more decimals than its currency; correct the amount in the MIS.",
        ),
        _not_flagged(
            column,
            "too_large",
            "too large",
            f"The {name} is larger than any loan; correct the amount in the MIS.",
        ),
    ]


LOAN_RECORDS = Rulebook(
    "loan records",
    [
        _present("loan_id", "The MIS row has no loan id; give the loan its account number."),
        _unique("loan_id", "Two rows of the MIS have this loan id; correct the one that is wrong."),
        _present("client_id", "The loan has no client id; link it to its client in the MIS."),
        *_exact_ids(_LOAN_IDS),
        _present("currency", "The loan has no currency; set it in the MIS."),
        _readable("currency_digits", "not 0 to 4", "The loan's number of decimals can't be read."),
        *_exact_money("principal", "amount"),
        _readable("disbursed_on", "not a date", "The disbursal day is missing or is not a date."),
        _readable(
            "waiver_signed_on", "not a date", "The day on which the waiver was signed is no date."
        ),
        *_readable_texts(_LOAN_TEXTS),
    ],
)
INSTALMENT_RECORDS = Rulebook(
    "instalment records",
    [
        _present("loan_id", "The instalment belongs to no loan."),
        _readable("number", "not a number", "The instalment's number can't be read."),
        _readable("due_on", "not a date", "The instalment's due day is missing or is not a date."),
        *_exact_money("principal", "instalment's principal"),
        *_exact_money("interest", "instalment's interest"),
    ],
)
BALANCE_RECORDS = Rulebook(
    "balance records",
    [
        _present("loan_id", "The MIS gave a balance without a loan id."),
        _unique("loan_id", "The MIS gave two balances for this loan; check the query's joins."),
        _present("currency", "The loan has no currency; set it in the MIS."),
        _readable("currency_digits", "not 0 to 4", "The loan's number of decimals can't be read."),
        *(
            _readable(column, "not a number", f"The MIS gave no readable “{column}” amount.")
            for column in _BALANCE_AMOUNTS
        ),
    ],
)
NOTE_RECORDS = Rulebook(
    "note records",
    [
        _present("note_id", "The note has no id of its own."),
        _present("loan_id", "The note belongs to no loan; write it on the loan in the MIS."),
        *_exact_ids(_NOTE_IDS),
        _readable("written_on", "not a date", "The day on which the note was written is no date."),
        *_readable_texts(_NOTE_TEXTS),
    ],
)


def canonical_loans(frame: pd.DataFrame) -> pd.DataFrame:
    """``RAW_LOANS`` rows in, the same rows as ``LOAN_COLUMNS`` out, in the same order.

    ``pictured`` and ``disbursed`` are empty where the MIS does not say yes or no, and
    ``photo_bytes`` where it gives no whole number: the rules of drafts say what that means.
    """
    made = _texts(frame, LOAN_COLUMNS)
    _flag_ids(made, frame, _LOAN_IDS)
    _flag_texts(made, _LOAN_TEXTS)
    _digits(made, frame["currency_digits"])
    _money(made, "principal", frame["principal"])
    _days(made, "disbursed_on", frame["disbursed_on"], required=True)
    _days(made, "waiver_signed_on", frame["waiver_signed_on"], required=False)
    made["pictured"] = cells.yes_or_no(frame["pictured"])
    made["disbursed"] = cells.yes_or_no(frame["disbursed"])
    made["photo_bytes"] = cells.whole_numbers(frame["photo_bytes"])
    return _judged(made, LOAN_RECORDS, LOAN_COLUMNS)


def canonical_instalments(frame: pd.DataFrame, loans: pd.DataFrame) -> pd.DataFrame:
    """``RAW_INSTALMENTS`` rows in, ``INSTALMENT_COLUMNS`` out, sorted by loan and number.

    Without its loan's number of decimals an amount is empty; the loan's own record says why.

    Args:
        frame: The raw rows.
        loans: The canonical loans that they belong to, for each loan's number of decimals.
    """
    made = _texts(frame, INSTALMENT_COLUMNS)
    digits = loans.drop_duplicates("loan_id").set_index("loan_id")["currency_digits"]
    _digits(made, made["loan_id"].map(digits))
    made["number"] = cells.whole_numbers(frame["number"])
    made["number_unreadable"] = made["number"].isna()
    _days(made, "due_on", frame["due_on"], required=True)
    for column in ("principal", "interest"):
        _money(made, column, frame[column])
    judged = _judged(made, INSTALMENT_RECORDS, INSTALMENT_COLUMNS)
    return judged.sort_values(["loan_id", "number"], kind="stable", ignore_index=True)


def canonical_balances(frame: pd.DataFrame) -> pd.DataFrame:
    """One chunk of ``RAW_BALANCES`` in, ``BALANCE_COLUMNS`` out, in the same order."""
    made = _texts(frame, BALANCE_COLUMNS)
    _digits(made, frame["currency_digits"])
    _days(made, "disbursed_on", frame["disbursed_on"], required=False)
    for column in _BALANCE_AMOUNTS:
        made[column] = cells.whole_numbers(frame[f"{column}_minor"])
        made[f"{column}_unreadable"] = made[column].isna()
    return _judged(made, BALANCE_RECORDS, BALANCE_COLUMNS)


def canonical_notes(frame: pd.DataFrame) -> pd.DataFrame:
    """``RAW_NOTES`` rows in, the same rows as ``NOTE_COLUMNS`` out, in the same order."""
    made = _texts(frame, NOTE_COLUMNS)
    _flag_ids(made, frame, _NOTE_IDS)
    _flag_texts(made, _NOTE_TEXTS)
    _days(made, "written_on", frame["written_on"], required=True)
    return _judged(made, NOTE_RECORDS, NOTE_COLUMNS)


def empty_frame(columns: dict[str, str]) -> pd.DataFrame:
    """A frame with no rows and these columns and dtypes."""
    return pd.DataFrame({name: [] for name in columns}).astype(columns)


def record_schema(name: str, columns: dict[str, str]) -> pa.DataFrameSchema:
    """The canonical shape as a pandera schema; what Dagster shows as the asset's columns."""
    return pa.DataFrameSchema(
        {column: pa.Column(kind, nullable=True) for column, kind in columns.items()},
        name=name,
        strict=True,
        ordered=True,
    )


def _judged(made: pd.DataFrame, rules: Rulebook, columns: dict[str, str]) -> pd.DataFrame:
    made["problems"] = rules.judge(made)
    return made[list(columns)].astype(columns)


def _texts(frame: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    empty = pd.Series("", index=frame.index, dtype="str")
    return pd.DataFrame(
        {
            name: cells.texts(frame[name]) if name in frame else empty
            for name, kind in columns.items()
            if kind == _TEXT
        },
        index=frame.index,
    )


def _flag_ids(made: pd.DataFrame, frame: pd.DataFrame, names: Iterable[str]) -> None:
    for name in names:
        made[f"{name}_unreadable"] = cells.unreadable_ids(frame[name], made[name])


def _flag_texts(made: pd.DataFrame, names: Iterable[str]) -> None:
    for name in names:
        made[f"{name}_unreadable"] = cells.unreadable_texts(made[name])


def _digits(made: pd.DataFrame, values: "pd.Series[int]") -> None:
    digits = cells.whole_numbers(values)
    made["currency_digits"] = digits.where(digits.between(0, 4))
    made["currency_digits_unreadable"] = made["currency_digits"].isna()


def _days(made: pd.DataFrame, column: str, values: "pd.Series[str]", *, required: bool) -> None:
    made[column], made[f"{column}_unreadable"] = cells.days(values, required=required)


def _money(made: pd.DataFrame, column: str, values: "pd.Series[str]") -> None:
    read = cells.money(values, made["currency_digits"])
    made[column] = read.minor
    made[f"{column}_unreadable"] = read.unreadable
    made[f"{column}_has_fraction"] = read.fraction
    made[f"{column}_too_large"] = read.too_large
