"""The competition file: what loads, what does not and why, overrides, and the way back to TOML."""

import tomllib
from pathlib import Path

import pytest
import tomli_w
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline import competitions
from pipeline.competitions.new import write_new
from pipeline.config import Competition
from pipeline.errors import RequestError
from pipeline.metrics import METRICS

SMALL = """\
slug = "small"
[source]
path = "small.zip"
[data]
table = "train.csv"
[[targets]]
name = "label"
"""


BASE = """\
slug = "base"
metric = "accuracy"
[source]
demo = 42
[data]
table = "train.csv"
test = "test_images"
[[targets]]
name = "disease"
column = "label"
[[targets]]
name = "variety"
column = "variety"
[folds]
n = 3
[[models]]
name = "resnet"
arch = "test_resnet"
weights = "none"
resize = { size = 96, method = "squish" }
size = 96
augment = { flip_vert = true, max_rotate = 20.0 }
batch_size = 32
[[models]]
name = "vit"
arch = "test_vit"
weights = "none"
augment = { flip_vert = true, max_rotate = 20.0 }
"""


def refusal(load, *args: str) -> str:
    with pytest.raises(RequestError) as caught:
        load(*args)
    message = str(caught.value)
    assert len(message.splitlines()) <= 2
    return message


@pytest.fixture
def set_base(load_toml):
    """Load BASE with overrides."""
    return lambda *overrides: load_toml(BASE, *overrides)


@pytest.fixture
def refuse(set_base):
    """What BASE with overrides is refused with."""
    return lambda *overrides: refusal(set_base, *overrides)


# What loads


SHIPPED = {
    "demo": ("demo", ["disease", "variety"], 2),
    "pets": ("pets", ["breed", "species"], 2),
    "clothes": ("clothes", ["label", "colour"], 2),
    "paddy": ("paddy-disease-classification", ["disease", "variety"], 4),
    "movielens": ("movielens", ["rating"], 3),
}


@pytest.mark.parametrize("name", SHIPPED)  # the others: tests/test_shapes.py
def test_every_shipped_file_loads(name):
    slug, targets, models = SHIPPED[name]
    assert competitions.load(name).has_test == (name != "movielens")  # which has published folds
    comp = competitions.load(name)
    assert comp.slug == slug
    assert [target.name for target in comp.targets] == targets
    assert len(comp.models) == models


def test_the_five_shipped_files_are_there():
    assert set(SHIPPED) <= set(competitions.shipped())


def test_ten_lines_are_enough_and_the_rest_is_the_documented_default(load_toml):
    comp = load_toml(SMALL)
    model = comp.models[0]
    assert (comp.kind, comp.metric, comp.seed) == ("image", "accuracy", 42)
    assert (comp.folds.n, comp.folds.stratify, comp.folds.group) == (5, None, "near-duplicates")
    assert (comp.targets[0].kind, comp.targets[0].loss_name, comp.targets[0].weight) == (
        "category",
        "cross_entropy",
        1,
    )
    assert (comp.ensemble.method, comp.submission.sample) == ("hillclimb", "sample_submission.csv")
    assert (model.size, model.presize.size, model.batch_size) == ((224, 224), (460, 460), 64)
    assert not comp.has_test


def test_what_a_model_derives_from_its_weights(load_toml):
    start = SMALL + '[[models]]\nname = "m"\narch = "resnet26d"\nsize = [320, 240]\n'
    pretrained, scratch = load_toml(start).models[0], load_toml(start, "models.0.weights=none").models[0]
    assert (pretrained.schedule_name, pretrained.frozen_epochs) == ("fine_tune", 1)
    assert (scratch.schedule_name, scratch.frozen_epochs) == ("one_cycle", 0)
    assert load_toml(start, "models.0.freeze_epochs=3").models[0].frozen_epochs == 3
    assert pretrained.presize.size == (657, 493)


