"""`pipeline kernel`: bundle, push, wait, pull, rehearse."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.options import ModelName, subcommand

if TYPE_CHECKING:
    from pipeline.project import Project

kernel = typer.Typer(help="Train and predict on Kaggle.", no_args_is_help=True, rich_markup_mode=None)

Stage = Annotated[str, typer.Option("--stage", help="train, or infer.")]
Folds = Annotated[str | None, typer.Option("--folds", help="Only these folds: 3, 0-4 or 0,2.")]
Minutes = Annotated[float, typer.Option("--minutes", min=1, help="Stop at an epoch's end before these.")]
MINUTES = 660.0


@subcommand(kernel, "bundle")
def kernel_bundle(
    project: "Project",
    image: Annotated[Path | None, typer.Option("--image", help="`pip freeze` of the image, in place of ours.")] = None,
) -> dict[str, Any]:
    """Put wheels, settings, folds and weights into one folder for an offline kernel."""
    from pipeline.commands.bundle import bundle

    with project.working() as place:
        return {"competition": project.competition.slug, "bundle": str(bundle(*place, image, project.plugins))}


@subcommand(kernel, "push")
def kernel_push(
    project: "Project",
    stage: Stage = "train",
    folds: Folds = None,
    model: ModelName = None,
    minutes: Minutes = MINUTES,
    gpu: Annotated[bool, typer.Option("--gpu/--cpu", help="T4 x2, or none.")] = True,
    internet: Annotated[bool, typer.Option("--internet", help="With a network.")] = False,
) -> dict[str, Any]:
    """Upload the bundle as a private dataset, and start a private kernel on it."""
    from pipeline.commands.kernel import choose, push

    with project.working() as place:
        pushed = push(*place, choose(stage, folds, model, minutes, gpu, internet), project.plugins)
    return {"competition": project.competition.slug, **pushed}


@subcommand(kernel, "wait")
def kernel_wait(project: "Project", stage: Stage = "train") -> dict[str, Any]:
    """Show the log of the pushed kernel until it is over."""
    from pipeline.commands.kernel import wait

    return {"competition": project.competition.slug, **wait(project.workspace, project.log, stage)}


@subcommand(kernel, "pull")
def kernel_pull(
    project: "Project",
    force: Annotated[bool, typer.Option("--force", help="Replace folds that are done here.")] = False,
    stage: Stage = "train",
) -> dict[str, Any]:
    """Fetch the kernel's output; what it trained counts as trained here."""
    from pipeline.commands.kernel import pull

    with project.working() as place:
        return {"competition": project.competition.slug, **pull(*place, stage, force)}


@subcommand(kernel, "rehearse")
def kernel_rehearse(
    project: "Project",
    stage: Stage = "train",
    folds: Folds = None,
    model: ModelName = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0, help="Stop at an epoch's end before these.")] = MINUTES,
    line: Annotated[
        str, typer.Option("--line", help="image: its versions; next: fastai 2.8.12, fastcore 2.")
    ] = "image",
    python: Annotated[str, typer.Option("--python", help="Kaggle's Python: a version or a path.")] = "3.12",
    gigabytes: Annotated[float, typer.Option("--working-gb", help="What Kaggle keeps of the output.")] = 20.0,
) -> dict[str, Any]:
    """Run the bundle's notebook here as on Kaggle: fresh environment, no network, Kaggle's folders."""
    from pipeline.commands.kernel import choose
    from pipeline.commands.rehearse import rehearse

    with project.working() as place:
        chosen = choose(stage, folds, model, minutes)
        passed = rehearse(*place, chosen, line, python, gigabytes, project.plugins)
    return {"competition": project.competition.slug, **passed}
