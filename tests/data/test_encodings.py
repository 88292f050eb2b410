"""Encodings: UTF-8, UTF-16 and UTF-32 are read; others are refused in one line with the place and a safe cure."""

import bz2
import codecs
import functools
import gzip
import lzma
import pickle
import re
import shutil
import sqlite3
import subprocess
import unicodedata
import zipfile
from pathlib import Path

import pytest
import zstandard

from conftest import compose_train, read_documents
from textloom.config import DataConfig
from textloom.data.cache import load_corpus
from textloom.data.reading import contents
from textloom.errors import DataError

TEXT = "Der Wald, schöne Größe 漢字 हिन्दी 🌳\nthe second line\n"


def read(path: Path, data: str = "text_files") -> list[str]:
    return read_documents(config(data).model_copy(update={"path": (str(path),)}))


@functools.cache
def config(data: str) -> DataConfig:
    return compose_train(f"data={data}", "data.path=?").data


def refused(path: Path, data: str = "text_files") -> str:
    with pytest.raises(DataError) as caught:
        read(path, data)
    (line,) = str(caught.value).splitlines()
    assert path.name in line
    return line


def follow_cure(line: str, folder: Path) -> str:
    """Run the command that a message ends with; the text that it makes."""
    if shutil.which("iconv") is None:
        pytest.skip("iconv is not installed")
    command = re.search(r": ((?:iconv|tr|gzip|python3) .*)$", line)
    assert command is not None, line
    subprocess.run(command[1], shell=True, cwd=folder, capture_output=True)
    return (folder / command[1].split(" > ")[1].strip("'")).read_text("utf-8")


@pytest.mark.parametrize("block", [1 << 22, 3])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE), ("utf-32-le", codecs.BOM_UTF32_LE), ("utf-32-be", codecs.BOM_UTF32_BE),
    ],
)  # fmt: skip
def test_unicode_with_a_byte_order_mark_is_read(
    encoding: str, mark: bytes, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "BLOCK", block)
    (tmp_path / "text.txt").write_bytes(mark + TEXT.encode(encoding))
    (tmp_path / "table.csv").write_bytes(mark + f'text,a\r\n"{TEXT}",1\r\n'.encode(encoding))
    (tmp_path / "table.tsv").write_bytes(mark + "text\ta\r\nschön\t1\r\n".encode(encoding))
    (tmp_path / "table.jsonl").write_bytes(mark + '{"text": "schön"}\n{"text": "Größe"}\n'.encode(encoding))
    (tmp_path / "text.txt.gz").write_bytes(gzip.compress(mark + TEXT.encode(encoding)))
    assert read(tmp_path / "text.txt") == read(tmp_path / "text.txt.gz") == [TEXT]
    assert read(tmp_path / "table.csv", "table") == [TEXT]
    assert read(tmp_path / "table.tsv", "table") == ["schön"]
    assert read(tmp_path / "table.jsonl", "table") == ["schön", "Größe"]


