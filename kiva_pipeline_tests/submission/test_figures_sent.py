"""The newest figure of each loan, whatever months and versions it was sent in."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from kiva_pipeline.submission.figures_sent import last_sent
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.tables import submission

IDS = [f"L{n}" for n in range(6)]
MONTHS = ["2026-07", "2026-08", "2026-09"]
EMPTY = {
    column.name: "" for column in submission.c if not column.nullable and column.name != "id"
}  # fmt: skip
# Of each loan and month, what became of its versions: at Kiva, perhaps at Kiva, or never there.
STATES = st.lists(st.sampled_from(["accepted", "rejected"]), max_size=2).map(tuple)
OPEN = st.sampled_from([(), ("uncertain",), ("held",)])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    story=st.dictionaries(
        st.tuples(st.sampled_from(IDS), st.sampled_from(MONTHS)),
        st.tuples(STATES, OPEN).map(lambda parts: parts[0] + parts[1]),
    ),
    asked=st.sets(st.sampled_from(IDS), min_size=1).map(sorted),
)
def test_each_loan_has_the_newest_figure_that_kiva_has_or_may_have(tmp_path, story, asked):
    url = f"sqlite+pysqlite:///{tmp_path / 'ledger.sqlite'}"
    ledger = Ledger.open(url, environment="sandbox", partner_id="145")
    rows = [
        EMPTY
        | {
            "kind": "repayment", "period": month, "month": month, "business_id": loan_id,
            "version": version, "state": state, "amount": number * 10 + version,
            "currency_digits": 2,
        }
        for number, ((loan_id, month), states) in enumerate(story.items())
        for version, state in enumerate(states, 1)
    ]  # fmt: skip
    with ledger.writing() as connection:
        connection.execute(delete(submission))
        if rows:
            connection.execute(submission.insert(), rows)
    expected = {}
    for row in sorted(rows, key=lambda row: (row["period"], row["version"])):
        if row["state"] in {"accepted", "uncertain"} and row["business_id"] in asked:
            expected[row["business_id"]] = (row["business_id"], row["period"], row["amount"], 2)
    with ledger.reading() as connection:
        whole = last_sent(connection, "repayment", asked, above="", up_to=None)
        part = last_sent(connection, "repayment", asked, above="", up_to=asked[-1])
    ledger.close()
    assert [tuple(row) for row in whole] == [expected[i] for i in asked if i in expected]
    assert [tuple(row) for row in part] == [tuple(row) for row in whole]


def test_a_loan_sent_this_month_is_not_held_against_last_month_when_all_have_last_months(tmp_path):
    url = f"sqlite+pysqlite:///{tmp_path / 'ledger.sqlite'}"
    ledger = Ledger.open(url, environment="sandbox", partner_id="145")
    sent = [(i, "2026-08", 100) for i in IDS] + [(IDS[0], "2026-09", 250)]
    with ledger.writing() as connection:
        connection.execute(
            submission.insert(),
            [
                EMPTY
                | {
                    "kind": "repayment", "period": month, "month": month, "business_id": loan_id,
                    "version": 1, "state": "accepted", "amount": amount, "currency_digits": 2,
                }
                for loan_id, month, amount in sent
            ],
        )  # fmt: skip
    with ledger.reading() as connection:
        newest = last_sent(connection, "repayment", IDS, above="", up_to=None)
    ledger.close()
    assert [row[2] for row in newest] == [250, *[100] * (len(IDS) - 1)]
