"""The sample submission: found, understood, and all that it contradicts said by `data`, before anything is trained."""

import numpy as np
import pandas as pd
import pytest

from pipeline.commands.score import score
from pipeline.data.sample import called_alike, find_sample
from pipeline.errors import RequestError
from pipeline.predictions import TargetSpec
from pipeline.stages.data import data, step
from pipeline.stages.ensemble import step as blending
from pipeline.stages.submit import submit
from pipeline.submission import columns_meant, scored_targets
from tests.command import pipeline
from tests.conftest import refused, sent
from tests.rated import write_rated

PROBABLE = ("metric=log_loss", "targets=[{name='disease', column='label'}]")
DISEASE = TargetSpec("disease", "category", ("blast", "hispa", "normal"))


@pytest.fixture
def one(tiny):
    """The tiny competition with nothing said of its submission."""
    tiny.file.write_text(tiny.file.read_text().replace('columns = { label = "disease" }', ""))
    return tiny


def write_sample(tiny, header: str, row: str = "{},", name: str = "sample_submission.csv") -> None:
    (tiny.raw / "sample_submission.csv").unlink(missing_ok=True)
    (tiny.raw / name).write_text(header + "\n" + "".join(row.format(i) + "\n" for i in tiny.test_ids[::-1]))


def submitted(tiny, log, *overrides: str) -> pd.DataFrame:
    """What is sent of predictions 0.5, 0.3125, 0.1875 for blast, hispa, normal, and for 901.png the other way round."""
    values = np.tile([0.5, 0.3125, 0.1875], (6, 1))
    values[1] = [0.1875, 0.3125, 0.5]
    return sent(tiny, log, {DISEASE: values}, *overrides)


# Where it is


@pytest.mark.parametrize(
    "name",
    [
        "sampleSubmission.csv",
        "SampleSubmission.csv",
        "sample_submission_v2.csv",
        "submission_format.csv",
        "gender_submission.csv",
        "stage1_sample_submission.csv",
        "Sample Submission.csv",
    ],
)
def test_a_sample_of_a_usual_name_is_found_and_named(one, log, name):
    write_sample(one, "image_id,label", name=name)
    table = submitted(one, log, *PROBABLE[1:])
    assert table["image_id"].tolist() == one.test_ids[::-1]
    assert f"data: {name} is the sample submission" in log.lines
    assert any(f"checked against {name})" in line for line in log.lines)


def test_a_packed_sample_is_read_and_the_unpacked_one_goes_before_it(one, log, tmp_path):
    frame = pd.DataFrame({"image_id": one.test_ids, "label": ""})
    (one.raw / "sample_submission.csv").unlink()
    frame.to_csv(one.raw / "sample_submission.csv.zip", index=False)
    assert len(submitted(one, log, *PROBABLE[1:])) == 6
    (one.raw / "sampleSubmission.csv.zip").write_bytes((one.raw / "sample_submission.csv.zip").read_bytes())
    (one.raw / "sample_submission.csv.zip").unlink()
    frame.to_csv(one.raw / "sampleSubmission.csv", index=False)
    assert called_alike(one.raw) == ["sampleSubmission.csv"]


def test_of_several_none_is_guessed(one, log):
    write_sample(one, "image_id,label", name="sampleSubmission.csv")
    write_sample(one, "image_id,label", name="gender_submission.csv")
    assert find_sample(one.raw, "sample_submission.csv") is None
    message = refused(one, log)
    assert "gender_submission.csv, sampleSubmission.csv may all be it: say which one is" in message
    data(one.load("submission.sample=gender_submission.csv"), one.workspace, log)


def test_no_other_table_is_taken_for_it(tmp_path):
    for name in ("train.csv", "samples.csv", "submission.csv", "my_submission_3.csv", "sample_images.csv", "test.csv"):
        (tmp_path / name).touch()
    assert called_alike(tmp_path) == []


