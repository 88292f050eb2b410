"""The patents that were asked for: filtered and joined as streams, into one Parquet file.

Memory holds a number of eight bytes for each patent, not its text: first which patents may be taken (years, CPC, not
withdrawn, title), then their abstracts pass by, and those that are taken get title and date in a last pass.
"""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from textloom.config.patents import PatentSelection
from textloom.errors import ConfigError, DataError
from textloom.files import written_whole
from textloom.patentsview.tables import BLOCK, stream_table

PATENTS, ABSTRACTS, CPC = "g_patent.tsv.zip", "g_patent_abstract.tsv.zip", "g_cpc_current.tsv.zip"
ID_BYTES = 8  # "10000000", "D1012345", "RE050000": patent numbers, as long as they get
TITLES_AT_ONCE = 1 << 20  # rows that get their titles in one pass over the patents

SCHEMA = pa.schema([(name, pa.string()) for name in ("patent_id", "patent_title", "patent_abstract", "patent_date")])


@dataclass(frozen=True)
class _Candidates:
    """Patents that may be taken, sorted."""

    ids: np.ndarray
    """(patents,) uint64: the patent numbers' bytes."""
    wanted: np.ndarray
    """(patents,) bool: taken whatever the abstract says, for the title does."""

    def among(self, ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Whether each of these (rows,) may be taken, and whether it is wanted whatever its abstract says."""
        keys = _keys(ids)
        known = _contains(self.ids, keys)
        wanted = np.zeros(len(keys), bool)
        wanted[known] = self.wanted[np.searchsorted(self.ids, keys[known])]
        return known, wanted


def tables_of(selection: PatentSelection) -> list[str]:
    """The files of PVGPATDIS that a selection needs."""
    return [PATENTS, ABSTRACTS, *([CPC] if selection.cpc else [])]


def pattern(selection: PatentSelection) -> str | None:
    """The regular expression that title or abstract must match; None where any will do.

    A phrase matches whole words in any case, with white space or hyphens between them; * is the rest of a word.
    Raises ConfigError where the expression is none.
    """
    if selection.query is not None:
        phrase = selection.query.strip(" \t-")
        words = [re.escape(word).replace(r"\*", r"\w*") for word in re.split(r"[\s-]+", phrase)]
        begins, ends = (r"\b" if re.match(r"[a-zA-Z0-9_*]", end) else "" for end in (phrase[0], phrase[-1]))
        return begins + r"[\s-]+".join(words) + ends
    if selection.regex is not None:
        try:
            pc.match_substring_regex(pa.array([""]), selection.regex)
        except pa.ArrowInvalid as error:
            reason = str(error).partition(": ")[2] or str(error)
            raise ConfigError(f"data.regex={selection.regex}: not a regular expression of RE2 ({reason})") from error
    return selection.regex


def select(selection: PatentSelection, folder: Path, target: Path, block: int = BLOCK) -> int:
    """Write the patents asked for from the tables in a folder into a Parquet file, whole or not at all; count them.

    Columns: patent_id, patent_title, patent_abstract, patent_date (YYYY-MM-DD), all text. Raises DataError where no
    patent is like that.
    """
    expression = pattern(selection)
    candidates = _candidates(selection, expression, folder, block)
    with tempfile.TemporaryFile(dir=target.parent) as taken:
        count = _take(candidates, expression, folder, taken, block)
        if not count:
            raise DataError(
                "data.source=odp: no patent is like that; widen data.query, data.regex, data.cpc or the years"
            )
        taken.seek(0)
        with written_whole(target) as file, parquet.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
            for rows in _in_groups(pa.ipc.open_stream(taken)):
                writer.write_table(_with_titles(rows, folder, block))
    return count


def _candidates(selection: PatentSelection, expression: str | None, folder: Path, block: int) -> _Candidates:
    classified = _classified(selection.cpc, folder, block) if selection.cpc else None
    ids, wanted = [np.empty(0, np.uint64)], [np.empty(0, bool)]
    first, last = f"{selection.first_year or 0:04}", f"{selection.last_year or 9999:04}"
    for batch in stream_table(folder / PATENTS, ["patent_id", "patent_date", "patent_title", "withdrawn"], block):
        year = pc.utf8_slice_codeunits(batch["patent_date"], 0, 4)
        keep = pc.and_(pc.greater_equal(year, first), pc.less_equal(year, last))
        batch = batch.filter(pc.and_(keep, pc.not_equal(batch["withdrawn"], "1")))
        keys, title = _keys(batch["patent_id"]), _matches(batch["patent_title"], expression)
        if classified is not None:
            known = _contains(classified, keys)
            keys, title = keys[known], title[known]
        ids.append(keys)
        wanted.append(title)
    keys, title = np.concatenate(ids), np.concatenate(wanted)
    order = np.argsort(keys, kind="stable")
    return _Candidates(keys[order], title[order])


def _classified(codes: tuple[str, ...], folder: Path, block: int) -> np.ndarray:
    """The patents that have one of these codes, or one below it, now: G06N3 covers G06N3/08, and G06N covers both."""
    below = "|".join(f"{code}(/.*)?" if len(code) > 4 else f"{code}.*" for code in codes)
    found = [np.empty(0, np.uint64)]
    for batch in stream_table(folder / CPC, ["patent_id", "cpc_group"], block):
        batch = batch.filter(pc.match_substring_regex(batch["cpc_group"], f"^({below})$"))
        found.append(np.unique(_keys(batch["patent_id"])))
    return np.unique(np.concatenate(found))


def _take(candidates: _Candidates, expression: str | None, folder: Path, taken: object, block: int) -> int:
    """Write number and abstract of each patent that is taken into a stream; count them."""
    count = 0
    columns = ["patent_id", "patent_abstract"]
    with pa.ipc.new_stream(taken, pa.schema([(name, pa.string()) for name in columns])) as writer:
        for batch in stream_table(folder / ABSTRACTS, columns, block):
            known, wanted = candidates.among(batch["patent_id"])
            has_text = pc.not_equal(pc.utf8_trim_whitespace(batch["patent_abstract"]), "").to_numpy(False)
            batch = batch.filter(pa.array(known & has_text & (wanted | _matches(batch["patent_abstract"], expression))))
            writer.write_batch(batch.select(columns))
            count += len(batch)
    return count


def _in_groups(batches: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Tables of as many rows as get their titles in one pass."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        if sum(map(len, group)) >= TITLES_AT_ONCE:
            yield pa.Table.from_batches(group)
            group = []
    if group:
        yield pa.Table.from_batches(group)


def _with_titles(rows: pa.Table, folder: Path, block: int) -> pa.Table:
    """The same rows, with title and date of each from the table of patents."""
    columns = ["patent_id", "patent_title", "patent_date"]
    candidates = _Candidates(np.sort(_keys(rows["patent_id"].combine_chunks())), np.ones(len(rows), bool))
    found = [
        batch.filter(pa.array(candidates.among(batch["patent_id"])[0])).select(columns)
        for batch in stream_table(folder / PATENTS, columns, block)
    ]
    patents = pa.Table.from_batches(found)
    keys = _keys(patents["patent_id"].combine_chunks())
    order = np.argsort(keys, kind="stable")
    place = order[np.searchsorted(keys[order], _keys(rows["patent_id"].combine_chunks()))]
    return pa.table({**_columns(patents.take(place)), **_columns(rows)}).select(SCHEMA.names)


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _matches(texts: pa.Array, expression: str | None) -> np.ndarray:
    """Whether each text (rows,) matches."""
    if expression is None:
        return np.ones(len(texts), bool)
    found: np.ndarray = pc.match_substring_regex(texts, expression, ignore_case=True).to_numpy(zero_copy_only=False)
    return found


def _contains(ids: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Whether each key (rows,) is one of the ids, which are sorted."""
    if not len(ids):
        return np.zeros(len(keys), bool)
    found: np.ndarray = ids[np.minimum(np.searchsorted(ids, keys), len(ids) - 1)] == keys
    return found


def _keys(ids: pa.Array) -> np.ndarray:
    """Patent numbers (rows,) as uint64: their bytes, filled with zeros. Raises DataError where one is longer."""
    if len(ids) and pc.max(pc.binary_length(ids)).as_py() > ID_BYTES:
        longest = ids[int(np.argmax(pc.binary_length(ids).to_numpy()))]
        raise DataError(f"patent_id {longest}: longer than any patent number; is this the table of granted patents?")
    padded = pc.ascii_rpad(ids, ID_BYTES, padding="\0").cast(pa.binary()).cast(pa.binary(ID_BYTES))
    return np.frombuffer(padded.buffers()[1], np.uint64, count=len(ids), offset=padded.offset * ID_BYTES)
