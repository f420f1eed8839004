"""The command line: one subcommand a stage. Heavy imports happen inside the commands."""

import sys
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from pipeline.cli_kernel import kernel
from pipeline.errors import PipelineError, RequestError
from pipeline.machine import prepare_process, refuse_windows
from pipeline.options import HERE, Debug, Force, Minutes, ModelName, Root, subcommand

if TYPE_CHECKING:
    from pipeline.project import Project

app = typer.Typer(
    help="From a raw image or rating competition to a checked, scored submission.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.add_typer(kernel, name="kernel")

CacheGb = Annotated[
    float | None,
    typer.Option("--cache-gb", help="Presized pixels may take this many GB; beyond it JPEGs are kept. Half the disk."),
]
INTERRUPTED = 130  # what typer makes of Ctrl-C


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 the work failed, 2 the request was wrong."""
    prepare_process()
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
        message = getattr(error, "format_message", None)
        if message is not None and hasattr(error, "exit_code"):  # what the parser of options raises
            _fail(f"error: {message()}", 2)
        _fail(f"error: {type(error).__name__}: {error} (a fault of the pipeline; --debug shows where)", 1)
    if code == INTERRUPTED:
        _fail("interrupted; the same command goes on from the last finished epoch", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    if "--debug" in sys.argv:
        traceback.print_exc()
    print(message, file=sys.stderr)
    sys.exit(code)


def _stage(project: "Project", name: str, **options: Any) -> dict[str, Any]:
    return {"competition": project.competition.slug, "stage": name, "did": project.stage(name, **options)}


def _add_stage(name: str, text: str) -> None:
    """A subcommand for a stage that takes no options of its own."""

    def plain(project: "Project", force: Force = False) -> dict[str, Any]:
        return _stage(project, name, force=force)

    plain.__doc__ = text
    subcommand(app, name)(plain)


@subcommand(app, "run", show="print_run")
def run(project: "Project", force: Force = False) -> dict[str, Any]:
    """Every stage to the submission, skipping what is up to date."""
    return project.run(force)


_add_stage("data", "Fetch the raw files and read them into the manifest.")
_add_stage("check", "Audit every image or rating: unreadable, mislabelled, duplicates, sparsity.")
_add_stage("folds", "Split train for cross-validation; --force makes new folds.")


@subcommand(app, "presize")
def presize(
    project: "Project",
    force: Force = False,
    cache_gb: CacheGb = None,
    prune: Annotated[bool, typer.Option("--prune", help="Delete caches that no model reads.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read every byte of what is there, and compare.")] = False,
) -> dict[str, Any]:
    """Decode and resize every image once, for all models, folds, epochs and TTA."""
    return _stage(project, "presize", force=force, cache_gb=cache_gb, prune=prune, verify=verify)


@subcommand(app, "train")
def train(
    project: "Project",
    force: Force = False,
    model: ModelName = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Only this fold, from 0.")] = None,
    minutes: Minutes = None,
) -> dict[str, Any]:
    """Train every model on every fold, going on where it was stopped."""
    return _stage(project, "train", force=force, only_model=model, only_fold=fold, minutes=minutes)


@subcommand(app, "predict")
def predict(project: "Project", force: Force = False, model: ModelName = None) -> dict[str, Any]:
    """Out-of-fold and test predictions of each model, with TTA."""
    return _stage(project, "predict", force=force, only_model=model)


_add_stage("ensemble", "Blend the models, with weights fitted on out-of-fold rows.")


@subcommand(app, "submit")
def submit(
    project: "Project",
    force: Force = False,
    member: Annotated[str, typer.Option("--model", help="Submit this model in place of the ensemble.")] = "ensemble",
    send: Annotated[bool, typer.Option("--send", help="Send it to Kaggle and wait for the score.")] = False,
    message: Annotated[str, typer.Option("-m", "--message", help="What Kaggle shows beside the score.")] = "",
    late: Annotated[bool, typer.Option("--late", help="Send it though the competition has ended.")] = False,
    version: Annotated[
        str | None, typer.Option("--kernel", help="Hand in a kernel's submission.csv: OWNER/SLUG/VERSION.")
    ] = None,
) -> dict[str, Any]:
    """Write the submission file, checked against the sample; with --send, hand it in and keep its score."""
    if not send and (message or late or version):
        raise RequestError("--message, --late and --kernel go with --send")
    if not version:
        written = _stage(project, "submit", force=force, member=member)
        if not send:
            return written
    from pipeline.commands.send import kernel_version

    sent = project.send(message, late, kernel_version(version) if version else None)
    return {"competition": project.competition.slug, **sent}


@subcommand(app, "score", show="print_score")
def score(
    project: "Project",
    solution: Annotated[Path | None, typer.Option("--solution", help="The known answers, a CSV.")] = None,
    submission: Annotated[Path | None, typer.Option("--submission", help="Grade this file, not the newest.")] = None,
) -> dict[str, Any]:
    """Grade a submission against known answers."""
    return project.score(solution, submission)


@subcommand(app, "status", show="print_status", asked=("why",))
def status(
    project: "Project",
    why: Annotated[bool, typer.Option("--why", help="Say what makes each stale stage stale.")] = False,
) -> dict[str, Any]:
    """How far each stage and model is."""
    return project.status()


@subcommand(app, "recommend", show="print_recommended", comp="movielens")
def recommend(
    project: "Project",
    user: Annotated[str | None, typer.Option("--user", help="A user of the data.")] = None,
    ratings: Annotated[str | None, typer.Option("--new", help='Of somebody new: "Toy Story=5,Fargo=4".')] = None,
    model: ModelName = None,
) -> dict[str, Any]:
    """Rating competitions: the items that a user would rate highest."""
    return project.recommend(user, ratings, model)


@subcommand(app, "explain", show="print_explained", comp="movielens")
def explain(
    project: "Project",
    model: ModelName = None,
    item: Annotated[str | None, typer.Option("--item", help="Whose neighbours; by default of the most rated.")] = None,
) -> dict[str, Any]:
    """Rating competitions: what biases and factors learned, whom the model serves worst; with pictures."""
    return project.explain(model, item)


@app.command()
def new(
    slug: Annotated[str, typer.Argument(help="The competition's slug, as in its address on Kaggle.")],
    given: Annotated[
        Path | None, typer.Option("--from", metavar="FOLDER_OR_ARCHIVE", help="A raw download to write the file after.")
    ] = None,
    root: Root = HERE,
    debug: Debug = False,
) -> None:
    """Write a commented competition file to start from; with --from, one that fits a download."""
    if given is not None:
        from pipeline.commands.new import new_from
        from pipeline.log import Log

        path = new_from(slug, given, root, Log())
        print(f"wrote {path}; look at what is marked with # ?, then `pipeline run {path}`")
        return
    from pipeline.competitions.new import write_new

    path = write_new(slug, root)
    print(f"wrote {path}; edit it, then `pipeline data {path}`")
