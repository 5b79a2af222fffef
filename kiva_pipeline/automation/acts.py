"""Acts of a person as jobs: a form in the launch pad, an answer in words on the run's page.

They call the same functions as the command line. What must not break: no act sends anything, and
no borrower's name gets into a run's log or metadata.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg

from kiva_pipeline.assets.describe import table
from kiva_pipeline.assets.failures import explained
from kiva_pipeline.assets.resources import KivaResource, LedgerResource, PartnerResource
from kiva_pipeline.automation.act_forms import (
    ApproveForm,
    CloseForm,
    ExtendForm,
    Found,
    MonthForm,
    ResolveForm,
    RetryForm,
    Signed,
    empty_form,
)
from kiva_pipeline.errors import LedgerError, SettingsError
from kiva_pipeline.periods import Month
from kiva_pipeline.reporting.held_lines import held_lines
from kiva_pipeline.reporting.next_step import look_for, money
from kiva_pipeline.submission import acts
from kiva_pipeline.submission.approve import approve, waiting
from kiva_pipeline.submission.conflicts import normalised_id, normalised_ids
from kiva_pipeline.submission.ledger import Ledger, ledger_exists
from kiva_pipeline.submission.resolve import Answer, ListedAtKiva, doubts, resolve
from kiva_pipeline.submission.retry import retry

_ROWS_TOLD = 200
NOTHING = dg.Out(dg.Nothing)


@dg.op(out=NOTHING)
def look_at_doubts(
    context: dg.OpExecutionContext, partner: PartnerResource, ledger: LedgerResource
) -> None:
    """Every row whose answer was lost, and what to look for in PA2."""
    with _acting(partner, ledger) as book, book.reading() as connection:
        rows = [row._mapping for row in doubts(connection)]  # noqa: SLF001  public Row API
    tell(
        context,
        f"{len(rows)} in doubt. None is sent again by itself: look, then launch `act_resolve`."
        if rows
        else "No doubts: the outcome of every request is known.",
        ["kind", "id", "request", "look for"],
        [[r["kind"], r["business_id"], r["attempt_id"], look_for(r)] for r in rows],
    )


@dg.op(out=NOTHING)
def settle_doubt(
    context: dg.OpExecutionContext,
    config: ResolveForm,
    partner: PartnerResource,
    ledger: LedgerResource,
    kiva: KivaResource,
) -> None:
    """What PA2 shows about something whose answer was lost."""
    with _acting(partner, ledger) as book:
        if config.found is Found.not_looked_yet:
            raise SettingsError(
                "What did you find in PA2?", "Look first, then choose arrived or not_there."
            )
        rows = resolve(
            book,
            partner.settings,
            config.target.strip(),
            Answer.ARRIVED if config.found is Found.arrived else Answer.NOT_THERE,
            signed(config, context),
            kind=config.stream.value,
            month=config.month.strip() or None,
            reference=config.reference,
            confirmed=config.draft_is_surely_not_there,
            listed_at_kiva=_listed(kiva),
        )
    arrived = config.found is Found.arrived
    tell(
        context,
        f"{len(rows)} settled: "
        + (
            "Kiva has it. Nothing of it is sent again."
            if arrived
            else "Kiva does not have it. The next run of its month plans it anew."
        ),
        ["kind", "month", "id"],
        [[row.kind, row.month, row.business_id] for row in rows],
    )


@dg.op(out=NOTHING)
def look_at_held(
    context: dg.OpExecutionContext,
    config: MonthForm,
    partner: PartnerResource,
    ledger: LedgerResource,
) -> None:
    """What is held or missing in a month, and the digest by which the table is approved."""
    with _acting(partner, ledger) as book:
        before = Month.of(partner.settings.clock.today()).plus(-1)
        month = Month.parse(config.month) if config.month.strip() else before
        with book.reading() as connection:
            shown = waiting(connection, month)
    lines = held_lines(shown.rows)
    tell(
        context,
        f"{len(lines)} of {month} wait for a person. Digest of this table: `{shown.digest}`"
        if lines
        else f"Nothing of {month} waits for a person.",
        ["id", "guard", "means", "Kiva has", "now", "an approval"],
        [
            [
                line["id"], line["guard"], line["means"], line["kiva_has"], line["figure"],
                "is given" if line["approved"] else line["approval"],
            ]
            for line in lines
        ],
    )  # fmt: skip


@dg.op(out=NOTHING)
def let_go(
    context: dg.OpExecutionContext,
    config: ApproveForm,
    partner: PartnerResource,
    ledger: LedgerResource,
) -> None:
    """Let go what a guard holds."""
    with _acting(partner, ledger) as book:
        rows = approve(
            book,
            partner.settings,
            Month.parse(config.month),
            signed(config, context),
            loan_id=config.target.strip() or None,
            table=config.table.strip() or None,
        )
    lines = held_lines(rows)
    tell(
        context,
        f"{len(lines)} approved; the next run of {config.month} acts on it.",
        ["id", "guard", "now", "what the approval does"],
        [[line["id"], line["guard"], line["figure"], line["approval"]] for line in lines],
    )


@dg.op(out=NOTHING)
def ask_again(
    context: dg.OpExecutionContext,
    config: RetryForm,
    partner: PartnerResource,
    ledger: LedgerResource,
) -> None:
    """What Kiva refused goes once more."""
    with _acting(partner, ledger) as book:
        rows = retry(
            book,
            partner.settings,
            signed(config, context),
            ids=[each.strip() for each in config.targets if each.strip()],
            kind=config.stream.value,
            month=config.month.strip() or None,
        )
    tell(
        context,
        f"{len(rows)} will go once more with the next run of their month.",
        ["kind", "month", "id"],
        [[row.kind, row.month, row.business_id] for row in rows],
    )


@dg.op(out=NOTHING)
def close_report(
    context: dg.OpExecutionContext,
    config: CloseForm,
    partner: PartnerResource,
    ledger: LedgerResource,
) -> None:
    """A month's report is final in PA2."""
    left: list[acts.Unreported] = []
    with _acting(partner, ledger) as book:
        month, who = Month.parse(config.month), signed(config, context)
        if config.undo:
            acts.reopen_month(book, partner.settings, month, who)
        else:
            left = acts.close_month(book, partner.settings, month, who)
    closed = f"The report of {month} is closed: nothing more of it is posted."
    if left:
        closed += f" Kiva may have no figure of {len(left)} loans and invoices them as scheduled."
    tell(
        context,
        f"The report of {month} is not closed any more." if config.undo else closed,
        ["id", "state", "why", "figure"],
        [
            [row.business_id, row.state, row.reason_code,
             money({"amount": row.amount, "currency": row.currency,
                    "currency_digits": row.currency_digits})]
            for row in left
        ],
    )  # fmt: skip


