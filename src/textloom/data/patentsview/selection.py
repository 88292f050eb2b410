"""Selecting patents from the tables, which are filtered and joined as streams, into one Parquet file.

Memory holds eight bytes for each patent, not its text. A first pass finds the candidates (years, CPC, not withdrawn,
title), a second one reads their abstracts, and a last one adds title and date to those that are selected.
"""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from textloom.config.patents import PatentSelection
from textloom.data.patentsview.tables import BLOCK, stream_table
from textloom.errors import ConfigError, DataError
from textloom.system.files import written_whole

PATENTS, ABSTRACTS, CPC = "g_patent.tsv.zip", "g_patent_abstract.tsv.zip", "g_cpc_current.tsv.zip"
ID_BYTES = 8  # "10000000", "D1012345", "RE050000": the longest patent numbers
ROWS_AT_ONCE = 1 << 13  # at least, in a row group of the Parquet file
TITLES_AT_ONCE = 1 << 19  # rows that get their titles in one pass over the patents

SCHEMA = pa.schema([(name, pa.string()) for name in ("patent_id", "patent_title", "patent_abstract", "patent_date")])


@dataclass(frozen=True)
class _Candidates:
    """Patents that may be selected, sorted."""

    ids: np.ndarray
    """(patents,) uint64: the patent numbers' bytes."""
    wanted: np.ndarray
    """(patents,) bool: True if the title matches, so that the abstract need not."""

    def among(self, ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """For each of these ids, (rows,): whether it is a candidate, and whether its title matches."""
        keys = _keys(ids)
        known = _contains(self.ids, keys)
        wanted = np.zeros(len(keys), bool)
        wanted[known] = self.wanted[np.searchsorted(self.ids, keys[known])]
        return known, wanted


def tables_of(selection: PatentSelection) -> list[str]:
    """The files of PVGPATDIS that a selection needs."""
    return [PATENTS, ABSTRACTS, *([CPC] if selection.cpc else [])]


def pattern(selection: PatentSelection) -> str | None:
    """The regular expression that title or abstract must match; None if all are selected.

    A phrase matches whole words in any case, with white space or hyphens between them; * matches the rest of a word.
    Raises ConfigError if the expression is not valid.
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
    """Write the selected patents to a Parquet file, whole or not at all, and return their number.

    Columns: patent_id, patent_title, patent_abstract, patent_date (YYYY-MM-DD), all text. Raises DataError if no
    patent is selected.
    """
    expression = pattern(selection)
    with tempfile.TemporaryFile(dir=target.parent) as taken:
        keys = _take(_candidates(selection, expression, folder, block), expression, folder, taken, block)
        if not keys:
            raise DataError("data.source=odp: no patent matches; widen data.query, data.regex, data.cpc or the years")
        taken.seek(0)
        with written_whole(target) as file, parquet.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
            batches = pa.ipc.open_stream(taken)
            for group in _groups(keys):
                patents, titles = _titles(np.concatenate(group), folder, block)
                for part in group:
                    found = titles.take(np.searchsorted(patents, part))
                    batch = batches.read_next_batch()
                    columns = [
                        batch["patent_id"],
                        found["patent_title"],
                        batch["patent_abstract"],
                        found["patent_date"],
                    ]
                    writer.write_table(pa.table(columns, schema=SCHEMA))
    return sum(map(len, keys))


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
    del ids, wanted  # of ten million patents
    order = np.argsort(keys, kind="stable")
    return _Candidates(keys[order], title[order])


def _classified(codes: tuple[str, ...], folder: Path, block: int) -> np.ndarray:
    """The patents that have one of these codes or one below it: G06N3 covers G06N3/08, and G06N covers both."""
    below = "|".join(f"{code}(/.*)?" if len(code) > 4 else f"{code}.*" for code in codes)
    found = [np.empty(0, np.uint64)]
    for batch in stream_table(folder / CPC, ["patent_id", "cpc_group"], block):
        batch = batch.filter(pc.match_substring_regex(batch["cpc_group"], f"^({below})$"))
        found.append(np.unique(_keys(batch["patent_id"])))
    return np.unique(np.concatenate(found))


def _take(
    candidates: _Candidates, expression: str | None, folder: Path, taken: IO[bytes], block: int
) -> list[np.ndarray]:
    """Write number and abstract of each selected patent to a stream; return the keys, (rows,), of each batch."""
    keys: list[np.ndarray] = []
    waiting: list[pa.RecordBatch] = []
    columns = ["patent_id", "patent_abstract"]

    def write() -> None:
        for batch in pa.Table.from_batches(waiting).combine_chunks().to_batches() if waiting else ():
            writer.write_batch(batch)
            keys.append(_keys(batch["patent_id"]))
        waiting.clear()

    with pa.ipc.new_stream(taken, pa.schema([(name, pa.string()) for name in columns])) as writer:
        for batch in stream_table(folder / ABSTRACTS, columns, block):
            known, wanted = candidates.among(batch["patent_id"])
            has_text = pc.not_equal(pc.utf8_trim_whitespace(batch["patent_abstract"]), "").to_numpy(False)
            found = known & has_text & (wanted | _matches(batch["patent_abstract"], expression))
            if found.any():
                waiting.append(batch.filter(pa.array(found)))
            if sum(map(len, waiting)) >= ROWS_AT_ONCE:
                write()
        write()
    return keys


def _groups(keys: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Group batches so that the titles of a group are found in one pass."""
    group: list[np.ndarray] = []
    for part in keys:
        group.append(part)
        if sum(map(len, group)) >= TITLES_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _titles(keys: np.ndarray, folder: Path, block: int) -> tuple[np.ndarray, pa.Table]:
    """The keys of these patents, sorted, (patents,), and a table of title and date in the same order."""
    keys = np.sort(keys)
    found_keys, found = [], []
    for batch in stream_table(folder / PATENTS, ["patent_id", "patent_title", "patent_date"], block):
        batch_keys = _keys(batch["patent_id"])
        known = _contains(keys, batch_keys)
        found_keys.append(batch_keys[known])
        found.append(batch.select(["patent_title", "patent_date"]).filter(pa.array(known)))
    patents = np.concatenate(found_keys)
    order = np.argsort(patents, kind="stable")
    return patents[order], pa.Table.from_batches(found).take(order)


def _matches(texts: pa.Array, expression: str | None) -> np.ndarray:
    """(rows,) bool: True if the text matches."""
    if expression is None:
        return np.ones(len(texts), bool)
    found: np.ndarray = pc.match_substring_regex(texts, expression, ignore_case=True).to_numpy(zero_copy_only=False)
    return found


def _contains(ids: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(rows,) bool: True if the key is one of the ids, which are sorted."""
    if not len(ids):
        return np.zeros(len(keys), bool)
    found: np.ndarray = ids[np.minimum(np.searchsorted(ids, keys), len(ids) - 1)] == keys
    return found


def _keys(ids: pa.Array) -> np.ndarray:
    """Patent numbers, (rows,), as uint64: their bytes, padded with zeros. Raises DataError if one is longer."""
    if len(ids) and pc.max(pc.binary_length(ids)).as_py() > ID_BYTES:
        longest = ids[int(np.argmax(pc.binary_length(ids).to_numpy()))]
        raise DataError(f"patent_id {longest}: longer than any patent number; is this the table of granted patents?")
    padded = pc.ascii_rpad(ids, ID_BYTES, padding="\0").cast(pa.binary()).cast(pa.binary(ID_BYTES))
    return np.frombuffer(padded.buffers()[1], np.uint64, count=len(ids), offset=padded.offset * ID_BYTES)
