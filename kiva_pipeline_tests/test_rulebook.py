"""Named rules over a frame: one bit a rule and row, and never a value in a message."""

import os
import subprocess
import sys
import traceback
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandera.config import ValidationDepth, config_context

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.rulebook import FrameShapeError, Rule, Rulebook, Severity

NAME = "Ångström-Okonkwo"


def rule(code: str, severity: Severity = Severity.BLOCK, column: str = "n", above: int = 0) -> Rule:
    return Rule(
        code, column, "too small", severity, f"{code}!", lambda frame: frame[column] > above
    )


BOOK = Rulebook(
    "book",
    [
        rule("above_0"),
        rule("above_10", Severity.WARN, above=10),
        rule("above_20", Severity.HOLD, above=20),
    ],
)


@given(st.lists(st.integers(-5, 30)))
def test_each_row_gets_the_bits_of_the_rules_it_breaks(numbers: list[int]) -> None:
    bits = BOOK.judge(pd.DataFrame({"n": pd.array(numbers, dtype="int64")}))
    assert bits.dtype == np.int64
    assert bits.tolist() == [(n <= 0) + 2 * (n <= 10) + 4 * (n <= 20) for n in numbers]
    assert BOOK.counts(bits) == {
        f"above_{limit}": sum(n <= limit for n in numbers) for limit in (0, 10, 20)
    }


def test_an_empty_value_keeps_no_rule_and_an_odd_index_moves_no_bit() -> None:
    frame = pd.DataFrame({"n": pd.array([None, 30, None, 5], dtype="Int64")}, index=[7, 7, 3, -1])
    assert BOOK.judge(frame).tolist() == [0b111, 0, 0b111, 0b110]
    told = BOOK.explain(pd.Series(BOOK.judge(frame), index=["a", "b", "c", "d"]))
    assert told[["row", "code"]].to_numpy().tolist() == [
        ["a", "above_0"], ["a", "above_10"], ["a", "above_20"],
        ["c", "above_0"], ["c", "above_10"], ["c", "above_20"],
        ["d", "above_10"], ["d", "above_20"],
    ]  # fmt: skip


def test_a_frame_without_rows_breaks_nothing() -> None:
    bits = BOOK.judge(pd.DataFrame({"n": pd.array([], dtype="int64")}))
    assert bits.tolist() == []
    assert set(BOOK.counts(bits).values()) == {0}
    assert BOOK.explain(pd.Series(bits)).empty


def test_the_first_broken_rule_is_the_first_of_its_severities() -> None:
    bits = BOOK.judge(pd.DataFrame({"n": [-1, 5, 15, 25]}))
    assert BOOK.first_broken(bits, Severity.HOLD).tolist() == ["above_20"] * 3 + [None]
    assert BOOK.first_broken(bits, Severity.HOLD, Severity.BLOCK).tolist() == [
        "above_0", "above_20", "above_20", None,
    ]  # fmt: skip
    assert [r.code for r in BOOK.broken(int(bits[1]))] == ["above_10", "above_20"]
    assert bits[3] & BOOK.mask(*Severity) == 0
    assert BOOK.mask(Severity.BLOCK, Severity.HOLD) == 0b101
    assert BOOK.bit("above_20") == 0b100


def test_63_rules_fit_into_a_row_and_no_more() -> None:
    book = Rulebook("wide", [rule(f"r{i}") for i in range(63)])
    bits = book.judge(pd.DataFrame({"n": [0, 1]}))
    assert bits.tolist() == [2**63 - 1, 0]
    assert bits[0] & book.bit("r62")
    with pytest.raises(ValueError, match="at most 63"):
        Rulebook("wider", [rule(f"r{i}") for i in range(64)])
    with pytest.raises(ValueError, match="a code of its own"):
        Rulebook("twice", [rule("same"), rule("same")])


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"other": [NAME]}),  # the rule's column is not there
        pd.DataFrame({"n": [NAME]}),  # and can't be compared
        pd.DataFrame({"n": [5], "typed": [NAME]}),  # a column of the wrong type
    ],
)
def test_a_frame_of_the_wrong_shape_raises_without_a_value_of_it(frame: pd.DataFrame) -> None:
    book = Rulebook("shaped", [rule("above_0")], {"typed": pa.Column("int64", required=False)})
    with pytest.raises(FrameShapeError, match="shaped") as caught:
        book.judge(frame)
    assert NAME not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "switched_off",
    [
        {"validation_enabled": False},
        {"validation_depth": ValidationDepth.SCHEMA_ONLY},
        {"validation_depth": ValidationDepth.DATA_ONLY},
    ],
)
def test_it_refuses_to_work_where_checks_are_switched_off(switched_off: dict[str, Any]) -> None:
    with config_context(**switched_off):
        for frame in (pd.DataFrame({"n": [1]}), pd.DataFrame({"n": []})):
            with pytest.raises(SettingsError, match="PANDERA_VALIDATION_ENABLED"):
                BOOK.judge(frame)


def test_it_refuses_every_spelling_by_which_the_environment_switches_checks_off() -> None:
    # Pandera reads its variables when it is imported: this needs a process of its own.
    script = (
        "import pandas as pd\n"
        "from kiva_pipeline.rulebook import Rulebook\n"
        "Rulebook('book', []).judge(pd.DataFrame({'n': [1]}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PANDERA_VALIDATION_ENABLED": "no"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "SettingsError: Pandera's validation is switched off" in done.stderr
