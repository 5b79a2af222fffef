"""Kiva's lists and loans as frames: only what the pipeline needs, no borrower's name."""

# One row for each entry of `GET /config/*`. `name` is what Kiva writes: an activity, a theme, a
# location's full_name, a language's name. `kiva_id` is empty for locations, which go by name.
KIVA_LIST_COLUMNS = {
    "list": "str",  # activity | theme | location | language
    "kiva_id": "Int64",
    "name": "str",
    "code": "str",  # a language's code: "en"
    "currency": "str",  # a language is listed once for each of the partner's currencies
}

# One row for each loan of `GET /loans`, sorted by `internal_loan_id`, then `kiva_id`. Kiva's own id
# makes it unique; people can leave `internal_loan_id` empty in PA2, or give two loans the same one.
KIVA_LOAN_COLUMNS = {
    "internal_loan_id": "str",
    "internal_client_id": "str",
    "kiva_id": "str",
    "uuid": "str",
    "status": "str",
    "borrower_count": "Int64",
    "loan_local_price": "str",  # exact decimal digits, as Kiva writes them
    "loan_currency": "str",
    "create_time": "Int64",  # epoch seconds
    "delinquent": "boolean",
}

# Kiva expects a row in the month's report for every loan in one of these states.
EXPECTED_STATUSES = frozenset({"payingBack", "defaulted"})
