"""The SQL that reads the demo MIS: all of it, and the tables and columns that it needs.

What must not break: values are bound, never written into the SQL; and the expressions for a loan's
and a note's day are those of the tables' indexes, else each query reads the whole table.
"""

import re
from dataclasses import dataclass

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.settings import NoteMark

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

_REPAID = "'repayment', 'down_payment'"
_WITHOUT_PRINCIPAL = "'fee', 'penalty', 'interest_waiver'"
_CLASSIFIED = (
    f"{_REPAID}, {_WITHOUT_PRINCIPAL}, 'disbursement', 'chargeback', 'recovery', 'write_off'"
)


def _sum(condition: str) -> str:
    # SQLite adds a text up as 0 and then calls the sum a real: that is no answer, not a zero.
    total = f"sum(t.principal_minor) FILTER (WHERE {condition})"
    return f"iif(typeof({total}) = 'real', NULL, coalesce({total}, 0))"


# The left join keeps a loan without bookings; grouping by the MIS's own key keeps two loans with
# one id apart, so that the rules can say so.
BALANCES = f"""
SELECT l.loan_id, l.client_id, l.currency, l.currency_digits, l.disbursed_on,
       {_sum("t.type = 'disbursement'")},
       {_sum(f"t.type IN ({_REPAID})")},
       {_sum("t.type = 'chargeback'")},
       {_sum("t.type = 'recovery'")},
       {_sum("t.type = 'write_off'")},
       {_sum(f"t.type NOT IN ({_CLASSIFIED})")},
       group_concat(DISTINCT t.type) FILTER (WHERE t.type NOT IN ({_CLASSIFIED}))
FROM json_each(:ids) wanted
CROSS JOIN loans l ON l.loan_id = wanted.value
LEFT JOIN transactions t
       ON t.loan_pk = l.id AND t.transaction_date <= :as_of AND t.is_reversed = 0
GROUP BY l.id
ORDER BY l.loan_id, l.id
"""  # noqa: S608

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
