"""The network: a timm body, fastai's head trunk, and a named last layer for each target."""

import contextlib
import difflib
import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import timm
import torch
from fastai.layers import apply_init
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.data.channels import RGB
from pipeline.errors import RequestError, WorkFailed
from pipeline.predictions import TargetSpec
from pipeline.vision.config import ImageModel
from pipeline.vision.embedding import Beside
from pipeline.vision.encoding import Features
from pipeline.vision.fitting import body_from, fit_of, options_of
from pipeline.vision.header import sort_header
from pipeline.vision.heads import NamedHeads
from pipeline.vision.own_start import is_own, take_heads
from pipeline.vision.poolings import DEFAULT
from pipeline.vision.start import start_file
from pipeline.workspace import write_with

if TYPE_CHECKING:

    class TimmModel(nn.Module):
        """What timm's models have besides."""

        num_features: int
        default_cfg: dict[str, Any]

        def forward_features(self, x: Tensor) -> Tensor: ...


class Body(nn.Module):
    """A timm model as features: the map (n, nf, h, w) of a convolutional one, the pooled (n, nf) of others.

    fastai's own TimmBody takes the channels-last maps of Swin for channels-first ones.
    """

    def __init__(self, model: "TimmModel", size: tuple[int, int], channels: int = RGB.count) -> None:
        super().__init__()
        self.model, self.channels = model, channels
        self.gives_map = True
        shape = self._shape(size)
        self.gives_map = len(shape) == 4 and shape[1] == model.num_features
        self.features = shape[1] if self.gives_map else self._shape(size)[1]

    def _shape(self, size: tuple[int, int]) -> torch.Size:
        was_training = self.training
        self.eval()
        with torch.no_grad():
            shape = self(torch.zeros(1, self.channels, *size)).shape
        self.train(was_training)
        return shape

    def forward(self, x: Tensor) -> Tensor:
        # Channels-last convolutions take two thirds of the time on a CPU; fastai's subclass costs a fifth more.
        x = x.as_subclass(Tensor).contiguous(memory_format=torch.channels_last)
        return self.model.forward_features(x) if self.gives_map else self.model(x)