def test_a_named_one_that_is_missing_is_refused_with_its_neighbour(one, log):
    message = refused(one, log, "submission.sample=sample_submissions.csv")
    assert "no file 'sample_submissions.csv'" in message
    assert "did you mean 'sample_submission.csv'?" in message


def test_without_one_the_submission_has_a_column_a_target(one, log):
    (one.raw / "sample_submission.csv").unlink()
    table = submitted(one, log, *PROBABLE[1:])
    assert list(table.columns) == ["image_id", "disease"]
    assert any("no sample submission in" in line for line in log.lines)
    assert any("checked against the test set's ids" in line for line in log.lines)


def test_without_one_there_is_a_column_a_class_where_the_metric_scores_those_or_what_the_file_says(one, log):
    (one.raw / "sample_submission.csv").unlink()
    assert list(submitted(one, log, *PROBABLE).columns) == ["image_id", "blast", "hispa", "normal"]
    said = "submission.columns={'p_*'='disease/*'}"
    assert list(submitted(one, log, *PROBABLE, said).columns) == ["image_id", "p_blast", "p_hispa", "p_normal"]


def test_a_share_that_is_held_back_is_submitted_in_the_columns_that_the_file_says(one, log):
    hold = "data={table='train.csv', id='image_id', images='train_images/{label}/{image_id}', holdout=0.25}"
    comp = one.load(hold, *PROBABLE, "submission.columns={b='disease/blast', n='disease/normal', h='disease/hispa'}")
    data(comp, one.workspace, log)
    assert dict(columns_meant(comp, one.workspace)) == comp.submission.columns
    comp = one.load(hold, *PROBABLE)
    assert list(columns_meant(comp, one.workspace)) == ["blast", "hispa", "normal"]


def test_without_a_test_set_the_sample_is_not_asked(one, log):
    write_sample(one, "image_id,answer,more", "{},x,y")
    comp = one.load("data={table='train.csv', id='image_id', images='train_images/{label}/{image_id}'}")
    data(comp, one.workspace, log)
    assert scored_targets(comp, one.workspace) == ["disease", "variety"]
    assert blending(comp, one.workspace).state() == "missing"


# Which column names a row


def test_the_id_may_be_in_any_column(one, log):
    write_sample(one, "label,image_id", "blast,{}")
    table = submitted(one, log, *PROBABLE[1:])
    assert list(table.columns) == ["label", "image_id"]
    assert table.to_numpy().tolist()[-2:] == [["normal", "901.png"], ["blast", "900.png"]]


@pytest.mark.parametrize("pattern", [[], ["data.test='test_images/{image_id}'"], ["data.test='test_images/{Name}'"]])
@pytest.mark.parametrize(("header", "row"), [("Name,label", "{},blast"), ("label,Name", "blast,{}")])
def test_the_id_may_have_another_name(one, log, header, row, pattern):
    write_sample(one, header, row)
    table = submitted(one, log, *PROBABLE[1:], *pattern)
    assert list(table.columns) == header.split(",")
    assert table["Name"].tolist() == one.test_ids[::-1]
    solution = one.root / "answers.csv"
    lines = [f"{'normal' if name == '901.png' else 'hispa'},{name}" for name in one.test_ids]
    solution.write_text("\n".join(["label,Name", *lines]) + "\n")
    assert score(one.load(*PROBABLE[1:], *pattern), one.workspace, solution)["score"] == pytest.approx(1 / 6, abs=1e-6)


