"""Tables of every shape: understood or refused with the line, never shifted."""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import random
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from pipeline.data.layouts import LAYOUTS, Layout, own_layouts
from pipeline.data.tables import each_once, lines_of, read_table
from pipeline.errors import RequestError
from tests.plugged import plugged

NAMES = ["user", "item", "rating"]
CELLS = [["1", "Amélie", "5"], ["2", "Toy Story", "3.50"], ["3", "007", "NA"]]


@pytest.fixture
def table(tmp_path: Path):
    """Read what is written into a file; as a refusal in words where it is refused."""

    def read(content: str | bytes, header: bool = True, separator: str | None = None, name: str = "t.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        try:
            found = read_table(path, "data.table", header, separator)
        except RequestError as error:
            said = str(error)
            if len(said.splitlines()) > 2 or not said.startswith(f"data.table: {path} is not a readable CSV ("):
                raise
            return said
        return [*([list(found.columns)] if header else []), *found.to_numpy().tolist()]

    return read


def written(separator: str, *rows: list[str]) -> str:
    return "".join(separator.join(row) + "\n" for row in rows)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("separator", [",", ";", "\t", "::", "|", " "])
def test_the_separator_is_found(table, separator, header):
    cells = [[cell.replace(" ", "_") if separator == " " else cell for cell in row] for row in CELLS]
    rows = [NAMES, *cells] if header else cells
    assert table(written(separator, *rows), header) == rows


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
)
def test_the_encoding_is_found(table, encoding):
    for header in (True, False):
        rows = [NAMES, *CELLS] if header else CELLS
        assert table(written(";", *rows).encode(encoding), header) == rows


def test_the_end_of_a_line_is_any(table):
    for end in ("\n", "\r\n", "\r"):
        text = written(",", NAMES, *CELLS).replace("\n", end)
        assert table(text) == table(text.removesuffix(end)) == [NAMES, *CELLS]
        assert table(f"a,b{end}1,2{end}3{end}").count("line 3 has 1 cells, its header names 2") == 1


def test_compressed_tables_are_read(table):
    text = written(",", NAMES, *CELLS).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("deep/t.csv", text)
        archive.writestr("__MACOSX/deep/._t.csv", "x")
    for content in (gzip.compress(text), bz2.compress(text), lzma.compress(text), packed.getvalue()):
        assert table(content) == [NAMES, *CELLS]
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("other.csv", text)
    assert "holds one file, and this one 2: deep/t.csv, other.csv" in table(packed.getvalue())
    assert "compressed, and broken" in table(packed.getvalue()[:80])
    assert "compressed, and broken" in table(gzip.compress(text)[:-9])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PAR1\x15\x04", "it is Parquet; save it as CSV"),
        (b"\x89HDF\r\n\x1a\n", "it is HDF5"),
        (b"a,b\n\x00\x01\x02,3\n", "it is no text: it holds NUL bytes"),
        ("a,b\n1,é\n2,ü\n".encode() + b"3,\xff\n", "UTF-8 but for 1 bytes, the first of them in line 4"),
        (codecs.BOM_UTF16_LE + b"a", "its first bytes say utf-16"),
        (b"", "it has no rows"),
        (b"\n \n", "it has no rows"),
    ],
)
def test_what_is_no_text_is_refused(table, content, words):
    assert words in table(content)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,c\n1,2,3,4\n5,6,7,8\n", ["line 2 has 4 cells, its header names 3 (2 of 3 lines differ): '1,2,3,4'"]),
        ("a,b,c\n1,2,3\n4,5,6,7\n", ["line 3 has 4 cells", "(1 of 3 lines differ): '4,5,6,7'"]),
        ("a,b,c\n1,2,3\n4,5\n", ["line 3 has 2 cells, its header names 3", "'4,5'"]),
        ("a,b,c\n1,2,3\n4,5,6,\n", ["line 3 has 4 cells"]),  # a stray comma before it would look the same
        ("a,b,c\n1,The, Story,\n4,New, Story,\n", []),
        ('# first\n\n\na,b\n"x\ny",2\n\n3,4,5\n', ["line 8 has 3 cells"]),
        ("label\nhello, world\n", ["line 2 has 2 cells, its header names 1"]),
        ('a,b\n"1,2\n3,4\n', ['line 2 opens a quote that is not closed: "1,2']),
        ('a,b\n1,2\n3,"4\n', ['line 3 opens a quote that is not closed: "4']),
    ],
)
def test_rows_that_do_not_fit_the_header_are_refused(table, text, words):
    said = table(text)
    if words:
        assert all(word in said for word in words), said
    else:  # in every row one separator too many at its end: cells are where the header says
        assert said == [["a", "b", "c"], ["1", "The", " Story"], ["4", "New", " Story"]]


