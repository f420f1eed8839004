"""The order of a cache's raw pixels: every window comes out as if it were cut from the frame."""

import numpy as np
import pytest

from pipeline.vision.layout import cut, pack, window_of_jpeg

# frame (height, width), where the central window begins, and its size
FRAMES = {
    "landscape": ((5, 13), 4, (5, 7)),
    "off centre": ((5, 13), 1, (5, 7)),
    "portrait": ((11, 6), 0, (7, 6)),
    "squish": ((6, 6), 0, (6, 6)),
    "panorama": ((4, 23), 9, (4, 5)),
    "slack both ways": ((9, 12), 3, (6, 5)),
}


@pytest.mark.parametrize("name", FRAMES)
def test_every_window_of_a_frame(name):
    shape, centre, (height, width) = FRAMES[name]
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    packed = pack(frame, "raw", centre, width)
    assert len(packed) == frame.size
    stored = np.concatenate([np.zeros(17, np.uint8), packed, np.zeros(3, np.uint8)])
    for top in range(shape[0] - height + 1):
        for left in range(shape[1] - width + 1):
            found = cut(stored, 17, shape, centre, (height, width), (top, left))
            window = found.run.copy()
            found.mend(window)
            assert np.array_equal(window, frame[top : top + height, left : left + width]), (top, left)


def test_the_central_window_is_one_run_of_bytes():
    shape, centre, size = FRAMES["landscape"]
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = cut(pack(frame, "raw", centre, size[1]), 0, shape, centre, size, (0, centre))
    assert found.run.flags.c_contiguous
    assert found.rest is None


def test_a_frame_that_is_cut_short_is_never_read_beyond_its_end():
    shape, centre, size = FRAMES["slack both ways"]
    packed = pack(np.zeros((*shape, 3), np.uint8), "raw", centre, size[1])
    corner = (shape[0] - size[0], shape[1] - size[1])
    cut(packed, 0, shape, centre, size, corner)
    with pytest.raises(ValueError, match="size of buffer"):
        cut(packed[:-1], 0, shape, centre, size, corner)


def test_bytes_that_are_no_jpeg_are_refused():
    with pytest.raises(ValueError, match="12 bytes are no JPEG"):
        window_of_jpeg(np.zeros(12, np.uint8), (2, 2), (0, 0))
