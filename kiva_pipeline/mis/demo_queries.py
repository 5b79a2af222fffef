"""The SQL that reads the demo MIS: all of it, and the tables and columns that it needs.

What must not break: values are bound, never written into the SQL; and the expressions for a loan's
and a note's day are those of the tables' indexes, else each query reads the whole table.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.settings import NoteMark, TransactionKind

NEEDED = {
    "loans": (
        "id", "loan_id", "client_id", "group_id", "principal", "currency", "currency_digits",
        "approved_on", "expected_disbursal_on", "disbursed_on", "funding_source", "activity",
        "theme", "location", "language", "description", "loan_use", "waiver_signed_on",
        "photo_id", "pictured",
    ),
    "clients": ("client_id", "first_name", "last_name", "gender"),
    "groups": ("group_id", "name"),
    "instalments": ("id", "loan_pk", "number", "due_on", "principal", "interest"),
    "transactions": ("loan_pk", "type", "transaction_date", "principal_minor", "is_reversed"),
    "notes": (
        "id", "loan_pk", "category", "written_on", "entered_on", "subject", "body", "image_url",
    ),
    "photos": ("photo_id", "image"),
}  # fmt: skip

_DAY = "coalesce(date(l.disbursed_on), date(l.expected_disbursal_on), date(l.approved_on))"
_OF_MONTH = f"l.funding_source = 'KIVA' AND {_DAY} BETWEEN :first AND :last"
_GROUP_LOAN = "l.group_id || '-' || coalesce(l.disbursed_on, l.expected_disbursal_on)"
_NOTE_OF_MONTH = "coalesce(date(n.written_on), date(n.entered_on)) BETWEEN :first AND :last"

# The pieces put together below are constants of this module (hence the noqa): no value is.
COUNT_LOANS = f"SELECT count(*) FROM loans l WHERE {_OF_MONTH}"  # noqa: S608
COUNT_INSTALMENTS = f"""
SELECT count(*) FROM instalments WHERE loan_pk IN (SELECT l.id FROM loans l WHERE {_OF_MONTH})
"""  # noqa: S608
COUNT_NOTES = f"SELECT count(*) FROM notes n WHERE {_NOTE_OF_MONTH}"  # noqa: S608

# Not sorted here: the database would sort the photos along.
LOANS = f"""
SELECT l.id, l.loan_id, l.client_id,
       {_GROUP_LOAN}, l.group_id, g.name,
       c.first_name, c.last_name, c.gender, l.pictured,
       l.principal, l.currency, l.currency_digits,
       coalesce(l.disbursed_on, l.expected_disbursal_on), l.disbursed_on IS NOT NULL,
       l.activity, l.theme, l.location, l.language, l.description, l.loan_use,
       l.waiver_signed_on, l.photo_id, p.image
FROM loans l
LEFT JOIN clients c ON c.client_id = l.client_id
LEFT JOIN groups g ON g.group_id = l.group_id
LEFT JOIN photos p ON p.photo_id = l.photo_id
WHERE {_OF_MONTH}
"""  # noqa: S608

INSTALMENTS = f"""
SELECT i.id, l.loan_id, i.number, i.due_on, i.principal, i.interest
FROM loans l JOIN instalments i ON i.loan_pk = l.id
WHERE {_OF_MONTH}
ORDER BY i.loan_pk, i.number, i.id
"""  # noqa: S608

# What each type of transaction is, unless the settings say otherwise. A disbursal and a write-off
# are what they are: a write-off is no money that came back.
TRANSACTION_TYPES: dict[str, TransactionKind] = {
    "repayment": "repaid", "down_payment": "repaid", "chargeback": "charged_back",
    "recovery": "recovered", "fee": "ignored", "penalty": "ignored", "interest_waiver": "ignored",
}  # fmt: skip
_FIXED = ("disbursement", "write_off")

GROUP_MEMBERS = f"""
SELECT {_GROUP_LOAN}, l.loan_id FROM loans l
WHERE l.group_id IS NOT NULL AND {_GROUP_LOAN} IN (SELECT value FROM json_each(:ids))
ORDER BY 1, 2
"""  # noqa: S608

NOTES = f"""
SELECT n.id, 'N' || n.id,
       coalesce({_GROUP_LOAN}, l.loan_id),
       coalesce(l.group_id, l.client_id),
       n.written_on, n.subject, n.body, n.image_url
