"""Adoption: a ledger is told what Kiva already has, before it may send anything.

What must not break: everything that Kiva lists or that waits in PA2 becomes ``accepted`` here, so
that no run can take it for new; what it holds is not known, so it is never called changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson
import pandas as pd
import sqlalchemy as sa

from kiva_pipeline.money import ISO_DIGITS, to_minor
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.submission import ledger_writes as writes
from kiva_pipeline.submission.adoption_files import Baseline
from kiva_pipeline.submission.ledger import Ledger, now_text
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.states import State
from kiva_pipeline.submission.tables import event, ledger, submission

ADOPTED = "adopted"


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a ledger is to be told.

    Attributes:
        go_live_on: From this day on this ledger posts; what Kiva has is from before.
        kiva_loans: ``KIVA_LOAN_COLUMNS``, today's.
        waiting_drafts: Ids of drafts that wait in PA2: the API can't show them.
        members: Loan ids of the members of group loans and group drafts, by group id.
        baselines: The last reported figures, where they are known.
        why: The person's reason.
    """

    go_live_on: date
    kiva_loans: pd.DataFrame
    waiting_drafts: Sequence[str] = ()
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    baselines: Sequence[Baseline] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class AdoptionReport:
    """What an adoption changed.

    Attributes:
        loans: Loans of Kiva's list that the ledger did not know.
        drafts: Waiting drafts that it did not know.
        baselines: Figures that it did not know.
        known_already: Ids that it knew.
        groups_without_members: Group loans whose members nobody named: their figures are missing
            until they are adopted with a list of members.
    """

    loans: int
    drafts: int
    baselines: int
    known_already: int
    groups_without_members: tuple[str, ...]


def adopt(book: Ledger, adoption: Adoption, actor: Actor) -> AdoptionReport:
    """Tell the ledger what Kiva has; call it with the sender lock held.

    Adopting again adds what is new (a restored backup, loans posted by hand) and changes nothing
    that the ledger knows.
    """
    loans = adoption.kiva_loans.drop_duplicates("internal_loan_id")
    loans = loans[loans["internal_loan_id"] != ""]
    with book.writing() as connection:
        known = _claimed(connection)
        new_loans = loans[~loans["internal_loan_id"].isin(known)]
        drafts = sorted(set(adoption.waiting_drafts) - known - set(loans["internal_loan_id"]))
        rows = [
            *(_loan_row(loan, adoption) for loan in new_loans.itertuples()),
            *(_draft_row(draft_id, adoption) for draft_id in drafts),
        ]
        _insert(connection, rows, actor)
        _name_members(connection, adoption.members, actor)
        reported = _reported(connection)
        clients = dict(zip(loans["internal_loan_id"], loans["internal_client_id"], strict=True))
        figures = [b for b in adoption.baselines if (b.loan_id, str(b.month)) not in reported]
        _insert(connection, [_figure_row(b, clients.get(b.loan_id, "")) for b in figures], actor)
        connection.execute(
            ledger.update().values(
                adopted_at=sa.func.coalesce(ledger.c.adopted_at, now_text()),
                go_live_on=sa.func.coalesce(ledger.c.go_live_on, adoption.go_live_on.isoformat()),
            )
        )
        connection.execute(
            event.insert().values(
                at=now_text(),
                action=ADOPTED,
                who=actor.who,
                why=f"{adoption.why} ({len(new_loans)} loans, {len(drafts)} drafts,"
                f" {len(figures)} figures)".strip(),
                run_id=actor.run_id,
            )
        )
    several = loans.loc[loans["borrower_count"] > 1, "internal_loan_id"]
    return AdoptionReport(
        loans=len(new_loans),
        drafts=len(drafts),
        baselines=len(figures),
        known_already=len(loans) - len(new_loans),
        groups_without_members=tuple(g for g in several if not adoption.members.get(g)),
    )


def _claimed(connection: sa.Connection) -> set[str]:
    return set(
        connection.execute(
            sa.select(submission.c.business_id).where(
                submission.c.kind == PostKind.LOAN_DRAFT.value,
                submission.c.state.in_([State.ACCEPTED.value, State.UNCERTAIN.value]),
            )
        ).scalars()
    )


