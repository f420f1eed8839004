"""The rating models themselves: gradients, honest decay, cheap steps, draws, somebody unknown, files."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.collab.config import RatingsModel
from pipeline.collab.fitting import sampler
from pipeline.collab.fitting.embedding import MOMENTUM, SQUARES, Moment, Rows, Schedule, batch_step, dot_gradients
from pipeline.collab.fitting.gibbs import expected
from pipeline.collab.fitting.network import build_layers, network_gradients
from pipeline.collab.fitting.steps import span_of
from pipeline.collab.model import load, save
from pipeline.collab.observations import Observations
from pipeline.collab.train import fit
from pipeline.errors import RequestError, WorkFailed
from tests.rated import draw_rows

SMALL = {"factors": 4, "epochs": 12, "batch_size": 64}
DRAWN = {"method": "gibbs", "factors": 2, "epochs": 60}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    names = {"who": "user", "film": "item", "stars": "rating", "when": "timestamp"}
    return draw_rows().rename(columns=names).sample(frac=1, random_state=0, ignore_index=True)


@pytest.fixture(scope="module")
def split(rows) -> tuple[Observations, pd.DataFrame]:
    return Observations.of(rows.iloc[100:]), rows.iloc[:100]


def error_of(split, **settings) -> float:
    seen, held_out = split
    trained = fit(seen, RatingsModel(name="m", **settings), (0,))
    guess = trained.predict(held_out["user"], held_out["item"], held_out["timestamp"].to_numpy())
    return float(np.sqrt(np.mean((guess - held_out["rating"]) ** 2)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("low", "span"), [(0.0, 0.0), (0.5, 5.0)])
def test_gradients_are_those_of_autograd(low, span, bias):
    rng = torch.Generator().manual_seed(0)
    mine, theirs = (torch.randn(7, 4, generator=rng, requires_grad=True) for _ in range(2))
    y = torch.rand(7, generator=rng) * 4 + 1
    score = (mine[:, 1:] * theirs[:, 1:]).sum(1) + (mine[:, 0] + theirs[:, 0] if bias else 0)
    guess = low + span * torch.sigmoid(score) if span else low + score
    (guess - y).square().mean().backward()
    squared, *grads = dot_gradients(mine.detach(), theirs.detach(), y, low, span, bias)
    assert float(squared) == pytest.approx(float((guess - y).square().sum().detach()))
    for grad, part in zip(grads, (mine, theirs), strict=True):
        torch.testing.assert_close(grad, part.grad)


@pytest.mark.parametrize("whole", [True, False])
def test_rows_that_every_batch_touches_are_trained_as_by_adamw(whole):
    """One rate throughout; torch's decay is (1 - lr * wd), ours e^-(lr * wd): equal for small steps."""
    steps, rate, decay = 20, 1e-3, 0.5
    rates = torch.full((steps + 1,), rate)
    rates[0] = 0
    schedule = Schedule(rates, torch.cumsum(rates.double() * decay, 0))
    rows = Rows(5, 3, torch.Generator().manual_seed(0), bias=True)
    reference = torch.nn.Parameter(rows.values.clone())
    optimizer = torch.optim.AdamW([reference], lr=rate, betas=(MOMENTUM, SQUARES), weight_decay=decay)
    rng = torch.Generator().manual_seed(1)
    everyone = torch.arange(5)
    for step in range(1, steps + 1):
        grad = torch.randn(5, 4, generator=rng)
        if whole:
            twice = torch.cat([everyone, everyone])  # a row that is in a batch twice
            rows.step_whole(twice, torch.cat([grad * 0.25, grad * 0.75]), Moment.at(step, schedule))
        else:
            rows.step(everyone, rows.fetch(everyone, step - 1, schedule), grad, Moment.at(step, schedule))
        reference.grad = grad
        optimizer.step()
    torch.testing.assert_close(rows.finish(steps, schedule), reference.detach(), atol=2e-6, rtol=1e-5)


