"""Downloads: whole or not at all, resumed after an interruption, and requested only if needed."""

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from fake_portal import KEY, FakePortal, served

from textloom.data.patentsview import download as module
from textloom.data.patentsview.answers import PortalError, Transient
from textloom.data.patentsview.download import Downloaded, download, provenance_file, recorded
from textloom.data.patentsview.portal import Portal

NAME = "g_patent.tsv.zip"
CHILD = """
import sys
from pathlib import Path
from textloom.data.patentsview.download import download
from textloom.data.patentsview.portal import Portal
portal = Portal(__import__("os").environ["USPTO_API_KEY"], sys.argv[1])
download(portal, portal.files("PVGPATDIS")["g_patent.tsv.zip"], Path(sys.argv[2]))
"""


def archive(size: int = 3_000_000) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        opened.writestr("g_patent.tsv", bytes(number * 7 % 251 for number in range(size)))
    return content.getvalue()


CONTENT = archive()


@pytest.fixture
def fake() -> Iterator[FakePortal]:
    with served(FakePortal({NAME: CONTENT})) as fake:
        yield fake


def get(fake: FakePortal, path: Path, waits: list[float] | None = None) -> Downloaded:
    portal = Portal(KEY, fake.url, pause=(waits if waits is not None else []).append)
    return download(portal, portal.files("PVGPATDIS")[NAME], path)


def part_of(path: Path) -> Path:
    return path.with_name(f"{NAME}.20260715000000.part")


@pytest.mark.parametrize("mode", ["redirect", "message", "direct"])
def test_a_file_comes_whole_with_its_provenance_and_the_key_stays_at_the_portal(
    fake: FakePortal, tmp_path: Path, mode: str
) -> None:
    fake.mode = mode  # type: ignore[assignment]
    path = tmp_path / NAME
    get(fake, path)
    assert path.read_bytes() == CONTENT
    assert fake.file_requests() == 1
    assert len(fake.fetched) == (mode != "direct")
    assert [key for _, key, _ in fake.fetched] == [None] * len(fake.fetched)
    assert {key for _, key, _ in fake.asked} == {KEY}
    assert sorted(file.name for file in tmp_path.iterdir()) == [NAME, f"{NAME}.json"]
    told = json.loads(provenance_file(path).read_text())
    assert told | {"downloaded": ""} == {
        "product": "PVGPATDIS",
        "file": NAME,
        "release_date": "2026-07-15 00:00:00",
        "data_to": "2025-12-31",
        "size": len(CONTENT),
        "sha256": sha256(CONTENT).hexdigest(),
        "downloaded": "",
        "source": fake.url,
        "licence": "CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)",
        "attribution": "Patent abstracts: PatentsView (www.patentsview.org, now USPTO Open Data Portal), CC BY 4.0.",
    }


@pytest.mark.parametrize("mode", ["redirect", "message"])
def test_an_interrupted_download_is_resumed_at_the_storage_and_counts_once(
    fake: FakePortal, tmp_path: Path, mode: str
) -> None:
    fake.mode = mode  # type: ignore[assignment]
    fake.cuts = [1_000_000, 500_000]
    waits: list[float] = []
    get(fake, tmp_path / NAME, waits)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    starts = [int(given.removeprefix("bytes=").rstrip("-")) for _, _, given in fake.fetched if given]
    assert len(starts) == 2
    assert 0 < starts[0] <= 1_000_000
    assert starts[0] < starts[1] <= starts[0] + 500_000
    assert fake.file_requests() == 1
    assert waits == [2, 2]  # patience begins anew when bytes have come


def test_an_interrupted_direct_download_is_resumed_at_the_portal(fake: FakePortal, tmp_path: Path) -> None:
    fake.mode, fake.cuts = "direct", [1_000_000]
    get(fake, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert fake.asked[-1][2] is not None
    assert fake.file_requests() == 2


def test_an_address_that_has_expired_is_asked_for_again(fake: FakePortal, tmp_path: Path) -> None:
    fake.uses, fake.cuts = 1, [1_000_000]
    get(fake, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert fake.file_requests() == 2
    assert fake.fetched[-1][2] is not None  # from where it was cut


def test_the_portal_is_not_asked_without_end(fake: FakePortal, tmp_path: Path) -> None:
    fake.mode, fake.uses = "message", 0
    with pytest.raises(PortalError, match=r"asked for 5 times, .* a web page came .* 0 of [\d,]+ bytes are kept"):
        get(fake, tmp_path / NAME)
    assert fake.file_requests() == 5


def test_a_message_without_an_address_is_reported(fake: FakePortal, tmp_path: Path) -> None:
    portal = Portal(KEY, fake.url)
    file = portal.files("PVGPATDIS")[NAME]
    fake.answers = [(200, {"Content-Type": "application/json"}, b'{"message": "quota exceeded"}')]
    with pytest.raises(PortalError, match="has an unknown form"):
        download(portal, file, tmp_path / NAME)


def test_a_download_of_a_process_that_died_is_resumed(fake: FakePortal, tmp_path: Path) -> None:
    path = tmp_path / NAME
    fake.cuts = [1_000_000, 0, 0, 0]
    with pytest.raises(
        Transient, match=r"the connection broke off .*; what was received is kept; run the same command"
    ):
        get(fake, path)
    assert not path.exists()
    have = part_of(path).stat().st_size
    assert 0 < have <= 1_000_000
    get(fake, path)
    assert path.read_bytes() == CONTENT
    assert fake.fetched[-1][2] == f"bytes={have}-"
    assert not part_of(path).exists()


def test_a_process_killed_in_the_middle_loses_nothing(fake: FakePortal, tmp_path: Path) -> None:
    path = tmp_path / NAME
    fake.cuts = [1_000_000]
    fake.hold.clear()
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, fake.url, str(path)], env={**os.environ, "USPTO_API_KEY": KEY}
    )
    deadline = time.monotonic() + 60
    while not (part_of(path).exists() and part_of(path).stat().st_size > 500_000):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    fake.hold.set()
    have = part_of(path).stat().st_size
    get(fake, path)
    assert path.read_bytes() == CONTENT
    assert fake.fetched[-1][2] == f"bytes={have}-"


