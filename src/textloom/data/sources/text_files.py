"""Plain text files: each a document, or several between blank lines or line ends."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator

from textloom.config.data import SOURCES
from textloom.config.paths import TABLE_SUFFIXES
from textloom.config.source_keys import GivenFiles
from textloom.data.documents import BLOCK, Piece, SplitName
from textloom.data.sources.files import FileSource, given_files

if TYPE_CHECKING:
    from textloom.data.normalization import Normalizer
    from textloom.data.notes import Notes
    from textloom.data.reading.contents import Content

SUFFIXES = (".txt", ".text", ".md")  # of the members of an archive that are read
BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
LINE_ENDS = re.compile(r"(?<![ \t])[ \t]*+\n\s*")  # with the blank lines after it


class TextFilesConfig(GivenFiles):
    """Plain text files in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark; also as gz, bz2, xz, zst or zip."""

    kind: Literal["text_files"]
    documents: Literal["file", "blank_line", "line"]
    """The unit of a document: a whole file, a block between blank lines, or a line."""
    protocol: Literal["nanogpt", "char_rnn", "torch_rnn"] | None = None
    """A published split of one file: last tenth for validation; ends of 50 rows; 80/10/10. Null for shares."""

    @property
    def split_protocol(self) -> str | None:
        """The published way in which one file is cut."""
        return self.protocol

    @property
    def has_test_split(self) -> bool:
        """True if the protocol, or the keys without one, make a test split."""
        return super().has_test_split if self.protocol is None else self.protocol == "torch_rnn"

    @property
    def by_share(self) -> bool:
        """False with a protocol, which has its own shares."""
        return self.protocol is None and super().by_share

    @model_validator(mode="after")
    def _protocol_stands_alone(self) -> Self:
        if self.protocol is not None and (any(self.given) or self.documents != "file"):
            raise ValueError(
                f"protocol={self.protocol} cuts one file; leave out validation_path and test_path, "
                "and set data.documents=file"
            )
        return self


@SOURCES.register(TextFilesConfig)
class TextFiles(FileSource[TextFilesConfig]):
    """The documents of plain text files."""

    unit: ClassVar[str] = "file"
    is_normalized: ClassVar[bool] = True  # before documents are separated: a blank line may hold a CR

    def files_of_splits(self) -> dict[SplitName, list[Path]]:
        """The files that the paths name."""
        return given_files(self.config)

    def read(self, normalizer: "Normalizer", notes: "Notes") -> Mapping[SplitName, Iterable[Piece]]:
        """The documents of the files of each split."""
        contents = self.contents(SUFFIXES, notes)
        tables = [content.label for found in contents.values() for content in found if content.suffix in TABLE_SUFFIXES]
        if tables:
            notes.warn(f"{tables[0]}: a table, read as plain text; data=table reads the texts of its rows")
        return {name: self._documents(found, normalizer, notes) for name, found in contents.items()}

    def _documents(self, contents: "list[Content]", normalizer: "Normalizer", notes: "Notes") -> Iterator[Piece]:
        from textloom.data.reading.decoding import text_pieces, without_empty

        for content in without_empty(contents, notes):
            pieces = text_pieces(content, normalizer)
            if self.config.documents == "file":
                yield from pieces
            else:
                border = LINE_ENDS if self.config.documents == "line" else BLANK_LINES
                yield from bordered_documents((text for text, _ in pieces), border)


def bordered_documents(texts: Iterator[str], border: re.Pattern[str]) -> Iterator[Piece]:
    """The documents between borders of a text that comes in pieces, without white space before them."""
    buffer, searched, inside, begun = "", 0, False, False
    for text in texts:
        buffer += text
        if not begun:
            buffer = buffer.lstrip()
            begun = bool(buffer)
        first = 0
        for found in border.finditer(buffer, searched):
            if found.end() == len(buffer):
                break  # the border may continue
            yield buffer[first : found.start()], True
            first, inside = found.end(), False
        buffer = buffer[first:]
        kept = len(buffer.rstrip())  # the white space at the end may be the beginning of a border
        if kept > BLOCK:
            yield buffer[:kept], False
            buffer, kept, inside = buffer[kept:], 0, True
        searched = kept
    if buffer.rstrip() or inside:
        yield buffer.rstrip(), True