def test_the_column_of_ids_can_be_said(one, log):
    write_sample(one, "image_id,file,label", "{0},{0},")
    sample = pd.read_csv(one.raw / "sample_submission.csv", dtype=str, keep_default_na=False)
    sample.assign(image_id=range(6)).to_csv(one.raw / "sample_submission.csv", index=False)
    assert "only in the sample (0, 1)" in refused(one, log)
    assert "nothing to put into 'image_id'" in refused(one, log, "submission.id=file")
    assert "submission.id: sample_submission.csv has no column 'files'" in refused(one, log, "submission.id=files")
    sample[["file", "label"]].to_csv(one.raw / "sample_submission.csv", index=False)
    assert list(submitted(one, log, *PROBABLE[1:], "submission.id=file").columns) == ["file", "label"]
    assert step(one.load(*PROBABLE[1:]), one.workspace).state() == "stale"


def test_both_counts_are_said_where_ids_differ(one, log):
    sample = one.raw / "sample_submission.csv"
    sample.write_text("".join(sample.read_text().splitlines(keepends=True)[:-2]))
    message = refused(one, log)
    assert (
        "(4 rows for 6 test images): 0 only in the sample (none), 2 only in 'test_images' (900.png, 901.png)" in message
    )


def test_both_counts_are_said_where_the_sample_asks_for_fewer_than_there_are(one, log):
    sample = one.raw / "sample_submission.csv"
    sample.write_text("".join(sample.read_text().splitlines(keepends=True)[:-2]))
    data(one.load("data.test='test_images/{image_id}'"), one.workspace, log)
    said = "data.test: test_images holds 6 images, and sample_submission.csv asks for 4; the others are left out"
    assert f"warning: {said}" in log.warnings


# Which files are asked for


def rename_files(tiny) -> None:
    """Test files under names that only test.csv knows."""
    rows = []
    for number, name in enumerate(tiny.test_ids):
        (tiny.raw / "test_images" / name).rename(tiny.raw / "test_images" / f"g{number}.png")
        rows.append(f"{name},g{number}.png\n")
    (tiny.raw / "test.csv").write_text("image_id,file\n" + "".join(rows))


def test_a_table_of_the_test_set_names_its_files(one, log):
    rename_files(one)
    (one.raw / "test.csv").rename(one.raw / "asked.csv")
    pattern = "data.test='test_images/{file}'"
    assert "sample_submission.csv has no column 'file'" in refused(one, log, pattern)
    table = submitted(one, log, *PROBABLE[1:], pattern, "data.test_table=asked.csv")
    assert table["image_id"].tolist() == one.test_ids[::-1]
    manifest = pd.read_parquet(one.workspace.manifest).set_index("id")
    assert manifest.loc["901.png", "path"] == "test_images/g1.png"
    assert "no column" in refused_after(one, log, pattern, "data.test_table=train.csv")


def refused_after(tiny, log, *overrides: str) -> str:
    with pytest.raises(RequestError) as caught:
        data(tiny.load(*overrides), tiny.workspace, log)
    return str(caught.value)


def test_the_table_called_as_that_of_train_is_taken_where_the_sample_does_not_do(one, log):
    rename_files(one)
    pattern = "data.test='test_images/{file}'"
    assert len(submitted(one, log, *PROBABLE[1:], pattern)) == 6
    assert any("test images are those of test.csv" in line for line in log.lines)
    (one.raw / "sample_submission.csv").unlink()
    assert list(submitted(one, log, *PROBABLE[1:], pattern).columns) == ["image_id", "disease"]


def test_a_table_of_the_test_set_needs_a_place_of_its_images(tiny):
    with pytest.raises(RequestError, match="test_table goes with test"):
        tiny.load("data={table='train.csv', id='image_id', test_table='test.csv'}")


# Ids that it writes otherwise


