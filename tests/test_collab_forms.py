"""Tables of ratings as competitions have them: pairs in one column, own row ids, steps and times of other kinds."""

import numpy as np
import pandas as pd
import pytest

from pipeline.collab.pairs import apart, check_pattern, together
from pipeline.collab.times import seconds_of
from pipeline.competitions import load
from pipeline.errors import RequestError
from tests.command import pipeline
from tests.rated import draw_rows

FILE = """\
slug = "formed"
kind = "ratings"
source.path = "{raw}"
[data]
{data}
[folds]
n = 2
[[models]]
name = "plain"
factors = 4
epochs = 1
batch_size = 64
[[models]]
name = "drawn"
method = "gibbs"
factors = 2
epochs = 24
"""


class Formed:
    """A drawn competition in tables of any form; `train` and `test` have the columns who, film, stars, when."""

    def __init__(self, folder):
        rows = draw_rows().sample(frac=1, random_state=1, ignore_index=True)
        self.folder, self.train, self.test = folder, rows[60:].reset_index(drop=True), rows[:60].copy()
        self.raw, self.root = folder / "raw", folder / "root"
        self.raw.mkdir()

    def write(self, name, table, header=True):
        table.to_csv(self.raw / name, index=False, header=header)

    def file(self, data, more=""):
        path = self.folder / "formed.toml"
        path.write_text(FILE.format(raw=self.raw, data=data) + more)
        return path

    def command(self, name, data, more="", *options):
        return pipeline(name, self.file(data, more), "--root", self.root, *options)

    def walk(self, data, more="", expected=0):
        """The whole road; what was said, and the submission."""
        result = self.command("run", data, more, "--json")
        assert result.code == expected, result.err
        return result.err, pd.read_csv(self.root / result.json["submission"], dtype=str) if not expected else None

    @property
    def manifest(self):
        return pd.read_parquet(self.root / "data/formed/.pipeline/manifest.parquet")

    def predicted(self):
        """The ensemble's test predictions by <user>/<item>."""
        return pd.read_parquet(self.root / "runs/formed/ensemble/test.parquet").set_index("id")["rating"]

    def graded(self, solution):
        path = self.folder / "solution.csv"
        solution.to_csv(path, index=False)
        result = pipeline("score", self.folder / "formed.toml", "--root", self.root, "--solution", path, "--json")
        assert result.code == 0, result.err
        return result.json["score"]


@pytest.fixture
def formed(tmp_path):
    return Formed(tmp_path)


def rmse(sent, truth):
    return np.sqrt(np.mean((sent.to_numpy(dtype=float) - truth.to_numpy(dtype=float)) ** 2))


# A pair in one column


def cells(rows):
    return "r" + rows["who"].str[1:] + "_c" + rows["film"].str[1:]


def test_pairs_in_every_table(formed):
    formed.write("data_train.csv", pd.DataFrame({"Id": cells(formed.train), "Prediction": formed.train["stars"]}))
    formed.write("sampleSubmission.csv", pd.DataFrame({"Id": cells(formed.test), "Prediction": 3}))
    data = 'table = "data_train.csv"\nid = "Id"\npair = "r{user}_c{item}"\nrating = "Prediction"\n'
    _, sent = formed.walk(data + 'test = "sampleSubmission.csv"')
    assert list(sent.columns) == ["Id", "Prediction"]
    assert sent["Id"].tolist() == cells(formed.test).tolist()
    manifest = formed.manifest.set_index("id")
    assert manifest["split"].value_counts().to_dict() == {"train": len(formed.train), "test": 60}
    first = formed.train.iloc[0]
    row = manifest.loc[f"{first['who'][1:]}/{first['film'][1:]}"]
    assert (row["user"], row["item"], row["rating"]) == (first["who"][1:], first["film"][1:], first["stars"])
    ids = formed.test["who"].str[1:] + "/" + formed.test["film"].str[1:]
    assert sent["Prediction"].astype(float).tolist() == pytest.approx(formed.predicted()[ids].tolist())
    solution = pd.DataFrame({"Id": cells(formed.test), "Prediction": formed.test["stars"]})[::-1]
    assert formed.graded(solution) == pytest.approx(rmse(sent["Prediction"], formed.test["stars"]), abs=1e-5)


