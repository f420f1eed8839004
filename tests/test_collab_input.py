"""What is wrong with tables of ratings, and what is said about it: exit code 2 and one line, or a warning."""

import json

import pandas as pd
import pytest

from pipeline.collab.features import encode
from pipeline.collab.ids import Ids
from pipeline.competitions import load
from pipeline.data.tables import read_table
from pipeline.errors import RequestError
from tests.command import pipeline
from tests.rated import write_rated


@pytest.fixture
def rated(tmp_path):
    return write_rated(tmp_path)


def check(rated, *sets):
    """data and check on the raw folder as it is; both must fit on one command, so `run` is not needed."""
    options = [word for change in sets for word in ("--set", change)]
    root = rated.folder / "root"
    done = pipeline("data", rated.file, "--root", root, *options)
    return done if done.code else pipeline("check", rated.file, "--root", root, *options)


def audit(rated):
    return json.loads((rated.folder / "root/data/rated/.pipeline/audit.json").read_text())


def test_the_audit_tells_how_full_the_matrix_is(rated):
    result = check(rated)
    assert result.code == 0, result.err
    said = audit(rated)
    users, items = rated.rows["who"].nunique(), rated.rows["film"].nunique()
    assert said["sparsity"] == pytest.approx(1 - len(rated.rows) / (users * items), abs=1e-6)
    corner = said["corner"]
    table = rated.rows.set_index(["who", "film"])["stars"].to_dict()
    expected = [[table.get((user, item)) for item in corner["items"]] for user in corner["users"]]
    assert corner["ratings"] == expected
    assert corner["titles"][0].startswith("Film ")
    assert "of the matrix is empty" in result.err


def test_of_a_pair_that_is_rated_twice_the_latest_rating_counts(rated):
    first = rated.rows.iloc[0]
    again = first.to_frame().T.assign(stars=6 - first["stars"] if first["stars"] != 3 else 1, when=first["when"] + 9)
    rated.write(pd.concat([again, rated.rows, rated.rows.iloc[[5]]]))
    result = check(rated)
    assert result.code == 0
    assert "2 pairs are rated more than once (1 of them differently)" in result.err
    manifest = pd.read_parquet(rated.folder / "root/data/rated/.pipeline/manifest.parquet").set_index("id")
    row = manifest.loc[f"{first['who']}/{first['film']}"]
    assert (row["rating"], row["copies"], row["contradicts"]) == (again["stars"].iloc[0], 2, True)
    assert manifest.index.is_unique


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("stars", "", ["data.rating", "ratings.csv", "'' in row 3"]),
        ("stars", "NaN", ["'NaN' in row 3", "correct them"]),
        ("stars", "good", ["'good' in row 3"]),
        ("stars", "inf", ["'inf' in row 3"]),
        ("who", " ", ["rows without user", "row 3"]),
        ("film", "", ["rows without item"]),
        ("who", "a/b", ["'a/b'", "no / in users"]),
        ("when", "yesterday", ["data.timestamp", "'yesterday' in row 3"]),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(rated, column, value, words):
    rows = rated.rows.astype(object)
    rows.loc[3, column] = value
    rated.write(rows)
    result = check(rated)
    assert result.code == 2
    assert all(word in result.err for word in words), result.err


def test_a_rating_column_of_text_is_refused(rated):
    rated.write(rated.rows.assign(stars="fine"))
    result = check(rated)
    assert result.code == 2
    assert f"{len(rated.rows)} of {len(rated.rows)} rows" in result.err


def test_ratings_outside_of_the_range_are_refused(rated):
    result = check(rated, "models.0.range=[2, 5]")
    assert result.code == 2
    outside = (rated.rows["stars"] < 2).sum()
    assert f"models.0.range = [2.0, 5.0], but {outside} ratings lie outside" in result.err


def test_a_file_of_one_user_is_refused(rated):
    rated.write(rated.rows[rated.rows["who"] == "u3"])
    result = check(rated)
    assert result.code == 2
    assert "one user only ('u3')" in result.err


def test_a_missing_table_or_column_names_its_neighbour(rated):
    assert "did you mean 'ratings.csv'?" in check(rated, 'data.table="rating.csv"').err
    assert "did you mean 'stars'?" in check(rated, 'data.rating="star"').err
    assert "did you mean 'films.csv'?" in check(rated, 'data.items.table="film.csv"').err


def test_a_test_user_who_is_unknown_gets_the_mean_and_a_warning(rated):
    rated.lines["test"] = 'test = "asked.csv"'
    asked = rated.test.drop(columns="stars")
    stranger = asked.iloc[[0, 1]].assign(who=["stranger", "another"])
    pd.concat([asked, stranger]).to_csv(rated.raw / "asked.csv", index=False)
    result = check(rated)
    assert "2 users of the test table are not in train and get the mean user: another, stranger" in result.err
    assert audit(rated)["unknown_users"]["count"] == 2


