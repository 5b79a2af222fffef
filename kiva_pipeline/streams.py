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
from kiva_pipeline.lookups import among
from kiva_pipeline.mis import records
from kiva_pipeline.mis.source import Source
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.periods import Month
from kiva_pipeline.rules.judged import Judged
from kiva_pipeline.rules.repayments import build_repayment_report
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.baselines import group_drafts
from kiva_pipeline.submission.bodies import DraftBodies, JournalBodies, RepaymentBodies
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.month_submission import Submission
from kiva_pipeline.submission.states import ADOPTED, ADOPTED_WAITING

_ADOPTED = {ADOPTED, ADOPTED_WAITING}

# One row for each pair of a loan that Kiva expects and an MIS loan that answers for it (itself, or
# a member of its group). `known` is false where the MIS has no such loan; `group_client` is the
# client id that a group's draft was sent with.
ASKED_BALANCE_COLUMNS = {
    "business_id": "str", "known": "bool", "group_client": "str",
} | records.BALANCE_COLUMNS  # fmt: skip


def group_members(expected: pd.DataFrame, ledger: Ledger, source: Source) -> pd.DataFrame:
    """``group_id, loan_id, client_id``: who makes up each expected group loan.

    The members, and the group's own client id, are those of the draft that Kiva has, frozen in the
    ledger: whoever joins or leaves the group in the MIS later changes no figure. A group that was
    adopted without its members has none here, so it stays missing until somebody names them; for
    one that the ledger doesn't know at all, the MIS says whom it forms today. Kiva's own borrower
    count and price guard the figure.
    """
    ids = expected["internal_loan_id"]
    several = set(ids[expected["borrower_count"] > 1].tolist())
    with ledger.reading() as connection:
        drafts = [
            (row.business_id, json.loads(row.loan_ids), row.client_id, row.reason_code)
            for row in group_drafts(connection, sorted(several))
        ]
    asked = set(ids.tolist()) if drafts else set()
    frozen = [
        (group_id, loan_id, client_id)
        for group_id, loan_ids, client_id, why in drafts
        if group_id in asked and not (why in _ADOPTED and loan_ids == [group_id])
        for loan_id in loan_ids
    ]
    unknown = sorted(several - {group_id for group_id, *_ in drafts})
    of_mis = source.group_members(unknown)[["group_id", "loan_id"]].assign(client_id="")
    both = pd.concat(
        [pd.DataFrame(frozen, columns=["group_id", "loan_id", "client_id"]), of_mis],
        ignore_index=True,
    ).astype("str")
    return both.drop_duplicates(["group_id", "loan_id"]).sort_values(
        ["group_id", "loan_id"], ignore_index=True
    )


def asked_balances(
    source: Source, expected: pd.DataFrame, members: pd.DataFrame, as_of: date
) -> Iterator[pd.DataFrame]:
    """``ASKED_BALANCE_COLUMNS`` in chunks, sorted by ``business_id``, as of the end of a day."""
    formed = members.rename(columns={"group_id": "business_id", "client_id": "group_client"})
    if "group_client" not in formed:
        formed = formed.assign(group_client="")
    for start in range(0, len(expected), CHUNK_ROWS):
        chunk = expected.iloc[start : start + CHUNK_ROWS]
        group = (chunk["borrower_count"] > 1).fillna(value=False)
        if len(formed):
            group |= among(chunk["internal_loan_id"], formed["business_id"])
        single = chunk.loc[~group, "internal_loan_id"]
        asked = pd.DataFrame({"business_id": single, "loan_id": single, "group_client": ""})
        if group.any():
            of_chunk = among(formed["business_id"], chunk.loc[group, "internal_loan_id"])
            asked = pd.concat([asked, formed[of_chunk]], ignore_index=True)
        if group.any() or not asked["loan_id"].is_monotonic_increasing:
            asked = asked.sort_values(["business_id", "loan_id"], kind="stable")
        answered = list(source.balances(sorted(set(asked["loan_id"].tolist())), as_of))
        balances = records.empty_frame(records.BALANCE_COLUMNS)
        if answered:  # judged together: each judgement has a price of its own
            balances = records.canonical_balances(pd.concat(answered, ignore_index=True))
        pairs = _paired(asked, balances)
        yield pairs[list(ASKED_BALANCE_COLUMNS)].astype(ASKED_BALANCE_COLUMNS)


def _paired(asked: pd.DataFrame, balances: pd.DataFrame) -> pd.DataFrame:
    """Each asked loan with its balance, or its balances where the MIS gave more than one."""
    if not balances["loan_id"].is_unique:
        pairs = asked.merge(balances, on="loan_id", how="left", indicator=True)
        known = (pairs["_merge"] == "both").to_numpy()
    else:  # by position, which is far cheaper than a join
        at = pd.Index(balances["loan_id"]).get_indexer(pd.Index(asked["loan_id"]))
        known = at >= 0
        pairs = balances.take(at) if known.all() else balances.reindex(at)
        pairs = pairs.assign(**{name: asked[name].array for name in asked.columns})
    return pairs.assign(known=known, problems=pairs["problems"].fillna(0))


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
            asked[["business_id", "loan_id", "group_client"]].rename(
                columns={"business_id": "group_id", "group_client": "client_id"}
            ),
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