APART = 'table = "train.csv"\nuser = "who"\nitem = "film"\nrating = "stars"\ntest = "test.csv"\n'


@pytest.mark.parametrize("sample", [True, False], ids=["sample", "none"])
def test_pairs_in_test_and_sample_alone(formed, sample):
    keys = formed.test["who"] + "_" + formed.test["film"]
    formed.write("train.csv", formed.train)
    formed.write("test.csv", pd.DataFrame({"user_movie": keys}))
    if sample:
        formed.write("sample_submission.csv", pd.DataFrame({"user_movie": keys, "rating": 3})[::-1])
    _, sent = formed.walk(APART + 'id = "user_movie"\npair = "{user}_{item}"')
    assert list(sent.columns) == ["user_movie", "rating"]
    assert set(sent["user_movie"]) == set(keys)
    assert not sample or sent["user_movie"].tolist() == keys[::-1].tolist()
    truth = formed.test.set_index(keys)["stars"]
    expected = rmse(sent["rating"], truth[sent["user_movie"]])
    solution = pd.DataFrame({"user_movie": keys, "rating": formed.test["stars"], "Usage": "Private"})
    assert formed.graded(solution) == pytest.approx(expected, abs=1e-5)


def test_a_pair_in_a_column_of_its_own_in_the_sample_alone(formed):
    formed.write("train.csv", formed.train)
    formed.write("test.csv", formed.test[["who", "film"]])
    keys = formed.test["film"] + ":" + formed.test["who"]
    formed.write("sample_submission.csv", pd.DataFrame({"row": 0, "key": keys, "rating": 3})[["key", "rating"]])
    _, sent = formed.walk(APART + 'pair = { pattern = "{item}:{user}", column = "key" }')
    assert sent["key"].tolist() == keys.tolist()
    ids = formed.test["who"] + "/" + formed.test["film"]
    assert sent["rating"].astype(float).tolist() == pytest.approx(formed.predicted()[ids].tolist())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda keys: keys.str.replace("_", "_x_"), ["may be user", "row 0 of test.csv", "say what an id is made of"]),
        (lambda keys: keys.where(keys.index != 7, "nobody"), ["1 of 60 rows of test.csv", "'nobody' in row 7"]),
        (lambda keys: keys.where(keys.index != 7, ""), ["1 of 60 rows of test.csv", "'' in row 7"]),
    ],
)
def test_a_cell_that_is_no_pair_or_two_is_refused_with_its_row(formed, change, words):
    formed.write("train.csv", formed.train)
    formed.write("test.csv", pd.DataFrame({"key": change(formed.test["who"] + "_" + formed.test["film"])}))
    result = formed.command("data", APART + 'id = "key"\npair = "{user}_{item}"')
    assert result.code == 2
    assert all(word in result.err for word in ["data.pair", *words]), result.err


def test_what_an_id_is_made_of_settles_where_a_pair_is_split(formed):
    where = "the test"
    keys = pd.Series(["a_1_7", "b_22_9"])
    with pytest.raises(RequestError, match="'a_1_7' in row 0 of the test may be"):
        apart(keys, "{user}_{item}", where)
    found = apart(keys, r"{user}_{item:\d+}", where)
    assert found.to_numpy().tolist() == [["a_1", "7"], ["b_22", "9"]]
    assert together(found["user"], found["item"], r"{user}_{item:\d+}") == keys.tolist()
    assert apart(pd.Series(["u1m12"]), "u{user:[0-9]{1,2}}m{item}", where).to_numpy().tolist() == [["1", "12"]]


@pytest.mark.parametrize(
    "pattern", ["{user}", "{user}{item}", "{user}_{user}_{item}", "{who}_{user}_{item}", "{user:(}_{item}"]
)
def test_a_pattern_that_says_too_little_is_refused(formed, pattern):
    with pytest.raises(ValueError, match=r"pair = |regular expression"):
        check_pattern(pattern)
    with pytest.raises(RequestError, match=r"data\.pair"):
        load(str(formed.file(f"table = 'a.csv'\npair = '{pattern}'")))


