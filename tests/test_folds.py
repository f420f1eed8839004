"""Folds: balanced over every target, whole groups together, made once, reused, never silently remade."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RequestError
from pipeline.rows import ALONE, read_folds, training_rows
from pipeline.stages.check import check
from pipeline.stages.data import data
from pipeline.stages.folds import folds, step
from pipeline.vision.splits import assign_folds
from pipeline.workspace import write_with

QUICK = settings(max_examples=80, deadline=None)


@st.composite
def label_tables(draw, most_targets: int = 3):
    """Random labels of several targets, some classes rare; a number of folds; a seed."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, rows = draw(st.integers(2, 7)), draw(st.integers(14, 160))
    classes = draw(st.lists(st.integers(1, 8), min_size=1, max_size=most_targets))
    labels = [rng.choice(count, rows, p=rng.dirichlet(np.ones(count))) for count in classes]
    return [np.unique(codes, return_inverse=True)[1] for codes in labels], n, draw(st.integers(0, 99))


def most_off(labels, numbers: np.ndarray, n: int) -> float:
    """The largest difference between a class's rows in a fold and an even share of them."""
    off = [
        np.abs(np.bincount(numbers[codes == code], minlength=n) - (codes == code).sum() / n).max()
        for codes in labels
        for code in range(codes.max() + 1)
    ]
    return max(off)


# assign_folds


@QUICK
@given(label_tables())
def test_every_class_of_every_target_is_spread_evenly(table):
    labels, n, seed = table
    numbers = assign_folds(labels, np.arange(len(labels[0])), n, seed)
    sizes = np.bincount(numbers, minlength=n)
    assert len(sizes) == n
    assert sizes.min() >= 1
    assert np.ptp(sizes) <= 5
    assert most_off(labels, numbers, n) < 2.5


@QUICK
@given(label_tables(most_targets=1))
def test_of_one_target_every_share_is_rounded_up_or_down(table):
    labels, n, seed = table
    numbers = assign_folds(labels, np.arange(len(labels[0])), n, seed)
    assert most_off(labels, numbers, n) < 1


@QUICK
@given(label_tables(), st.integers(2, 6))
def test_groups_stay_whole_and_folds_even_as_far_as_groups_allow(table, rows_a_group):
    labels, n, seed = table
    rows = len(labels[0])
    groups = np.random.default_rng(seed).integers(0, max(3 * n, rows // rows_a_group), rows)
    numbers = assign_folds(labels, groups, n, seed)
    assert all(len(set(numbers[groups == group])) == 1 for group in np.unique(groups))
    if len(np.unique(groups)) >= n:
        sizes = np.bincount(numbers, minlength=n)
        assert sizes.min() >= 1
        assert np.ptp(sizes) <= 2 * np.bincount(groups).max() + 1


def test_rare_classes_go_first_and_weigh_more():
    """On average over random tables; without either, the worst class is off by a tenth of a row more."""
    off = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels = [np.unique(rng.choice(10, 200, p=rng.dirichlet(np.ones(10))), return_inverse=True)[1] for _ in "ab"]
        off.append(most_off(labels, assign_folds(labels, np.arange(200), 5, seed), 5))
    assert np.mean(off) < 1.09


def test_one_target_does_not_spoil_the_other():
    rng = np.random.default_rng(3)
    disease, variety = rng.integers(0, 10, 300), rng.integers(0, 10, 300)
    alone = assign_folds([disease], np.arange(300), 5, 1)
    both = assign_folds([disease, variety], np.arange(300), 5, 1)
    assert most_off([variety], alone, 5) > 3  # what happens to a target that is not asked for
    assert most_off([disease, variety], both, 5) < 2


def test_a_seed_always_gives_the_same_folds_and_another_others():
    labels = [np.random.default_rng(0).integers(0, 4, 60)]
    first = assign_folds(labels, np.arange(60), 3, 42)
    assert np.array_equal(first, assign_folds(labels, np.arange(60), 3, 42))
    assert not np.array_equal(first, assign_folds(labels, np.arange(60), 3, 43))


def test_names_of_groups_say_nothing():
    labels, groups = [np.arange(40) % 3], np.arange(40) // 2
    renamed = groups * 7 + 100
    assert np.array_equal(assign_folds(labels, groups, 4, 1), assign_folds(labels, renamed, 4, 1))


# The stage


def groups_in(tiny, groups: dict[str, int], unreadable: tuple[str, ...] = ()) -> None:
    """Rewrite the facts that check found, as if it had found these."""
    facts = pd.read_parquet(tiny.workspace.facts)
    facts["group"] = facts["id"].map(groups).fillna(ALONE).astype(int)
    facts["readable"] &= ~facts["id"].isin(unreadable)
    write_with(tiny.workspace.facts, lambda file: facts.to_parquet(file, index=False))


def test_folds_are_made_once_and_reused(checked, log):
    comp, space = checked.load(), checked.workspace
    assert folds(comp, space, log) is True
    assert "3 of 8 to 8 images, stratified by disease, variety" in log.lines[0]
    made = space.folds.read_bytes()
    assert folds(comp, space, log) is False
    assert space.folds.read_bytes() == made
    table = pd.read_csv(space.folds, dtype=str)
    assert list(table.columns) == ["id", "fold"]
    assert table["id"].tolist() == sorted(checked.labels)
    numbers = read_folds(space)
    for target in (0, 1):  # 8 and 12 of each class: an even share in each fold, or one off
        labels = pd.Series({name: pair[target] for name, pair in checked.labels.items()})[numbers.index]
        assert pd.crosstab(labels, numbers).to_numpy().std(axis=1).max() < 1


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed=43", "seed changed from 42 to 43"),
        ("folds.n=4", "folds.n changed from 3 to 4"),
        ("folds.group=none", "folds.group changed"),
        ('folds.stratify=["disease"]', "folds.stratify changed"),
    ],
)
def test_folds_are_not_silently_remade(checked, log, override, words):
    space = checked.workspace
    folds(checked.load(), space, log)
    made = space.folds.read_bytes()
    changed = checked.load(override)
    with pytest.raises(RequestError, match=words) as caught:
        folds(changed, space, log)
    assert "folds --force" in str(caught.value)
    assert space.folds.read_bytes() == made
    assert folds(changed, space, log, force=True) is True
    assert step(changed, space).state() == "done"
    assert set(read_folds(space)) == set(range(changed.folds.n))
    assert folds(changed, space, log) is False