@pytest.mark.parametrize("ids", ["{}", "test_images/{}.png", "test_images/{}", "{}.PNG"])
def test_ids_without_the_ending_or_with_folders_are_those_of_the_files_and_stay_so(one, log, ids):
    own = [ids.format(name.removesuffix(".png")) for name in one.test_ids]
    rows = "".join(f"{name},\n" for name in own[::-1])
    (one.raw / "sample_submission.csv").write_text(f"Id,disease\n{rows}")
    table = submitted(one, log, *PROBABLE[1:])
    assert table["Id"].tolist() == own[::-1]
    assert table["disease"].tolist() == ["blast"] * 4 + ["normal", "blast"]
    said = f"submission.sample: sample_submission.csv writes {own[-1]!r} for '905.png', and so will the submission"
    assert f"warning: {said}" in log.warnings
    answers = "".join(f"{name},{'normal' if name == own[1] else 'hispa'}\n" for name in own)
    (one.root / "answers.csv").write_text(f"Id,disease\n{answers}")
    graded = score(one.load(*PROBABLE[1:]), one.workspace, one.root / "answers.csv")
    assert graded["score"] == pytest.approx(1 / 6, abs=1e-5)


def test_ids_that_name_no_file_or_two_are_refused(one, log):
    for own in (["900", "901", "902", "903", "904", "9"], ["900", "900.png", "902", "903", "904", "905"]):
        rows = "".join(f"{name},\n" for name in own)
        (one.raw / "sample_submission.csv").write_text(f"image_id,disease\n{rows}")
        assert "are not the test images" in refused(one, log, *PROBABLE[1:])


# What goes into its columns


@pytest.mark.parametrize("columns", ["{}", "{'*'='disease/*'}"])
def test_columns_called_as_classes_fill_themselves(one, log, columns):
    write_sample(one, "normal,image_id,blast,hispa", "0,{},0,0")
    table = submitted(one, log, *PROBABLE, f"submission.columns={columns}")
    assert list(table.columns) == ["normal", "image_id", "blast", "hispa"]
    assert table.iloc[-2].tolist() == ["0.5", "901.png", "0.1875", "0.3125"]
    meant = {"normal": "disease/normal", "blast": "disease/blast", "hispa": "disease/hispa"}
    assert dict(columns_meant(one.load(*PROBABLE), one.workspace)) == meant
    assert scored_targets(one.load(*PROBABLE), one.workspace) == ["disease"]
    answers = "".join(f"{name},{int(name != '901.png')},0,{int(name == '901.png')}\n" for name in one.test_ids)
    solution = one.root / "answers.csv"
    solution.write_text(f"image_id,blast,hispa,normal\n{answers}")
    graded = score(one.load(*PROBABLE, f"submission.columns={columns}"), one.workspace, solution)
    assert graded["score"] == pytest.approx(-np.log(0.5), abs=1e-5)


def test_saying_what_is_meant_by_default_changes_nothing(one, log):
    write_sample(one, "image_id,normal,blast,hispa", "{},0,0,0")
    submitted(one, log, *PROBABLE)
    for columns in ("{'*'='disease/*'}", "{blast='disease/blast', normal='disease/normal', hispa='disease/hispa'}"):
        assert submit(one.load(*PROBABLE, f"submission.columns={columns}"), one.workspace, log) is False


@pytest.mark.parametrize(("metric", "source"), [("log_loss", "disease/blast"), ("accuracy", "disease")])
def test_an_example_of_columns_where_the_metric_is_a_mean(one, log, metric, source):
    write_sample(one, "image_id,p_normal,p_blast,p_hispa", "{},0,0,0")
    mean = f"metric={{name='mean', of={{disease='{metric}'}}}}"
    assert f"write for example columns = {{ p_normal = '{source}' }}" in refused(one, log, mean)


def test_classes_may_stand_within_the_names_of_columns(one, log):
    write_sample(one, "image_id,p_normal,p_blast,p_hispa", "{},0,0,0")
    assert "nothing to put into 'p_normal'; write for example columns = { p_normal = 'disease/blast' }" in refused(
        one, log, *PROBABLE
    )
    table = submitted(one, log, *PROBABLE, "submission.columns={'p_*'='disease/*'}")
    assert table["p_normal"].tolist()[-2:] == ["0.5", "0.1875"]


