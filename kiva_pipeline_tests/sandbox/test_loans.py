from dataclasses import replace

import pytest

from kiva_pipeline_tests.sandbox.conftest import BASE, LOANS, PAYING, Practice
from kiva_pipeline_tests.sandbox.test_drafts import individual

NAMES = [
    "Азиз", "محمد", "שרה", "明美", "ສົມສັກ", "Ọládélé", "Nguyễn Thị Bích", "ខេមរា", "ბესო",
    "አበበ", "සුනිල්", "ᠪᠠᠲᠤ", "Zoe\u0308", "𞤀𞤥𞤭𞤪𞤵", "<b>Ana</b>", "O'Neill; DROP TABLE loan", "👩‍🌾",
]  # fmt: skip


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory):
    from kiva_pipeline.sandbox.seed import seed
    from kiva_pipeline.sandbox.server import RunningSandbox
    from kiva_pipeline_tests.sandbox.conftest import with_token

    path = tmp_path_factory.mktemp("many") / "sandbox.sqlite"
    seed(
        path,
        partner_id="145",
        partner_name="Example MFI",
        loans=(
            replace(
                PAYING,
                internal_loan_id=f"N-{number:04d}",
                name=NAMES[number % len(NAMES)],
                status=("payingBack", "defaulted", "raised")[number % 3],
            )
            for number in range(731)
        ),
    )
    with RunningSandbox(path) as sandbox, with_token(sandbox.url) as client:
        yield Practice(sandbox.url, path, client)


def ids(page: dict) -> list[str]:
    return [loan["internal_loan_id"] for loan in page["data"]]


def test_a_page_has_twenty_rows_unless_asked_otherwise(many: Practice) -> None:
    assert (many.get("/loans")["total_records"], len(ids(many.get("/loans")))) == (731, 20)
    assert len(ids(many.get("/loans", params={"limit": 300}))) == 300
    assert ids(many.get("/loans", params={"offset": 731})) == []


def test_pages_together_have_every_loan_once_in_order(many: Practice) -> None:
    found = []
    for offset in range(0, 731, 97):
        found += ids(many.get("/loans", params={"offset": offset, "limit": 97}))
    assert found == [f"N-{number:04d}" for number in range(731)]


def test_statuses_filter_one_or_several(many: Practice) -> None:
    paying = many.get("/loans", params={"status": "payingBack"})
    both = many.get("/loans", params={"status": ["payingBack", "defaulted"], "limit": 1000})
    assert {loan["status"] for loan in paying["data"]} == {"payingBack"}
    assert (paying["total_records"], both["total_records"], len(ids(both))) == (244, 488, 488)
    assert many.get("/loans", params={"status": "paying_back"})["total_records"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_loan_is_found_by_its_name_in_any_script(many: Practice, name: str) -> None:
    page = many.get("/loans", params={"query": name.upper(), "limit": 1000})
    assert page["total_records"] == NAMES_EXPECTED[name]
    assert {loan["name"] for loan in page["data"]} == {name}


NAMES_EXPECTED = {name: len(range(place, 731, len(NAMES))) for place, name in enumerate(NAMES)}


@pytest.mark.parametrize("query", ["%", "_", "' OR 1=1 --", "\x00", "\ufffd"])
def test_a_query_is_text_and_nothing_else(many: Practice, query: str) -> None:
    assert many.get("/loans", params={"query": query})["total_records"] == 0


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "-1"}, {"limit": "0"}, {"limit": "ten"}, {"limit": "9" * 40}, {"limit": "١٠"},
        {"offset": "-1"}, {"offset": "1e3"}, {"offset": str(2**63)}, {"limit": "10001"},
    ],
)  # fmt: skip
def test_a_page_that_is_none_is_refused(many: Practice, params: dict[str, str]) -> None:
    answer = many.client.get(f"{BASE}/loans", params=params)
    assert (answer.status_code, answer.json()["code"]) == (400, "sandbox.bad_parameter")


def test_a_loan_keeps_its_amount_and_its_status_as_seeded(shared: Practice) -> None:
    by_id = {loan["internal_loan_id"]: loan for loan in shared.get("/loans")["data"]}
    assert {loan.internal_loan_id: (loan.price, loan.currency, loan.status) for loan in LOANS} == {
        key: (loan["loan_local_price"], loan["loan_currency"], loan["status"])
        for key, loan in by_id.items()
    }
    assert by_id["G-40"]["borrower_count"] == 40
    assert by_id["G-40"]["delinquent"] is True
    assert by_id["1042970"]["loan_price"] == "327.10"  # 3500 somoni at 10.7 a dollar


def test_totals_follow_what_happens_to_the_loans(practice: Practice) -> None:
    def total(**params: str) -> int:
        return practice.get("/loans", params=params)["total_records"]

    uuid = practice.post("/loan_draft", individual())["loan_draft_uuid"]
    practice.control(f"publish/{uuid}", "POST")
    practice.report(("1042970", 3500))
    practice.control("finalize/145", "POST")
    assert (total(), total(status="fundRaising"), total(status="ended")) == (7, 2, 2)
    assert total(status="payingBack") == 2
