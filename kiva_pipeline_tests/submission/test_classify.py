"""Every row of the verdict table, for each kind of effect; and what Kiva could say besides."""

import json
from typing import Any

import pytest

from kiva_pipeline.partner_api.exchange import Answered, NotSent, PostKind, Unanswered
from kiva_pipeline.submission.classify import Fate, Verdict, classify
from kiva_pipeline_tests.partner_api.conftest import WIRE
from kiva_pipeline_tests.submission.books import DRAFT, JOURNAL, REPAYMENT

KINDS = pytest.mark.parametrize("kind", list(PostKind), ids=str)
SENT = ["L1", "L2"]
REFERENCE = {DRAFT: "loan_draft_uuid", REPAYMENT: "upload_id", JOURNAL: "archive_id"}
CAMEL = {DRAFT: "loanDraftUuid", REPAYMENT: "uploadId", JOURNAL: "archiveId"}


def success(kind: PostKind, **more: Any) -> dict[str, Any]:
    return {"code": "api.success", "message": "ok", REFERENCE[kind]: "ref-1"} | more


def problem(loan_id: Any, severity: Any = "error", **changes: Any) -> dict[str, Any]:
    return {"loan_id": loan_id, "code": "x.1", "details": "words", "severity": severity} | changes


def report_with(*problems: Any) -> Verdict:
    body = success(REPAYMENT, problems=list(problems))
    return classify(REPAYMENT, Answered(200, body), SENT)


