"""Makes the loans of the demo, one unit after another: individual, real and group loans.

What must not break: everything comes from the one random generator that is handed in and from
running numbers, so the same call gives the same portfolio on any machine.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from kiva_pipeline.money import to_digits
from kiva_pipeline.sandbox.demo_mis import names, portraits, spellings, texts
from kiva_pipeline.sandbox.demo_mis.days import DemoCalendar
from kiva_pipeline.sandbox.demo_mis.repayments import Payer, a_payer, bookings
from kiva_pipeline.sandbox.demo_mis.rows import LoanRow, Transaction, Unit
from kiva_pipeline.sandbox.demo_mis.schedules import (
    CURRENCIES,
    Currency,
    Instalment,
    RealSchedule,
    Rhythm,
    rhythm,
    schedule,
)

_FIRST_LOAN_NUMBER = 104_297  # loan ids have leading zeros, which a careless reader would lose
_FIRST_CLIENT_NUMBER = 20_000
OWN_FUNDS_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class _Terms:
    """What the loans of one unit have in common."""

    tagged: bool
    code: str
    activity: spellings.Term
    theme: spellings.Term
    location: spellings.Term
    language: spellings.Term


class Portfolio:
    """A maker of units with running numbers.

    Args:
        calendar: The days of the demo.
        rng: The source of all chance.
        next_pk: The key of the next loan in the MIS.
        next_group: The number of the next group.
    """

    def __init__(
        self, calendar: DemoCalendar, rng: Random, *, next_pk: int = 1, next_group: int = 1
    ) -> None:
        self.calendar = calendar
        self.next_pk = next_pk
        self.next_group = next_group
        self._rng = rng

    def individual(
        self,
        day: date,
        *,
        tagged: bool | None = None,
        paid: Rhythm | None = None,
        payer: Payer | None = None,
    ) -> Unit:
        """One borrower's loan, disbursed or to be disbursed on a day."""
        money = self._rng.choice(CURRENCIES)
        principal = self._amount(money)
        plan = schedule(principal, day, paid or rhythm(self._rng))
        return self._alone(day, money.code, money.digits, plan, tagged=tagged, payer=payer)

    def real(self, real: RealSchedule, day: date) -> Unit:
        """A loan for Kiva with a real schedule, moved to a disbursal day."""
        plan = real.moved_to(day)
        return self._alone(day, real.currency, real.digits, plan, tagged=True, payer=Payer.REGULAR)

    def group(self, day: date, size: int) -> Unit:
        """The loans for Kiva of a group's members, who pay back in one rhythm."""
        rng, number = self._rng, self.next_group
        self.next_group += 1
        money = rng.choice(CURRENCIES)
        terms = self._terms(money.code, tagged=True)
        paid, payer = rhythm(rng), a_payer(rng)
        plans = [schedule(self._amount(money), day, paid) for _ in range(size)]
        loans = [self._loan(day, money.code, money.digits, plan, terms, payer) for plan in plans]
        photo_id = f"PG-{number}"
        for member, loan in enumerate(loans):
            loan.group_id = f"G-{number}"
            loan.description = texts.group_description(terms.code, size)
            loan.loan_use = texts.GROUP_USES[terms.code]
            loan.photo_id = photo_id
            loan.pictured = member == 0 or rng.random() < 0.9
        photos = {photo_id: portraits.portrait(1_000_000_000 + number)}
        name = names.GROUP_NAMES[number % len(names.GROUP_NAMES)]
        return Unit(loans, day, terms.activity.kiva, terms.location.kiva, name, photos)

    def _alone(
        self,
        day: date,
        currency: str,
        digits: int,
        plan: list[Instalment],
        *,
        tagged: bool | None,
        payer: Payer | None,
    ) -> Unit:
        terms = self._terms(currency, tagged=tagged)
        loan = self._loan(day, currency, digits, plan, terms, payer or a_payer(self._rng))
        loan.photo_id = f"P-{loan.pk}"
        photos = {loan.photo_id: portraits.portrait(loan.pk)}
        return Unit([loan], day, terms.activity.kiva, terms.location.kiva, photos=photos)

    def _loan(
        self,
        day: date,
        currency: str,
        digits: int,
        plan: list[Instalment],
        terms: _Terms,
        payer: Payer,
    ) -> LoanRow:
        rng, today, pk = self._rng, self.calendar.today, self.next_pk
        self.next_pk += 1
        who = names.person(pk, rng)
        principal = sum(instalment.principal for instalment in plan)
        # Approved in the month of the disbursal: it is the month that a loan without a readable
        # disbursal day is shown in.
        approved_on = day.replace(day=1)
        paid_out = day <= today
        transactions = bookings(rng, plan, day, today, payer) if paid_out else []
        loan = LoanRow(
            pk=pk,
            loan_id=f"{_FIRST_LOAN_NUMBER + pk:09d}",
            client_id=f"C{_FIRST_CLIENT_NUMBER + pk:07d}",
            script=who.script,
            first_name=who.first,
            last_name=who.last,
            gender=spellings.gender(rng, who.gender),
            group_id=None,
            principal=principal,
            amount=to_digits(principal, digits),
            currency=currency,
            digits=digits,
            approved_on=approved_on,
            expected_on=day.isoformat(),
            disbursed_on=day.isoformat() if paid_out else None,
            status=_status(principal, transactions),
            tagged=terms.tagged,
            activity=terms.activity.mis,
            theme=terms.theme.mis,
            location=terms.location.mis,
            language=terms.language.mis,
            description=texts.description(rng, terms.code, who.first, terms.activity.kiva),
            loan_use=texts.loan_use(rng, terms.code),
            waiver_signed_on=min(today, day - timedelta(days=rng.randrange(1, 15))).isoformat(),
            photo_id=None,
            pictured=True,
            transactions=transactions,
        )
        loan.use_schedule(plan)
        return loan

    def _terms(self, currency: str, *, tagged: bool | None) -> _Terms:
        rng = self._rng
        code = texts.language_code(rng)
        chosen = rng.random() >= OWN_FUNDS_SHARE
        return _Terms(
            chosen if tagged is None else tagged,
            code,
            spellings.activity(rng),
            spellings.theme(rng),
            spellings.location(rng, currency),
            spellings.language(rng, code),
        )

    def _amount(self, money: Currency) -> int:
        return self._rng.randrange(money.low, money.high + 1, money.step)


def _status(principal: int, transactions: list[Transaction]) -> str:
    if not transactions:
        return "approved"
    if any(t.type == "write_off" for t in transactions):
        return "written_off"
    repaid = sum(
        t.principal for t in transactions if t.type != "disbursement" and not t.is_reversed
    )
    return "closed" if repaid >= principal else "active"
