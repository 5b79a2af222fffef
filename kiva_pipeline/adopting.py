"""Prepares an adoption: Kiva's list, the person's files and what the MIS says, held together.

What must not break: nothing is written here, so that a person sees what would be adopted first;
``submission.adopt`` writes it, under the sender lock.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from kiva_pipeline.adoption_facts import AskedMis, formed_groups, kiva_rows
from kiva_pipeline.errors import NotAllowedNowError, SettingsError
from kiva_pipeline.mis.open import open_source
from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.partner_api.records import EXPECTED_STATUSES
from kiva_pipeline.periods import Month, Phase
from kiva_pipeline.settings import Secrets, Settings
from kiva_pipeline.submission.adopt import Adoption, AdoptionReport, adopt, preview
from kiva_pipeline.submission.adopted_rows import WaitingDraft
from kiva_pipeline.submission.adoption_files import AdoptionFiles, Faults
from kiva_pipeline.submission.figures_sent import ids_sent
from kiva_pipeline.submission.ledger import Ledger, ledger_exists
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.reporting_period import (
    marks_of_ledger,
    marks_of_partner,
    report_phase,
)
from kiva_pipeline.submission.witness import refuse_untrusted

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An adoption that is ready to be carried out, and what a person should know before.

    Attributes:
        adoption: What the ledger would be told.
        changes: What that would change.
        not_reported: Expected loans without a last reported figure: their first report is held
            for a person.
        left_empty: Lines of the reported file without a figure.
    """

    adoption: Adoption
    changes: AdoptionReport
    not_reported: tuple[str, ...]
    left_empty: int


def prepare_adoption(
    settings: Settings,
    files: AdoptionFiles,
    *,
    go_live_on: date | None,
    why: str,
    progress: Progress = lambda _step: None,
) -> Prepared:
    """Read and check everything; nothing is written.

    Args:
        settings: The partner's.
        files: What the person gave.
        go_live_on: The day; None for today, or for the day of the first adoption.
        why: The person's reason.
        progress: Told what is being done.

    Raises:
        SettingsError: The day or a file is wrong; all faults of the files are told at once.
        PipelineError: Kiva, the MIS or the ledger can't be used; the message says why.
    """
    today = settings.clock.today()
    if go_live_on and go_live_on > today:
        raise SettingsError(
            f"{go_live_on} is in the future: it is {today}.",
            "Adopt on the day itself: a draft that is posted by hand in between would be missed.",
        )
    faults = Faults()
    files.read(faults)
    with existing_ledger(settings) as book:
        _ask_for_drafts(settings, files, book)
        progress("asking Kiva for its loans")
        with _api(settings) as api:
            kiva_loans = api.loans()
        progress("asking the MIS")
        with open_source(settings) as source:
            asked = AskedMis(source, settings, kiva_loans, files)
        marks = marks_of_ledger(book) if book else ()
        known = asked.witnesses(lambda month: report_phase(settings, month, marks) is Phase.CLOSED)
        drafts = files.draft_ids(known, faults)
        members, baselines = files.members(known, faults), files.baselines(known, faults)
        faults.refuse()
        adoption = Adoption(
            go_live_on=go_live_on or today,
            kiva_loans=kiva_loans,
            waiting_drafts=[asked.drafts.get(each, WaitingDraft(each)) for each in drafts],
            members=members,
            baselines=baselines,
            facts=asked.facts,
            why=why,
        )
        changes = preview(book, adoption)
        reported = {b.loan_id for b in baselines} | (_reported(book) if book else set())
    expected = kiva_loans.loc[kiva_loans["status"].isin(EXPECTED_STATUSES), "internal_loan_id"]
    return Prepared(
        adoption,
        changes,
        tuple(loan_id for loan_id in expected.str.strip() if loan_id and loan_id not in reported),
        files.left_empty,
    )


