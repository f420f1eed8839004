"""What `data` says of classes: counts, names that are hardly two classes, classes of a row or two."""

import pytest

from pipeline.data.classes import alike, classes_in_words, doubts_about


def test_few_classes_are_listed_and_many_summed_up():
    assert classes_in_words("t", {"a": 1200, "b": 3}, "images") == "'t' has 2 classes: a 1,200, b 3"
    many = {f"c{number}": number + 1 for number in range(13)}
    assert classes_in_words("t", many, "images") == "'t' has 13 classes, of 1 (c0) to 13 (c12) images"


@pytest.mark.parametrize(
    ("names", "how"),
    [
        (["Cat", "cat", "dog"], "in case alone"),
        (["big cat", "big  cat"], "in blanks alone"),
        (["a", "a "], "in blanks alone"),
        (["\u00e9", "e\u0301"], "in Unicode form alone"),
        (["1", "1.0", "2"], "as text, but are one number"),
        (["007", "7"], "as text, but are one number"),
        (["Big cat", "big  cat"], "in case, blanks or Unicode form alone"),
    ],
)
def test_names_that_spelling_alone_tells_apart(names, how):
    (group,) = alike(dict.fromkeys(names, 1))
    assert group == (sorted(names[:2]), how)


def test_names_that_differ_are_no_doubt():
    assert alike(dict.fromkeys(["a", "b", "nan", "NaN2", "1", "10", "1a", "01-2"], 1)) == []
    assert list(doubts_about("t", {"a": 3, "b": 4}, "images")) == []


def test_rare_and_absent_classes_are_told():
    told = list(doubts_about("t", {"Cat": 9, "cat": 1, "dog": 2, "eel": 0}, "images"))
    assert told == [
        "target 't': 'Cat' (9) and 'cat' (1) differ in case alone; if they are one class, make their labels equal",
        "target 't': 2 of 4 classes have 1 or 2 images: cat, dog",
        "target 't': 1 of 4 classes have no images: eel",
    ]
