"""Whole numbers in study files."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1, lt=2**31, strict=True)]
