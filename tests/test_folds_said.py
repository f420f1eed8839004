"""Folds that the file says: by a column, a folder, time, one share; groups of a column; and what old stamps mean."""

import json

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import RequestError
from pipeline.rows import read_folds
from pipeline.stages import data as data_stage
from pipeline.stages.check import check
from pipeline.stages.data import data
from pipeline.stages.folds import folds, step
from pipeline.stages.train import fold_of
from pipeline.stages.train import step as train_step
from pipeline.workspace import write_json
from tests.test_folds import bring, groups_in


def table(tiny, name: str = "train.csv", **columns: list[str]) -> None:
    """Write a table of the training rows with further columns, cell by cell in the order of ids."""
    cells = pd.DataFrame({"image_id": list(tiny.labels)})
    if name == "train.csv":
        cells["label"], cells["variety"] = zip(*tiny.labels.values(), strict=True)
    place = tiny.raw if name == "train.csv" else tiny.workspace.raw
    cells.assign(**columns).to_csv(place / name, index=False)


def made(tiny, log, *overrides: str) -> np.ndarray:
    """Fold numbers of the training rows by id, made anew."""
    folds(tiny.load(*overrides), tiny.workspace, log, force=True)
    return read_folds(tiny.workspace).loc[list(tiny.labels)].to_numpy()


def refused(tiny, log, *overrides: str) -> str:
    with pytest.raises(RequestError) as caught:
        folds(tiny.load(*overrides), tiny.workspace, log, force=True)
    assert not tiny.workspace.folds.exists()
    return str(caught.value)


# Groups of a column


def test_groups_of_a_column_and_near_duplicates_are_joined(checked, log):
    names = list(checked.labels)
    table(checked, field=[f"f{row // 3}" for row in range(24)])
    groups_in(checked, {names[0]: 0, names[23]: 0, names[22]: 1, names[11]: 1})  # fields 0, 7 and 3 become one group
    numbers = made(checked, log, "folds.group=field")
    together = numbers[[0, 1, 2, 21, 22, 23, 9, 10, 11]]
    assert len(set(together)) == 1
    assert all(len(set(numbers[row : row + 3])) == 1 for row in range(0, 24, 3))
    assert "whole groups of 'field' and near-duplicates" in log.lines[-1]


def test_without_copies_across_them_groups_of_a_column_are_split_as_before(checked, log):
    table(checked, field=[f"f{row % 8}" for row in range(24)])
    numbers = made(checked, log, "folds.group=field")
    assert numbers.tolist() == [1, 2, 2, 0, 1, 0, 0, 1] * 3  # by the earlier version


def test_a_blank_cell_groups_nothing(checked, log):
    table(checked, field=["", "  "] * 12)
    assert sorted(np.bincount(made(checked, log, "folds.group=field"))) == [8, 8, 8]


def test_groups_are_found_in_another_table_by_id(checked, log):
    table(checked, "features.csv", site=[f"s{row // 4}" for row in range(24)])
    path = checked.workspace.raw / "features.csv"
    other = pd.read_csv(path)
    more = pd.DataFrame({"image_id": ["test.png", "100.png"], "site": ["s9", "s0"]})  # a test row, and one said twice
    pd.concat([other.iloc[::-1], more]).to_csv(path, index=False)
    numbers = made(checked, log, "folds.group=site", "folds.table=features.csv")
    assert all(len(set(numbers[row : row + 4])) == 1 for row in range(0, 24, 4))


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("image_id,sites\n100.png,a\n", ["folds.group: features.csv has no column 'site'", "did you mean 'sites'?"]),
        ("id,site\n100.png,a\n", ["data.id: features.csv has no column 'image_id'; it has id, site"]),
        ("image_id,site\n100.png,a\n", ["has no row for 23 of 24 training ids: 101.png, 102.png, 103.png, ..."]),
        ("image_id,site\n100.png,a\n100.png,b\n", ["several things of 1 ids in column 'site': 100.png"]),
    ],
)
def test_a_table_that_does_not_fit_is_refused(checked, log, cells, words):
    (checked.workspace.raw / "features.csv").write_text(cells)
    message = refused(checked, log, "folds.group=site", "folds.table=features.csv")
    assert all(word in message for word in words), message