def carry_out(settings: Settings, prepared: Prepared, actor: Actor) -> AdoptionReport:
    """Adopt: the ledger is born if need be, and is trusted afterwards.

    Raises:
        SenderBusyError: A sender is at work for this partner.
        LedgerError: The ledger can't be used.
    """
    ledger = _opened(settings)
    try:
        return adopt(ledger, prepared.adoption, actor, settings)
    finally:
        ledger.close()


@contextlib.contextmanager
def existing_ledger(settings: Settings) -> Iterator[Ledger | None]:
    """The partner's ledger, or None where none was born yet: looking must not make one."""
    if not ledger_exists(settings.ledger_url):
        yield None
        return
    ledger = _opened(settings)
    try:
        yield ledger
    finally:
        ledger.close()


def _opened(settings: Settings) -> Ledger:
    return Ledger.open(
        settings.ledger_url,
        environment=settings.environment.value,
        partner_id=settings.partner.id,
    )


def _api(settings: Settings) -> PartnerApi:
    return PartnerApi.open(settings, Secrets.from_environment(settings.environment))


def _ask_for_drafts(settings: Settings, files: AdoptionFiles, book: Ledger | None) -> None:
    """A ledger that knows nothing, or may have forgotten something, must be told what waits."""
    if files.drafts is not None:
        return
    if book is not None and book.card().adopted_at:
        try:
            refuse_untrusted(book, settings.state.folder)
        except NotAllowedNowError as untrusted:
            why = untrusted.message
        else:
            return
    else:
        why = "The ledger is new."
    raise SettingsError(
        f"{why} Kiva's API can't show the drafts that wait in PA2, so their loan ids are needed.",
        "Add --drafts FILE: a CSV with the column loan_id and a line for each draft that is not"
        " published yet; only the heading if none waits. `kiva-pipeline adopt --template FOLDER`"
        " makes one.",
    )


def _reported(book: Ledger) -> set[str]:
    with book.reading() as connection:
        return ids_sent(connection, "repayment")


def proposals(
    settings: Settings, progress: Progress = lambda _step: None
) -> tuple[Sequence[dict[str, str]], Sequence[dict[str, str]]]:
    """The lines that a person fills in or checks: last reported figures, and groups' members.

    Returns:
        ``loan_id, month, principal_repaid, currency, kiva_principal, kiva_status`` of each expected
        loan, the figure empty: the MIS must not answer for what was reported. And ``group_id,
        loan_id, kiva_borrowers`` as the MIS forms the groups today; an empty ``loan_id`` where it
        knows none.
    """
    progress("asking Kiva for its loans")
    with _api(settings) as api:
        kiva_loans = api.loans()
    month = last_final_month(settings)
    expected = kiva_loans[kiva_loans["status"].isin(EXPECTED_STATUSES)]
    columns = ("internal_loan_id", "loan_currency", "loan_local_price", "status")
    reported = [
        {
            "loan_id": loan_id.strip(), "month": str(month), "principal_repaid": "",
            "currency": currency, "kiva_principal": price, "kiva_status": status,
        }
        for loan_id, currency, price, status in zip(
            *(expected[name].tolist() for name in columns), strict=True
        )
        if loan_id.strip()
    ]  # fmt: skip
    progress("asking the MIS for groups")
    several = {
        loan_id: loan.borrowers
        for loan_id, loan in kiva_rows(expected).items()
        if loan.borrowers > 1
    }
    with open_source(settings) as source:
        formed = formed_groups(source, several)
    groups = [
        {"group_id": group, "loan_id": loan_id, "kiva_borrowers": str(borrowers)}
        for group, borrowers in sorted(several.items())
        for loan_id in formed.get(group) or [""]
    ]
    return reported, groups


def last_final_month(settings: Settings) -> Month:
    """The newest month whose report is final today."""
    month, marks = Month.of(settings.clock.today()).plus(-1), marks_of_partner(settings)
    while report_phase(settings, month, marks) is not Phase.CLOSED:
        month = month.plus(-1)
    return month
