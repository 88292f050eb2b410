"""``textloom play``: its page in a real browser, operated by keys and clicks, as it asks the server it comes from."""

import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Answer
from operated_browser import SHIFT, Page, operated_browser
from running_server import Running, running, stream_run
from textloom.runs.run import Run

KEY = "a key of the test, 42"
LIKELIEST = 3  # tokens that texts are drawn from, so that none ends by itself
IDLE = "panels.length && panels.every(panel => !panel.stopper && panel.text.next)"
FOCUS = "document.activeElement.id || document.activeElement.className || document.activeElement.name"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with operated_browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def keys(stream_run: Run, toy_run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The config of a server of two runs."""
    runs = {"one": str(stream_run.directory), "other": str(toy_run.directory)}
    return {"run": runs, "rows": 4, "states": str(tmp_path_factory.mktemp("states"))}


@pytest.fixture(scope="module")
def server(keys: dict[str, Any]) -> Iterator[Running]:
    with running(**keys) as found:
        yield found


def address(server: Running) -> str:
    return server.url.removesuffix("v1")


def opened(page: Page, server: Running, width: int = 1280) -> None:
    """Open the page as one who has never been there."""
    page.call("Storage.clearDataForOrigin", origin=address(server), storageTypes="local_storage")
    page.open(address(server), width)
    page.wait_for(IDLE)
    set_sampling(page, top_k=LIKELIEST)
    page.see("promptBox.focus()")


def ready(page: Page) -> None:
    """Wait until nothing is asked for any more."""
    page.wait_for(IDLE)
    assert page.problems == []


def text(page: Page, panel: int = 0) -> str:
    found: str = page.see(f"[...document.querySelectorAll('.tokens')][{panel}].innerText")
    return found


def drawn(server: Running, model: str, prompt: str, seed: int, tokens: int) -> str:
    """The text that the server gives for the same request."""
    keys: dict[str, Any] = {"max_tokens": tokens, "seed": seed, "temperature": 0.8, "top_k": LIKELIEST}
    answer = server.http.post("/completions", json={"model": model, "prompt": prompt, **keys})
    return prompt + str(answer.json()["choices"][0]["text"])


def set_sampling(page: Page, **values: Any) -> None:
    for name, value in values.items():
        page.see(
            f"document.getElementById('more').open = true, form.elements.{name}.focus(), form.elements.{name}.select()"
        )
        page.type(str(value))


def test_a_text_of_two_runs_is_typed_grows_and_is_coloured_by_its_surprise(page: Page, server: Running) -> None:
    opened(page, server)
    set_sampling(page, seed=5, max_tokens=400)
    page.see("promptBox.focus()")
    page.type("deep learn")
    page.wait_for("panels[0].spans.length === 11")  # typing shows how the model reads it
    page.see(
        "window.lengths = [], new MutationObserver(() => lengths.push(panels[0].spans.length))"
        ".observe(panels[0].tokens, {childList: true})"
    )
    page.press("Enter")
    page.wait_for("panels.every(panel => panel.spans.length === 411)")
    ready(page)
    assert page.see("new Set(lengths.filter(length => length > 11)).size") > 3  # it grew in many parts
    for number, name in enumerate(("one", "other")):
        assert text(page, number) == drawn(server, name, "deep learn", 5, 400)
    colours = page.see("panels[0].spans.map(span => span.style.background)")
    assert len(set(colours)) > 20
    asked = {"model": "one", "prompt": text(page), "max_tokens": 0, "echo": True, "logprobs": 0}
    scored = server.http.post("/completions", json=asked).json()["choices"][0]["logprobs"]["token_logprobs"]
    shown = page.see("panels[0].text.tokens.map(token => -token.nats)")
    assert shown == pytest.approx(scored, abs=0.02)  # <unk>, which is never drawn, has a share


def test_a_click_chooses_a_token_and_its_bars_and_the_text_is_continued_from_there(page: Page, server: Running) -> None:
    opened(page, server)
    set_sampling(page, max_tokens=60, seed=6)
    page.see("promptBox.focus()")
    page.type("the network")
    page.press("Enter")
    ready(page)
    before = text(page)
    page.click("panels[0].spans[20]")
    bars = page.see("[...panels[0].box.querySelectorAll('.bar')].map(bar => bar.innerText.split('\\n'))")
    assert len(bars) == 10
    assert 30 < sum(float(share.split()[0]) for _, share in bars) <= 100.1
    drawn_bar = page.see("panels[0].box.querySelector('.bar.drawn').innerText")
    assert drawn_bar.splitlines()[0] == before[20].replace(" ", "␣")
    set_sampling(page, seed=77)
    page.click("panels[0].part('on')")
    ready(page)
    assert text(page) == drawn(server, "one", before[:20], 77, 60)
    page.click("panels[0].spans[30]")
    page.click("panels[0].box.querySelectorAll('.bar')[3]")
    ready(page)
    other = page.see("panels[0].text.tokens[30].text")
    assert text(page)[:30] == drawn(server, "one", before[:20], 77, 60)[:30]
    assert text(page) == drawn(server, "one", text(page)[:30] + other, 77, 60)
    page.click("panels[0].part('undo')")
    page.click("panels[0].part('undo')")
    ready(page)
    assert text(page) == before
    page.click("panels[0].spans[5]", times=2)
    page.wait_for("panels[0].text.tokens.length === 65")
    ready(page)
    assert text(page) == drawn(server, "one", before[:5], 77, 60)


def test_the_keyboard_alone_reaches_everything(page: Page, server: Running) -> None:
    opened(page, server)
    page.open(address(server))
    page.wait_for(IDLE)
    assert page.see(FOCUS) == "prompt"  # without a click
    page.type("deep")
    page.press("Enter", SHIFT)
    page.type("learn")
    assert page.see("promptBox.value") == "deep\nlearn"
    page.press("Enter")
    page.wait_for("panels[0].spans.length > 20")
    page.press("Enter")
    ready(page)
    order = [page.see(FOCUS)]
    while order[-1] != "bookmark" and len(order) < 60:
        page.press("Tab")
        order.append(page.see(FOCUS))
    stops = ["prompt", "main", "temperature", "seed", "tokens", "bar", "on", "undo", "bookmark"]
    places = [order.index(stop) for stop in stops if stop in order]
    assert len(places) == len(stops), order
    assert places == sorted(places)
    page.see("panels[0].tokens.focus()")
    page.press("Home")
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"):
        page.press(key)
    assert page.see("panels[0].place") == 1
    kept = text(page)[:1]
    set_sampling(page, max_tokens=4000)
    page.see("panels[0].tokens.focus()")
    page.press("Enter")
    page.wait_for("panels[0].spans.length > 300")
    page.press("Escape")
    ready(page)
    length = page.see("panels[0].spans.length")
    assert 300 < length < 4000
    assert text(page)[:1] == kept
    assert page.see("panels[0].spans.length") == length


def test_a_bookmark_survives_a_restart_of_the_server(page: Page, keys: dict[str, Any]) -> None:
    with running(**keys | {"states": keys["states"] + "/kept"}) as before:
        port = int(address(before).rpartition(":")[2].strip("/"))
        opened(page, before)
        set_sampling(page, seed=3, max_tokens=30)
        page.see("promptBox.focus()")
        page.type("the network learns")
        page.press("Enter")
        ready(page)
        page.see("panels[1].choose(24)")
        kept = text(page, 1)[:24]
        expected = drawn(before, "other", kept, 3, 30)
        page.click("panels[1].part('bookmark')")
        page.wait_for("document.querySelectorAll('#bookmarks li').length === 1")
    with running(**keys | {"states": keys["states"] + "/kept", "port": port}) as after:
        page.open(address(after))
        page.wait_for(IDLE)
        page.click("document.querySelector('#bookmarks .open')")
        page.wait_for("panels[1].text.bookmark")
        ready(page)
        assert text(page, 1) == kept
        page.press("Enter")  # the text has the focus
        page.wait_for("panels[1].text.tokens.length === 30")
        ready(page)
        assert text(page, 1) == expected
        page.click("document.querySelector('#bookmarks li > :last-child')")
        page.wait_for("document.querySelectorAll('#bookmarks li').length === 0")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window_and_no_request_leaves_the_server(
    page: Page, server: Running, width: int
) -> None:
    opened(page, server, width)
    page.type("deep learn" + "ing" * 60 + " " * 300)  # long words and spaces have to wrap
    page.press("Enter")
    ready(page)
    page.click("panels[0].part('bookmark')")
    page.wait_for("document.querySelectorAll('#bookmarks li').length === 1")
    assert page.see("document.documentElement.scrollWidth") <= width
    wide = page.see(
        "[...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > innerWidth)"
        ".map(one => one.outerHTML.slice(0, 80))"
    )
    assert wide == []
    sides = page.see("panels.map(panel => panel.box.getBoundingClientRect().left)")
    assert (sides[0] < sides[1]) == (width == 1280)  # side by side, or one below the other
    assert len(page.asked) > 4
    assert all(url.startswith((address(server), "data:")) for url in page.asked)


def test_errors_are_shown_where_they_belong(page: Page, server: Running) -> None:
    opened(page, server)
    set_sampling(page, max_tokens=5000)
    page.see("promptBox.focus()")
    page.press("Enter")
    page.wait_for("panels.every(panel => panel.part('problem').textContent)")
    assert page.see("panels[0].part('problem').textContent").startswith(
        "max_tokens: 5000 tokens, and there may be 4096"
    )


def test_a_key_is_asked_for_and_the_page_itself_needs_none(page: Page, keys: dict[str, Any]) -> None:
    with running(KEY, **keys | {"states": keys["states"] + "/locked"}) as server:
        page.open(address(server))
        page.wait_for("!document.getElementById('unlock').hidden")
        page.see("document.getElementById('key').focus()")
        page.type(KEY)
        page.press("Enter")
        page.wait_for(IDLE)


def test_the_command_prints_the_address_last_and_opens_it(
    command: Callable[..., Answer], stream_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def only_ready(server: Any, models: Any, listening: Any, ready: Callable[[], None]) -> None:
        ready()

    pages: list[str] = []
    monkeypatch.setattr("textloom.serving.server.run_server", only_ready)
    monkeypatch.setattr(webbrowser, "open", lambda url, new: pages.append(url))
    monkeypatch.setenv("DISPLAY", ":0")
    for more, opens in (["browser=true"], True), (["browser=false"], False):
        pages.clear()
        answer = command("play", f"run={stream_run.directory}", "port=0", *more)
        assert answer.status == 0, answer.err
        assert answer.out.splitlines()[-1].startswith("http://127.0.0.1:")
        assert pages == ([answer.out.splitlines()[-1]] if opens else [])


def test_what_cannot_be_played_is_told_in_one_line(
    command: Callable[..., Answer], server: Running, stream_run: Run
) -> None:
    run, port = stream_run.directory, address(server).rpartition(":")[2].strip("/")
    for arguments, message in (
        (["run=nowhere", "port=0"], "run=nowhere: there is no such directory"),
        ([f"run={run},{run}", "port=0"], "there is another model tiny; name them, as in run="),
        ([f"run={run}", f"port={port}"], f"port={port}: 127.0.0.1 cannot be listened on (Address already in use)"),
        (["run=latest", "browsr=true"], "browsr: there is no such key, did you mean browser?"),
    ):
        answer = command("play", *arguments)
        assert answer.status == 2, arguments
        assert message in answer.err
        assert len(answer.err.strip().splitlines()) == 1
