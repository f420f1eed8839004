"""How a file's tensors become a body's: by name and shape, through timm's own conversions, told in words.

timm says nowhere what it takes from a file. So it is first given stand-ins that are not a number anywhere: where the
body's tensors are none afterwards, they would have come from the file.
"""

import contextlib
import difflib
import functools
import io
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import timm
from torch import Tensor, nn

from pipeline.data.channels import RGB
from pipeline.errors import RequestError
from pipeline.vision.callbacks import seeded
from pipeline.vision.naming import counted, from_original_efficientnet, is_original_efficientnet, prefix_of, shown
from pipeline.vision.own_start import HEADS, is_own
from pipeline.vision.tensors import Held, read_shapes, read_tensors

LEAST = 0.9  # of the body's tensors: a file with fewer is one of another network
IMAGE_KERNEL = 4  # dimensions of a convolution's weights
Shape = tuple[int, int, int]  # height, width and channels of images
ORIGINAL = "tf_efficientnet"  # timm's bodies with the paddings and batch norms of the original


@dataclass(frozen=True)
class Fit:
    """What of a file goes into a body: `names` of the file with those that timm is given them by, `loaded` and
    `missing` of the body's. `direct`: by these names alone, where timm's conversions refuse the whole.
    """

    path: Path
    names: Mapping[str, str]
    loaded: Sequence[str]
    missing: Sequence[str]
    classifier: Sequence[str]
    left: Sequence[str]
    direct: bool
    found_in: str
    adapted: str = ""

    def told(self) -> str:
        """In words, for the log."""
        total = len(self.loaded) + len(self.missing)
        text = f"weights: {len(self.loaded)} of {total} tensors of {self.path.name} loaded{self.found_in}{self.adapted}"
        if self.classifier:
            text += f", the classifier left out ({shown(self.classifier)})"
        if self.left:
            text += f"; left out besides: {shown(self.left)}"
        if self.missing:
            text += f"; new, for the file lacks them in that shape: {shown(self.missing)}"
        return text


def fit_of(arch: str, path: Path, size: tuple[int, int], channels: int = RGB.count) -> Fit:
    """How a file fits an architecture at a size, for images of some channels, from the shapes alone.

    Raises RequestError, with names, where under nine of ten of the body's tensors are there, WorkFailed for a file
    that cannot be read.
    """
    stat = path.stat() if path.is_file() else None
    state = (stat.st_ino, stat.st_mtime_ns, stat.st_size) if stat else ()
    with seeded("fit"):  # whoever builds a network next draws the same, whether or not this was known already
        return _fit_of(arch, path, (*size, channels), *state)


def body_from(fit: Fit, arch: str, size: tuple[int, int], channels: int = RGB.count) -> nn.Module:
    """The timm model with the file's tensors, and no classifier. It draws as many random numbers as without them."""
    found = read_tensors(fit.path).tensors
    return _create(arch, (*size, channels), {own: found[name] for name, own in fit.names.items()}, fit.direct)


def options_of(arch: str, size: tuple[int, int], channels: int = RGB.count) -> dict:
    """What timm is asked for besides the architecture."""
    options: dict = {"num_classes": 0} if channels == RGB.count else {"num_classes": 0, "in_chans": channels}
    config = timm.get_pretrained_cfg(arch)
    if config is not None and config.fixed_input_size and tuple(config.input_size[1:]) != tuple(size):
        options["img_size"] = size
    return options


@functools.lru_cache(maxsize=32)
def _fit_of(arch: str, path: Path, shape: Shape, *_: int) -> Fit:
    held = read_shapes(path)
    wanted = _weights_of(_create(arch, shape))
    prefix, also = prefix_of(held.tensors, wanted)
    names = {name: name.removeprefix(prefix) for name in held.tensors if name.startswith(prefix)}
    where = [f"in its {held.wrapper}"] if held.wrapper else []
    where += [f"under {prefix!r}{', as under ' + repr(also[0]) if also else ''}"] if prefix or also else []
    loaded, direct = _loaded(arch, shape, names, held.tensors, wanted)
    if not _enough(loaded, wanted) and is_original_efficientnet(names):
        names = from_original_efficientnet(list(names), wanted)
        where.append("by the names of the original EfficientNet")
        loaded, direct = _loaded(arch, shape, names, held.tensors, wanted)
        if _enough(loaded, wanted) and not arch.startswith(ORIGINAL):
            raise RequestError(_other_padding(arch, path, names))
    if not _enough(loaded, wanted):
        raise RequestError(_too_few(arch, path, held, names, loaded, wanted))
    missing = [name for name in wanted if name not in loaded]
    unused = _unused(held, names, loaded)
    classifier = [name for name in unused if _of_classifier(arch, names.get(name, ""))]
    classifier.sort(key=lambda name: (name.rpartition(".")[0], not name.endswith(".weight")))
    heads = HEADS if is_own(path) else None  # of which is told apart
    left = [name for name in unused if name not in classifier and names.get(name) not in missing]
    left = [name for name in left if heads is None or not name.startswith(heads)]
    found_in = f" ({', '.join(where)})" if where else ""
    return Fit(path, names, sorted(loaded), missing, classifier, left, direct, found_in, _adapted(names, held, wanted))