class BodyAndHeads(nn.Sequential):
    """The two parts of a network; on a CPU that multiplies bfloat16 it may compute in that.

    The heads stay in fp32 on any device: they take next to no time, and their sums are what the loss sees.

    fastai's MixedPrecision asks for CUDA, and scales losses, which bfloat16 with its wide exponent does not need.
    """

    narrow = False

    def compute_in_bfloat16(self) -> None:
        """From now on autocast the body's forward pass; parameters, gradients and outputs stay in fp32.

        So do depthwise convolutions, whose backward pass takes several times as long in bfloat16. Autocast is as it was
        after each forward pass, of the network or of any part of it.
        """
        if self.narrow:
            return
        self.narrow = True
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels:
                module.register_forward_pre_hook(_leave_autocast)
                module.register_forward_hook(_enter_autocast, always_call=True)

    def forward(self, x: Tensor, *beside: Tensor) -> Tensor:
        features = self.features(x)
        with torch.autocast(features.device.type, enabled=False):  # that of fp16 on CUDA is fastai's
            return self.heads(features, *beside)

    @property
    def heads(self) -> NamedHeads:
        """Its second part."""
        return cast(NamedHeads, self[1])

    def features(self, x: Tensor) -> Tensor:
        """The body's output in fp32: (n, nf, h, w), or (n, nf) where it pools by itself."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.narrow):
            return self[0](x).float()


# What a depthwise convolution found, until it is through: autocast's state is one of each thread. Hooks, because an
# exported Learner holds them by these names.
class _Found(threading.local):
    enabled: bool | None = None


_found = _Found()


def _leave_autocast(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    _found.enabled = torch.is_autocast_enabled("cpu")
    torch.set_autocast_enabled("cpu", False)
    return tuple(x.float() for x in inputs)


def _enter_autocast(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    if _found.enabled is not None:
        torch.set_autocast_enabled("cpu", _found.enabled)
    _found.enabled = None


@dataclass(frozen=True)
class Network:
    """A model and the mean and standard deviation (of each channel, of 1) that images are normalised by.

    `start` says in words what a file of weights gave to it; empty without one.
    """

    model: BodyAndHeads
    stats: tuple[Sequence[float], Sequence[float]]
    start: str = ""


def build_network(  # noqa: PLR0913
    arch: str,
    weights: str,
    specs: Sequence[TargetSpec],
    size: tuple[int, int],
    dropout: float = 0.5,
    pooling: str = DEFAULT,
    head: str = "fastai",
    channels: int = RGB.count,
    features: Features | None = None,
) -> Network:
    """Build body and heads. `weights`: pretrained, none, or a file; `size`: height and width in pixels;
    `dropout`: before the last layer, half of it before the one before (fastai's `ps`); `pooling`: of the body's map;
    `head`: as in `NamedHeads`; `channels` of an image: weights for RGB are made to fit others by timm (its `in_chans`);
    `features`: the columns that the network takes beside the image.

    Raises RequestError for an architecture that timm does not know, that does not take this size, or that pools by
    itself though another pooling is asked for, or a file that does not fit, and WorkFailed for weights that cannot
    be had.
    """
    check_arch(arch)
    path = start_file(arch, weights)
    model = cast("TimmModel", _create(arch, weights, size, path, channels))
    try:
        body = Body(model, size, channels)
    except (RuntimeError, AssertionError, ValueError) as error:
        wanted = "x".join(str(side) for side in model.default_cfg["input_size"][1:])
        raise RequestError(
            f"{arch} does not take images of {size[0]}x{size[1]} pixels ({_first_line(error)}); "
            f"it was made for {wanted}: set the model's size to that"
        ) from error
    if pooling != DEFAULT and not body.gives_map:
        raise RequestError(f"{arch} pools its features by itself, so pooling = {pooling!r} would change nothing")
    beside = None if features is None else Beside(features)
    heads = NamedHeads(body.features, specs, body.gives_map, dropout, pooling, head, beside)
    apply_init(heads, nn.init.kaiming_normal_)
    if beside is not None:
        beside.draw()
    start = "" if path is None else fit_of(arch, path, size, channels).told()
    if path is not None and is_own(path):
        start += f"; heads {take_heads(heads, specs, path, pooling).told()}"
    network = BodyAndHeads(body, heads).to(memory_format=torch.channels_last)
    return Network(network, statistics_of(network), start)


def statistics_of(model: BodyAndHeads) -> tuple[Sequence[float], Sequence[float]]:
    """The mean and standard deviation that the architecture's own weights were trained with.

    Of other channels than RGB each has the mean over those three: nobody knows which of them is like red.
    """
    body = cast(Body, model[0])
    config = body.model.default_cfg
    if body.channels == RGB.count:
        return config["mean"], config["std"]
    mean, std = ((sum(config[name]) / len(config[name]),) * body.channels for name in ("mean", "std"))
    return mean, std


def check_arch(arch: str) -> None:
    """Raise RequestError, with the nearest names, unless timm knows the architecture."""
    if timm.is_model(arch):
        return
    known = timm.list_models() + timm.list_pretrained()
    near = difflib.get_close_matches(arch, known, 3)
    hint = f"near it are {', '.join(near)}" if near else "`timm.list_models()` lists them"
    raise RequestError(f"timm {timm.__version__} knows no architecture {arch!r}; {hint}")


def check_start(model: ImageModel, channels: int = RGB.count) -> None:
    """Refuse a file of weights that does not fit the architecture, by its shapes, and one that does not take images of
    these `channels`. Raises RequestError, WorkFailed.
    """
    check_arch(model.arch)
    path = start_file(model.arch, model.weights)
    try:
        _check_channels(model.arch, channels)
        if path is not None:
            fit_of(model.arch, path, model.size, channels)
    except (RequestError, WorkFailed) as error:
        raise type(error)(f"model {model.name!r}: {error}") from error


def _check_channels(arch: str, channels: int) -> None:
    """Raise RequestError for an architecture that takes no other images than RGB, where they are others."""
    if channels == RGB.count:
        return
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            timm.create_model(arch, pretrained=False, in_chans=channels)
    except Exception as error:
        raise RequestError(
            f"{arch} does not take images of {channels} channels ({_first_line(error)}); choose another architecture"
        ) from error


def _create(arch: str, weights: str, size: tuple[int, int], path: Path | None, channels: int) -> nn.Module:
    if path is not None:
        return body_from(fit_of(arch, path, size, channels), arch, size, channels)
    options = options_of(arch, size, channels)
    if weights == "none":
        return timm.create_model(arch, pretrained=False, **options)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return timm.create_model(arch, pretrained=True, **options)
    except Exception as error:
        raise WorkFailed(
            f"the pretrained weights of {arch} cannot be had ({_first_line(error)}); connect to a network, or set "
            "the model's weights to a .safetensors file or to 'none'"
        ) from error


def save_pretrained(arch: str, path: Path) -> None:
    """Write an architecture's pretrained weights to safetensors, as timm names them. Raises WorkFailed."""
    check_arch(arch)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            model = timm.create_model(arch, pretrained=True)
    except Exception as error:
        raise WorkFailed(
            f"the pretrained weights of {arch} cannot be had ({_first_line(error)}); connect to a network"
        ) from error
    save_weights(path, model, {"arch": arch})


def save_weights(path: Path, model: nn.Module, header: dict[str, str]) -> None:
    """Write all parameters and buffers to safetensors, and what they are into its header."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}

    def write(file: Path) -> None:
        save_file(tensors, file, metadata=header)
        sort_header(file)

    write_with(path, write)


def load_weights(path: Path, model: nn.Module) -> None:
    """Read what `save_weights` wrote into a model of the same shape. Raises WorkFailed if it does not fit."""
    try:
        model.load_state_dict(load_file(path))
    except Exception as error:
        raise WorkFailed(f"{path} does not hold this model's weights ({_first_line(error)}); train again") from error


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
