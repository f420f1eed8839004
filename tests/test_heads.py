"""Named heads: widths, loss terms, activations; and fastai's own methods on such a learner."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fastai.callback.mixup import MixUp
from fastai.interpret import ClassificationInterpretation
from torch import Tensor

from pipeline.errors import RequestError
from pipeline.predictions import TargetSpec
from pipeline.vision.blocks import EncodeLabels, Sample
from pipeline.vision.config import ImageModel
from pipeline.vision.heads import Head, JointLabels, JointLoss
from pipeline.vision.learner import build_learner
from pipeline.vision.model import build_network
from pipeline.vision.poolings import POOLINGS
from tests.drawn import COLOURS, SHAPES, picture

mpl.use("Agg")

COLOUR = TargetSpec("colour", "category", tuple(COLOURS))
SHAPE = TargetSpec("shape", "category", SHAPES)
TAGS = TargetSpec("tags", "multilabel", ("big", "new", "old"))
AGE = TargetSpec("age", "regression")
MIXED = [
    Head(COLOUR, "cross_entropy", 2.0),
    Head(TAGS, "cross_entropy"),
    Head(AGE, "mse", 0.5, center=50.0, scale=10.0),
]


def a_model(**changes) -> ImageModel:
    base = {"name": "m", "arch": "test_resnet", "weights": "none", "size": 32, "batch_size": 8}
    return ImageModel(**(base | {"resize": {"size": 40, "method": "squish"}} | changes))


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("pictures")
    found = []
    for number in range(30):
        colour, shape = list(COLOURS)[number % 3], SHAPES[number // 3 % 2]
        path = folder / f"{number}.png"
        picture(colour, shape, number).save(path)
        found.append(Sample(path.name, path, (colour, shape)))
    return found


@pytest.fixture(scope="module")
def learn(samples):
    torch.manual_seed(0)
    heads = [Head(COLOUR, "cross_entropy"), Head(SHAPE, "cross_entropy", 0.5)]
    return build_learner(a_model(), heads, samples[:20], samples[20:])


def test_a_sample_without_labels_is_not_encoded(tmp_path):
    with pytest.raises(ValueError, match="'unseen' has no labels"):
        EncodeLabels(JointLabels(MIXED)).encodes(Sample("unseen", tmp_path / "unseen.png"))


def test_the_loss_is_the_weighted_sum_of_the_heads_losses():
    generator = torch.Generator().manual_seed(1)
    preds = torch.randn(6, 7, generator=generator)
    colour, tags = torch.tensor([0, 1, 2, 0, 1, 2]), torch.randint(0, 2, (6, 3), generator=generator).float()
    age = torch.tensor([[40.0], [50], [60], [70], [45], [55]])
    labels = torch.cat([colour[:, None].float(), tags, age], dim=1)
    expected = (
        2.0 * F.cross_entropy(preds[:, :3], colour)
        + F.binary_cross_entropy_with_logits(preds[:, 3:6], tags)
        + 0.5 * F.mse_loss(preds[:, 6:], (age - 50) / 10)
    )
    loss = JointLoss(JointLabels(MIXED))
    assert torch.allclose(loss(preds, labels), expected)
    loss.reduction = "none"
    assert loss(preds, labels).shape == (6,)
    assert torch.allclose(loss(preds, labels).mean(), expected)


def test_label_smoothing_is_fastais():
    from fastai.losses import LabelSmoothingCrossEntropy

    preds, codes = torch.randn(5, 3), torch.tensor([[0], [1], [2], [1], [0]])
    ours = JointLoss(JointLabels([Head(COLOUR, "label_smoothing")]))(preds, codes)
    assert torch.allclose(ours, LabelSmoothingCrossEntropy()(preds, codes[:, 0]), atol=1e-6)


def test_activation_and_decoding_of_each_kind():
    loss = JointLoss(JointLabels(MIXED))
    raw = torch.tensor([[0.0, 3.0, 0.0, 2.0, -2.0, 0.1, 1.5]])
    activated = loss.activation(raw)
    assert activated[0, :3].sum().item() == pytest.approx(1)
    assert torch.allclose(activated[0, 3:6], raw[0, 3:6].sigmoid())
    assert activated[0, 6].item() == pytest.approx(65)
    assert loss.decodes(activated).tolist() == [[1, 1, 0, 1, pytest.approx(65)]]


def test_each_target_has_a_last_layer_of_its_width():
    head = build_network("test_resnet", "none", [COLOUR, TargetSpec("type", "category", SHAPES)], (32, 32)).model[1]
    assert {name: layer.out_features for name, layer in head.heads.items()} == {"head_colour": 3, "head_type": 2}


@pytest.mark.parametrize("arch", ["test_resnet", "test_vit", "test_efficientnet", "swin_tiny_patch4_window7_224"])
def test_bodies_of_every_family_fit_the_heads(arch):
    """Convolutional maps, tokens, and Swin's channels-last maps, at a size that is not the arch's own."""
    size = (64, 96) if arch == "swin_tiny_patch4_window7_224" else (48, 64)
    model = build_network(arch, "none", [COLOUR, SHAPE], size).model.eval()
    assert model(torch.randn(2, 3, *size)).shape == (2, 5)


def test_the_default_pooling_is_fastais():
    from fastai.vision.learner import create_head

    ours = build_network("test_resnet", "none", [COLOUR], (32, 32)).model[1].trunk
    theirs = create_head(ours[2].num_features // 2, 1)[:-1]
    assert [repr(layer) for layer in ours] == [repr(layer) for layer in theirs]


POOLED = {
    "concat": lambda x: torch.cat([x.amax((2, 3)), x.mean((2, 3))], dim=1),
    "avg": lambda x: x.mean((2, 3)),
    "max": lambda x: x.amax((2, 3)),
    "gem": lambda x: x.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3),
}


@pytest.mark.parametrize("name", POOLINGS)
def test_a_pooling_gives_what_it_says_and_trains_in_a_network(name):
    torch.manual_seed(1)
    features = torch.randn(4, 5, 3, 2)
    pooled = POOLINGS[name].build()(features)
    assert pooled.shape == (4, 5 * POOLINGS[name].widening, 1, 1)
    assert torch.allclose(pooled.flatten(1), POOLED[name](features), atol=1e-5)
    model = build_network("test_resnet", "none", [COLOUR], (32, 32), pooling=name).model
    out = model(torch.randn(4, 3, 32, 32))
    out[:, 0].sum().backward()
    assert out.shape == (4, 3)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    learned = [p for p in model[1].trunk[0].parameters() if p.grad.abs().sum() > 0]
    assert len(learned) == (1 if name == "gem" else 0)


def test_a_pooling_that_would_do_nothing_is_refused():
    with pytest.raises(RequestError, match="test_vit pools its features by itself, so pooling = 'gem'"):
        build_network("test_vit", "none", [COLOUR], (48, 64), pooling="gem")
    with pytest.raises(RequestError, match=r"pooling 'gen' is not a known pooling; .*did you mean 'gem'"):
        build_network("test_resnet", "none", [COLOUR], (32, 32), pooling="gen")


def test_get_preds_gives_probabilities_per_target(learn):
    preds, labels = learn.get_preds()
    assert preds.shape == (10, 5)
    assert torch.allclose(preds[:, :3].sum(1), torch.ones(10))
    assert torch.allclose(preds[:, 3:].sum(1), torch.ones(10))
    assert labels.shape == (10, 2)
    assert set(labels[:, 1].tolist()) <= {3, 4}


def test_tta_gives_probabilities_and_differs_from_plain(learn):
    preds, _ = learn.tta(n=2)
    assert torch.allclose(preds[:, :3].sum(1), torch.ones(10), atol=1e-5)
    assert not torch.equal(preds, learn.get_preds()[0])


def test_predict_decodes_one_image(learn, samples):
    decoded, codes, probabilities = learn.predict(samples[0].path)
    assert decoded[0] in COLOURS
    assert decoded[1] in SHAPES
    assert codes.tolist() == [probabilities[:3].argmax(), 3 + probabilities[3:].argmax()]


def test_show_batch_and_show_results_title_every_target(learn):
    learn.dls.show_batch(max_n=4)
    titles = [axis.get_title() for axis in mpl.pyplot.gcf().axes]
    assert all(title.split(" | ")[0] in COLOURS and title.split(" | ")[1] in SHAPES for title in titles)
    learn.show_results(max_n=4)
    axes = mpl.pyplot.gcf().axes
    assert all(len(axis.get_title().splitlines()) == 2 for axis in axes)
    assert {axis.title.get_color() for axis in axes} <= {"green", "red"}
    mpl.pyplot.close("all")


def test_the_confusion_matrix_holds_a_block_for_each_target(learn):
    interpretation = ClassificationInterpretation.from_learner(learn)
    matrix = interpretation.confusion_matrix()
    assert list(interpretation.vocab) == ["colour/blue", "colour/green", "colour/red", "shape/bar", "shape/dot"]
    assert matrix[:3, :3].sum() == matrix[3:, 3:].sum() == 10
    assert matrix.sum() == 20
    interpretation.plot_top_losses(4)
    interpretation.plot_confusion_matrix()
    assert all(count >= 1 for *_, count in interpretation.most_confused())
    mpl.pyplot.close("all")


def test_mixup_trains_and_mixes_losses(learn):
    before = [p.detach().clone() for p in learn.model.parameters()]
    with learn.no_logging(), learn.no_mbar(), learn.added_cbs(MixUp(0.4)):
        learn.fit(1, 1e-3)
    assert isinstance(learn.loss_func, JointLoss)
    assert any(not torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))


def test_other_kinds_of_target_train_and_show(samples):
    heads = [Head(TAGS, "cross_entropy"), Head(AGE, "l1", center=50.0, scale=10.0), Head(COLOUR, "cross_entropy")]
    labelled = [
        Sample(s.id, s.path, (("big", "old") if i % 2 else (), 40.0 + i, s.labels[0])) for i, s in enumerate(samples)
    ]
    learn = build_learner(a_model(), heads, labelled[:20], labelled[20:])
    with learn.no_logging(), learn.no_mbar():
        learn.fit(1, 1e-2)
    preds, labels = learn.get_preds()
    assert preds.shape == labels.shape == (10, 7) or (preds.shape, labels.shape) == ((10, 7), (10, 5))
    assert labels.dtype == torch.float32
    assert 20 < preds[:, 3].mean() < 80
    decoded, _, _ = learn.predict(samples[0].path)
    assert len(decoded) == 3
    assert decoded[2] in COLOURS
    learn.show_results(max_n=2)
    mpl.pyplot.close("all")


def test_images_are_read_upright_and_rgb(tmp_path):
    from PIL import Image

    from pipeline.vision.blocks import UprightImage

    image = Image.fromarray(np.zeros((20, 30), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    read = UprightImage.create(tmp_path / "turned.jpg")
    assert (read.size, read.mode) == ((20, 30), "RGB")


def test_the_learner_stays_a_plain_tensor_inside(learn):
    seen = []
    hook = learn.model[0].model.register_forward_pre_hook(lambda _, xs: seen.append(type(xs[0])))
    learn.get_preds()
    hook.remove()
    assert set(seen) <= {Tensor}
