"""A portal and its storage on two local ports, which answer like the real ones, and can be set to fail."""

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

KEY = "s3cret-Key-0123456789"
HTML = (200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><title>Sign in</title>")
PRODUCT = {  # as the portal describes it, shortened
    "productIdentifier": "PVGPATDIS",
    "productTitleText": "PatentsView Granted Patent Disambiguated Data",
    "productFrequencyText": "QUARTERLY",
    "productFromDate": "1976-01-01",
    "productToDate": "2025-12-31",
    "mimeTypeIdentifierArrayText": ["TSV"],
}

Answer = tuple[int, dict[str, str], bytes]


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass
class FakePortal:
    """A server with its files, its behaviour and the requests that it received."""

    files: dict[str, bytes] = field(default_factory=dict)
    release: str = "2026-07-15 00:00:00"
    mode: Literal["redirect", "message", "direct"] = "redirect"
    ranges: bool = True
    announces_length: bool = True
    uses: int = 100
    """How many requests a signed address is good for."""
    cuts: list[int] = field(default_factory=list)
    """Number of bytes after which each of the next bodies ends."""
    hold: threading.Event = field(default_factory=_set)
    """While this is not set, a connection that would be closed stays open."""
    answers: list[Answer] = field(default_factory=list)
    """The answers to the next requests to the portal."""
    offered: dict[str, int] = field(default_factory=dict)
    """Sizes that the list of files tells wrongly."""
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Requests to the portal: path, key, range."""
    fetched: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Requests to the storage: path, key, range."""
    url: str = ""
    storage: str = ""
    left: dict[str, int] = field(default_factory=dict)

    def file_requests(self) -> int:
        """Requests that count towards the yearly limit."""
        return sum("/files/" in path for path, *_ in self.asked)

    def listing(self) -> bytes:
        entries = [
            {
                "fileName": name,
                "fileDownloadURI": f"https://api.uspto.gov/api/v1/datasets/products/files/PVGPATDIS/{name}",
                "fileSize": self.offered.get(name, len(content)),
                "fileReleaseDate": self.release,
                "fileDataFromDate": "1976-01-01",
                "fileDataToDate": "2025-12-31",
                "fileTypeText": "Data",
            }
            for name, content in self.files.items()
        ]
        bag = {**PRODUCT, "productFileBag": {"count": len(entries), "fileDataBag": entries}}
        return json.dumps({"count": 1, "bulkDataProductBag": [bag]}).encode()


def error(code: int, name: str, details: str) -> bytes:
    """A body as the portal's errors have it."""
    return json.dumps({"code": code, "error": name, "errorDetails": details, "requestIdentifier": "0000"}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakePortal

    def log_message(self, *_: object) -> None:
        pass

    def note(self) -> tuple[str, str | None, str | None]:
        return self.path, self.headers.get("X-API-KEY"), self.headers.get("Range")

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, content: bytes) -> None:
        given = self.headers.get("Range")
        start = int(given.removeprefix("bytes=").rstrip("-")) if given and self.fake.ranges else 0
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "application/zip")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.fake.announces_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.fake.cuts.pop(0) if self.fake.cuts else len(body)
        self.wfile.write(body[:cut])
        self.wfile.flush()
        if cut < len(body):
            self.fake.hold.wait(timeout=60)
        self.close_connection = True


class _Portal(_Handler):
    def do_GET(self) -> None:
        fake = self.fake
        fake.asked.append(self.note())
        if fake.answers:
            return self.answer(*fake.answers.pop(0))
        if self.headers.get("X-API-KEY") != KEY:
            return self.answer(403, {"Content-Type": "application/json"}, error(403, "Forbidden", "Forbidden"))
        if self.path.partition("?")[0].endswith("/products/PVGPATDIS"):
            return self.answer(200, {"Content-Type": "application/json"}, fake.listing())
        name = self.path.rpartition("/")[2]
        if "/files/PVGPATDIS/" not in self.path or name not in fake.files:
            details = "No matching records found, refine your search criteria and try again"
            return self.answer(404, {"Content-Type": "application/json"}, error(404, "Not Found", details))
        if fake.mode == "direct":
            return self.send_file(fake.files[name])
        path = f"/{name}?Signature={len(fake.asked)}"
        fake.left[path] = fake.uses
        if fake.mode == "redirect":
            return self.answer(302, {"Location": fake.storage + path}, b"")
        text = f"{fake.storage}{path}. For this file, you submitted 1 requests of 20 in 31536000 sec."
        return self.answer(200, {"Content-Type": "application/json"}, json.dumps({"message": text}).encode())


