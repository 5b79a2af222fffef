"""The steps of each stream, for the assets and the command line alike.

Each function takes what the step before made and gives what the next one needs; none knows
Dagster. What must not break: balances are asked for by the loans that Kiva expects, never by the
tag in the MIS, and a loan that the MIS can't answer for stays visible as one.
"""

import json
from collections.abc import Callable, Iterator
from datetime import date

import pandas as pd

from kiva_pipeline.frames import CHUNK_ROWS, StoredFrame
from kiva_pipeline.mis import records
from kiva_pipeline.mis.source import Source
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.partner_api.records import EXPECTED_STATUSES
from kiva_pipeline.periods import Month
from kiva_pipeline.rules.judged import Judged
from kiva_pipeline.rules.repayments import build_repayment_report
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.bodies import DraftBodies, JournalBodies, RepaymentBodies
from kiva_pipeline.submission.ledger import Ledger, draft_members
from kiva_pipeline.submission.month_submission import Submission

# One row for each pair of a loan that Kiva expects and an MIS loan that answers for it (itself, or
# a member of its group). `known` is false where the MIS has no such loan.
ASKED_BALANCE_COLUMNS = {"business_id": "str", "known": "bool"} | records.BALANCE_COLUMNS


def expected_loans(kiva_loans: pd.DataFrame) -> pd.DataFrame:
    """The loans that Kiva expects in a report, sorted by ``internal_loan_id`` (code points)."""
    expected = kiva_loans[kiva_loans["status"].isin(EXPECTED_STATUSES)]
    return expected.sort_values("internal_loan_id", ignore_index=True)


def expected_in(month: Month, kiva_loans: pd.DataFrame, today: date) -> pd.DataFrame:
    """The loans that the month's report answers for; none while the month is not over."""
    expected = expected_loans(kiva_loans)
    return expected.iloc[:0] if month.last_day >= today else expected


def group_members(expected: pd.DataFrame, ledger: Ledger, source: Source) -> pd.DataFrame:
    """``group_id, loan_id``: who makes up each expected group loan.

    The members are those of the draft, frozen in the ledger; for a group that this ledger never
    posted, those that the MIS forms today. Kiva's own borrower count and price guard the figure.
    """
    groups = set(expected.loc[expected["borrower_count"] > 1, "internal_loan_id"])
    with ledger.reading() as connection:
        drafts = pd.DataFrame.from_records(
            [(row.business_id, row.loan_ids) for row in draft_members(connection)],
            columns=["group_id", "loan_ids"],
        )
    frozen = drafts[drafts["group_id"].isin(groups)].drop_duplicates("group_id", keep="last")
    frozen = frozen.assign(loan_id=frozen["loan_ids"].map(json.loads)).explode("loan_id")[
        ["group_id", "loan_id"]
    ]
    unknown = sorted(groups - set(frozen["group_id"]))
    of_mis = source.group_members(unknown)[["group_id", "loan_id"]]
    both = pd.concat([frozen, of_mis], ignore_index=True).astype("str")
    return both.drop_duplicates().sort_values(["group_id", "loan_id"], ignore_index=True)


def asked_balances(
    source: Source, expected: pd.DataFrame, members: pd.DataFrame, as_of: date
) -> Iterator[pd.DataFrame]:
    """``ASKED_BALANCE_COLUMNS`` in chunks, sorted by ``business_id``, as of the end of a day."""
    for start in range(0, len(expected), CHUNK_ROWS):
        chunk = expected.iloc[start : start + CHUNK_ROWS]
        group = chunk["borrower_count"] > 1
        single = chunk.loc[~group, "internal_loan_id"]
        asked = pd.concat(
            [
                pd.DataFrame({"business_id": single, "loan_id": single}),
                members[members["group_id"].isin(chunk.loc[group, "internal_loan_id"])].rename(
                    columns={"group_id": "business_id"}
                ),
            ],
            ignore_index=True,
        )
        ids = sorted(set(asked["loan_id"]))
        answered = [records.canonical_balances(raw) for raw in source.balances(ids, as_of)]
        balances = pd.concat([records.empty_frame(records.BALANCE_COLUMNS), *answered])
        pairs = asked.merge(balances, on="loan_id", how="left", indicator=True)
        pairs["known"] = pairs.pop("_merge") == "both"
        pairs["problems"] = pairs["problems"].fillna(0)
        pairs = pairs.sort_values(["business_id", "loan_id"], kind="stable", ignore_index=True)
        yield pairs[list(ASKED_BALANCE_COLUMNS)].astype(ASKED_BALANCE_COLUMNS)


def repayment_report(
    balances: StoredFrame, expected: pd.DataFrame, settings: Settings, month: Month
) -> Iterator[Judged]:
    """The report of a month in chunks: a row for each expected loan, in the order of their ids."""
    pieces = _by_range(balances)
    for start in range(0, len(expected), CHUNK_ROWS):
        chunk = expected.iloc[start : start + CHUNK_ROWS].reset_index(drop=True)
        asked = pieces(chunk["internal_loan_id"].iloc[-1])
        known = asked["known"]
        yield build_repayment_report(
            asked.loc[known, list(records.BALANCE_COLUMNS)].drop_duplicates("loan_id"),
            chunk,
            asked[["business_id", "loan_id"]].rename(columns={"business_id": "group_id"}),
            settings=settings,
            month=month,
        )


def _by_range(stored: StoredFrame) -> Callable[[str], pd.DataFrame]:
    """Reads a frame that is sorted by ``business_id`` up to one id after the other."""
    chunks = stored.chunks()
    held = records.empty_frame(ASKED_BALANCE_COLUMNS)

    def up_to(last: str) -> pd.DataFrame:
        nonlocal held
        while held.empty or held["business_id"].iloc[-1] <= last:
            chunk = next(chunks, None)
            if chunk is None:
                break
            held = pd.concat([held, chunk], ignore_index=True)
        inside = held["business_id"] <= last
        taken, held = held[inside], held[~inside]
        return taken

    return up_to


def draft_submission(
    month: Month, rows: StoredFrame, source: Source, kiva_loans: Callable[[], pd.DataFrame]
) -> Submission:
    """The loan drafts of a month, ready to be planned and sent."""
    columns = ["business_id", "payload", "photo_ref", "photo_mime", "photo_sha256"]
    frame = rows.read(columns)
    payloads = {row[0]: row[1:] for row in frame.itertuples(index=False, name=None)}
    bodies = DraftBodies(payloads, source.photo)
    return Submission(PostKind.LOAN_DRAFT, month, rows, bodies, kiva_loans)


def report_submission(
    month: Month, rows: StoredFrame, settings: Settings, kiva_loans: Callable[[], pd.DataFrame]
) -> Submission:
    """The repayment report of a month, ready to be planned and sent."""
    bodies = RepaymentBodies(settings.repayments)
    return Submission(PostKind.REPAYMENT, month, rows, bodies, kiva_loans)


def journal_submission(
    month: Month, rows: StoredFrame, settings: Settings, kiva_loans: Callable[[], pd.DataFrame]
) -> Submission:
    """The journals of a month, ready to be planned and sent."""
    frame = rows.read(["business_id", "payload"])
    payloads = dict(frame.itertuples(index=False, name=None))
    bodies = JournalBodies(payloads, settings.journals)
    return Submission(PostKind.JOURNAL, month, rows, bodies, kiva_loans)
