"""One model of a competition trained by a plain fastai script, as a student of the course would write it.

It takes from the competition file what is trained (architecture, epochs, sizes, batch size, rate,
augmentations), and from the folder where `pipeline run` went before which rows lie in which fold. All else is
fastai's own, with its defaults. Prints one JSON object: CV and test score of each target, and seconds.
"""
# ruff: noqa: F403, F405 - the course imports everything, and so does this script

import argparse
import json
import sys
import time
from contextlib import nullcontext, redirect_stdout

import pandas as pd
from fastai.vision.all import *

from pipeline.competitions import load


def main() -> None:
    args = parse_args()
    comp = load(args.competition, args.sets)
    model = {model.name: model for model in comp.models}[args.model]
    refuse_what_differs(comp, model)
    raw = args.root / "data" / comp.slug
    answers = pd.read_csv(
        args.solution or raw / ".pipeline" / "solution.csv", dtype=str, keep_default_na=False
    ).set_index(comp.data.id)
    with redirect_stdout(sys.stderr):  # fastai prints its epochs to standard output
        result = run(comp, model, raw, answers)
    print(json.dumps({"competition": comp.slug, "model": model.name, **result}))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("competition")
    parser.add_argument("--root", type=Path, required=True, help="where `pipeline run` put data/")
    parser.add_argument("--model", required=True, help="a model of the competition file")
    parser.add_argument("--solution", type=Path, help="the test answers, where the pipeline holds none")
    parser.add_argument("--set", dest="sets", action="append", metavar="KEY=VALUE", help="as in `pipeline`")
    return parser.parse_args()


def refuse_what_differs(comp, model) -> None:
    """Stop where this script would train or grade something other than what the pipeline does."""
    known = {("category", "cross_entropy", 1)}
    if {(t.kind, t.loss_name, t.weight) for t in comp.targets} != known or comp.metric != "accuracy":
        sys.exit("the plain script knows category targets of weight 1, scored by accuracy")
    if model.weights != "none" or model.schedule_name != "one_cycle" or model.lr == "auto":
        sys.exit("the plain script knows one_cycle from scratch at a given rate")
    if model.accumulate > 1 or model.mixup or not model.tta:
        sys.exit("the plain script knows neither accumulation nor mixup, and always predicts with TTA")


def run(comp, model, raw, answers) -> dict:
    """Train and predict every fold; each target's CV error without and with TTA, and test accuracy."""
    started = time.perf_counter()
    names = [target.name for target in comp.targets]
    train, test = read_rows(raw)
    vocabs = [sorted(train[name].unique()) for name in names]
    held_out, cv, tta_cv, unseen = [], [], [], []
    for fold in sorted(train["fold"].unique()):
        rows = train.assign(is_valid=train["fold"] == fold)
        set_seed(comp.seed)
        dls = build_loaders(model, rows, names, vocabs)
        plain, tta, tested = run_fold(model, dls, dls.test_dl(test), names, vocabs)
        held_out.append(rows[rows["is_valid"]])
        cv.append(plain)
        tta_cv.append(tta)
        unseen.append(tested)
    held_out, mean = pd.concat(held_out), torch.stack(unseen).mean(0)
    columns = [t.column if t.column in answers.columns else t.name for t in comp.targets]
    tests = zip(columns, split(mean, vocabs), vocabs, strict=True)
    return {
        "cv": errors(torch.cat(cv), held_out, names, vocabs),
        "tta_cv": errors(torch.cat(tta_cv), held_out, names, vocabs),
        "test": dict(zip(names, [right(p, test["id"], answers[c], v) for c, p, v in tests], strict=True)),
        "seconds": round(time.perf_counter() - started, 1),
    }


