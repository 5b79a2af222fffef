"""``trace LOAN_ID``: all that was ever decided about a loan, and why."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from kiva_pipeline.cli.options import AsJson, SettingsFile
from kiva_pipeline.cli.partner import partner_ledger, partner_settings
from kiva_pipeline.cli.show import counted, plain, print_json, say, sentence, words
from kiva_pipeline.errors import PipelineError
from kiva_pipeline.money import to_digits
from kiva_pipeline.reporting.words import STREAMS, reasons_in_words
from kiva_pipeline.submission.states import SENTENCES

_LABEL = len("  why      ")
# The hashes say nothing to a person, and nobody needs them in a script.
_INTERNAL = {"payload_hash", "field_hashes", "body_sha256"}


def trace(
    loan_id: Annotated[str, typer.Argument(metavar="LOAN_ID", help="A loan's or a group's id.")],
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    r"""The history of one loan: what was decided, asked and answered, and why.

    \b
    kiva-pipeline trace 000001047
    kiva-pipeline trace G00012-2026-10-05 --json
    """
    from kiva_pipeline.submission.acts import acts_on_months
    from kiva_pipeline.submission.ledger import history

    partner, _ = partner_settings(settings)
    with partner_ledger(partner) as ledger:
        if ledger is None:
            raise PipelineError(
                "There is no ledger yet, so nothing is known of any loan.",
                "A loan is known once a run has decided on it: `kiva-pipeline run MONTH`.",
            )
        with ledger.reading() as connection:
            found: dict[str, list[dict[str, Any]]] = history(connection, loan_id)
            months = {row["period"] for row in found["submissions"]} - {""}
            acts = acts_on_months(connection, months)
    found["month_acts"] = [dict(act._mapping) for act in acts]  # noqa: SLF001  public API
    if not found["submissions"]:
        raise PipelineError(
            f"The ledger knows no loan {plain(loan_id)}.",
            "Check the id: it is the one that is sent to Kiva. A loan is known once a run has"
            " decided on it.",
        )
    if as_json:
        print_json({name: [_public(row) for row in rows] for name, rows in found.items()})
    else:
        for line in _told(found):
            say(line, hang=_LABEL if line.startswith("  ") else 0)


def _public(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in _INTERNAL}


def _told(found: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    from kiva_pipeline.reporting.next_step import commands

    attempts = {attempt["id"]: attempt for attempt in found["attempts"]}
    # Versions come in order: the last one of an identity is the one that is acted on.
    newest = {
        row["id"]
        for row in {
            (row["kind"], row["period"], row["business_id"]): row for row in found["submissions"]
        }.values()
    }
    for row in found["submissions"]:
        stream, version = STREAMS[row["kind"]], row["version"]
        yield f"{stream} {row['month']}  {row['business_id']}  version {version}"
        yield f"  state    {words(row['state'])}{_money(row)}"
        for reason in reasons_in_words(row["reason_code"], row["reasons"]):
            yield f"  why      {sentence(reason['sentence'], reason['detail'])}"
        for key, label in (("remote_ref", "at Kiva "), ("confirm_url", "in PA2  ")):
            if row[key]:
                yield f"  {label} {row[key]}"
        own = [e for e in found["events"] if e["submission_id"] == row["id"]]
        requests = {e["attempt_id"] for e in own if e["attempt_id"]} | {row["attempt_id"]}
        # An event may stand once for all rows of a request.
        shared = [
            e for e in found["events"]
            if e["submission_id"] is None and e["attempt_id"] in requests
        ]  # fmt: skip
        for event in sorted(own + shared, key=lambda e: e["id"]):
            yield f"  {_moment(event['at'])}  {_event(event)}"
        for act in found["month_acts"]:
            if row["period"] and act["action"].endswith(f" {row['period']}"):
                yield f"  {_moment(act['at'])}  {act['action']} ({act['why']}; by {act['who']})"
        for key in sorted(request for request in requests if request):
            yield f"  request  {_request(attempts[key])}"
        if row["id"] in newest:
            for command in commands(row):
                yield f"  next     {command}"
        yield ""


def _money(row: Mapping[str, Any]) -> str:
    if row["amount"] is None or row["currency_digits"] is None:
        return ""
    return f", {row['currency']} {to_digits(row['amount'], row['currency_digits'])}"


def _event(event: Mapping[str, Any]) -> str:
    change = words(event["action"])
    if event["to_state"]:
        before = f"{words(event['from_state'])} → " if event["from_state"] else ""
        change += f": {before}{words(event['to_state'])}"
    # A code of ours is shown as words, a person's own words as they are.
    why = words(event["why"]) if event["why"] in SENTENCES else event["why"]
    return f"{change} ({why}; by {event['who']})" if why else change


def _request(attempt: Mapping[str, Any]) -> str:
    verdict = words(attempt["verdict"] or "under way")
    status = f", HTTP {attempt['http_status']}" if attempt["http_status"] else ""
    reference = f", reference {attempt['remote_ref']}" if attempt["remote_ref"] else ""
    rows = counted(attempt["items"], "row")
    return (
        f"{attempt['id']} at {_moment(attempt['started_at'])} with {rows}:"
        f" {verdict}{status}{reference}"
    )


def _moment(text: str) -> str:
    return f"{text[:19].replace('T', ' ')} UTC"