class _Storage(_Handler):
    def do_GET(self) -> None:
        fake = self.fake
        fake.fetched.append(self.note())
        fake.left[self.path] = fake.left.get(self.path, 0) - 1
        if fake.left[self.path] < 0:
            return self.answer(*HTML)  # what an expired address is known to give
        return self.send_file(fake.files[self.path[1:].partition("?")[0]])


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients hang up on purpose."""


@contextmanager
def served(fake: FakePortal) -> Iterator[FakePortal]:
    """The portal, answering until the end of the block."""
    servers = []
    for base in (_Portal, _Storage):
        server = _Server(("127.0.0.1", 0), type(base.__name__, (base,), {"fake": fake}))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
    fake.url, fake.storage = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield fake
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


# --- tables ---------------------------------------------------------------------------------------------------------


def zipped(name: str, header: list[str], rows: list[tuple[str, ...]], unquoted: tuple[str, ...] = ()) -> bytes:
    """A table as PatentsView writes it: text quoted, quotes doubled, numbers bare."""
    lines = ["\t".join(f'"{column}"' for column in header)]
    for row in rows:
        cells = zip(header, row, strict=True)
        lines.append(
            "\t".join(cell if column in unquoted else '"' + cell.replace('"', '""') + '"' for column, cell in cells)
        )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name.removesuffix(".zip"), "\n".join(lines) + "\n")
    return content.getvalue()


ABSTRACT = "A neural network, number {}, learns to tell patents from each other; it has {} layers."


def tables(patents: int = 40) -> dict[str, bytes]:
    """The three tables with so many patents: every second one on neural networks, every tenth withdrawn."""
    ids = [str(10_000_000 + number) for number in range(patents - 2)] + ["D345393", "RE49000"]
    years = [2000 + number % 20 for number in range(patents)]
    titles = [f'Title "{number}"' if number % 4 else "Neural-networks at work" for number in range(patents)]
    abstracts = [
        ABSTRACT.format(number, number * 7) if number % 2 else f"A door, {number}." for number in range(patents)
    ]
    patent_rows = [
        (i, "utility", f"{year}-01-02", title, "B2", "20", str(int(number % 10 == 0)), "ipg.xml")
        for number, (i, year, title) in enumerate(zip(ids, years, titles, strict=True))
    ]
    header = [
        "patent_id",
        "patent_type",
        "patent_date",
        "patent_title",
        "wipo_kind",
        "num_claims",
        "withdrawn",
        "filename",
    ]
    cpc_header = ["patent_id", "cpc_sequence", "cpc_section", "cpc_class", "cpc_subclass", "cpc_group", "cpc_type"]
    groups = ["G06N3/08", "G06N20/00", "G06N30/00", "H04L9/00"]
    cpc_rows = [
        (i, str(sequence), group[0], group[:3], group[:4], group, "inventional")
        for number, i in enumerate(ids)
        for sequence, group in enumerate([groups[number % 4], "Y10S1/00"])
    ]
    return {
        "g_patent.tsv.zip": zipped("g_patent.tsv.zip", header, patent_rows, unquoted=("num_claims", "withdrawn")),
        "g_patent_abstract.tsv.zip": zipped(
            "g_patent_abstract.tsv.zip", ["patent_id", "patent_abstract"], list(zip(ids, abstracts, strict=True))[::-1]
        ),
        "g_cpc_current.tsv.zip": zipped("g_cpc_current.tsv.zip", cpc_header, cpc_rows, unquoted=("cpc_sequence",)),
    }