def test_ids_that_are_spelled_in_another_way_are_told(formed):
    formed.write("train.csv", formed.train)
    formed.write("test.csv", formed.test.assign(who=formed.test["who"].str.replace("u", "u00")).drop(columns="stars"))
    result = formed.command("data", APART)
    assert result.code == 0
    assert "users of test.csv is in train.csv; here the first is 'u00" in result.err


# Own row ids, columns of other names, no header


def test_own_ids_and_other_columns_in_the_test_table(formed):
    formed.write("train.csv", formed.train)
    asked = pd.DataFrame({"Id": range(500, 560), "User": formed.test["who"], "Film": formed.test["film"]})
    formed.write("test.csv", asked.assign(Date=formed.test["when"]))
    formed.write("sampleSubmission.csv", pd.DataFrame({"Id": range(500, 560), "Expected": 3.0})[::-1])
    data = APART + 'id = "Id"\ntimestamp = "when"\n'
    assert "has no column 'who'" in formed.command("data", data).err
    said, sent = formed.walk(data + 'test_columns = { user = "User", item = "Film", timestamp = "Date" }')
    assert "without" not in said
    assert sent["Id"].tolist() == [str(number) for number in range(559, 499, -1)]
    ids = formed.test["who"] + "/" + formed.test["film"]
    assert sent["Expected"].astype(float).tolist() == pytest.approx(formed.predicted()[ids[::-1]].tolist())
    manifest = formed.manifest.set_index("id")
    assert manifest.loc[ids, "timestamp"].tolist() == formed.test["when"].tolist()
    solution = pd.DataFrame({"Id": range(500, 560), "Expected": formed.test["stars"]})
    assert formed.graded(solution) == pytest.approx(rmse(sent["Expected"][::-1], formed.test["stars"]), abs=1e-5)


def test_a_pair_that_is_asked_twice_is_told_apart_by_own_ids(formed):
    again = pd.concat([formed.test, formed.test.iloc[[7]].assign(when=880000000 + 3 * 86400)], ignore_index=True)
    asked = again.drop(columns="stars").assign(Id=[f"row{number}" for number in range(61)])
    formed.write("train.csv", formed.train)
    formed.write("test.csv", asked)
    formed.write("sample_submission.csv", asked[["Id"]].assign(rating=3)[::-1])
    _, sent = formed.walk(APART + 'id = "Id"\ntimestamp = "when"\n', "time = true\n")
    assert sent["Id"].tolist() == asked["Id"][::-1].tolist()
    predicted, pair = formed.predicted(), f"{formed.test['who'].iloc[7]}/{formed.test['film'].iloc[7]}"
    by_id = sent.set_index("Id")["rating"].astype(float)
    assert by_id[["row7", "row60"]].tolist() == pytest.approx(predicted[[pair, f"{pair}/2"]].tolist())
    solution = asked[["Id"]].assign(rating=again["stars"])
    assert formed.graded(solution) == pytest.approx(rmse(by_id[asked["Id"]], again["stars"]), abs=1e-5)


NUMBERED = 'table = "train.csv"\nuser = 0\nitem = 1\nrating = 2\ntest = "test.csv"\n'


def test_no_header_in_train_and_test(formed):
    formed.write("train.csv", formed.train[["who", "film", "stars"]], header=False)
    formed.write("test.csv", formed.test[["who", "film"]], header=False)
    formed.write("sample_submission.csv", formed.test[["who", "film"]].assign(rating=3)[::-1])
    _, sent = formed.walk(NUMBERED)
    assert sent[["who", "film"]].to_numpy().tolist() == formed.test[["who", "film"]][::-1].to_numpy().tolist()
    truth = formed.test.rename(columns={"stars": "rating"})[["who", "film", "rating"]]
    assert formed.graded(truth) == pytest.approx(rmse(sent["rating"][::-1], formed.test["stars"]), abs=1e-5)


