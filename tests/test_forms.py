"""What a submission's cells can say: the k best, one minus a probability, codes of classes, numbers with decimals."""

import zipfile
from functools import partial

import numpy as np
import pandas as pd
import pytest

from pipeline.answers import read_back
from pipeline.commands.score import score
from pipeline.errors import RequestError
from pipeline.forms import Column
from pipeline.metrics.leaderboard import Chosen
from pipeline.predictions import TargetSpec
from pipeline.stages import submit as submitting
from pipeline.stages.data import data
from pipeline.stages.ensemble import step as blending
from pipeline.stages.submit import latest, submit
from pipeline.workspace import read_json
from tests.conftest import predict, refused, sent

ONE = "targets=[{name='disease', column='label'}]"
DISEASE = TargetSpec("disease", "category", ("blast", "hispa", "normal"))
TAGS = TargetSpec("tags", "multilabel", ("rust", "scab", "mold"), (("separator", "|"),))
# Of the test ids 900 to 905: what is predicted of blast, hispa, normal.
VALUES = np.array([[5, 3, 2], [2, 3, 5], [1, 7, 2], [6, 1, 3], [3, 1, 6], [1, 2, 7]]) / 10
TRUTH = ("blast", "hispa", "normal", "normal", "hispa", "normal")
read = partial(pd.read_csv, dtype=str, keep_default_na=False)


@pytest.fixture
def one(tiny):
    """The tiny competition with one target, and nothing said of its submission."""
    text = tiny.file.read_text().replace('columns = { label = "disease" }', "")
    tiny.file.write_text(text.replace('[[targets]]\nname = "variety"\n', ""))
    return tiny


def write_sample(tiny, header: str, row: str = "{},") -> None:
    (tiny.raw / "sample_submission.csv").write_text(
        header + "\n" + "".join(row.format(i) + "\n" for i in tiny.test_ids)
    )


def submitted(tiny, log, *overrides: str) -> pd.DataFrame:
    return sent(tiny, log, {DISEASE: VALUES}, *overrides)


def graded(tiny, text: str, *overrides: str) -> float:
    path = tiny.root / "solution.csv"
    path.write_text(text)
    return score(tiny.load(*overrides), tiny.workspace, path)["score"]


def answers(tiny, header: str = "image_id,label") -> str:
    return header + "\n" + "".join(f"{i},{label}\n" for i, label in zip(tiny.test_ids, TRUTH, strict=True))


# The k best

BEST = "submission.columns={label={target='disease', form='best', k=2}}"


@pytest.mark.parametrize(
    ("overrides", "cells"),
    [
        (["metric=map3"], ["blast hispa normal", "normal hispa blast", "hispa normal blast"]),
        (["metric={name='map_at_k', k=2}"], ["blast hispa", "normal hispa", "hispa normal"]),
        (
            ["metric={name='top_k_accuracy', k=2}", "submission.columns={label='disease'}"],
            ["blast hispa", "normal hispa"],
        ),
        (["metric=map5", "submission.columns={label='disease:decision'}"], ["blast", "normal", "hispa"]),
        ([BEST], ["blast hispa", "normal hispa", "hispa normal"]),
        ([BEST.replace("k=2", "k=2, separator=', '")], ["blast, hispa", "normal, hispa", "hispa, normal"]),
        (["submission.columns={label='disease:best'}"], ["blast hispa normal", "normal hispa blast"]),
        (["metric={name='map_at_k', k=1}"], ["blast", "normal", "hispa"]),
    ],
)
def test_the_likeliest_classes_come_first(one, log, overrides, cells):
    write_sample(one, "image_id,label")
    assert submitted(one, log, *overrides)["label"].tolist()[: len(cells)] == cells


@pytest.mark.parametrize("threshold", ["'per_class'", "0.3", None])
def test_tags_that_thresholds_decide_have_no_order_to_be_listed_in(one, log, threshold):
    write_sample(one, "image_id,label")
    metric = "samples_f1" if threshold is None else f"{{name='f1', threshold={threshold}}}"
    said = [f"metric={metric}", "targets=[{name='disease', column='label', kind='multilabel'}]"]
    message = refused(one, log, *said, BEST)
    assert (
        f"submission.columns.label: metric '{'samples_f1' if threshold is None else 'f1'}' decides 'disease'" in message
    )
    assert "write label = 'disease:decision', or say threshold = 0.5" in message
    data(one.load(*said, "submission.columns={label='disease:decision'}"), one.workspace, log)