def test_rows_that_batches_pass_by_end_where_adamw_would_have_moved_them():
    steps, rate = 30, 1e-3
    rates = torch.full((steps + 1,), rate)
    rates[0] = 0
    schedule = Schedule(rates, torch.cumsum(rates.double() * 0.5, 0))
    rows = Rows(4, 3, torch.Generator().manual_seed(0), bias=True)
    start = rows.values.clone()
    reference = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.AdamW([reference], lr=rate, betas=(MOMENTUM, SQUARES), weight_decay=0.5)
    rng = torch.Generator().manual_seed(1)
    for step in range(1, steps + 1):
        touched = torch.tensor([0, 1]) if step in (1, 5, 20) else torch.tensor([2])
        grad = torch.zeros(4, 4)
        grad[touched] = torch.randn(len(touched), 4, generator=rng)
        rows.step(touched, rows.fetch(touched, step - 1, schedule), grad[touched], Moment.at(step, schedule))
        reference.grad = grad
        optimizer.step()
    moved = (reference.detach() - start).abs().max()
    assert (rows.finish(steps, schedule) - reference.detach()).abs().max() < 0.2 * moved


def test_a_step_leaves_all_other_rows_alone():
    """What makes twenty million ratings of 138,000 users affordable: cost follows the batch, not the table."""
    schedule = Schedule.one_cycle(10, 0.01, 0.03, 64)
    rng = torch.Generator().manual_seed(0)
    rows = Rows(2000, 4, rng, True)
    before = rows.values.clone()
    batch = (torch.tensor([3, 5, 3]), torch.tensor([1007, 1007, 1008]), torch.tensor([1.0, 5.0, 2.0]))
    gradients = partial(dot_gradients, low=0.0, span=5.5, bias=True)
    batch_step(rows, batch, Moment.at(1, schedule), schedule, gradients)
    changed = (rows.values != before).any(1).nonzero()[:, 0].tolist()
    assert changed == [3, 5, 1007, 1008]
    assert rows.last.nonzero()[:, 0].tolist() == [3, 5, 1007, 1008]


