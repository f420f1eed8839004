"""Tables of images: without a header, several joined by id, ids spelled otherwise, several rows an image."""

import pandas as pd
import pytest

from pipeline.errors import RequestError
from pipeline.rows import read_folds, readable_images
from pipeline.stages.check import check
from pipeline.stages.data import data
from pipeline.stages.folds import folds, step
from pipeline.targets.said import Target
from pipeline.vision.data_config import ImageData
from pipeline.vision.manifest import build_manifest

LABEL = (Target(name="label"),)


@pytest.fixture
def raw(tmp_path):
    """Four training and two test files, train.csv (id, label) and a sample."""
    for name in ("train/a.jpg", "train/b.jpg", "train/c.jpg", "train/d.jpg", "test/x.jpg", "test/y.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "train.csv").write_text("id,label\na,ant\nb,bee\nc,ant\nd,bee\n")
    (tmp_path / "sample_submission.csv").write_text("id,label\nx,\ny,\n")
    return tmp_path


def built(raw, targets=LABEL, log=None, **said) -> pd.DataFrame:
    said = {"table": "train.csv", "images": "train/{id}.jpg", "test": "test/{id}.jpg", **said}
    return build_manifest(raw, ImageData(**said), targets, raw / "sample_submission.csv", log)


def refused(raw, targets=LABEL, **said) -> str:
    with pytest.raises(RequestError) as caught:
        built(raw, targets, **said)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


def rows(manifest: pd.DataFrame, column: str = "label") -> dict[str, str]:
    return dict(zip(manifest["id"], manifest[column].fillna(""), strict=True))


# Without a header


def test_the_file_names_columns_where_a_table_has_no_header(raw, log):
    (raw / "train.txt").write_text("a ant\nb bee\nc ant\nd bee\n")
    found = built(raw, table="train.txt", columns=["id", "label"])
    assert rows(found) == {"a": "ant", "b": "bee", "c": "ant", "d": "bee", "x": "", "y": ""}
    assert "columns names 3 (id, label, more)" in refused(raw, table="train.txt", columns=["id", "label", "more"])
    assert "first row of train.csv is a header (id, label)" in refused(raw, columns=["id", "label"])
    (raw / "train.txt").write_text("a ant\nb bee\nb ant\n")
    assert "lines 2 and 3 both have 'b'" in refused(raw, table="train.txt", columns=["id", "label"])


def test_a_table_without_a_header_is_told_the_way(raw):
    (raw / "train.txt").write_text("a.jpg ant\nb.jpg bee\n")
    assert "data.columns = ['id', ...] names its columns" in refused(raw, table="train.txt")


@pytest.mark.parametrize("text", ["x,1\ny,2\n", "id,size\nx,1\ny,2\n"])
def test_the_test_table_may_have_a_header_or_the_first_columns_alone(raw, text):
    (raw / "train.txt").write_text("a,1,ant\nb,2,bee\n")
    (raw / "test.txt").write_text(text)
    found = built(raw, table="train.txt", test_table="test.txt", columns=["id", "size", "label"])
    assert rows(found) == {"a": "ant", "b": "bee", "x": "", "y": ""}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"columns": ["name", "label"]}, "does not name the column of ids, 'id'"),
        ({"columns": ["id", "id"]}, "columns: the name 'id' is used twice"),
        ({"table": None, "columns": ["id"]}, "columns goes with table"),
        ({"table": None, "tables": ["meta.csv"]}, "tables goes with table"),
        ({"test_id": "Id"}, "test_id is a column of test_table"),
    ],
)
def test_what_cannot_be_said_of_tables_is_refused(said, words):
    with pytest.raises(ValueError, match=words):
        ImageData(**{"table": "train.csv", **said})


# Several tables


def test_tables_are_joined_by_id_and_their_columns_are_as_its_own(raw, log):
    (raw / "meta.csv").write_text("id,file,site\nd,d,s1\nb,b,s2\na,a,s1\nc,c,s2\nx,x,s3\ny,y,s3\n")
    (raw / "sites.csv").write_text("site,kind\ns1,wet\ns2,dry\ns1,wet\n")
    targets = (*LABEL, Target(name="kind"))
    said = {"tables": ["meta.csv", {"table": "sites.csv", "on": "site"}]}
    found = built(raw, targets, log, images="train/{file}.jpg", test="test/{file}.jpg", **said)
    assert rows(found, "kind") == {"a": "wet", "b": "dry", "c": "dry", "d": "wet", "x": "", "y": ""}
    assert found.set_index("id").loc["x", "path"] == "test/x.jpg"
    assert log.lines == ["data: meta.csv has a row for all 4 rows of train.csv; 2 of its own are of no row there"]


