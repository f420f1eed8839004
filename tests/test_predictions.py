"""Predictions: joined by id whatever the order of rows, refused where they do not match, whole on disk."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import predictions
from pipeline.errors import WorkFailed
from pipeline.predictions import NO_FOLD, Predictions, TargetSpec, blend, join

QUICK = settings(max_examples=60, deadline=None)
SPECS = (
    TargetSpec("disease", "category", ("blast", "leaf/spot", "normal")),
    TargetSpec("age", "regression"),
    TargetSpec("tags", "multilabel", ("a", "b")),
)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
ODD_IDS = ["a/b.jpg", "ä ö", "日本.png", "007", "7", "NA", " x", "A", "a", "\u212b", "1.0", "-1", "🌾"]


def make(ids, folds=None, seed: int = 0, specs=SPECS) -> Predictions:
    """Random predictions, each id's values its own whatever the order of `ids`."""
    ids = list(ids)
    place = {name: number for number, name in enumerate(sorted(ids))}
    rng = np.random.default_rng(seed)
    sorted_values = {s.name: rng.random((len(ids), s.width), dtype=np.float32) for s in specs}
    rows = [place[name] for name in ids]
    folds = np.zeros(len(ids), int) if folds is None else np.asarray(folds, int)
    return Predictions(np.array(ids, dtype=str), folds, specs, {k: v[rows] for k, v in sorted_values.items()})


def shuffled(preds: Predictions, order) -> Predictions:
    values = {name: array[order] for name, array in preds.values.items()}
    return Predictions(preds.ids[order], preds.folds[order], preds.specs, values)


def same(one: Predictions, other: Predictions) -> bool:
    return (
        one.specs == other.specs
        and one.ids.tolist() == other.ids.tolist()
        and one.folds.tolist() == other.folds.tolist()
        and all(np.array_equal(one.values[s.name], other.values[s.name]) for s in one.specs)
    )


def saved_bytes(preds: Predictions) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        preds.save(Path(folder) / "p.parquet", model="m")
        return (Path(folder) / "p.parquet").read_bytes()


@st.composite
def rows_and_order(draw):
    ids = draw(st.lists(NAMES, min_size=1, max_size=20, unique=True))
    folds = draw(st.lists(st.integers(-1, 4), min_size=len(ids), max_size=len(ids)))
    return ids, folds, draw(st.permutations(range(len(ids)))), draw(st.integers(0, 99))


# Alignment by id


@QUICK
@given(rows_and_order())
def test_any_order_of_rows_gives_the_same_bytes(case):
    ids, folds, order, seed = case
    preds = make(ids, folds, seed)
    moved = shuffled(preds, list(order))
    assert same(preds, moved)
    assert saved_bytes(preds) == saved_bytes(moved)


def test_other_values_ids_or_folds_give_other_bytes():
    preds = make(["a", "b"], [0, 1])
    others = [make(["a", "b"], [0, 1], seed=1), make(["a", "c"], [0, 1]), make(["a", "b"], [1, 0])]
    assert len({saved_bytes(p) for p in (preds, *others)}) == 4