def test_a_column_that_is_not_there_names_the_way_to_another_table(checked, log):
    assert "folds.table names another table" in refused(checked, log, "folds.group=site")


def test_a_group_larger_than_a_fold_is_told(checked, log):
    table(checked, field=[f"f{max(row - 12, 0)}" for row in range(24)])
    made(checked, log, "folds.group=field")
    assert log.warnings[0].startswith(
        "warning: a group of 13 of 24 images ('field' or near-duplicates) is larger than a fold (8): folds differ"
    )
    groups_in(checked, {name: number // 12 for number, name in enumerate(checked.labels) if number < 22})
    log.lines.clear()
    made(checked, log)
    assert "a group of 12 of 24 images (near-duplicates) is larger than a fold (8) (1 more such)" in log.warnings[0]


def test_check_tells_of_near_duplicates_that_are_larger_than_a_fold(tiny, log):
    first = next(iter(tiny.raw.rglob("100.png")))
    for name, (disease, _) in list(tiny.labels.items())[1:9]:
        (tiny.raw / "train_images" / disease / name).write_bytes(first.read_bytes())
    data(tiny.load(), tiny.workspace, log)
    check(tiny.load(), tiny.workspace, log)
    assert log.warnings == ["warning: a group of 9 of 24 images (near-duplicates) is larger than a fold (8)"]


# A column of folds


def test_a_column_says_the_folds(checked, log):
    table(checked, fold=[f"{10 - row % 3}" for row in range(24)])  # 8, 9, 10: in numeric order
    assert made(checked, log, "folds.column=fold").tolist() == [2 - row % 3 for row in range(24)]
    assert "3 of 8 to 8 images, as column 'fold' says (8, 9, 10)" in log.lines[-1]


def test_each_group_in_turn_is_left_out_by_its_column_in_another_table(checked, log):
    table(checked, "sites.csv", site=["north", "south", "east", "west"] * 6)
    numbers = made(checked, log, "folds.column=site", "folds.table=sites.csv", "folds.n=4")
    assert numbers.tolist() == [1, 2, 0, 3] * 6


def test_minus_one_in_a_column_is_held_out_in_no_fold(checked, log):
    table(checked, fold=["-1", "0", "1", "2"] * 6)
    numbers = made(checked, log, "folds.column=fold")
    assert numbers.tolist() == [-1, 0, 1, 2] * 6
    assert "3 of 6 to 6 images and 6 held out in none" in log.lines[-1]


@pytest.mark.parametrize(
    ("cells", "override", "words"),
    [
        (["0", "1"] * 12, "folds.n=3", ["column 'fold' has 2 values (0, 1) for folds.n = 3; say folds.n = 2"]),
        (["0", ""] * 12, "folds.n=2", ["12 training rows have no fold in column 'fold', for example 101.png"]),
        (["train", "valid"] * 12, "folds.n=1", ["2 values (train, valid)", "say folds.valid = the value that is held"]),
        (["0"] * 24, "folds.n=1", ["all 24 readable training images are held out"]),
        (["-1"] * 24, "folds.n=2", ["column 'fold' has 0 values"]),
    ],
)
def test_a_column_that_says_something_else_is_refused(checked, log, cells, override, words):
    table(checked, fold=cells)
    message = refused(checked, log, "folds.column=fold", override)
    assert all(word in message for word in words), message


def test_near_duplicates_that_a_column_tears_apart_are_told(checked, log):
    names = list(checked.labels)
    table(checked, fold=["0", "1", "2"] * 8)
    groups_in(checked, {names[0]: 0, names[1]: 0, names[3]: 1, names[6]: 1})
    made(checked, log, "folds.column=fold")
    told = [line for line in log.warnings if "near-duplicates" in line]
    assert len(told) == 1
    assert "1 group(s) of near-duplicates lie in different folds, as the file says: 100.png, 101.png" in told[0]


def test_a_value_or_a_folder_is_the_one_fold(checked, log):
    table(checked, part=["train", "train", "valid"] * 8)
    numbers = made(checked, log, "folds.n=1", "folds.column=part", "folds.valid=valid")
    assert numbers.tolist() == [-1, -1, 0] * 8
    for folder in ("hispa", "train_images/hispa/"):
        numbers = made(checked, log, "folds.n=1", f"folds.valid={folder}")
        assert numbers.tolist() == [-1, 0, -1] * 8
    told = [line for line in log.warnings if "class" in line]
    assert any("no image to train fold 1 on is of class hispa" in line for line in told)
    assert any("no image held out is of class blast, normal" in line for line in told)


def test_a_value_or_a_folder_that_is_not_there_is_refused(checked, log):
    table(checked, part=["train", "train", "valid"] * 8)
    message = refused(checked, log, "folds.n=1", "folds.column=part", "folds.valid=val")
    assert "folds.valid = 'val' is no value of column 'part', which has train, valid" in message
    message = refused(checked, log, "folds.n=1", "folds.valid=val")
    assert "no training image lies in such a folder; the first is train_images/blast/100.png" in message


# One fold


def test_one_fold_holds_a_share_and_says_what_it_is_not(checked, log):
    numbers = made(checked, log, "folds.n=1", "folds.share=0.25")
    assert sorted(np.bincount(numbers + 1)) == [6, 18]
    labels = np.array([disease for disease, _ in checked.labels.values()])
    assert np.unique(labels[numbers == 0], return_counts=True)[1].tolist() == [2, 2, 2]
    assert "folds: one fold, not comparable with cross-validation: 6 of 24 images, stratified by" in log.lines[-1]
    comp, space = checked.load("folds.n=1", "folds.share=0.25"), checked.workspace
    assert folds(comp, space, log) is False
    with pytest.raises(RequestError, match=r"folds.share changed from 0.25 to 0.5"):
        folds(checked.load("folds.n=1", "folds.share=0.5"), space, log)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["folds.n=1"], ["folds.n: found 1", "greater than or equal to 2, or 1 with share = 0.2 for a quick look"]),
        (["folds.share=0.2"], ["share is the part of the rows in the one fold of n = 1"]),
        (["folds.share=1", "folds.n=1"], ["folds.share: found 1"]),
        (["folds.valid=x"], ["valid = 'x' is one fold: say n = 1"]),
        (["folds.column=a", "folds.time=b"], ["column and time exclude each other"]),
        (["folds.column=a", "folds.group=b"], ["group = 'b' and column exclude each other"]),
        (["folds.n=1", "folds.time=a", "folds.valid=b", "folds.share=0.1"], ["time and valid exclude each other"]),
        (["folds.table=x.csv"], ["none of them names a column"]),
    ],
)
def test_what_cannot_be_said_together_is_refused(tiny, overrides, words):
    with pytest.raises(RequestError) as caught:
        tiny.load(*overrides)
    assert all(word in str(caught.value) for word in words), str(caught.value)