@pytest.mark.parametrize("metric", ["weighted_f1", "{name='macro_f1', threshold='fitted'}"])
def test_classes_that_the_largest_probability_decides_are_listed(one, log, metric):
    write_sample(one, "image_id,label")
    data(one.load(f"metric={metric}", BEST), one.workspace, log)
    tags = "targets=[{name='disease', column='label', kind='multilabel'}]"
    data(one.load("metric={name='f1', threshold=0.5}", tags, BEST), one.workspace, log)


def test_a_ranked_submission_scores_as_its_predictions_do(one, log):
    write_sample(one, "image_id,label")
    for metric, k in (("map5", 5), ("map3", 2), ("top3_accuracy", 1)):
        said = ("metric=" + metric, BEST.replace("k=2", f"k={k}"))
        submitted(one, log, *said)
        truth = np.array([DISEASE.vocab.index(label) for label in TRUTH])
        place = np.array([(row > row[code]).sum() for row, code in zip(VALUES, truth, strict=True)])
        worth = 1 / (1 + place) if metric.startswith("map") else np.ones(6)
        assert graded(one, answers(one), *said) == pytest.approx(np.where(place < k, worth, 0).mean(), abs=1e-6)


def test_what_is_not_listed_does_not_count_even_where_the_metric_looks_further():
    column = Column.of("label", {"target": "disease", "form": "best", "k": 1})
    values = read_back([column], (DISEASE,), pd.DataFrame({"label": ["hispa", "normal"]}))["disease"]
    assert Chosen.of("map5").compute(DISEASE, np.array([0, 2]), values) == pytest.approx(0.5)
    tags = Column.of("tags", {"target": "tags", "form": "best", "k": 1})
    values = read_back([tags], (TAGS,), pd.DataFrame({"tags": ["scab", "rust"]}))["tags"]
    assert Chosen.of("map3").compute(TAGS, np.array([[1, 0, 0], [1, 0, 1]]), values) == pytest.approx(0.25)


def test_tags_are_ranked_by_their_own_separator():
    column = Column.of("tags", {"target": "tags", "form": "best", "k": 2})
    assert column.entry.cells(TAGS, column, np.array([[0.1, 0.9, 0.3]])).tolist() == ["scab|mold"]
    lists = TargetSpec("tags", "multilabel", TAGS.vocab, (("separator", "[]"),))
    cells = column.entry.cells(lists, column, np.array([[0.1, 0.9, 0.3], [0.9, 0.1, 0.2]]))
    assert cells.tolist() == ["['scab', 'mold']", "['rust', 'mold']"]
    values = read_back([column], (lists,), pd.DataFrame({"tags": cells}))["tags"]
    assert values.argmax(axis=1).tolist() == [1, 0]


def write_tags(tiny) -> tuple[str, ...]:
    told = ["rust|scab", "mold", "scab"]
    rows = [f"{name},{label},{told[n % 3]}\n" for n, (name, (label, _)) in enumerate(tiny.labels.items())]
    (tiny.raw / "train.csv").write_text("image_id,label,tags\n" + "".join(rows))
    return ("metric=micro_f1", "targets=[{name='tags', kind='multilabel', separator='|', none='healthy'}]")


@pytest.mark.parametrize(("separator", "mark"), [(" ", " "), (", ", ", "), (None, "|")])
def test_a_submission_may_separate_tags_in_another_way(one, log, separator, mark):
    said = write_tags(one)
    if separator is not None:
        said = (*said, f"submission.columns={{tags={{target='tags', separator='{separator}'}}}}")
    write_sample(one, "image_id,tags", f'{{}},"rust{mark}scab"')
    comp = one.load(*said)
    data(comp, one.workspace, log)
    assert not log.warnings
    spec = TargetSpec("tags", "multilabel", ("mold", "rust", "scab"), (("separator", "|"),))
    values = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 1], [1, 0, 0]]) * 0.9
    predict(one, {spec: values})
    submit(comp, one.workspace, log)
    table = read(one.workspace.submissions / latest(one.workspace))
    assert table["tags"].tolist()[:4] == [f"rust{mark}scab", "mold", "scab", "healthy"]
    for way in (mark, "|"):  # of a solution: as in the submission, or in the training table
        truth = [f"rust{way}scab", "mold", "scab", "healthy", "scab", f"rust{way}mold"]
        rows = "".join(f'{i},"{tags}"\n' for i, tags in zip(one.test_ids, truth, strict=True))
        assert graded(one, "image_id,tags\n" + rows, *said) == pytest.approx(2 * 6 / (2 * 6 + 1 + 1), abs=1e-6)


