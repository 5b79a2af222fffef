"""Canonical records: raw MIS rows turned into typed columns, with what is wrong said a row.

Every raw row comes out as exactly one canonical row. What can't be read becomes empty and sets a
bit in ``problems``; nothing is dropped, guessed or rounded. Money is int64 minor units of the
loan's own currency; days are ``datetime64[ms]``; texts are NFC.
"""

import numpy as np
import pandas as pd
import pandera.pandas as pa

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
    "disbursed_on": _DAY, "disbursed": _MINOR, "repaid": _MINOR, "charged_back": _MINOR,
    "recovered": _MINOR, "written_off": _MINOR, "unknown": _MINOR, "unknown_types": _TEXT,
    "problems": "int64",
}  # fmt: skip
NOTE_COLUMNS = {
    "source_key": _TEXT, "note_id": _TEXT, "loan_id": _TEXT, "client_id": _TEXT,
    "written_on": _DAY, "subject": _TEXT, "body": _TEXT, "image_url": _TEXT, "problems": "int64",
}  # fmt: skip

_BLOCK = Severity.BLOCK


def _present(column: str, sentence: str) -> Rule:
    return Rule(
        f"no_{column}", column, "missing", _BLOCK, sentence, lambda frame: frame[column] != ""
    )


def _readable(column: str, value_class: str, sentence: str) -> Rule:
    flag = f"{column}_unreadable"
    return Rule(
        f"{column}_unreadable", column, value_class, _BLOCK, sentence, lambda frame: ~frame[flag]
    )


def _unique(column: str, sentence: str) -> Rule:
    return Rule(
        f"duplicate_{column}",
        column,
        "not unique",
        _BLOCK,
        sentence,
        lambda frame: ~frame[column].duplicated(keep=False) | (frame[column] == ""),
    )


def _whole_minor(column: str) -> Rule:
    flag = f"{column}_has_fraction"
    return Rule(
        f"{column}_has_fraction",
        column,
        "more decimals than the currency has",
        _BLOCK,
        f"The {column} has more decimals than its currency; correct the amount in the MIS.",
        lambda frame: ~frame[flag],
    )


LOAN_RECORDS = Rulebook(
    "loan records",
    [
        _present("loan_id", "The MIS row has no loan id; give the loan its account number."),
        _unique("loan_id", "Two rows of the MIS have this loan id; correct the one that is wrong."),
        _present("client_id", "The loan has no client id; link it to its client in the MIS."),
        _present("currency", "The loan has no currency; set it in the MIS."),
        _readable("currency_digits", "not 0 to 4", "The loan's number of decimals can't be read."),
        _readable("principal", "not a number", "The amount can't be read; it must be a number."),
        _whole_minor("principal"),
        _readable("disbursed_on", "not a date", "The disbursal day is missing or is not a date."),
        _readable(
            "waiver_signed_on", "not a date", "The day on which the waiver was signed is no date."
        ),
    ],
)
INSTALMENT_RECORDS = Rulebook(
    "instalment records",
    [
        _present("loan_id", "The instalment belongs to no loan."),
        _readable("number", "not a number", "The instalment's number can't be read."),
        _readable("due_on", "not a date", "The instalment's due day is missing or is not a date."),
        _readable("principal", "not a number", "The instalment's principal is not a number."),
        _whole_minor("principal"),
        _readable("interest", "not a number", "The instalment's interest is not a number."),
        _whole_minor("interest"),
    ],
)
BALANCE_RECORDS = Rulebook(
    "balance records",
    [
        _present("loan_id", "The MIS gave a balance without a loan id."),
        _unique("loan_id", "The MIS gave two balances for this loan; check the query's joins."),
        _present("currency", "The loan has no currency; set it in the MIS."),
        _readable(
            "currency_digits", "not 0 to 4", "The loan's number of decimals can't be read."
        ),
        *(
            _readable(column, "not a number", f"The MIS gave no readable “{column}” amount.")
            for column in (
                "disbursed", "repaid", "charged_back", "recovered", "written_off", "unknown",
            )
        ),
    ],
)  # fmt: skip
NOTE_RECORDS = Rulebook(
    "note records",
    [
        _present("note_id", "The note has no id of its own."),
        _present("loan_id", "The note belongs to no loan; write it on the loan in the MIS."),
        _readable("written_on", "not a date", "The day on which the note was written is no date."),
    ],
)


def canonical_loans(frame: pd.DataFrame) -> pd.DataFrame:
    """``RAW_LOANS`` rows in, the same rows as ``LOAN_COLUMNS`` out, in the same order."""
    made = _texts(frame, LOAN_COLUMNS)
    _digits(made, frame)
    _money(made, "principal", frame["principal"], made["currency_digits"])
    _days(made, "disbursed_on", frame["disbursed_on"], required=True)
    _days(made, "waiver_signed_on", frame["waiver_signed_on"], required=False)
    made["pictured"] = _flags(frame["pictured"])
    made["disbursed"] = _flags(frame["disbursed"])
    made["photo_bytes"] = pd.to_numeric(frame["photo_bytes"], errors="coerce").astype("Int64")
    return _judged(made, LOAN_RECORDS, LOAN_COLUMNS)