def test_keys_may_be_called_otherwise_and_be_several(raw):
    (raw / "train.csv").write_text("id,patient,side,label\na,1,L,ant\nb,1,R,bee\nc,2,L,ant\nd,2,R,bee\n")
    (raw / "eyes.csv").write_text("who,eye,grade\n1,L,g1\n1,R,g2\n2,L,g3\n2,R,g4\n")
    joined = {"table": "eyes.csv", "on": {"who": "patient", "eye": "side"}}
    found = built(raw, (Target(name="grade"),), tables=[joined])
    assert rows(found, "grade") == {"a": "g1", "b": "g2", "c": "g3", "d": "g4", "x": "", "y": ""}


def test_rows_that_do_not_match_are_counted(raw, log):
    (raw / "meta.csv").write_text("id,site\na,s1\nb,s2\nz,s9\n")
    built(raw, log=log, tables=["meta.csv"])
    assert log.warnings == [
        "warning: data.tables: meta.csv has no row for 2 of 4 rows of train.csv ('c', 'd'): their cells are blank; "
        "1 of its own are of no row there"
    ]
    assert "2 training rows have no label, for example c, d" in refused(
        raw, (Target(name="site"),), tables=["meta.csv"]
    )


@pytest.mark.parametrize(
    ("text", "said", "words"),
    [
        ("id,site\na,s1\nb,s2\na,s3\n", {}, ["several rows for 1 keys of train.csv", "lines 2 and 4 are of 'a'"]),
        ("id,site\n1,s1\n2,s2\n", {}, ["no row for any of 4 rows", "'id' holds 'a', 'id' there '1'"]),
        ("Id,site\na,s1\n", {}, ["data.tables: on: meta.csv has no column 'id'; it has Id, site"]),
        ("id,site\na,s1\n", {"on": "site"}, ["data.tables: on: train.csv has no column 'site'"]),
        ("id,site\na,s1\n", {"take": ["sites"]}, ["take: meta.csv has no column 'sites'"]),
        ("id,label\na,wasp\nb,bee\n", {}, ["both have a column 'label', and 1 rows differ ('ant', here 'wasp')"]),
    ],
)
def test_tables_that_do_not_fit_are_refused(raw, text, said, words):
    (raw / "meta.csv").write_text(text)
    message = refused(raw, tables=[{"table": "meta.csv", **said}])
    assert all(word in message for word in words), message


def test_rows_of_an_id_that_differ_elsewhere_are_one_by_the_columns_that_are_taken(raw):
    (raw / "meta.csv").write_text("id,box,site\na,1,s1\na,2,s1\nb,1,s2\nc,1,s1\nd,4,s1\nz,1,s1\nz,1,s2\n")
    found = built(raw, (Target(name="site"),), tables=[{"table": "meta.csv", "take": ["site"]}])
    assert rows(found, "site") == {"a": "s1", "b": "s2", "c": "s1", "d": "s1", "x": "", "y": ""}


def test_a_layout_of_four_tables_without_headers(raw):
    """As in CUB-200: images, their classes, and names of classes, each a table of two columns."""
    (raw / "images.txt").write_text("1 train/a.jpg\n2 train/b.jpg\n3 train/c.jpg\n")
    (raw / "image_class_labels.txt").write_text("1 1\n2 2\n3 1\n")
    (raw / "classes.txt").write_text("1 001.Ant\n2 002.Bee\n")
    tables = [
        {"table": "images.txt", "columns": ["id", "path"]},
        {"table": "classes.txt", "columns": ["class", "label"], "on": "class"},
    ]
    said = {"table": "image_class_labels.txt", "columns": ["id", "class"], "tables": tables, "images": "{path}"}
    assert rows(built(raw, test=None, **said)) == {"1": "001.Ant", "2": "002.Bee", "3": "001.Ant"}


def test_a_column_that_another_table_has_names_it(raw):
    (raw / "meta.csv").write_text("id,site\na,s1\n")
    message = refused(raw, (Target(name="site"),))
    assert "train.csv has no column 'site'; it has id, label (meta.csv has it: data.tables = ['meta.csv']" in message
    assert "meta.csv has it" in refused(raw, images="train/{site}/{id}.jpg")


