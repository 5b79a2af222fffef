"""Limits on what one run may send: what is over waits for the next one. Pure.

What must not break: a limit only ever defers. What is in doubt stays in doubt, money is compared
exactly, and a row that is above a limit by itself never keeps those behind it from going.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import pandas as pd

from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.settings_limits import Limits
from kiva_pipeline.submission.plan import NOTHING, UPDATE
from kiva_pipeline.submission.reason_json import reason
from kiva_pipeline.submission.states import RESENT, State

ROWS, MONEY, DRAFTS = "limit_rows_per_run", "limit_money_per_run", "limit_drafts_per_day"
LIMIT_REASONS = (ROWS, MONEY, DRAFTS, "limit_reached")


@dataclass(slots=True)
class RunLimits:
    """What a run of one stream may still send; it is used up chunk by chunk.

    Attributes:
        rows: Rows that may still go; None for no limit.
        drafts: Drafts that may still be made today; None for no limit.
        money: By currency, major units that may still go; a currency without one has no limit.
        told: By reason code, what the sentence adds.
        whole: By currency, the limit as it was set.
    """

    rows: int | None = None
    drafts: int | None = None
    money: dict[str, Decimal] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    whole: Mapping[str, Decimal] = field(default_factory=dict)

    @classmethod
    def of(cls, limits: Limits, kind: PostKind, drafts_today: int) -> "RunLimits":
        """The limits of a kind of effect.

        Args:
            limits: The partner's.
            kind: What is sent.
            drafts_today: Drafts that were made, or may have been, on the partner's day so far.
        """
        rows = {
            PostKind.LOAN_DRAFT: limits.rows_per_run.loan_drafts,
            PostKind.REPAYMENT: limits.rows_per_run.repayments,
            PostKind.JOURNAL: limits.rows_per_run.journals,
        }[kind]
        money = {
            PostKind.LOAN_DRAFT: limits.money_per_run.loan_drafts,
            PostKind.REPAYMENT: limits.money_per_run.repayments,
        }.get(kind, {})
        daily = limits.drafts_per_day if kind is PostKind.LOAN_DRAFT else None
        told = {ROWS: f"limit {rows}"}
        if daily is not None:
            told[DRAFTS] = f"limit {daily} a day, {drafts_today} made today before this run"
        return cls(
            rows=rows,
            drafts=None if daily is None else max(daily - drafts_today, 0),
            money=dict(money),
            told=told,
            whole=money,
        )

    @property
    def any(self) -> bool:
        """Whether there is anything to look after."""
        return self.rows is not None or self.drafts is not None or bool(self.money)

    def within(self, plan: pd.DataFrame) -> pd.DataFrame:
        """A chunk of ``PLAN_COLUMNS`` in, the same with what is over the limits deferred.

        Those whose day comes first go first: a loan's thirty days run from its disbursal.
        """
        planned = plan[plan["decision"] == State.PLANNED.value]
        if not self.any or planned.empty:
            return plan
        waiting = planned.sort_values(["effective_on", "business_id"], kind="stable")
        over: dict[str, pd.Index] = {}
        over[MONEY] = self._over_money(waiting)
        waiting = waiting.drop(over[MONEY])
        for code, left in ((ROWS, self.rows), (DRAFTS, self.drafts)):
            over[code] = waiting.index[left:] if left is not None else waiting.index[:0]
            waiting = waiting.drop(over[code])
        self._use_up(waiting)
        return self._deferred(plan.copy(), over)

    def _over_money(self, waiting: pd.DataFrame) -> pd.Index:
        over = [waiting.index[:0]]
        for (currency, digits), rows in self._by_money(waiting):
            left = _minor(self.money[currency], digits)
            alone = rows["amount"] > _minor(self.whole[currency], digits)
            sums = rows["amount"].where(~alone, 0).cumsum()
            over.append(rows.index[alone | (sums > left)])
        return over[0].append(over[1:])

    def _use_up(self, going: pd.DataFrame) -> None:
        for (currency, digits), rows in self._by_money(going):
            used = Decimal(int(rows["amount"].sum())).scaleb(-digits)
            self.money[currency] -= used
        if self.rows is not None:
            self.rows -= len(going)
        if self.drafts is not None:
            self.drafts -= len(going)

    def _by_money(self, rows: pd.DataFrame) -> list[tuple[tuple[str, int], pd.DataFrame]]:
        limited = rows[
            rows["currency"].isin(list(self.money)) & rows["amount"].notna()
            & rows["currency_digits"].notna()
        ]  # fmt: skip
        return [
            ((str(currency), int(digits)), part)
            for (currency, digits), part in limited.groupby(["currency", "currency_digits"])
        ]

    def _deferred(self, plan: pd.DataFrame, over: Mapping[str, pd.Index]) -> pd.DataFrame:
        for code, rows in over.items():
            again = plan.index.isin(rows) & (plan["reason_code"] == RESENT)
            first = plan.index.isin(rows) & ~again
            # What was in doubt and was to go again is in doubt as before. One that a run before
            # this one has planned already is taken back, or it would go all the same.
            plan.loc[again, ["decision", "reason_code", "reasons", "write"]] = [
                State.UNCERTAIN.value, "still_uncertain", reason("still_uncertain"), NOTHING,
            ]  # fmt: skip
            plan.loc[again & (plan["open_state"] == State.PLANNED.value), "write"] = UPDATE
            plan.loc[first, "decision"] = State.DEFERRED.value
            plan.loc[first, "reason_code"] = code
            if code == MONEY:
                plan.loc[first, "reasons"] = [
                    reason(code, self._money_told(currency))
                    for currency in plan.loc[first, "currency"]
                ]
            else:
                plan.loc[first, "reasons"] = reason(code, self.told.get(code, ""))
        return plan

    def _money_told(self, currency: str) -> str:
        return f"limit {currency} {self.whole[currency]}"


def _minor(major: Decimal, digits: int) -> int:
    """Whole minor units in an amount, rounded down."""
    return int(major.scaleb(digits))