@dg.op(out=NOTHING)
def extend_report(
    context: dg.OpExecutionContext,
    config: ExtendForm,
    partner: PartnerResource,
    ledger: LedgerResource,
) -> None:
    """Kiva gave a month's report more time."""
    with _acting(partner, ledger) as book:
        month, until = Month.parse(config.month), day_of(config.until)
        acts.extend_month(book, partner.settings, month, until, signed(config, context))
    tell(context, f"The report of {month} may be posted until the end of {until}.")


@dg.op(out=NOTHING)
def pause_sending(
    context: dg.OpExecutionContext, config: Signed, partner: PartnerResource, ledger: LedgerResource
) -> None:
    """Stop all sending."""
    with _acting(partner, ledger) as book:
        acts.pause(book, partner.settings, signed(config, context))
    tell(context, "Sending is paused: a run that is at work stops before its next request.")


@dg.op(out=NOTHING)
def resume_sending(
    context: dg.OpExecutionContext, config: Signed, partner: PartnerResource, ledger: LedgerResource
) -> None:
    """Let sending go on."""
    with _acting(partner, ledger) as book:
        by, why = acts.resume(book, partner.settings, signed(config, context))
    tell(context, f"Sending may go on with the next run. It was paused by {by}: {why}")


@dataclass(frozen=True, slots=True)
class Act:
    """An act as a job: its op, its form, what the Jobs page says of it."""

    op: dg.OpDefinition
    form: type[dg.Config] | None
    tells: str