def test_new_writes_a_file_that_loads_and_never_overwrites(tmp_path):
    path = write_new("my-comp_2", tmp_path)
    comp = competitions.load(str(path))
    assert (comp.slug, comp.source.path, comp.data.images) == (
        "my-comp_2",
        "my-comp_2.zip",
        "train_images/{image_id}",
    )
    before = path.read_bytes()
    with pytest.raises(RequestError, match="exists already"):
        write_new("my-comp_2", tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("slug", ["My Comp", "../up", "", "-x", "a.b", "A"])
def test_new_refuses_what_is_not_a_slug(tmp_path, slug):
    with pytest.raises(RequestError, match="is not a slug"):
        write_new(slug, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SHIPPED)
def test_the_resolved_file_loads_back_to_an_equal_competition(name, tmp_path):
    image = ["models.0.lr=0.5", "models.1.size=[96, 64]", "folds.stratify=[]"]
    comp = competitions.load(name, image if name != "movielens" else ["models.0.lr=0.5", "models.2.factors=7"])
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(comp.model_dump(exclude_none=True, mode="json")))
    assert competitions.load(str(path)) == comp


# Overrides


def test_set_reaches_nested_keys_and_list_entries(set_base):
    comp = set_base("models.1.augment.max_rotate=5", "folds.n=4", "models.0.size=[32, 48]")
    assert comp.models[1].augment.max_rotate == 5.0
    assert comp.models[1].augment.flip_vert is True  # its neighbours stay
    assert comp.models[0].augment.max_rotate == 20.0
    assert comp.models[0].size == (32, 48)
    assert comp.folds.n == 4


def test_set_makes_a_table_that_the_file_lacks(set_base):
    assert set_base("ensemble.method=rank").ensemble.method == "rank"


def test_set_replaces_a_whole_list_entry(set_base):
    stem = set_base('models.1={name="stem", arch="x", weights="none"}').models[1]
    assert (stem.name, stem.epochs) == ("stem", 5)


@pytest.mark.parametrize("text", ["rank", '"rank"', "'rank'", " 'rank' "])
def test_strings_need_no_quotes(set_base, text):
    assert set_base(f"ensemble.method={text}").ensemble.method == "rank"


def test_a_value_may_hold_an_equals_sign(set_base):
    assert set_base("source.url=http://x/y?a=b").source.url == "http://x/y?a=b"


def test_set_source_replaces_the_source_and_the_last_one_counts(set_base):
    comp = set_base("source.path=/x.zip")
    assert (comp.source.kind, comp.source.path, comp.source.demo) == ("path", "/x.zip", None)
    assert set_base("source.path=/x.zip", "source.url=http://x").source.kind == "url"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epochs", ["epochs", "KEY=VALUE"]),
        ("=3", ["KEY=VALUE"]),
        ("models.7.epochs=3", ["models.7.epochs", "'7' is not one of the 2 entries"]),
        ("models.²=3", ["not one of the 2 entries"]),
        ("models.-1=3", ["'-1' is not one of the 2 entries"]),
        ("models.resnet.epochs=3", ["'resnet' is not one of"]),
        ("metric.x=3", ["metric", "not a table"]),
        ("metric.x.y=3", ["metric.x.y", "not a table"]),
        ("a\nb", ["KEY=VALUE"]),
    ],
)
def test_an_override_that_reaches_nothing_says_so(refuse, override, words):
    message = refuse(override)
    assert message.startswith("--set")
    assert all(word in message for word in words), message


# What is wrong: the key, what was found, what was expected, the nearest spelling


