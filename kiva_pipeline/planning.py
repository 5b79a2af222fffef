"""Plans a month without Dagster: the same steps as the assets, up to the decision for each row.

What must not break: nothing is sent and no ledger is written, not even born: a ledger that a dry
run had made could belong to the wrong partner for ever.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.expected import ExpectedList, ExpectedLists
from kiva_pipeline.field_key import field_key_for_looking
from kiva_pipeline.frames import FrameSpool, StoredFrame, write_frame
from kiva_pipeline.mis import records
from kiva_pipeline.mis.open import open_source
from kiva_pipeline.mis.source import Source
from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.periods import Month
from kiva_pipeline.process import few_collections
from kiva_pipeline.rules.drafts import build_loan_drafts
from kiva_pipeline.rules.journals import build_journal_updates
from kiva_pipeline.rules.rows import REPORT_COLUMNS
from kiva_pipeline.settings import Secrets, Settings
from kiva_pipeline.streams import (
    ASKED_BALANCE_COLUMNS,
    asked_balances,
    draft_submission,
    group_members,
    journal_submission,
    repayment_report,
    report_submission,
)
from kiva_pipeline.submission.digest import digest_of_streams
from kiva_pipeline.submission.ledger import Ledger, ledger_exists
from kiva_pipeline.submission.ledger_writes import Actor
from kiva_pipeline.submission.month_submission import Submission
from kiva_pipeline.submission.plan_cards import (
    SHORTEST_DIGEST,
    PlanCard,
    PlanMovedError,
    StreamCard,
    checked_digest,
    find_card,
    keep_card,
    what_moved,
)
from kiva_pipeline.submission.reporting_period import marks_of_ledger, report_phase
from kiva_pipeline.submission.submit import SubmitOptions, submit


@dataclass(frozen=True, slots=True)
class PlannedStream:
    """What a run would do for one stream of a month.

    Attributes:
        kind: The kind of effect.
        decisions: ``DECISION_COLUMNS``; what would be sent is ``planned``.
        rows_in: MIS rows, or loans that Kiva expects, that must have a decision.
        digest: Of this stream's plan.
        objections: Why a run would send nothing now.
        remark: Of a report, where the list of its loans is from.
    """

    kind: PostKind
    decisions: pd.DataFrame
    rows_in: int
    digest: str
    objections: list[str]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class _Tools:
    settings: Settings
    month: Month
    source: Source
    api: PartnerApi
    ledger: Ledger
    folder: Path
    kiva_loans: pd.DataFrame


def plan_month(
    settings: Settings,
    month: Month,
    kinds: Sequence[PostKind],
    *,
    progress: Callable[[str], None] = lambda _step: None,
) -> list[PlannedStream]:
    """Plan a month.

    Its card is kept (``submission.plan_cards``), so that a run by its digest can say what moved.

    Args:
        settings: The partner's.
        month: Which one.
        kinds: The streams, in the order of the answer.
        progress: Told what is being done.

    Raises:
        PipelineError: The MIS, the API or the ledger can't be used; the message says why.
    """
    few_collections()
    spool = settings.frames_folder / ".spool"
    with (
        open_source(settings) as source,
        PartnerApi.open(settings, Secrets.from_environment(settings.environment)) as api,
        # Personal data is kept where runs keep it, but looking makes no folders of its own.
        tempfile.TemporaryDirectory(
            dir=spool if spool.is_dir() else None, prefix="kiva-plan-"
        ) as folder,
        _ledger(settings, Path(folder)) as ledger,
    ):
        progress("asking Kiva for its loans")
        api.check_grant([kind.scope for kind in kinds])
        tools = _Tools(settings, month, source, api, ledger, Path(folder), api.loans())
        planned = []
        for kind in kinds:
            progress(f"reading and judging {_NOUNS[kind]}")
            planned.append(_planned(tools, *_STEPS[kind](tools)))
    with contextlib.suppress(OSError, SettingsError):  # it only serves to say more
        keep_card(settings.state.folder, _card(month, planned))
    return planned


def digest_of(planned: Sequence[PlannedStream]) -> str:
    """One digest for the plans of a month's streams."""
    return digest_of_streams({stream.kind.value: stream.digest for stream in planned})


def plan_as_expected(
    settings: Settings,
    month: Month,
    kinds: Sequence[PostKind],
    digest: str,
    *,
    progress: Callable[[str], None] = lambda _step: None,
) -> dict[PostKind, str]:
    """Plan a month again, to see that it is still the plan that a person saw.

    Args:
        settings: The partner's.
        month: Which one.
        kinds: The streams that were planned.
        digest: Of that plan; the first twelve digits are enough.
        progress: Told what is being done.

    Returns:
        The digest of each stream's plan, for the run to compare again before it sends.

    Raises:
        PlanMovedError: It is another plan now; the message says what moved, in counts.
        SettingsError: The digest is none, or is of another month or of other streams.
    """
    typed = checked_digest(digest)
    seen = find_card(settings.state.folder, typed)
    asked = {kind.value for kind in kinds}
    if seen and seen.digest.startswith(typed) and (
        seen.month != str(month) or set(seen.streams) != asked
    ):  # fmt: skip
        streams = ", ".join(kind.replace("_", " ") + "s" for kind in seen.streams)
        raise SettingsError(
            f"The digest is of the plan of {seen.month} ({streams}), not of what is to be run.",
            "Run the month and the --stream that were planned.",
        )
    planned = plan_month(settings, month, kinds, progress=progress)
    now = _card(month, planned)
    if not now.digest.startswith(typed):
        moved = "; ".join(
            f"{_NOUNS[PostKind(kind)]}: "
            + what_moved(seen.streams[kind].rows if seen else None, stream.rows)
            for kind, stream in now.streams.items()
            if not seen or seen.streams[kind].digest != stream.digest
        )
        raise PlanMovedError(
            f"The plan of {month} moved since {typed[:SHORTEST_DIGEST]} was made ({moved}).",
            f"Nothing was sent. Look again with `kiva-pipeline plan {month}` and give the new"
            " digest.",
        )
    return {PostKind(kind): stream.digest for kind, stream in now.streams.items()}


