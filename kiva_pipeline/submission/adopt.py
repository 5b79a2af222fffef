"""Adoption: a ledger is told what Kiva already has, before it may send anything.

What must not break: everything that Kiva lists or that waits in PA2 becomes ``accepted`` here, so
that no run can take it for new; and adopting again adds what is new and changes nothing known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kiva_pipeline.lookups import among
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission import ledger_writes as writes
from kiva_pipeline.submission.adopted_rows import (
    Baseline,
    LoanFacts,
    WaitingDraft,
    draft_row,
    figure_row,
    id_list,
    loan_rows,
)
from kiva_pipeline.submission.attempts import recover_orphans
from kiva_pipeline.submission.conflicts import normalised_id
from kiva_pipeline.submission.ledger import Ledger, now_text
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.lock import sender_lock
from kiva_pipeline.submission.states import (
    ADOPTED,
    ADOPTED_WAITING,
    NEVER_SENT,
    SEEN_AT_KIVA,
    State,
)
from kiva_pipeline.submission.tables import AT_KIVA_CLAUSE, ledger, submission
from kiva_pipeline.submission.witness import trust

_DRAFT, _FIGURE = PostKind.LOAN_DRAFT.value, PostKind.REPAYMENT.value
_NEVER_SENT = frozenset(state.value for state in NEVER_SENT)


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a ledger is to be told.

    Attributes:
        go_live_on: From this day on this ledger posts. Only the first adoption sets it.
        kiva_loans: ``KIVA_LOAN_COLUMNS``, today's.
        waiting_drafts: Drafts that wait in PA2: the API can't show them.
        members: Loan ids of the members of group loans and group drafts, by group id.
        baselines: The last reported figures, where they are known.
        facts: What the MIS says of loans, by loan id, where it was asked.
        why: The person's reason.
    """

    go_live_on: date
    kiva_loans: pd.DataFrame
    waiting_drafts: Sequence[WaitingDraft] = ()
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    baselines: Sequence[Baseline] = ()
    facts: Mapping[str, LoanFacts] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, slots=True)
class AdoptionReport:
    """What an adoption changed, or would change.

    Attributes:
        go_live_on: The day that counts.
        loans: Loans of Kiva's list that the ledger did not know.
        drafts: Waiting drafts that it did not know.
        baselines: Figures that it did not know.
        groups: Groups that it knows with their members now, and did not before.
        known_already: Loans of Kiva's list that it knew.
        settled: Drafts whose answer was lost, and which are at Kiva: they arrived.
        other_figures: Loans whose given figure is not the one that the ledger has for the month;
            the ledger's stands.
        groups_without_members: Group loans whose members nobody named: their figures are missing
            until somebody does.
    """

    go_live_on: str
    loans: int
    drafts: int
    baselines: int
    groups: int
    known_already: int
    settled: int
    other_figures: tuple[str, ...]
    groups_without_members: tuple[str, ...]


def adopt(book: Ledger, adoption: Adoption, actor: Actor, settings: Settings) -> AdoptionReport:
    """Tell the ledger what Kiva has, and make it trusted.

    Raises:
        SenderBusyError: A sender is at work for this partner.
    """
    with sender_lock(
        book, run_id=f"adopt by {actor.who}", wait_seconds=settings.state.wait_for_lock_seconds
    ):
        with book.writing() as connection:
            recover_orphans(connection, actor)
            news = _News.of(connection, adoption)
            _write(connection, adoption, news, actor)
        trust(book, settings.state.folder)
    return news.report


def preview(book: Ledger | None, adoption: Adoption) -> AdoptionReport:
    """What ``adopt`` would change now; None stands for a ledger that is not born yet."""
    if book is None:
        return _News.of(None, adoption).report
    with book.reading() as connection:
        return _News.of(connection, adoption).report