def test_a_separator_is_for_tags_and_in_none_of_their_names(one, log):
    said = write_tags(one)
    columns = "submission.columns={{tags={{target='tags', separator='{}'}}}}"
    write_sample(one, "image_id,tags")
    assert "'mold' would be torn by the separator 'o'" in refused(one, log, *said, columns.format("o"))
    write_sample(one, "image_id,label")
    message = refused(one, log, "submission.columns={label={target='disease', separator=','}}")
    assert "a separator is for tags, and it is 'category'" in message


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["blast", "rust hispa"], "'rust' is not a class of 'disease'"),
        (["blast blast", "hispa"], "1 of 2 cells repeat a label: 'blast blast'"),
        (["blast hispa normal", "hispa"], "1 of 2 cells hold more than 2 labels: 'blast hispa normal'"),
        (["", "hispa"], "1 of 2 cells hold no label: ''"),
    ],
)
def test_ranked_cells_that_are_wrong_are_refused(cells, words):
    column = Column.of("label", {"target": "disease", "form": "best", "k": 2})
    with pytest.raises(RequestError) as caught:
        read_back([column], (DISEASE,), pd.DataFrame({"label": cells}))
    assert words in str(caught.value)
    assert words in str(column.entry.problem(DISEASE, pd.Series(cells)))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{},blast hispa", None),
        ("{},", None),
        ("{},blast", "the sample's cells ('blast') hold up to 1 labels, and 2 would be written (k = 2)"),
        ("{},blast rust", "'rust' is not a class of 'disease'"),
        ("{},blast|hispa", "'blast|hispa' is not a class of 'disease'"),
    ],
)
def test_a_sample_of_other_cells_is_told(one, log, row, words):
    write_sample(one, "image_id,label", row)
    data(one.load(BEST), one.workspace, log)
    assert len(log.warnings) == (words is not None)
    assert words is None or words in log.warnings[0]


def test_names_that_the_separator_would_tear_are_refused_before_training(one, log):
    table = one.raw / "train.csv"
    table.write_text(table.read_text().replace(",blast,", ",leaf blast,"))
    images = "data.images='train_images/{image_id}'"
    for folder in ("blast", "hispa", "normal"):
        for path in (one.raw / "train_images" / folder).iterdir():
            path.rename(one.raw / "train_images" / path.name)
    message = refused(one, log, "metric=map5", images)
    assert "'leaf blast' would be torn by the separator ' '; say another one, as in { target = 'disease'" in message
    comp = one.load("metric=map5", images, "submission.columns={label={target='disease', form='best', separator='|'}}")
    data(comp, one.workspace, log)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            "{label={target='disease', form='best', k=0}}",
            "form 'best': k: found 0, expected greater than or equal to 1",
        ),
        ("{label={target='disease', form='best', n=2}}", "form 'best': unknown option 'n'; known here: k, separator"),
        (
            "{label={target='disease', k=2}}",
            "form 'decision': unknown option 'k'; known here: decimals, separator; say form = 'best'",
        ),
        ("{label={target='disease', form='bset'}}", "did you mean 'best'?"),
        ("{label={form='best'}}", "expected a table with a target"),
        ("{label={target='illness', form='best'}}", "expected a target (disease) or target/class"),
        ("{label={target='disease', form='best', class='blast'}}", "form 'best' takes no class"),
        ("{label={target='disease', form='complement'}}", "form 'complement' needs a class"),
        ("{label={target=3}}", "target: found 3, expected text"),
        ("{label={target='disease', form='best', separator=''}}", "what stands between labels"),
    ],
)
def test_a_form_that_is_said_wrongly_is_refused_with_the_file(one, columns, words):
    with pytest.raises(RequestError) as caught:
        one.load(f"submission.columns={columns}")
    assert words in str(caught.value)


# Options change the submission alone


def test_options_make_the_submission_stale_and_nothing_else(one, log):
    write_sample(one, "image_id,blast,hispa,normal", "{},0,0,0")
    said = ("metric=log_loss",)
    submitted(one, log, *said)
    before = blending(one.load(*said), one.workspace).inputs
    first = latest(one.workspace)
    for more in ("submission.decimals=3", "submission.columns={'*'={target='disease', class='*', decimals=2}}"):
        comp = one.load(*said, more)
        assert blending(comp, one.workspace).inputs == before
        assert submitting.step(comp, one.workspace).state() == "stale"
    same = one.load(*said, "submission.columns={'*'={target='disease', class='*'}}")
    assert submitting.step(same, one.workspace).state() == "done"
    assert submit(one.load(*said, "submission.file=csv"), one.workspace, log) is False
    assert latest(one.workspace) == first