def test_another_manifest_does_not_remake_them_either(checked, log):
    folds(checked.load(), checked.workspace, log)
    groups_in(checked, {"100.png": 0, "101.png": 0})
    with pytest.raises(RequestError, match="facts changed"):
        folds(checked.load(), checked.workspace, log)


@pytest.mark.parametrize("change", ["edit", "delete"])
def test_a_changed_file_is_not_silently_remade(checked, log, change):
    space = checked.workspace
    folds(checked.load(), space, log)
    if change == "edit":
        space.folds.write_text(space.folds.read_text().replace("100.png,0", "100.png,1").replace("\n", "\r\n"))
    else:
        space.folds.unlink()
    with pytest.raises(RequestError, match=r"folds\.csv is missing or was changed by hand"):
        folds(checked.load(), space, log)
    assert folds(checked.load(), space, log, force=True) is True


def test_other_models_do_not_touch_the_folds(checked, log):
    folds(checked.load(), checked.workspace, log)
    assert folds(checked.load("models.0.epochs=9", "metric=log_loss"), checked.workspace, log) is False


def test_near_duplicates_stay_in_one_fold(checked, log):
    group = {name: number // 4 for number, name in enumerate(sorted(checked.labels))}  # six groups of four
    groups_in(checked, group)
    folds(checked.load(), checked.workspace, log)
    numbers = read_folds(checked.workspace)
    assert numbers.groupby(numbers.index.map(group)).nunique().max() == 1
    folds(checked.load("folds.group=none"), checked.workspace, log, force=True)
    numbers = read_folds(checked.workspace)
    assert numbers.groupby(numbers.index.map(group)).nunique().max() > 1


def test_rows_are_grouped_by_a_column(checked, log):
    group = {name: f"field {number // 3}" for number, name in enumerate(checked.labels)}
    rows = [f"{n},{disease},{variety},{group[n]}\n" for n, (disease, variety) in checked.labels.items()]
    (checked.raw / "train.csv").write_text("image_id,label,variety,field\n" + "".join(rows))
    comp = checked.load("folds.group=field")
    folds(comp, checked.workspace, log)
    numbers = read_folds(checked.workspace)
    assert numbers.groupby(numbers.index.map(group)).nunique().max() == 1
    with pytest.raises(RequestError, match=r"no column 'filed'; it has image_id, label, variety, field"):
        folds(checked.load("folds.group=filed"), checked.workspace, log, force=True)


def test_grouping_by_the_id_column_is_no_grouping(checked, log):
    folds(checked.load("folds.group=image_id"), checked.workspace, log)
    assert sorted(read_folds(checked.workspace).value_counts()) == [8, 8, 8]


def test_too_few_groups_for_the_folds_are_refused(checked, log):
    groups_in(checked, {name: number % 2 for number, name in enumerate(checked.labels)})
    with pytest.raises(RequestError, match=r"folds.n = 3, but 24 readable .* fill only 2 folds"):
        folds(checked.load(), checked.workspace, log)
    assert not checked.workspace.folds.exists()


def test_unreadable_images_have_no_fold(checked, log):
    groups_in(checked, {}, unreadable=("105.png", "900.png"))
    folds(checked.load(), checked.workspace, log)
    assert sorted(read_folds(checked.workspace).index) == sorted(set(checked.labels) - {"105.png"})
    assert training_rows(checked.workspace)["id"].tolist() == sorted(set(checked.labels) - {"105.png"})


def test_a_class_with_fewer_members_than_folds_is_a_warning(checked, log):
    left_out = tuple(name for name, (disease, _) in checked.labels.items() if disease == "hispa")[2:]
    groups_in(checked, {}, unreadable=left_out)
    assert folds(checked.load(), checked.workspace, log) is True
    assert log.warnings == [
        "warning: target 'disease': class 'hispa' has 2 readable image(s) for 3 folds; some folds cannot validate it"
    ]


def regression(tiny, log, numbers: dict[str, float]) -> pd.Series:
    """Folds by id, stratified by a variety that is a number."""
    rows = [f"{name},{tiny.labels[name][0]},{value}\n" for name, value in numbers.items()]
    (tiny.raw / "train.csv").write_text("image_id,label,variety\n" + "".join(rows))
    comp = tiny.load("targets.1.kind=regression", 'folds.stratify=["variety"]')
    for stage in (data, check, folds):
        stage(comp, tiny.workspace, log)
    return read_folds(tiny.workspace)


def test_a_regression_target_is_spread_by_size(tiny, log):
    wanted = {name: (number * 7 % 24) ** 2 for number, name in enumerate(tiny.labels)}
    numbers = regression(tiny, log, wanted)
    tenths = pd.qcut(pd.Series(wanted)[numbers.index], 10, labels=False)
    assert pd.crosstab(tenths, numbers).to_numpy().max() == 1  # two or three rows each, in three folds


def test_a_regression_target_that_never_changes_is_no_crash(tiny, log):
    assert sorted(regression(tiny, log, dict.fromkeys(tiny.labels, 7)).value_counts()) == [8, 8, 8]


# A file that the user brought


def bring(tiny, rows) -> bytes:
    tiny.workspace.folds.write_text("id,fold\n" + "".join(f"{name},{fold}\n" for name, fold in rows))
    return tiny.workspace.folds.read_bytes()


def test_a_users_file_is_adopted_as_it_is(checked, log):
    own = bring(checked, [(name, number // 8) for number, name in enumerate(reversed(checked.labels))])
    assert folds(checked.load(), checked.workspace, log) is True
    assert checked.workspace.folds.read_bytes() == own
    assert any("as it is" in line for line in log.lines)
    assert folds(checked.load(), checked.workspace, log) is False
    assert read_folds(checked.workspace)[["123.png", "100.png"]].tolist() == [0, 2]


def test_a_users_file_outlives_new_raw_files(checked, log):
    own = bring(checked, [(name, number % 3) for number, name in enumerate(checked.labels)])
    folds(checked.load(), checked.workspace, log)
    data(checked.load(), checked.workspace, log, force=True)  # fetched anew
    assert checked.workspace.folds.read_bytes() == own


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[1:], r"1 training ids without a fold \['100.png'\]"),
        (lambda rows: [*rows, ("zz.png", 1)], r"1 unknown ids \['zz.png'\]"),
        (lambda rows: [*rows, rows[0]], "does not fit"),
        (lambda rows: [(name, fold + 1) for name, fold in rows], r"fold numbers \[1, 2, 3\] for folds.n = 3"),
        (lambda rows: [(name, 0) for name, _ in rows], r"fold numbers \[0\]"),
        (lambda rows: [(name, "1.0") for name, _ in rows], r"fold '1.0' of id '100.png' is no fold number"),
        (lambda rows: [(name, "") for name, _ in rows], "fold '' of id '100.png' is no fold number"),
        (lambda rows: [(name, "-1") for name, _ in rows], "fold '-1'"),
    ],
)
def test_a_users_file_that_does_not_fit_is_refused_and_kept(checked, log, change, words):
    own = bring(checked, change([(name, number % 3) for number, name in enumerate(checked.labels)]))
    with pytest.raises(RequestError, match=words):
        folds(checked.load(), checked.workspace, log)
    assert checked.workspace.folds.read_bytes() == own
    assert step(checked.load(), checked.workspace).state() == "missing"


def test_a_users_file_needs_its_two_columns(checked, log):
    checked.workspace.folds.write_text("image_id,fold\n100.png,0\n")
    with pytest.raises(RequestError, match="needs the columns id and fold; it has image_id, fold"):
        folds(checked.load(), checked.workspace, log)
