"""The data stage: raw files from everywhere, whole or not at all, and a manifest that fits them."""

import http.server
import os
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from pipeline import workspace as workspaces
from pipeline.data import fetch as fetching
from pipeline.errors import RequestError, WorkFailed
from pipeline.stages.data import data, step
from pipeline.submission import sample_path
from pipeline.workspace import read_json
from tests.conftest import draw_image


@pytest.fixture(autouse=True)
def _away_from_home(tmp_path, monkeypatch):
    """Downloads and Kaggle's mounts are looked for below the test's own folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fetching, "KAGGLE_INPUT", tmp_path / "kaggle-input")


def zip_of(raw: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for file in sorted(raw.rglob("*")):
            if file.is_file():
                zipped.write(file, file.relative_to(raw))
    return path


def below(folder: Path) -> list[str]:
    """Every file below a folder but the pipeline's own, links followed."""
    found = [Path(at) / name for at, _, names in os.walk(folder, followlinks=True) for name in names]
    return sorted(str(path.relative_to(folder)) for path in found if ".pipeline" not in path.parts)


def leftovers(tiny) -> list[str]:
    return sorted(path.name for path in (tiny.root / "data").iterdir() if path.name != "tiny")


def manifest_of(tiny) -> pd.DataFrame:
    return pd.read_parquet(tiny.workspace.manifest)


def assert_complete(tiny) -> None:
    """All of tiny's files are there, and its manifest tells of them."""
    assert below(tiny.workspace.raw) == below(tiny.raw)
    manifest = manifest_of(tiny)
    train, test = manifest[manifest["split"] == "train"], manifest[manifest["split"] == "test"]
    found = zip(train["id"], train["disease"], train["variety"], strict=True)
    assert {name: (disease, variety) for name, disease, variety in found} == tiny.labels
    assert test["id"].tolist() == tiny.test_ids
    assert test[["disease", "variety"]].isna().all(axis=None)
    assert leftovers(tiny) == []


# From a path


def test_a_folder_is_linked_not_copied(tiny, log):
    assert data(tiny.load(), tiny.workspace, log) is True
    assert_complete(tiny)
    assert (tiny.workspace.raw / "train_images").is_symlink()
    assert "24 training and 6 test images" in log.lines[-1]
    assert data(tiny.load(), tiny.workspace, log) is False


def test_an_archive_is_unpacked_and_may_go_afterwards(tiny, log, tmp_path):
    archive = zip_of(tiny.raw, tmp_path / "tiny.zip")
    comp = tiny.load(f"source.path={archive}")
    assert data(comp, tiny.workspace, log) is True
    assert_complete(tiny)
    archive.unlink()
    assert data(comp, tiny.workspace, log) is False


def test_a_path_to_nothing_is_refused(tiny, log):
    with pytest.raises(RequestError, match=r"source.path: nothing at .*absent.zip; give a folder or an archive"):
        data(tiny.load("source.path=absent.zip"), tiny.workspace, log)
    assert not tiny.workspace.raw.exists()
    assert leftovers(tiny) == []


def test_the_raw_folder_is_no_source_for_itself(tiny, log, tmp_path):
    data(tiny.load(f"source.path={zip_of(tiny.raw, tmp_path / 'tiny.zip')}"), tiny.workspace, log)
    for inside in (tiny.workspace.raw, tiny.workspace.raw / "train_images", tiny.root):
        with pytest.raises(RequestError, match="lie in one another"):
            data(tiny.load(f"source.path={inside}"), tiny.workspace, log)
    assert_complete(tiny)  # nothing was lost


