"""The shapes that the rules hand to the planner: one row for each thing Kiva should have.

All three streams share ``WANTED_COLUMNS``, so that one planner, one ledger and one reconciliation
serve them. A row in state ``good`` may go out; every other row says why not in ``reasons``.
"""

# `reasons` is a JSON list of {code, field, value_class, severity, sentence, detail}; "" for none.
# A good row may have some of severity "warn". `reason_code` is the first that decided the state.
WANTED_COLUMNS = {
    "business_id": "str",  # draft: loan or group id; repayment: loan id; journal: "loan_id/note_id"
    "state": "str",  # good | blocked | held | missing | needs_person
    "reason_code": "str",
    "reasons": "str",
    "mis_rows": "int64",  # how many MIS rows this row answers for
    "loan_ids": "str",  # JSON list of the MIS loans behind it (a group's members)
    "client_id": "str",  # as it is sent beside the loan id; a group's own id for a group
    "amount": "Int64",  # minor units: draft: principal; repayment: cumulative principal repaid
    "currency": "str",
    "currency_digits": "Int64",
    "effective_on": "datetime64[ms]",  # disbursal day; as-of day; the day the note was written
    "payload_hash": "str",  # what Kiva would see, and nothing else; "" if it can't be written
}

DRAFT_COLUMNS = WANTED_COLUMNS | {
    "payload": "str",  # the JSON body without the photo; "" if it can't be written
    "field_hashes": "str",  # JSON {field: keyed hash}, to name what changed without keeping it
    "client_ids": "str",  # JSON list of the borrowers' client ids
    "photo_ref": "str",
    "photo_mime": "str",
    "photo_sha256": "str",
}
REPORT_COLUMNS = WANTED_COLUMNS | {
    "disbursed": "Int64",  # minor units, in all; the wire's outstanding = disbursed - repaid
    "kiva_status": "str",
    "still_expected": "bool",  # today, also where the month's list was kept before
}
JOURNAL_COLUMNS = WANTED_COLUMNS | {"payload": "str", "field_hashes": "str", "loan_id": "str"}