# Time


def test_the_last_share_by_time_is_the_one_fold(checked, log):
    table(checked, day=[f"2020-{1 + row * 7 % 12:02}-{1 + row // 12:02}" for row in range(24)])
    numbers = made(checked, log, "folds.n=1", "folds.share=0.25", "folds.time=day")
    days = pd.read_csv(checked.raw / "train.csv")["day"].to_numpy()
    assert (numbers == 0).sum() == 6
    assert days[numbers == 0].min() > days[numbers == -1].max()


def test_each_fold_is_predicted_from_the_rows_before_it(checked, log):
    table(checked, hour=[str(row * 7 % 24 - 3) for row in range(24)])
    overrides = ("folds.time=hour", "folds.n=3")
    numbers = made(checked, log, *overrides)
    hours = np.array([row * 7 % 24 - 3 for row in range(24)])
    assert [sorted(hours[numbers == fold]) for fold in (-1, 0, 1, 2)] == [list(range(k, k + 6)) for k in (-3, 3, 9, 15)]
    from pipeline.jobs import jobs_of
    from pipeline.rows import load_rows

    comp, by_id = checked.load(*overrides), dict(zip(checked.labels, hours, strict=True))
    for job in jobs_of(comp):
        fold = fold_of(comp, checked.workspace, job, load_rows(comp, checked.workspace))
        assert max(by_id[name] for name in fold.train["id"]) < min(by_id[name] for name in fold.held_out["id"])
        assert len(fold.train) == 6 * (job.fold + 1)
        assert train_step(comp, checked.workspace, job).inputs["by_time"] is True
        assert "by_time" not in train_step(checked.load(), checked.workspace, job).inputs


