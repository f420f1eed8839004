"""The command line: one subcommand a stage. Heavy imports happen inside the commands."""

import json
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from pipeline.errors import PipelineError, RequestError
from pipeline.machine import refuse_windows

if TYPE_CHECKING:
    from pipeline.config import Competition
    from pipeline.log import Log
    from pipeline.workspace import Workspace

kernel = typer.Typer(help="Train and predict on Kaggle.", no_args_is_help=True, rich_markup_mode=None)
app = typer.Typer(
    help="From a raw image or rating competition to a checked, scored submission.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.add_typer(kernel, name="kernel")

Comp = Annotated[str, typer.Argument(metavar="[COMP]", help="A shipped competition, or a path to a TOML file.")]
Root = Annotated[Path, typer.Option("--root", help="Where data/, runs/ and submissions/ live.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Force = Annotated[bool, typer.Option("--force", help="Do it again even if nothing changed.")]
ModelName = Annotated[str | None, typer.Option("--model", help="Only this model.")]
KernelStage = Annotated[str, typer.Option("--stage", help="train, or infer.")]
Folds = Annotated[str | None, typer.Option("--folds", help="Only these folds: 3, 0-4 or 0,2.")]
CacheGb = Annotated[
    float | None,
    typer.Option("--cache-gb", help="Presized pixels may take this many GB; beyond it JPEGs are kept. Half the disk."),
]
HERE = Path()
INTERRUPTED = 130  # what typer makes of Ctrl-C


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 the work failed, 2 the request was wrong."""
    # Torch's threads spin while they wait and starve beside another busy process; a short spin costs nothing
    # alone. Must be set before torch loads.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if "--debug" not in sys.argv:
        warnings.simplefilter("ignore")  # those of libraries about themselves; ours go through Log
    try:
        refuse_windows()
        code = app(standalone_mode=False)
    except PipelineError as error:
        _fail(f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the outermost edge: never a traceback unless it is asked for
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # what the parser of options raises
            _fail(f"error: {error.format_message()}", 2)
        _fail(f"error: {type(error).__name__}: {error} (a fault of the pipeline; --debug shows where)", 1)
    if code == INTERRUPTED:
        _fail("interrupted; the same command goes on from the last finished epoch", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    if "--debug" in sys.argv:
        traceback.print_exc()
    print(message, file=sys.stderr)
    sys.exit(code)


def _open(comp: str, root: Path, sets: list[str] | None) -> "tuple[Competition, Workspace, Log]":
    from pipeline.competitions import load
    from pipeline.log import Log
    from pipeline.workspace import Workspace

    competition = load(comp, sets)
    return competition, Workspace(root.resolve(), competition.slug), Log()


@contextmanager
def _working(comp: str, root: Path, sets: list[str] | None) -> "Iterator[tuple[Competition, Workspace, Log]]":
    from pipeline.workspace import locked

    competition, workspace, log = _open(comp, root, sets)
    with locked(workspace):
        yield competition, workspace, log


def _stage(name: str, comp: str, root: Path, sets: list[str] | None, as_json: bool, **options: Any) -> None:
    from pipeline.road import STAGES, stages_of, states_of

    with _working(comp, root, sets) as (competition, workspace, log):
        order = stages_of(competition)
        if name in order:
            states = states_of(competition, workspace)
            open_stages = [stage for stage in order[: order.index(name)] if not _ready(stage, states[stage], name)]
            if open_stages:
                raise RequestError(
                    f"{name} needs {', '.join(open_stages)} first; run `pipeline {open_stages[0]} {comp}`, "
                    f"or `pipeline run {comp}` for everything"
                )
        did = STAGES[name](competition, workspace, log, **options)
        if not did:
            log.say(f"{name}: up to date")
    if as_json:
        print(json.dumps({"competition": competition.slug, "stage": name, "did": did}))


def _ready(stage: str, state: str, wanted: str) -> bool:
    """Training may be partly done where a model that is trained is predicted; both presize what they lack."""
    return state == "done" or stage == "presize" or (stage, wanted) == ("train", "predict")


def _add_stage(name: str, text: str) -> None:
    """A subcommand for a stage that takes no options of its own."""

    def command(
        comp: Comp = "demo",
        root: Root = HERE,
        sets: Sets = None,
        as_json: Json = False,
        force: Force = False,
        debug: Debug = False,
    ) -> None:
        _stage(name, comp, root, sets, as_json, force=force)

    app.command(name, help=text)(command)


@app.command()
def run(
    comp: Comp = "demo",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Every stage to the submission, skipping what is up to date."""
    from pipeline.road import run as run_all

    with _working(comp, root, sets) as (competition, workspace, log):
        result = run_all(competition, workspace, log, force)
    if as_json:
        print(json.dumps(result))
        return
    from pipeline.tables import print_closing

    print_closing(result["rows"], result["score"])
    if result["submission"]:
        print(f"submission: {result['submission']}")


_add_stage("data", "Fetch the raw files and read them into the manifest.")
_add_stage("check", "Audit every image or rating: unreadable, mislabelled, duplicates, sparsity.")
_add_stage("folds", "Split train for cross-validation; --force makes new folds.")


@app.command()
def presize(  # noqa: PLR0913 - the options of a command
    comp: Comp = "demo",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
    cache_gb: CacheGb = None,
    prune: Annotated[bool, typer.Option("--prune", help="Delete caches that no model reads.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read every byte of what is there, and compare.")] = False,
) -> None:
    """Decode and resize every image once, for all models, folds, epochs and TTA."""
    _stage("presize", comp, root, sets, as_json, force=force, cache_gb=cache_gb, prune=prune, verify=verify)


@app.command()
def train(  # noqa: PLR0913
    comp: Comp = "demo",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
    model: ModelName = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Only this fold, from 0.")] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Stop at an epoch's end before this many are over.")
    ] = None,
) -> None:
    """Train every model on every fold, going on where it was stopped."""
    _stage("train", comp, root, sets, as_json, force=force, only_model=model, only_fold=fold, minutes=minutes)


@app.command()
def predict(
    comp: Comp = "demo",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
    model: ModelName = None,
) -> None:
    """Out-of-fold and test predictions of each model, with TTA."""
    _stage("predict", comp, root, sets, as_json, force=force, only_model=model)


_add_stage("ensemble", "Blend the models, with weights fitted on out-of-fold rows.")


@app.command()
def submit(  # noqa: PLR0913
    comp: Comp = "demo",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
    member: Annotated[str, typer.Option("--model", help="Submit this model in place of the ensemble.")] = "ensemble",
    send: Annotated[bool, typer.Option("--send", help="Send it to Kaggle and wait for the score.")] = False,
    message: Annotated[str, typer.Option("-m", "--message", help="What Kaggle shows beside the score.")] = "",
    late: Annotated[bool, typer.Option("--late", help="Send it though the competition has ended.")] = False,
    kernel: Annotated[
        str | None, typer.Option("--kernel", help="Hand in a kernel's submission.csv: OWNER/SLUG/VERSION.")
    ] = None,
) -> None:
    """Write the submission file, checked against the sample; with --send, hand it in and keep its score."""
    if not send:
        if message or late or kernel:
            raise RequestError("--message, --late and --kernel go with --send")
        _stage("submit", comp, root, sets, as_json, force=force, member=member)
        return
    from pipeline.stages.send import kernel_version
    from pipeline.stages.send import send as hand_in

    version = kernel_version(kernel) if kernel else None
    if version is None:
        _stage("submit", comp, root, sets, as_json=False, force=force, member=member)
    with _working(comp, root, sets) as (competition, workspace, log):
        sent = hand_in(competition, workspace, log, message or "pipeline", late, version)
    if as_json:
        print(json.dumps({"competition": competition.slug, **sent}))


@app.command()
def score(
    comp: Comp = "demo",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    debug: Debug = False,
    solution: Annotated[Path | None, typer.Option("--solution", help="The known answers, a CSV.")] = None,
    submission: Annotated[Path | None, typer.Option("--submission", help="Grade this file, not the newest.")] = None,
) -> None:
    """Grade a submission against known answers."""
    from pipeline.stages.score import score as grade

    with _working(comp, root, sets) as (competition, workspace, _):
        if not workspace.manifest.is_file():
            raise RequestError(f"score needs data first; run `pipeline run {comp}`")
        result = grade(competition, workspace, solution, submission)
    if as_json:
        print(json.dumps(result))
        return
    from pipeline.tables import print_score

    print_score(result)


@app.command()
def status(
    comp: Comp = "demo", root: Root = HERE, sets: Sets = None, as_json: Json = False, debug: Debug = False
) -> None:
    """How far each stage and model is."""
    from pipeline.road import status as describe

    competition, workspace, _ = _open(comp, root, sets)
    result = describe(competition, workspace)
    if as_json:
        print(json.dumps(result))
        return
    from pipeline.tables import print_status

    print_status(result)


@app.command()
def recommend(
    comp: Comp = "movielens",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    debug: Debug = False,
    user: Annotated[str | None, typer.Option("--user", help="A user of the data.")] = None,
    ratings: Annotated[str | None, typer.Option("--new", help='Of somebody new: "Toy Story=5,Fargo=4".')] = None,
    model: ModelName = None,
) -> None:
    """Rating competitions: the items that a user would rate highest."""
    from pipeline.stages.recommend import recommend as choose

    with _working(comp, root, sets) as (competition, workspace, _):
        _need_run(comp, workspace, "recommend")
        result = choose(competition, workspace, user, ratings, model)
    if as_json:
        print(json.dumps(result))
        return
    from pipeline.tables import print_recommended

    print_recommended(result)


@app.command()
def explain(
    comp: Comp = "movielens",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    debug: Debug = False,
    model: ModelName = None,
    item: Annotated[str | None, typer.Option("--item", help="Whose neighbours; by default of the most rated.")] = None,
) -> None:
    """Rating competitions: what biases and factors learned, whom the model serves worst; with pictures."""
    from pipeline.stages.explain import explain as describe

    with _working(comp, root, sets) as (competition, workspace, log):
        _need_run(comp, workspace, "explain")
        result = describe(competition, workspace, log, model, item)
    if as_json:
        print(json.dumps(result))
        return
    from pipeline.tables import print_explained

    print_explained(result)


def _need_run(comp: str, workspace: "Workspace", verb: str) -> None:
    if not workspace.facts.is_file():
        raise RequestError(f"{verb} needs a trained model; run `pipeline run {comp}` first")


@app.command()
def new(
    slug: Annotated[str, typer.Argument(help="The competition's slug, as in its address on Kaggle.")],
    root: Root = HERE,
    debug: Debug = False,
) -> None:
    """Write a commented competition file to start from."""
    from pipeline.competitions.new import write_new

    path = write_new(slug, root)
    print(f"wrote {path}; edit it, then `pipeline data {path}`")


@kernel.command("bundle")
def kernel_bundle(
    comp: Comp = "demo",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    debug: Debug = False,
    image: Annotated[Path | None, typer.Option("--image", help="`pip freeze` of the image, in place of ours.")] = None,
) -> None:
    """Put wheels, settings, folds and weights into one folder for an offline kernel."""
    from pipeline.stages.bundle import bundle

    with _working(comp, root, sets) as (competition, workspace, log):
        folder = bundle(competition, workspace, log, image)
    if as_json:
        print(json.dumps({"competition": competition.slug, "bundle": str(folder)}))


@kernel.command("push")
def kernel_push(  # noqa: PLR0913
    comp: Comp = "demo",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    debug: Debug = False,
    stage: KernelStage = "train",
    folds: Folds = None,
    model: ModelName = None,
    minutes: Annotated[float, typer.Option("--minutes", min=1, help="Stop at an epoch's end before these.")] = 660.0,
    gpu: Annotated[bool, typer.Option("--gpu/--cpu", help="T4 x2, or none.")] = True,
    internet: Annotated[bool, typer.Option("--internet", help="With a network.")] = False,
) -> None:
    """Upload the bundle as a private dataset, and start a private kernel on it."""
    from pipeline.stages.kernel import choose, push

    with _working(comp, root, sets) as (competition, workspace, log):
        kept = push(competition, workspace, log, choose(stage, folds, model, minutes, gpu, internet))
    if as_json:
        print(json.dumps({"competition": competition.slug, **kept}))


@kernel.command("wait")
def kernel_wait(
    comp: Comp = "demo",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    debug: Debug = False,
    stage: KernelStage = "train",
) -> None:
    """Show the log of the pushed kernel until it is over."""
    from pipeline.stages.kernel import wait

    competition, workspace, log = _open(comp, root, sets)
    kept = wait(workspace, log, stage)
    if as_json:
        print(json.dumps({"competition": competition.slug, **kept}))


@kernel.command("pull")
def kernel_pull(
    comp: Comp = "demo",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    force: Annotated[bool, typer.Option("--force", help="Replace folds that are done here.")] = False,
    debug: Debug = False,
    stage: KernelStage = "train",
) -> None:
    """Fetch the kernel's output; what it trained counts as trained here."""
    from pipeline.stages.kernel import pull

    with _working(comp, root, sets) as (competition, workspace, log):
        result = pull(competition, workspace, log, stage, force)
    if as_json:
        print(json.dumps({"competition": competition.slug, **result}))


@kernel.command("rehearse")
def kernel_rehearse(  # noqa: PLR0913
    comp: Comp = "demo",
    root: Root = HERE,
    sets: Sets = None,
    as_json: Json = False,
    debug: Debug = False,
    stage: KernelStage = "train",
    folds: Folds = None,
    model: ModelName = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0, help="Stop at an epoch's end before these.")] = 660.0,
    line: Annotated[
        str, typer.Option("--line", help="image: its versions; next: fastai 2.8.12, fastcore 2.")
    ] = "image",
    python: Annotated[str, typer.Option("--python", help="Kaggle's Python: a version or a path.")] = "3.12",
    gigabytes: Annotated[float, typer.Option("--working-gb", help="What Kaggle keeps of the output.")] = 20.0,
) -> None:
    """Run the bundle's notebook here as on Kaggle: fresh environment, no network, Kaggle's folders."""
    from pipeline.stages.kernel import choose
    from pipeline.stages.rehearse import rehearse

    with _working(comp, root, sets) as (competition, workspace, log):
        chosen = choose(stage, folds, model, minutes)
        result = rehearse(competition, workspace, log, chosen, line, python, gigabytes)
    if as_json:
        print(json.dumps({"competition": competition.slug, **result}))