def test_a_class_without_a_column_is_told_and_one_that_there_is_not_is_refused(one, log):
    write_sample(one, "image_id,normal,blast", "{},0,0")
    data(one.load(*PROBABLE), one.workspace, log)
    assert "warning: submission.columns: 1 classes of 'disease' have no column: hispa" in log.warnings
    one.workspace.manifest.unlink()
    said = "submission.columns={normal='disease/normal', blast='disease/rust'}"
    assert "'rust' is not a class of 'disease'" in refused(one, log, *PROBABLE, said)


def test_the_only_column_holds_the_only_target(one, log):
    write_sample(one, "image_id,Prediction", "{},blast")
    assert submitted(one, log, *PROBABLE[1:])["Prediction"].tolist()[-2:] == ["normal", "blast"]
    one.workspace.manifest.unlink()
    assert "nothing to put into 'Prediction'" in refused(one, log)  # of two targets neither is meant more


def test_numbers_of_rows_that_pandas_wrote_before_the_others_stay(one, log):
    rows = "".join(f"{7 + number},{name},\n" for number, name in enumerate(one.test_ids[::-1]))
    (one.raw / "sample_submission.csv").write_text(",image_id,answer\n" + rows)
    sent = submitted(one, log, "targets=[{name='disease', column='label'}]")
    assert sent.columns.tolist() == ["Unnamed: 0", "image_id", "answer"]  # read again; the file has a blank
    assert sent["Unnamed: 0"].astype(int).tolist() == list(range(7, 13))
    assert sent["image_id"].tolist() == one.test_ids[::-1]
    assert sent["answer"].tolist() == ["blast"] * 4 + ["normal", "blast"]


def test_numbers_without_a_name_may_be_the_ids(one, log):
    write_sample(one, ",answer", "{},")
    sent = submitted(one, log, "targets=[{name='disease', column='label'}]")
    assert sent["answer"].tolist() == ["blast"] * 4 + ["normal", "blast"]


def test_a_star_goes_with_a_star(tiny):
    for columns in ("{'*'='disease'}", "{label='disease/*'}"):
        with pytest.raises(RequestError, match=r"a column a class is '\*' = 'target/\*'"):
            tiny.load(f"submission.columns={columns}")


def test_decisions_for_a_metric_of_probabilities_are_refused_before_training(tiny, log):
    assert "'log_loss' scores probabilities" in refused(tiny, log, "metric=log_loss")
    data(tiny.load(), tiny.workspace, log)
    with pytest.raises(RequestError, match="'log_loss' scores probabilities"):  # the manifest is done, the file is new
        data(tiny.load("metric=log_loss"), tiny.workspace, log)


# What its cells say


@pytest.mark.parametrize(
    ("header", "row", "overrides", "words"),
    [
        ("image_id,label", "{},0.5", PROBABLE[1:], ["cells ('0.5') look like probabilities, and classes would be"]),
        ("image_id,label", "{},rust", PROBABLE[1:], ["('rust')", "'rust' is not a class of 'disease'"]),
        ("image_id,label", "{},0", PROBABLE[1:], ["'0' is not a class of 'disease', which has blast, hispa, normal"]),
        ("image_id,label", "{},hispa", PROBABLE[1:], []),
        ("image_id,label", "{},", PROBABLE[1:], []),
        ("image_id,normal,blast,hispa", "{},no,0,1", PROBABLE, ["('no') are no numbers, and probabilities would"]),
        ("image_id,normal,blast,hispa", "{},0,0.1,1", PROBABLE, []),
    ],
)
def test_cells_that_are_not_what_would_be_written_are_told(one, log, header, row, overrides, words):
    write_sample(one, header, row)
    data(one.load(*overrides), one.workspace, log)
    assert len(log.warnings) == bool(words)
    assert all(word in log.warnings[0] for word in words), log.warnings