@dataclass(frozen=True, slots=True)
class _News:
    """What the ledger does not know yet."""

    loans: pd.DataFrame
    drafts: list[WaitingDraft]
    baselines: list[Baseline]
    groups: dict[int, Sequence[str]]  # members by the id of the row that lacks them
    settled: dict[int, str]  # the reason by the id of the row in doubt
    known: "_Known"
    report: AdoptionReport

    @classmethod
    def of(cls, connection: Connection | None, adoption: Adoption) -> "_News":
        known = _Known.of(connection)
        listed = _listed(adoption.kiva_loans)
        keys = [normalised_id(loan_id) for loan_id in listed["internal_loan_id"]]
        is_new = ~among(pd.Series(keys, index=listed.index, dtype="str"), known.claimed)
        at_kiva = set(keys)
        waiting = {normalised_id(d.loan_id): d for d in adoption.waiting_drafts}
        drafts = [d for k, d in waiting.items() if k not in known.claimed and k not in at_kiva]
        baselines = [b for b in adoption.baselines if (b.loan_id, str(b.month)) not in known.sent]
        groups = {
            known.without_members[group]: ids
            for group, ids in adoption.members.items()
            if group in known.without_members
        }
        settled = {
            row_id: SEEN_AT_KIVA if key in at_kiva else ADOPTED_WAITING
            for key, row_id in known.in_doubt.items()
            if key in at_kiva or key in waiting
        }
        new_ids = {*listed.loc[is_new, "internal_loan_id"], *(draft.loan_id for draft in drafts)}
        several = listed.loc[listed["borrower_count"].fillna(1) > 1, "internal_loan_id"]
        has_members = known.with_members | set(adoption.members)
        report = AdoptionReport(
            go_live_on=known.go_live_on or adoption.go_live_on.isoformat(),
            loans=int(is_new.sum()),
            drafts=len(drafts),
            baselines=len(baselines),
            groups=len(groups) + len(new_ids & adoption.members.keys()),
            known_already=int((~is_new).sum()),
            settled=len(settled),
            other_figures=tuple(
                b.loan_id
                for b in adoption.baselines
                if known.sent.get((b.loan_id, str(b.month)), b.repaid) != b.repaid
            ),
            groups_without_members=tuple(g for g in several if g not in has_members),
        )
        return cls(listed[is_new], drafts, baselines, groups, settled, known, report)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger knows already.

    Attributes:
        claimed: Normalised ids of the drafts that Kiva has or may have.
        in_doubt: The row of a draft whose answer was lost, by its normalised id.
        sent: The amount of each figure that Kiva has or may have, by loan and month.
        without_members: The row of a group that was adopted without members, by its id.
        with_members: Drafts with members of their own.
        go_live_on: As the first adoption set it.
    """

    claimed: set[str]
    in_doubt: dict[str, int]
    sent: dict[tuple[str, str], int | None]
    without_members: dict[str, int]
    with_members: set[str]
    go_live_on: str

    @classmethod
    def of(cls, connection: Connection | None) -> "_Known":
        known = cls(set(), {}, {}, {}, set(), "")
        if connection is None:
            return known
        s = submission.c
        at_kiva = sa.text(AT_KIVA_CLAUSE)
        for row in connection.execute(
            sa.select(s.id, s.business_id, s.state, s.reason_code, s.loan_ids)
            .where(s.kind == _DRAFT, at_kiva)
            .order_by(s.business_id, s.version)
        ):
            key = normalised_id(row.business_id)
            known.claimed.add(key)
            if row.state == State.UNCERTAIN.value:
                known.in_doubt[key] = row.id
            alone = row.loan_ids == id_list([row.business_id])
            if alone and row.reason_code in {ADOPTED, ADOPTED_WAITING}:
                known.without_members[row.business_id] = row.id
            elif not alone:
                known.with_members.add(row.business_id)
        for figure in connection.execute(
            sa.select(s.business_id, s.period, s.amount)
            .where(s.kind == _FIGURE, at_kiva)
            .order_by(s.business_id, s.period, s.version)
        ):
            known.sent[figure.business_id, figure.period] = figure.amount
        card = connection.execute(sa.select(ledger)).one()
        return cls(known.claimed, known.in_doubt, known.sent, known.without_members,
                   known.with_members, card.go_live_on or "")  # fmt: skip


def _listed(kiva_loans: pd.DataFrame) -> pd.DataFrame:
    """Kiva's loans that have an id of ours, each once, the id as the rules write it."""
    ids = kiva_loans["internal_loan_id"].str.normalize("NFC").str.strip()
    named = kiva_loans.assign(internal_loan_id=ids)
    return named[ids != ""].drop_duplicates("internal_loan_id")