_ACTS = {
    "act_doubts": Act(
        look_at_doubts,
        None,
        "Lists every row whose answer was lost, with what to look for in PA2. Changes nothing.",
    ),
    "act_resolve": Act(
        settle_doubt,
        ResolveForm,
        "Say what PA2 shows about something whose answer was lost: arrived or not_there. Look"
        " first, as `act_doubts` says where: a draft among PA2's loan drafts (all pages, also that"
        " client under another id), a report's upload by its day, a journal by its loan and day."
        " Sends nothing.",
    ),
    "act_held": Act(
        look_at_held,
        MonthForm,
        "The table of what is held or missing in a month, each figure beside the one that Kiva"
        " has, and the table's digest. Look the loans up in the MIS and in PA2's report of the"
        " month before. Changes nothing.",
    ),
    "act_approve": Act(
        let_go,
        ApproveForm,
        "Let go what a guard holds: one row, or the whole table that `act_held` showed, by its"
        " digest. Look first whether each figure is right in the MIS. The next run sends it.",
    ),
    "act_retry": Act(
        ask_again,
        RetryForm,
        "Send once more what Kiva refused, unchanged. Look first at Kiva's words in the worklist,"
        " and in PA2 for the cause (a credit limit, a list that lacks a value). The next run sends"
        " it once.",
    ),
    "act_close_report": Act(
        close_report,
        CloseForm,
        "A month's report was finalized in PA2: nothing more of it is posted. Look first: PA2"
        " shows the report as final. The answer lists the loans that Kiva invoices as scheduled.",
    ),
    "act_extend_report": Act(
        extend_report,
        ExtendForm,
        "Kiva gave a month's report more time. Look first: PA2 shows the report as still open.",
    ),
    "act_pause": Act(
        pause_sending,
        Signed,
        "Stop all sending at once, also that of a run at work, until `act_resume`. Nothing is"
        " lost. Look then in PA2 at what made you stop.",
    ),
    "act_resume": Act(
        resume_sending,
        Signed,
        "Let sending go on after `act_pause`. Look first that what made somebody stop is mended."
        " Sends nothing itself: the next run does.",
    ),
}


def act_jobs() -> list[dg.JobDefinition]:
    """A job for each act."""
    return [act_job(name, act) for name, act in _ACTS.items()]


def act_job(name: str, act: Act) -> dg.JobDefinition:
    """An act as a job of its own, with its form."""

    @dg.job(
        name=name,
        config={"ops": {act.op.name: {"config": empty_form(act.form)}}} if act.form else {},
        description=act.tells,
        executor_def=dg.in_process_executor,
        tags={"kiva_pipeline/act": name.removeprefix("act_")},
    )
    def made() -> None:
        act.op()

    return made


@contextlib.contextmanager
def _acting(partner: PartnerResource, ledger: LedgerResource) -> Iterator[Ledger]:
    """The ledger, if there is one; our errors end the run with their own words."""
    with explained():
        if not ledger_exists(partner.settings.ledger_url):
            raise LedgerError(
                "There is no ledger yet: nothing was ever decided or sent from here.",
                "A first run makes it.",
            )
        with ledger.open() as book:
            yield book


def signed(form: Signed, context: dg.OpExecutionContext) -> acts.Person:
    """Who signed the form.

    Raises:
        SettingsError: The name or the reason is missing.
    """
    return acts.person(form.by, form.why, run_id=context.run_id)


def _listed(kiva: KivaResource) -> ListedAtKiva:
    def listed(ids: Any) -> list[str]:  # noqa: ANN401  a collection of ids
        known = normalised_ids(kiva.api.loans()["internal_loan_id"])
        return [loan_id for loan_id in ids if normalised_id(loan_id) in known]

    return listed


def day_of(text: str) -> date:
    """A day that was typed.

    Raises:
        SettingsError: It is none.
    """
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise SettingsError(f"“{text}” is not a day.", "Write it as YYYY-MM-DD.") from None


def tell(
    context: dg.OpExecutionContext,
    words: str,
    columns: list[str] | None = None,
    rows: list[list[Any]] | None = None,
) -> None:
    """The answer, in the log and on the run's page."""
    context.log.info(words)
    told = [words]
    if columns and rows:
        told.append(table(columns, rows[:_ROWS_TOLD]))
        if len(rows) > _ROWS_TOLD:
            told.append(f"… and {len(rows) - _ROWS_TOLD:,} more: the command line lists them all.")
    context.add_output_metadata({"answer": dg.MarkdownMetadataValue("\n\n".join(told))})
