"""Two plans have one digest if, and only if, they decide the same of the same things."""

import pandas as pd
import pytest

from kiva_pipeline.submission.digest import PlanDigest

PLAN = pd.DataFrame(
    [("L1", "planned", "a1"), ("L2", "held", "b2"), ("L3", "unchanged", "c3"), ("香", "missing", "")],
    columns=["business_id", "decision", "payload_hash"],
)  # fmt: skip


def digest_of(*chunks: pd.DataFrame, kind: str = "repayment", month: str = "2026-09") -> str:
    digest = PlanDigest(kind, month)
    for chunk in chunks:
        digest.add(chunk)
    return digest.hex


def test_where_a_chunk_ends_plays_no_part() -> None:
    whole = digest_of(PLAN)
    assert digest_of(PLAN[:1], PLAN[1:]) == whole
    assert digest_of(PLAN[:2], PLAN[2:2], PLAN[2:]) == whole


def test_the_order_of_rows_and_other_columns_play_no_part() -> None:
    shuffled = PLAN.iloc[[2, 0, 3, 1]].assign(reasons="told otherwise", version=7)
    assert digest_of(shuffled) == digest_of(PLAN)


@pytest.mark.parametrize("column", list(PLAN.columns))
@pytest.mark.parametrize("row", range(len(PLAN)))
def test_each_decision_and_each_content_counts(column: str, row: int) -> None:
    changed = PLAN.copy()
    changed.loc[row, column] += "x"
    assert digest_of(changed) != digest_of(PLAN)


def test_each_row_the_kind_and_the_month_count() -> None:
    others = [digest_of(PLAN.drop(index=n)) for n in range(len(PLAN))]
    others += [digest_of(PLAN, kind="journal"), digest_of(PLAN, month="2026-10"), digest_of()]
    assert len({digest_of(PLAN), *others}) == len(others) + 1


def test_separators_inside_ids_blur_nothing() -> None:
    rows = [[("a", "b", "c,d")], [("a", "b,c", "d")], [('a","b', "c", "d")], [("a,b", "c", "d")]]
    frames = [pd.DataFrame(r, columns=PLAN.columns) for r in rows]
    assert len({digest_of(frame) for frame in frames}) == len(frames)
