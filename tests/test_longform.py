"""Samples with a row for each id and class, or target: read, checked, filled, scored."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from pipeline.commands.score import score
from pipeline.data.longform import LongForm, splitter
from pipeline.errors import RequestError
from pipeline.forms.said import Long
from pipeline.predictions import TargetSpec
from pipeline.stages import submit as submitting
from pipeline.stages.data import data
from pipeline.submission import scored_targets
from tests.command import pipeline
from tests.conftest import refused, sent
from tests.drawn import picture

read = partial(pd.read_csv, dtype=str, keep_default_na=False)
DISEASE = TargetSpec("disease", "category", ("blast", "hispa", "normal"))
SHARES = np.array([[4, 3, 1], [2, 1, 5], [1, 6, 1], [5, 1, 2], [2, 1, 5], [1, 2, 5]]) / 8
PROBABLE = ("metric=log_loss",)
BY_ROW, BY_NAME = "submission.long={row='{id}__{name}'}", "submission.long={name='class'}"


@pytest.fixture
def one(tiny):
    text = tiny.file.read_text().replace('columns = { label = "disease" }', "")
    tiny.file.write_text(text.replace('[[targets]]\nname = "variety"\n', ""))
    return tiny


def write_sample(tiny, header: str, rows: list[str]) -> None:
    (tiny.raw / "sample_submission.csv").write_text("\n".join([header, *rows]) + "\n")


def grid(tiny, row: str = "{id}__{name},0", names=("normal", "blast", "hispa")) -> list[str]:
    """A row a name within a row an id, ids backwards."""
    return [row.format(id=i, name=name) for i in tiny.test_ids[::-1] for name in names]


def submitted(tiny, log, *overrides: str, values=None) -> pd.DataFrame:
    return sent(tiny, log, {DISEASE: SHARES} if values is None else values, *overrides)


def graded(tiny, header: str, rows: list[str], *overrides: str, submission=None) -> dict:
    path = tiny.root / "solution.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return score(tiny.load(*overrides), tiny.workspace, path, submission)


# Ids and names in one cell


@pytest.mark.parametrize(
    ("cell", "row", "names", "expected"),
    [
        ("ID10__Dry_Clover_g", "{id}__{name}", (), ("ID10", "Dry_Clover_g")),
        ("a_b_cat", "{id}_{name}", (), ("a_b", "cat")),
        ("T_0_big_cat", "{id}_{name}", ("big_cat", "cat"), ("T_0", "big_cat")),
        ("cat:a_1", "{name}:{id}", (), ("a_1", "cat")),
        ("cat_a_1", "{name}_{id}", (), ("a_1", "cat")),
        ("big_cat_a_1", "{name}_{id}", ("big_cat",), ("a_1", "big_cat")),
        ("t1.jpg/(cat)", "{id}.jpg/({name})", (), ("t1", "cat")),
        ("x7-003", r"x(?P<name>\d)-(?P<id>\d+)", (), ("003", "7")),
        ("cat", "{id}_{name}", (), None),
        ("_cat", "{id}_{name}", (), None),
    ],
)
def test_a_cell_is_taken_apart(cell, row, names, expected):
    assert splitter(row, names)(cell) == expected


@pytest.mark.parametrize(
    ("long", "words"),
    [
        ("{}", "expected the column of classes or targets"),
        ("{name='class', row='{id}_{name}'}", "expected the column of classes or targets"),
        ("{row='{id}{name}'}", "id and name once each with something between them"),
        ("{row='{id}_{class}'}", "id and name once each"),
        ("{row='(?P<id>.+_(?P<name>.+)'}", "or a regular expression with groups"),
        ("{name='class', table='lookup.csv'}", "table goes with name and value"),
        ("{names='class'}", "unknown key 'submission.long.names'; did you mean 'name'?"),
    ],
)
def test_rows_that_are_said_wrongly_are_refused_with_the_file(one, long, words):
    with pytest.raises(RequestError) as caught:
        one.load(f"submission.long={long}")
    assert words in str(caught.value)


# A class in each row


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("row_id,p", "{id}__{name},0", [BY_ROW]),
        ("p,row_id", "0,{id}__{name}", [BY_ROW]),
        ("image_id,class,p", "{id},{name},0", [BY_NAME]),
        ("class,p,image_id", "{name},0,{id}", [BY_NAME]),
        (
            "n,picture,class,p",
            "17,{id},{name},0",
            ["submission.long={name='class', value='p'}", "submission.id=picture"],
        ),
    ],
)
def test_a_row_is_filled_with_its_classs_probability(one, log, header, row, said):
    write_sample(one, header, grid(one, row))
    table = submitted(one, log, *PROBABLE, *said)
    assert not log.warnings
    sample = read(one.raw / "sample_submission.csv")
    assert list(table.columns) == header.split(",")
    assert table.drop(columns="p").equals(sample.drop(columns="p"))
    expected = [SHARES[n][code] for n in range(5, -1, -1) for code in (2, 0, 1)]
    assert table["p"].astype(float).tolist() == expected
    assert any("(18 rows, checked against sample_submission.csv)" in line for line in log.lines)
    truth = [0, 1, 2, 0, 1, 2]
    rows = [row.replace(",0", ",{mark}").replace("0,", "{mark},") for _ in range(1)]
    told = [
        rows[0].format(id=i, name=name, mark=int(DISEASE.vocab[truth[n]] == name))
        for n, i in enumerate(one.test_ids)
        for name in DISEASE.vocab
    ]
    expected = -np.log(SHARES[np.arange(6), truth]).mean()
    assert graded(one, header, told, *PROBABLE, *said)["score"] == pytest.approx(expected, abs=1e-5)
    wide = [f"{i},{DISEASE.vocab[truth[n]]}" for n, i in enumerate(one.test_ids)]
    assert graded(one, "image_id,label", wide, *PROBABLE, *said)["score"] == pytest.approx(expected, abs=1e-5)


def test_the_sample_names_test_images_in_a_pattern(one, log):
    write_sample(one, "row_id,p", grid(one, "{id}__{name},0"))
    said = (*PROBABLE, BY_ROW, "data.test='test_images/{image_id}'")
    assert len(submitted(one, log, *said)) == 18
    manifest = pd.read_parquet(one.workspace.manifest)
    assert manifest["id"][manifest["split"] == "test"].tolist() == one.test_ids


def test_codes_and_other_names_stand_in_rows_too(one, log):
    write_sample(one, "image_id,class,p", grid(one, "{id},{name},0", ("1", "2", "3")))
    codes = "submission.codes={disease={order=['hispa', 'normal', 'blast'], first=1}}"
    table = submitted(one, log, *PROBABLE, BY_NAME, codes)
    assert table["p"].astype(float).tolist()[:3] == [SHARES[5][1], SHARES[5][2], SHARES[5][0]]
    write_sample(one, "image_id,class,p", grid(one, "{id},p_{name},0"))
    table = submitted(one, log, *PROBABLE, BY_NAME, "submission.columns={'p_*'='disease/*'}")
    assert table["p"].astype(float).tolist()[:3] == [SHARES[5][2], SHARES[5][0], SHARES[5][1]]


def test_saying_the_rows_anew_makes_the_submission_stale_and_decimals_are_written(one, log):
    write_sample(one, "image_id,class,p", grid(one, "{id},{name},0"))
    table = submitted(one, log, *PROBABLE, BY_NAME, "submission.decimals=2")
    assert table["p"].tolist()[:3] == ["0.62", "0.12", "0.25"]
    step = partial(submitting.step, workspace=one.workspace)
    assert step(one.load(*PROBABLE, BY_NAME, "submission.decimals=2")).state() == "done"
    assert step(one.load(*PROBABLE, BY_NAME)).state() == "stale"


# What is refused before anything is trained


@pytest.mark.parametrize(
    ("rows", "said", "words"),
    [
        (lambda rows: [*rows[:-1], rows[0]], BY_ROW, "1 of 18 rows of {} are there before: (905.png, normal)"),
        (lambda rows: rows[3:], BY_ROW, "(5 rows for 6 test images): 0 only in the sample (none), 1 only in"),
        (lambda rows: [*rows, "x.png__blast,0"], BY_ROW, "(7 rows for 6 test images): 1 only in the sample (x.png)"),
        (
            lambda rows: [*rows, "x.png,0", "y,0"],
            BY_ROW,
            "2 of 20 cells of column 'row_id' of {} are not like '{{id}}__{{name}}': x.png, y",
        ),
        (
            lambda rows: [*rows, "900.png__rust,0", "901.png__mold,0"],
            BY_ROW,
            "the 5 names in the sample's rows are normal, blast, hispa, rust, mold, and nothing to put into 'rust' and "
            "1 more",
        ),
        (list, BY_ROW.replace("}'", "}', value='q'"), "submission.long.value: {} has no column 'q'"),
        (list, BY_NAME, "submission.long.name: {} has no column 'class'"),
        (list, "submission.long={row='{name}--{id}'}", "18 of 18 cells of column 'row_id' of {} are not like"),
    ],
)
def test_rows_that_do_not_fit_are_refused_before_training(one, log, rows, said, words):
    write_sample(one, "row_id,p", rows(grid(one)))
    assert words.format("sample_submission.csv") in refused(one, log, *PROBABLE, said)


def test_a_name_column_with_gaps_in_it_is_refused(one, log):
    write_sample(one, "image_id,class,p", [*grid(one, "{id},{name},0")[:-1], "900.png,,0"])
    assert "1 of 18 rows of sample_submission.csv have no id or no name" in refused(one, log, *PROBABLE, BY_NAME)
    write_sample(one, "n,image,class,p", grid(one, "1,{id},{name},0"))
    assert "which column of sample_submission.csv is the id? it has n, image, p; say submission.id" in refused(
        one, log, *PROBABLE, BY_NAME
    )
    assert (
        "which column of sample_submission.csv is filled? it has n, image, class, p; say submission.long.value"
        in refused(one, log, *PROBABLE, BY_NAME, "submission.id=image")
    )


def test_pairs_that_no_row_asks_for_are_told_and_not_written(one, log):
    rows = grid(one)
    write_sample(one, "row_id,p", [*rows[:4], *rows[6:]])
    table = submitted(one, log, *PROBABLE, BY_ROW)
    assert len(table) == 16
    (told,) = log.warnings
    assert "6 ids and 3 names, and asks for 2 of their 18 pairs in no row, such as (904.png, blast)" in told


def test_classes_that_no_row_names_are_told(one, log):
    write_sample(one, "row_id,p", grid(one, names=("blast",)))
    data(one.load(*PROBABLE, BY_ROW), one.workspace, log)
    assert "2 classes of 'disease' have no column: hispa, normal" in log.warnings[0]


# Grading what was written by somebody else


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: rows[:-2], "lacks 2 of the 18 rows that the sample asks for, such as (900.png, blast)"),
        (lambda rows: [*rows[:-1], rows[0]], "1 of 18 rows of own.csv are there before"),
        (lambda rows: [*rows[:-1], "900.png__hispa,"], "lacks 1 of the 18 rows"),
        (lambda rows: [*rows[:-1], "900.png__hispa,much"], "should hold numbers, but 1 cells do not: 'much'"),
        (lambda rows: [*rows, "z.png__hispa,1"], "1 unknown ['z.png']"),
    ],
)
def test_a_submission_that_lacks_rows_is_refused(one, log, spoil, words):
    write_sample(one, "row_id,p", grid(one))
    data(one.load(*PROBABLE, BY_ROW), one.workspace, log)
    own = one.root / "own.csv"
    own.write_text("\n".join(["row_id,p", *spoil(grid(one))]) + "\n")
    with pytest.raises(RequestError) as caught:
        graded(one, "image_id,label", [f"{i},blast" for i in one.test_ids], *PROBABLE, BY_ROW, submission=own)
    assert words in str(caught.value)


# A target in each row


FIELDS = (
    "targets=[{name='clover', column='Clover_g', kind='regression'}, "
    "{name='total', column='Total_g', kind='regression'}]"
)
POOLED = ("metric={name='pooled', of='r2', weights={clover=0.1, total=0.5}}", FIELDS, BY_ROW)
CLOVER, TOTAL = (TargetSpec(name, "regression") for name in ("clover", "total"))
VALUES = {CLOVER: np.arange(6.0)[:, None], TOTAL: 3 * np.arange(6.0)[:, None] + 1}


@pytest.fixture
def grass(one):
    """Two numbers an image, asked for as in csiro-biomass."""
    rows = [f"{name},{label},{n},{3 * n + 2}\n" for n, (name, (label, _)) in enumerate(one.labels.items())]
    (one.raw / "train.csv").write_text("image_id,label,Clover_g,Total_g\n" + "".join(rows))
    write_sample(one, "sample_id,target", grid(one, names=("Clover_g", "Total_g")))
    return one


def solution_of(tiny, weights=None, usage=None) -> tuple[str, list[str]]:
    rows = []
    for n, i in enumerate(tiny.test_ids):
        for name, value in (("Clover_g", n + 1), ("Total_g", 3 * n)):
            more = ([str(weights[name])] if weights else []) + ([usage[n]] if usage else [])
            rows.append(",".join([f"{i}__{name}", str(value), *more]))
    return ",".join(["sample_id,target", *(["weight"] if weights else []), *(["Usage"] if usage else [])]), rows


def r2(weights) -> float:
    truth = np.concatenate([np.arange(6.0) + 1, 3 * np.arange(6.0)])
    preds, w = np.concatenate([VALUES[CLOVER][:, 0], VALUES[TOTAL][:, 0]]), np.repeat(weights, 6)
    mean = np.average(truth, weights=w)
    return 1 - np.sum(w * (truth - preds) ** 2) / np.sum(w * (truth - mean) ** 2)


def test_a_row_is_filled_with_its_target_and_all_are_scored_together(grass, log):
    said = (*POOLED, "submission.decimals=1")
    table = submitted(grass, log, *said, values=VALUES)
    assert scored_targets(grass.load(*POOLED), grass.workspace) == ["clover", "total"]
    assert table["target"].tolist()[:4] == ["5.0", "16.0", "4.0", "13.0"]
    assert graded(grass, *solution_of(grass), *said)["score"] == pytest.approx(r2([0.1, 0.5]), abs=1e-6)
    usage = ["Public", "Private", "Public", "Private", "Public", "Private"]
    parts = graded(grass, *solution_of(grass, usage=usage), *said)
    assert parts["score"] == pytest.approx(r2([0.1, 0.5]), abs=1e-6)
    assert None not in (parts["public"], parts["private"])
    header, rows = solution_of(grass, usage=usage)
    with pytest.raises(RequestError, match="rows of one id have several words in 'Usage'"):
        graded(grass, header, [rows[0].replace("Public", "Private"), *rows[1:]], *said)


def test_a_solution_may_say_what_each_row_counts(grass, log):
    said = (*POOLED, "submission.weight=weight")
    submitted(grass, log, *said, values=VALUES)
    weights = {"Clover_g": 2.0, "Total_g": 0.25}
    result = graded(grass, *solution_of(grass, weights), *said)
    assert result["score"] == pytest.approx(r2([2.0, 0.25]), abs=1e-6)
    usage = ["Public", "Private"] * 3
    parts = graded(grass, *solution_of(grass, weights, usage), *said)
    assert parts["score"] == result["score"]
    with pytest.raises(RequestError, match=r"submission\.weight: solution\.csv has no column 'weight'"):
        graded(grass, *solution_of(grass), *said)
    with pytest.raises(RequestError, match="metric 'spearman' of 'clover' cannot weigh rows"):
        graded(grass, *solution_of(grass, weights), *said[1:], "metric=spearman")


def test_weights_of_rows_in_a_solution_with_a_row_an_id(one, log):
    rows = [f"{name},{label},{n}\n" for n, (name, (label, _)) in enumerate(one.labels.items())]
    (one.raw / "train.csv").write_text("image_id,label,age\n" + "".join(rows))
    write_sample(one, "image_id,age", [f"{i},0" for i in one.test_ids])
    said = ("metric=mae", "targets=[{name='age', kind='regression'}]", "submission.weight=w")
    submitted(one, log, *said, values={TargetSpec("age", "regression"): np.zeros((6, 1))})
    rows = [f"{i},{n},{n % 2 + 1}" for n, i in enumerate(one.test_ids)]
    assert graded(one, "image_id,age,w", rows, *said)["score"] == pytest.approx((6 + 2 * 9) / 9, abs=1e-6)


def test_a_table_may_tell_what_the_samples_rows_ask_for(grass, log):
    """As in facial-keypoints-detection, which does not ask for every pair either."""
    pairs = [(i, name) for i in grass.test_ids for name in ("Clover_g", "Total_g")][:-1]
    lookup = "".join(f"{n},{i},{name},\n" for n, (i, name) in enumerate(pairs))
    (grass.raw / "Lookup.csv").write_text("RowId,ImageId,FeatureName,Location\n" + lookup)
    write_sample(grass, "RowId,Location", [f"{n},0" for n in range(len(pairs))])
    long = "submission.long={table='Lookup.csv', name='FeatureName', value='Location'}"
    said = ("metric=rmse", FIELDS, long, "submission.id=ImageId", "data.test='test_images/{image_id}'")
    table = submitted(grass, log, *said, values=VALUES)
    assert table.columns.tolist() == ["RowId", "Location"]
    assert table["Location"].astype(float).tolist() == [v for n in range(6) for v in (n, 3 * n + 1)][:-1]
    told = [f"{n},{'' if n == 4 else float(v) + 1}" for n, v in enumerate(table["Location"])]
    assert graded(grass, "RowId,Location", told, *said)["score"] == pytest.approx(1.0, abs=1e-6)
    assert "repeats rows of RowId" in _spoiled(grass, log, said, "0,900.png,Clover_g,\n")


def _spoiled(tiny, log, said, row: str) -> str:
    with (tiny.raw / "Lookup.csv").open("a") as file:
        file.write(row)
    with pytest.raises(RequestError) as caught:
        data(tiny.load(*said), tiny.workspace, log)
    return str(caught.value)


def test_classes_of_several_targets_in_rows(tiny, log):
    """As in bengaliai-cv19: the names hold the mark that lies before them."""
    table = (tiny.raw / "train.csv").read_text().replace("label,variety", "leaf_label,leaf_variety")
    (tiny.raw / "train.csv").write_text(table)
    targets = "targets=[{name='disease', column='leaf_label'}, {name='variety', column='leaf_variety'}]"
    for path in (tiny.raw / "train_images").glob("*/*"):
        path.rename(tiny.raw / "train_images" / path.name)
    write_sample(tiny, "row_id,target", grid(tiny, "{id}_{name},", ("leaf_variety", "leaf_label")))
    said = (targets, "submission.columns={}", "submission.long={row='{id}_{name}'}", "data.images=train_images")
    variety = TargetSpec("variety", "category", ("A", "B"))
    table = sent(tiny, log, {DISEASE: SHARES, variety: np.eye(2)[[0, 1, 1, 0, 0, 1]]}, *said)
    assert table["target"].tolist() == [
        "B",
        "normal",
        "A",
        "normal",
        "A",
        "blast",
        "B",
        "hispa",
        "B",
        "normal",
        "A",
        "blast",
    ]
    told = [
        row + ("A" if row.endswith("variety,") else "normal")
        for row in grid(tiny, "{id}_{name},", ("leaf_variety", "leaf_label"))
    ]
    assert graded(tiny, "row_id,target", told, *said)["targets"] == pytest.approx({"disease": 0.5, "variety": 0.5})


# The whole road


def test_from_the_download_to_a_graded_submission_in_long_form(tmp_path):
    raw, colours = tmp_path / "raw", ("red", "green")
    rows, ids = [], [f"t{n}" for n in range(4)]
    for n in range(16):
        _draw(raw / "train" / f"r{n}.png", colours[n % 2], n)
        rows.append(f"r{n},{n % 2},{5 * (n % 2) + 1}\n")
    for n, name in enumerate(ids):
        _draw(raw / "test" / f"{name}.png", colours[n % 2], 100 + n)
    (raw / "train.csv").write_text("id,Dry_g,Total_g\n" + "".join(rows))
    sample = "".join(f"{i}__{name},0.0\n" for i in ids for name in ("Total_g", "Dry_g"))
    (raw / "sample_submission.csv").write_text("sample_id,target\n" + sample)
    truth = "".join(
        f"{i}__{name},{n % 2 if name == 'Dry_g' else 5 * (n % 2) + 1}\n"
        for n, i in enumerate(ids)
        for name in ("Dry_g", "Total_g")
    )
    (tmp_path / "solution.csv").write_text("sample_id,target\n" + truth)
    (tmp_path / "grass.toml").write_text(f"""