def test_a_partial_download_of_another_release_is_not_resumed(fake: FakePortal, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.20260410000000.part").write_bytes(b"PK of April")
    get(fake, tmp_path / NAME)
    assert fake.fetched[0][2] is None
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert not list(tmp_path.glob("*.part"))


def test_a_server_without_ranges_is_read_from_the_beginning(fake: FakePortal, tmp_path: Path) -> None:
    fake.ranges, fake.cuts = False, [1_000_000]
    get(fake, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_body_that_ends_early_without_a_length_is_resumed(fake: FakePortal, tmp_path: Path) -> None:
    fake.announces_length, fake.cuts = False, [1_000_000]
    get(fake, tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert len(fake.fetched) == 2


def test_the_same_release_is_fetched_once_and_a_new_one_in_its_place(fake: FakePortal, tmp_path: Path) -> None:
    path = tmp_path / NAME
    first = get(fake, path)
    assert get(fake, path) == first
    assert fake.file_requests() == 1
    fake.release, fake.files = "2026-10-15 00:00:00", {NAME: archive(1_000_000)}
    second = get(fake, path)
    assert fake.file_requests() == 2
    assert second.release_date == "2026-10-15 00:00:00"
    assert path.read_bytes() == fake.files[NAME]
    assert recorded(path) == second


def test_a_file_that_was_put_there_by_hand_is_verified_and_taken(fake: FakePortal, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)
    assert get(fake, tmp_path / NAME).sha256 == sha256(CONTENT).hexdigest()
    assert fake.file_requests() == 0


def test_a_file_that_changed_on_the_disk_is_noticed_and_fetched_again(fake: FakePortal, tmp_path: Path) -> None:
    path = tmp_path / NAME
    get(fake, path)
    damaged = bytearray(CONTENT)
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    assert recorded(path) is None
    get(fake, path)
    assert path.read_bytes() == CONTENT


def test_a_size_other_than_the_announced_one_is_refused_before_the_bytes(fake: FakePortal, tmp_path: Path) -> None:
    for wrong in (len(CONTENT) - 1, len(CONTENT) + 1):
        fake.offered = {NAME: wrong}
        with pytest.raises(PortalError, match=f"{wrong:,} bytes were announced and {len(CONTENT):,} are offered"):
            get(fake, tmp_path / NAME)
        assert list(tmp_path.iterdir()) == []


def test_an_archive_damaged_at_its_source_is_found_by_its_checksum_and_removed(
    fake: FakePortal, tmp_path: Path
) -> None:
    damaged = bytearray(CONTENT)
    damaged[len(damaged) // 2] ^= 1
    fake.files = {NAME: bytes(damaged)}
    with pytest.raises(PortalError, match=r"damaged though of the right size \(.*g_patent\.tsv.*\); removed"):
        get(fake, tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_and_what_was_received_is_kept(fake: FakePortal, tmp_path: Path) -> None:
    path = tmp_path / NAME
    part_of(path).symlink_to("/dev/full")
    with pytest.raises(
        PortalError, match=r"cannot be written \(No space left on device\); make room, or .*TEXTLOOM_CA"
    ):
        get(fake, path)
    assert part_of(path).is_symlink()


def test_too_little_room_is_reported_before_the_download_counts(
    fake: FakePortal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1_000_000}))
    with pytest.raises(PortalError, match=r"3 MB are needed for g_patent\.tsv\.zip, 1 MB are free; make room"):
        get(fake, tmp_path / NAME)
    assert fake.file_requests() == 0


def test_the_yearly_limit_of_a_file_is_explained(fake: FakePortal, tmp_path: Path) -> None:
    portal = Portal(KEY, fake.url)
    file = portal.files("PVGPATDIS")[NAME]
    fake.answers = [(429, {}, b"you have submitted 21 requests for this file in 31536000 sec")]
    with pytest.raises(PortalError, match=r"may download the same file 20 times a year .* put a copy of the file into"):
        download(portal, file, tmp_path / NAME)
    assert fake.file_requests() == 1
