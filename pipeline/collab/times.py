"""When something was rated, as tables say it: seconds and other units, years, dates in words or numbers."""

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.errors import RequestError
from pipeline.log import Log

EPOCH = pd.Timestamp(0, tz="UTC").as_unit("s")  # in which also dates of year 1 and 9999 can be told
UNITS = ((1e17, 1e9, "nanoseconds"), (1e14, 1e6, "microseconds"), (1e11, 1e3, "milliseconds"))  # from, a second, name
YEARS, DAYS = (1900, 2100), (19000101, 21001231)  # 2003, and 20030501
IN_NUMBERS = r"^(\d{1,2})([/.-])(\d{1,2})[/.-](?:\d{4}|\d{2})(?!\d)"  # 05/13/2003, with or without a time behind
WITH_YEAR = r"\d{4}|^\d{1,2}[/.-]\d{1,2}[/.-]\d{2}(?!\d)"  # a date without one would be of this year


def seconds_of(said: Mapping[str, pd.Series], day_first: bool | None, log: Log | None) -> dict[str, np.ndarray]:
    """Seconds since 1970 (n,) of the times of each table, by its name; all tables are read in one way.

    Raises RequestError, naming rows, for what is neither a number nor a date.
    """
    texts = pd.concat([cells.str.strip() for cells in said.values()], ignore_index=True)
    numbers = pd.to_numeric(texts, errors="coerce")
    seconds, how = _of_dates(texts, day_first) if numbers.isna().all() else _of_numbers(numbers)
    start, found = 0, {}
    for name, cells in said.items():
        own, start = seconds[start : start + len(cells)], start + len(cells)
        bad = np.flatnonzero(~np.isfinite(own))
        if len(bad):
            shown = ", ".join(f"{cells.iloc[row]!r} in row {row}" for row in bad[:3])
            raise RequestError(
                f"data.timestamp: {name}: {len(bad)} of {len(cells)} rows have no time that is "
                f"{'a date with its year' if numbers.isna().all() else 'a number, as others are'}: {shown}; correct "
                "them or take the rows out"
            )
        found[name] = own.astype(np.int64)
    _say(np.concatenate(list(found.values())), how, log)
    return found


def _of_numbers(numbers: pd.Series) -> tuple[np.ndarray, str]:
    """Seconds (n,), NaN where there are none, and in words how the numbers were read."""
    values = numbers.to_numpy(dtype=np.float64)
    known = values[np.isfinite(values)]
    for least, many, name in UNITS:
        if (known >= least).all():
            return values / many, f"read as {name}"
    whole = bool((known % 1 == 0).all())
    if whole and YEARS[0] <= known.min() and known.max() <= YEARS[1]:
        return _dated(numbers.map("{:.0f}".format), "%Y"), "read as years"
    if whole and DAYS[0] <= known.min() and known.max() <= DAYS[1]:
        dates = _dated(numbers.map("{:.0f}".format), "%Y%m%d")
        if np.isfinite(dates).sum() == len(known):
            return dates, "read as year, month, day"
    return values, ""


def _of_dates(texts: pd.Series, day_first: bool | None) -> tuple[np.ndarray, str]:
    """Seconds (n,), NaN where there is no date, and in words how an order of day and month was chosen."""
    different = pd.Series(texts.unique())
    dated = different.where(different.str.contains(WITH_YEAR))
    first, how = _day_comes_first(different, day_first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a form that pandas cannot name: each is read alone then, as it should
        dates = pd.to_datetime(dated, errors="coerce", utc=True, dayfirst=first)
        left = dates.isna()
        if left.any():
            dates[left] = pd.to_datetime(dated[left], errors="coerce", utc=True, format="mixed", dayfirst=first)
    seconds = _since_1970(dates)
    return texts.map(pd.Series(seconds, index=different)).to_numpy(dtype=np.float64), how


def _day_comes_first(texts: pd.Series, said: bool | None) -> tuple[bool, str]:
    """Whether 5/1/2003 is in January, as all such dates together tell, and in words where they do not tell."""
    parts = texts.str.extract(IN_NUMBERS).dropna()
    if parts.empty:
        return bool(said), ""
    day_first, month_first = parts[parts[0].astype(int) > 12], parts[parts[2].astype(int) > 12]
    for wrong, order in ((day_first, False), (month_first, True)):
        other = month_first if wrong is day_first else day_first
        if len(wrong) and (len(other) or said is order):
            clash = f", and {texts[other.index[0]]!r} the month" if len(other) else ""
            begins = "day" if wrong is day_first else "month"
            hint = "" if len(other) else f"; take out data.day_first = {str(said).lower()}"
            raise RequestError(f"data.timestamp: {texts[wrong.index[0]]!r} begins with the {begins}{clash}{hint}")
    if len(day_first) or len(month_first) or said is not None:
        return bool(len(day_first)) if said is None else said, ""
    dotted = bool((parts[1] == ".").all())
    example, other = texts[parts.index[0]], "false" if dotted else "true"
    return dotted, f"{example!r} read as {'day.month' if dotted else 'month, day'}; else set data.day_first = {other}"


def _dated(texts: pd.Series, form: str) -> np.ndarray:
    return _since_1970(pd.to_datetime(texts, errors="coerce", utc=True, format=form))


def _since_1970(dates: pd.Series) -> np.ndarray:
    """Whole seconds (n,), NaN where there is no date."""
    return (dates.dt.as_unit("s") - EPOCH).dt.total_seconds().to_numpy(dtype=np.float64)


def _say(seconds: np.ndarray, how: str, log: Log | None) -> None:
    """From when to when, which shows a reading that is wrong."""
    if log is None or not len(seconds):
        return
    first, last = (str(np.datetime64(int(end), "s"))[:10] for end in (seconds.min(), seconds.max()))
    log.say(f"data: times from {first} to {last}{f' ({how})' if how else ''}")
