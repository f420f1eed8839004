"""The encodings of tables: UTF-8 and Latin-1 are seen, others are said; nothing is guessed in silence."""

import pytest

from pipeline import competitions
from pipeline.collab.config import RatingsData
from pipeline.collab.ratings import read_side
from pipeline.data.tables import lines_of, read_table
from pipeline.errors import RequestError
from pipeline.stages.data import data
from pipeline.workspace import Workspace
from tests.rated import write_rated

WESTERN = [
    "café|crème brûlée|Noël", "Straße|Größe|über|Ähre", "ação|coração|não|pé", "El Niño|¿Qué?|¡Hola!",
    "smörgåsbord|Ærøskøbing|hääyöaie", "Þórr|Björk Guðmundsdóttir", "Amélie",
    "\u201cquoted\u201d \u2013 don\u2019t\u2026|\u201eÖl\u201c",
    "25°C|5 m²|½",
    "«Où?» dit-il", "À la carte|3€ each|É",
]  # fmt: skip
OTHERS = [
    ("Кошка|собака", "cp1251"), ("кот", "cp1251"), ("Кошка|собака", "koi8_r"), ("Кошка", "iso8859_5"),
    ("猫|犬|鳥", "shift_jis"), ("ネコ|イヌ", "shift_jis"), ("ねこ", "shift_jis"), ("黒猫と白犬", "shift_jis"),
    ("小猫|小狗", "gbk"), ("고양이|개", "euc_kr"), ("γάτα|σκύλος", "cp1253"), ("חתול|כלב", "cp1255"),
    ("قطة|كلب", "cp1256"),
]  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def write(labels: str, encoding: str, name: str = "t.csv"):
        path = tmp_path / name
        rows = "".join(f"{n},{label}\n" for n, label in enumerate(labels.split("|")))
        path.write_bytes(f"id,label\n{rows}".encode(encoding))
        return path

    return write


@pytest.mark.parametrize("labels", WESTERN)
def test_western_words_are_read_as_latin_and_that_is_said(write, log, labels):
    assert read_table(write(labels, "cp1252"), "data.table", log=log)["label"].tolist() == labels.split("|")
    assert [line for line in log.lines if "t.csv is not UTF-8; read as Latin-1, such as '" in line] == log.lines
    assert len(log.lines) == 1
    log.lines.clear()
    assert read_table(write(labels, "utf-8"), "data.table", log=log)["label"].tolist() == labels.split("|")
    assert not log.lines


@pytest.mark.parametrize(("labels", "encoding"), OTHERS)
def test_words_of_other_scripts_are_refused_until_the_encoding_is_said(write, labels, encoding):
    path = write(labels, encoding)
    with pytest.raises(RequestError, match=r"(as Latin-1 its words look wrong|UTF-8 but for).*say data\.encoding"):
        read_table(path, "data.table")
    assert read_table(path, "data.table", encoding=encoding)["label"].tolist() == labels.split("|")
    assert lines_of(path, [0], encoding=encoding) == [2]


def test_the_refusal_shows_a_word_as_it_may_be(write):
    with pytest.raises(RequestError, match=r"'cp1251' \(собака\)"):
        read_table(write("Кошка|собака", "cp1251"), "data.table")
    with pytest.raises(RequestError, match=r"'shift_jis' \(ネコ\)"):
        read_table(write("ネコ|イヌ", "shift_jis"), "data.table")


def test_what_is_utf8_stays_so_whatever_is_said(write):
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert read_table(write("Кошка", encoding), "t", encoding="cp1251")["label"].tolist() == ["Кошка"]
    assert read_table(write("猫", "gbk"), "t", encoding="gbk")["label"].tolist() == ["猫"]
    assert read_table(write("猫", "euc_jp"), "t", encoding="euc_jp")["label"].tolist() == ["猫"]  # UTF-8 by chance
    assert read_table(write("猫", "iso2022_jp"), "t", encoding="iso2022_jp")["label"].tolist() == ["猫"]


def test_a_text_that_is_not_in_the_encoding_that_is_said_is_refused_with_its_line(write):
    with pytest.raises(RequestError, match=r"not in 'shift_jis', as data.encoding says: line 2"):
        read_table(write("Кошка", "gbk"), "t", encoding="shift_jis")


def test_both_kinds_of_competition_say_it(tiny, tmp_path, log):
    words = {"blast": "пятна", "hispa": "жук", "normal": "здоров"}
    text = (tiny.raw / "train.csv").read_text()
    for word, own in words.items():
        text = text.replace(f",{word},", f",{own},")
        (tiny.raw / "train_images" / word).rename(tiny.raw / "train_images" / own)
    (tiny.raw / "train.csv").write_bytes(text.encode("cp1251"))
    with pytest.raises(RequestError, match=r"data\.table: .*train.csv.*say data\.encoding, such as 'cp1251'"):
        data(tiny.load(), tiny.workspace, log)
    data(tiny.load("data.encoding=windows-1251"), tiny.workspace, log)
    assert any("пятна" in line for line in log.lines)
    assert not data(tiny.load("data.encoding=CP1251"), tiny.workspace, log), "another name of the same encoding"
    with pytest.raises(RequestError, match=r"data\.encoding: .*'cp1251', 'shift_jis' or 'gbk'"):
        tiny.load("data.encoding=klingon")

    rated = write_rated(tmp_path / "rated")
    films = (rated.raw / "films.csv").read_text().replace("Film", "Фильм")
    assert "Фильм" in films
    (rated.raw / "films.csv").write_bytes(films.encode("cp1251"))
    root = Workspace(tmp_path / "root", "rated")
    with pytest.raises(RequestError, match=r"data\.items: .*films.csv.*'cp1251' \(Фильм"):
        data(competitions.load(str(rated.file), []), root, log)
    comp = competitions.load(str(rated.file), ["data.encoding=cp1251"])
    data(comp, root, log)
    assert isinstance(comp.data, RatingsData)
    assert comp.data.items is not None
    assert read_side(root.raw, comp.data.items, comp.data, "data.items")["title"].str.startswith("Фильм").any()
