"""Near-duplicates: images that show one picture, found by perceptual hash and verified on thumbnails."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Near-duplicates, measured on 2,340 shop photos (clothes) and 600 pets: all 2.9 million pairs were scored,
# also those of distant hashes, and all near the limits were looked at. Besides the byte-identical ones, 10
# pairs of clothes and 6 of pets are one photo in two files; these limits find the 16 and no other pair.
# True pairs: distance <= 4, misfit <= 2.8, explained >= 0.966, tint <= 0.8. Nearest false ones: misfit 5.4
# (two blue shirts), explained 0.888 (white on white), tint 11.9 with misfit 3.8 (one photo of shorts in two
# colours: different labels, and in grey up to 1.0000 correlated, which is why colour is compared too).
# Of 1,034 photos saved again as JPEG of quality 30, or at 90 with brightness -10%, size x0.75 or x1.5, all
# were found; 5% and 10% brighter, all but 2 and 3 (pale prints on white, burnt out). No photos were mixed.
DISTANCE = 8  # bits of 64; a 10% brighter copy moves by 10 at most, 8 in 99%
MAX_MISFIT = 4.0  # grey levels, mean over the thumbnail, after gain and offset are fitted
MIN_EXPLAINED = 0.95  # share of the thumbnail's variance; decides where the picture has little contrast
MAX_TINT = 5.0  # levels of Cb and Cr; darkening by 10% moves them by 4.4 at most
MIN_CONTRAST = 2.0  # grey levels, standard deviation; below it a hash is noise (lowest photo: 7.9)
PROBE = 200  # members of a large component that are compared with each other
BANDS = 3  # 22, 21 and 21 bits: 100,000 hashes have few chance neighbours in so wide a band


class Alike(NamedTuple):
    """What images resemble each other."""

    groups: list[list[int]]  # row positions, sorted by first member; each of size >= 2
    chains: list[int]  # counted rows of each chain that was taken apart, largest first


def near_duplicate_groups(facts: pd.DataFrame, distance: int = DISTANCE) -> list[list[int]]:
    """Row positions of readable images that show one picture, whatever the size of their groups."""
    return alike(facts, np.zeros(len(facts), bool), 0, distance).groups


def alike(facts: pd.DataFrame, counted: np.ndarray, largest: int, distance: int = DISTANCE) -> Alike:
    """Groups of readable images that show one picture: byte-identical or near-duplicates.

    `facts` as from `inspect_images`; `distance` in bits between perceptual hashes (0 to 64; costly above 8).
    Pairs with close hashes are verified on thumbnails, then joined into connected components. Pictures
    without contrast (all black) join only byte-identical ones.

    A component may be a chain: each picture is like the next, most pairs are not alike. Where a chain has more than
    `largest` of the `counted` rows (rows,) bool, all limits are drawn tighter for it, by a bit of the distance at a
    time, until no part of it is such a chain. Byte-identical files stay together.
    """
    rows = np.flatnonzero(facts["readable"].to_numpy(bool))
    if rows.size < 2:
        return Alike([], [])
    _, first, copy_of = np.unique(facts["sha256"].to_numpy(str)[rows], return_index=True, return_inverse=True)
    looks = _Looks(
        facts["phash"].to_numpy(np.uint64)[rows[first]],
        _unpack(facts["thumb"], rows[first], 256),
        _unpack(facts["chroma"], rows[first], 128),
    )
    weights = np.bincount(copy_of[counted[rows]], minlength=first.size)
    chosen = np.flatnonzero(looks.thumbs.std(axis=1) >= MIN_CONTRAST)
    component, chains = _joined(np.arange(first.size), chosen, looks, distance, 1.0), []
    for tighter in range(distance - 1, -1, -1):
        large = np.flatnonzero(np.bincount(component, weights) > largest)
        large = [number for number in large if _is_chain(np.flatnonzero(component == number), looks, distance)]
        if not large:
            break
        chains = chains or sorted((int(weights[component == number].sum()) for number in large), reverse=True)
        chosen = chosen[np.isin(component[chosen], large)]
        component[chosen] = first.size + chosen
        component = np.unique(component, return_inverse=True)[1]
        component = _joined(component, chosen, looks, tighter, tighter / distance)
    of_row = component[copy_of]
    order = np.argsort(of_row, kind="stable")
    groups = np.split(rows[order], np.flatnonzero(np.diff(of_row[order])) + 1)
    return Alike(sorted(group.tolist() for group in groups if group.size > 1), chains)


class _Looks(NamedTuple):
    """What distinct files look like: hashes (n,), thumbnails (n, 256), chroma (n, 128)."""

    codes: np.ndarray
    thumbs: np.ndarray
    chroma: np.ndarray


def _joined(component: np.ndarray, chosen: np.ndarray, looks: _Looks, distance: int, tight: float) -> np.ndarray:
    """Components (n,) after joining those of the `chosen` that show one picture, as far as `tight` limits say."""
    for pairs in hamming_pairs(looks.codes[chosen], distance):
        component = _merge(component, chosen[pairs], looks.thumbs, looks.chroma, tight)
    return component.copy()


def _is_chain(members: np.ndarray, looks: _Looks, distance: int) -> bool:
    """Whether most pairs of a component are not alike: of up to `PROBE` members, evenly chosen.

    Of frames of one fixed camera nearly all pairs are alike; of 400 drawn fundus photos that chain, 2 %.
    """
    probe = members[np.linspace(0, members.size - 1, min(members.size, PROBE)).astype(int)]
    pairs = probe[np.stack(np.triu_indices(probe.size, 1), axis=1)]
    close = np.bitwise_count(looks.codes[pairs[:, 0]] ^ looks.codes[pairs[:, 1]]) <= distance
    same = sum(int(_same_picture(part, looks.thumbs, looks.chroma).sum()) for part in np.array_split(pairs[close], 4))
    return 2 * same < len(pairs)


def hamming_pairs(codes: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """Every pair i < j of 64-bit `codes` (n,) that differ in at most `distance` bits, and no other pair.

    Yields arrays (m, 2) of bounded size; a pair may come up to three times. Multi-index hashing (Norouzi,
    Punjani and Fleet, 2012): of three bands one differs in at most distance // 3 bits, so looking up every
    such change of every band finds each pair. 100,000 hashes at distance 8 take a second, all pairs four.
    """
    codes = np.asarray(codes, dtype=np.uint64)
    edges = np.linspace(64, 0, BANDS + 1).astype(int)
    for high, low in itertools.pairwise(edges.tolist()):
        width = high - low
        keys = ((codes >> np.uint64(low)) & np.uint64((1 << width) - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], np.arange((1 << width) + 1))
        for flips in range(distance // BANDS + 1):
            for bits in itertools.combinations(range(width), flips):
                for pairs in _bucket_pairs(keys ^ sum(1 << bit for bit in bits), order, starts):
                    close = np.bitwise_count(codes[pairs[:, 0]] ^ codes[pairs[:, 1]]) <= distance
                    yield pairs[close]


def _bucket_pairs(wanted: np.ndarray, order: np.ndarray, starts: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs (i, j), i < j, where j lies in bucket wanted[i]; bucket k is order[starts[k]:starts[k + 1]]."""
    sizes = starts[wanted + 1] - starts[wanted]
    hits = np.flatnonzero(sizes)
    piece = np.cumsum(sizes[hits]) >> 20  # about a million pairs at a time: some 30 MB, whatever the hashes
    for part in np.split(hits, np.flatnonzero(np.diff(piece)) + 1):
        i = np.repeat(part, sizes[part])
        within = np.arange(i.size) - np.repeat(np.cumsum(sizes[part]) - sizes[part], sizes[part])
        j = order[starts[wanted[i]] + within]
        yield np.stack([i, j], axis=1)[i < j]


