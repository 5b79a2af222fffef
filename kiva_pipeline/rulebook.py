"""A rulebook: named rules over a frame, run by pandera, answered as one bit mask a row.

A rule is written once, as a row of a rulebook: its code, the field, the class of value that breaks
it, the sentence for the Kiva Coordinator and the vectorised check. Pandera runs them all over a
frame; each failed check's boolean mask becomes one bit of an int64 column, and the sentences are
joined only to rows that failed. That keeps 20 % bad rows nearly as cheap as none.

What must not break: a value that failed (a name, a text, an amount) never enters a message.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray
from pandera.config import ValidationDepth, get_config_context
from pandera.errors import SchemaError, SchemaErrors

from kiva_pipeline.errors import PipelineError, SettingsError

Bits = NDArray[np.int64]
_DEPTHS = {None, ValidationDepth.SCHEMA_AND_DATA}


class Severity(StrEnum):
    """What a broken rule does to its row."""

    BLOCK = "block"  # invalid: can't be sent until the MIS or the mapping is corrected
    MISSING = "missing"  # the MIS has no answer: never 0, a person must look
    HOLD = "hold"  # plausible but risky: a person must look, and approve or mend it
    PERSON = "person"  # Kiva has what the MIS took back: a person must act in PA2
    WARN = "warn"  # goes out; PA2 or a lender may object


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it checks, and what to say when a row breaks it.

    Attributes:
        code: Stable snake_case name; kept in ledgers and UI histories.
        field: The field at Kiva, or the column of the canonical record, that it is about.
        value_class: The class of the offending value: ``missing``, ``not a number``, ``negative``,
            ``not in Kiva's list`` … (never the value itself).
        severity: What the broken rule does to the row.
        sentence: For the Coordinator: what is wrong and what to do.
        holds: Frame in, boolean per row out: True where the rule is kept.
    """

    code: str
    field: str
    value_class: str
    severity: Severity
    sentence: str
    holds: Callable[[pd.DataFrame], "pd.Series[bool]"]