# One minus a probability


def test_one_minus_the_probability_of_a_class(one, log):
    write_sample(one, "image_id,ill", "{},0.5")
    said = "submission.columns={ill='disease:complement/normal'}"
    table = submitted(one, log, "metric=log_loss", said)
    assert table["ill"].astype(float).tolist() == pytest.approx([0.8, 0.5, 0.8, 0.7, 0.4, 0.3])
    column = Column.of("ill", "disease:complement/normal")
    values = read_back([column], (DISEASE,), table)["disease"]
    assert values[:, 2] == pytest.approx(VALUES[:, 2])


ALONE = {
    ("disease:complement/normal", "against"): [int(t != "normal") for t in TRUTH],
    ("disease/normal", "of"): [int(t == "normal") for t in TRUTH],
}


@pytest.mark.parametrize(("said", "told"), ALONE.items())
@pytest.mark.parametrize("metric", ["auc", "weighted_auc", "average_precision"])
def test_one_class_alone_is_scored_against_the_rest(one, log, said, told, metric):
    """As alaska2 does, of four classes: the solution says which rows are of any class but the one."""
    source, key = said
    write_sample(one, "image_id,Label", "{},0.5")
    columns = f"submission.columns={{Label='{source}'}}"
    table = submitted(one, log, f"metric={metric}", columns)
    assert f"metric = {{ name = '{metric}', {key} = 'normal' }} is of it" in log.warnings[0]
    log.lines.clear()
    one.workspace.manifest.unlink()
    same = submitted(one, log, f"metric={{name='{metric}', {key}='normal'}}", columns)
    assert not log.warnings
    assert same.equals(table)
    solution = "image_id,Label\n" + "".join(f"{i},{t}\n" for i, t in zip(one.test_ids, told, strict=True))
    scores = table["Label"].astype(float).to_numpy()
    two = TargetSpec("label", "binary", ("no", "yes"))
    expected = Chosen.of(metric).compute(two, np.array(told), np.column_stack([1 - scores, scores]))
    for with_option in (f"metric={metric}", f"metric={{name='{metric}', {key}='normal'}}"):
        assert graded(one, solution, with_option, columns) == pytest.approx(expected, abs=1e-6)
        assert graded(one, answers(one), with_option, columns) == pytest.approx(expected, abs=1e-6)
    chosen = Chosen.of({"name": metric, key: "normal"})
    codes = np.array([DISEASE.vocab.index(t) for t in TRUTH])
    assert chosen.compute(DISEASE, codes, VALUES) == pytest.approx(expected, abs=1e-6)


def test_a_metric_of_a_class_that_there_is_not_is_refused_before_training(one, log):
    write_sample(one, "image_id,Label", "{},0.5")
    said = ("metric={name='auc', against='rust'}", "submission.columns={Label='disease:complement/normal'}")
    assert "metric 'auc' cannot score target 'disease': 'rust' is not a class" in refused(one, log, *said)
    with pytest.raises(RequestError, match="one of both"):
        one.load("metric={name='auc', against='rust', of='rust'}")


def test_of_two_classes_one_column_says_both(one, log):
    """Whichever of the two it is, and of a solution as of a submission."""
    text = (one.raw / "train.csv").read_text()
    (one.raw / "train.csv").write_text(text.replace(",normal,", ",blast,"))
    two = TargetSpec("disease", "category", ("blast", "hispa"))
    right = np.array([[9, 1], [1, 9], [4, 6], [7, 3], [2, 8], [6, 4]]) / 10
    for path in (one.raw / "train_images" / "normal").iterdir():
        path.rename(one.raw / "train_images" / "blast" / path.name)
    write_sample(one, "image_id,p", "{},0.5")
    truth = [0, 1, 0, 0, 1, 1]
    for source, told in (("disease/hispa", truth), ("disease/blast", [1 - t for t in truth])):
        for form in ("", ":complement"):
            comp_says = ("metric=log_loss", f"submission.columns={{p='{source.replace('/', form + '/')}'}}")
            sent(one, log, {two: right}, *comp_says)
            rows = zip(one.test_ids, told, strict=True)
            text = "image_id,p\n" + "".join(f"{i},{1 - t if form else t}\n" for i, t in rows)
            expected = -np.log(right[np.arange(6), truth]).mean()
            assert graded(one, text, *comp_says) == pytest.approx(expected, abs=1e-5)