@pytest.mark.parametrize(
    ("encoding", "named", "text"),
    [
        ("cp1252", "CP1252", "Der große Wald – „schön“, l’été, dit-il.\n"),
        ("koi8_r", "KOI8-R", "В лесу родилась ель, в лесу она росла, зимой и летом стройная была.\n"),
        ("cp1251", "CP1251", "В лесу родилась ель, в лесу она росла, зимой и летом стройная была.\n"),
        ("cp932", "CP932", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"),
        ("gb18030", "GB18030", "红楼梦是中国古典四大名著之首，清代作家曹雪芹创作的章回体长篇小说。\n"),
        ("big5", "BIG5", "紅樓夢是中國古典四大名著之首，清代作家曹雪芹創作的章回體長篇小說。\n"),
        ("cp1252", "CP1252", "A situação não é boa: os cães estão à procura da maçã.\n"),
        ("cp1252", "CP1252", "Flickan åt äpplen på ön i går.\n"),
        ("cp1250", "CP1250", "Příliš žluťoučký kůň úpěl ďábelské ódy.\n"),
        ("iso8859_2", "ISO-8859-2", "Zażółć gęślą jaźń i śpiewaj piękne pieśni.\n"),
        ("cp1254", "CP1254", "Çocuklar okula gitti, öğretmen güzel bir şarkı söyledi.\n"),
        ("cp1257", "CP1257", "Šodien ir ļoti jauka diena, ķirši žūst pie mājas.\n"),
        ("cp1258", "CP1258", "Tre\u0309 em đi ho\u0323c và hát như\u0303ng bài hát râ\u0301t hay.\n"),
        ("cp874", "CP874", "เด็ก ๆ ไปโรงเรียน “และร้องเพลง” ที่ไพเราะมาก…\n"),
        ("iso8859_6", "ISO-8859-6", "ذهب الأطفال إلى المدرسة وغنوا أغاني جميلة.\n"),
        ("iso2022_jp", "ISO-2022-JP", "吾輩は猫である。名前はまだ無い。\n"),
        ("utf-16-le", "UTF-16LE", "红楼梦是中国古典四大名著之一，一个人\n"),
        ("utf-16-be", "UTF-16BE", "红楼梦是中国古典四大名著之一，一个人\n"),
        ("utf-16-le", "UTF-16LE", "बच्चे स्कूल गए और गीत गाए।\n"),
        ("utf-16-le", "UTF-16LE", "Der große Wald\n"),
        ("utf-16-be", "UTF-16BE", "В лесу родилась\n"),
        ("utf-16-le", "UTF-16LE", "红楼梦是中国古典，曹雪芹创作\n"),
        ("utf-32-le", "UTF-32LE", "Der große Wald\n"),
    ],
)
def test_another_encoding_is_named_and_the_cure_gives_the_text(
    encoding: str, named: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / "old book.txt"
    path.write_bytes((text * 50).encode(encoding))
    line = refused(path)
    assert f"iconv -f {named} -t UTF-8" in line
    assert unicodedata.normalize("NFD", follow_cure(line, tmp_path)) == unicodedata.normalize("NFD", text * 50)


def test_bytes_in_no_known_encoding_are_not_called_one(tmp_path: Path) -> None:
    (tmp_path / "no ASCII.txt").write_bytes(("红楼梦是中国古典四大名著之一" * 20).encode("utf-16-le"))
    assert "and in no encoding that textloom knows; convert it" in refused(tmp_path / "no ASCII.txt")


@pytest.mark.parametrize("where", ["first", "border", "last"])
@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl", "txt.gz"])
def test_one_bad_byte_in_good_utf_8_is_found_and_the_cure_spoils_nothing(
    kind: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "BLOCK", 1000)
    rows = ["the forêt près du café" for _ in range(300)]
    number = {"first": 1, "border": 40, "last": 299}[where]
    rows[number] = "c'est* fini"
    line_of = {"jsonl": '{{"text": "{}"}}\n'}.get(kind, "{}\n")
    shown = "text\n" * (kind == "csv") + "".join(map(line_of.format, rows))
    content = shown.encode().replace(b"*", b"\x92")
    path = tmp_path / f"mixed.{kind}"
    path.write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
    line = refused(path, "text_files" if kind.startswith("txt") else "table")
    assert f"not UTF-8 at byte {content.index(0x92)} (line {number + 1 + (kind == 'csv')}): all but that byte" in line
    assert "iconv -c -f UTF-8 -t UTF-8" in line
    assert follow_cure(line, tmp_path) == shown.replace("*", "")


def test_surrogates_in_utf_8_are_named_and_the_cure_joins_them(tmp_path: Path) -> None:
    path = tmp_path / "java.txt"
    path.write_bytes(TEXT.encode() + "a smile \ud83d\ude00, a café\n".encode("utf-8", "surrogatepass"))
    line = refused(path)
    assert f"not UTF-8 at byte {len(TEXT.encode()) + 8} (line " in line
    assert "halves of surrogate pairs (CESU-8, of Java and databases)" in line
    assert follow_cure(line, tmp_path) == TEXT + "a smile 😀, a café\n"


@pytest.mark.parametrize("where", [3, 2000])
@pytest.mark.parametrize("kind", ["txt", "csv", "tsv"])
def test_a_nul_is_refused_with_its_place_wherever_it_lies(
    kind: str, where: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "BLOCK", 1000)
    rows = ["text"] + [f"row {i} begins{'*' if i == where else ' '}and ends" for i in range(1, 3000)]
    content = "".join(f"{row}\n" for row in rows).encode().replace(b"*", b"\0")
    path = tmp_path / f"dump.{kind}"
    path.write_bytes(content)
    line = refused(path, "text_files" if kind == "txt" else "table")
    assert f"a NUL byte at byte {content.index(0)} (line {where + 1}), 1 in all" in line
    assert follow_cure(line, tmp_path) == content.replace(b"\0", b"").decode()


def test_a_nul_that_json_escapes_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n{"text": "a\\u0000b"}\n')
    assert "line 2: the column text holds a NUL character" in refused(tmp_path / "a.jsonl", "table")


def test_text_that_is_cut_off_is_reported(tmp_path: Path) -> None:
    (tmp_path / "cut.txt").write_bytes("Größe schön".encode() + b"\xc3")
    assert "not UTF-8 at byte 14 (line 1): the file ends within a character" in refused(tmp_path / "cut.txt")
    (tmp_path / "cut16.txt").write_bytes("two\nlines".encode("utf-16")[:-1])
    assert "not valid UTF-16LE at byte 18 (line 2)" in refused(tmp_path / "cut16.txt")


def test_what_is_no_text_is_called_by_its_kind(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zip.txt", "w") as archive:
        archive.writestr("a.txt", TEXT * 10, zipfile.ZIP_DEFLATED)
    with sqlite3.connect(tmp_path / "base.txt") as base:
        base.execute("create table texts (text)")
    (tmp_path / "image.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    (tmp_path / "pickle.txt").write_bytes(pickle.dumps([TEXT, 1.5, b"\xff"]))
    (tmp_path / "gzip.txt").write_bytes(gzip.compress(TEXT.encode()))
    (tmp_path / "other.txt").write_bytes(bytes(range(256)) * 10)
    for name, kind in {
        "zip": "a zip archive", "base": "an SQLite database", "image": "a PNG image", "pickle": "a pickle",
        "gzip": "a gzip file); name it so that it ends in .gz", "other": "give a UTF-8 text file",
    }.items():  # fmt: skip
        line = refused(tmp_path / f"{name}.txt")
        assert "a binary file, not text" in line
        assert kind in line


PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.compress}


@pytest.mark.parametrize("ending", [*PACK, "GZ", "zip"])
def test_compressed_texts_are_read_like_plain_ones(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"book.TXT.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("folder/book.txt", TEXT)
            archive.writestr("__MACOSX/folder/._book.txt", b"\0\x05\x16\x07")
            archive.writestr("folder/.DS_Store", b"\0\0\0\1")
    else:
        path.write_bytes(PACK[ending.lower()](TEXT.encode()))
    assert read(path) == [TEXT]


@pytest.mark.parametrize("ending", [*PACK, "zip"])
def test_an_archive_that_is_cut_off_or_none_is_reported(ending: str, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.zip", tmp_path / f"text.txt.{ending}"
    text = b"".join(b"%d " % (i * i * 7919) for i in range(5000))
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", text)
    packed = whole.read_bytes() if ending == "zip" else PACK[ending](text)
    for content in (packed[: len(packed) // 2], b"plain text, no archive"):
        path.write_bytes(content)
        line = refused(path)
        assert f"cannot be read as {ending}" in line
    path.with_name("text.txt").write_bytes(content)  # the cure of a file whose name alone is that of an archive
    assert ending == "zip" or line.endswith(f"or take .{ending} off its name if it is not compressed")
    assert read(path.with_name("text.txt")) == ["plain text, no archive"]


def test_a_file_compressed_twice_and_a_table_read_as_text_get_a_message_with_the_cure(tmp_path: Path) -> None:
    twice = gzip.compress(gzip.compress(TEXT.encode()))
    (tmp_path / "twice.txt.gz").write_bytes(twice)
    with zipfile.ZipFile(tmp_path / "books.zip", "w") as archive:
        archive.writestr("book.txt.gz", gzip.compress(TEXT.encode()))
    for name in ("twice.txt.gz", "books.zip"):
        assert refused(tmp_path / name).endswith("(a gzip file); unpack it, and give the file in it")
    (tmp_path / "table.txt").write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    assert refused(tmp_path / "table.txt").endswith("read it with data=table under a name that ends in .parquet")


def test_a_zip_with_a_password_and_other_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", TEXT)
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag of encryption, in both headers
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "secret.zip, member a.txt: needs a password" in refused(path)
    for name in ("a.tar", "a.tar.gz", "a.tgz", "a.7z"):
        (tmp_path / name).write_bytes(b"x")
        assert "archives are not read; unpack it" in refused(tmp_path / name)


def test_all_members_of_an_archive_are_read_and_others_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with zipfile.ZipFile(tmp_path / "books.zip", "w") as archive:
        for name in ("b/two.txt", "b/one.txt"):
            archive.writestr(name, f"text of {name}")
        archive.writestr("cover.jpg", b"\xff\xd8\xff\0")
    with zipfile.ZipFile(tmp_path / "tables.zip", "w") as archive:
        archive.writestr("a.csv", "text\none\n")
        archive.writestr("deep/B.JSONL", '{"text": "two"}\n')
    assert read(tmp_path / "books.zip") == ["text of b/two.txt", "text of b/one.txt"]
    assert "books.zip, member cover.jpg: left out" in caplog.text
    assert read(tmp_path / "tables.zip", "table") == ["one", "two"]


def test_a_file_that_changes_while_it_is_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "growing.txt"
    path.write_text("one text " * 20)
    monkeypatch.setattr(contents, "BLOCK", 50)
    blocks = contents.Content.blocks

    def growing(content: contents.Content):  # type: ignore[no-untyped-def]
        for block in blocks(content):
            with path.open("a") as file:
                file.write("more ") if path.stat().st_size < 500 else None
            yield block

    monkeypatch.setattr(contents.Content, "blocks", growing)
    with pytest.raises(DataError, match=r"growing\.txt: changed while it was read; start again"):
        load_corpus(compose_train("data=text_files", f"data.path={path}").data)