class Rulebook:
    """Up to 63 rules over frames of one shape.

    Args:
        name: For error messages and check names.
        rules: In the order in which reasons are told.
        columns: The columns and dtypes that the frame must have; a frame without one is a
            programming error and raises, it is not a row's fault.
    """

    def __init__(
        self, name: str, rules: Sequence[Rule], columns: dict[str, pa.Column] | None = None
    ) -> None:
        if len(rules) > 63 or len({rule.code for rule in rules}) != len(rules):
            raise ValueError(f"{name}: at most 63 rules, each with a code of its own")
        self.name = name
        self.rules = tuple(rules)
        self._columns = columns or {}

    @cached_property
    def schema(self) -> pa.DataFrameSchema:
        """The rules as a pandera schema; each check carries its rule's code as its name."""
        checks = [
            pa.Check(
                _plain(rule.holds),
                name=rule.code,
                error=rule.sentence,
                n_failure_cases=1,
                ignore_na=False,
            )
            for rule in self.rules
        ]
        return pa.DataFrameSchema(self._columns, checks=checks, name=self.name)

    def bit(self, code: str) -> np.int64:
        """The bit that stands for a rule."""
        return np.int64(1) << next(i for i, rule in enumerate(self.rules) if rule.code == code)

    def mask(self, *severities: Severity) -> np.int64:
        """The bits of all rules of these severities."""
        bits = [np.int64(1) << i for i, r in enumerate(self.rules) if r.severity in severities]
        return np.int64(sum(bits))

    def judge(self, frame: pd.DataFrame) -> Bits:
        """Run every rule over the frame.

        Returns:
            One int64 a row, in the frame's order; bit *i* is set where rule *i* is broken.

        Raises:
            SettingsError: Pandera's validation is switched off in the environment.
            FrameShapeError: The frame itself has the wrong columns or dtypes, or a rule can't be
                run on it. No value of the frame is in the message.
        """
        refuse_when_validation_is_off()
        bits = np.zeros(len(frame), dtype=np.int64)
        if frame.empty:
            return bits
        try:
            # Pandera aligns masks by the index: rows are told apart by their place alone.
            self.schema.validate(frame.reset_index(drop=True), lazy=True)
        except SchemaErrors as errors:
            for error in errors.schema_errors:
                output = error.check_output
                if not isinstance(output, pd.Series):
                    raise FrameShapeError(self.name, error) from None
                bits[~output.to_numpy(dtype=bool)] |= self.bit(error.check.name)
        return bits

    def counts(self, bits: Bits) -> dict[str, int]:
        """How many rows break each rule; every rule is listed, also with 0."""
        return {
            rule.code: int(np.count_nonzero(bits & (np.int64(1) << i)))
            for i, rule in enumerate(self.rules)
        }

    def broken(self, bits: int) -> list[Rule]:
        """The rules that one row breaks, in the rulebook's order."""
        return [rule for i, rule in enumerate(self.rules) if bits >> i & 1]

    def first_broken(self, bits: Bits, *severities: Severity) -> NDArray[np.object_]:
        """The code of the first broken rule of these severities in each row, or None."""
        codes = np.full(len(bits), None, dtype=object)
        for i, rule in reversed(list(enumerate(self.rules))):
            if rule.severity in severities:
                codes[(bits & (np.int64(1) << i)) != 0] = rule.code
        return codes

    def explain(self, bits: "pd.Series[int]") -> pd.DataFrame:
        """One row for each broken rule of each row.

        Args:
            bits: As ``judge`` gave them; the index is kept as the column ``row``.

        Returns:
            ``row, code, field, value_class, severity, sentence``; empty when nothing is broken.
        """
        failed = bits[bits != 0]
        parts = [
            pd.DataFrame(
                {
                    "row": failed.index[(failed.to_numpy() >> i & 1).astype(bool)],
                    "code": rule.code,
                    "field": rule.field,
                    "value_class": rule.value_class,
                    "severity": rule.severity.value,
                    "sentence": rule.sentence,
                }
            )
            for i, rule in enumerate(self.rules)
        ]
        return pd.concat(parts, ignore_index=True).sort_values("row", kind="stable")


class FrameShapeError(PipelineError):
    """A frame does not have the columns or dtypes that its rulebook needs: a fault of ours."""

    def __init__(self, rulebook: str, error: SchemaError) -> None:
        column = getattr(error.schema, "name", None) or "the frame"
        check = getattr(error.check, "name", None) or error.check
        super().__init__(
            f"{rulebook}: {column} fails “{check}” ({error.reason_code and error.reason_code.name})"
        )


def _plain(holds: Callable[[pd.DataFrame], "pd.Series[bool]"]) -> Callable[..., "pd.Series[bool]"]:
    # A comparison with an empty nullable value is neither true nor false; a rule isn't kept by it.
    def kept(frame: pd.DataFrame) -> "pd.Series[bool]":
        answer = holds(frame)
        return pd.Series(answer.to_numpy(dtype=bool, na_value=False), index=frame.index)

    return kept


def refuse_when_validation_is_off() -> None:
    """Stop if pandera is switched off, as a whole or for data: every guard would pass silently.

    Raises:
        SettingsError: ``PANDERA_VALIDATION_ENABLED`` is not true, ``PANDERA_VALIDATION_DEPTH``
            leaves the rows out, or the program said so.
    """
    config = get_config_context()  # what pandera itself made of the environment
    if config.validation_enabled and config.validation_depth in _DEPTHS:
        return
    raise SettingsError(
        "Pandera's validation is switched off (PANDERA_VALIDATION_ENABLED or"
        " PANDERA_VALIDATION_DEPTH), and with it every check of this pipeline.",
        "Remove them from the environment: nothing is sent unvalidated.",
    )
