"""Tags in one cell or in a column each: separators, answers for no tag, classes that are columns."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import predictions
from pipeline.data.labels import decode, priors, specs_of, truth_of
from pipeline.errors import RequestError
from pipeline.predictions import Predictions
from pipeline.targets import TargetSpec
from pipeline.targets.said import Target
from pipeline.vision.data_config import ImageData
from pipeline.vision.heads import Head
from pipeline.vision.manifest import build_manifest
from pipeline.vision.metadata import HeadMetadata

Build = Callable[..., pd.DataFrame]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """The manifest of a table whose first column is the id."""

    def made(table: str, **said) -> pd.DataFrame:
        (tmp_path / "t.csv").write_text(table)
        (tmp_path / "im").mkdir(exist_ok=True)
        for line in table.splitlines()[1:]:
            (tmp_path / "im" / line.partition(",")[0]).write_text("x")
        return build_manifest(tmp_path, ImageData(table="t.csv", images="im"), [Target(name="t", **said)], None)

    return made


def tags(**said) -> Target:
    return Target(name="t", kind="multilabel", **said)


def cells_of(*cells: str) -> str:
    return "id,t\n" + "".join(f'{number},"{cell}"\n' for number, cell in enumerate(cells))


@pytest.mark.parametrize(
    ("separator", "cells", "canonical"),
    [
        ("|", ["No Finding", "Pleural Thickening|Mass", "", "Mass | No Finding |Mass"], "Pleural Thickening|Mass"),
        (",", ["No Finding", "Pleural Thickening, Mass", "", "Mass,No Finding,"], "Pleural Thickening,Mass"),
        (", ", ["No Finding", "Pleural Thickening,Mass", "", "Mass, No Finding"], "Pleural Thickening, Mass"),
        (
            "[]",
            ["['No Finding']", "['Pleural Thickening', 'Mass']", "[]", "('Mass', 'No Finding')"],
            "['Pleural Thickening', 'Mass']",
        ),
    ],
)
def test_a_separator_may_be_said(build, separator, cells, canonical):
    manifest = build(cells_of(*cells), kind="multilabel", separator=separator)
    assert manifest["t"][1] == canonical
    target = tags(separator=separator)
    (spec,) = specs_of([target], manifest)
    assert spec.vocab == ("Mass", "No Finding", "Pleural Thickening")
    truth = truth_of(spec, manifest["t"])
    assert truth.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0], [1, 1, 0]]
    assert priors(spec, manifest["t"]).tolist() == [0.5, 0.5, 0.25]
    assert target.target_kind.class_counts(spec, manifest["t"]) == {"Mass": 2, "No Finding": 2, "Pleural Thickening": 1}
    written = decode(spec, truth)
    assert truth_of(spec, spec.target_kind.parse_cells("t", pd.Series(written))).tolist() == truth.tolist()
    assert spec.target_kind.problem(spec, pd.Series(written)) is None


def test_json_lists_are_lists():
    assert tags(separator="[]").target_kind.split('["a b", "c"]') == ("a b", "c")


@pytest.mark.parametrize("cell", ["a", "[a", "3", "[[1]", "[a, b]"])
def test_cells_that_are_no_lists_are_refused(build, cell):
    with pytest.raises(RequestError, match=r"separator = '\[\]', but 1 cells are no lists: .* \(ids 1\)"):
        build(cells_of("['a']", cell), kind="multilabel", separator="[]")


@pytest.mark.parametrize(
    ("cells", "other"),
    [
        (["No Finding", "Pleural Thickening|Mass", "Mass"], "|"),
        (["A,B", "B", "C, A", "D"], ","),
        (["a;b", "c", ""], ";"),
        (["['a', 'b']", "['a']", ""], "[]"),
    ],
)
def test_cells_with_another_separator_are_refused_with_the_key(build, cells, other):
    with pytest.raises(RequestError) as caught:
        build(cells_of(*cells), kind="multilabel")
    assert f"set separator = {other!r} (or separator = ' ' if blanks do separate them)" in str(caught.value)
    assert len(build(cells_of(*cells), kind="multilabel", separator=other)) == len(cells)
    assert len(build(cells_of(*cells), kind="multilabel", separator=" ")) == len(cells)


def test_the_wrong_separator_is_refused(build):
    with pytest.raises(RequestError, match=r"separated by '\|'; set separator = '\|' \(not by ';'\)"):
        build(cells_of("a|b", "b", "c|a"), kind="multilabel", separator=";")


@pytest.mark.parametrize("cells", [["red,round green", "green blue,square", "red,round"], ["0 12", "3", "12 3 7"]])
def test_blanks_are_the_separator_of_most(build, cells):
    manifest = build(cells_of(*cells), kind="multilabel")
    assert manifest["t"].tolist() == cells
    (spec,) = specs_of([tags()], manifest)
    assert spec == TargetSpec("t", "multilabel", spec.vocab)


def test_saying_the_default_means_the_same():
    assert tags().settings() == tags(separator=" ").settings()
    assert tags().options == tags(separator=" ").options == ()
    assert tags().settings() != tags(separator="|").settings()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"kind": "category", "separator": "|"}, "separator is for targets of kind multilabel; this one is 'category'"),
        ({"kind": "regression", "none": "x"}, "none is for targets of kind multilabel"),
        (
            {"kind": "regression", "column": ["a", "b"]},
            "a list of columns is for targets of kind category, binary, multi",
        ),
        ({"kind": "multilabel", "separator": "\t"}, "blanks of any kind are separator = ' '"),
        ({"kind": "multilabel", "separator": ""}, "separator: found ''"),
        ({"kind": "multilabel", "column": ["a|b", "c"], "separator": "|"}, "'a|b' cannot be a class"),
        ({"column": ["a", "a"]}, "column names 'a' twice"),
        ({"column": ["a", "b"], "folder": True}, "one of column, regex, folder"),
    ],
)
def test_keys_that_do_not_fit_are_refused(said, words):
    with pytest.raises(ValueError, match="Value error") as caught:
        Target(name="t", **said)
    assert words in str(caught.value)


# No tag


VALUES = np.array([[0.9, 0.6], [0.3, 0.4], [0.1, 0.2]])


def decided(labels: list[str], values: np.ndarray = VALUES, **said) -> list[str]:
    target = tags(**said)
    (spec,) = specs_of([target], pd.DataFrame({"t": labels, "split": "train"}))
    options = target.target_kind.decision_options(target.none, labels)
    sent = TargetSpec(spec.name, spec.kind, spec.vocab, (*spec.options, *options.items()))
    cells = decode(sent, values)
    assert sent.target_kind.problem(sent, pd.Series(cells)) is None
    return cells.tolist()


def test_a_cell_is_empty_only_where_training_cells_are():
    assert decided(["a", "b", "a b"]) == ["a b", "b", "b"]
    assert decided(["a", "b", ""]) == ["a b", "", ""]


def test_the_answer_for_no_tag_may_be_said():
    assert decided(["a", "b", ""], none="likeliest") == ["a b", "b", "b"]
    assert decided(["a", "b"], none="") == ["a b", "", ""]
    assert decided(["a", "b"], none="a") == ["a b", "a", "a"]
    assert decided(["a", "b"], none="No Finding") == ["a b", "No Finding", "No Finding"]
    assert decided(["x y|z", "z"], none="likeliest", separator="|") == ["x y|z", "z", "z"]


def test_empty_cells_are_a_problem_where_training_has_none():
    kind = tags().target_kind.told({"none": "likeliest"})
    spec = TargetSpec("t", "multilabel", ("a", "b"), (("none", "likeliest"),))
    assert kind.problem(spec, pd.Series(["a", "", "b"])) == "1 empty cells"
    assert kind.problem(spec, pd.Series(["a", "c"])) == "'c' is not a class of 't'"


# A column for each class


ONE_HOT = "id,healthy,big rust\n1,1,0\n2,0,1.0\n3,False,True\n"


@pytest.mark.parametrize("kind", ["category", "binary", "multilabel"])
def test_classes_may_be_columns(build, kind):
    said = {"kind": kind, "column": ["healthy", "big rust"]}
    manifest = build(ONE_HOT, **said)
    assert manifest["t"].tolist() == ["healthy", "big rust", "big rust"]
    (spec,) = specs_of([Target(name="t", **said)], manifest)
    assert spec.vocab == ("healthy", "big rust")  # in the order of the file
    assert truth_of(spec, manifest["t"]).tolist() in ([0, 1, 1], [[1, 0], [0, 1], [0, 1]])


def test_rows_of_a_category_have_one_class(build):
    with pytest.raises(
        RequestError, match=r"1 rows have more than one of healthy, big rust, for example 2; kind = 'mul"
    ):
        build("id,healthy,big rust\n1,1,0\n2,1,1\n", column=["healthy", "big rust"])
    with pytest.raises(RequestError, match="1 rows have none of healthy, big rust, for example 2"):
        build("id,healthy,big rust\n1,1,0\n2,0,0\n", column=["healthy", "big rust"])
    manifest = build("id,healthy,big rust\n1,1,1\n2,0,0\n", kind="multilabel", column=["healthy", "big rust"])
    assert manifest["t"].tolist() == ["healthy|big rust", ""]


@pytest.mark.parametrize("cell", ["0.3", "x", "", "2"])
def test_cells_of_classes_are_yes_or_no(build, cell):
    with pytest.raises(
        RequestError, match=f"1 rows have cells that are neither 0 nor 1, .*{cell!r} in column 'b' of 2"
    ):
        build(f"id,a,b\n1,1,0\n2,0,{cell}\n", column=["a", "b"])


def test_columns_that_are_not_there_are_named(build):
    with pytest.raises(RequestError, match=r"t.csv has no column 'rost'; .* did you mean 'rust'"):
        build("id,healthy,rust\n1,1,0\n", column=["healthy", "rost"])


def test_another_order_of_columns_is_another_meaning():
    before, now = (Target(name="t", column=names).settings(leave_out=("column",)) for names in (["a", "b"], ["b", "a"]))
    assert before != now
    assert "classes" not in Target(name="t").settings()


# What is kept


@pytest.mark.parametrize("options", [(), (("separator", "|"),)])
def test_options_are_kept_beside_predictions_and_weights(tmp_path, options):
    spec = TargetSpec("t", "multilabel", ("a b", "c"), options)
    preds = Predictions(np.array(["1"]), np.array([0]), (spec,), {"t": np.array([[0.5, 0.5]])})
    preds.save(tmp_path / "p.parquet")
    assert predictions.load(tmp_path / "p.parquet").specs == (spec,)
    text = HeadMetadata.of(Head(spec, "cross_entropy")).model_dump_json()
    assert HeadMetadata.model_validate_json(text).head().spec == spec
    assert ("told" in text) == bool(options)
