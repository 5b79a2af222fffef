"""Repayment schedules: what is wrong with each loan's, and their JSON for each draft.

A draft's schedule has one entry for each due day, summed over a group's members. Interest is the
original interest due, never what is outstanding.
"""

import numpy as np
import pandas as pd

from kiva_pipeline.money import to_digits
from kiva_pipeline.rules.runs import Positions, starts_of, whole_numbers


def schedule_facts(instalments: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """Sum each loan's instalments up.

    Args:
        instalments: ``INSTALMENT_COLUMNS``, in any order.
        members: The loans, with ``loan_id`` and ``disbursed_on``.

    Returns:
        One row for each member: ``instalments`` (their number), ``scheduled`` (Σ principal, minor
        units), ``negative``, ``number_twice``, ``too_early`` (an instalment is not after the
        disbursal), ``first_due`` and ``instalment_problems`` (bits of ``INSTALMENT_RECORDS``).
    """
    ids = pd.Index(members["loan_id"].unique())
    of_loan = loan_positions(instalments, ids)
    known = instalments[of_loan >= 0]
    at = of_loan[of_loan >= 0]
    count = np.bincount(at, minlength=len(ids))
    scheduled = np.zeros(len(ids), dtype=np.int64)
    problems = np.zeros(len(ids), dtype=np.int64)
    flags = np.zeros((3, len(ids)), dtype=bool)
    principal, interest = whole_numbers(known["principal"]), whole_numbers(known["interest"])
    np.add.at(scheduled, at, principal)
    np.bitwise_or.at(problems, at, known["problems"].to_numpy())
    flags[0, at[(principal < 0) | (interest < 0)]] = True
    numbered = known["number"].notna().to_numpy()
    flags[1, at[known.duplicated(["loan_id", "number"]).to_numpy() & numbered]] = True
    due = known["due_on"].to_numpy(dtype="datetime64[D]")
    disbursed = np.full(len(ids), "NaT", dtype="datetime64[D]")
    position = ids.get_indexer(members["loan_id"])
    disbursed[position] = members["disbursed_on"].to_numpy(dtype="datetime64[D]")
    flags[2, at[due <= disbursed[at]]] = True
    first_due = np.full(len(ids), np.datetime64("9999-12-31"), dtype="datetime64[D]")
    np.minimum.at(first_due, at[~np.isnat(due)], due[~np.isnat(due)])
    facts = {
        "instalments": count,
        "scheduled": scheduled,
        "negative": flags[0],
        "number_twice": flags[1],
        "too_early": flags[2],
        "first_due": first_due,
        "instalment_problems": problems,
    }
    return pd.DataFrame({name: values[position] for name, values in facts.items()})


def loan_positions(instalments: pd.DataFrame, loan_ids: pd.Index) -> Positions:
    """The position of each instalment's loan in ``loan_ids``; -1 if it has none there."""
    found: Positions = loan_ids.get_indexer(instalments["loan_id"])
    return np.where((instalments["loan_id"] == "").to_numpy(), -1, found)


def schedule_texts(instalments: pd.DataFrame, members: pd.DataFrame) -> dict[int, str]:
    """The JSON of each draft's schedule.

    Args:
        instalments: ``INSTALMENT_COLUMNS``, in any order.
        members: The loans of good drafts only: ``loan_id`` (unique), ``draft``,
            ``currency_digits``.

    Returns:
        By draft: ``[{"date":…,"interest":…,"principal":…}, …]`` in order of due day, amounts as
        exact digits.
    """
    of_loan = loan_positions(instalments, pd.Index(members["loan_id"]))
    known = instalments[of_loan >= 0]
    if known.empty:
        return {}
    of_loan = of_loan[of_loan >= 0]
    draft = members["draft"].to_numpy()[of_loan]
    due = known["due_on"].to_numpy(dtype="datetime64[D]")
    order = np.lexsort((due, draft))
    draft, due = draft[order], due[order]
    starts = starts_of(draft, due)
    digits = whole_numbers(members["currency_digits"])[of_loan][order][starts]
    sums = (
        np.add.reduceat(whole_numbers(known[column])[order], starts).tolist()
        for column in ("interest", "principal")
    )
    entries = [
        f'{{"date":"{day}","interest":{to_digits(interest, places)}'
        f',"principal":{to_digits(principal, places)}}}'
        for day, interest, principal, places in zip(
            due[starts].astype(str).tolist(), *sums, digits.tolist(), strict=True
        )
    ]
    drafts = draft[starts]
    first = starts_of(drafts)
    bounds = [*first.tolist(), len(entries)]
    return {
        number: f"[{','.join(entries[begin:end])}]"
        for number, begin, end in zip(drafts[first].tolist(), bounds, bounds[1:], strict=False)
    }