# Codes of classes


def write_codes(tiny) -> None:
    (tiny.raw / "ids.csv").write_text("name,category_id\nnormal,7\nhispa,30\nblast,112\nrust,4\n")


CODES = (
    "submission.codes={disease={table='ids.csv', name='name', code='category_id'}}",
    "submission.codes={disease={normal=7, hispa='30', blast=112}}",
)


@pytest.mark.parametrize("codes", CODES)
def test_classes_are_written_and_read_by_their_codes(one, log, codes):
    write_codes(one)
    write_sample(one, "image_id,label", "{},7")
    table = submitted(one, log, codes)
    assert table["label"].tolist() == ["112", "7", "30", "112", "7", "7"]
    assert not log.warnings
    assert graded(one, answers(one), codes) == pytest.approx(2 / 6, abs=1e-6)  # a solution of names
    code = {"normal": "7", "hispa": "30", "blast": "112"}
    text = answers(one)
    for name, number in code.items():
        text = text.replace(f",{name}\n", f",{number}\n")
    assert graded(one, text, codes) == pytest.approx(2 / 6, abs=1e-6)


@pytest.mark.parametrize(
    ("codes", "cells"),
    [
        ("['normal', 'hispa', 'blast']", ["2", "0", "1"]),
        ("{order=['normal', 'rust', 'hispa', 'blast'], first=1}", ["4", "1", "3"]),
        ("{first=1}", ["1", "3", "2"]),
    ],
)
def test_codes_count_classes_in_an_order(one, log, codes, cells):
    write_sample(one, "image_id,label")
    assert submitted(one, log, f"submission.codes={{disease={codes}}}")["label"].tolist()[:3] == cells


def test_codes_go_with_every_form(one, log):
    write_sample(one, "image_id,Class_1,Class_2,Class_3", "{},0,0,0")
    codes = "submission.codes={disease={order=['normal', 'hispa', 'blast'], first=1}}"
    for columns in (
        "{'Class_*'='disease/*'}",
        "{Class_1='disease/normal', Class_2='disease/hispa', Class_3='disease/blast'}",
    ):
        said = ("metric=log_loss", codes, f"submission.columns={columns}", "submission.decimals=1")
        table = submitted(one, log, *said)
        assert table.iloc[0, 1:].tolist() == ["0.2", "0.3", "0.5"]
        rows = [
            f"{i},{int(t == 'normal')},{int(t == 'hispa')},{int(t == 'blast')}\n"
            for i, t in zip(one.test_ids, TRUTH, strict=True)
        ]
        text = "image_id,Class_1,Class_2,Class_3\n" + "".join(rows)
        expected = -np.log([VALUES[row, DISEASE.vocab.index(label)] for row, label in enumerate(TRUTH)]).mean()
        assert graded(one, text, *said) == pytest.approx(expected, abs=1e-5)
    write_sample(one, "image_id,label")
    assert submitted(one, log, "metric=map3", codes)["label"].tolist()[:2] == ["3 2 1", "1 2 3"]
    assert graded(one, answers(one), "metric=map3", codes) == pytest.approx(
        (1 + 1 / 2 + 1 / 2 + 1 / 2 + 1 / 3 + 1) / 6, abs=1e-6
    )


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ("{table='ids.csv', name='name', code='id'}", "submission.codes.disease.code: ids.csv has no column 'id'"),
        ("{table='idz.csv', name='name', code='id'}", "did you mean 'ids.csv'?"),
        ("['normal', 'rust']", "2 of 3 classes have no code in the file: blast, hispa; it has codes of normal, rust"),
        ("{normal=1, hispa=1, blast=2}", "1 codes are there more than once: 1"),
    ],
)
def test_codes_that_do_not_fit_are_refused_before_training(one, log, codes, words):
    write_codes(one)
    assert words in refused(one, log, f"submission.codes={{disease={codes}}}")


def test_codes_are_of_targets_with_classes(one):
    for target in ("illness", "age"):
        with pytest.raises(
            RequestError, match=rf"submission.codes.{target}: expected a target with classes \(disease\)"
        ):
            one.load(
                f"submission.codes={{{target}={{normal=1}}}}",
                "targets=[{name='disease', column='label'}, {name='age', kind='regression'}]",
            )