# Folds by a column of another table


@pytest.fixture
def grouped(tiny, log):
    """The tiny competition after check, with tables of sites: of train in two of them, of test in one."""
    sites = "".join(f"{name},s{row // 4}\n" for row, name in enumerate(tiny.labels))
    (tiny.raw / "features.csv").write_text(f"image_id,site\n{sites}")
    (tiny.raw / "test_features.csv").write_text("image_id,site\n" + "".join(f"{name},s9\n" for name in tiny.test_ids))
    data(tiny.load(), tiny.workspace, log)
    check(tiny.load(), tiny.workspace, log)
    log.lines.clear()
    return tiny


def test_the_column_is_found_in_the_only_table_that_has_it_for_these_ids(grouped, log):
    comp = grouped.load("folds.group=site")
    folds(comp, grouped.workspace, log)
    numbers = read_folds(grouped.workspace).loc[list(grouped.labels)].to_numpy()
    assert all(len(set(numbers[row : row + 4])) == 1 for row in range(0, 24, 4))
    assert "folds: column 'site' is that of features.csv (folds.table names another table)" in log.lines
    assert step(comp, grouped.workspace).done()
    text = (grouped.raw / "features.csv").read_text()
    (grouped.raw / "features.csv").write_text(text.replace("s5", "s4"))
    assert step(comp, grouped.workspace).reason() == "table changed"


def test_several_tables_with_the_column_are_named(grouped, log):
    (grouped.workspace.raw / "more.csv").write_text((grouped.raw / "features.csv").read_text())
    with pytest.raises(RequestError, match=r"features.csv and more.csv have it; .* folds.table = 'features.csv'"):
        folds(grouped.load("folds.group=site"), grouped.workspace, log)
    folds(grouped.load("folds.group=site", "folds.table=more.csv"), grouped.workspace, log)


def test_the_column_may_be_of_a_joined_table(grouped, log):
    (grouped.workspace.raw / "more.csv").write_text((grouped.raw / "features.csv").read_text())
    comp = grouped.load("folds.group=site", "data.tables=['more.csv']")
    data(comp, grouped.workspace, log)
    folds(comp, grouped.workspace, log)
    numbers = read_folds(grouped.workspace).loc[list(grouped.labels)].to_numpy()
    assert all(len(set(numbers[row : row + 4])) == 1 for row in range(0, 24, 4))
    (grouped.workspace.raw / "more.csv").write_text("image_id,site\n100.png,s0\n")
    assert "tables changed" in step(comp, grouped.workspace).reason()


def test_tables_for_folds_are_read_as_those_of_rows_are(grouped, log):
    """Between cells of one column alone nothing shows what separates them."""
    for name in ("train.csv", "features.csv"):
        text = (grouped.raw / name).read_text().replace(",", "~")
        (grouped.workspace.raw / name).write_text(text)
    folds(grouped.load("folds.group=site", "data.separator='~'"), grouped.workspace, log)
    folds(grouped.load("folds.group=label", "data.separator='~'"), grouped.workspace, log, force=True)


def test_a_group_larger_than_a_fold_is_said_once(tiny, log):
    first = next(iter(tiny.raw.rglob("100.png")))
    for name, (disease, _) in list(tiny.labels.items())[1:9]:
        (tiny.raw / "train_images" / disease / name).write_bytes(first.read_bytes())
    for stage in (data, check, folds):
        stage(tiny.load(), tiny.workspace, log)
    assert sum("larger than a fold" in line for line in log.warnings) == 1
    log.lines.clear()
    folds(tiny.load("folds.n=4"), tiny.workspace, log, force=True)
    assert sum("larger than a fold" in line for line in log.warnings) == 1, "other folds are other news"


# Ids


def test_the_test_table_may_call_ids_otherwise(raw, log):
    for name, said in (("Id", {}), ("name", {"test_id": "name"})):
        (raw / "asked.csv").write_text(f"{name},size\nx,1\ny,2\n")
        assert rows(built(raw, log=log, test_table="asked.csv", **said)).keys() >= {"x", "y"}
    assert log.lines == ["data: column 'Id' of asked.csv is its 'id' (data.test_id names another)"]
    assert "data.test_id: asked.csv has no column 'names'" in refused(raw, test_table="asked.csv", test_id="names")


