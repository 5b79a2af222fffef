"""The CSV files that an adoption may be given, checked against Kiva and the MIS. Pure but reading.

A wrong line here is a wrong figure or a second copy later. What must not break: every fault of all
files is told at once with its line, and nothing is adopted while there is one.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kiva_pipeline.csv_rows import Line, read_rows
from kiva_pipeline.errors import SettingsError
from kiva_pipeline.money import ISO_DIGITS, to_minor
from kiva_pipeline.periods import Month
from kiva_pipeline.submission.adopted_rows import Baseline

DRAFT_COLUMNS = ("loan_id",)
REPORTED_COLUMNS = ("loan_id", "month", "principal_repaid")
OUTSTANDING = "principal_outstanding"  # may stand for principal_repaid, as some partners report it
GROUP_COLUMNS = ("group_id", "loan_id")
_MOST_TOLD = 40
_MOST_DIGITS = 12


@dataclass(frozen=True, slots=True)
class KivaLoan:
    """What Kiva says of a loan, as far as the files are held against it."""

    currency: str
    price: str
    borrowers: int


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Whom the files are held against.

    Attributes:
        kiva: Kiva's loans by id.
        mis_loans: Loan ids that the MIS knows, of those that it was asked for.
        mis_groups: The members that the MIS forms today, by group id, likewise.
        digits: Number of decimals by loan or group id, where the MIS says it.
        final: Whether a month's report is final: an older figure can be no last reported one.
    """

    kiva: Mapping[str, KivaLoan]
    mis_loans: frozenset[str]
    mis_groups: Mapping[str, Sequence[str]]
    digits: Mapping[str, int]
    final: Callable[[Month], bool]


class Faults:
    """Collects what is wrong, to tell it all at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, file: Path, line: int, text: str) -> None:
        """Something is wrong in a line of a file."""
        self._found.append(f"{file.name}, line {line}: {text}")

    def add_file(self, error: SettingsError) -> None:
        """A file can't be read at all."""
        self._found.append(str(error))

    def refuse(self) -> None:
        """Raise if there is any.

        Raises:
            SettingsError: There is one; the first forty are told.
        """
        if not self._found:
            return
        told = self._found[:_MOST_TOLD]
        if len(self._found) > _MOST_TOLD:
            told.append(f"… and {len(self._found) - _MOST_TOLD:,} more")
        raise SettingsError(
            f"The files can't be adopted; {len(self._found):,} thing(s) are wrong:\n  "
            + "\n  ".join(told),
            "Correct them and adopt again; nothing was adopted.",
        )