def test_rows_of_one_time_and_near_duplicates_are_not_taken_apart(checked, log):
    names = list(checked.labels)
    table(checked, year=[str(2000 + row // 6) for row in range(24)])
    groups_in(checked, {names[0]: 0, names[20]: 0})
    numbers = made(checked, log, "folds.time=year", "folds.n=3")
    assert numbers[0] == numbers[20] == 2  # where the last of a group is: no model has seen what comes later
    assert numbers[1:].tolist() == [-1] * 5 + [0] * 6 + [1] * 6 + [2] * 6


@pytest.mark.parametrize(("cell", "shown"), [("13/02/2020", "13/02/2020"), ("", ""), ("May", "May")])
def test_a_time_of_several_meanings_is_refused(checked, log, cell, shown):
    table(checked, day=["2020-01-01"] * 23 + [cell])
    message = refused(checked, log, "folds.time=day")
    assert (
        f"1 cells of column 'day' are neither numbers nor dates such as 2020-02-13: '{shown}' (id 123.png)" in message
    )


# Several rows of one image


@pytest.mark.parametrize(
    ("said", "way"),
    [
        ("folds.group=none", "; without folds.group = 'none' rows of one image stay together"),
        ("folds.column=part", ""),
    ],
)
def test_rows_of_one_image_in_different_folds_are_told(tiny, log, said, way):
    names, own = list(tiny.labels), "data.images=train_images/blast/{file}"
    table(tiny, file=[names[row // 6 * 3] for row in range(24)], part=[str(row % 3) for row in range(24)])
    for stage in (data, check):
        stage(tiny.load(own), tiny.workspace, log)
    log.lines.clear()
    made(tiny, log, own, said)
    told = [line for line in log.lines if "several rows" in line]
    assert len(told) == 1
    assert "4 image(s) are named by several rows in different folds, as the file says: " in told[0]
    assert f"train_images/blast/100.png by 100.png, 101.png, 102.png, ...; scores there are too good{way}" in told[0]
    log.lines.clear()
    numbers = made(tiny, log, own)
    assert pd.Series(numbers).groupby(np.arange(24) // 6).nunique().max() == 1
    assert not [line for line in log.lines if "several rows" in line]


# Tags, and many rare classes


TAGS = ("targets.1.kind=multilabel", "targets.1.column=tags")


def tagged(tiny, log) -> pd.Series:
    """After check, with a target of tags: 6 rows each have a, b; c goes with a; others none."""
    cells = pd.Series((["a c", "b", "", ""] * 6), index=list(tiny.labels))
    table(tiny, tags=cells.tolist())
    data(tiny.load(*TAGS), tiny.workspace, log)
    check(tiny.load(*TAGS), tiny.workspace, log)
    return cells


def test_tags_take_part_in_stratification(tiny, log):
    cells = tagged(tiny, log)
    for wanted in ([], ['folds.stratify=["variety"]']):
        numbers = made(tiny, log, *TAGS, *wanted)
        for tag in "abc":
            has = cells.str.contains(tag).to_numpy()
            assert np.bincount(numbers[has], minlength=3).tolist() == [2, 2, 2]
    assert "stratified by variety" in log.lines[-1]


def test_the_audit_counts_tags_and_not_cells(tiny, log):
    tagged(tiny, log)
    counted = json.loads(tiny.workspace.audit.read_text())["classes"]
    assert counted == {"disease": {"blast": 8, "hispa": 8, "normal": 8}, "variety": {"a": 6, "b": 6, "c": 6}}


def test_folds_made_before_tags_took_part_stay(tiny, log):
    tagged(tiny, log)
    comp, space = tiny.load(*TAGS), tiny.workspace
    made(tiny, log, *TAGS)
    own = space.folds.read_bytes().replace(b",0\n", b",x\n").replace(b",1\n", b",0\n").replace(b",x\n", b",1\n")
    space.folds.write_bytes(own)  # other folds than would be made now
    stamp = json.loads(space.stamp("folds").read_text())
    space.stamp("folds").unlink()
    folds(comp, space, log)
    stamp["outputs"] = json.loads(space.stamp("folds").read_text())["outputs"]
    for key in ("column", "valid", "time", "share", "table"):
        stamp["inputs"]["folds"].pop(key)
    write_json(space.stamp("folds"), stamp)
    assert step(comp, space).state() == "done"
    assert folds(comp, space, log) is False
    assert space.folds.read_bytes() == own


def test_folds_made_before_the_table_of_groups_was_recorded_stay(checked, log):
    table(checked, field=[f"f{row // 3}" for row in range(24)])
    comp, space = checked.load("folds.group=field"), checked.workspace
    made(checked, log, "folds.group=field")
    (checked.raw / "train.csv").write_text((checked.raw / "train.csv").read_text().replace("f7", "f6"))
    with pytest.raises(RequestError, match="table changed"):
        folds(comp, space, log)
    stamp = json.loads(space.stamp("folds").read_text())
    stamp["inputs"].pop("table")
    write_json(space.stamp("folds"), stamp)
    assert folds(comp, space, log) is False


def test_many_rare_classes_are_one_line(checked, log):
    rows = [f"{name},{disease},v{number}\n" for number, (name, (disease, _)) in enumerate(checked.labels.items())]
    (checked.raw / "train.csv").write_text("image_id,label,variety\n" + "".join(rows))
    for stage in (data, check, folds):
        stage(checked.load(), checked.workspace, log, force=True)
    told = [line for line in log.warnings if "variety" in line]
    assert told == [
        "warning: target 'variety': 24 of 24 classes have 1 or 2 images: v0, v1, v10, ...",
        "warning: target 'variety': 24 classes have fewer readable images than there are folds (3): 'v0' (1), "
        "'v1' (1), 'v10' (1), ...; some folds cannot validate them",
    ]


# What is held back


HOLD = (
    "data={table='train.csv', id='image_id', images='train_images/{label}/{image_id}', holdout=0.25}",
    "targets=[{name='tags', kind='multilabel'}]",
    "submission.columns={}",
    "metric=micro_f1",
)


def held_back(tiny) -> set[str]:
    return set(pd.read_csv(tiny.workspace.solution)["image_id"])


def test_tags_are_held_back_evenly(tiny, log):
    cells = pd.Series(["a c", "b", "c", "a", "", "", "", ""] * 3, index=list(tiny.labels))
    table(tiny, tags=cells.tolist())
    data(tiny.load(*HOLD), tiny.workspace, log)
    assert len(held_back(tiny)) == 6
    for tag in "abc":
        has = cells.str.contains(tag)
        assert abs(has[sorted(held_back(tiny))].sum() - has.sum() / 4) < 1


def test_what_was_held_back_before_tags_took_part_stays_held_back(tiny, log, monkeypatch):
    table(tiny, tags=[f"t{row % 2}" for row in range(24)])
    comp = tiny.load(*HOLD)
    monkeypatch.setattr(data_stage, "_tags", lambda *_: None)  # as it was
    data(comp, tiny.workspace, log)
    before = held_back(tiny)
    monkeypatch.undo()
    data(comp, tiny.workspace, log, force=True)
    assert held_back(tiny) == before
    tiny.workspace.stamp("data").unlink()
    data(comp, tiny.workspace, log, force=True)
    assert held_back(tiny) != before
    assert data(comp, tiny.workspace, log) is False


# A file that the user brought


def test_a_users_file_may_leave_rows_out_where_folds_may(checked, log):
    rows = [(name, number % 4 - 1) for number, name in enumerate(checked.labels)]
    own = bring(checked, rows)
    with pytest.raises(RequestError, match=r"fold '-1' of id '100\.png' is held out in none"):
        folds(checked.load(), checked.workspace, log)
    table(checked, fold=["9"] * 24)
    folds(checked.load("folds.column=fold"), checked.workspace, log)
    assert checked.workspace.folds.read_bytes() == own


def test_a_users_file_must_leave_something_to_train_on(checked, log):
    bring(checked, [(name, 0) for name in checked.labels])
    with pytest.raises(RequestError, match="holds out every row"):
        folds(checked.load("folds.n=1", "folds.share=0.5"), checked.workspace, log)


# A part of a cell


def test_what_a_pattern_finds_in_the_ids_stays_together(checked, log):
    """Of ids such as 100.png the first two digits."""
    numbers = made(checked, log, "folds.group=image_id", r"folds.group_regex=(..)\d.*")
    names = [name[:2] for name in checked.labels]
    assert len(set(names)) < len(names)
    assert all(len(set(numbers[[own == name for own in names]])) == 1 for name in names)


def test_a_pattern_leaves_blank_cells_alone_and_refuses_cells_without(checked, log):
    table(checked, field=["", "p1_left", "p1_right"] * 8)
    numbers = made(checked, log, "folds.group=field", "folds.group_regex=(.*)_.*", "folds.n=2").reshape(8, 3)
    assert len(set(numbers[:, 1:].ravel())) == 1
    assert len(set(numbers[:, 0])) == 2
    checked.workspace.folds.unlink()
    table(checked, field=["p1_left", "p2"] * 12)
    said = refused(checked, log, "folds.group=field", "folds.group_regex=(.*)_.*")
    assert "folds.group_regex '(.*)_.*' finds nothing in 12 of 24 cells of 'field': p2, p2, p2, ..." in said


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["folds.group_regex=(a)"], "group_regex goes with group"),
        (["folds.group=field", "folds.group_regex=(a)(b)"], "needs one group (...) around what stays together; has 2"),
        (["folds.group=field", "folds.group_regex=(a"], "not a regular expression"),
    ],
)
def test_a_pattern_that_says_nothing_is_refused(checked, overrides, words):
    with pytest.raises(RequestError) as caught:
        checked.load(*overrides)
    assert words in str(caught.value)


def test_no_pattern_is_what_was_before_there_were_any(checked, log):
    table(checked, field=[f"f{row // 4}" for row in range(24)])
    folds(checked.load("folds.group=field"), checked.workspace, log)
    stamp = json.loads(checked.workspace.stamp("folds").read_text())
    assert "group_regex" in json.dumps(stamp)
    text = json.dumps(stamp).replace('"group_regex": null, ', "").replace(', "group_regex": null', "")
    assert 'group_regex": null' not in text
    checked.workspace.stamp("folds").write_text(text)
    assert step(checked.load("folds.group=field"), checked.workspace).done()
    assert not step(checked.load("folds.group=field", "folds.group_regex=(f).*"), checked.workspace).done()