FROM notes n LEFT JOIN loans l ON l.id = n.loan_pk
WHERE {_NOTE_OF_MONTH}"""  # noqa: S608
NOTES_ORDER = " ORDER BY n.id"

PHOTO = "SELECT image FROM photos WHERE photo_id = :id"


@dataclass(frozen=True, slots=True)
class BalanceQuery:
    """``RAW_BALANCES`` of some loans; binds ``:ids`` (a JSON list), ``:as_of`` and ``values``.

    Attributes:
        sql: The query.
        values: What it binds beside the ids and the day: the types of transactions.
    """

    sql: str
    values: dict[str, str]

    @classmethod
    def of(cls, types: Mapping[str, TransactionKind]) -> "BalanceQuery":
        """The query that counts types of transactions as the settings say.

        Args:
            types: By type, where it is not as in ``TRANSACTION_TYPES``.

        Raises:
            SettingsError: A disbursal or a write-off is to be something else.
        """
        for fixed in _FIXED:
            if fixed in types:
                raise SettingsError(
                    f"repayments.transaction_types: “{fixed}” can't be {types[fixed]}.",
                    "Remove it: a disbursal is no repayment, and a write-off is no money that came"
                    " back.",
                )
        kinds = {**TRANSACTION_TYPES, **types}
        values = {f"type_{number}": name for number, name in enumerate(kinds)}
        marks = {name: f":{mark}" for mark, name in values.items()}

        def of_kind(kind: TransactionKind) -> str:
            return f"t.type IN ({', '.join(marks[name] for name in kinds if kinds[name] == kind)})"

        unknown = f"t.type NOT IN ({', '.join([*marks.values(), *map(repr, _FIXED)])})"
        # The left join keeps a loan without bookings; grouping by the MIS's own key keeps two loans
        # with one id apart, so that the rules can say so.
        return cls(
            f"""
SELECT l.loan_id, l.client_id, l.currency, l.currency_digits, l.disbursed_on,
       {_sum("t.type = 'disbursement' AND t.transaction_date <= :as_of")},
       {_sum("t.type = 'disbursement' AND t.transaction_date > :as_of")},
       {_sum(of_kind("repaid"))},
       {_sum(of_kind("charged_back"))},
       {_sum(of_kind("recovered"))},
       {_sum("t.type = 'write_off'")},
       {_sum(unknown)},
       group_concat(DISTINCT t.type) FILTER (WHERE {unknown})
FROM json_each(:ids) wanted
CROSS JOIN loans l ON l.loan_id = wanted.value
LEFT JOIN transactions t
       ON t.loan_pk = l.id AND t.is_reversed = 0
      AND (t.transaction_date <= :as_of OR t.type = 'disbursement')
GROUP BY l.id
ORDER BY l.loan_id, l.id
""",  # noqa: S608
            values,
        )


def _sum(condition: str) -> str:
    # SQLite adds a text up as 0 and then calls the sum a real: that is no answer, not a zero.
    total = f"sum(t.principal_minor) FILTER (WHERE {condition})"
    return f"iif(typeof({total}) = 'real', NULL, coalesce({total}, 0))"


@dataclass(frozen=True, slots=True)
class NoteFilter:
    """The mark of notes for Kiva as a condition of SQL.

    Attributes:
        condition: Goes behind a query over ``notes n`` that has a WHERE already.
        values: What the condition binds.
        prefix: The text that marks a note at its beginning; empty for other marks.
    """

    condition: str
    values: dict[str, str]
    prefix: str = ""

    @classmethod
    def of(cls, mark: NoteMark, columns: set[str]) -> "NoteFilter":
        """The filter of a mark.

        Args:
            mark: From the settings: a column that holds 1, a prefix of the subject or of the
                body, or a category of notes.
            columns: The columns that the table of notes has.

        Raises:
            SettingsError: The column that the mark names is not there.
        """
        if mark.kind == "type":
            return cls(" AND n.category = :mark", {"mark": mark.value})
        if mark.kind == "prefix":
            begins = "substr({}, 1, length(:mark)) = :mark"
            either = f"{begins.format('n.subject')} OR {begins.format('n.body')}"
            return cls(f" AND ({either})", {"mark": mark.value}, mark.value)
        if mark.value not in columns or not re.fullmatch(r"\w+", mark.value):
            raise SettingsError(
                f"journals.mark: the MIS's notes have no column {mark.value}.",
                f"Name one of {', '.join(sorted(columns))}.",
            )
        return cls(f' AND n."{mark.value}" = 1', {})

    def without_prefix(self, text: str) -> str:
        """The text as lenders are to read it."""
        return text.removeprefix(self.prefix).lstrip()
