"""The states of a submission, and what each says to the Kiva Coordinator.

    planned → in_flight → accepted | rejected | uncertain

and those that are never sent. ``uncertain`` is sticky: only evidence clears it.
"""

from enum import StrEnum


class State(StrEnum):
    """What became of one version of one effect; also the decision that a run reports for it."""

    PLANNED = "planned"
    IN_FLIGHT = "in_flight"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"
    BLOCKED = "blocked"
    HELD = "held"
    MISSING = "missing"
    ALREADY_AT_KIVA = "already_at_kiva"
    NOT_EXPECTED = "not_expected"
    CARRIED_FORWARD = "carried_forward"
    NEEDS_PERSON = "needs_person"
    UNCHANGED = "unchanged"
    DEFERRED = "deferred"
    WITHDRAWN = "withdrawn"


# A version in one of these is done with; any other is open, and an identity has one open version
# at the most (a partial unique index holds the ledger to it). UNCHANGED is a decision only.
SETTLED = frozenset({State.ACCEPTED, State.REJECTED, State.WITHDRAWN})
OPEN = tuple(state for state in State if state not in SETTLED and state is not State.UNCHANGED)

# States that no request was ever made for: such a version may be planned, changed or withdrawn.
NEVER_SENT = frozenset(OPEN) - {State.IN_FLIGHT, State.UNCERTAIN}

# The reason of a planned row that is an uncertain one about to go again: it is in doubt until its
# new attempt is answered.
RESENT = "resend_same"

# Reasons of what Kiva had before the ledger began: listed by it, or a draft that waited in PA2.
ADOPTED = "adopted"
ADOPTED_WAITING = "adopted_waiting"
SEEN_AT_KIVA = "seen_at_kiva"

# Reasons of a version that ended by the word of a person, and make the planner plan a new one.
NOT_THERE = "resolved_not_there"
NOT_THERE_LISTED = "not_there_but_listed"
RETRY_ASKED = "retry_asked"

# The guard on figures that look right themselves, in a month that does not.
MONTH_HELD = "month_held"

# Guards on a figure that a named person may lift by approving exactly this figure. What the rules
# hold (another currency, client or principal at Kiva, more than the principal, unknown kinds of
# transactions) is never lifted: sending it would be wrong money. It goes once its cause is mended.
LIFTED_BY_APPROVAL = frozenset(
    {
        "lower_than_sent", "jump", "first_report_without_baseline", MONTH_HELD,
        "may_be_at_kiva", "member_in_other_draft",
    }
)  # fmt: skip