def canonical_instalments(frame: pd.DataFrame, loans: pd.DataFrame) -> pd.DataFrame:
    """``RAW_INSTALMENTS`` rows in, ``INSTALMENT_COLUMNS`` out, sorted by loan and number.

    Args:
        frame: The raw rows.
        loans: The canonical loans that they belong to, for each loan's number of decimals.
    """
    made = _texts(frame, INSTALMENT_COLUMNS)
    digits = loans.drop_duplicates("loan_id").set_index("loan_id")["currency_digits"]
    of_loan = made["loan_id"].map(digits).astype("Int64")
    numbers = pd.to_numeric(frame["number"], errors="coerce")
    whole = numbers.where(numbers == np.floor(numbers))
    made["number"] = whole.astype("Int64")
    made["number_unreadable"] = made["number"].isna()
    _days(made, "due_on", frame["due_on"], required=True)
    for column in ("principal", "interest"):
        _money(made, column, frame[column], of_loan)
    judged = _judged(made, INSTALMENT_RECORDS, INSTALMENT_COLUMNS)
    return judged.sort_values(["loan_id", "number"], kind="stable", ignore_index=True)


def canonical_balances(frame: pd.DataFrame) -> pd.DataFrame:
    """One chunk of ``RAW_BALANCES`` in, ``BALANCE_COLUMNS`` out, in the same order."""
    made = _texts(frame, BALANCE_COLUMNS)
    _digits(made, frame)
    _days(made, "disbursed_on", frame["disbursed_on"], required=False)
    for column in ("disbursed", "repaid", "charged_back", "recovered", "written_off", "unknown"):
        amounts = pd.to_numeric(frame[f"{column}_minor"], errors="coerce")
        made[column] = amounts.where(amounts == np.floor(amounts)).astype("Int64")
        made[f"{column}_unreadable"] = made[column].isna()
    return _judged(made, BALANCE_RECORDS, BALANCE_COLUMNS)


def canonical_notes(frame: pd.DataFrame) -> pd.DataFrame:
    """``RAW_NOTES`` rows in, the same rows as ``NOTE_COLUMNS`` out, in the same order."""
    made = _texts(frame, NOTE_COLUMNS)
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
    texts = {
        name: (
            frame[name]
            .astype("str")
            .fillna("")
            .str.replace(
                "\0", "\N{REPLACEMENT CHARACTER}", regex=False
            )  # not every ledger keeps it
            .str.normalize("NFC")
            .str.strip()
            if name in frame
            else ""
        )
        for name, kind in columns.items()
        if kind == _TEXT
    }
    return pd.DataFrame(texts, index=frame.index).astype("str")


def _digits(made: pd.DataFrame, frame: pd.DataFrame) -> None:
    digits = pd.to_numeric(frame["currency_digits"], errors="coerce")
    made["currency_digits"] = digits.where(digits.isin([0, 1, 2, 3, 4])).astype("Int64")
    made["currency_digits_unreadable"] = made["currency_digits"].isna()


def _flags(values: "pd.Series[bool]") -> "pd.Series[bool]":
    known = {"1": True, "0": False, "true": True, "false": False, "1.0": True, "0.0": False}
    return values.astype("str").str.lower().map(known).astype("boolean")


def _days(made: pd.DataFrame, column: str, values: pd.Series, *, required: bool) -> None:
    # Only ISO days are read: a source that has other forms must say which, never let us guess.
    text = values.astype("str").fillna("").str.strip()
    days = pd.to_datetime(text.str.slice(0, 10), format="%Y-%m-%d", errors="coerce")
    made[column] = days.astype(_DAY)
    made[f"{column}_unreadable"] = made[column].isna() & (required | (text != ""))


def _money(made: pd.DataFrame, column: str, values: pd.Series, digits: pd.Series) -> None:
    """Exact minor units, by digits of text: no float is ever made of an amount."""
    text = values.map(_plain_digits, na_action="ignore").astype("str").fillna("").str.strip()
    parts = text.str.extract(r"^(?P<sign>-?)(?P<whole>\d{1,12})(?:\.(?P<fraction>\d{1,12}))?$")
    readable = parts["whole"].notna()
    places = parts["fraction"].fillna("").str.rstrip("0")
    fits = places.str.len() <= 6
    whole = parts["whole"].where(readable, "0").astype("int64").to_numpy()
    micro = places.where(fits, "").str.pad(6, side="right", fillchar="0").astype("int64").to_numpy()
    shift = 10 ** (6 - digits.fillna(2).astype("int64").to_numpy())
    minor, rest = np.divmod(whole * 1_000_000 + micro, shift)
    exact = fits.to_numpy() & (rest == 0)
    signed = np.where(parts["sign"].to_numpy() == "-", -minor, minor)
    good = readable.to_numpy() & exact & digits.notna().to_numpy()
    made[column] = pd.Series(signed, index=made.index, dtype="Int64").where(
        pd.Series(good, index=made.index)
    )
    made[f"{column}_unreadable"] = ~readable
    made[f"{column}_has_fraction"] = readable & ~exact


def _plain_digits(value: object) -> object:
    # Decimal("1E+3") is a thousand; its plain form is what a person would have typed.
    return format(value, "f") if hasattr(value, "as_tuple") else value
