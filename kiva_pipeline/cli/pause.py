"""``pause`` and ``resume``: stop all sending, also that of a run at work, and let it go on."""

from kiva_pipeline.cli.options import AsJson, By, SettingsFile, Why
from kiva_pipeline.cli.partner import ledger_to_act_on, partner_settings
from kiva_pipeline.cli.show import print_json, say


def pause(
    by: By = None, why: Why = None, settings: SettingsFile = None, as_json: AsJson = False
) -> None:
    r"""Stop all sending, at once: a run that is at work stops before its next request.

    Requests that are under way are still answered and recorded. What was not sent waits; nothing
    is lost. It stays so over restarts, for runs, schedules and the UI alike, until `resume`.

    \b
    kiva-pipeline pause --by "Ada" --why "PA2 shows wrong amounts, we look first"
    """
    from kiva_pipeline.submission.acts import pause as pause_sending
    from kiva_pipeline.submission.acts import person

    partner, _ = partner_settings(settings)
    who = person(by, why)
    with ledger_to_act_on(partner) as ledger:
        pause_sending(ledger, partner, who)
    if as_json:
        print_json({"act": "pause", "by": who.name, "why": who.why})
    else:
        say(f"Sending is paused by {who.name}: {who.why}", style="bold")
        say("A run that is at work stops before its next request; `kiva-pipeline status` shows what"
            " waits. `kiva-pipeline resume` lets it go on.")  # fmt: skip


def resume(
    by: By = None, why: Why = None, settings: SettingsFile = None, as_json: AsJson = False
) -> None:
    r"""Let sending go on after a `pause`. Sends nothing itself: the next run does.

    \b
    kiva-pipeline resume --by "Ada" --why "amounts corrected in the MIS"
    """
    from kiva_pipeline.submission.acts import person
    from kiva_pipeline.submission.acts import resume as resume_sending

    partner, _ = partner_settings(settings)
    who = person(by, why)
    with ledger_to_act_on(partner) as ledger:
        paused_by, paused_why = resume_sending(ledger, partner, who)
    if as_json:
        print_json({"act": "resume", "by": who.name, "why": who.why,
                    "paused_by": paused_by, "paused_why": paused_why})  # fmt: skip
    else:
        say(f"Sending may go on. It was paused by {paused_by}: {paused_why}")
        say("Nothing was sent yet: the next run does, or `kiva-pipeline run MONTH`.")