def test_a_file_that_comes_or_goes_is_noticed(tiny, log):
    comp = tiny.load()
    data(comp, tiny.workspace, log)
    draw_image(tiny.raw / "test_images" / "906.png", 1)
    assert step(comp, tiny.workspace).state() == "stale"
    with pytest.raises(RequestError, match=r"0 only in the sample \(none\), 1 only in 'test_images' \(906.png\)"):
        data(comp, tiny.workspace, log)
    (tiny.raw / "test_images" / "906.png").unlink()
    assert step(comp, tiny.workspace).state() == "done"
    (tiny.raw / "broken-link.txt").symlink_to("nowhere")
    (tiny.raw / "train_images" / "broken-link.txt").symlink_to("nowhere")
    assert data(comp, tiny.workspace, log) is True


@pytest.mark.parametrize(
    ("override", "stale"),
    [
        ("targets.1.column=label", True),
        ("targets.1.kind=binary", True),
        ("submission.sample=other.csv", True),
        ("models.0.epochs=9", False),
        ("targets.1.weight=2", False),
        ("seed=9", False),
    ],
)
def test_what_the_manifest_depends_on(tiny, log, override, stale):
    data(tiny.load(), tiny.workspace, log)
    assert step(tiny.load(override), tiny.workspace).state() == ("stale" if stale else "done")


# From a URL


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def served(tiny, tmp_path) -> Iterator[str]:
    """The address of an archive of tiny's files, on this machine."""
    folder = tmp_path / "served"
    folder.mkdir()
    with tarfile.open(folder / "tiny.tgz", "w:gz") as tar:
        tar.add(tiny.raw, ".")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/tiny.tgz"
        server.shutdown()


def test_a_url_is_downloaded_once_and_kept_where_fastai_keeps_it(tiny, log, served, tmp_path, capsys):
    comp = tiny.load(f"source.url={served}")
    assert data(comp, tiny.workspace, log) is True
    assert_complete(tiny)
    kept = tmp_path / "home" / ".fastai" / "archive" / "tiny.tgz"
    assert kept.read_bytes() == (tmp_path / "served" / "tiny.tgz").read_bytes()
    (tmp_path / "served" / "tiny.tgz").unlink()
    shutil.rmtree(tiny.workspace.raw)
    assert data(comp, tiny.workspace, log) is True  # from the kept archive
    assert_complete(tiny)
    assert capsys.readouterr().out == ""  # standard output is for results


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x.tgz", "{served}x"])
def test_a_url_out_of_reach_says_how_to_go_on(tiny, log, served, url):
    with pytest.raises(WorkFailed, match=r"source.url: cannot download .*--set source.path=FILE") as caught:
        data(tiny.load(f"source.url={url.format(served=served)}"), tiny.workspace, log)
    assert len(str(caught.value).splitlines()) == 1  # and no page of the server's
    assert not tiny.workspace.raw.exists()
    assert leftovers(tiny) == []


# From Kaggle


def test_files_that_are_already_here_are_used_as_they_are(tiny, log):
    shutil.copytree(tiny.raw, tiny.workspace.raw)
    comp = tiny.load("source.kaggle=tiny-comp")
    assert data(comp, tiny.workspace, log) is True
    assert_complete(tiny)
    assert any("already in" in line for line in log.lines)
    assert data(comp, tiny.workspace, log) is False
    assert data(comp, tiny.workspace, log, force=True) is True  # reads them again; fetches nothing
    assert_complete(tiny)


def test_files_that_the_user_put_there_are_never_replaced(tiny, log):
    shutil.copytree(tiny.raw, tiny.workspace.raw)
    with pytest.raises(RequestError, match="did not put there; move them away"):
        data(tiny.load(), tiny.workspace, log)
    data(tiny.load("source.kaggle=tiny-comp"), tiny.workspace, log)
    for override in (f"source.path={tiny.raw}", "source.kaggle=another"):
        for force in (False, True):
            with pytest.raises(RequestError, match="did not put there; move them away"):
                data(tiny.load(override), tiny.workspace, log, force=force)
    assert_complete(tiny)