@pytest.mark.parametrize(
    ("order", "numbers"),
    [
        (["who", "film", "stars", "when"], "user = 0\nitem = 1\nrating = 2\ntimestamp = 3"),
        (["stars", "who", "film", "when"], "user = 1\nitem = 2\nrating = 0\ntimestamp = 3"),
    ],
)
def test_columns_that_move_up_without_the_rating_are_asked_for(formed, order, numbers):
    formed.write("train.csv", formed.train[order], header=False)
    formed.write("test.csv", formed.test[[name for name in order if name != "stars"]], header=False)
    data = f'table = "train.csv"\ntest = "test.csv"\n{numbers}\n'
    result = formed.command("data", data)
    assert result.code == 2
    assert "test.csv has 3 columns and train.csv 4" in result.err
    assert formed.command("data", data + "test_columns = { user = 0, item = 1, timestamp = 2 }").code == 0
    test = formed.manifest.set_index("id").loc[formed.test["who"] + "/" + formed.test["film"]]
    assert test["timestamp"].tolist() == formed.test["when"].tolist()


def test_a_header_in_the_test_table_alone(formed):
    formed.write("train.csv", formed.train[["who", "film", "stars"]], header=False)
    formed.write("test.csv", formed.test[["who", "film"]])
    assert formed.command("data", NUMBERED + 'test_columns = { user = "who", item = "film" }').code == 0
    assert set(formed.manifest["id"][formed.manifest["split"] == "test"]) == set(
        formed.test["who"] + "/" + formed.test["film"]
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('table = "a.csv"\ntest_columns = { user = "U" }', "test_columns needs data.test"),
        ('table = "a.csv"\ntest = "b.csv"\ntest_columns = { user = 0 }', "both names, or both numbers"),
        ('table = "a.csv"\ntest = "b.csv"\ntest_columns = { pair = "k" }', "needs data.pair"),
        ('table = "a.csv"\npair = { pattern = "{user}_{item}", column = 0 }', "all names, or all numbers"),
        ('table = "a.csv"\nday_first = true', "day_first needs data.timestamp"),
    ],
)
def test_what_does_not_go_together_is_said(formed, data, words):
    with pytest.raises(RequestError, match=words):
        load(str(formed.file(data)))


def test_new_keys_are_off_and_pairs_are_compared_by_what_they_mean(formed):
    before = load(str(formed.file('table = "a.csv"'))).data
    assert (before.pair, before.test_columns, before.day_first) == (None, None, None)
    short, long = (
        load(str(formed.file(f'table = "a.csv"\nid = "k"\npair = {said}'))).data.settings()
        for said in ('"{user}_{item}"', '{ pattern = "{user}_{item}", column = "k" }')
    )
    assert short == long


# Ratings


def test_half_stars_are_said_with_their_steps(formed):
    formed.write("train.csv", formed.train.assign(stars=formed.train["stars"] / 2))
    formed.write("test.csv", formed.test.drop(columns="stars"))
    assert "data: ratings 0.5 to 2.5 in steps of 0.5" in formed.walk(APART)[0]


def test_decimals_below_zero_go_the_road_but_are_no_ordered_steps(formed):
    noise = np.random.default_rng(0).normal(0, 0.5, len(formed.train))
    jester = (formed.train["stars"] * 4 - 12 + noise).clip(-10, 10).round(2)
    formed.write("train.csv", formed.train.assign(stars=jester))
    formed.write("test.csv", formed.test.drop(columns="stars"))
    said, sent = formed.walk(APART)
    assert f"with {jester.nunique()} different values" in said
    assert sent["rating"].astype(float).min() < -1
    result = formed.command("check", APART, "ordinal = true\n")
    assert result.code == 0, result.err  # of data and check nothing changed: the models are asked when they are run
    result = formed.command("check", APART, "ordinal = true\n", "--force")
    assert result.code == 2
    assert f"models.1.ordinal = true needs 2 to 20 different ratings; there are {jester.nunique()}" in result.err


