"""Reading PatentsView's zipped tables as a stream, a few megabytes at a time.

They are tab-separated UTF-8 with a header. Text is in double quotes, with quotes inside doubled; a field may contain
line breaks and be as long as a block.
"""

import logging
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv
from tqdm import tqdm

from textloom.errors import DataError

log = logging.getLogger(__name__)

BLOCK = 8 << 20  # bytes parsed at once, and the longest row; four times as many take twice the time and memory


def stream_table(path: Path, columns: Sequence[str], block: int = BLOCK) -> Iterator[pa.RecordBatch]:
    """Read columns of the table in a zip archive, as text, batch by batch; verify its checksum at the end.

    Rows with too many or too few fields are left out, and a warning gives their number. Raises DataError if the archive
    or the table cannot be read.
    """
    skipped: list[int] = []

    def skip(row: csv.InvalidRow) -> str:
        skipped.append(row.actual_columns)
        return "skip"

    options = {
        "read_options": csv.ReadOptions(block_size=block),
        "parse_options": csv.ParseOptions(delimiter="\t", newlines_in_values=True, invalid_row_handler=skip),
        "convert_options": csv.ConvertOptions(
            include_columns=list(columns), column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
        ),
    }
    try:
        with zipfile.ZipFile(path) as archive:
            member = _table_in(archive)
            bar = tqdm(total=member.file_size, unit="B", unit_scale=True, desc=member.filename, disable=None)
            with bar, archive.open(member) as file, csv.open_csv(file, **options) as batches:
                for batch in batches:
                    bar.update(file.tell() - bar.n)
                    yield batch
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{path}: damaged ({error}); remove it, and prepare the data again") from error
    except (pa.ArrowInvalid, KeyError) as error:
        reason = str(error).strip("'\"").partition("\n")[0][:300]
        raise DataError(f"{path}: not the table that it should be ({reason}); is textloom up to date?") from error
    if skipped:
        log.warning("%s: %d rows left out, which do not have the header's number of fields", path.name, len(skipped))


def _table_in(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    for member in archive.infolist():
        if member.filename.endswith(".tsv"):
            return member
    raise DataError(f"{archive.filename}: holds no .tsv file; remove it, and prepare the data again")
