"""The forms of a person's acts in Dagster's launch pad: all fields are there, and empty at first.

An act with an empty form is refused in words. Dagster takes the names of a choice. What must not
break: each act is signed, and its form says what to look for in PA2 before it is sent off. What is
typed here is kept by Dagster with the run, for everybody who sees its pages.
"""

from enum import Enum
from typing import Any

import dagster as dg
from pydantic import Field


class Found(Enum):
    """What a person found in PA2."""

    not_looked_yet = ""
    arrived = "arrived"
    not_there = "not_there"


class OnlyStream(Enum):
    """Which kind of effect, where an id alone does not say it; the values are the ledger's."""

    all = None
    drafts = "loan_draft"
    repayments = "repayment"
    journals = "journal"


class Signed(dg.Config):
    """What every act asks for."""

    by: str = Field(default="", description="Who does it: your own name.")
    why: str = Field(
        default="",
        description="Why, in your own words. Kept for ever, so write no borrower's name.",
    )


class ResolveForm(Signed):
    """What PA2 shows about something whose answer was lost."""

    target: str = Field(
        default="",
        description="As `act_doubts` lists it: the id of a loan or group, LOAN/NOTE of a journal,"
        " or the request's id for all its rows.",
    )
    found: Found = Field(
        default=Found.not_looked_yet,
        description="arrived: PA2 has it. not_there: PA2 does not have it, so the next run sends"
        " what the MIS says then. Look first, as `act_doubts` says where.",
    )
    draft_is_surely_not_there: bool = Field(
        default=False,
        description="true, to say that a draft is not there: you looked through all drafts in PA2,"
        " also for that client under another id. If it is there after all, the next run makes a"
        " second one, and nobody can take that back by the API.",
    )
    reference: str = Field(
        default="", description="What PA2 shows with it, if you have it: uuid or archive id."
    )
    stream: OnlyStream = Field(
        default=OnlyStream.all, description="Where more than one thing of the loan is in doubt."
    )
    month: str = Field(default="", description="Likewise, as 2026-09.")


class AdoptForm(Signed):
    """What Kiva has already, as far as Kiva's list does not show it."""

    only_look: bool = Field(
        default=True,
        description="true: only check the files and show what would be adopted. false: adopt it.",
    )
    drafts: str = Field(
        default="",
        description="A CSV file where the run can read it: the loan_id of each draft that waits in"
        " PA2 (look through all pages of the drafts). Only the heading if none waits.",
    )
    reported: str = Field(
        default="",
        description="Likewise: loan_id, month, principal_repaid, as PA2's last final report says.",
    )
    groups: str = Field(
        default="",
        description="Likewise: group_id, loan_id; the members that each group was posted with.",
    )
    go_live: str = Field(default="", description="As 2026-10-06; empty for today.")


class MonthForm(dg.Config):
    """A month to look at."""

    month: str = Field(default="", description="As 2026-09; empty for the last finished month.")


class ApproveForm(Signed):
    """What a guard holds, and may go all the same."""

    month: str = Field(
        default="", description="The month of the table that `act_held` shows, as 2026-09."
    )
    target: str = Field(default="", description="One loan or group of the table; or else …")
    table: str = Field(
        default="",
        description="… the digest of the whole table as `act_held` showed it. Another table than"
        " the one shown is refused.",
    )


class RetryForm(Signed):
    """What Kiva refused, and goes once more."""

    targets: list[str] = Field(
        default=[], description="Loans, groups or LOAN/NOTE. Empty: everything refused of `month`."
    )
    month: str = Field(default="", description="As 2026-10.")
    stream: OnlyStream = Field(default=OnlyStream.all, description="Only this stream.")


class CloseForm(Signed):
    """A month's report that is final in PA2."""

    month: str = Field(default="", description="The month that the report is about, as 2026-09.")
    undo: bool = Field(
        default=False, description="true: it was closed by mistake, PA2 shows it as open."
    )


class ExtendForm(Signed):
    """A month's report that Kiva gave more time."""

    month: str = Field(default="", description="The month that the report is about, as 2026-09.")
    until: str = Field(
        default="", description="The last day, in the partner's time zone, as 2026-10-20."
    )


def empty_form(form: type[dg.Config]) -> dict[str, Any]:
    """What the launch pad is filled with at first."""
    defaults = {name: field.default for name, field in form.model_fields.items()}
    return {k: v.name if isinstance(v, Enum) else v for k, v in defaults.items()}