def test_cells_of_a_number_are_numbers(one, log):
    rows = [f"{name},{disease},{number}\n" for number, (name, (disease, _)) in enumerate(one.labels.items())]
    (one.raw / "train.csv").write_text("image_id,label,age\n" + "".join(rows))
    target = ("metric=rmse", "targets=[{name='age', kind='regression'}]")
    for cell, count in (("0.5", 0), ("7", 0), ("old", 1)):
        write_sample(one, "image_id,age", f"{{}},{cell}")
        log.lines.clear()
        data(one.load(*target), one.workspace, log, force=True)
        assert len(log.warnings) == count
    assert "are no numbers, and numbers would be written" in log.warnings[0]


# Ratings


def run_data(rated, *sets: str):
    options = [word for change in sets for word in ("--set", change)]
    return pipeline("data", rated.file, "--root", rated.folder / "root", *options)


@pytest.mark.parametrize(
    ("row", "column", "said"),
    [("Id", "Id", ['data.id="Id"']), ("Id", "Id", []), ("row", "Id", []), ("row", "Id", ['submission.id="Id"'])],
)
def test_a_rating_sample_of_a_usual_name_with_own_ids(tmp_path, row, column, said):
    made = write_rated(tmp_path)
    made.lines["test"] = 'test = "asked.csv"'
    asked = made.test.drop(columns="stars")
    asked.insert(0, row, [str(number) for number in range(len(asked))])
    asked.to_csv(made.raw / "asked.csv", index=False)
    pd.DataFrame({column: asked[row][::-1], "Prediction": "3"}).to_csv(made.raw / "sampleSubmission.csv", index=False)
    options = [word for change in (*said, "models=[{name='e', factors=2, epochs=1}]") for word in ("--set", change)]
    result = pipeline("run", made.file, "--root", made.folder / "root", *options)
    assert result.code == 0, result.err
    assert "sampleSubmission.csv is the sample submission" in result.err
    (path,) = (made.folder / "root/submissions/rated").glob("*.csv")
    sent = pd.read_csv(path, dtype=str)
    assert list(sent.columns) == [column, "Prediction"]
    assert sent[column].tolist() == asked[row][::-1].tolist()
    assert sent["Prediction"].astype(float).between(0.5, 5.5).all()
    made.test.assign(**{column: asked[row], "Prediction": made.test["stars"]})[[column, "Prediction"]].to_csv(
        made.folder / "answers.csv", index=False
    )
    answers = ("--solution", made.folder / "answers.csv", "--json")
    graded = pipeline("score", made.file, "--root", made.folder / "root", *answers, *options)
    assert graded.code == 0, graded.err
    told = sent.set_index(column)["Prediction"].astype(float)
    error = np.sqrt(((told.loc[asked[row]].to_numpy() - made.test["stars"].to_numpy()) ** 2).mean())
    assert graded.json["score"] == pytest.approx(error, abs=1e-5)


def test_without_a_sample_ratings_are_asked_for_by_the_test_tables_own_ids(tmp_path):
    made = write_rated(tmp_path)
    made.lines["test"] = 'test = "asked.csv"\nid = "Id"'
    asked = made.test.drop(columns="stars")
    asked.insert(0, "Id", [str(number) for number in range(len(asked))])
    asked.to_csv(made.raw / "asked.csv", index=False)
    result = run_data(made)
    assert "no sample submission in" in result.err
    own = pd.read_csv(made.folder / "root/data/rated/.pipeline/sample_submission.csv", dtype=str)
    assert own["Id"].tolist() == asked["Id"].tolist()


def test_a_rating_sample_that_asks_for_other_rows_is_refused(tmp_path):
    made = write_rated(tmp_path)
    made.lines["test"] = 'test = "asked.csv"'
    asked = made.test.drop(columns="when").iloc[:50]
    asked.to_csv(made.raw / "sample_submission.csv", index=False)
    result = run_data(made)
    assert result.code == 2
    assert "(50 rows for 60 test ratings)" in result.err
