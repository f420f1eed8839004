"""Heights and widths as the file says them."""

from typing import Annotated

from pydantic import BeforeValidator, Field


def both_sides(value: object) -> object:
    """Let one number stand for a square."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value


Side = Annotated[int, Field(ge=8)]
Size = Annotated[tuple[Side, Side], BeforeValidator(both_sides)]
Length = Annotated[int, Field(ge=1)]
Shape = Annotated[tuple[Length, Length], BeforeValidator(both_sides)]