# Reasons that the planner and the sender give; those of the rules come with their rows.
SENTENCES = {
    "new": "Kiva does not have it yet.",
    "changed": "The figure changed since it was last reported.",
    "same": "Kiva already has exactly this.",
    "waited": "Kiva does not have it yet: it waited for its turn.",
    "corrected": "It was refused or withdrawn before and has been corrected since.",
    "resend_same": "The last answer was lost; the same figure goes again, as the settings allow.",
    "already_at_kiva": "Kiva already lists this loan; it was not posted by this ledger."
    " Nothing is sent. Check that it is the same loan.",
    ADOPTED: "Kiva had it before this ledger began to post, or got it by another way; it was"
    " adopted. Nothing is sent.",
    ADOPTED_WAITING: "It waited in PA2 as a draft when the ledger was adopted. Nothing is sent.",
    "accepted_then_changed": "The MIS changed after Kiva accepted it, and the API can't amend."
    " Amend or delete it by hand in PA2.",
    "accepted_then_invalid": "Kiva has accepted it, but the MIS record no longer passes the checks."
    " Look at both and correct the one that is wrong.",
    "accepted_then_gone": "Kiva has accepted it, but the MIS no longer has it in this month:"
    " deleted, re-dated or no longer tagged for Kiva. Delete or amend it by hand in PA2.",
    "gone": "The MIS no longer has it, and nothing was sent: nothing to do.",
    "still_uncertain": "It is not known whether Kiva received it. Look for it in PA2, then settle"
    " it with `kiva-pipeline resolve`; it is never sent again by itself.",
    SEEN_AT_KIVA: "The answer was lost, but Kiva lists the loan now: it arrived.",
    "resolved_arrived": "A person found it in PA2: it arrived.",
    NOT_THERE: "A person looked in PA2 and did not find it. The next run plans it anew, from what"
    " the MIS says then.",
    "not_there_before": "The last answer was lost and a person did not find it in PA2: today's"
    " record goes as a new one.",
    NOT_THERE_LISTED: "A person did not find it in PA2, but Kiva lists the loan: it had arrived."
    " Nothing is sent. Say so with `kiva-pipeline resolve`, answer --arrived.",
    RETRY_ASKED: "Kiva refused it, and a person asked for it to go once more: the next run sends"
    " it.",
    "retried": "Kiva refused exactly this before; it goes once more because a person asked for it.",
    "refused_before": "Kiva refused exactly this before. Correct it in the MIS, or send it again"
    " with `kiva-pipeline retry`.",
    "refused_today": "Kiva refused exactly this today; it is tried again tomorrow.",
    "member_in_two_drafts": "Two drafts of this month have the same loan; a loan belongs to one."
    " Correct the groups in the MIS.",
    "member_in_other_draft": "A member's loan is part of another draft that is open or accepted; a"
    " loan belongs to one. Correct the groups in the MIS; if the other draft was deleted in PA2,"
    " approve this one with `kiva-pipeline approve`.",
    "may_be_at_kiva": "Another draft or a loan at Kiva has the same client, amount and day: its id"
    " may have changed (see source.id_aliases), or it was entered twice. Compare both in PA2; if"
    " they are two loans, approve it with `kiva-pipeline approve`.",
    "month_closed": "The report of this month is final. The figure goes with the next month's"
    " report, because figures are cumulative.",
    "month_closed_not_expected": "The report of this month is final, and Kiva does not expect this"
    " loan any more. Ask your Kiva contact if the difference matters.",
    "month_not_open_yet": "The month's report can't be posted yet: its days have not come, or an"
    " earlier month was extended and is still open.",
    "newer_sent": "A later month's figure was already sent for this loan.",
    "no_longer_expected": "Kiva does not expect a report for this loan any more.",
    "left_meanwhile": "Kiva expected a report for this loan when the month's list was kept, but"
    " does not today.",
    "lower_than_sent": "The figure is lower than the one sent before. Correct the MIS, or let a"
    " named person approve it.",
    "jump": "The figure rose by more than the settings allow in one month. Correct the MIS, or let"
    " a named person approve it.",
    "first_report_without_baseline": "This would be the first figure reported from here for a loan"
    " that was at Kiva before, and nobody has said what was reported so far. Adopt its last figure"
    " with `kiva-pipeline adopt --reported FILE`, or approve this one.",
    MONTH_HELD: "So many loans of the month fall, jump, are missing or have no earlier figure"
    " that the MIS may be wrong: nothing of the month goes. Look at `kiva-pipeline held`, then"
    " correct the cause or approve the month's table.",
    "approved": "A named person approved exactly this figure.",
    "accepted": "Kiva accepted it.",
    "accepted_with_warning": "Kiva accepted it with a warning.",
    "rejected": "Kiva refused it.",
    "outcome_unknown": "The answer was lost or not readable: it is not known whether Kiva received"
    " it. It is not sent again by itself.",
    "foreign_problem": "Kiva's answer names a loan that was not in the report: the whole answer is"
    " in doubt.",
    "run_ended": "The run ended before its turn; the next run sends it.",
    "limit_rows_per_run": "The run's limit of rows (limits.rows_per_run in the settings) was"
    " reached before its turn; the next run goes on.",
    "limit_money_per_run": "It would take the run above its limit of money (limits.money_per_run"
    " in the settings). The next run goes on; what is above the limit by itself waits until the"
    " limit is raised.",
    "limit_drafts_per_day": "The day's limit of drafts (limits.drafts_per_day in the settings) is"
    " used up; a run on another day goes on.",
    "limit_reached": "The run's limit was reached before its turn; the next run sends it.",
    "photo_changed": "The photo is gone or was changed while the run was under way; the next run"
    " takes the new one.",
    "crashed": "The sender stopped between the request and the record of its answer.",
}