def test_a_test_row_asked_twice_is_refused(rated):
    rated.lines["test"] = 'test = "asked.csv"'
    pd.concat([rated.test, rated.test.iloc[[0]]]).drop(columns="stars").to_csv(rated.raw / "asked.csv", index=False)
    assert "asks 1 pairs twice" in check(rated).err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.iloc[1:], ["held out in none of the 3 folds"]),
        (lambda rows: pd.concat([rows, rows.assign(who="nobody").iloc[[0]]]), ["held1.csv are not in ratings.csv"]),
    ],
)
def test_published_folds_must_share_out_every_row(rated, change, words):
    rated.lines["folds"] = 'files = "held{k}.csv"'
    change(rated.rows.iloc[0::3]).to_csv(rated.raw / "held1.csv", index=False)
    assert check(rated).code == 0
    result = pipeline("folds", rated.file, "--root", rated.folder / "root")
    assert result.code == 2
    assert all(word in result.err for word in words), result.err


def test_a_row_in_two_published_folds_is_refused(rated):
    rated.lines["folds"] = 'files = "held{k}.csv"'
    pd.concat([rated.rows.iloc[1::3], rated.rows.iloc[[0]]]).to_csv(rated.raw / "held2.csv", index=False)
    check(rated)
    assert "in an earlier fold too" in pipeline("folds", rated.file, "--root", rated.folder / "root").err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("models.0.factor=3", ["unknown key 'models.0.factor'", "did you mean 'factors'?"]),
        ("data.usr=1", ["unknown key 'data.usr'", "did you mean 'user'?"]),
        ("data.items.titel=1", ["did you mean 'title'?"]),
        ("kind='rating'", ["kind: found 'rating'", "did you mean 'ratings'?"]),
        ("metric='accuracy'", ["metric 'accuracy' scores"]),
        ("models.0.method='gibs'", ["did you mean 'gibbs'?"]),
        ("models.0.implicit=true", ["implicit goes with method = 'gibbs'"]),
        ("models.1.lr=0.1", ["lr goes with method = 'sgd'"]),
        ("models.1.epochs=3", ["gibbs throws the first 20 sweeps away"]),
        ("models.0.range=[5, 1]", ["not [lowest, highest]"]),
        ("models.0.epochs='x'", ["models.0.epochs: found 'x'"]),
        ("folds.files='u.test'", ["has no {k}"]),
        ("data.user=0", ["all names, or all numbers"]),
        ("models.0.arch='resnet18'", ["unknown key 'models.0.arch'"]),
    ],
)
def test_a_wrong_file_is_explained(rated, change, words):
    with pytest.raises(RequestError) as caught:
        load(str(rated.file), [change])
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_resolved_file_can_be_read_again(rated):
    comp = load(str(rated.file))
    again = rated.folder / "again.toml"
    from pipeline.stages.train import resolved

    again.write_text(resolved(comp, comp.models[0]))
    assert load(str(again)).models == comp.models[:1]
    again.write_text(resolved(comp, comp.models[0]).replace('kind = "regression"', 'kind = "category"'))
    with pytest.raises(RequestError, match="one target"):
        load(str(again))


def test_the_shipped_movielens_file_loads():
    comp = load("movielens")
    assert (comp.kind, comp.targets[0].name, comp.has_test) == ("ratings", "rating", False)


def test_tables_are_read_in_any_of_the_usual_forms(tmp_path):
    for separator in ("\t", "::", "|", ";", ","):
        path = tmp_path / "table"
        path.write_bytes(separator.join(["1", "Am\xe9lie", "5"]).encode("latin-1") + b"\n")
        assert read_table(path, "data.table", header=False).iloc[0].tolist() == ["1", "Am\xe9lie", "5"]


def test_inner_ids_are_those_of_training_and_strangers_share_one():
    ids = Ids.of(pd.Series(["10", "9", "b", "9"]))
    assert ids.raw == ("9", "10", "b")
    assert ids.inner(["b", "9", "11"]).tolist() == [2, 0, ids.unknown]


def test_columns_become_flags_words_and_bins():
    assert encode(pd.Series(["0", "1", "1"])).tolist() == [[0], [1], [1]]
    assert encode(pd.Series(["A|B", "B", ""])).tolist() == [[1, 1], [0, 1], [0, 0]]
    years = encode(pd.Series([str(year) for year in range(1950, 2000)] + [""]))
    assert years[:-1].sum(axis=1).tolist() == [1] * 50
    assert years[-1].sum() == 0
    dates = encode(pd.Series(["01-Jan-1995", "24-Feb-1996", "03-May-1997"]))
    assert dates.argmax(axis=1).tolist() == sorted(dates.argmax(axis=1).tolist())
    assert encode(pd.Series([f"word {letter}" for letter in map(chr, range(300, 600))])).shape == (300, 0)


# Tables of other forms


def manifest_of(rated):
    return pd.read_parquet(rated.folder / "root/data/rated/.pipeline/manifest.parquet")