@pytest.mark.parametrize(
    ("override", "words"),
    [
        # unknown keys
        ("sed=1", ["unknown key 'sed'", "did you mean 'seed'"]),
        ("models.0.epoch=3", ["unknown key 'models.0.epoch'", "did you mean 'epochs'"]),
        ("models.1.augment.flip_vertical=true", ["'models.1.augment.flip_vertical'", "'flip_vert'"]),
        ("models.0.resize.methd=crop", ["'models.0.resize.methd'", "'method'"]),
        ("targets.0.colum=x", ["'targets.0.colum'", "did you mean 'column'"]),
        ("source.zzz=1", ["'source.zzz'", "known here: kaggle, url, path, demo"]),
        ("data.tabel=x.csv", ["'data.tabel'", "'table'"]),
        # wrong types
        ("models.0.epochs=2.5", ["models.0.epochs: found 2.5", "integer"]),
        ("models.0.epochs=true", ["models.0.epochs: found True", "integer"]),
        ('models.0.epochs="3"', ["models.0.epochs: found '3'", "integer"]),
        ("models.0.arch=3", ["models.0.arch: found 3", "string"]),
        ("models.0=3", ["models.0: found 3", "expected a table"]),
        ("source=x", ["source: found 'x'", "expected a table"]),
        ("models=3", ["models: found 3", "expected a list"]),
        ("folds.stratify=disease", ["folds.stratify: found 'disease'", "list"]),
        ("models.0.augment.flip=1", ["models.0.augment.flip: found 1", "boolean"]),
        ("models.0.lr=fast", ["models.0.lr: found 'fast'", "number", "list", "'auto'"]),
        ("models.0.size=big", ["models.0.size: found 'big'", "[height, width]"]),
        # impossible values
        ("models.0.epochs=0", ["models.0.epochs: found 0", "greater than or equal to 1"]),
        ("models.0.lr=0", ["models.0.lr: found 0", "greater than 0"]),
        ("models.0.lr=inf", ["models.0.lr: found inf", "finite"]),
        ("models.0.lr=[0.1]", ["models.0.lr: found [0.1]", "2 entries"]),
        ("models.0.weight_decay=nan", ["models.0.weight_decay: found nan", "finite"]),
        ("models.0.size=4", ["models.0.size: found 4", "greater than or equal to 8"]),
        ("models.0.size=[32,32,32]", ["models.0.size: found [32, 32, 32]", "at most 2"]),
        ("models.0.name=a/b", ["models.0.name: found 'a/b'", "matches"]),
        ("targets.0.name=a/b", ["targets.0.name: found 'a/b'", "matches"]),
        ("targets.0.weight=0", ["targets.0.weight: found 0", "greater than 0"]),
        ("slug=Big Comp", ["slug: found 'Big Comp'", "matches"]),
        ("seed=-1", ["seed: found -1", "greater than or equal to 0"]),
        ("folds.n=1", ["folds.n: found 1", "greater than or equal to 2"]),
        ("models=[]", ["models: found []", "at least 1"]),
        ("data.holdout=1", ["data.holdout: found 1", "less than 1"]),
        # words that are none of those known: all of them, and the nearest
        ("metric=acuracy", ["metric: found 'acuracy'", *METRICS, "did you mean 'accuracy'"]),
        ("models.0.schedule=finetune", ["models.0.schedule: found 'finetune'", "did you mean 'fine_tune'"]),
        (
            "targets.0.kind=binery",
            ["targets.0.kind: found 'binery'", "'multilabel'", "did you mean 'binary'"],
        ),
        ("ensemble.method=hilclimb", ["ensemble.method: found 'hilclimb'", "did you mean 'hillclimb'"]),
        ("kind=video", ["kind: found 'video'", "'image'"]),
        ("targets.0.loss=huber", ["targets.0", "'huber'", "cross_entropy, label_smoothing"]),
        ("targets.0.loss=cros_entropy", ["loss 'cros_entropy' is not one of", "did you mean 'cross_entropy'"]),
        ("targets.0.loss=3", ["targets.0.loss: found 3", "string", "a table"]),
        ("targets.0.loss={gamma=2.0}", ["targets.0.loss", "expected a loss by its name"]),
        ("targets.0.loss={name='huber'}", ["targets.0", "loss 'huber' is not one of", "for kind 'category'"]),
        ("targets.0.loss={name='focal', gama=2.0}", ["loss 'focal': unknown option 'gama'; did you mean 'gamma'?"]),
        ("targets.0.loss={name='focal', x=2.0}", ["loss 'focal': unknown option 'x'; known here: gamma"]),
        ("targets.0.loss={name='focal', gamma=-1}", ["loss 'focal': gamma: found -1", "greater than or equal to 0"]),
        ("targets.0.loss={name='focal', gamma='2'}", ["loss 'focal': gamma: found '2'", "number"]),
        ("targets.0.loss={name='cross_entropy', gamma=2}", ["unknown option 'gamma'; it has none"]),
        ("targets.0.kind=3", ["targets.0.kind: found 3, expected 'category', 'binary', 'multilabel' or 'regression'"]),
        ("submission.columns.p='disease:decison'", ["submission.columns.p", "did you mean 'decision'"]),
        ("submission.columns.p='disease:probability'", ["needs a class", "'disease:probability/CLASS'"]),
        ("submission.columns.p='disease:decision/blast'", ["form 'decision' takes no class"]),
    ],
)
def test_a_wrong_value_is_named(tmp_path, refuse, override, words):
    message = refuse(override)
    assert message.startswith(str(tmp_path))
    assert all(word in message for word in words), message