def _reported(connection: sa.Connection) -> set[tuple[str, str]]:
    return {
        (row.business_id, row.period)
        for row in connection.execute(
            sa.select(submission.c.business_id, submission.c.period).where(
                submission.c.kind == PostKind.REPAYMENT.value,
                submission.c.state == State.ACCEPTED.value,
            )
        )
    }


def _insert(connection: sa.Connection, rows: Sequence[dict[str, Any]], actor: Actor) -> None:
    """Insert adopted versions; where the ledger holds an unsent one, that one ends."""
    if not rows:
        return
    s = submission.c
    keys = {(row["kind"], row["period"], row["business_id"]) for row in rows}
    versions: dict[tuple[str, str, str], int] = {}
    for found in connection.execute(
        sa.select(s.kind, s.period, s.business_id, sa.func.max(s.version).label("version"))
        .where(s.kind == rows[0]["kind"])
        .group_by(s.kind, s.period, s.business_id)
    ):
        key = (found.kind, found.period, found.business_id)
        if key in keys:
            versions[key] = found.version
    for key in versions:
        connection.execute(
            submission.update()
            .where(
                s.kind == key[0], s.period == key[1], s.business_id == key[2],
                s.state.not_in([State.ACCEPTED.value, State.REJECTED.value]),
            )
            .values(state=State.WITHDRAWN.value, reason_code=ADOPTED, updated_at=now_text())
        )  # fmt: skip
    writes.insert_rows(
        connection,
        [
            row | {"version": versions.get((row["kind"], row["period"], row["business_id"]), 0) + 1}
            for row in rows
        ],
        actor,
    )


_UNKNOWN_CONTENT: dict[str, Any] = {
    "state": State.ACCEPTED.value, "reason_code": ADOPTED, "reasons": "", "payload_hash": "",
    "field_hashes": "", "disbursed": None, "client_ids": "[]", "month": "",
}  # fmt: skip


def _name_members(
    connection: sa.Connection, members: Mapping[str, Sequence[str]], actor: Actor
) -> None:
    """Groups that were adopted without their members, and are given them now."""
    for group_id, loan_ids in members.items():
        connection.execute(
            submission.update()
            .where(
                submission.c.kind == PostKind.LOAN_DRAFT.value,
                submission.c.business_id == group_id,
                submission.c.reason_code == ADOPTED,
                submission.c.loan_ids == _ids([group_id]),
            )
            .values(loan_ids=_ids(loan_ids), run_id=actor.run_id, updated_at=now_text())
        )


def _loan_row(loan: Any, adoption: Adoption) -> dict[str, Any]:  # noqa: ANN401  of itertuples
    loan_id = str(loan.internal_loan_id)
    currency = str(loan.loan_currency)
    digits = ISO_DIGITS.get(currency, 2)
    return _UNKNOWN_CONTENT | {
        "kind": PostKind.LOAN_DRAFT.value,
        "period": "",
        "business_id": loan_id,
        "amount": to_minor(str(loan.loan_local_price), digits),
        "currency": currency,
        "currency_digits": digits,
        "effective_on": "",
        "client_id": str(loan.internal_client_id),
        "loan_ids": _ids(adoption.members.get(loan_id) or [loan_id]),
    }


def _draft_row(draft_id: str, adoption: Adoption) -> dict[str, Any]:
    return _UNKNOWN_CONTENT | {
        "kind": PostKind.LOAN_DRAFT.value,
        "period": "",
        "business_id": draft_id,
        "amount": None,
        "currency": "",
        "currency_digits": None,
        "effective_on": "",
        "client_id": "",
        "loan_ids": _ids(adoption.members.get(draft_id) or [draft_id]),
    }


def _figure_row(baseline: Baseline, client_id: str) -> dict[str, Any]:
    return _UNKNOWN_CONTENT | {
        "kind": PostKind.REPAYMENT.value,
        "period": str(baseline.month),
        "month": str(baseline.month),
        "business_id": baseline.loan_id,
        "amount": baseline.repaid,
        "currency": baseline.currency,
        "currency_digits": baseline.digits,
        "effective_on": baseline.month.last_day.isoformat(),
        "client_id": client_id,
        "loan_ids": _ids([baseline.loan_id]),
    }


def _ids(ids: Sequence[str]) -> str:
    return orjson.dumps(list(ids)).decode()
