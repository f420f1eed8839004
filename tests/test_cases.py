"""Several images for one answer: grouped, agreed, combined, scored, held back, submitted and graded by case."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from pipeline import predictions
from pipeline.cases import CASE, answer_ids, answers, by_case, refuse_torn, unseen_in
from pipeline.combinations import COMBINATIONS, serving
from pipeline.commands.bundle import _artifacts
from pipeline.commands.infer import infer
from pipeline.competitions import load
from pipeline.errors import RequestError
from pipeline.kaggle.manifest import Entry
from pipeline.log import Log
from pipeline.predictions import Predictions
from pipeline.targets import KINDS, TargetSpec
from pipeline.targets.said import Target
from pipeline.vision.data_config import ImageData
from pipeline.vision.manifest import build_manifest, find_test_rows
from pipeline.workspace import Workspace
from tests.command import pipeline
from tests.drawn import picture

YES = TargetSpec("sick", "binary", ("no", "yes"))
KIND = TargetSpec("kind", "category", ("a", "b", "c"))
TAGS = TargetSpec("tags", "multilabel", ("x", "y"))
AGE = TargetSpec("age", "regression")


# Combining


def of(spec: TargetSpec, name: str, rows: list[list[float]], cases: str) -> dict[str, list[float]]:
    ids = np.array([f"i{n}" for n in range(len(rows))])
    preds = Predictions(ids, np.zeros(len(rows), int), (spec,), {spec.name: np.array(rows)})
    table = pd.DataFrame({"id": ids[::-1], CASE: list(cases)[::-1]})
    found = by_case(preds, table, name)
    return dict(zip(found.ids.tolist(), found.values[spec.name].round(6).tolist(), strict=True))


@pytest.mark.parametrize(
    ("spec", "name", "rows", "expected"),
    [
        (YES, "mean", [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], {"p": [0.7, 0.3], "q": [0.2, 0.8]}),
        (YES, "max", [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], {"p": [0.5, 0.5], "q": [0.2, 0.8]}),
        (YES, "noisy_or", [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], {"p": [0.45, 0.55], "q": [0.2, 0.8]}),
        (TAGS, "max", [[0.1, 0.6], [1, 0], [0.3, 0.2]], {"p": [0.3, 0.6], "q": [1, 0]}),
        (TAGS, "noisy_or", [[0.1, 0.6], [1, 0], [0.3, 0.2]], {"p": [0.37, 0.68], "q": [1, 0]}),
        (KIND, "mean", [[0.2, 0.8, 0], [0, 0, 1], [0.6, 0.2, 0.2]], {"p": [0.4, 0.5, 0.1], "q": [0, 0, 1]}),
        (KIND, "max", [[0.2, 0.8, 0], [0, 0, 1], [0.6, 0.2, 0.2]], {"p": [0.375, 0.5, 0.125], "q": [0, 0, 1]}),
        (AGE, "max", [[3], [-1], [5]], {"p": [5], "q": [-1]}),
        (AGE, "mean", [[3], [-1], [5]], {"p": [4], "q": [-1]}),
    ],
)
def test_predictions_of_a_case_become_one(spec, name, rows, expected):
    assert of(spec, name, rows, "pqp") == {case: pytest.approx(values, abs=2e-6) for case, values in expected.items()}


def test_a_case_of_one_image_keeps_its_prediction():
    for name in COMBINATIONS:
        for spec, rows in ((YES, [[0.25, 0.75], [1, 0]]), (TAGS, [[0.25, 0.5], [0, 1]])):
            assert of(spec, name, rows, "ab") == {"a": rows[0], "b": rows[1]}


def test_each_kind_has_a_way_and_no_way_is_for_none():
    assert all("mean" in serving([kind]) for kind in KINDS)
    assert serving(["binary", "regression"]) == ["mean", "max"]
    assert serving(["multilabel"]) == list(COMBINATIONS)


def test_rows_as_cases():
    rows = pd.DataFrame(
        {"id": ["1", "2", "3"], CASE: ["q", "p", "q"], "kind": [None, "b", "a"], "readable": [False, True, True]}
    )
    found = answers(rows)
    assert (found["id"].tolist(), found["kind"].tolist()) == (["p", "q"], ["b", "a"])
    assert answer_ids(rows).tolist() == ["q", "p"]
    assert unseen_in(rows) == []
    assert unseen_in(rows.assign(readable=[False, True, False])) == ["1"]
    plain = rows.drop(columns=CASE)
    assert answers(plain) is plain
    assert unseen_in(plain) == ["1"]
    refuse_torn(rows, [0, 1, 0], "folds")
    with pytest.raises(RequestError, match="folds: 1 cases lie in several folds, for example 'q' in folds 0, 1"):
        refuse_torn(rows, [0, 1, 1], "folds")


# Reading

TABLE = "image,study,kind\na1,p,u\na2,p,u\nb1,q,v\n"


def manifest_of(folder: Path, table: str, *targets: Target, **more: object) -> pd.DataFrame:
    (folder / "im").mkdir(exist_ok=True)
    for line in table.splitlines()[1:]:
        (folder / "im" / line.partition(",")[0]).write_text("x")
    (folder / "t.csv").write_text(table)
    data = ImageData(**{"table": "t.csv", "id": "image", "images": "im", "case": "study", **more})
    return build_manifest(folder, data, targets or [Target(name="kind")], None)


def test_the_manifest_has_cases_only_where_they_are_said(tmp_path):
    assert manifest_of(tmp_path, TABLE)[CASE].tolist() == ["p", "p", "q"]
    assert CASE not in manifest_of(tmp_path, TABLE, case=None)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            TABLE.replace("a2,p,u", "a2,p,v"),
            r"images of 1 of 2 cases .* labels of 'kind'; the first is 'p': 'u' \(a1\) and 'v'",
        ),
        (TABLE.replace("b1,q", "b1, "), "data.case: 1 rows of t.csv have no 'study': blank in line 4;"),
        (TABLE.replace("study", "exam"), "data.case: t.csv has no column 'study'"),
    ],
)
def test_images_of_a_case_agree_and_each_has_one(tmp_path, table, words):
    with pytest.raises(RequestError, match=words):
        manifest_of(tmp_path, table)


def test_a_missing_label_is_no_other_one(tmp_path):
    table = "image,study,kind,age\na1,p,u,3\na2,p,,3\nb1,q,v,\n"
    found = manifest_of(tmp_path, table, Target(name="kind"), Target(name="age", kind="regression"))
    assert answers(found[found["split"] == "train"])["kind"].tolist() == ["u", "v"]


def test_cases_of_test_images(tmp_path):
    manifest_of(tmp_path, TABLE)
    (tmp_path / "te").mkdir()
    for name in ("8", "9"):
        (tmp_path / "te" / name).write_text("x")
    data = ImageData(table="t.csv", id="image", images="im", case="study", test="te/{image}")
    sample = tmp_path / "s.csv"
    sample.write_text("image,kind\n8,u\n9,u\n")
    with pytest.raises(RequestError, match=r"test images need 'study' too; s\.csv does not have that, nor has t"):
        find_test_rows(tmp_path, data, sample)
    (tmp_path / "t.csv").write_text(TABLE + "8,r,\n9,r,\n")
    assert find_test_rows(tmp_path, data, sample)[CASE].tolist() == ["r", "r"]


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ('combine = "max"', "category", "combine = 'max' goes with case"),
        ('case = "study"\ncombine = "noisy-or"', "category", "'noisy-or' is no way for target 'kind' .*mean, max are"),
        ('case = "study"\ncombine = "maxi"', "binary", "not a known way to combine; .* did you mean 'max'"),
    ],
)
def test_ways_that_do_not_fit_are_refused(tmp_path, said, kind, words):
    path = tmp_path / "c.toml"
    models = '[[models]]\nname = "m"\narch = "resnet18"\n'
    path.write_text(
        f'slug = "c"\n[source]\npath = "x"\n[data]\ntable = "t.csv"\n{said}\n'
        f'[[targets]]\nname = "kind"\nkind = "{kind}"\n{models}'
    )
    with pytest.raises(RequestError, match=words):
        load(str(path))


# The road

TOML = """\
slug = "studies"
metric = "{metric}"
seed = 7
source.path = "{raw}"