def read_rows(raw) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training rows with their fold, and the test rows; both without the images that cannot be read."""
    rows = pd.read_parquet(raw / ".pipeline" / "manifest.parquet")
    rows["file"] = [raw / path for path in rows["path"]]
    folds = pd.read_csv(raw / ".pipeline" / "folds.csv", dtype={"id": str})  # holds readable images only
    train = rows[rows["split"] == "train"].merge(folds, on="id", validate="one_to_one")
    test = rows[rows["split"] == "test"]
    failed = set(verify_images(test["file"].to_list()))
    return train, test[~test["file"].isin(failed)].reset_index(drop=True)


def run_fold(model, dls, test_dl, names, vocabs) -> tuple:
    """Train one fold; probabilities of the held-out rows, of the same with TTA, of the test rows with TTA."""
    learn = vision_learner(
        dls,
        model.arch,
        pretrained=False,
        n_out=sum(len(vocab) for vocab in vocabs),
        loss_func=summed_cross_entropy(vocabs),
        metrics=[error_of(number, name, vocabs) for number, name in enumerate(names)],
        wd=model.weight_decay,
        ps=model.dropout,
    )
    if model.precision != "fp32" and torch.cuda.is_available():
        learn.to_fp16()
    with nullcontext() if sys.stderr.isatty() else learn.no_bar():  # in a log a bar is thousands of lines
        learn.fit_one_cycle(model.epochs, slice(*model.lr) if isinstance(model.lr, list) else model.lr)
        plain, _ = learn.get_preds()
        tta, _ = learn.tta(n=model.tta)
        unseen, _ = learn.tta(dl=test_dl, n=model.tta)
    return tuple(softmax(preds, vocabs) for preds in (plain, tta, unseen))


def build_loaders(model, rows, names, vocabs) -> DataLoaders:
    augment = model.augment
    block = DataBlock(
        blocks=(ImageBlock, *[CategoryBlock(vocab=vocab) for vocab in vocabs]),
        n_inp=1,
        get_x=ColReader("file"),
        get_y=[ColReader(name) for name in names],
        splitter=ColSplitter("is_valid"),
        item_tfms=Resize(model.presize.size, method=model.presize.method),
        batch_tfms=[
            *aug_transforms(
                size=model.size,
                do_flip=augment.flip,
                flip_vert=augment.flip_vert,
                max_rotate=augment.max_rotate,
                max_zoom=augment.max_zoom,
                max_lighting=augment.max_lighting,
                max_warp=augment.max_warp,
                min_scale=augment.min_scale,
            ),
            Normalize.from_stats(*imagenet_stats),
        ],
    )
    return block.dataloaders(rows, bs=model.batch_size)


def split(preds, vocabs):
    """Each target's columns of the model's output."""
    return preds.split([len(vocab) for vocab in vocabs], dim=1)


def summed_cross_entropy(vocabs):
    def loss(preds, *labels):
        return sum(F.cross_entropy(part, own) for part, own in zip(split(preds, vocabs), labels, strict=True))

    return loss


def error_of(number, name, vocabs):
    def error(preds, *labels):
        return error_rate(split(preds, vocabs)[number], labels[number])

    error.__name__ = f"{name}_error"
    return error


def softmax(preds, vocabs):
    """Without an activation on the loss, get_preds and tta return logits."""
    return torch.cat([part.softmax(1) for part in split(preds, vocabs)], dim=1)


def errors(probs, rows, names, vocabs) -> dict[str, dict[str, float]]:
    """Error rate, accuracy and log loss of each target."""
    result = {}
    for name, part, vocab in zip(names, split(probs, vocabs), vocabs, strict=True):
        truth = torch.tensor([vocab.index(label) for label in rows[name]])
        wrong = (part.argmax(1) != truth).double().mean().item()
        log_loss = F.nll_loss(part.double().clamp(min=1e-15).log(), truth).item()
        values = {"error_rate": wrong, "accuracy": 1 - wrong, "log_loss": log_loss}
        result[name] = {metric: round(value, 6) for metric, value in values.items()}
    return result


def right(probs, ids, answers, vocab) -> float:
    """The share of all the answers that are given; an image that could not be read counts as wrong."""
    given = dict(zip(ids, [vocab[code] for code in probs.argmax(1).tolist()], strict=True))
    return round(float((answers == answers.index.map(given)).mean()), 6)


if __name__ == "__main__":
    main()