def test_the_first_problem_is_told_and_the_others_counted(refuse):
    message = refuse("models.0.epochs=0", "folds.n=0", "seed=-1")
    assert message.endswith("(and 2 more)")
    assert "more)" not in refuse("models.0.lr=fast")  # one key, though three types refused it
    assert "unknown key 'models.1.epoch'" in refuse("seed=-1", "models.1.epoch=3")


def test_a_missing_key_is_named(load_toml):
    assert "'slug' is missing" in refusal(load_toml, SMALL.replace('slug = "small"', ""))
    assert "'source' is missing" in refusal(load_toml, SMALL.replace('[source]\npath = "small.zip"', ""))
    assert "'models.0.arch' is missing" in refusal(load_toml, SMALL + '[[models]]\nname = "m"\n')


def test_a_very_long_value_is_cut(refuse):
    assert len(refuse("models.0.epochs=" + "x" * 5000)) < 300


# What contradicts itself


REGEX = "targets.0={name='disease', regex='%s'}"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["source={path='a', url='b'}"], ["source", "exactly one", "found url, path"]),
        (["source={}"], ["source", "exactly one", "none"]),
        (["data.holdout=0.2"], ["data", "test and holdout"]),
        (["models.1.name=resnet"], ["models", "'resnet' is used twice"]),
        (["targets.1.name=disease", "folds.stratify=[]"], ["targets", "'disease' is used twice"]),
        (["data={test='t'}"], ["targets.0.column needs data.table"]),
        (["data={test='t'}", "targets=[{name='disease'}]"], ["targets.0", "regex", "folder"]),
        (["targets.0.folder=true"], ["targets.0", "one of column, regex, folder"]),
        (["models.0.schedule=fine_tune"], ["models.0", "weights = 'none'", "one_cycle"]),
        (["models.0.weights=pretrained", "models.0.lr=[0.1, 0.2]"], ["models.0", "lr = [lowest, highest]"]),
        (["models.0.freeze_epochs=1"], ["models.0", "freeze_epochs"]),
        (["models.0.accumulate=5"], ["models.0", "batch_size 32", "accumulate 5"]),
        (["metric=rmse"], ["'rmse'", "regression"]),
        (["folds.stratify=['label']"], ["folds.stratify", "'label'", "disease, variety"]),
        (["submission.columns.label=diseases"], ["submission.columns.label", "'diseases'", "target/class"]),
        (["models.0.name=ensemble"], ["models.0", "'ensemble' is taken"]),
        (["models.0.name=report"], ["models.0", "'report' is taken"]),
        (["targets.1.name=fold"], ["targets.1", "'fold' is taken"]),
        (["targets.1.name=path"], ["targets.1", "'path' is taken"]),
        ([REGEX % "^abc"], ["targets.0.regex", "has 0"]),
        ([REGEX % "^(a)(b)"], ["targets.0.regex", "has 2"]),
        ([REGEX % "^(?P<x>a)(b)"], ["targets.0.regex", "has 2"]),
        ([REGEX % "("], ["targets.0.regex", "not a regular expression"]),
        (["targets.0.kind=regression", "targets.0.loss=cross_entropy"], ["mse, l1"]),
    ],
)
def test_a_contradiction_is_explained(refuse, overrides, words):
    message = refuse(*overrides)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    "overrides",
    [
        ["models.0.lr=[0.001, 0.1]"],  # from scratch: one_cycle
        ["models.0.accumulate=4"],
        [REGEX % "^(a)"],
        [REGEX % "^(?:(?P<x>a)|(?P<y>b))"],
        [REGEX % "^(?P<x>a)"],
        ["targets.1.kind=regression", "metric=rmse"],
        ["submission.columns={label='disease/blast', other='variety'}"],
        ["submission.columns={label='disease:probability/blast', other='variety:decision'}"],
        ["targets.0.loss=focal"],
        ["targets.0.loss={name='focal', gamma=3}"],
        ["targets.0.loss={name='cross_entropy'}"],
        ["models.0.weights=pretrained", "models.0.schedule=one_cycle"],
    ],
)
def test_what_only_looks_like_a_contradiction_loads(set_base, overrides):
    assert isinstance(set_base(*overrides), Competition)