@QUICK
@given(rows_and_order())
def test_take_follows_the_ids_that_are_asked_for(case):
    ids, folds, order, seed = case
    preds = make(ids, folds, seed)
    by_id = {name: row for row, name in enumerate(preds.ids.tolist())}
    wanted = [ids[place] for place in order][: 1 + len(ids) // 2]
    wanted = [*wanted, wanted[0]]  # an id may be asked for twice
    taken = preds.take(wanted)
    for spec in SPECS:
        assert np.array_equal(taken[spec.name], preds.values[spec.name][[by_id[name] for name in wanted]])


@QUICK
@given(rows_and_order())
def test_only_keeps_the_rows_with_their_values_and_folds(case):
    ids, folds, order, seed = case
    preds = make(ids, folds, seed)
    wanted = [ids[place] for place in order][: 1 + len(ids) // 2]
    kept = preds.only(iter(wanted))
    assert kept.ids.tolist() == sorted(wanted)
    assert dict(zip(kept.ids.tolist(), kept.folds.tolist(), strict=True)) == {
        name: fold for name, fold in zip(ids, folds, strict=True) if name in wanted
    }
    for name, values in preds.take(kept.ids.tolist()).items():
        assert np.array_equal(kept.values[name], values)


@QUICK
@given(rows_and_order())
def test_blend_joins_by_id(case):
    ids, folds, order, seed = case
    one, other = make(ids, folds, seed), make(ids, folds, seed + 1)
    moved = make([ids[place] for place in order], [folds[place] for place in order], seed + 1)
    mixed = blend([one, moved], [1, 3])
    for spec in SPECS:
        expected = one.values[spec.name] * 0.25 + other.values[spec.name] * 0.75
        np.testing.assert_allclose(mixed.values[spec.name], expected, rtol=1e-6)
    assert mixed.ids.tolist() == one.ids.tolist()
    assert mixed.folds.tolist() == one.folds.tolist()


@QUICK
@given(rows_and_order(), st.integers(0, 20))
def test_join_of_any_parts_in_any_order_is_the_whole(case, cut):
    ids, folds, order, seed = case
    whole = make(ids, folds, seed)
    moved = [ids[place] for place in order]
    parts = [whole.only(part) for part in (moved[cut:], moved[:cut]) if part]
    assert same(join(parts), whole)


def test_blend_normalises_weights_and_keeps_probabilities_in_range():
    certain = Predictions(np.array(["a"]), np.array([0]), SPECS[:1], {"disease": np.array([[1, 0, 0]], np.float32)})
    mixed = blend([certain] * 7, [3, 1, 4, 1, 5, 9, 2])
    assert mixed.values["disease"].tolist() == [[1, 0, 0]]
    assert mixed.values["disease"].dtype == np.float32


# Mismatches are errors that show the rows


def test_other_ids_are_shown():
    one = make([f"id{n}" for n in range(6)])
    with pytest.raises(WorkFailed, match=r"4 ids are in the first set of predictions only: id2, id3, id4, \.\.\."):
        blend([one, make(["id0", "id1"])], [1, 1])
    with pytest.raises(WorkFailed, match="1 ids are in the second set of predictions only: id6"):
        one.check_matches(make([f"id{n}" for n in range(7)]))
    with pytest.raises(WorkFailed, match="2 ids have no prediction: id8, id9"):
        one.take(["id0", "id9", "id8"])
    with pytest.raises(WorkFailed, match="1 ids have no prediction: zz"):
        one.only(["id0", "zz"])


def test_an_id_beyond_the_last_is_missed_too():
    with pytest.raises(WorkFailed, match="have no prediction: zzz"):
        make(["a", "b"]).take(["zzz"])
    with pytest.raises(WorkFailed, match="have no prediction: b"):
        make(["a", "c"]).take(["b"])  # where a search would land on its neighbour


def test_other_folds_are_shown():
    one, other = make(["a", "b", "c"], [0, 1, 2]), make(["a", "b", "c"], [0, 2, 2])
    with pytest.raises(WorkFailed, match="1 ids were held out in different folds: b"):
        blend([one, other], [1, 1])


@pytest.mark.parametrize(
    "specs",
    [
        (TargetSpec("disease", "category", ("blast", "normal", "leaf/spot")), *SPECS[1:]),  # another order
        (TargetSpec("illness", "category", SPECS[0].vocab), *SPECS[1:]),
        (SPECS[0], SPECS[2], SPECS[1]),
        SPECS[:2],
    ],
)
def test_other_targets_or_classes_are_refused(specs):
    one, other = make(["a", "b"]), make(["c", "d"], specs=specs)
    with pytest.raises(WorkFailed, match="cannot be joined") as caught:
        one.check_matches(other)
    if len(specs) == len(SPECS):  # the first target that differs, in both
        differing = next(pair for pair in zip(SPECS, specs, strict=True) if pair[0] != pair[1])
        assert all(spec.name in str(caught.value) and str(spec.vocab) in str(caught.value) for spec in differing)
    with pytest.raises(WorkFailed, match="folds disagree about the targets"):
        join([one, other])


def test_rows_that_two_folds_predicted_are_refused():
    with pytest.raises(WorkFailed, match="1 ids are predicted more than once: b"):
        join([make(["a", "b"]), make(["b", "c"])])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    values = {name: array.copy() for name, array in make(["a", "b", "c"]).values.items()}
    values["tags"][1, 1] = bad
    with pytest.raises(WorkFailed, match="1 ids have predictions of 'tags' that are not finite numbers: b"):
        Predictions(np.array(["a", "b", "c"]), np.zeros(3, int), SPECS, values)


def test_shapes_are_checked():
    ids, folds = np.array(["a", "b"]), np.zeros(2, int)
    for wrong in (np.zeros((2, 2)), np.zeros((3, 3)), np.zeros(2)):
        with pytest.raises(WorkFailed, match=r"'disease' have shape .* expected \(2, 3\)"):
            Predictions(ids, folds, SPECS[:1], {"disease": wrong})
    with pytest.raises(WorkFailed, match="2 ids with 3 folds"):
        Predictions(ids, np.zeros(3, int), SPECS[:1], {"disease": np.zeros((2, 3))})


# On disk


@QUICK
@given(st.lists(NAMES, min_size=1, max_size=12, unique=True), st.integers(0, 9))
def test_save_and_load_round_trip(ids, seed):
    preds = make([*ids], None, seed)
    with tempfile.TemporaryDirectory() as folder:
        preds.save(Path(folder) / "p.parquet")
        assert same(predictions.load(Path(folder) / "p.parquet"), preds)


def test_odd_ids_and_class_names_come_back(tmp_path):
    specs = (TargetSpec("t", "category", ("a/b", "NA", "1.0", "", "Ähre", "x y")),)
    preds = make(ODD_IDS, range(len(ODD_IDS)), specs=specs)
    preds.save(tmp_path / "fold=7" / "p.parquet")  # a folder that looks like a partition adds no column
    back = predictions.load(tmp_path / "fold=7" / "p.parquet")
    assert same(back, preds)
    assert back.spec("t").vocab == specs[0].vocab


def test_columns_and_metadata_are_those_of_the_design(tmp_path):
    preds = make(["b", "a"], [NO_FOLD, NO_FOLD])
    preds.save(tmp_path / "p.parquet", model="convnext-s", versions={"fastai": "2.8"})
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names == [
        *("id", "fold", "disease/blast", "disease/leaf/spot", "disease/normal", "age", "tags/a", "tags/b")
    ]
    assert table["id"].to_pylist() == ["a", "b"]
    assert table["fold"].to_pylist() == [-1, -1]
    assert {str(kind) for kind in table.schema.types[2:]} == {"float"}
    about = {key.decode(): json.loads(value) for key, value in table.schema.metadata.items()}
    assert about == {
        "targets": [{"name": s.name, "kind": s.kind, "vocab": list(s.vocab)} for s in SPECS],
        "model": "convnext-s",
        "versions": {"fastai": "2.8"},
    }


def test_torn_and_foreign_files_are_work_failed(tmp_path):
    make([f"id{n}" for n in range(500)]).save(tmp_path / "p.parquet")
    whole = (tmp_path / "p.parquet").read_bytes()
    torn = {
        "absent": None,
        "empty": b"",
        "text": b"id,fold\n",
        "half": whole[: len(whole) // 2],
        "tail": whole[9:],
    }
    for name, content in torn.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(WorkFailed, match=f"{name} is not a file of predictions"):
            predictions.load(tmp_path / name)


@pytest.mark.parametrize("lost", ["id", "fold", "disease/blast"])
def test_a_file_that_lacks_a_column_is_work_failed(tmp_path, lost):
    make(["a", "b"]).save(tmp_path / "p.parquet")
    pq.write_table(pq.read_table(tmp_path / "p.parquet").drop_columns([lost]), tmp_path / "less.parquet")
    with pytest.raises(WorkFailed, match=r"less\.parquet is not a file of predictions"):
        predictions.load(tmp_path / "less.parquet")


def test_a_table_without_our_metadata_is_work_failed(tmp_path):
    make(["a"]).save(tmp_path / "p.parquet")
    pq.write_table(pq.read_table(tmp_path / "p.parquet").replace_schema_metadata(), tmp_path / "bare.parquet")
    with pytest.raises(WorkFailed, match=r"bare\.parquet is not a file of predictions"):
        predictions.load(tmp_path / "bare.parquet")