def _write(connection: Connection, adoption: Adoption, news: _News, actor: Actor) -> None:
    for reason_code in (SEEN_AT_KIVA, ADOPTED_WAITING):
        ids = [row_id for row_id, code in news.settled.items() if code == reason_code]
        writes.settle_by_evidence(connection, ids, reason_code, actor)
    drafts = [
        *loan_rows(news.loans, adoption.members, adoption.facts),
        *(draft_row(draft, adoption.members) for draft in news.drafts),
    ]
    _insert(connection, _DRAFT, drafts, actor)
    _name_members(connection, news.groups, actor)
    listed = _listed(adoption.kiva_loans)
    clients = dict(zip(listed["internal_loan_id"], listed["internal_client_id"], strict=True))
    figures = [figure_row(b, clients.get(b.loan_id, "")) for b in news.baselines]
    _insert(connection, _FIGURE, figures, actor)
    connection.execute(
        ledger.update().values(
            adopted_at=sa.func.coalesce(ledger.c.adopted_at, now_text()),
            go_live_on=sa.func.coalesce(ledger.c.go_live_on, adoption.go_live_on.isoformat()),
        )
    )
    told = news.report
    writes.note(
        connection,
        [
            {
                "at": now_text(), "action": ADOPTED, "who": actor.who, "run_id": actor.run_id,
                "why": f"{adoption.why} ({told.loans} loans, {told.drafts} drafts,"
                f" {told.baselines} figures, {told.settled} settled)".strip(),
            }
        ],
    )  # fmt: skip


def _insert(
    connection: Connection, kind: str, rows: Sequence[dict[str, Any]], actor: Actor
) -> None:
    """Insert adopted versions; a version that was decided and never sent ends before."""
    if not rows:
        return
    s = submission.c
    wanted = {(row["period"], row["business_id"]) for row in rows}
    versions: dict[tuple[str, str], int] = {}
    ended: list[int] = []
    for row in connection.execute(
        sa.select(s.id, s.period, s.business_id, s.version, s.state)
        .where(s.kind == kind, s.period.in_({period for period, _ in wanted}))
        .order_by(s.business_id, s.version)
    ):
        if (row.period, row.business_id) in wanted:
            versions[row.period, row.business_id] = row.version
            if row.state in _NEVER_SENT:
                ended.append(row.id)
    for ids in writes.pieces(ended):
        writes.end_versions(connection, s.id.in_(ids), ADOPTED, actor)
    writes.insert_rows(
        connection,
        [
            row | {"version": versions.get((row["period"], row["business_id"]), 0) + 1}
            for row in rows
        ],
        actor,
    )


def _name_members(
    connection: Connection, groups: Mapping[int, Sequence[str]], actor: Actor
) -> None:
    """Groups that were adopted without their members, and are given them now."""
    if not groups:
        return
    this = submission.c.id == sa.bindparam("row_id")
    each = [{"row_id": row_id} for row_id in groups]
    writes.note_rows(
        connection, this, "members named", submission.c.state, ADOPTED, actor, each=each
    )
    connection.execute(
        submission.update().where(this).values(
            loan_ids=sa.bindparam("members"), run_id=actor.run_id, updated_at=now_text()
        ),
        [{"row_id": row_id, "members": id_list(ids)} for row_id, ids in groups.items()],
    )  # fmt: skip
