"""Adoption as a job: as ``kiva-pipeline adopt``, with its files where the run can read them.

What must not break: an empty form only looks; adopting takes a name, a reason and a second launch.
"""

from pathlib import Path

import dagster as dg

from kiva_pipeline.adopting import carry_out, prepare_adoption
from kiva_pipeline.assets.failures import explained
from kiva_pipeline.assets.resources import PartnerResource
from kiva_pipeline.automation.act_forms import AdoptForm
from kiva_pipeline.automation.acts import NOTHING, Act, act_job, day_of, signed, tell
from kiva_pipeline.reporting.adoption_lines import (
    ADOPTION_COLUMNS,
    adoption_table,
    adoption_warnings,
)
from kiva_pipeline.submission.adoption_files import AdoptionFiles


@dg.op(out=NOTHING)
def adopt_what_kiva_has(
    context: dg.OpExecutionContext, config: AdoptForm, partner: PartnerResource
) -> None:
    """Tell the ledger what Kiva has already."""
    settings = partner.settings
    with explained():
        who = None if config.only_look else signed(config, context)
        prepared = prepare_adoption(
            settings,
            AdoptionFiles(
                drafts=_file(config.drafts),
                reported=_file(config.reported),
                groups=_file(config.groups),
            ),
            go_live_on=day_of(config.go_live) if config.go_live.strip() else None,
            why=who.why if who else "",
        )
        if who:
            done = carry_out(settings, prepared, who.actor)
            words = f"Adopted. This ledger posts since {done.go_live_on}."
        else:
            words = "Nothing was adopted yet: launch it again with only_look: false to adopt this."
    tell(
        context,
        "\n\n".join([words, *adoption_warnings(prepared)]),
        ADOPTION_COLUMNS,
        [list(row) for row in adoption_table(prepared)],
    )


def adopt_job() -> dg.JobDefinition:
    """The job ``act_adopt``."""
    return act_job(
        "act_adopt",
        Act(
            adopt_what_kiva_has,
            AdoptForm,
            "Tell the ledger what Kiva has already, so that nothing of it is sent twice: on the day"
            " of going live, after a backup was restored, or when a loan was posted by hand. Look"
            " first in PA2: which drafts wait (all pages), what the last report says. Sends"
            " nothing. `docs/go-live.md` goes through it.",
        ),
    )


def _file(name: str) -> Path | None:
    return Path(name.strip()) if name.strip() else None