@pytest.mark.parametrize("batch_size", [16, 64, 1024])
def test_weight_decay_means_the_same_for_every_batch_size(batch_size):
    ratings, lr, decay = 64 * 1024, 0.01, 0.1
    schedule = Schedule.one_cycle(ratings // batch_size, lr, decay, batch_size)
    rows = Rows(3, 2, torch.Generator().manual_seed(0), bias=True)
    start = rows.values.clone()
    shrunk = rows.finish(ratings // batch_size, schedule) / start
    expected = math.exp(-decay * lr * ratings / 64 * 0.5)  # one cycle's mean rate is about half of its highest
    torch.testing.assert_close(shrunk, torch.full_like(shrunk, expected), rtol=0.05, atol=0)


def test_each_option_of_the_lesson_is_better_than_without(split):
    plain = {**SMALL, "weight_decay": 0.0}
    dot = error_of(split, range=False, bias=False, **plain)
    ranged = error_of(split, range=True, bias=False, **plain)
    biased = error_of(split, range=True, bias=True, **plain)
    mean = float(np.sqrt(np.mean((split[0].rating.mean().item() - split[1]["rating"]) ** 2)))
    assert ranged < dot
    assert biased < ranged
    assert biased < mean


def test_the_network_learns_and_its_layers_move(split):
    mean = float(np.sqrt(np.mean((split[0].rating.mean().item() - split[1]["rating"]) ** 2)))
    assert error_of(split, layers=[16, 8], **SMALL | {"epochs": 40}) < mean
    torch.manual_seed(0)
    layers = build_layers(3, [5, 4])
    before = [part.clone() for part in layers.parameters()]
    mine, theirs = torch.randn(6, 4), torch.randn(6, 4)
    optimizer = torch.optim.AdamW(layers.parameters(), lr=0.01)
    _, *grads = network_gradients(layers, optimizer, mine, theirs, torch.ones(6), 0.0, 5.0)
    assert all((old != new).any() for old, new in zip(before, layers.parameters(), strict=True))
    assert all((grad[:, 0] == 0).all() and grad[:, 1:].any() for grad in grads)


def test_draws_are_better_than_steps_and_knowing_more_helps(split):
    plain, drawn = error_of(split, **SMALL), error_of(split, **DRAWN)
    assert drawn < plain
    assert error_of(split, **DRAWN, ordinal=True, time=True) < plain


def test_implicit_feedback_tells_of_those_with_few_ratings():
    """Users of two camps, who rate only what their camp likes and, for most of them, very few things."""
    rng = np.random.default_rng(0)
    camp = np.arange(80) % 2
    parts = []
    for user in range(80):
        liked = rng.permutation(np.arange(30) * 2 + camp[user])[:12]
        parts += [(f"u{user}", f"i{item}", 4.0 + camp[user] * 0.5, 0) for item in liked]
        parts += [(f"u{user}", f"i{rng.integers(30) * 2 + 1 - camp[user]}", 1.5, 0)]
    rows = pd.DataFrame(parts, columns=["user", "item", "rating", "timestamp"]).drop_duplicates(["user", "item"])
    rows = rows.sample(frac=1, random_state=1)
    split = Observations.of(rows.iloc[400:]), rows.iloc[:400]
    assert error_of(split, **DRAWN, implicit=True) < 0.98 * error_of(split, **DRAWN)


def test_a_mood_of_the_day_is_found():
    """Every user is a point kinder on even days: nothing but time tells."""
    rng = np.random.default_rng(0)
    user, day = rng.integers(0, 30, 3000), rng.integers(0, 4, 3000)
    item = np.arange(3000) % 100
    frame = pd.DataFrame({"user": user.astype(str), "item": item.astype(str), "timestamp": day * 86400 + item * 97})
    kinder = (day + user) % 2
    frame["rating"] = np.round(3 + kinder + rng.normal(0, 0.3, 3000), 1)
    frame = frame.drop_duplicates(["user", "item"])
    split = Observations.of(frame.iloc[300:]), frame.iloc[:300]
    assert error_of(split, **DRAWN, time=True) < 0.8 * error_of(split, **DRAWN)


@pytest.mark.parametrize("settings", [SMALL, {**SMALL, "layers": [8, 4]}, DRAWN], ids=["dot", "network", "gibbs"])
def test_somebody_unknown_gets_the_mean_of_what_was_learned(split, settings):
    trained = fit(split[0], RatingsModel(name="m", **settings), (0,))
    rows = trained.tensors["user"]
    torch.testing.assert_close(rows[..., -1, :], rows[..., :-1, :].mean(-2))
    stranger = trained.predict(["stranger", "nobody"], ["f1", "f1"])
    assert stranger[0] == stranger[1]
    known = trained.predict(list(trained.users.raw), ["f1"] * len(trained.users.raw))
    assert known.min() < stranger[0] < known.max()


@pytest.mark.parametrize("settings", [SMALL, DRAWN], ids=["dot", "gibbs"])
def test_a_seed_decides_every_byte(split, settings, tmp_path):
    def written(seed: int, name: str) -> bytes:
        save(tmp_path / name, fit(split[0], RatingsModel(name="m", **settings), (seed,)))
        return (tmp_path / name).read_bytes()

    first = written(1, "a")
    assert written(1, "b") == first
    assert written(2, "c") != first


def test_a_model_survives_its_file_and_a_torn_one_is_refused(split, tmp_path):
    trained = fit(split[0], RatingsModel(name="m", **DRAWN, time=True, ordinal=True), (0,))
    path = tmp_path / "weights.safetensors"
    save(path, trained)
    held_out = split[1]
    args = held_out["user"], held_out["item"], held_out["timestamp"].to_numpy()
    assert (load(path).predict(*args) == trained.predict(*args)).all()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WorkFailed, match="train again"):
        load(path)


def test_ordinal_predictions_stay_among_the_levels(split):
    trained = fit(split[0], RatingsModel(name="m", **DRAWN, ordinal=True), (0,))
    cuts = trained.tensors["cuts"]
    assert (cuts.diff(dim=1) > 0).all()
    score = torch.tensor([-100.0, 0.0, 100.0])
    ratings = expected(trained, score, 0)
    assert ratings[0] == 1
    assert ratings[2] == 5
    levels = torch.rand(len(split[0]), generator=torch.Generator().manual_seed(0)) * 100
    many = Observations(*[*vars(split[0]).values()][:4], levels, split[0].time)
    with pytest.raises(RequestError, match="different ratings"):
        fit(many, RatingsModel(name="m", **DRAWN, ordinal=True), (0,))


def test_the_range_comes_from_the_data_or_the_file(split):
    assert span_of(split[0], RatingsModel(name="m")) == (0.0, 5.5)
    assert span_of(split[0], RatingsModel(name="m", range=[0, 6])) == (0.0, 6.0)
    assert span_of(split[0], RatingsModel(name="m", range=False)) == (0.0, 0.0)
    with pytest.raises(RequestError, match="lie outside"):
        fit(split[0], RatingsModel(name="m", range=[2, 5]), (0,))


def test_a_rate_that_explodes_is_said(split):
    with pytest.raises(WorkFailed, match="lower its lr"):
        fit(split[0], RatingsModel(name="m", range=False, factors=4, epochs=30, lr=1e20), (0,))


@pytest.mark.parametrize("settings", [SMALL, DRAWN, {**DRAWN, "ordinal": True}], ids=["dot", "gibbs", "ordinal"])
def test_folding_in_follows_what_is_said(split, settings):
    trained = fit(split[0], RatingsModel(name="m", **settings), (0,))
    liked = [f"f{n}" for n in range(8)]
    loves, hates = (trained.fold_in(liked, [said] * 8) for said in (5.0, 1.0))
    nobody = trained.predict(["new"] * 8, liked).mean()
    assert hates.predict(["new"] * 8, liked).mean() < nobody < loves.predict(["new"] * 8, liked).mean()
    assert (trained.predict(["u1"], ["f1"]) == loves.predict(["u1"], ["f1"])).all()


def test_buckets_hold_every_rating_once():
    of = np.random.default_rng(0).zipf(1.5, 500) % 40
    seen = np.concatenate(
        [ratings[ratings < 500].numpy() for _, ratings in sampler.Side("user", torch.tensor(of), 41).buckets]
    )
    assert sorted(seen) == list(range(500))
    for rows, ratings in sampler.Side("user", torch.tensor(of), 41).buckets:
        for row, own in zip(rows.tolist(), ratings, strict=True):
            assert (of[own[own < 500].numpy()] == row).all()


@pytest.mark.parametrize("largest", [3000, 10])
def test_a_kernel_is_taken_apart(largest):
    features = np.random.default_rng(0).random((60, 12))
    vectors, values = sampler.kernel_of(features, largest)
    scaled = features / np.linalg.norm(features, axis=1, keepdims=True)
    whole = vectors @ torch.diag(values) @ vectors.T
    torch.testing.assert_close(whole, torch.tensor(scaled @ scaled.T, dtype=torch.float32), atol=0.1, rtol=0)


@pytest.mark.parametrize("settings", [SMALL, DRAWN], ids=["dot", "gibbs"])
def test_small_work_runs_on_one_thread_and_gives_the_others_back(split, settings):
    """Two would wait for each other beside another busy process, at every one of many small steps."""
    before, during = torch.get_num_threads(), set()
    torch.set_num_threads(2)
    try:
        tell = lambda epoch, rmse: during.add(torch.get_num_threads())  # noqa: E731
        fit(split[0], RatingsModel(name="m", **settings), (0,), tell=tell)
        assert during == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