def _card(month: Month, planned: Sequence[PlannedStream]) -> PlanCard:
    return PlanCard(
        str(month),
        digest_of(planned),
        {
            stream.kind.value: StreamCard(
                stream.digest,
                {str(k): int(n) for k, n in stream.decisions["decision"].value_counts().items()},
            )
            for stream in planned
        },
    )


@contextlib.contextmanager
def _ledger(settings: Settings, folder: Path) -> Iterator[Ledger]:
    """The ledger as it is, or an empty one that goes with the folder where none was born yet."""
    born = ledger_exists(settings.ledger_url)
    url = settings.ledger_url if born else f"sqlite+pysqlite:///{folder / 'unborn.sqlite'}"
    ledger = Ledger.open(
        url, environment=settings.environment.value, partner_id=settings.partner.id
    )
    try:
        yield ledger
    finally:
        ledger.close()


def _planned(tools: _Tools, submission: Submission, rows_in: int) -> PlannedStream:
    result = submit(
        submission,
        ledger=tools.ledger,
        api=tools.api,
        settings=tools.settings,
        actor=Actor(who="plan", run_id=""),
        spool_folder=tools.folder,
        options=SubmitOptions(dry_run=True),
    )
    decisions = result.decisions.read()
    remark = _expected(tools).frozen if submission.kind is PostKind.REPAYMENT else ""
    return PlannedStream(
        submission.kind, decisions, rows_in, result.digest, result.objections, remark
    )


def _drafts(tools: _Tools) -> tuple[Submission, int]:
    settings, source, month = tools.settings, tools.source, tools.month
    rows_in = source.counts(month).loans
    loans = records.canonical_loans(source.loans(month))
    judged = build_loan_drafts(
        loans,
        records.canonical_instalments(
            source.instalments(month), loans[["loan_id", "currency_digits"]]
        ),
        tools.api.lists(),
        settings=settings,
        today=settings.clock.today(),
        field_key=field_key_for_looking(settings.state.folder),
    )
    rows = _stored(tools, "drafts", judged.rows)
    return draft_submission(month, rows, source, lambda: tools.kiva_loans), rows_in


def _report(tools: _Tools) -> tuple[Submission, int]:
    settings, source, month = tools.settings, tools.source, tools.month
    expected = _expected(tools).loans
    members = group_members(expected, tools.ledger, source)
    with FrameSpool(tools.folder, records.empty_frame(ASKED_BALANCE_COLUMNS)) as balances:
        for chunk in asked_balances(source, expected, members, month.last_day):
            balances.append(chunk)
    with FrameSpool(tools.folder, records.empty_frame(REPORT_COLUMNS)) as report:
        for judged in repayment_report(balances.finished, expected, settings, month):
            report.append(judged.rows)
    submission = report_submission(month, report.finished, settings, lambda: tools.kiva_loans)
    return submission, len(expected)


def _expected(tools: _Tools) -> ExpectedList:
    settings = tools.settings
    return ExpectedLists(settings.expected_folder).of_month(
        tools.month,
        tools.kiva_loans,
        phase=report_phase(settings, tools.month, marks_of_ledger(tools.ledger)),
        today=settings.clock.today(),
        keep=False,
    )


def _journals(tools: _Tools) -> tuple[Submission, int]:
    settings, source, month = tools.settings, tools.source, tools.month
    rows_in = source.counts(month).notes
    judged = build_journal_updates(
        records.canonical_notes(source.notes(month)),
        tools.kiva_loans,
        settings=settings,
        field_key=field_key_for_looking(settings.state.folder),
    )
    rows = _stored(tools, "journals", judged.rows)
    return journal_submission(month, rows, settings, lambda: tools.kiva_loans), rows_in


def _stored(tools: _Tools, name: str, rows: pd.DataFrame) -> StoredFrame:
    return write_frame(
        rows.sort_values("business_id", ignore_index=True), tools.folder / f"{name}.parquet"
    )


_STEPS = {
    PostKind.LOAN_DRAFT: _drafts,
    PostKind.REPAYMENT: _report,
    PostKind.JOURNAL: _journals,
}
_NOUNS = {
    PostKind.LOAN_DRAFT: "loan drafts",
    PostKind.REPAYMENT: "the repayment report",
    PostKind.JOURNAL: "journals",
}
