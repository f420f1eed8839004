"""Names of tensors: what a file puts before a body's own, and the original EfficientNet's in timm's words."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from torch import Tensor

# What wrappers put before every name: DataParallel, torch.compile, Lightning, learners and encoders of all sorts.
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.", "net.", "network.", "base_model.")
EMA = re.compile(r"(^|[._])(ema|teacher|averaged?|swa)([._]|$)|_ema\b|\bema_")
COUNTER = "num_batches_tracked"  # of batch norm: no weight, and absent from older files


def shown(names: Collection[str], most: int = 3) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(list(names)[:most]) + more


def counted(names: Iterable[str]) -> list[str]:
    """Those that are weights or statistics."""
    return [name for name in names if not name.endswith(COUNTER)]


def prefix_of(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[str, list[str]]:
    """What stands before the wanted names in a file, and other prefixes under which as many of them stand.

    Among several an average over steps comes first, as in timm. Names that are hardly those wanted lose the prefixes
    that are known.
    """
    named: Counter[str] = Counter()
    fitting: Counter[str] = Counter()
    for name in counted(found):
        for at in [0, *(match.end() for match in re.finditer(r"\.", name))]:
            own = wanted.get(name[at:])
            if own is not None:
                named[name[:at]] += 1
                fitting[name[:at]] += own.shape == found[name].shape
    most = max(named.values(), default=0)
    if 2 * most < len(counted(wanted)):
        return _known_prefix(list(found)), []
    best = max(count for prefix, count in fitting.items() if named[prefix] == most)
    equal = [prefix for prefix in named if named[prefix] == most and fitting[prefix] == best]
    equal.sort(key=lambda prefix: not EMA.search(prefix))
    return equal[0], equal[1:]


def _known_prefix(names: Collection[str]) -> str:
    """Known prefixes that nine of ten names begin with, one after the other."""
    prefix = ""
    while True:
        own = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        shared = [known for known in PREFIXES if 10 * sum(name.startswith(known) for name in own) >= 9 * len(own) > 0]
        if not shared:
            return prefix
        prefix += shared[0]


# The original EfficientNet for PyTorch (lukemelas, 2019) numbers its blocks through, timm by stage; the first stage
# has no expansion, and the batch norms behind it are numbered from there.
STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
EXPANDED = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
EXPANDED |= {"_project_conv": "conv_pwl", "_bn2": "bn3", **SQUEEZE}
PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2", **SQUEEZE}


def is_original_efficientnet(names: Iterable[str]) -> bool:
    """Whether names are those of the original EfficientNet, whatever stands before them."""
    return any(re.search(r"(^|\.)_(conv_stem|blocks\.0\._depthwise_conv)\.weight$", name) for name in names)


def from_original_efficientnet(names: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """timm's names by the original ones (which may stand behind a prefix), for a body with the `wanted` names.

    Blocks are paired in their order; what is not of the network is left as it is named.
    """
    blocks = sorted({tuple(map(int, name.split(".")[1:3])) for name in wanted if name.startswith("blocks.")})
    expanding = {match[1] for name in names if (match := re.search(r"_blocks\.(\d+)\._expand_conv\.", name))}
    renamed = {}
    for name in names:
        block = re.search(r"(?:^|\.)_blocks\.(\d+)\.(_\w+)\.(\w+)$", name)
        stem = re.search(r"(?:^|\.)(_\w+)\.(\w+)$", name)
        own = name
        if block and int(block[1]) < len(blocks):
            part = (EXPANDED if block[1] in expanding else PLAIN).get(block[2])
            stage, number = blocks[int(block[1])]
            own = f"blocks.{stage}.{number}.{part}.{block[3]}" if part else name
        elif stem and stem[1] in STEM:
            own = f"{STEM[stem[1]]}.{stem[2]}"
        renamed[name] = own
    return renamed
