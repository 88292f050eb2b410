"""The portal's answers: each that it is known to give has its sentence, and none of them holds the key."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from fake_portal import HTML, KEY, FakePortal, error, served, tables

from textloom.data.patentsview.answers import PortalError, Transient, retry_after
from textloom.data.patentsview.portal import Portal

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def fake() -> Iterator[FakePortal]:
    with served(FakePortal(tables())) as fake:
        yield fake


def client(fake: FakePortal, waits: list[float] | None = None, key: str = KEY) -> Portal:
    return Portal(key, fake.url, pause=(waits if waits is not None else []).append)


def refusal(portal: Portal, product: str = "PVGPATDIS") -> PortalError:
    with pytest.raises(PortalError) as caught:
        portal.files(product)
    assert len(str(caught.value).splitlines()) == 1
    assert_no_key(caught.value)
    return caught.value


def assert_no_key(problem: BaseException | None) -> None:
    """The key is neither in the error, nor in its causes, nor in the requests that they carry."""
    while problem is not None:
        assert KEY not in f"{problem!r} {problem} {problem.args} {vars(problem)}"
        for carried in vars(problem).values():
            for headers in (
                getattr(carried, "headers", None),
                getattr(getattr(carried, "request", None), "headers", None),
            ):
                assert KEY not in str(dict(headers or {}))
        problem = problem.__cause__ or problem.__context__


def test_the_files_of_a_product_are_listed_with_size_and_release(fake: FakePortal) -> None:
    files = client(fake).files("PVGPATDIS")
    assert sorted(files) == ["g_cpc_current.tsv.zip", "g_patent.tsv.zip", "g_patent_abstract.tsv.zip"]
    file = files["g_patent.tsv.zip"]
    assert (file.size, file.release_date) == (len(fake.files["g_patent.tsv.zip"]), "2026-07-15 00:00:00")
    assert file.url == f"{fake.url}/api/v1/datasets/products/files/PVGPATDIS/g_patent.tsv.zip"  # not where else it says
    assert fake.asked == [("/api/v1/datasets/products/PVGPATDIS?includeFiles=true", KEY, None)]


def test_the_recorded_answer_is_read(fake: FakePortal, real_data: Path) -> None:
    recorded = (real_data / "odp/odp_get_product_PTGRXML_response_trimmed.json").read_bytes()
    fake.answers.append((200, JSON, recorded))
    files = client(fake).files("PTGRXML")
    assert files["ipg260602.zip"].size == 147_191_020
    assert files["ipg260602.zip"].url == f"{fake.url}/api/v1/datasets/products/files/PTGRXML/2026/ipg260602.zip"
    fake.answers.append((200, JSON, (real_data / "odp/odp_search_bulk_products_response.json").read_bytes()))
    assert "has an unknown form" in str(refusal(client(fake)))  # it lists products without their files


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((401, {}, b""), "no valid key reached the portal (401); check USPTO_API_KEY against data.uspto.gov/myodp"),
        ((403, JSON, error(403, "Forbidden", KEY)), "still pending (some minutes), or was deleted after 90 days"),
        ((404, JSON, error(404, "Not Found", "No matching records")), "there is no product PVGPATDIS (404)"),
        ((400, JSON, error(400, "Bad Request", "x")), "does not understand the request for product PVGPATDIS (400)"),
        ((413, JSON, b'{"code": 413, "message": "Payload Too Large"}'), "does not understand the request"),
        (HTML, "a web page came in place of product PVGPATDIS: the portal wants a sign-in"),
        ((200, JSON, b"{"), "has an unknown form"),
        ((200, JSON, b'{"count": 0}'), "has an unknown form"),
        ((200, JSON, b'[{"a": 1}]'), "has an unknown form"),
        ((429, {"Retry-After": "86400"}, b""), "asks to wait 24 hours: each key may download the same file 20 times a"),
        ((429, {}, b"you have submitted 21 requests in 31536000 sec"), "the same file 20 times a year"),
    ],
)
def test_an_error_that_waiting_does_not_cure_is_reported_at_once(
    fake: FakePortal, answer: object, sentence: str
) -> None:
    waits: list[float] = []
    fake.answers.append(answer)  # type: ignore[arg-type]
    assert sentence in str(refusal(client(fake, waits)))
    assert waits == []
    assert len(fake.asked) == 1


def test_a_wrong_key_is_refused(fake: FakePortal) -> None:
    assert "the portal refuses the key" in str(refusal(client(fake, key="wrong")))


def test_a_portal_out_of_order_is_asked_again_later_and_later(fake: FakePortal) -> None:
    waits: list[float] = []
    fake.answers += [(503, {}, b""), (500, {"Content-Type": "text/html"}, b"<html>"), (502, {}, b"")]
    assert client(fake, waits).files("PVGPATDIS")
    assert waits == [2, 4, 8]
    fake.answers += [(503, {}, b"")] * 4
    assert "the portal is out of order (503)" in str(refusal(client(fake, waits)))
    assert waits == [2, 4, 8] * 2


def test_too_many_requests_are_retried_after_the_wait_that_the_portal_asks_for(fake: FakePortal) -> None:
    waits: list[float] = []
    fake.answers += [(429, {}, b""), (429, {"Retry-After": "30"}, b"")]
    assert client(fake, waits).files("PVGPATDIS")
    assert waits == [5, 30]


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("120") == 120
    assert retry_after(None) is retry_after("soon") is None
    in_an_hour = retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert in_an_hour == pytest.approx(3600, abs=5)


def test_a_redirect_of_the_list_does_not_take_the_key_along(fake: FakePortal) -> None:
    fake.answers.append((302, {"Location": f"{fake.storage}/signin"}, b""))
    assert "a web page came" in str(refusal(client(fake)))
    assert fake.fetched == [("/signin", None, None)]


def test_a_missing_network_is_reported_after_some_retries(fake: FakePortal) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    for url in (nobody, "http://portal.invalid"):
        waits: list[float] = []
        problem = refusal(Portal(KEY, url, pause=waits.append))
        assert isinstance(problem, Transient)
        assert "cannot be reached (" in str(problem)
        assert "check the network" in str(problem)
        assert waits == [2, 4, 8]


@pytest.mark.parametrize("key", [f"{KEY}\nX: y", f"{KEY} {KEY}", f"ключ{KEY}", "\x00" + KEY])
def test_what_cannot_be_a_key_is_not_quoted(key: str) -> None:
    with pytest.raises(PortalError, match="USPTO_API_KEY: cannot be a key") as caught:
        Portal(key)
    assert_no_key(caught.value)


def test_the_key_comes_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USPTO_API_KEY", raising=False)
    with pytest.raises(PortalError, match=r"USPTO_API_KEY is not set: .* free at data.uspto.gov/myodp"):
        Portal.from_environment()
    monkeypatch.setenv("USPTO_API_KEY", f" {KEY}\n")
    portal = Portal.from_environment()
    assert portal.key == KEY
    assert portal.base_url == "https://api.uspto.gov"
    assert KEY not in repr(portal) + json.dumps(str(portal))