def test_without_a_header_most_rows_say_how_many_cells_there_are(table):
    assert "line 2 has 4 cells, most rows have 3" in table("1,2,3\n4,5,6,7\n8,9,10\n", False)
    assert "line 1 has 2 cells, most rows have 3" in table("1,2\n4,5,6\n8,9,10\n", False)


def test_a_separator_at_the_end_of_each_line_is_passed_over(table):
    expected = [["a", "b"], ["1", ""], ["2", "x"]]
    assert table("a;b;\n1;;\n2;x;\n") == expected
    assert table("a;b\n1;;\n2;x;\n") == expected
    assert table("a;b;;\n1;;;\n2;x;;\n") == expected
    assert table("a,,c\n1,2,3\n") == [["a", "Unnamed: 1", "c"], ["1", "2", "3"]]
    assert table(",b\n0,x\n") == [["Unnamed: 0", "b"], ["0", "x"]]  # an index that pandas wrote


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ('a;b\n1;"x; ""y"" z"\n', ["1", 'x; "y" z']),
        ('a;b\n1;"x; \\"y\\" &amp; z"\n', ["1", 'x; "y" &amp; z']),
        ('a;b\n1;"x; \\\\\\"y\\""\n', ["1", 'x; \\"y"']),
        ('a;b\n1;"C:\\dir\\"\n', ["1", "C:\\dir\\"]),
        ('a,b\n1,5" disk\n', ["1", '5" disk']),
        ('a,b\n1,"line\nbreak"\n', ["1", "line\nbreak"]),
        ('a,b\n1,"line\r\nbreak"\n', ["1", "line\r\nbreak"]),
        ('a\tb\n1\t"Tis the season\n', ["1", '"Tis the season']),
        ('a::b\n1::"More" and, | more\n', ["1", '"More" and, | more']),
        ('a b\n1 "two words"\n', ["1", "two words"]),
        ('"a","b"\n"1",""\n', ["1", ""]),
    ],
)
def test_quotes_are_doubled_escaped_or_letters(table, text, cells):
    assert table(text)[1] == cells


def test_a_quote_in_one_row_does_not_swallow_the_next(table):
    assert table('a,b\n1,5" disk\n2,"x, y"\n3,z\n')[1:] == [["1", '5" disk'], ["2", "x, y"], ["3", "z"]]
    assert table('a\tb\n1\t"x\n2\ty\n3\tz"\n')[1:] == [["1", '"x'], ["2", "y"], ["3", 'z"']]
    assert table('a,b,c\n1,"Tis,3\n2,Tis",4\n')[1:] == [["1", '"Tis', "3"], ["2", 'Tis"', "4"]]


def test_the_separator_is_the_one_that_fits_all_rows_not_the_first_hit(table):
    assert table("a,b\n1,x|y|z\n2,x\n") == [["a", "b"], ["1", "x|y|z"], ["2", "x"]]
    assert table("1::The, Story::A|B\n2::X::A\n", False) == [["1", "The, Story", "A|B"], ["2", "X", "A"]]
    assert table("a;b\n1;2,5\n2;3\n") == [["a", "b"], ["1", "2,5"], ["2", "3"]]
    assert table("1;2;3,5\n1;3;4,0\n", False) == [["1", "2", "3,5"], ["1", "3", "4,0"]]
    assert table("id,tags\n1,a b\n2,c d\n") == [["id", "tags"], ["1", "a b"], ["2", "c d"]]
    assert table("file name\nx\ny\n") == [["file name"], ["x"], ["y"]]
    assert table("label\nx\n\ny\n") == [["label"], ["x"], ["y"]]


def test_the_separator_can_be_said(table):
    assert table("a|b,c\n1|2,3\n", separator=",") == [["a|b", "c"], ["1|2", "3"]]
    assert table("a~b\n1~2\n", separator="~") == [["a", "b"], ["1", "2"]]
    assert table("a;;b\n1;;2;3\n", separator=";;") == [["a", "b"], ["1", "2;3"]]
    assert "line 2" in table("a,b\n1;2;3,4,5\n", separator=",")


def test_comments_and_blank_lines_are_passed_over(table):
    assert table("% sym weighted\n% 3 4 4\n1 2 3\n\n  4\t5   6  \n", False) == [["1", "2", "3"], ["4", "5", "6"]]
    assert table("%%MatrixMarket x\n1 2\n", False) == [["1", "2"]]
    assert table("# from here, with love\n#\n\na,b\n \n1,2\n") == [["a", "b"], ["1", "2"]]
    assert table("#id,label\n#1,a\n") == [["#id", "label"], ["#1", "a"]]