@KINDS
@pytest.mark.parametrize(
    "cause", ["ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "InvalidURL"]
)
def test_what_never_reached_kiva_is_not_sent(kind: PostKind, cause: str) -> None:
    assert classify(kind, NotSent(cause), SENT) == Verdict(Fate.NOT_SENT, cause=cause)


@KINDS
@pytest.mark.parametrize(
    "cause", ["ReadTimeout", "WriteTimeout", "ReadError", "WriteError", "RemoteProtocolError"]
)
def test_a_lost_answer_is_uncertain(kind: PostKind, cause: str) -> None:
    assert classify(kind, Unanswered(cause), SENT) == Verdict(Fate.UNCERTAIN, cause=cause)


@KINDS
@pytest.mark.parametrize("seconds", [None, 0.0, 7.0])
def test_a_429_was_not_applied_and_hands_on_the_wait(kind: PostKind, seconds: float | None) -> None:
    verdict = classify(kind, Answered(429, {}, retry_after_seconds=seconds), SENT)
    assert verdict == Verdict(Fate.THROTTLED, 429, "429", retry_after_seconds=seconds)


@KINDS
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_was_not_applied(kind: PostKind, status: int) -> None:
    assert classify(kind, Answered(status, {}), SENT).fate is Fate.UNAUTHORISED


@KINDS
@pytest.mark.parametrize(
    "status", [400, 402, 404, 405, 406, 410, 411, 413, 414, 415, 417, 422, 499]
)
def test_any_other_4xx_is_a_refusal(kind: PostKind, status: int) -> None:
    verdict = classify(kind, Answered(status, {"code": "api.bad", "message": "No such."}), SENT)
    assert verdict == Verdict(Fate.REFUSED, status, "api.bad", detail="No such.")


@KINDS
@pytest.mark.parametrize(
    "status",
    [
        408,
        409,
        425,
        500,
        501,
        502,
        503,
        504,
        507,
        520,
        599,
        300,
        301,
        302,
        303,
        304,
        307,
        308,
        100,
        199,
        600,
    ],
)
def test_what_leaves_room_for_doubt_is_uncertain(kind: PostKind, status: int) -> None:
    verdict = classify(kind, Answered(status, success(kind)), SENT)
    assert verdict == Verdict(Fate.UNCERTAIN, status, f"status {status}")


@KINDS
@pytest.mark.parametrize("status", [200, 201, 202, 207, 299])
def test_a_2xx_with_a_reference_is_accepted(kind: PostKind, status: int) -> None:
    verdict = classify(kind, Answered(status, success(kind)), SENT)
    assert verdict == Verdict(Fate.ACCEPTED, status, reference="ref-1")


@KINDS
def test_a_camel_case_receipt_is_read_as_well(kind: PostKind) -> None:
    verdict = classify(kind, Answered(200, {CAMEL[kind]: 17, "confirmUrl": "http://x"}), SENT)
    assert (verdict.fate, verdict.reference) == (Fate.ACCEPTED, "17")
    assert verdict.confirm_url == "http://x"


@KINDS
def test_a_2xx_that_is_not_json_is_uncertain(kind: PostKind) -> None:
    assert classify(kind, Answered(200, is_json=False), SENT).fate is Fate.UNCERTAIN
    assert classify(kind, Answered(204, is_json=False), SENT).fate is Fate.UNCERTAIN


@KINDS
@pytest.mark.parametrize("body", [None, [], "ok", 1, True, {}, [{"upload_id": "1"}]])
def test_a_2xx_that_is_no_receipt_is_uncertain(kind: PostKind, body: object) -> None:
    assert classify(kind, Answered(200, body), SENT).fate is Fate.UNCERTAIN


@KINDS
@pytest.mark.parametrize("reference", [None, "", "  ", {}, [], True, ["a"]])
def test_a_2xx_without_a_reference_is_uncertain(kind: PostKind, reference: object) -> None:
    body = success(kind) | {REFERENCE[kind]: reference}
    verdict = classify(kind, Answered(200, body), SENT)
    assert (verdict.fate, verdict.cause) == (Fate.UNCERTAIN, "2xx without a reference")


def test_the_reference_of_another_kind_is_none() -> None:
    for kind in PostKind:
        for other in PostKind:
            fate = classify(kind, Answered(200, success(other)), SENT).fate
            assert (fate is Fate.ACCEPTED) == (kind is other)


@pytest.mark.parametrize(
    ("kind", "name", "sent"),
    [
        (DRAFT, "loan_draft.response", SENT),
        (DRAFT, "loan_draft.response.camel", SENT),
        (REPAYMENT, "repayments.response", None),
        (REPAYMENT, "repayments.response.one_problem", None),
        (JOURNAL, "journals.response", SENT),
    ],
)
def test_the_wire_examples_are_accepted(kind: PostKind, name: str, sent: list[str] | None) -> None:
    body = json.loads((WIRE / f"{name}.json").read_bytes())
    if sent is None:
        request = json.loads((WIRE / "repayments.two_column.request.json").read_bytes())
        sent = [row["loan_id"] for row in request["repayments"]]
    verdict = classify(kind, Answered(200, body), sent)
    assert verdict.fate is Fate.ACCEPTED
    assert verdict.reference


def test_problems_of_sent_loans_are_handed_on() -> None:
    verdict = report_with(problem("L1"), problem("L2", "warning"))
    assert verdict.fate is Fate.ACCEPTED
    assert [(p.loan_id, p.severity) for p in verdict.problems] == [
        ("L1", "error"),
        ("L2", "warning"),
    ]


def test_one_problem_may_come_as_an_object_in_place_of_a_list() -> None:
    body = success(REPAYMENT, problems=problem("L1"))
    verdict = classify(REPAYMENT, Answered(200, body), SENT)
    assert [p.loan_id for p in verdict.problems] == ["L1"]


@pytest.mark.parametrize("none", [None, [], {}, "", 0])
def test_no_problems_come_in_many_forms(none: object) -> None:
    verdict = classify(REPAYMENT, Answered(200, success(REPAYMENT, problems=none)), SENT)
    assert (verdict.fate, verdict.problems) == (Fate.ACCEPTED, ())


@pytest.mark.parametrize("spelled", [" l1", "L1 ", "l1", "\uff2c1", "L１"])
def test_ids_are_compared_in_their_normal_form(spelled: str) -> None:
    assert report_with(problem(spelled)).fate is Fate.ACCEPTED


@pytest.mark.parametrize("foreign", ["L3", "", "L", "L1L2", None, ["L1"], {"id": "L1"}])
def test_a_problem_of_a_loan_that_was_not_sent_puts_the_whole_answer_in_doubt(foreign: Any) -> None:
    verdict = report_with(problem("L1"), problem(foreign))
    assert (verdict.fate, verdict.foreign) == (Fate.UNCERTAIN, True)
    assert verdict.reference == "ref-1"


@pytest.mark.parametrize("odd", ["all is lost", 7, ["L1"]])
def test_a_problem_that_can_not_be_read_puts_the_whole_answer_in_doubt(odd: object) -> None:
    assert report_with(odd).fate is Fate.UNCERTAIN


def test_a_number_is_an_id_too() -> None:
    verdict = classify(
        REPAYMENT, Answered(200, success(REPAYMENT, problems=[problem(1042970)])), ["1042970"]
    )
    assert verdict.fate is Fate.ACCEPTED


@KINDS
@pytest.mark.parametrize(
    ("body", "cause", "detail"),
    [
        (None, "400", ""),
        ("no", "400", ""),
        ({}, "400", ""),
        ({"code": "api.bad"}, "api.bad", ""),
        ({"error": "invalid"}, "400", "invalid"),
        ({"Message": "Bad"}, "400", "Bad"),
        ({"code": 7, "message": {"a": 1}}, "7", ""),
    ],
)
def test_a_refusal_keeps_kivas_words_where_there_are_any(
    kind: PostKind, body: object, cause: str, detail: str
) -> None:
    verdict = classify(kind, Answered(400, body), SENT)
    assert verdict == Verdict(Fate.REFUSED, 400, cause, detail=detail)


@KINDS
def test_a_page_of_words_is_kept_short(kind: PostKind) -> None:
    long = {"code": "c" * 5000, "message": "m" * 5000}
    verdict = classify(kind, Answered(400, long), SENT)
    assert len(verdict.cause) <= 200
    assert len(verdict.detail) <= 200


@KINDS
def test_only_a_2xx_is_accepted_and_only_a_4xx_refused(kind: PostKind) -> None:
    by_fate: dict[Fate, set[int]] = {}
    for status in range(100, 600):
        fate = classify(kind, Answered(status, success(kind)), SENT).fate
        by_fate.setdefault(fate, set()).add(status)
    assert by_fate.pop(Fate.ACCEPTED) == set(range(200, 300))
    assert by_fate.pop(Fate.THROTTLED) == {429}
    assert by_fate.pop(Fate.UNAUTHORISED) == {401, 403}
    assert by_fate.pop(Fate.REFUSED) == set(range(400, 500)) - {401, 403, 408, 409, 425, 429}
    assert set(by_fate) == {Fate.UNCERTAIN}