def _adapted(names: Mapping[str, str], held: Held, wanted: Mapping[str, Tensor]) -> str:
    """In words, the layers on the pixels that timm makes fit other channels."""
    own = {mine: held.tensors[name] for name, mine in names.items() if mine in wanted}
    for name, tensor in own.items():
        there, here = tuple(tensor.shape), tuple(wanted[name].shape)
        if (
            len(there) == len(here) == IMAGE_KERNEL
            and there[1] != here[1]
            and there[:1] + there[2:] == here[:1] + here[2:]
        ):
            return f", {name} from {there[1]} channels to {here[1]} as timm does it"
    return ""


def _loaded(
    arch: str,
    shape: Shape,
    names: Mapping[str, str],
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
) -> tuple[set[str], bool]:
    """Which of the body's tensors come from the file, and whether by their names and shapes alone."""
    given = {own: found[name] for name, own in names.items()}
    if not given:
        return set(), True
    fitting = {own for own, tensor in given.items() if own in wanted and tensor.shape == wanted[own].shape}
    if shape[2] != RGB.count and fitting == set(wanted):
        return fitting, True  # timm would take the weights of such images for those of others
    try:
        body = _create(arch, shape, given)
    except Exception:  # noqa: BLE001 - a shape that does not fit, or names that a conversion did not expect
        return fitting, True
    return {name for name, tensor in _weights_of(body).items() if tensor.isnan().all()}, False


def _create(arch: str, shape: Shape, tensors: Mapping[str, Tensor] | None = None, direct: bool = False) -> nn.Module:
    options = options_of(arch, shape[:2], shape[2])
    with _quiet():
        if not tensors or direct:
            body = timm.create_model(arch, pretrained=False, **options)
            own = body.state_dict()
            fitting = {k: v for k, v in (tensors or {}).items() if k in own and v.shape == own[k].shape}
            body.load_state_dict(fitting, strict=False)
            return body
        body = timm.create_model(arch, pretrained=True, pretrained_cfg_overlay={"state_dict": dict(tensors)}, **options)
    cast(dict, body.pretrained_cfg).pop("state_dict", None)  # it would stay in memory, and in what is exported
    return body


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without timm's own lines: it lists every name of a file that it has no use for."""
    logger = logging.getLogger("timm")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)


def _weights_of(body: nn.Module) -> dict[str, Tensor]:
    state = body.state_dict()
    return {name: state[name] for name in counted(state) if state[name].is_floating_point() and state[name].numel()}


def _enough(loaded: Collection[str], wanted: Collection[str]) -> bool:
    return len(loaded) >= LEAST * len(wanted)


def _unused(held: Held, names: Mapping[str, str], loaded: Collection[str]) -> list[str]:
    """Names of the file that no tensor of the body came from; none where timm gave them other names."""
    if not set(loaded) <= set(names.values()):
        return []
    return [name for name in counted(held.tensors) if names.get(name) not in loaded]


def _of_classifier(arch: str, name: str) -> bool:
    config = timm.get_pretrained_cfg(arch)
    known = config.classifier if config is not None and config.classifier else ()
    return name.startswith(tuple(f"{part}." for part in ((known,) if isinstance(known, str) else known)))


def _other_padding(arch: str, path: Path, names: Mapping[str, str]) -> str:
    like = f"tf_{arch}" if timm.is_model(f"tf_{arch}") else f"{ORIGINAL}_b0"
    return (
        f"{path} holds an original EfficientNet ({shown(list(names), 2)}), whose padding and batch norm {arch} does "
        f"not have; set arch to one that does, such as {like}"
    )


def _too_few(
    arch: str,
    path: Path,
    held: Held,
    names: Mapping[str, str],
    loaded: Collection[str],
    wanted: Mapping[str, Tensor],
) -> str:
    by_own = {own: name for name, own in names.items()}
    absent = [name for name in wanted if name not in loaded and name not in by_own]
    odd = [name for name in wanted if name not in loaded and name in by_own]
    unused = counted(name for name in held.tensors if names.get(name) not in [*loaded, *odd])
    said = []
    if absent:
        said.append(f"missing there: {shown(absent)}")
    if odd:
        there, here = tuple(held.tensors[by_own[odd[0]]].shape), tuple(wanted[odd[0]].shape)
        said.append(f"of another shape: {odd[0]} {there} for {here}" + (f" and {len(odd) - 1} more" if odd[1:] else ""))
    if unused:
        near = difflib.get_close_matches(absent[0], unused, 3, 0.5) if absent else []
        said.append(f"nearest there: {', '.join(near)}" if near else f"found there: {shown(unused)}")
    return (
        f"only {len(loaded)} of the {len(wanted)} tensors of {arch} are in {path}; {'; '.join(said)}; "
        "set weights to a file of this architecture, to 'pretrained' or to 'none'"
    )
