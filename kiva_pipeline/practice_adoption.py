"""Adopts a practice partner's ledger: the demo and the tests begin as a partner who goes live.

What must not break: the figures are what the sandbox was seeded with, never what the MIS says now;
else the guard that holds the two against each other would compare a thing with itself.
"""

from pathlib import Path

from kiva_pipeline.mis.open import open_source
from kiva_pipeline.money import to_minor
from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.demo_mis import loans_at_kiva
from kiva_pipeline.sandbox.seed_records import KivaLoanSeed
from kiva_pipeline.settings import Secrets, Settings
from kiva_pipeline.submission.adopt import Adoption, AdoptionReport, adopt
from kiva_pipeline.submission.adopted_rows import Baseline
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.ledger_writes import Actor

_WHO = "practice"


def adopt_practice(settings: Settings, mis: Path) -> AdoptionReport:
    """Tell a practice partner's ledger what its sandbox has: loans, members, last figures.

    Args:
        settings: The practice partner's; its sandbox must be running.
        mis: The demo MIS that the sandbox was seeded from.

    Raises:
        PipelineError: The sandbox does not answer, or another sender is at work.
    """
    today = settings.clock.today()
    seeds = list(loans_at_kiva(mis))
    with open_source(settings) as source:
        groups = {seed.internal_loan_id: seed.borrower_count for seed in seeds}
        pairs = source.group_members([i for i, borrowers in groups.items() if borrowers > 1])
    members = {
        group_id: loan_ids
        for group_id, loan_ids in pairs.groupby("group_id")["loan_id"].agg(list).items()
        if len(loan_ids) == groups[str(group_id)]
    }
    with PartnerApi.open(settings, Secrets.from_environment(settings.environment)) as api:
        kiva_loans = api.loans()
    reported = Month.of(today).plus(-2)  # last month's report is the one that is open now
    adoption = Adoption(
        go_live_on=today,
        kiva_loans=kiva_loans,
        members=members,
        baselines=[b for seed in seeds if (b := _baseline(seed, reported))],
        why="a practice partner goes live",
    )
    ledger = Ledger.open(
        settings.ledger_url,
        environment=settings.environment.value,
        partner_id=settings.partner.id,
    )
    try:
        return adopt(ledger, adoption, Actor(who=_WHO, run_id=""), settings)
    finally:
        ledger.close()


def _baseline(seed: KivaLoanSeed, month: Month) -> Baseline | None:
    if seed.last_reported is None:
        return None
    digits = len(seed.last_reported.partition(".")[2])  # written with the loan's own decimals
    repaid = to_minor(seed.last_reported, digits)
    if repaid is None:
        return None
    return Baseline(seed.internal_loan_id, month, repaid, seed.currency, digits)