# Files that are not there, or not TOML


def test_an_unknown_name_lists_the_shipped_ones_and_the_nearest():
    message = refusal(competitions.load, "pest")
    assert "did you mean 'pets'" in message
    assert all(name in message for name in competitions.shipped())


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    assert "pipeline new" in refusal(competitions.load, str(tmp_path / "none.toml"))
    (tmp_path / "folder.toml").mkdir()
    assert "folder.toml" in refusal(competitions.load, str(tmp_path / "folder.toml"))
    (tmp_path / "latin.toml").write_bytes(b'slug = "\xe9"')
    assert "latin.toml" in refusal(competitions.load, str(tmp_path / "latin.toml"))


def test_broken_toml_says_where(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text('slug = "x"\nmetric = \n')
    message = refusal(competitions.load, str(path))
    assert str(path) in message
    assert "line 2" in message


# Whatever is typed behind --set


def keys_of(raw, prefix: str = "") -> list[str]:
    entries = raw.items() if isinstance(raw, dict) else enumerate(raw)
    found = []
    for key, value in entries:
        found.append(f"{prefix}{key}")
        if isinstance(value, dict | list):
            found += keys_of(value, f"{prefix}{key}.")
    return found


KEYS = keys_of(tomllib.loads((Path(competitions.__file__).parent / "demo.toml").read_text()))
PARTS = st.sampled_from([*KEYS, "models", "source.path", "data.holdout", "targets.0.regex", "x", "0", ""])
VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["[]", "{}", "[[]]", "true", "nan", "-inf", "1e400", "1979-05-27", "[1, 'a']", "'", '"""'])
    | st.integers().map(str)
    | st.floats().map(str),
)
OVERRIDES = st.one_of(
    st.text(max_size=20),
    st.builds("{}={}".format, st.lists(PARTS, min_size=1, max_size=2).map(".".join), VALUES),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(OVERRIDES, min_size=1, max_size=3))
@example(["models.²=1"])
@example(["models.0.lr=" + "9" * 5000])
@example(["models.0.lr=" + "[" * 5000])
@example(["a\n\nb\nc=1"])
def test_any_override_loads_or_is_refused_in_two_lines(overrides):
    said = "loaded"
    try:
        assert isinstance(competitions.load("demo", overrides), Competition)
    except RequestError as error:
        said = str(error)
    assert 1 <= len(said.splitlines()) <= 2


def test_a_byte_order_mark_in_front_of_the_file_is_no_part_of_it(tiny):
    tiny.file.write_text(tiny.file.read_text(), encoding="utf-8-sig")
    assert tiny.load().slug == "tiny"


def test_a_separator_is_said_as_it_is_in_the_file(tiny):
    assert tiny.load("data.separator='\\t'").data.separator == "\t"
    assert tiny.load("data.separator=;").data.separator == ";"
    with pytest.raises(RequestError, match=r"data\.separator: found ''"):
        tiny.load("data.separator=''")