def test_an_archive_or_a_mounted_folder_of_the_competition_is_found(tiny, log, tmp_path):
    (tiny.root / "data").mkdir()
    archive = zip_of(tiny.raw, tiny.root / "data" / "tiny-comp.zip")
    data(tiny.load("source.kaggle=tiny-comp"), tiny.workspace, log)
    assert below(tiny.workspace.raw) == below(tiny.raw)
    archive.unlink()
    shutil.rmtree(tiny.workspace.raw)
    shutil.copytree(tiny.raw, tmp_path / "kaggle-input" / "competitions" / "tiny-comp")
    data(tiny.load("source.kaggle=tiny-comp"), tiny.workspace, log)
    assert_complete(tiny)


def test_without_any_files_it_says_what_to_download_and_where_to(tiny, log):
    with pytest.raises(WorkFailed) as caught:
        data(tiny.load("source.kaggle=tiny-comp"), tiny.workspace, log)
    message = str(caught.value)
    for words in ("kaggle competitions download -c tiny-comp", "data/tiny-comp.zip", "--set source.path=FILE"):
        assert words in message
    assert not tiny.workspace.raw.exists()


# Whole or not at all


@pytest.mark.parametrize(("module", "where"), [(fetching, "_fill"), (workspaces, "swap_folder")])
def test_killed_half_way_leaves_no_half_and_the_next_run_works(tiny, log, tmp_path, monkeypatch, module, where):
    comp = tiny.load(f"source.path={zip_of(tiny.raw, tmp_path / 'tiny.zip')}")

    def die(*args):
        if where == "_fill":
            args[1].mkdir()
            (args[1] / "half.jpg").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, where, die)
        with pytest.raises(KeyboardInterrupt):
            data(comp, tiny.workspace, log)
    assert not tiny.workspace.raw.exists()
    assert leftovers(tiny) == []
    data(comp, tiny.workspace, log)
    assert_complete(tiny)


def test_what_a_sigkill_left_is_cleared(tiny, log):
    for name in (".tiny.new", ".tiny.old", "..tiny.new.extracting"):
        draw_image(tiny.root / "data" / name / "half.png", 1)
    data(tiny.load(f"source.path={zip_of(tiny.raw, tiny.root / 'tiny.zip')}"), tiny.workspace, log)
    assert_complete(tiny)


def test_what_a_sigkill_left_of_a_replacement_is_cleared_too(tiny, log, tmp_path):
    data(tiny.load(), tiny.workspace, log)
    draw_image(tiny.root / "data" / ".tiny.old" / "half.png", 1)
    data(tiny.load(f"source.path={zip_of(tiny.raw, tmp_path / 'tiny.zip')}"), tiny.workspace, log)
    assert_complete(tiny)


def test_a_failed_new_source_leaves_the_old_files(tiny, log, tmp_path):
    data(tiny.load(), tiny.workspace, log)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(WorkFailed):
        data(tiny.load(f"source.path={tmp_path / 'broken.zip'}"), tiny.workspace, log)
    assert_complete(tiny)
    assert data(tiny.load(), tiny.workspace, log) is False


def test_another_source_replaces_the_files_but_never_the_users(tiny, log, tmp_path):
    data(tiny.load(), tiny.workspace, log)
    other = tmp_path / "other"
    shutil.copytree(tiny.raw, other)
    (other / "extra.txt").write_text("x")
    assert data(tiny.load(f"source.path={other}"), tiny.workspace, log) is True
    assert "extra.txt" in below(tiny.workspace.raw)
    assert read_json(tiny.workspace.meta / "fetched.json") == {"source": {"path": str(other)}}
    assert len(below(tiny.raw)) == 32  # the folder that had been linked is as it was
    assert leftovers(tiny) == []


def test_an_unknown_folder_in_place_is_refused(tiny, log):
    draw_image(tiny.workspace.raw / "mine.png", 1)
    with pytest.raises(RequestError, match="holds files that the pipeline did not put there"):
        data(tiny.load(), tiny.workspace, log)
    assert below(tiny.workspace.raw) == ["mine.png"]


# Held back


