"""The planner: what should be at Kiva, against what the ledger knows; one decision a row.

Pure: frames in, a frame out; no database, no clock, no Dagster. What must not break: only a row
that is good and new (or, for a repayment, good and different in the month that is open) is planned,
and what is uncertain stays so until there is evidence.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kiva_pipeline.lookups import among, beside
from kiva_pipeline.periods import Month, Phase
from kiva_pipeline.submission.conflicts import claimed_elsewhere, listed_at_kiva, members_of
from kiva_pipeline.submission.crosscheck import not_as_adopted, possible_copies
from kiva_pipeline.submission.plan_reasons import with_reasons
from kiva_pipeline.submission.report_guards import guard_facts, suspicions
from kiva_pipeline.submission.states import (
    ADOPTED,
    MONTH_HELD,
    NEVER_SENT,
    NOT_THERE,
    NOT_THERE_LISTED,
    RESENT,
    RETRY_ASKED,
    State,
)

# What the ledger has to do for a decision. A case of the planner leaves it to `_write` (None), has
# it CHANGE an open version that was never sent but add none, or does NOTHING.
INSERT, UPDATE, EVIDENCE, NOTHING = "insert", "update", "evidence", ""
_CHANGE = "change"

PLAN_COLUMNS = {
    "business_id": "str",
    "decision": "str",
    "reason_code": "str",
    "reasons": "str",
    "mis_rows": "int64",
    "amount": "Int64",
    "disbursed": "Int64",
    "currency": "str",
    "currency_digits": "Int64",
    "effective_on": "str",
    "client_id": "str",
    "loan_ids": "str",
    "client_ids": "str",
    "payload_hash": "str",
    "field_hashes": "str",
    "write": "str",
    "open_id": "Int64",
    "open_state": "str",
    "version": "int64",
    "suspicion": "str",  # why the row counts against its month (``report_guards``); "" if not
}

NO_APPROVALS = pd.DataFrame({"business_id": [], "payload_hash": []}, dtype="str")


@dataclass(frozen=True, slots=True)
class ReportTerms:
    """What the planner of reports must know beside the frames.

    Attributes:
        month: The report's month.
        phase: Whether it may be posted today.
        refused_since: The instant (as the ledger writes it) since when a refusal counts as
            today's: a refused figure goes again at most once a day.
        replaces: The partner has confirmed that a later upload replaces an earlier one.
        hold_jump_above: The share of the principal that a figure may rise by in one month.
        leap_above: The same for a figure that counts against the month as a whole.
        month_held: Why nothing of the month may go but what a person approved; "" if it may.
    """

    month: Month
    phase: Phase
    refused_since: str
    replaces: bool
    hold_jump_above: float
    leap_above: float = 1.0
    month_held: str = ""


def plan_creates(
    wanted: pd.DataFrame,
    known: pd.DataFrame,
    *,
    month: Month,
    kiva_ids: frozenset[str],
    claims: pd.DataFrame | None,
    kiva_loans: pd.DataFrame | None = None,
    approvals: pd.DataFrame = NO_APPROVALS,
) -> pd.DataFrame:
    """Decide loan drafts or journals of a month.

    Args:
        wanted: ``DRAFT_COLUMNS`` or ``JOURNAL_COLUMNS``, unique by ``business_id``.
        known: ``known_frame`` of these ids and of all that the month's partition decided before.
        month: The partition that is planned.
        kiva_ids: Normalised loan ids that ``GET /loans`` lists today; empty for journals.
        claims: ``CLAIM_COLUMNS`` of every draft that is open or accepted; None for journals, of
            which a loan may have many.
        kiva_loans: ``KIVA_LOAN_COLUMNS`` of today, for drafts.
        approvals: ``business_id, payload_hash`` of the held drafts that a person approved.

    Returns:
        ``PLAN_COLUMNS``: one row for each id in either frame, except those that never got
        anywhere and that the MIS no longer has.
    """
    m = _side_by_side(wanted, known)
    in_mis, good = m["state"].notna(), m["state"] == "good"
    sent, opened = m["sent_hash"].notna(), m["open_state"].notna()
    same = sent & (m["payload_hash"] == m["sent_hash"]) & (m["payload_hash"] != "")
    # What was in an adopted draft is not known, so it is never called changed.
    adopted = sent & (m["sent_hash"] == "")
    uncertain = m["open_state"] == State.UNCERTAIN.value
    listed, at_kiva = listed_at_kiva(m, kiva_ids)
    refused = (m["refused_hash"] == m["payload_hash"]) & in_mis
    refused_last = refused & (m["last_state"] == State.REJECTED.value)
    asked_for = m["refused_reason"] == RETRY_ASKED
    denied = m["last_reason"].isin([NOT_THERE, NOT_THERE_LISTED])
    elsewhere = m["last_month"] != str(month)
    planned_before = m["open_reason"].where(m["open_state"] == State.PLANNED.value)
    changed_since = twice = pd.Series(data=False, index=m.index)
    m["shared_loan"] = m["other_id"] = ""
    if claims is not None and kiva_loans is not None:
        # What this plan may still change has no claim but the one that this plan gives it.
        free = m.loc[m["open_state"].isin(_NEVER_SENT) & ~at_kiva, "business_id"]
        others = claims[~among(claims["business_id"], free)]
        new = m[good & ~sent & ~at_kiva]
        m["shared_loan"] = claimed_elsewhere(new, m, members_of(others))
        twice = claimed_elsewhere(new, m, members_of(others.iloc[:0])) != ""
        copies = possible_copies(new, others, kiva_loans)
        m["other_id"] = copies.reindex(m.index).fillna("")
        changed_since = adopted & good & not_as_adopted(m)
    approved = _approved(m, approvals)
    forgotten = ~in_mis & ~sent & ~opened & (m["last_state"] != State.REJECTED.value)
    cases: list[tuple[pd.Series, State | None, str | None, str | None]] = [
        (m["open_state"] == State.IN_FLIGHT.value, State.IN_FLIGHT, "still_uncertain", NOTHING),
        (uncertain & listed, State.ACCEPTED, "seen_at_kiva", EVIDENCE),
        (uncertain, State.UNCERTAIN, "still_uncertain", NOTHING),
        # Another month's partition has it now: that one keeps the open version up to date.
        (~in_mis & sent & elsewhere, State.NEEDS_PERSON, "accepted_then_gone", NOTHING),
        (~in_mis & sent, State.NEEDS_PERSON, "accepted_then_gone", None),
        (~in_mis & opened, State.WITHDRAWN, "gone", UPDATE),
        (~in_mis, State.WITHDRAWN, "gone", NOTHING),
        (same, State.UNCHANGED, "same", None),
        (changed_since, State.NEEDS_PERSON, "accepted_then_changed", None),
        (adopted, State.ALREADY_AT_KIVA, ADOPTED, NOTHING),
        (sent & good, State.NEEDS_PERSON, "accepted_then_changed", None),
        (sent, State.NEEDS_PERSON, "accepted_then_invalid", None),
        (listed & denied, State.ALREADY_AT_KIVA, NOT_THERE_LISTED, None),
        (at_kiva, State.ALREADY_AT_KIVA, "already_at_kiva", None),
        (~good, None, None, None),
        (refused_last & ~asked_for, State.REJECTED, "refused_before", NOTHING),
        # Something else was decided since: the newest version says again that it was refused, which
        # is what `retry` looks for.
        (refused & ~asked_for, State.REJECTED, "refused_before", None),
        (twice, State.HELD, "member_in_two_drafts", None),
        ((m["shared_loan"] != "") & ~approved, State.HELD, "member_in_other_draft", None),
        ((m["other_id"] != "") & ~approved, State.HELD, "may_be_at_kiva", None),
        # A run that ended before its turn came changes nothing about why it is to go.
        *((planned_before == why, State.PLANNED, why, None) for why in _WHY_PLANNED),
        (refused, State.PLANNED, "retried", None),
        (m["last_version"].isna(), State.PLANNED, "new", None),
        (m["last_reason"] == NOT_THERE, State.PLANNED, "not_there_before", None),
        (m["open_state"] == State.DEFERRED.value, State.PLANNED, "waited", None),
    ]
    return _decided(m, cases, otherwise="corrected")[~forgotten.to_numpy()]


def plan_reports(
    wanted: pd.DataFrame,
    known: pd.DataFrame,
    last_sent: pd.DataFrame,
    terms: ReportTerms,
    approvals: pd.DataFrame = NO_APPROVALS,
) -> pd.DataFrame:
    """Decide one chunk of a month's repayment report.

    Args:
        wanted: ``REPORT_COLUMNS``: a row for each loan that Kiva expects, unique by
            ``business_id``; amounts are cumulative principal repaid.
        known: ``known_frame`` of this month's ledger rows in the chunk's range of ids.
        last_sent: ``business_id, period, amount, digits`` of the newest figure of each loan that
            Kiva has, or may have; of a loan that this ledger posted and never reported, 0 in the
            period "". A loan without a row has no baseline.
        terms: The month, its phase and the guards.
        approvals: ``business_id, payload_hash`` of the month's figures that a person approved.

    Returns:
        ``PLAN_COLUMNS``: one row for each id in ``wanted`` or ``known``.
    """
    m = _side_by_side(wanted, known)
    newest = {"period": "newest_period", "amount": "newest_amount", "digits": "newest_digits"}
    m = beside(m, last_sent.rename(columns=newest), "business_id")
    expected, good = m["state"].notna(), m["state"] == "good"
    figure = m["state"].isin(["good", "held"])
    facts = guard_facts(m, jump_above=terms.hold_jump_above, leap_above=terms.leap_above)
    approved = _approved(m, approvals)
    sent = m["sent_hash"].notna()
    same = sent & (m["payload_hash"] == m["sent_hash"]) & (m["payload_hash"] != "")
    # Of an adopted figure only the amount is known.
    same |= (
        (m["sent_hash"] == "")
        & figure
        & (m["amount"] == m["sent_amount"])
        & (m["currency_digits"] == m["newest_digits"])
    )
    uncertain = (m["open_state"] == State.UNCERTAIN.value) | (
        (m["open_state"] == State.PLANNED.value) & (m["open_reason"] == RESENT)
    )
    again = uncertain & good & (m["open_hash"] == m["payload_hash"]) & terms.replaces
    is_open, closed = terms.phase is Phase.OPEN, terms.phase is Phase.CLOSED
    gone = ~m["still_expected"].fillna(value=True).astype(bool)
    refused_today = (
        (m["refused_hash"] == m["payload_hash"])
        & (m["refused_at"].astype("str") >= terms.refused_since)
        & (m["refused_reason"] != RETRY_ASKED)
        & good
    )
    newer = (m["newest_period"] > str(terms.month)).fillna(value=False)
    held_month = bool(terms.month_held)
    everywhere = pd.Series(data=True, index=m.index)
    # A month that is final is recomputed and compared; a row enters the ledger only where
    # something was sent, so that a backfill of old months leaves no trace of what can't be done.
    cases: list[tuple[pd.Series, State | None, str | None, str | None]] = [
        (m["open_state"] == State.IN_FLIGHT.value, State.IN_FLIGHT, "still_uncertain", NOTHING),
        (again & is_open & ~newer & (not held_month), State.PLANNED, RESENT, UPDATE),
        (uncertain, State.UNCERTAIN, "still_uncertain", _CHANGE),
        (~expected, State.NOT_EXPECTED, "no_longer_expected", _CHANGE),
        (gone & is_open, State.NOT_EXPECTED, "left_meanwhile", _CHANGE),
        (same, State.UNCHANGED, "same", None),
        (~figure, None, None, None if is_open else _CHANGE),
        (everywhere & (not (is_open or closed)), State.DEFERRED, "month_not_open_yet", _CHANGE),
        (sent & gone & closed, State.NEEDS_PERSON, "month_closed_not_expected", None),
        (sent & closed, State.CARRIED_FORWARD, "month_closed", None),
        (gone & closed, State.NEEDS_PERSON, "month_closed_not_expected", _CHANGE),
        (everywhere & closed, State.CARRIED_FORWARD, "month_closed", _CHANGE),
        (newer, State.CARRIED_FORWARD, "newer_sent", _CHANGE),
        (~good, None, None, None),
        (refused_today, State.REJECTED, "refused_today", NOTHING),
        (approved, State.PLANNED, "approved", None),
        (everywhere & facts.first, State.HELD, "first_report_without_baseline", None),
        (everywhere & facts.lower, State.HELD, "lower_than_sent", None),
        (everywhere & facts.jump, State.HELD, "jump", None),
        (everywhere & held_month, State.HELD, MONTH_HELD, None),
        (sent, State.PLANNED, "changed", None),
    ]
    plan = _decided(m, cases, otherwise="new", why_held=terms.month_held)
    if is_open:
        waits = plan["decision"].isin([State.HELD.value, State.NEEDS_PERSON.value])
        goes = (plan["decision"] == State.PLANNED.value) & (plan["reason_code"] != RESENT)
        plan["suspicion"] = suspicions(
            facts,
            missing=(plan["decision"] == State.MISSING.value).to_numpy(dtype=bool),
            figure=(waits | goes).to_numpy(dtype=bool),
            approved=approved.to_numpy(dtype=bool),
        )
    return plan


def _approved(m: pd.DataFrame, approvals: pd.DataFrame) -> "pd.Series[bool]":
    if approvals.empty:
        return pd.Series(data=False, index=m.index)
    asked = pd.MultiIndex.from_frame(m[["business_id", "payload_hash"]].fillna("-"))
    given = pd.MultiIndex.from_frame(approvals[["business_id", "payload_hash"]])
    return pd.Series(asked.isin(given), index=m.index)


def _side_by_side(wanted: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    m = beside(wanted, known, "business_id")
    gone = known[~among(known["business_id"], wanted["business_id"])]
    if not gone.empty:
        m = pd.concat([m, gone], ignore_index=True).sort_values("business_id", ignore_index=True)
    for column in ("disbursed", "field_hashes", "client_ids"):
        if column not in m:
            m[column] = None
    if "still_expected" not in m:
        m["still_expected"] = True
    return m


def _decided(
    m: pd.DataFrame,
    cases: list[tuple["pd.Series[bool]", State | None, str | None, str | None]],
    otherwise: str,
    why_held: str = "",
) -> pd.DataFrame:
    """The first case that holds decides; None stands for what the rules said of the row."""
    hits = [case.fillna(value=False).to_numpy(dtype=bool) for case, *_ in cases]
    of_rules = m["state"].replace("good", State.PLANNED.value).fillna("").to_numpy(dtype=object)
    code_of_rules = m["reason_code"].fillna("").to_numpy(dtype=object)
    decision = np.select(
        hits, [of_rules if s is None else s.value for _, s, _, _ in cases], State.PLANNED.value
    )
    code = np.select(hits, [code_of_rules if c is None else c for _, _, c, _ in cases], otherwise)
    write = np.select(hits, ["auto" if w is None else w for *_, w in cases], "auto")
    plan = m.assign(decision=decision, ruled_code=m["reason_code"], reason_code=code, write=write)
    plan["mis_rows"] = m["mis_rows"].fillna(0).astype("int64")
    for column, last in (
        ("amount", "last_amount"),
        ("currency", "last_currency"),
        ("currency_digits", "last_digits"),
    ):
        plan[column] = m[column].where(m["state"].notna(), m[last])
    plan["effective_on"] = _iso_days(m["effective_on"])
    plan = with_reasons(plan, {MONTH_HELD: why_held})
    plan["suspicion"] = ""
    plan["write"] = _write(plan)
    adds = (plan["write"] == INSERT).astype("int64")
    plan["version"] = m["last_version"].fillna(0).astype("int64") + adds
    texts = {name for name, kind in PLAN_COLUMNS.items() if kind == "str"}
    plan = plan.fillna(dict.fromkeys(texts, ""))
    return plan[list(PLAN_COLUMNS)].astype(PLAN_COLUMNS)


def _iso_days(days: "pd.Series[pd.Timestamp]") -> "pd.Series[str]":
    """Days as text, "" for none; a month has few of them, and each is written once."""
    codes, distinct = pd.factorize(days)
    told = np.array([*pd.Series(distinct).dt.strftime("%Y-%m-%d").tolist(), ""], dtype=object)
    return pd.Series(told[codes], index=days.index, dtype="str")


def _write(plan: pd.DataFrame) -> np.ndarray:
    """What "auto" means: add a version, change the open one, or nothing when nothing is new."""
    can_change = plan["open_state"].isin(_NEVER_SENT)
    unchanged = plan["decision"] == State.UNCHANGED.value
    as_it_is = (
        (plan["open_state"] == plan["decision"])
        & ((plan["open_hash"] == plan["payload_hash"]) | plan["state"].isna())
        & (plan["open_reason"] == plan["reason_code"])
        & (plan["open_reasons"] == plan["reasons"])
        & (plan["decision"] != State.PLANNED.value)
    )
    automatic = np.select(
        [unchanged & can_change, unchanged | as_it_is, can_change],
        [UPDATE, NOTHING, UPDATE],
        INSERT,
    )
    adds_none = (plan["write"] == _CHANGE) & (automatic == INSERT)
    automatic = np.where(adds_none, NOTHING, automatic)
    return np.where(plan["write"].isin(["auto", _CHANGE]), automatic, plan["write"])


_NEVER_SENT = [state.value for state in NEVER_SENT]
_WHY_PLANNED = ["new", "retried", "not_there_before", "waited"]