def test_a_changed_table_of_codes_makes_the_submission_anew(one, log):
    write_codes(one)
    write_sample(one, "image_id,label")
    submitted(one, log, CODES[0])
    step = partial(submitting.step, one.load(CODES[0]), one.workspace)
    assert step().state() == "done"
    (one.raw / "ids.csv").write_text((one.raw / "ids.csv").read_text().replace("30", "31"))
    assert step().state() == "stale"


# Names of columns


@pytest.mark.parametrize("columns", ["{}", "{'*'='disease/*'}"])
def test_names_of_columns_may_be_spelled_in_another_way(one, log, columns):
    write_sample(one, "image_id,Blast,HISPA,Normal_", "{},0,0,0")
    table = submitted(one, log, "metric=log_loss", f"submission.columns={columns}", "submission.decimals=1")
    assert table.iloc[0].tolist()[1:] == ["0.5", "0.3", "0.2"]


def test_names_that_two_classes_would_share_are_not_guessed(one, log):
    table = one.raw / "train.csv"
    table.write_text(table.read_text().replace(",hispa,", ",Blast,"))
    (one.raw / "train_images" / "hispa").rename(one.raw / "train_images" / "Blast")
    write_sample(one, "image_id,BLAST,normal", "{},0,0")
    assert "nothing to put into 'BLAST'" in refused(one, log, "metric=log_loss")


# Numbers


def write_ages(tiny) -> None:
    rows = [f"{name},{label},{n / 4}\n" for n, (name, (label, _)) in enumerate(tiny.labels.items())]
    (tiny.raw / "train.csv").write_text("image_id,label,age\n" + "".join(rows))


AGE = ("metric=rmse", "targets=[{name='age', kind='regression'}]")


@pytest.mark.parametrize(
    ("said", "cells"),
    [
        ("submission.decimals=2", ["1.23", "-0.50", "0.00", "1000000.00", "2.50", "3.00"]),
        ("submission.decimals=0", ["1", "0", "0", "1000000", "2", "3"]),
        ("submission.columns={age={target='age', decimals=1}}", ["1.2", "-0.5", "0.0", "1000000.0", "2.5", "3.0"]),
    ],
)
def test_numbers_have_the_decimals_that_are_asked_for(one, log, said, cells):
    write_ages(one)
    write_sample(one, "image_id,age", "{},0")
    values = np.array([1.2345, -0.5, -0.0001, 1e6, 2.5, 3.0])[:, None]
    assert sent(one, log, {TargetSpec("age", "regression"): values}, *AGE, said)["age"].tolist() == cells


def test_decimals_of_one_column_go_before_those_of_all(one, log):
    write_sample(one, "image_id,b,h,n", "{},0,0,0")
    columns = (
        "submission.columns={b='disease/blast', h={target='disease', class='hispa', decimals=3}, n='disease/normal'}"
    )
    table = submitted(one, log, "metric=log_loss", columns, "submission.decimals=1")
    assert table.iloc[0].tolist()[1:] == ["0.5", "0.300", "0.2"]


def test_decimals_of_names_are_refused(one, log):
    write_sample(one, "image_id,label")
    message = refused(one, log, "submission.columns={label={target='disease', decimals=2}}")
    assert "decimals are for numbers, and it has classes" in message
    assert submitted(one, log, "submission.decimals=2")["label"].tolist()[:2] == ["blast", "normal"]


# The file


def test_a_zip_lies_beside_the_csv(one, log):
    write_sample(one, "image_id,label")
    submitted(one, log)
    name, (path,) = latest(one.workspace), one.workspace.submissions.glob("*.csv")
    assert submit(one.load("submission.file=zip"), one.workspace, log) is False  # the same submission
    assert latest(one.workspace) == name
    packed = path.with_suffix(".csv.zip")
    content = packed.read_bytes()
    with zipfile.ZipFile(packed) as archive:
        assert archive.namelist() == [path.name]
        assert archive.read(path.name) == path.read_bytes()
    packed.write_bytes(b"torn")
    submit(one.load("submission.file=zip"), one.workspace, log)
    assert packed.read_bytes() == content
    assert score(one.load("submission.file=zip"), one.workspace, solution(one))["score"] == pytest.approx(
        2 / 6, abs=1e-6
    )
    assert read_json(path.with_suffix(".json"))["scores"]["local"]


def solution(tiny):
    path = tiny.root / "solution.csv"
    path.write_text(answers(tiny))
    return path
