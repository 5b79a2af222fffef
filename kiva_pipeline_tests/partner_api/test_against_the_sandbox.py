"""The whole client against the whole sandbox: two programs that share only the wire."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.partner_api.exchange import Answered, PostKind
from kiva_pipeline.partner_api.wire import (
    draft_body,
    journals_body,
    read_receipt,
    repayments_body,
)
from kiva_pipeline.periods import Month
from kiva_pipeline.sandbox.seed import seed
from kiva_pipeline.sandbox.seed_records import KivaLoanSeed
from kiva_pipeline.sandbox.server import RunningSandbox
from kiva_pipeline.settings import Environment, Secrets
from kiva_pipeline_tests.partner_api.conftest import FEW_CERTIFICATES, WIRE, settings_for

LOANS = [
    KivaLoanSeed(
        internal_loan_id=loan_id,
        internal_client_id=client_id,
        borrower_count=1,
        name="Азиз",
        location="Dushanbe: Tajikistan",
        currency="TJS",
        price="3500.00",
        status=status,
        disbursed_on=date(2026, 3, 1),
        last_reported=None,
        activity="Retail",
    )
    for loan_id, client_id, status in [
        ("1043223", "481395", "defaulted"), ("1042970", "184729", "payingBack"),
        ("ᏣᎳᎩ-7", "7", "fundRaising"),
    ]
]  # fmt: skip


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartnerApi]:
    path: Path = tmp_path_factory.mktemp("sandbox") / "sandbox.sqlite"
    seed(
        path,
        partner_id="145",
        partner_name="Example MFI",
        loans=LOANS,
        open_month=Month(2026, 10),
    )
    with RunningSandbox(path) as sandbox:
        settings = settings_for(
            sandbox.url, audience="kiva-sandbox", ca_bundle=FEW_CERTIFICATES, page_size=2
        )
        secrets = Secrets.from_environment(Environment.SANDBOX, {})
        with PartnerApi.open(settings, secrets) as client:
            yield client


def test_the_credentials_grant_all_that_the_pipeline_needs(api: PartnerApi) -> None:
    grant = api.check_grant([kind.scope for kind in PostKind] + ["read:loans"])
    assert grant.partner_id == "145"


def test_lists_and_loans_are_read(api: PartnerApi) -> None:
    assert set(api.lists()["list"]) == {"activity", "theme", "language", "location"}
    frame = api.loans()
    assert frame["internal_loan_id"].tolist() == ["1042970", "1043223", "ᏣᎳᎩ-7"]
    assert frame["status"].tolist() == ["payingBack", "defaulted", "fundRaising"]
    assert api.loans_total() == 3


def test_each_kind_of_post_is_taken_and_receipted(api: PartnerApi) -> None:
    draft = (WIRE / "loan_draft.group.request.json").read_bytes().strip()
    journals = json.loads((WIRE / "journals.request.json").read_bytes())["journals"]
    bodies = {
        PostKind.LOAN_DRAFT: draft_body(draft, b"\xff\xd8\xff\xe0 photo", "image/jpeg"),
        PostKind.JOURNAL: journals_body([json.dumps(row).encode() for row in journals], "journals"),
        PostKind.REPAYMENT: repayments_body(
            ["1042970", "1043223", "NOBODY"], [""] * 3, ["25.00", "40.50", "1"], three_column=False
        ),
    }
    for kind, body in bodies.items():
        answer = api.post(kind, body, f"attempt-{kind}")
        assert isinstance(answer, Answered)
        receipt = read_receipt(kind, answer.body)
        assert receipt is not None
        assert receipt.reference
        if kind is PostKind.JOURNAL:
            assert receipt.confirm_url.startswith("http")
        if kind is PostKind.REPAYMENT:
            assert "NOBODY" in {problem.loan_id for problem in receipt.problems}