def test_ratings_that_may_not_be_meant_are_told(formed):
    formed.write("test.csv", formed.test.drop(columns="stars"))
    stars = formed.train["stars"].astype(float)
    formed.write("train.csv", formed.train.assign(stars=stars.where(stars.index % 50 != 3, 99)))
    said = formed.command("data", APART).err
    assert "ratings are 99, and the others 1 to 5: take the rows out if 99 stands for no answer" in said
    formed.write("train.csv", formed.train.assign(stars=stars.where(stars.index != 3, 3.7)))
    said = formed.command("data", APART).err
    assert "1 of 692 ratings lie between steps of 1, such as 3.7 of " in said
    formed.write("train.csv", formed.train)
    assert "warning" not in formed.command("data", APART).err


# Times


def of(*texts, day_first=None):
    return seconds_of({"a.csv": pd.Series(texts)}, day_first, None)["a.csv"].tolist()


@pytest.mark.parametrize(
    ("texts", "day"),
    [
        (["2004-01-12", "2004-01-13"], "2004-01-12"),
        (["12 January 2004", "13 January 2004"], "2004-01-12"),
        (["January 12, 2004", "Jan 13, 2004"], "2004-01-12"),
        (["12-Jan-2004", "13-Jan-2004"], "2004-01-12"),
        (["2004-01-12T00:00:00Z", "2004-01-13 10:00:00+02:00"], "2004-01-12"),
        (["2004-01-12 00:00", "2004-01-13"], "2004-01-12"),
        (["1/12/2004", "1/13/2004"], "2004-01-12"),
        (["12/1/2004", "13/1/2004"], "2004-01-12"),
        (["12.1.2004", "3.1.2004"], "2004-01-12"),
        (["2004-01-12", "0001-01-01", "9999-12-31"], "2004-01-12"),
        (["12/1/04", "13/1/04"], "2004-01-12"),
        (["20040112", "20040113"], "2004-01-12"),
        (["2004", "2005"], "2004-01-01"),
        (["1073865600", "1073865601"], "2004-01-12"),
        (["1073865600000", "1073865600001"], "2004-01-12"),
        (["1073865600.5", "1073865601.5"], "2004-01-12"),
    ],
)
def test_times_are_read_as_they_are_written(texts, day):
    assert of(*texts)[0] == pd.Timestamp(day, tz="UTC").timestamp()


def test_dates_that_do_not_tell_the_order_are_told_and_can_be_said(formed):
    assert of("5/1/2004") == [pd.Timestamp("2004-05-01", tz="UTC").timestamp()]
    assert of("5/1/2004", day_first=True) == [pd.Timestamp("2004-01-05", tz="UTC").timestamp()]
    with pytest.raises(RequestError, match=r"'13/1/2004' begins with the day, and '1/14/2004' the month"):
        of("13/1/2004", "1/14/2004")
    with pytest.raises(RequestError, match=r"'13/1/2004' begins with the day; take out data\.day_first = false"):
        of("13/1/2004", day_first=False)
    formed.write("train.csv", formed.train.assign(when="5/1/2004"))
    formed.write("test.csv", formed.test.assign(when="6/1/2004"))
    assert "'5/1/2004' read as month, day; else set data.day_first = true" in (
        formed.command("data", APART + 'timestamp = "when"').err
    )
    said = formed.command("data", APART + 'timestamp = "when"\nday_first = true').err
    assert "data: times from 2004-01-05 to 2004-01-06\n" in said


def test_both_tables_are_read_in_one_way(formed):
    formed.write("train.csv", formed.train.assign(when="25/3/2004"))
    formed.write("test.csv", formed.test.assign(when="5/4/2004"))
    assert formed.command("data", APART + 'timestamp = "when"').code == 0
    manifest = formed.manifest
    test = manifest["timestamp"][manifest["split"] == "test"].unique().tolist()
    assert test == [pd.Timestamp("2004-04-05", tz="UTC").timestamp()]


