"""Kernels: pushed whole or not at all, watched to their end, and what they trained taken home."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.commands import session
from pipeline.commands.kernel import dataset_slug, kernel_slug
from pipeline.competitions import load
from pipeline.data import fetch as fetching
from pipeline.freshness import digest
from pipeline.kaggle import dataset as datasets
from pipeline.registry import PlugIn, forget
from tests.command import pipeline
from tests.kaggle_server import TOKEN
from tests.kaggle_tiny import run, write_index, write_on_kaggle

DATA = "ada/pipeline-tiny"
KERNEL = "ada/pipeline-tiny-train"


@pytest.fixture(scope="module")
def bundled(tmp_path_factory, built_once) -> Path:
    """A competition with folds made, nothing trained, and its bundle."""
    folder = tmp_path_factory.mktemp("kernel")
    comp = write_on_kaggle(folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PIP_NO_INDEX", "1")
        patched.setenv("PIP_FIND_LINKS", str(write_index(folder / "index")))
        run(comp, folder / "root", "data", "check", "folds")
        result = pipeline("kernel", "bundle", comp, "--root", folder / "root")
    assert result.code == 0, result.err
    return folder


@pytest.fixture
def comp(bundled, tmp_path, server, slept, monkeypatch) -> Path:
    monkeypatch.setattr(fetching, "KAGGLE_INPUT", tmp_path / "kaggle-input")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(bundled / "index"))
    return Path(shutil.copytree(bundled, tmp_path / "c", symlinks=True)) / "tiny.toml"


@pytest.fixture
def kernel(comp):
    """`pipeline kernel ...` in this process."""

    def run(verb: str, *args: object):
        return pipeline("kernel", verb, comp, "--root", comp.parent / "root", *args)

    return run


def last(result) -> str:
    return result.err.splitlines()[-1]


def fails(result, words: str, code: int = 1) -> None:
    assert result.code == code, result.err
    assert words in last(result)
    assert last(result).startswith("error: ")


# Push


def test_a_push_says_every_setting_aloud(kernel, comp, server):
    server.processing = 2
    result = kernel("push", "--folds", "0-1", "--json")
    assert result.code == 0, result.err
    held, bundle = server.datasets[DATA], comp.parent / "root/runs/tiny/kernel/bundle"
    assert held["files"] == {path.name: path.read_bytes() for path in bundle.iterdir()}
    assert held["about"]["isPrivate"] is True
    pushed = server.kernels[KERNEL]
    expected = {
        "slug": KERNEL,
        "newTitle": "pipeline-tiny-train",
        "language": "python",
        "kernelType": "notebook",
        "isPrivate": True,
        "enableInternet": False,
        "enableGpu": True,
        "enableTpu": False,
        "machineShape": "NvidiaTeslaT4",
        "datasetDataSources": [DATA],
        "competitionDataSources": ["tiny-comp"],
        "sessionTimeoutSeconds": 42300,
        "version": 1,
    }
    assert {key: value for key, value in pushed.items() if key != "text"} == expected
    told = json.loads(pushed["text"])["cells"][1]["source"]
    assert '"folds": [0, 1]' in told
    assert digest(bundle / "bundle.json") in told
    assert (result.json["owner"], result.json["version"], result.json["folds"]) == ("ada", 1, [0, 1])
    assert server.count("GetDatasetStatus") >= 3


def test_asked_for_a_network_and_no_gpu_it_says_so(kernel, server):
    assert kernel("push", "--cpu", "--internet", "--minutes", "30").code == 0
    pushed = server.kernels[KERNEL]
    assert (pushed["enableInternet"], pushed["enableGpu"]) == (True, False)
    assert "machineShape" not in pushed
    assert pushed["sessionTimeoutSeconds"] == 75 * 60


def test_a_second_push_uploads_nothing_and_goes_on_from_the_first(kernel, server):
    assert kernel("push").code == 0
    blobs = server.count("StartBlobUpload")
    assert "kernelDataSources" not in server.kernels[KERNEL]
    again = kernel("push")
    assert "going on from the one before" in again.err
    assert server.count("StartBlobUpload") == blobs
    assert server.kernels[KERNEL]["kernelDataSources"] == [KERNEL]
    assert server.kernels[KERNEL]["version"] == 2


def test_a_new_bundle_becomes_a_new_version_with_all_its_files(kernel, comp, server):
    assert kernel("push").code == 0
    assert kernel("bundle", "--set", "models.0.epochs=3").code == 0
    fails(kernel("push"), "the bundle is older than the competition file; run `pipeline kernel bundle` again", 2)
    server.processing = 1
    assert kernel("push", "--set", "models.0.epochs=3").code == 0
    assert server.datasets[DATA]["versions"] == 2
    assert len(server.datasets[DATA]["files"]) == len(list((comp.parent / "root/runs/tiny/kernel/bundle").iterdir()))


def test_without_a_bundle_it_says_so(kernel, comp, server):
    shutil.rmtree(comp.parent / "root/runs/tiny/kernel")
    fails(kernel("push"), "there is no bundle yet; run `pipeline kernel bundle` first", 2)
    assert server.calls == []


def test_a_file_that_cannot_be_uploaded_makes_no_dataset(kernel, server):
    server.fail("PUT storage", status=403)
    fails(kernel("push"), "nothing was handed in")
    assert (server.datasets, server.kernels) == ({}, {})
    assert kernel("push").code == 0


def test_an_upload_that_breaks_is_resumed(kernel, comp, server):
    server.fail("PUT storage", cut=100)
    server.fail("StartBlobUpload", status=503)
    assert kernel("push").code == 0
    bundle = comp.parent / "root/runs/tiny/kernel/bundle"
    assert server.datasets[DATA]["files"] == {path.name: path.read_bytes() for path in bundle.iterdir()}


def test_a_dataset_that_lost_a_file_is_not_used(kernel, server):
    server.lost = {"competition.toml"}
    fails(kernel("push"), "lacks 1 of its files, or has them in another size (competition.toml); push again")
    assert server.kernels == {}
    server.lost = set()
    assert kernel("push").code == 0


def test_a_version_on_top_of_one_in_the_making_waits(kernel, comp, server, monkeypatch):
    assert kernel("push").code == 0
    (comp.parent / "root/runs/tiny/kernel/dataset.json").unlink()
    server.fail("CreateDatasetVersion", status=403, message="Permission 'datasets.update' was denied")
    result = kernel("push")
    assert result.code == 0, result.err
    assert "the version before is in the making; waiting for it" in result.err
    server.fail("CreateDatasetVersion", times=3, status=403, message="Permission 'datasets.update' was denied")
    (comp.parent / "root/runs/tiny/kernel/dataset.json").unlink()
    fails(kernel("push"), "Kaggle answered 403 (Permission 'datasets.update' was denied)")


def test_a_dataset_that_kaggle_cannot_process_ends_it(kernel, server, monkeypatch):
    real = server._dataset

    def broken(*args):
        answer = real(*args)
        server.datasets[DATA]["final"] = "FAILED"
        return answer

    monkeypatch.setattr(server, "_dataset", broken)
    fails(kernel("push"), "Kaggle could not process it (FAILED)")
    assert server.kernels == {}


def test_a_dataset_that_is_never_ready_ends_it(kernel, server, slept, monkeypatch):
    server.processing = 10_000
    monkeypatch.setattr(datasets, "POLL", 600.0)
    fails(kernel("push"), f"dataset {DATA} is still BLOBS_RECEIVED after 60 min; push again later")
    assert sum(slept) >= 3600
    assert server.kernels == {}


def test_a_dataset_refused_in_passing_is_a_failure(kernel, server, monkeypatch):
    monkeypatch.setattr(server, "_dataset", lambda *args: {"status": "error", "error": "The title is already in use"})
    fails(kernel("push"), "Kaggle did not make it: The title is already in use")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": "Maximum weekly GPU quota of 30.00 hours reached."}, "Kaggle refused: Maximum weekly GPU quota"),
        ({"invalidDatasetSources": [DATA]}, f"the dataset {DATA}; the kernel that started without it"),
        ({"invalidCompetitionSources": ["tiny-comp"]}, "the competition tiny-comp"),
        ({"invalidKernelSources": [KERNEL]}, f"the kernel {KERNEL}"),
        ({"invalidModelSources": ["m"]}, "the model m"),
        ({"versionNumber": 0}, "Kaggle named no version"),
    ],
)
def test_a_push_refused_in_passing_is_a_failure(kernel, comp, server, answer, words):
    server.save_kernel = answer
    fails(kernel("push"), words)
    assert not (comp.parent / "root/runs/tiny/kernel/train.json").exists()


def test_a_push_whose_answer_was_lost_is_not_repeated(kernel, server):
    server.fail("SaveKernel", status=500, after=True)
    fails(kernel("push"), "it may run all the same: look at https://www.kaggle.com/code/ada/pipeline-tiny-train")
    assert server.count("SaveKernel") == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--stage", "dance"), "expected train or infer"),
        (("--folds", "x"), "expected numbers such as 3, 0-4 or 0,2"),
        (("--folds", "3-1"), "names no fold"),
        (("--folds", "0-7"), "folds are numbered 0 to 1"),
        (("--model", "absent"), "the file's models are resnet"),
    ],
)
def test_wrong_choices_are_refused_before_anything_is_sent(kernel, server, args, words):
    fails(kernel("push", *args), words, 2)
    assert server.calls == []


def test_names_fit_kaggles_rules(bundled):
    comp = load(str(bundled / "tiny.toml"))
    long = comp.model_copy(update={"slug": "a_very_long-competition_name-of-more-than-fifty-characters-in-all"})
    for name in (dataset_slug(long), kernel_slug(long, "train"), kernel_slug(long, "infer")):
        assert len(name) <= 50
        assert "_" not in name
    assert kernel_slug(long, "train").endswith("-train")
    assert dataset_slug(load("paddy")) == "pipeline-paddy-disease-classification"
    assert kernel_slug(load("paddy"), "train") == "pipeline-paddy-disease-classification-train"


# Wait


def test_wait_shows_each_line_once_and_ends_with_the_kernel(kernel, server):
    kernel("push")
    server.kernel_states = ["QUEUED", "QUEUED", "RUNNING", "RUNNING", "COMPLETE"]
    server.log_lines = ["first\n", "second\nthird\n", f"token {TOKEN}\n"]
    server.fail("GET log", cut=1)  # the stream breaks after one piece
    server.fail("GET log", status=502)
    result = kernel("wait")
    assert result.code == 0, result.err
    assert [line.strip() for line in result.err.splitlines() if line.startswith("  ")] == [
        "first",
        "second",
        "third",
        "token ***",
    ]
    for word in ("is queued", "is running", "is complete"):
        assert result.err.count(word) == 1


def test_a_kernel_that_failed_is_a_failure_with_its_reason(kernel, server):
    kernel("push")
    server.kernel_states, server.kernel_failure = ["RUNNING", "ERROR"], "Your notebook ran out of memory"
    server.log_lines = ["error: the loss is nan\n"]
    result = kernel("wait")
    fails(result, f"{KERNEL} failed: Your notebook ran out of memory; https://www.kaggle.com/code/{KERNEL}")
    assert "the loss is nan" in result.err


def test_a_cancelled_kernel_is_a_failure(kernel, server):
    kernel("push")
    server.kernel_states = ["CANCEL_ACKNOWLEDGED"]
    fails(kernel("wait"), f"{KERNEL} was cancelled")


def test_waiting_for_nothing_is_refused(kernel, server):
    fails(kernel("wait"), "no kernel was pushed for train yet; run `pipeline kernel push --stage train`", 2)
    fails(kernel("pull", "--stage", "infer"), "no kernel was pushed for infer yet", 2)


# Pull: what a session leaves, taken home


@pytest.fixture
def on_kaggle(comp, tmp_path, monkeypatch):
    """Run a session as the notebook would, on the bundle, and offer its output on the server."""

    places: list[Path] = []

    def run(server, going_on: bool = False, **settings: object) -> int:
        place = tmp_path / "kaggle" / str(len(places))
        bundle = Path(
            shutil.copytree(comp.parent / "root/runs/tiny/kernel/bundle", place / "input/datasets/ada/pipeline-tiny")
        )
        shutil.copytree(comp.parent / "raw", place / "input/competitions/tiny-comp")
        if going_on:
            shutil.copytree(places[-1] / "working", place / "input/notebooks/ada/pipeline-tiny-train")
        places.append(place)
        with monkeypatch.context() as patched:
            for name in ("input", "working", "scratch"):
                (place / name).mkdir(parents=True, exist_ok=True)
                patched.setenv(f"PIPELINE_KAGGLE_{name.upper()}", str(place / name))
            patched.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
            settings = {"slug": "tiny", "stage": "train", "minutes": 600, "model": None, "folds": [0, 1]} | settings
            code = session.main(bundle, settings)
        working = place / "working"
        server.outputs = {str(p.relative_to(working)): p.read_bytes() for p in working.rglob("*") if p.is_file()}
        return code

    return run


def status(comp: Path) -> dict:
    return pipeline("status", comp, "--root", comp.parent / "root", "--json").json


def test_folds_trained_there_count_as_trained_here(kernel, comp, server, on_kaggle):
    kernel("push")
    assert on_kaggle(server, folds=[1]) == 0
    result = kernel("pull", "--json")
    assert result.code == 0, result.err
    assert result.json["joined"] == ["resnet/fold-1"]
    assert status(comp)["models"][0]["folds_done"] == 1
    here = pipeline("run", comp, "--root", comp.parent / "root")
    assert here.code == 0, here.err
    assert "train resnet fold 1/2" in here.err
    assert "train resnet fold 2/2" not in here.err, "it was trained on Kaggle"
    assert set(status(comp)["stages"].values()) == {"done"}
    runs = comp.parent / "root/runs/tiny"
    assert not list(runs.rglob("output-*"))
    again = kernel("pull", "--json")
    assert (again.json["joined"], again.json["kept"]) == ([], ["resnet/fold-1"])
    assert kernel("pull", "--force", "--json").json["joined"] == ["resnet/fold-1"]


def test_there_and_here_give_the_same_bytes(kernel, comp, server, on_kaggle):
    kernel("push")
    on_kaggle(server)
    assert pipeline("train", comp, "--root", comp.parent / "root").code == 0
    name = "runs/tiny/resnet/fold-0/weights.safetensors"
    assert server.outputs[name] == (comp.parent / "root" / name).read_bytes()


def test_stopped_in_time_the_next_push_goes_on_and_ends_with_the_same_bytes(kernel, comp, server, on_kaggle, capfd):
    kernel("push")
    assert on_kaggle(server, minutes=0) == 0
    assert "not done yet: resnet folds [0, 1]; push again to go on" in capfd.readouterr().err
    summary = json.loads(server.outputs["session.json"])
    assert (summary["done"], summary["left"]) == ({"resnet": []}, {"resnet": [0, 1]})
    result = kernel("pull", "--json")
    assert result.json["unfinished"] == ["resnet/fold-0"]
    assert "push again to go on" in result.err
    assert on_kaggle(server, going_on=True) == 0
    said = capfd.readouterr().err
    assert "taking up resnet fold-0" in said
    assert "goes on after epoch 1" in said
    there = dict(server.outputs)
    assert kernel("pull", "--json").json["joined"] == ["resnet/fold-0", "resnet/fold-1"]
    shutil.rmtree(comp.parent / "root/runs/tiny/resnet")
    assert pipeline("train", comp, "--root", comp.parent / "root").code == 0
    for k in (0, 1):
        name = f"runs/tiny/resnet/fold-{k}/weights.safetensors"
        assert there[name] == (comp.parent / "root" / name).read_bytes()


def test_training_stops_in_time_here_too(comp):
    train = ("train", comp, "--root", comp.parent / "root")
    result = pipeline(*train, "--minutes", "0")
    assert result.code == 0, result.err
    assert "stopped after epoch 1/2: 0 minutes are over, 2 fold(s) not done; run the same again" in last(result)
    assert status(comp)["models"][0]["folds_done"] == 0
    result = pipeline(*train, "--minutes", "0")  # every call gets further
    assert "goes on after epoch 1" in result.err
    assert "train resnet fold 2 was not begun" in last(result)
    assert status(comp)["models"][0]["folds_done"] == 1
    assert pipeline(*train, "--minutes", "60").code == 0
    assert status(comp)["models"][0]["folds_done"] == 2


def test_a_checkpoint_from_there_goes_on_here(kernel, comp, server, on_kaggle):
    kernel("push")
    on_kaggle(server, minutes=0)
    kernel("pull")
    result = pipeline("train", comp, "--root", comp.parent / "root")
    assert result.code == 0
    assert "train resnet fold 1/2  goes on after epoch 1" in result.err


def test_folds_of_something_else_are_refused_by_reason(kernel, comp, server, on_kaggle):
    kernel("push")
    on_kaggle(server)
    result = kernel("pull", "--set", "models.0.epochs=3")
    fails(result, "resnet/fold-0, resnet/fold-1 of ada/pipeline-tiny-train were trained from something else")
    assert "model.epochs changed from 2 to 3" in last(result)
    assert not (comp.parent / "root/runs/tiny/resnet/fold-0").exists()


def test_an_output_that_was_damaged_is_refused(kernel, comp, server, on_kaggle):
    kernel("push")
    on_kaggle(server, folds=[0])
    server.outputs["runs/tiny/resnet/fold-0/history.csv"] += b"x"
    fails(kernel("pull"), "history.csv is missing or was changed by hand")


def test_names_that_lead_elsewhere_are_not_even_fetched(kernel, comp, server, on_kaggle):
    kernel("push")
    on_kaggle(server, folds=[0])
    fetched = server.count("GET storage")
    for name in ("../../evil", "/etc/evil", "runs/tiny/resnet/fold-0/../../../evil", "runs/tiny/resnet/fold-0/evil.py"):
        server.outputs[name] = b"evil"
    assert kernel("pull").code == 0
    assert server.count("GET storage") == fetched + 3
    assert not list(comp.parent.rglob("evil*"))


def test_addresses_that_expired_are_asked_for_anew(kernel, server, on_kaggle):
    kernel("push")
    on_kaggle(server, folds=[0])
    server.fail("GET storage", status=403, message="ExpiredToken")
    server.failures["GET storage"] += [failure(cut=1), failure(status=503)]
    assert kernel("pull", "--json").json["joined"] == ["resnet/fold-0"]


def failure(**options):
    from tests.kaggle_server import Failure

    return Failure(**options)


def test_a_kernel_without_output_is_a_failure(kernel, server):
    kernel("push")
    server.outputs = {"__notebook__.ipynb": b"{}"}
    fails(kernel("pull"), "has no output of tiny (1 others); `pipeline kernel wait` says why")


def test_files_that_differ_from_the_bundles_stop_the_session(kernel, comp, server, on_kaggle, capfd):
    (comp.parent / "raw/train_images/red/9999.png").write_bytes(b"another")
    assert on_kaggle(server) == 1
    said = capfd.readouterr().err
    assert "is not what the bundle was made from (files changed" in said
    assert "bundle and push again" in said


# Plug-ins


def test_a_plug_in_travels_in_the_bundle_and_its_folds_count_here(kernel, comp, server, on_kaggle, tmp_path):
    mine = tmp_path / "mine.py"
    text = "from pipeline.losses import LOSSES, Loss\n\n\ndef tripled(preds, labels, options):\n"
    text += "    import torch.nn.functional as F\n\n"
    text += "    return 3 * F.cross_entropy(preds, labels[:, 0].long(), reduction='none')\n\n\n"
    mine.write_text(text + "LOSSES.add('tripled', Loss({'category': tripled}))\n")
    options = ["--plugin", mine, "--set", "targets.0.loss=tripled"]
    try:
        assert kernel("bundle", *options).code == 0
        bundle = comp.parent / "root/runs/tiny/kernel/bundle"
        assert (bundle / "plugin--mine.py").read_bytes() == mine.read_bytes()
        fails(kernel("push", "--set", "targets.0.loss=tripled"), "older than the plug-ins", 2)
        assert kernel("push", *options).code == 0
        assert on_kaggle(server, folds=[0]) == 0
        result = kernel("pull", "--json", *options)
        assert result.code == 0, result.err
        assert result.json["joined"] == ["resnet/fold-0"]
        mine.write_text(mine.read_text().replace("3 *", "4 *"))
        fails(kernel("push", *options), "older than the plug-ins", 2)
        shown = pipeline("status", comp, "--root", comp.parent / "root", *options, "--json").json
        assert any("the plug-in behind targets.colour.loss changed" in why for why in shown["why"]["train"])
    finally:
        forget(PlugIn(mine.resolve(), ""))


# Infer


def test_a_submission_is_made_of_whatever_test_set_is_mounted(kernel, comp, server, on_kaggle, tmp_path, capfd):
    root = comp.parent / "root"
    kernel("push")
    assert on_kaggle(server, stage="infer") == 1
    assert "the bundle has no trained weights of resnet fold 0" in capfd.readouterr().err
    assert pipeline("run", comp, "--root", root).code == 0
    assert kernel("bundle").code == 0
    assert kernel("push", "--stage", "infer").code == 0
    hidden = comp.parent / "raw/test_images"
    names = sorted(path.name for path in hidden.iterdir())
    (hidden / names[0]).rename(hidden / "hidden.png")
    (hidden / names[1]).write_bytes(b"no image")
    shutil.rmtree(comp.parent / "raw/train_images")
    (comp.parent / "raw/train_images").mkdir()
    sample = comp.parent / "raw/sample_submission.csv"
    sample.write_text("image_id,colour\n" + "".join(f"{name},\n" for name in ["hidden.png", *names[1:]]))
    assert on_kaggle(server, stage="infer") == 0, capfd.readouterr().err
    result = kernel("pull", "--stage", "infer", "--json")
    assert result.code == 0, result.err
    rows = Path(result.json["submission"]).read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["image_id", "hidden.png", *names[1:]]
    assert {row.split(",")[1] for row in rows[1:]} <= {"red", "green", "blue"}
    assert Path(result.json["submission"]).name == "kernel-pipeline-tiny-infer-v1.csv"


def test_of_the_same_test_set_infer_makes_the_local_submission(kernel, comp, server, on_kaggle, capfd):
    root = comp.parent / "root"
    local = pipeline("run", comp, "--root", root, "--json").json["submission"]
    assert kernel("bundle").code == 0
    assert kernel("push", "--stage", "infer").code == 0
    assert on_kaggle(server, stage="infer") == 0, capfd.readouterr().err
    pulled = kernel("pull", "--stage", "infer", "--json").json["submission"]
    assert Path(pulled).read_bytes() == Path(local).read_bytes()


def test_no_secret_travels_in_a_bundle_or_is_said(kernel, comp, server, on_kaggle):
    said = [kernel("push", "--debug"), kernel("wait"), kernel("pull", "--debug")]
    server.fail("SaveKernel", status=400, message=f"no {TOKEN}")
    said.append(kernel("push", "--debug"))
    for result in said:
        for secret in (TOKEN, *server.signed):
            assert secret not in result.out + result.err
    for path in comp.parent.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes()
    assert all(TOKEN.encode() not in data for data in server.datasets[DATA]["files"].values())
    assert TOKEN not in server.kernels[KERNEL]["text"]