HOLD = ("data={table='train.csv', id='image_id', images='train_images/{label}/{image_id}', holdout=0.25}",)


def held(tiny, log, *overrides: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The manifest, the solution and the sample of a competition that holds a quarter back."""
    comp = tiny.load(*HOLD, *overrides)
    data(comp, tiny.workspace, log)
    assert sample_path(comp, tiny.workspace) == tiny.workspace.held_back_sample
    read = partial(pd.read_csv, dtype=str, keep_default_na=False)
    return manifest_of(tiny), read(tiny.workspace.solution), read(tiny.workspace.held_back_sample)


def test_a_quarter_of_each_class_is_held_back_with_its_answers(tiny, log):
    manifest, solution, sample = held(tiny, log)
    test = manifest[manifest["split"] == "test"]
    assert len(manifest) == 24
    assert manifest["split"].tolist() == ["train"] * 18 + ["test"] * 6
    assert solution["disease"].value_counts().to_dict() == {"blast": 2, "hispa": 2, "normal": 2}
    assert list(solution.columns) == list(sample.columns) == ["image_id", "disease", "variety"]
    assert sorted(solution["image_id"]) == sorted(sample["image_id"]) == test["id"].tolist()
    answers = solution.set_index("image_id")
    assert {n: tuple(answers.loc[n]) for n in answers.index} == {n: tiny.labels[n] for n in answers.index}
    assert (sample[["disease", "variety"]] == "").all(axis=None)
    assert test[["disease", "variety"]].isna().all(axis=None)  # no answers for whoever trains
    assert manifest[manifest["split"] == "train"]["disease"].notna().all()


def test_the_seed_chooses_who_is_held_back(tiny, log):
    first = set(held(tiny, log)[1]["image_id"])
    assert data(tiny.load(*HOLD), tiny.workspace, log) is False
    assert set(held(tiny, log, "seed=42")[1]["image_id"]) == first
    assert set(held(tiny, log, "seed=43")[1]["image_id"]) != first


def test_a_lost_solution_is_made_again(tiny, log):
    held(tiny, log)
    before = tiny.workspace.solution.read_bytes()
    tiny.workspace.solution.unlink()
    assert step(tiny.load(*HOLD), tiny.workspace).state() == "stale"
    held(tiny, log)
    assert tiny.workspace.solution.read_bytes() == before


def relabel(tiny, diseases: dict[str, str], varieties: dict[str, str]) -> None:
    rows = [f"{n},{d},{diseases.get(n, d)},{varieties.get(n, v)}\n" for n, (d, v) in tiny.labels.items()]
    (tiny.raw / "train.csv").write_text("image_id,label,disease,variety\n" + "".join(rows))


OWN_COLUMN = ("targets.0={name='disease'}", "submission.columns={disease='disease'}")


def test_no_class_of_any_target_is_held_back_altogether(tiny, log):
    names = list(tiny.labels)
    # one member, and two of which a large share would take both; single members of the second target
    relabel(tiny, {names[0]: "single", names[1]: "pair", names[2]: "pair"}, {name: name for name in names[:6]})
    share = "data.holdout=0.9"
    manifest, solution, _ = held(tiny, log, *OWN_COLUMN, share)
    train = manifest[manifest["split"] == "train"]
    assert set(train["disease"]) == {"single", "pair", "blast", "hispa", "normal"}
    assert set(train["variety"]) == {"A", "B", *names[:6]}
    assert len(solution) >= 12


def test_a_share_of_a_regression_or_of_tags_is_held_back_too(tiny, log):
    relabel(tiny, {}, {name: str(number * 1.5) for number, name in enumerate(tiny.labels)})
    numbers = ("targets=[{name='variety', kind='regression'}]", "submission.columns={}", "metric=rmse")
    manifest, solution, _ = held(tiny, log, *numbers, "folds.stratify=[]")
    assert len(solution) == 6
    assert manifest["variety"].dtype == float
    assert manifest["variety"].notna().sum() == 18
    relabel(tiny, {}, {name: f"tag{number} t" for number, name in enumerate(tiny.labels)})
    tags = ("targets=[{name='variety', kind='multilabel'}]", "submission.columns={}", "metric=micro_f1")
    assert len(held(tiny, log, *tags)[1]) == 6


def test_a_share_of_no_image_is_refused(tiny, log):
    with pytest.raises(RequestError, match=r"data.holdout = 0.01 of 24 images holds none back"):
        held(tiny, log, "data.holdout=0.01")
    assert not tiny.workspace.manifest.exists()


# What the raw files contradict


FOLDERS = ("data={images='train_images', test='test_images'}", "targets=[{name='disease', folder=true}]")


def test_an_empty_class_folder_is_refused(tiny, log):
    comp = tiny.load(*FOLDERS, "submission.columns={}")
    (tiny.raw / "train_images" / "rust").mkdir()
    (tiny.raw / "train_images" / "rust" / "notes.txt").write_text("no image")
    with pytest.raises(RequestError, match=r"class folder 'rust' in .* holds no image"):
        data(comp, tiny.workspace, log)
    assert not tiny.workspace.manifest.exists()
    shutil.rmtree(tiny.raw / "train_images" / "rust")
    assert data(comp, tiny.workspace, log) is True
    assert set(manifest_of(tiny)["disease"].dropna()) == {"blast", "hispa", "normal"}


def test_class_folders_may_lie_at_the_top_of_a_linked_folder(tiny, log):
    comp = tiny.load(f"source.path={tiny.raw / 'train_images'}", "data={images='.'}", FOLDERS[1])
    data(comp, tiny.workspace, log)
    assert manifest_of(tiny)["disease"].value_counts().to_dict() == {"blast": 8, "hispa": 8, "normal": 8}


def test_sample_ids_that_are_not_the_test_images_are_refused(tiny, log):
    sample = tiny.raw / "sample_submission.csv"
    sample.write_text(sample.read_text().replace("900.png", "900"))
    with pytest.raises(RequestError) as caught:
        data(tiny.load(), tiny.workspace, log)
    message = str(caught.value)
    assert "1 only in the sample (900), 1 only in 'test_images' (900.png)" in message
    assert "test = 'test_images/{image_id}.*'" in message
    assert not tiny.workspace.manifest.exists()


def test_a_sample_without_endings_goes_with_a_pattern(tiny, log):
    sample = tiny.raw / "sample_submission.csv"
    sample.write_text(sample.read_text().replace(".png", ""))
    data(tiny.load("data.test=test_images/{image_id}.png"), tiny.workspace, log)
    test = manifest_of(tiny).query("split == 'test'")
    assert test["id"].tolist() == [name.removesuffix(".png") for name in tiny.test_ids]
    assert test["path"].tolist() == [f"test_images/{name}" for name in tiny.test_ids]


def test_a_refused_manifest_leaves_the_old_one(tiny, log):
    data(tiny.load(), tiny.workspace, log)
    before = tiny.workspace.manifest.read_bytes()
    with pytest.raises(RequestError, match="no column 'colour'"):
        data(tiny.load("targets.1.column=colour"), tiny.workspace, log)
    assert tiny.workspace.manifest.read_bytes() == before
    assert step(tiny.load(), tiny.workspace).state() == "done"


def test_a_replacement_killed_between_its_two_renames_keeps_the_folds(tiny, log):
    comp = tiny.load()
    data(comp, tiny.workspace, log)
    (tiny.workspace.meta / "folds.csv").write_text("id,fold\n")
    os.rename(tiny.workspace.raw, tiny.workspace.raw.parent / ".tiny.old")
    data(comp, tiny.workspace, log)
    assert (tiny.workspace.meta / "folds.csv").read_text() == "id,fold\n"
    assert not (tiny.workspace.raw.parent / ".tiny.old").exists()