[data]
table = "train.csv"
id = "image"
images = "train/{{image}}.png"
{test}
case = "study"
combine = "{combine}"

[[targets]]
name = "finding"
kind = "binary"

[folds]
n = 3

[[models]]
name = "resnet"
arch = "test_resnet"
weights = "none"
resize = {{ size = 40, method = "squish" }}
size = 32
batch_size = 16
epochs = 2
lr = 0.01
tta = 1

[submission]
columns = {{ finding = "finding/yes" }}
"""
TEST = 'test = "test/{image}.png"\ntest_table = "test.csv"'


def studies(folder: Path, combine: str = "noisy-or", metric: str = "auc", test: str = TEST) -> Path:
    """30 training and 9 test studies of one to four images; one image of a study with a finding is red."""
    raw = folder / "raw"
    for side, first, count in (("train", 0, 30), ("test", 100, 9)):
        (raw / side).mkdir(parents=True)
        lines, truth = [], []
        for number in range(first, first + count):
            sick = number % 2 == 1
            for view in range(1 + number % 4):
                colour = "red" if sick and view == 0 else "green"
                picture(colour, "bar", 10 * number + view).save(raw / side / f"{view}_{number}.png")
                lines.append(f"{view}_{number},s{number},{'yes' if sick else 'no'}")
            truth.append(f"s{number},{int(sick)}")
        cut = slice(None) if side == "train" else slice(0, 2)
        rows = [",".join(line.split(",")[cut]) for line in ("image,study,finding", *lines)]
        (raw / f"{side}.csv").write_text("\n".join(rows) + "\n")
    (raw / "sample_submission.csv").write_text("\n".join(["study,finding", *[f"{t.split(',')[0]},0.5" for t in truth]]))
    labels = [f"{line.split(',')[0]},{'yes' if line.endswith('1') else 'no'}" for line in truth]
    (folder / "solution.csv").write_text("\n".join(["study,finding", *labels]) + "\n")
    path = folder / "studies.toml"
    path.write_text(TOML.format(raw=raw, combine=combine, metric=metric, test=test))
    return path


def run(path: Path, *stages: str) -> str:
    said = ""
    for stage in stages or ("run",):
        done = pipeline(*stage.split(), path, "--root", path.parent)
        assert done.code == 0, done.err
        said += done.err + done.out
    return said


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, str]:
    path = studies(tmp_path_factory.mktemp("studies"))
    return path, run(path)


def joined(path: Path, place: str = "resnet/oof.parquet") -> Predictions:
    return predictions.load(path.parent / "runs" / "studies" / place)


def test_the_road_is_by_case_after_the_folds(ran):
    path, said = ran
    assert "data: 30 train and 9 test cases ('study'); epochs are scored by row, all after them by case" in said
    table = pd.read_csv(path.parent / "raw" / "train.csv")
    truth = table.drop_duplicates("study").set_index("study")["finding"].sort_index()
    found = joined(path)
    assert found.ids.tolist() == truth.index.tolist()
    rows = predictions.join([joined(path, f"resnet/fold-{fold}/oof.parquet") for fold in range(3)])
    assert len(rows) == len(table)
    yes = pd.Series(rows.values["finding"][:, 1], index=rows.ids)
    study = table.set_index("image")["study"]
    both = yes.groupby(study.loc[yes.index].to_numpy())
    expected = {"mean": both.mean(), "max": both.max(), "noisy-or": both.apply(lambda own: 1 - (1 - own).prod())}
    assert np.allclose(found.values["finding"][:, 1], expected["noisy-or"], atol=1e-5)
    shown = next(line for line in said.splitlines() if "predict resnet: by case:" in line)
    for way, values in expected.items():
        assert f"{way} {roc_auc_score(truth == 'yes', values):.4f}" in shown
    assert "(data.combine)" in shown.split("noisy-or")[1]
    kept = json.loads((path.parent / "runs/studies/resnet/metrics.json").read_text())
    worth = {way.replace("-", "_"): roc_auc_score(truth == "yes", values) for way, values in expected.items()}
    assert kept["by_case"] == pytest.approx(worth, abs=1e-6)
    assert kept["tta_cv"]["finding"]["auc"] == pytest.approx(roc_auc_score(truth == "yes", expected["noisy-or"]))


def test_test_cases_are_combined_in_each_fold_and_averaged(ran):
    path, _ = ran
    table = pd.read_csv(path.parent / "raw" / "test.csv").set_index("image")["study"]
    folds = []
    for fold in range(3):
        rows = joined(path, f"resnet/fold-{fold}/test.parquet")
        yes = pd.Series(rows.values["finding"][:, 1], index=rows.ids)
        folds.append(yes.groupby(table.loc[yes.index].to_numpy()).apply(lambda own: 1 - (1 - own).prod()))
    found = joined(path, "resnet/test.parquet")
    assert found.ids.tolist() == folds[0].index.tolist()
    assert np.allclose(found.values["finding"][:, 1], sum(folds) / 3, atol=1e-5)


def test_no_case_is_split_over_folds(ran):
    path, _ = ran
    folds = pd.read_csv(next(path.parent.rglob("folds.csv")))
    cases = folds["id"].str.split("_").str[1]
    assert folds["fold"].groupby(cases).nunique().max() == 1
    assert folds["fold"].nunique() == 3


def test_the_submission_and_its_score_are_by_case(ran):
    path, _ = ran
    sent = pd.read_csv(next((path.parent / "submissions").rglob("*.csv")))
    assert sent["study"].tolist() == [f"s{number}" for number in range(100, 109)]
    done = pipeline("score", path, "--root", path.parent, "--solution", path.parent / "solution.csv", "--json")
    assert done.code == 0, done.err
    truth = pd.read_csv(path.parent / "solution.csv")["finding"] == "yes"
    assert done.json["score"] == pytest.approx(roc_auc_score(truth, sent["finding"]), abs=1e-6)


def test_another_way_is_joined_anew_and_nothing_is_trained(ran):
    path, _ = ran
    before = {file: file.stat().st_mtime_ns for file in path.parent.rglob("fold-*/*.*")}
    path.write_text(path.read_text().replace('"noisy-or"', '"mean"'))
    status = pipeline("status", path, "--root", path.parent, "--json")
    stages = {
        name: stage["state"] if isinstance(stage, dict) else stage for name, stage in status.json["stages"].items()
    }
    assert (stages["data"], stages["train"], stages["predict"]) == ("done", "done", "stale")
    said = run(path)
    assert {file: file.stat().st_mtime_ns for file in path.parent.rglob("fold-*/*.*")} == before
    assert "mean" in said.split("by case:")[1].split("(data.combine)")[0].rsplit(",", 1)[-1]
    path.write_text(path.read_text().replace('combine = "mean"', 'combine = "noisy-or"'))


def test_a_sample_of_images_is_refused_before_training(tmp_path):
    path = studies(tmp_path)
    sample = tmp_path / "raw" / "sample_submission.csv"
    sample.write_text(sample.read_text().replace("s108,0.5", ""))
    done = pipeline("data", path, "--root", tmp_path)
    assert done.code == 2
    assert "are not the test cases (8 rows for 9 test cases): 0 only in the sample (none), 1 only in" in done.err
    assert "s108" in done.err


def test_without_a_table_of_test_images_the_way_out_is_said(tmp_path):
    path = studies(tmp_path)
    (tmp_path / "raw" / "test.csv").unlink()
    path.write_text(path.read_text().replace('test_table = "test.csv"\n', ""))
    done = pipeline("data", path, "--root", tmp_path)
    assert done.code == 2
    assert "sample_submission.csv asks for cases; data.test_table names the table that has 'image' and" in done.err


def test_cases_are_held_back_whole(tmp_path):
    path = studies(tmp_path, "mean", "log_loss", "holdout = 0.2")
    (tmp_path / "raw" / "sample_submission.csv").unlink()
    said = run(path)
    manifest = pd.read_parquet(next(tmp_path.rglob("manifest.parquet")))
    sides = manifest.groupby(CASE)["split"].nunique()
    assert sides.max() == 1
    held = manifest[CASE][manifest["split"] == "test"].unique()
    assert len(held) == 6
    assert f"24 train and {len(held)} test cases" in said
    sent = pd.read_csv(next((tmp_path / "submissions").rglob("*.csv")))
    assert sorted(sent["study"]) == sorted(held)
    done = pipeline("score", path, "--root", tmp_path, "--json")
    assert done.code == 0, done.err
    sick = sent["study"].str[1:].astype(int) % 2
    assert done.json["score"] == pytest.approx(log_loss(sick, sent["finding"]), abs=1e-5)


def test_unreadable_images_are_left_to_the_others_of_their_case(tmp_path):
    path = studies(tmp_path, "mean")
    for name in ("1_102", "0_100"):  # one of three, and the only one
        (tmp_path / "raw" / "test" / f"{name}.png").write_text("broken")
    run(path)
    found = joined(path, "resnet/test.parquet")
    values = dict(zip(found.ids.tolist(), found.values["finding"].tolist(), strict=True))
    rows = [joined(path, f"resnet/fold-{fold}/test.parquet") for fold in range(3)]
    assert all("1_102" not in own.ids.tolist() for own in rows)
    table = pd.read_csv(tmp_path / "raw" / "train.csv")
    assert values["s100"][1] == pytest.approx((table["finding"] == "yes").mean(), abs=1e-6)
    seen = [own.take(["0_102", "2_102"])["finding"][:, 1].mean() for own in rows]
    assert values["s102"][1] == pytest.approx(np.mean(seen), abs=1e-6)


def test_folds_that_tear_a_case_are_refused(tmp_path):
    path = studies(tmp_path)
    run(path, "data", "check")
    manifest = pd.read_parquet(next(tmp_path.rglob("manifest.parquet")))
    train = manifest[manifest["split"] == "train"]
    folds = next(tmp_path.rglob("manifest.parquet")).parent / "folds.csv"
    folds.write_text(pd.DataFrame({"id": train["id"], "fold": np.arange(len(train)) % 3}).to_csv(index=False))
    done = pipeline("folds", path, "--root", tmp_path)
    assert done.code == 2
    assert "cases lie in several folds, for example 's1' in folds" in done.err


def test_a_session_on_kaggle_makes_the_same_submission(tmp_path):
    """Boxes, cases and the image that cannot be read, from trained folds alone."""
    path = studies(tmp_path, "max")
    raw = tmp_path / "raw"
    (raw / "test" / "0_101.png").write_text("broken")
    for side in ("train", "test"):
        head, *lines = (raw / f"{side}.csv").read_text().splitlines()
        rows = [f"{line},{n % 5},2,30,{20 + n % 4}" for n, line in enumerate(lines)]
        (raw / f"{side}.csv").write_text("\n".join([f"{head},x,y,w,h", *rows]) + "\n")
    path.write_text(path.read_text().replace('case = "study"', 'case = "study"\nbox = ["x", "y", "w", "h"]'))
    run(path)
    comp, here = load(str(path)), Workspace(tmp_path, "studies")
    entries = [Entry(place, "", 0, place) for place in _artifacts(comp, here)]
    infer(comp, Workspace(tmp_path / "mounted", "studies"), tmp_path, entries, tmp_path / "sent.csv", Log())
    ours = pd.read_csv(next((tmp_path / "submissions").rglob("*.csv")))
    theirs = pd.read_csv(tmp_path / "sent.csv")
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-5)


def in_folders(folder: Path, images: str, test: str, move: str) -> Path:
    """The studies with a row each in the table, and their images in folders or called after them."""
    path = studies(folder)
    raw = folder / "raw"
    for side in ("train", "test"):
        for file in list((raw / side).iterdir()):
            view, number = file.stem.split("_")
            place = raw / side / move.format(study=f"s{number}", view=view)
            place.parent.mkdir(exist_ok=True)
            file.rename(place)
    table = pd.read_csv(raw / "train.csv").drop_duplicates("study")[["study", "finding"]]
    table.assign(site=np.arange(len(table)) % 4).to_csv(raw / "train.csv", index=False)
    (raw / "test.csv").unlink()
    text = path.read_text().replace('id = "image"', 'id = "study"').replace("train/{image}.png", images)
    path.write_text(text.replace(TEST, f'test = "{test}"').replace("n = 3", 'n = 3\ngroup = "site"'))
    return path


@pytest.mark.parametrize(
    ("images", "test", "move"),
    [
        ("train/{study}/*", "test/{study}/*", "{study}/{view}.png"),
        ("train", "test", "{study}/{view}.png"),
        ("train/{study}_*.png", "test/{study}_*.png", "{study}_{view}.png"),
    ],
)
def test_a_row_of_the_table_may_be_a_case(tmp_path, images, test, move):
    path = in_folders(tmp_path, images, test, move)
    said = run(path, "data", "check", "folds")
    assert "30 train and 9 test cases ('study')" in said
    manifest = pd.read_parquet(next(tmp_path.rglob("manifest.parquet")))
    assert manifest["split"].value_counts().to_dict() == {"train": 73, "test": 21}
    first = manifest[manifest[CASE] == "s3"]
    assert first["id"].tolist() == [move.format(study="s3", view=view) for view in range(4)]
    assert first["finding"].unique().tolist() == ["yes"]
    folds = pd.read_csv(next(tmp_path.rglob("folds.csv"))).set_index("id")["fold"]
    case = manifest.set_index("id")[CASE]
    site = case.loc[folds.index].str[1:].astype(int) % 4
    assert folds.groupby(site.to_numpy()).nunique().max() == 1


def test_cases_without_images_and_patterns_that_mix_them_are_refused(tmp_path):
    path = in_folders(tmp_path, "train/{study}/*", "test/{study}/*", "{study}/{view}.png")
    (tmp_path / "raw" / "train" / "s3").rename(tmp_path / "raw" / "train" / "t3")
    done = pipeline("data", path, "--root", tmp_path)
    assert done.code == 2
    assert "data.images: 1 of 30 cases have no image: s3; the first was looked for in" in done.err
    path = in_folders(tmp_path / "mixed", "train/{study}*.png", "test/{study}_*.png", "{study}_{view}.png")
    done = pipeline("data", path, "--root", tmp_path / "mixed")
    assert done.code == 2
    assert "images are of several cases, such as train/s10_0.png of s1 and s10; the pattern must tell" in done.err