slug = "grass"
metric = {{ name = "pooled", of = "r2", weights = {{ dry = 0.2, total = 0.8 }} }}
source.path = "{raw}"
data = {{ table = "train.csv", images = "train/{{id}}.*", test = "test/{{id}}.*" }}
submission = {{ long = {{ row = "{{id}}__{{name}}" }}, decimals = 3, file = "zip" }}
folds.n = 2
[[targets]]
name = "dry"
column = "Dry_g"
kind = "regression"
[[targets]]
name = "total"
column = "Total_g"
kind = "regression"
[[models]]
name = "m"
arch = "test_resnet"
weights = "none"
resize = {{ size = 40, method = "squish" }}
size = 32
batch_size = 8
epochs = 1
tta = 1
""")
    result = pipeline("run", tmp_path / "grass.toml", "--root", tmp_path / "root")
    assert result.code == 0, result.err
    (path,) = (tmp_path / "root/submissions/grass").glob("*.csv")
    assert path.with_suffix(".csv.zip").is_file()
    table = read(path)
    assert table["sample_id"].tolist() == [line.split(",")[0] for line in sample.splitlines()]
    assert table["target"].str.fullmatch(r"-?\d+\.\d{3}").all()
    args = ("--root", tmp_path / "root", "--json")
    score_of = pipeline("score", tmp_path / "grass.toml", *args, "--solution", tmp_path / "solution.csv").json["score"]
    both = read(tmp_path / "solution.csv").merge(table, on="sample_id", suffixes=("", "_sent"))
    y, p = both["target"].astype(float), both["target_sent"].astype(float)
    w = np.where(both["sample_id"].str.endswith("Dry_g"), 0.2, 0.8)
    expected = 1 - np.sum(w * (y - p) ** 2) / np.sum(w * (y - np.average(y, weights=w)) ** 2)
    assert score_of == pytest.approx(expected, abs=1e-5)


def _draw(path, colour: str, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(colour, "dot", seed).save(path)


def test_a_large_sample_is_taken_apart_in_little_time(tmp_path):
    """What each name costs is counted, not timed: names are looked for only where a cell holds them."""
    many = pd.DataFrame({"row": [f"i{n}_c{k}" for n in range(200) for k in range(50)], "p": "0"})
    long = LongForm(Long(row="{id}_{name}"), None, "id", frozenset({"disease"}), tmp_path)
    wide = long.unfolded(many, "sample.csv")
    assert wide.shape == (200, 51)
    assert long.folded(many, wide.assign(c7="x"), "sample.csv")["p"].tolist().count("x") == 200


# The training table


@pytest.mark.parametrize(
    ("said", "images"),
    [
        ("{row='{id}__{name}', value='target'}", "{image_path}"),
        ("{row='{id}__{name}', value='target'}", "train/{image_id}.png"),
        ("{name='target_name', value='target'}", "{image_path}"),
    ],
)
def test_the_training_table_may_have_a_row_a_target_too(one, log, said, images):
    """As in csiro-biomass: what else the rows say of an image is kept."""
    rows = [
        f"{name[:-4]}__{target},train_images/{label}/{name},{'NSW' if n % 2 else 'Tas'},{target},{n * factor}\n"
        for n, (name, (label, _)) in enumerate(one.labels.items())
        for target, factor in (("Clover_g", 1), ("Total_g", 3))
    ]
    (one.raw / "train.csv").write_text("sample_id,image_path,State,target_name,target\n" + "".join(rows))
    (one.raw / "train").symlink_to("train_images/all")
    (one.raw / "train_images" / "all").mkdir()
    for path in (one.raw / "train_images").glob("*/*.png"):
        (one.raw / "train_images" / "all" / path.name).write_bytes(path.read_bytes())
    write_sample(
        one, "sample_id,target", [f"{i[:-4]}__{name},0" for i in one.test_ids for name in ("Total_g", "Clover_g")]
    )
    ids = "data.id=image_path" if "target_name" in said else "data.id=image_id"
    test = "{image_path}" if "target_name" in said else "{image_id}"
    places = (f"data.images='{images}'", f"data.test='test_images/{test}.png'")
    comp = one.load(FIELDS, "metric=rmse", BY_ROW, f"data.long={said}", ids, *places)
    data(comp, one.workspace, log)
    manifest = pd.read_parquet(one.workspace.manifest)
    train, test_rows = manifest[manifest["split"] == "train"], manifest[manifest["split"] == "test"]
    assert len(train) == 24
    assert (train["total"] == 3 * train["clover"]).all()
    assert sorted(train["clover"]) == list(range(24))
    assert test_rows["id"].tolist() == [name[:-4] for name in one.test_ids]


def test_a_training_table_that_is_read_wrongly_is_refused(one, log):
    (one.raw / "train.csv").write_text("image_id,label,name,value\n100.png,blast,a,1\n100.png,blast,a,2\n")
    write_sample(one, "image_id,disease", [f"{i},blast" for i in one.test_ids])
    said = "data.long={name='name', value='value'}"
    assert "data.long: 1 of 2 rows of train.csv are there before: (100.png, a)" in refused(one, log, said)
    assert "data.long.value: train.csv has no column 'grams'" in refused(one, log, said.replace("'value'", "'grams'"))