@pytest.mark.parametrize("cell", ["", "soon", "12 January", "10:30"])
def test_a_time_that_is_no_date_is_refused_with_its_row(formed, cell):
    when = pd.Series("2004-01-12", index=formed.train.index).where(formed.train.index != 5, cell)
    formed.write("train.csv", formed.train.assign(when=when))
    formed.write("test.csv", formed.test.assign(when="2004-01-12"))
    result = formed.command("data", APART + 'timestamp = "when"')
    assert result.code == 2
    assert f"data.timestamp: train.csv: 1 of 692 rows have no time that is a date with its year: {cell!r} in row 5" in (
        result.err
    )


def test_text_times_go_the_road_and_mean_what_seconds_mean(formed):
    days = formed.train["when"] // 86400 * 86400
    data = APART + 'timestamp = "when"'
    formed.write("train.csv", formed.train.assign(when=days))
    formed.write("test.csv", formed.test.assign(when=formed.test["when"] // 86400 * 86400).drop(columns="stars"))
    formed.walk(data, "time = true\n")
    first = formed.predicted()
    for name, table in (("train.csv", formed.train), ("test.csv", formed.test.drop(columns="stars"))):
        formed.write(name, table.assign(when=pd.to_datetime(table["when"], unit="s").dt.strftime("%d %B %Y")))
    said, _ = formed.walk(data, "time = true\n")
    assert "data: times from 1997-11-20 to 1997-11-24" in said
    pd.testing.assert_series_equal(formed.predicted(), first)


def test_a_test_table_without_times_is_predicted_and_scored_without_them(formed):
    data = APART + 'timestamp = "when"'
    formed.write("train.csv", formed.train)
    formed.write("test.csv", formed.test.drop(columns=["stars", "when"]))
    said, _ = formed.walk(data, "time = true\n")
    assert "test.csv has no column 'when', so times count in training alone" in said
    from pipeline.project import Project

    trained = Project(str(formed.file(data, "time = true\n")), root=formed.root).trained("drawn", 0)
    assert trained.about["periods"]
    test = formed.manifest[formed.manifest["split"] == "test"]
    oof = pd.read_parquet(formed.root / "runs/formed/drawn/oof.parquet").set_index("id")
    ids = oof.index[oof["fold"] == 0]
    rows = formed.manifest.set_index("id").loc[ids]
    without = trained.predict(rows["user"].tolist(), rows["item"].tolist())
    assert oof.loc[ids, "rating"].tolist() == without.tolist()
    times = rows["timestamp"].to_numpy(dtype=np.int64)
    assert np.abs(trained.predict(rows["user"].tolist(), rows["item"].tolist(), times) - without).max() > 0.01
    assert test["timestamp"].isna().all()


# Within the range


def test_predictions_keep_within_the_ratings_where_the_file_says_so(formed):
    formed.write("train.csv", formed.train.assign(stars=formed.train["stars"] * 0.1 + 0.2))
    formed.write("test.csv", formed.test.drop(columns="stars"))
    narrow = "[[models]]\nname = 'far'\nlr = 0.2\nweight_decay = 0.0\nepochs = 30\nfactors = 30\nbatch_size = 64\n"
    path = formed.file(APART)
    path.write_text(path.read_text().split("[[models]]", 1)[0] + narrow)
    assert pipeline("run", path, "--root", formed.root).code == 0
    free = pd.read_parquet(formed.root / "runs/formed/far/oof.parquet")["rating"]
    assert free.min() < 0.3
    assert free.max() > 0.7
    assert pipeline("run", path, "--root", formed.root, "--set", "data.clip=true").code == 0
    held = pd.read_parquet(formed.root / "runs/formed/far/oof.parquet")["rating"].astype(float)
    train = formed.train["stars"] * 0.1 + 0.2
    assert (held.min(), held.max()) == (pytest.approx(0.3), pytest.approx(0.7))
    assert train.min() <= held.min()
    assert held.max() <= train.max()
    result = pipeline("data", path, "--root", formed.root, "--set", "data.clip=[0.35, 0.8]")
    assert result.code == 2
    assert f"data.clip = [0.35, 0.8], but {(formed.train['stars'] == 1).sum()} ratings of train.csv" in result.err