def test_a_test_folder_with_more_than_its_table_asks_for_is_told(raw, log):
    (raw / "asked.csv").write_text("id\nx.jpg\n")
    built(raw, log=log, test="test", test_table="asked.csv")
    assert log.warnings == [
        "warning: data.test: test holds 2 images, and asked.csv asks for 1; the others are left out"
    ]


def test_a_test_table_that_is_found_is_read_with_what_separates_its_cells(raw):
    (raw / "train.csv").write_text("id~file~label\na~a~ant\nb~b~bee\n")
    (raw / "test.csv").write_text("id~file\nx~x\ny~y\n")
    found = built(raw, separator="~", images="train/{file}.jpg", test="test/{file}.jpg")
    assert rows(found) == {"a": "ant", "b": "bee", "x": "", "y": ""}


# Several rows an image


TAGS = Target(name="label", kind="multilabel")


def test_rows_of_one_image_are_its_tags(raw, log):
    (raw / "train.csv").write_text("id,label,box\na,ant,1\nb,bee,2\na,bee,3\na,ant,4\nc,fly,5\n")
    found = built(raw, (TAGS,), log)
    assert rows(found) == {"a": "ant bee", "b": "bee", "c": "fly", "x": "", "y": ""}
    assert "data: 5 rows of train.csv are of 3 images; the tags of an image are put together" in log.lines
    assert "repeats 2 ids (a, a)" in refused(raw)
    assert "train.csv has no column 'box'" in refused(raw, (TAGS,), images="train/{box}/{id}.jpg")


def test_tags_with_blanks_need_a_separator(raw):
    (raw / "train.csv").write_text("id,label\na,red ant\nb,bee\na,bee\n")
    assert "'label' holds blanks (red ant); say what shall stand between" in refused(raw, (TAGS,))
    found = built(raw, (Target(name="label", kind="multilabel", separator="|"),))
    assert rows(found) == {"a": "red ant|bee", "b": "bee", "x": "", "y": ""}


def test_rows_that_name_one_file_are_one_group_and_it_is_presized_once(tiny, log):
    rows, asked = [], []
    for name, (disease, variety) in tiny.labels.items():
        rows += [f"{name}_{part},{disease}/{name},{disease},{variety}" for part in "ab"]
    for name in tiny.test_ids:
        asked += [f"{name}_{part},{name}" for part in "ab"]
    (tiny.raw / "train.csv").write_text("\n".join(["image_id,file,label,variety", *rows]) + "\n")
    (tiny.raw / "test.csv").write_text("\n".join(["image_id,file", *asked]) + "\n")
    ids = "".join(f"{line.split(',')[0]},\n" for line in asked)
    (tiny.raw / "sample_submission.csv").write_text(f"image_id,label\n{ids}")
    comp = tiny.load("data.images='train_images/{file}'", "data.test='test_images/{file}'")
    for stage in (data, check, folds):
        stage(comp, tiny.workspace, log)
    assert any("48 training and 12 test images" in line for line in log.lines)
    numbers = read_folds(tiny.workspace)
    assert all(numbers[f"{name}_a"] == numbers[f"{name}_b"] for name in tiny.labels)
    assert len(readable_images(tiny.workspace)) == 30


def test_a_label_is_the_outer_folder_or_part_of_the_path(raw):
    for name in ("photos/ant/2019/07/x.jpg", "photos/bee/2020/y.jpg", "photos/bee/z.jpg"):
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_text(name)
    for target in (Target(name="label", folder=1), Target(name="label", path_regex="^photos/([a-z]+)/")):
        found = built(raw, (target,), table=None, images="photos", test=None)
        assert rows(found) == {"ant/2019/07/x.jpg": "ant", "bee/2020/y.jpg": "bee", "bee/z.jpg": "bee"}


def test_rows_for_what_systems_leave_in_folders_are_left_out(raw, log):
    text = (raw / "train.csv").read_text()
    (raw / "train.csv").write_text(f"{text}.DS_Store,\nsub/Thumbs.db,ant\n")
    assert rows(built(raw, log=log, images="train/{id}.*")) == {
        "a": "ant", "b": "bee", "c": "ant", "d": "bee", "x": "", "y": "",
    }  # fmt: skip
    assert "train.csv: left out .DS_Store, sub/Thumbs.db, which no image is called" in "\n".join(log.lines)
    (raw / "train.csv").write_text(f"{text}.other,\n")
    assert "have no label, for example .other" in refused(raw, images="train/{id}.*") or "no file" in refused(raw)
