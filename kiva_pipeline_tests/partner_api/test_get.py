"""Reading Kiva's lists and loans: every page, every loan, tried again where that is harmless."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import stamina.instrumentation

from kiva_pipeline.partner_api.client import PartnerApi
from kiva_pipeline.partner_api.errors import (
    ApiUnreachableError,
    ShortListError,
    UnreadableAnswerError,
    WrongPartnerError,
)
from kiva_pipeline.partner_api.records import KIVA_LIST_COLUMNS, KIVA_LOAN_COLUMNS
from kiva_pipeline_tests.partner_api.conftest import WIRE, Client
from kiva_pipeline_tests.partner_api.servers import (
    Asked,
    HttpServer,
    RawServer,
    Reply,
    answering,
    closed_port,
    token,
)


def loan(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "internal_loan_id": f"L{number:06}",
        "internal_client_id": f"C{number:06}",
        "kiva_id": str(2_000_000 + number),
        "uuid": f"00000000-0000-4000-8000-{number:012}",
        "name": "Азиз",
        "status": "payingBack",
        "borrower_count": 1,
        "loan_local_price": "3500.00",
        "loan_currency": "TJS",
        "create_time": 1764000000,
        "delinquent": False,
    } | changes


def pages_of(loans: Callable[[int], list[dict[str, Any]]]) -> Callable[[Asked], Reply]:
    """Serves ``loans(request number)`` in pages, as Kiva does; default 20 rows."""
    numbers = iter(range(10**9))

    def answer(asked: Asked) -> Reply:
        now = loans(next(numbers))
        offset, limit = int(asked.query.get("offset", 0)), int(asked.query.get("limit", 20))
        return Reply({"total_records": len(now), "data": now[offset : offset + limit]})

    return answer


def ids(api: PartnerApi) -> list[str]:
    return list(api.loans()["internal_loan_id"])


def test_every_page_is_read_and_none_is_larger_than_the_setting(
    kiva: HttpServer, client: Client
) -> None:
    everything = [loan(number) for number in range(25)]
    kiva.answer = pages_of(lambda _request: everything)
    assert ids(client(page_size=10)) == [f"L{number:06}" for number in range(25)]
    assert [asked.query for asked in kiva.asked] == [
        {"limit": "10", "offset": "0"},
        {"limit": "10", "offset": "10"},
        {"limit": "10", "offset": "20"},
    ]


def test_pages_have_300_rows_unless_told_otherwise(kiva: HttpServer, api: PartnerApi) -> None:
    everything = [loan(number) for number in range(301)]
    kiva.answer = pages_of(lambda _request: everything)
    assert len(ids(api)) == 301
    assert [asked.query["limit"] for asked in kiva.asked] == ["300", "300"]


def test_a_server_that_gives_smaller_pages_is_asked_for_the_rest(
    kiva: HttpServer, api: PartnerApi
) -> None:
    def answer(asked: Asked) -> Reply:
        offset = int(asked.query["offset"])
        return Reply({"total_records": 5, "data": [loan(n) for n in range(5)][offset : offset + 2]})

    kiva.answer = answer
    assert len(ids(api)) == 5


def test_an_empty_list_is_a_list(kiva: HttpServer, api: PartnerApi) -> None:
    kiva.answer = pages_of(lambda _request: [])
    frame = api.loans()
    assert frame.empty
    assert frame.dtypes.astype(str).to_dict() == KIVA_LOAN_COLUMNS


def test_a_loan_that_is_listed_twice_while_the_list_moves_counts_once(
    kiva: HttpServer, client: Client
) -> None:
    first = [loan(number) for number in range(4)]
    # Before the second page a loan is withdrawn, and another one put on top of the list.
    moved = [loan(9), loan(0), loan(1, status="ended"), loan(2)]
    kiva.answer = pages_of(lambda request: first if request == 0 else moved)
    frame = client(page_size=2).loans()
    assert list(frame["internal_loan_id"]) == ["L000000", "L000001", "L000002", "L000009"]
    # The first round saw 0, 1, 1, 2 and was short of one: the second round is the one that counts.
    assert list(frame["status"])[1] == "ended"
    assert len(kiva.asked) == 4


def pages_like(pages: dict[str, tuple[int, list[Any]]]) -> Callable[[Asked], Reply]:
    def answer(asked: Asked) -> Reply:
        total, rows = pages[asked.query["offset"]]
        return Reply({"total_records": total, "data": rows})

    return answer


def test_a_loan_met_again_on_a_later_page_is_as_it_was_there(
    kiva: HttpServer, client: Client
) -> None:
    met_again = loan(1, status="defaulted")
    kiva.answer = pages_like({"0": (3, [loan(0), loan(1)]), "2": (2, [met_again])})
    assert client(page_size=2).loans()["status"].tolist() == ["payingBack", "defaulted"]


def test_a_list_that_stays_short_stops_everything(kiva: HttpServer, client: Client) -> None:
    kiva.answer = pages_like({"0": (3, [loan(0), loan(1)]), "2": (3, [])})
    with pytest.raises(ShortListError, match="2 different loans of 3, twice"):
        client(page_size=2).loans()
    assert len(kiva.asked) == 4


def test_a_list_of_repetitions_is_short(kiva: HttpServer, client: Client) -> None:
    same = [loan(0), loan(1)]
    kiva.answer = pages_like({"0": (4, same), "2": (4, same)})
    with pytest.raises(ShortListError, match="2 different loans of 4"):
        client(page_size=2).loans()


def test_two_loans_of_kivas_under_one_internal_id_are_two_rows(
    kiva: HttpServer, api: PartnerApi
) -> None:
    expired = loan(7, status="expired")
    posted_again = loan(8, internal_loan_id=expired["internal_loan_id"])
    without = [loan(n, internal_loan_id=None) for n in (9, 10)]
    kiva.answer = pages_of(lambda _request: [posted_again, expired, *without])
    frame = api.loans()
    assert frame[["internal_loan_id", "kiva_id", "status"]].to_numpy().tolist() == [
        ["", "2000009", "payingBack"],
        ["", "2000010", "payingBack"],
        ["L000007", "2000007", "expired"],
        ["L000007", "2000008", "payingBack"],
    ]


def test_loans_are_sorted_by_code_point(kiva: HttpServer, api: PartnerApi) -> None:
    hard = ["é", "e\u0301", "Z", "a", "ا", "አ", "🐘", "１", "1042970", "G-7", "\u200fL", "ￌ", "文"]
    kiva.answer = pages_of(
        lambda _request: [loan(n, internal_loan_id=text) for n, text in enumerate(hard)]
    )
    assert ids(api) == sorted(hard)


def test_only_what_is_needed_of_a_loan_is_kept_and_no_name(
    kiva: HttpServer, api: PartnerApi
) -> None:
    example = json.loads((WIRE / "loans.response.json").read_text(encoding="utf-8"))
    kiva.answer = lambda _asked: Reply(example)
    frame = api.loans()
    assert frame.dtypes.astype(str).to_dict() == KIVA_LOAN_COLUMNS
    assert frame.to_dict("records") == [
        {
            "internal_loan_id": "1042970", "internal_client_id": "184729", "kiva_id": "2612345",
            "uuid": "1f0e8a1e-6a0b-4d7c-8f21-0d6c9c1f2a77", "status": "payingBack",
            "borrower_count": 1, "loan_local_price": "3500.00", "loan_currency": "TJS",
            "create_time": 1764000000, "delinquent": False,
        },
        {
            "internal_loan_id": "G-7-2026-11-25", "internal_client_id": "G-7",
            "kiva_id": "2612399", "uuid": "7c9d4f0e-27a5-4a0e-9f0f-5f2f3b1f9e10",
            "status": "defaulted", "borrower_count": 2, "loan_local_price": "250000",
            "loan_currency": "RWF", "create_time": 1750000000, "delinquent": True,
        },
    ]  # fmt: skip


def test_the_lists_become_one_frame(kiva: HttpServer, api: PartnerApi) -> None:
    def answer(asked: Asked) -> Reply:
        name = asked.path.rsplit("/", 1)[1]
        return Reply((WIRE / f"config_{name}.response.json").read_bytes())

    kiva.answer = answer
    frame = api.lists()
    assert frame.dtypes.astype(str).to_dict() == KIVA_LIST_COLUMNS
    rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    assert len(rows) == 12
    assert rows[:2] == [
        ["activity", 25, "Retail", "", ""],
        ["activity", 110, "Farming", "", ""],
    ]
    assert ["theme", 105, "Water and Sanitation", "", ""] in rows
    assert ["language", 5, "Russian", "ru", "TJS"] in rows
    assert ["location", None, "São Paulo: Brazil", "", ""] in rows


def test_lists_of_another_partner_are_not_read(kiva: HttpServer, api: PartnerApi) -> None:
    kiva.token_answer = lambda number: Reply(token(number, partnerId="146"))
    with pytest.raises(WrongPartnerError):
        api.lists()
    assert kiva.asked == []


def test_the_total_takes_one_small_get(kiva: HttpServer, api: PartnerApi) -> None:
    kiva.answer = pages_of(lambda _request: [loan(number) for number in range(7)])
    assert api.loans_total() == 7
    assert [asked.query for asked in kiva.asked] == [{"limit": "1", "offset": "0"}]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_get_is_tried_again_when_the_server_is_unwell(
    kiva: HttpServer, api: PartnerApi, status: int
) -> None:
    well = pages_of(lambda _request: [loan(1)])
    kiva.answer = lambda asked: well(asked) if len(kiva.asked) == 5 else Reply(b"<html>", status)
    assert api.loans_total() == 1
    assert len({asked.headers["X-Request-ID"] for asked in kiva.asked}) == 5


@pytest.mark.parametrize("status", [301, 302, 400, 404, 410, 418])
def test_a_get_that_is_refused_is_not_tried_again(
    kiva: HttpServer, api: PartnerApi, status: int
) -> None:
    kiva.answer = lambda _asked: Reply(b"", status, {"Location": kiva.url})
    with pytest.raises(UnreadableAnswerError, match=f"answers {status}"):
        api.loans_total()
    assert len(kiva.asked) == 1


@pytest.mark.parametrize("header", ["121", "99999999", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_wait_beyond_the_cap_is_not_waited(
    kiva: HttpServer, api: PartnerApi, header: str
) -> None:
    kiva.answer = lambda _asked: Reply(b"", 429, {"Retry-After": header})
    with pytest.raises(ApiUnreachableError, match="429"):
        api.loans_total()
    assert len(kiva.asked) == 1


@pytest.mark.parametrize("header", ["0", "Thu, 01 Jan 2026 00:00:00 GMT"])
def test_the_wait_that_the_server_asks_for_is_waited(
    kiva: HttpServer, api: PartnerApi, header: str
) -> None:
    waits: list[float] = []
    stamina.set_testing(False)
    usual = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([lambda told: waits.append(told.wait_for)])
    try:
        well = pages_of(lambda _request: [])
        kiva.answer = lambda asked: (
            well(asked) if len(kiva.asked) == 3 else Reply(b"", 503, {"Retry-After": header})
        )
        assert api.loans_total() == 0
    finally:
        stamina.instrumentation.set_on_retry_hooks(usual)
    assert waits == [0.0, 0.0]


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
        b"\x00garbage\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno",
    ],
)
def test_a_get_whose_answer_breaks_is_tried_again_and_given_up(
    client: Client, content: bytes
) -> None:
    with RawServer(answering(content)) as broken:
        with pytest.raises(ApiUnreachableError, match="Kiva does not answer"):
            client(broken.url, tries=3).loans_total()
        assert broken.connections == 3


def test_nobody_there_is_unreachable(client: Client) -> None:
    port = closed_port()
    with pytest.raises(ApiUnreachableError, match=f"ConnectError .*127.0.0.1:{port}"):
        client(f"http://127.0.0.1:{port}").loans_total()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>log in</html>", b"[]", b"null", b"{}", b'{"data":[]}',
        b'{"total_records":1}', b'{"total_records":"many","data":[]}',
        b'{"total_records":true,"data":[]}', b'{"total_records":-1,"data":[]}',
        b'{"total_records":null,"data":[]}', b'{"total_records":1,"data":{}}',
        b'{"total_records":1,"data":[null]}', b'{"total_records":2,"data":["x",7]}',
        b'{"total_records":0,"data":[{"internal_loan_id":"1"}]}',
        b'{"total_records":1.5,"data":[]}',
    ],
)  # fmt: skip
def test_what_is_not_a_page_of_loans_is_never_taken_for_an_empty_list(
    kiva: HttpServer, api: PartnerApi, body: bytes
) -> None:
    kiva.answer = lambda _asked: Reply(body)
    for read in (api.loans, api.loans_total):
        with pytest.raises(UnreadableAnswerError):
            read()


@pytest.mark.parametrize("body", [b"{}", b'{"themes":null}', b'{"themes":{}}', b'{"themes":[1]}'])
def test_a_list_that_is_none_is_named(kiva: HttpServer, api: PartnerApi, body: bytes) -> None:
    def answer(asked: Asked) -> Reply:
        name = asked.path.rsplit("/", 1)[1]
        return Reply(body if name == "themes" else {name: []})

    kiva.answer = answer
    with pytest.raises(UnreadableAnswerError, match="config/themes"):
        api.lists()


def test_loans_in_the_thousands_are_read_whole(kiva: HttpServer, api: PartnerApi) -> None:
    everything = [loan(number) for number in range(3_000)]
    kiva.answer = pages_of(lambda _request: everything)
    frame = api.loans()
    assert len(frame) == 3_000
    assert frame["kiva_id"].is_unique
    assert len({asked.peer for asked in kiva.asked}) == 1


def test_the_urls_that_httpx_logs_hold_no_secret(
    kiva: HttpServer, api: PartnerApi, caplog: pytest.LogCaptureFixture
) -> None:
    kiva.answer = pages_of(lambda _request: [loan(1)])
    with caplog.at_level(logging.DEBUG):
        api.loans()
    assert "HTTP Request: GET" in caplog.text
    assert "canary" not in caplog.text