def test_the_form_of_the_tables_changes_nothing(rated):
    assert check(rated).code == 0
    expected = manifest_of(rated)
    for separator, encoding in ((";", "utf-16"), ("\t", "latin-1"), ("|", "utf-8-sig")):
        rated.rows.to_csv(rated.raw / "ratings.csv", index=False, sep=separator, encoding=encoding)
        result = check(rated)
        assert result.code == 0, result.err
        pd.testing.assert_frame_equal(manifest_of(rated), expected)
    rated.rows.to_json(rated.raw / "ratings.csv", orient="records", lines=True)
    assert check(rated).code == 0
    pd.testing.assert_frame_equal(manifest_of(rated), expected)


def test_blanks_between_columns_without_a_header_and_comments_before(rated, tmp_path):
    lines = "".join(f"{r.who} {r.film} {r.stars} {r.when}\n" for r in rated.rows.itertuples())
    (rated.raw / "ratings.csv").write_text(f"% bip weighted\n{lines}")
    sets = ["data.user=0", "data.item=1", "data.rating=2", "data.timestamp=3"]
    sets += ["data.users={table='people.csv', id='who'}", "data.items={table='films.csv', id='film'}"]
    result = check(rated, *sets)
    assert result.code == 0, result.err
    assert len(manifest_of(rated)) == len(rated.rows)


def test_a_row_longer_than_the_header_is_refused_with_its_line(rated):
    lines = (rated.raw / "ratings.csv").read_text().splitlines()
    (rated.raw / "ratings.csv").write_text("\n".join([lines[0], *(f"{line},nice" for line in lines[1:])]) + "\n")
    result = check(rated)
    assert result.code == 2
    assert "line 2 has 5 cells, its header names 4" in result.err
    (rated.raw / "ratings.csv").write_text("\n".join([lines[0], *(f"{line}," for line in lines[1:])]) + "\n")
    assert check(rated).code == 0
    assert len(manifest_of(rated)) == len(rated.rows)


def test_a_header_that_is_not_there_is_told(rated):
    rated.rows.to_csv(rated.raw / "ratings.csv", index=False, header=False)
    assert "where a table has no header, columns are numbers: user = 0" in check(rated).err


def test_a_header_where_columns_are_numbers_is_told(rated):
    rows = rated.rows.assign(who=rated.rows["who"].str[1:], film=rated.rows["film"].str[1:])
    rated.write(rows)
    sets = ["data.user=0", "data.item=1", "data.rating=2", "data.timestamp=3"]
    sides = ["data.users={table='people.csv', id='who'}", "data.items={table='films.csv', id='film'}"]
    result = check(rated, *sets, *sides)
    assert result.code == 2
    assert "the first row of ratings.csv is a header (who, film, stars, when)" in result.err
    rows.to_csv(rated.raw / "ratings.csv", index=False, header=False)
    films = pd.read_csv(rated.raw / "films.csv", dtype=str)
    films.assign(film=films["film"].str[1:]).to_csv(rated.raw / "films.csv", index=False)
    result = check(rated, *sets, "data.users={table='people.csv', id=0}", "data.items={table='films.csv', id=0}")
    assert "the first row of films.csv is a header (film, title, genres, year)" in result.err


def test_a_table_about_other_items_is_refused_and_one_that_lacks_most_is_warned_of(rated):
    films = pd.read_csv(rated.raw / "films.csv", dtype=str)
    films.assign(film=films["film"].str.removeprefix("f")).to_csv(rated.raw / "films.csv", index=False)
    result = check(rated)
    assert result.code == 2
    assert "data.items: films.csv has none of the 30 items of ratings.csv" in result.err
    assert "is '0'; is data.items.id the right column?" in result.err
    films.iloc[:10].to_csv(rated.raw / "films.csv", index=False)
    result = pipeline("data", rated.file, "--root", rated.folder / "root")
    assert result.code == 0
    assert "data.items: films.csv lacks 20 of the 30 items of ratings.csv, such as 'f" in result.err
    films.to_csv(rated.raw / "films.csv", index=False)
    assert "warning" not in pipeline("data", rated.file, "--root", rated.folder / "root").err


def test_titles_with_escaped_quotes_are_read(rated):
    films = pd.read_csv(rated.raw / "films.csv", dtype=str)
    rows = [f'"{f}";"The \\"{f}\\" &amp; more; again"' for f in films["film"]]
    (rated.raw / "films.csv").write_text("\n".join(['"film";"title"', *rows]) + "\n", encoding="latin-1")
    assert check(rated).code == 0
    assert all(title.startswith('The "f') for title in audit(rated)["corner"]["titles"])


def test_of_a_table_of_items_only_rows_that_differ_are_refused(rated):
    films = pd.read_csv(rated.raw / "films.csv", dtype=str)
    pd.concat([films, films.iloc[[3]]]).to_csv(rated.raw / "films.csv", index=False)
    assert check(rated).code == 0
    pd.concat([films, films.iloc[[3]].assign(title="Other")]).to_csv(rated.raw / "films.csv", index=False)
    assert "more than one row of id 'f3', and they differ: lines 5 and 32" in check(rated).err