RECORDS = [{"user": 1, "item": "Amélie", "rating": 3.50}, {"user": 2, "rating": None, "more": True, "item": "x,y"}]
AS_TABLE = [["user", "item", "rating", "more"], ["1", "Amélie", "3.5", ""], ["2", "x,y", "", "true"]]


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.csv", "t.txt"])
def test_json_is_read_a_record_a_line_or_in_a_list(table, name):
    assert table("\n".join(map(json.dumps, RECORDS)), name=name) == AS_TABLE
    assert table(json.dumps(RECORDS), name=name) == AS_TABLE
    assert table(json.dumps(RECORDS, indent=1).encode("utf-16"), name=name) == AS_TABLE
    assert table(gzip.compress(json.dumps(RECORDS).encode()), name=f"{name}.gz") == AS_TABLE
    assert table('{"a": 1.0, "b": [1, "x"]}\n\n', name=name) == [["a", "b"], ["1.0", '["1", "x"]']]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1}\n{"a": 1\n', "line 2 is no JSON"),
        ("{'a': 1}\n{'a': 2}\n", "line 1 is no JSON: {'a': 1}"),
        ('[{"a": 1}, 2]', "entry 2 is no JSON object"),
        ('{"images": [{"id": 1}], "annotations": [{"id": 2}]}', "one JSON object of images, annotations"),
        ('{"id": {"0": 1}, "label": {"0": 2}}', "one JSON object of id, label"),
        ('{"id": [1, 2], "label": [1, 2]}', "one JSON object of id, label"),
        ("[]", "holds no JSON objects"),
        ("", "no JSON"),
    ],
)
def test_other_json_is_refused(table, text, words):
    assert words in table(text, name="t.json")


def test_rows_know_their_lines(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('# c\n\na,b\n1,"x\ny"\n\n2,z\n3,w\n')
    assert lines_of(path, [0, 1, 2]) == [4, 7, 8]
    path.write_text("1 2\n\n3 4\n")
    assert lines_of(path, [0, 1], header=False) == [1, 3]
    path.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert lines_of(path, [1]) == [3]


def test_of_rows_that_are_equal_in_every_cell_one_is_left():
    rows = pd.DataFrame({"id": ["1", "2", "1", "2"], "label": ["a", "b", "a", "c"]})
    assert each_once(rows, rows["id"]).index.tolist() == [0, 1, 3]
    assert each_once(rows, pd.Series(["1", "2", "3", "4"])) is rows


WORDS = [
    "a",
    "Toy Story, The",
    "x;y",
    "p|q",
    'say "hi"',
    "",
    '5" disk',
    "Ähre",
    "3.5",
    "two\nlines",
    "back\\slash",
    "it's",
]


def test_what_csv_writes_is_read_back(tmp_path):
    """Drawn tables in several dialects: cell for cell, or where an escape cannot be seen, as doubled quotes."""
    rng, path = random.Random(1), tmp_path / "t.csv"
    for _ in range(400):
        width, header = rng.randint(2, 5), rng.random() < 0.6
        rows = [[f"k{n}", *(rng.choice(WORDS) for _ in range(width - 1))] for n in range(rng.randint(2, 6))]
        dialect = rng.choice(
            [
                {"quoting": csv.QUOTE_ALL},
                {"quoting": csv.QUOTE_MINIMAL},
                {"quoting": csv.QUOTE_ALL, "doublequote": False, "escapechar": "\\"},
            ]
        )
        text = io.StringIO()
        writer = csv.writer(text, delimiter=rng.choice(",;\t|"), lineterminator=rng.choice(["\n", "\r\n"]), **dialect)
        names = [f"c{n}" for n in range(width)]
        writer.writerows([names, *rows] if header else rows)
        if "escapechar" in dialect and '\\"' not in text.getvalue():
            continue
        path.write_bytes(text.getvalue().encode(rng.choice(["utf-8", "utf-8-sig", "utf-16", "latin-1"])))
        found = read_table(path, "t", header)
        assert found.to_numpy().tolist() == rows, text.getvalue()
        assert list(found.columns) == (names if header else list(range(width)))


def test_plain_tables_are_what_pandas_makes_of_them(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,label,,label\n1, a,NA,x\n2,b ,,null\n")
    expected = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    pd.testing.assert_frame_equal(read_table(path, "t"), expected)
    path.write_text("1\t2\tx\n3\t4\ty z\n")
    expected = pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(read_table(path, "t", header=False), expected)


class Fixed(Layout):
    """Cells of three letters."""

    def fits(self, name, text):
        return name.endswith(".fix")

    def read(self, text, header, separator):
        rows = [[line[n : n + 3] for n in range(0, len(line), 3)] for line in text.decode().splitlines()]
        return pd.DataFrame(rows[1:], columns=rows[0], dtype=str)

    def lines(self, text, header, separator, rows):
        return [row + 2 for row in rows]


def test_a_plug_in_brings_a_layout(table):
    with plugged():
        LAYOUTS.add("fixed", Fixed())
        assert table("abcdef\n1, 2; \n", name="t.fix") == [["abc", "def"], ["1, ", "2; "]]
        assert list(own_layouts()) == ["fixed"]
    assert own_layouts() == {}