def _merge(
    component: np.ndarray, pairs: np.ndarray, thumbs: np.ndarray, chroma: np.ndarray, tight: float = 1.0
) -> np.ndarray:
    """Components (n,) after joining the `pairs` (m, 2) that show one picture.

    Pairs joined already are not compared again: a thousand frames of one fixed camera are half a million
    pairs, of which the first thousand join all.
    """
    while True:
        pairs = pairs[component[pairs[:, 0]] != component[pairs[:, 1]]]
        if not len(pairs):
            return component
        batch, pairs = pairs[:8192], pairs[8192:]  # 8192 pairs of thumbnails in float32 are 16 MiB
        a, b = component[batch[_same_picture(batch, thumbs, chroma, tight)]].T
        if len(a):
            links = coo_array((np.ones(a.size, bool), (a, b)), shape=(component.size, component.size))
            component = connected_components(links, directed=False)[1][component]


def _unpack(column: pd.Series, rows: np.ndarray, size: int) -> np.ndarray:
    return np.frombuffer(b"".join(column.iloc[rows]), np.uint8).reshape(len(rows), size)


def _same_picture(pairs: np.ndarray, thumbs: np.ndarray, chroma: np.ndarray, tight: float = 1.0) -> np.ndarray:
    """Which of `pairs` (m, 2) show one picture, by thumbnails (n, 256) and chroma (n, 128): bool (m,).

    `tight` below 1 makes all limits smaller by that factor.
    """
    a, b = pairs.T
    tint = np.abs(chroma[a].astype(np.int16) - chroma[b]).mean(axis=1)
    misfit, explained = _fit_light(thumbs[a].astype(np.float32), thumbs[b].astype(np.float32))
    within = (tint <= MAX_TINT * tight) & (misfit <= MAX_MISFIT * tight)
    return within & (explained >= 1 - (1 - MIN_EXPLAINED) * tight)


def _fit_light(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit the brighter of each pair of thumbnails (m, 256) as clip(gain * darker + offset).

    Returns the mean absolute misfit in grey levels and the share of variance explained, each (m,). The fit
    looks past pixels burnt to white: there a brightened shop photo differs from its source in shape, and
    plain correlation drops to 0.91. Gain and offset keep to what can be called a slight change of light.
    """
    swap = (a.mean(axis=1) > b.mean(axis=1))[:, None]
    dark, bright = np.where(swap, b, a), np.where(swap, a, b)
    used = bright < 245
    used[used.sum(axis=1) < 16] = True  # nearly all burnt out: nothing to look past
    count = used.sum(axis=1, keepdims=True)
    x_mean = (dark * used).sum(axis=1, keepdims=True) / count
    y_mean = (bright * used).sum(axis=1, keepdims=True) / count
    x = (dark - x_mean) * used
    slope = (x * (bright - y_mean)).sum(axis=1, keepdims=True) / np.maximum((x * x).sum(axis=1, keepdims=True), 1)
    gain = slope.clip(0.8, 1.25)
    offset = (y_mean - gain * x_mean).clip(-32, 32)
    misfit = bright - (gain * dark + offset).clip(0, 255)
    total = np.maximum(bright.var(axis=1), 1)
    return np.abs(misfit).mean(axis=1), 1 - (misfit**2).mean(axis=1) / total
