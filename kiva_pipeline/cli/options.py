"""The options that commands share, and what they stand for."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kiva_pipeline.partner_api.exchange import PostKind
from kiva_pipeline.settings import BY_VARIABLE, SETTINGS_VARIABLE

SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        envvar=SETTINGS_VARIABLE,
        help="The partner's settings; else ./partner.yaml, else ./kiva-demo/partner.yaml.",
        show_default=False,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Machine-readable, and nothing else on standard output.")
]
MonthText = Annotated[
    str | None, typer.Argument(metavar="[MONTH]", help="As 2026-10; all months without it.")
]
# A person's act is signed: both are kept in the ledger for ever.
By = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", envvar=BY_VARIABLE, help="Who does it: your own name."),
]
Why = Annotated[
    str | None,
    typer.Option(
        "--why",
        metavar="REASON",
        help="Why, in your own words. Kept for ever, so write no borrower's name.",
    ),
]


class Stream(StrEnum):
    """What a command may be limited to."""

    ALL = "all"
    DRAFTS = "drafts"
    REPAYMENTS = "repayments"
    JOURNALS = "journals"

    @property
    def kinds(self) -> tuple[PostKind, ...]:
        """The kinds of effect, in the order of a month's work."""
        return _KINDS[self]

    @property
    def only_kind(self) -> str | None:
        """The one kind of effect as the ledger writes it; None for all of them."""
        return None if self is Stream.ALL else self.kinds[0].value


_KINDS = {
    Stream.ALL: (PostKind.LOAN_DRAFT, PostKind.REPAYMENT, PostKind.JOURNAL),
    Stream.DRAFTS: (PostKind.LOAN_DRAFT,),
    Stream.REPAYMENTS: (PostKind.REPAYMENT,),
    Stream.JOURNALS: (PostKind.JOURNAL,),
}

OneStream = Annotated[Stream, typer.Option("--stream", help="Limit it to one stream.")]