@dataclass(slots=True)
class AdoptionFiles:
    """The files, and their lines once they are read.

    Attributes:
        drafts: Loan ids of drafts that wait in PA2; None if no file was given.
        reported: Last reported figures.
        groups: Members of group loans.
    """

    drafts: Path | None = None
    reported: Path | None = None
    groups: Path | None = None
    draft_lines: list[Line] = field(default_factory=list)
    reported_lines: list[Line] = field(default_factory=list)
    group_lines: list[Line] = field(default_factory=list)

    def read(self, faults: Faults) -> None:
        """Read what there is."""
        self.draft_lines = _lines(self.drafts, DRAFT_COLUMNS, (), faults)
        self.group_lines = _lines(self.groups, GROUP_COLUMNS, (), faults)
        self.reported_lines = _lines(
            self.reported, ("loan_id", "month"), ("principal_repaid", OUTSTANDING), faults
        )

    def draft_ids(self, known: Witnesses, faults: Faults) -> list[str]:
        """The ids of the waiting drafts; each must be Kiva's or the MIS's."""
        file, found = self.drafts or Path(), set[str]()
        for line, row in self.draft_lines:
            loan_id = row["loan_id"]
            if not loan_id:
                faults.add(file, line, "there is no loan id")
            elif loan_id in found:
                faults.add(file, line, f"the draft “{loan_id}” stands here twice")
            elif not (
                loan_id in known.kiva or loan_id in known.mis_loans or loan_id in known.mis_groups
            ):
                faults.add(
                    file, line, f"neither the MIS nor Kiva knows “{loan_id}”"
                    + _zeros(loan_id, known.mis_loans | known.kiva.keys()),
                )  # fmt: skip
            found.add(loan_id)
        return sorted(found)

    def members(self, known: Witnesses, faults: Faults) -> dict[str, list[str]]:
        """The members' loans by group id; as many as Kiva has borrowers, each in one group."""
        file, drafts = self.groups or Path(), {row["loan_id"] for _, row in self.draft_lines}
        groups: dict[str, list[str]] = {}
        first_line: dict[str, int] = {}
        group_of: dict[str, str] = {}
        for line, row in self.group_lines:
            group, loan_id = row["group_id"], row["loan_id"]
            if group and not loan_id:
                continue  # a line of the template that nobody filled in
            if not group:
                faults.add(file, line, "there is no group id")
            elif loan_id in group_of:
                faults.add(
                    file, line,
                    f"the loan “{loan_id}” stands here twice"
                    if group_of[loan_id] == group
                    else f"the loan “{loan_id}” is a member of “{group_of[loan_id]}” already",
                )  # fmt: skip
            elif loan_id in known.kiva:
                faults.add(file, line, f"“{loan_id}” is a loan of its own at Kiva")
            elif loan_id not in known.mis_loans:
                faults.add(
                    file,
                    line,
                    f"the MIS knows no loan “{loan_id}”" + _zeros(loan_id, known.mis_loans),
                )
            group_of.setdefault(loan_id, group)
            groups.setdefault(group, []).append(loan_id)
            first_line.setdefault(group, line)
        for group, loans in groups.items():
            loan, line = known.kiva.get(group), first_line[group]
            if loan is None and group and group not in drafts:
                faults.add(
                    file, line, f"neither Kiva nor the file of drafts has a group “{group}”"
                    + _zeros(group, known.kiva.keys()),
                )  # fmt: skip
            elif loan is not None and loan.borrowers != len(loans):
                faults.add(
                    file, line,
                    f"Kiva's loan “{group}” has {loan.borrowers} borrower(s), and {len(loans)}"
                    " member(s) are named",
                )  # fmt: skip
        return groups

    def baselines(self, known: Witnesses, faults: Faults) -> list[Baseline]:
        """The last reported figures, each held against Kiva's own row; empty ones are left out."""
        file, found = self.reported or Path(), dict[str, Baseline | None]()
        months: dict[str, str] = {}
        for line, row in self.reported_lines:
            loan_id, figure = row["loan_id"], row["principal_repaid"] or row[OUTSTANDING]
            if loan_id in found:
                faults.add(file, line, f"the loan “{loan_id}” stands here twice")
                continue
            found[loan_id] = None
            if not figure:
                continue
            loan = known.kiva.get(loan_id)
            if loan is None:
                faults.add(
                    file, line,
                    f"Kiva lists no loan “{loan_id}”" + _zeros(loan_id, known.kiva.keys()),
                )  # fmt: skip
                continue
            if row["month"] not in months:
                months[row["month"]] = _why_no_month(row["month"], known.final)
            if why := months[row["month"]]:
                faults.add(file, line, why)
                continue
            digits = known.digits.get(loan_id, ISO_DIGITS.get(loan.currency, 2))
            repaid = _repaid(row, loan, digits)
            if isinstance(repaid, str):
                faults.add(file, line, repaid)
            else:
                month = Month.parse(row["month"])
                found[loan_id] = Baseline(loan_id, month, repaid, loan.currency, digits)
        return [baseline for baseline in found.values() if baseline]

    @property
    def left_empty(self) -> int:
        """Lines of the reported file without a figure."""
        return sum(
            not (row["principal_repaid"] or row[OUTSTANDING]) for _, row in self.reported_lines
        )


def _lines(
    file: Path | None, columns: Sequence[str], optional: Sequence[str], faults: Faults
) -> list[Line]:
    if file is None:
        return []
    try:
        lines = read_rows(file, columns, optional=optional)
        if optional and lines and not any(row[name] for _, row in lines for name in optional):
            read_rows(file, (*columns, optional[0]))  # says so if neither column is there
    except SettingsError as error:
        faults.add_file(error)
        return []
    return lines


def _repaid(row: Mapping[str, str], loan: KivaLoan, digits: int) -> int | str:
    """Principal repaid in minor units, or what is wrong with the figure."""
    text, outstanding = row["principal_repaid"] or row[OUTSTANDING], bool(row[OUTSTANDING])
    minor, price = to_minor(text, digits), to_minor(loan.price, digits)
    finer = minor is None and to_minor(text, _MOST_DIGITS) is not None
    wrong = (
        (
            bool(row["principal_repaid"]) and outstanding,
            "give principal_repaid or principal_outstanding, not both",
        ),
        (finer, f"{text} has more decimals than {loan.currency} has ({digits})"),
        (minor is None, f"“{text}” is not an amount; write plain digits such as 1234.50"),
        (minor is not None and minor < 0, f"{text} is below zero"),
        (
            minor is not None and price is not None and minor > price,
            f"{text} is above the loan's principal at Kiva, {loan.currency} {loan.price}",
        ),
        (
            outstanding and price is None,
            "Kiva's principal of this loan can't be read: give principal_repaid instead",
        ),
    )
    if why := next((told for is_so, told in wrong if is_so), ""):
        return why
    return (price or 0) - (minor or 0) if outstanding else (minor or 0)


def _why_no_month(text: str, final: Callable[[Month], bool]) -> str:
    try:
        month = Month.parse(text)
    except SettingsError:
        return f"“{text}” is not a month such as 2026-10"
    if not final(month):
        return (
            f"the report of {month} is not final yet: give the last figure of a month before it"
            " (or `kiva-pipeline close` it, if it was finalized in PA2)"
        )
    return ""


def _zeros(loan_id: str, ids: Container[str]) -> str:
    """A hint where a spreadsheet has cut the zeros at the beginning of an id."""
    if loan_id.isdigit():
        for width in range(len(loan_id) + 1, len(loan_id) + 9):
            if (whole := loan_id.zfill(width)) in ids:
                return f"; a spreadsheet may have cut its zeros: there is “{whole}”"
    return ""
