"""What Kiva and the MIS say of the loans that an adoption is about.

What must not break: the MIS is asked only for what an adoption needs (recent loans, those of the
files, and groups' members), however many loans Kiva has; it never answers for what was reported.
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta

import pandas as pd

from kiva_pipeline.lookups import among
from kiva_pipeline.mis import records
from kiva_pipeline.mis.source import Source
from kiva_pipeline.periods import DisbursalWindow, Month
from kiva_pipeline.rules.members import arrange_members
from kiva_pipeline.settings import Settings
from kiva_pipeline.submission.adopted_rows import LoanFacts, WaitingDraft
from kiva_pipeline.submission.adoption_files import AdoptionFiles, KivaLoan, Witnesses
from kiva_pipeline.submission.crosscheck import CREATED_BEFORE


class AskedMis:
    """What the MIS says of the loans that an adoption is about.

    Attributes:
        kiva: Kiva's loans by id.
        groups: The members that the MIS forms today, by group id.
        facts: Of single loans, by id.
        drafts: Those of the file whose month can be posted still, by id.
    """

    def __init__(
        self, source: Source, settings: Settings, kiva_loans: pd.DataFrame, files: AdoptionFiles
    ) -> None:
        self.kiva = kiva_rows(kiva_loans)
        drafts = {row["loan_id"] for _, row in files.draft_lines}
        reported = {row["loan_id"] for _, row in files.reported_lines}
        today = settings.clock.today()
        asked = (drafts | reported | recent_ids(kiva_loans, today)) - {""}
        several = {each for each in asked if each in self.kiva and self.kiva[each].borrowers > 1}
        self.groups = formed_groups(source, several | (drafts - self.kiva.keys()))
        members = {row["loan_id"] for _, row in files.group_lines}
        members |= {each for group in self.groups.values() for each in group}
        self.facts = loan_facts(source, (asked - several) | members, today)
        self.drafts, self._in_window = drafts_in_window(source, today, drafts)

    def witnesses(self, final: Callable[[Month], bool]) -> Witnesses:
        """The same as what the files are held against.

        Args:
            final: Whether a month's report is final.
        """
        digits = {each: f.digits for each, f in self.facts.items() if f.digits is not None}
        for group, members in self.groups.items():
            if found := {digits[each] for each in members if each in digits}:
                digits.setdefault(group, max(found))
        return Witnesses(
            kiva=self.kiva,
            mis_loans=frozenset(self.facts) | self._in_window,
            mis_groups=self.groups,
            digits=digits,
            final=final,
        )


def kiva_rows(kiva_loans: pd.DataFrame) -> dict[str, KivaLoan]:
    """Kiva's loans by their own id of ours."""
    ids = kiva_loans["internal_loan_id"].str.normalize("NFC").str.strip()
    borrowers = kiva_loans["borrower_count"].fillna(1).astype("int64")
    rows = zip(
        ids.tolist(), kiva_loans["loan_currency"].tolist(),
        kiva_loans["loan_local_price"].tolist(), borrowers.tolist(), strict=True,
    )  # fmt: skip
    return {loan_id: KivaLoan(*row) for loan_id, *row in rows if loan_id}


def recent_ids(kiva_loans: pd.DataFrame, today: date) -> set[str]:
    """Loans that Kiva has had for so short a time that a draft of today could be a copy of one."""
    since = pd.Timestamp(today - 2 * timedelta(days=CREATED_BEFORE)).timestamp()
    recent = kiva_loans["create_time"].isna() | (kiva_loans["create_time"] >= since)
    ids = kiva_loans.loc[recent.to_numpy(dtype=bool), "internal_loan_id"]
    return set(ids.str.normalize("NFC").str.strip())


def formed_groups(source: Source, group_ids: Iterable[str]) -> dict[str, list[str]]:
    """The members that the MIS forms today, by group id, of the groups that it knows."""
    pairs = source.group_members(sorted(group_ids))
    groups: dict[str, list[str]] = {}
    for group, loan_id in zip(pairs["group_id"].tolist(), pairs["loan_id"].tolist(), strict=True):
        groups.setdefault(str(group), []).append(str(loan_id))
    return groups


def loan_facts(source: Source, loan_ids: Iterable[str], today: date) -> dict[str, LoanFacts]:
    """What the MIS says of these loans; those that it doesn't know are left out."""
    facts: dict[str, LoanFacts] = {}
    for raw in source.balances(sorted(loan_ids), today):
        found = records.canonical_balances(raw)
        days = found["disbursed_on"].dt.strftime("%Y-%m-%d").fillna("").tolist()
        digits = found["currency_digits"].astype(object).where(found["currency_digits"].notna())
        for loan_id, client_id, places, day in zip(
            found["loan_id"].tolist(), found["client_id"].tolist(), digits.tolist(), days,
            strict=True,
        ):  # fmt: skip
            known = None if pd.isna(places) else int(places)
            facts[loan_id] = LoanFacts(client_id, known, day)
    return facts


def drafts_in_window(
    source: Source, today: date, draft_ids: Iterable[str]
) -> tuple[dict[str, WaitingDraft], set[str]]:
    """Drafts whose loans are disbursed in a month that can be posted today.

    Args:
        source: The MIS; not asked when there are no drafts.
        today: The partner's day.
        draft_ids: Which drafts.

    Returns:
        Those of them, by id; and the ids of all drafts and loans of these months.
    """
    wanted, found, ids = set(draft_ids), dict[str, WaitingDraft](), set[str]()
    for month in DisbursalWindow(today).months() if wanted else ():
        loans = records.canonical_loans(source.loans(month))
        if loans.empty:
            continue
        members = arrange_members(loans)
        ids.update(members["business_id"], members["loan_id"])
        asked = members[among(members["business_id"], wanted)]
        for draft_id, rows in asked.groupby("business_id", sort=False):
            found[str(draft_id)] = _waiting_draft(str(draft_id), rows)
    return found, ids


def _waiting_draft(draft_id: str, rows: pd.DataFrame) -> WaitingDraft:
    first, whole = rows.iloc[0], bool(rows["principal"].notna().all())
    day, digits = first["disbursed_on"], first["currency_digits"]
    return WaitingDraft(
        loan_id=draft_id,
        client_id=first["group_client_id"] if first["in_group"] else first["client_id"],
        loan_ids=rows["loan_id"].tolist(),
        client_ids=rows["client_id"].tolist(),
        amount=int(rows["principal"].sum()) if whole else None,
        currency=first["currency"],
        digits=None if pd.isna(digits) else int(digits),
        disbursed_on="" if pd.isna(day) else day.date().isoformat(),
    )
