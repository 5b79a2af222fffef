"""The loans that a month's report answers for, and the members that make up a group's figure."""

import json
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from kiva_pipeline import expected as lists
from kiva_pipeline import streams
from kiva_pipeline.errors import PipelineError
from kiva_pipeline.expected import EXPECTED_COLUMNS, ExpectedList, ExpectedLists
from kiva_pipeline.periods import Month, Phase
from kiva_pipeline.submission.ledger import Ledger
from kiva_pipeline.submission.tables import submission
from kiva_pipeline_tests.submission.books import DRAFT, draft_row, version
from kiva_pipeline_tests.submission.books import kiva_loans as listed

SEPTEMBER = Month(2026, 9)
OPEN_DAY, CLOSED_DAY = date(2026, 10, 6), date(2026, 10, 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "expected"


def ask(
    folder: Path, *loan_ids: str, phase: Phase = Phase.OPEN, today: date = OPEN_DAY,
    keep: bool = True,
) -> ExpectedList:  # fmt: skip
    return ExpectedLists(folder).of_month(
        SEPTEMBER, listed(*loan_ids), phase=phase, today=today, keep=keep
    )


def ids(found: ExpectedList) -> dict[str, bool]:
    """Each loan, and whether it is still expected."""
    loans = found.loans
    assert {name: str(kind) for name, kind in loans.dtypes.items()} == EXPECTED_COLUMNS
    return dict(zip(loans["internal_loan_id"], loans["still_expected"], strict=True))


def test_while_a_month_is_open_its_list_is_todays_who_joins_is_added_and_who_left_is_not(
    folder: Path,
) -> None:
    assert ids(ask(folder, "a", "b")) == {"a": True, "b": True}
    assert ids(ask(folder, "b", "c")) == {"b": True, "c": True}
    closed = ask(folder, "c", "d", phase=Phase.CLOSED, today=CLOSED_DAY)
    assert closed.frozen == lists.KEPT_BEFORE
    assert ids(closed) == {"b": False, "c": True}


def test_the_list_of_a_final_month_is_never_written_again(folder: Path) -> None:
    ask(folder, "a")
    (kept,) = folder.iterdir()
    before = kept.read_bytes(), kept.stat().st_mtime_ns
    for phase in (Phase.CLOSED, Phase.NOT_YET):
        ask(folder, "b", phase=phase, today=CLOSED_DAY)
    ask(folder, "b", keep=False)  # a dry run
    assert (kept.read_bytes(), kept.stat().st_mtime_ns) == before


def test_without_a_kept_list_todays_stands_in_and_says_so(folder: Path) -> None:
    found = ask(folder, "a", phase=Phase.CLOSED, today=CLOSED_DAY)
    assert found.frozen == lists.NONE_KEPT
    assert ids(found) == {"a": True}
    assert not folder.exists()


def test_of_a_month_that_is_not_over_nothing_is_expected(folder: Path) -> None:
    found = ask(folder, "a", phase=Phase.NOT_YET, today=date(2026, 9, 30))
    assert (found.frozen, ids(found)) == (lists.NOT_OVER, {})
    over = ask(folder, "a", phase=Phase.NOT_YET, today=date(2026, 10, 1))
    assert (over.frozen, ids(over)) == (lists.TODAYS, {"a": True})
    assert not folder.exists()


def test_a_kept_list_of_nobody_is_a_list(folder: Path) -> None:
    ask(folder)
    found = ask(folder, "a", phase=Phase.CLOSED, today=CLOSED_DAY)
    assert (found.frozen, ids(found)) == (lists.KEPT_BEFORE, {})


def test_a_loan_without_an_id_of_its_own_is_found_again_by_kivas(folder: Path) -> None:
    nameless = pd.concat([listed("", kiva_id="7"), listed("", kiva_id="8")], ignore_index=True)
    of = ExpectedLists(folder).of_month
    of(SEPTEMBER, nameless, phase=Phase.OPEN, today=OPEN_DAY, keep=True)
    found = of(SEPTEMBER, nameless.iloc[1:], phase=Phase.CLOSED, today=CLOSED_DAY, keep=True)
    assert found.loans["still_expected"].tolist() == [False, True]


def test_kept_lists_are_the_owners_alone(folder: Path) -> None:
    ask(folder, "a")
    (kept,) = folder.iterdir()
    assert [path.stat().st_mode & 0o077 for path in (folder, kept)] == [0, 0]


def test_a_list_that_was_spoiled_is_named_with_the_way_out(folder: Path) -> None:
    ask(folder, "a")
    (kept,) = folder.iterdir()
    kept.write_bytes(b"no parquet")
    with pytest.raises(PipelineError, match=f"{kept.name} can't be read .* Take it from a backup"):
        ask(folder, "a", phase=Phase.CLOSED, today=CLOSED_DAY)


# --- who makes up a group


class Groups:
    """An MIS that forms groups as it does today, and remembers what it was asked."""

    def __init__(self, **formed: list[str]) -> None:
        self.formed, self.asked = formed, list[str]()

    def group_members(self, group_ids: list[str]) -> pd.DataFrame:
        self.asked = list(group_ids)
        pairs = [(g, m) for g in group_ids for m in self.formed.get(g, [])]
        return pd.DataFrame(pairs, columns=["group_id", "loan_id"]).astype("str")


@pytest.fixture
def book(tmp_path: Path):
    opened = Ledger.open(
        f"sqlite+pysqlite:///{tmp_path}/ledger.sqlite", environment="sandbox", partner_id="145"
    )
    yield opened
    opened.close()


def draft_of(book: Ledger, group: str, *members: str, **how: str) -> None:
    row = draft_row(group, *members) | {"client_id": f"C-{group}"}
    made = version(DRAFT, row, how.pop("state", "accepted"), **how)
    with book.writing() as connection:
        connection.execute(submission.insert(), [made])


def members_of(book: Ledger, mis: Groups, *loan_ids: str, borrowers: int = 2) -> dict[str, str]:
    expected = listed(*loan_ids, borrower_count=borrowers)
    found = streams.group_members(expected, book, mis)  # type: ignore[arg-type]
    return {
        g: ", ".join(rows["loan_id"]) + f" of {rows['client_id'].iloc[0]}"
        for g, rows in found.groupby("group_id")
    }


def test_a_member_who_joins_or_leaves_after_the_draft_was_accepted_changes_no_figure(
    book: Ledger,
) -> None:
    draft_of(book, "G", "a", "b")
    mis = Groups(G=["a", "c", "d"])
    assert members_of(book, mis, "G") == {"G": "a, b of C-G"}
    assert mis.asked == []


@pytest.mark.parametrize("state", ["accepted", "uncertain"])
def test_only_a_draft_that_kiva_has_or_may_have_says_who_is_in_the_group(
    book: Ledger, state: str
) -> None:
    draft_of(book, "G", "a", "b", state=state)
    draft_of(book, "H", "a", "b", state="planned")
    mis = Groups(G=["x", "y"], H=["x", "y"])
    assert members_of(book, mis, "G", "H") == {"G": "a, b of C-G", "H": "x, y of "}


@pytest.mark.parametrize("code", ["adopted", "adopted_waiting"])
def test_a_group_that_was_adopted_without_members_has_none_until_somebody_names_them(
    book: Ledger, code: str
) -> None:
    draft_of(book, "G", code=code)
    assert members_of(book, Groups(G=["x", "y"]), "G") == {}
    draft_of(book, "H", "a", "b", code=code)
    assert members_of(book, Groups(H=["x", "y"]), "H") == {"H": "a, b of C-H"}


def test_a_draft_of_several_that_kiva_has_for_one_borrower_is_asked_by_its_members(
    book: Ledger,
) -> None:
    draft_of(book, "G", "a", "b")
    assert members_of(book, Groups(), "G", borrowers=1) == {"G": "a, b of C-G"}


def test_an_individual_draft_that_kiva_has_for_several_borrowers_stays_individual(
    book: Ledger,
) -> None:
    draft_of(book, "L1", code="accepted")
    assert members_of(book, Groups(L1=["x", "y"]), "L1") == {"L1": "L1 of C-L1"}


def test_a_group_in_doubt_and_then_posted_anew_has_the_newest_members(book: Ledger) -> None:
    draft_of(book, "G", "a", "b", state="rejected")
    row = draft_row("G", "a", "c")
    with book.writing() as connection:
        connection.execute(submission.insert(), [version(DRAFT, row, "accepted", number=2)])
    assert json.loads(row["loan_ids"]) == ["a", "c"]
    assert members_of(book, Groups(), "G") == {"G": "a, c of C-G"}
