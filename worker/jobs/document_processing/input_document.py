"""One document of a request. Light: the server checks it at submit."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from worker.jobs.document_processing.urls import LONGEST_URL, canonical
from worker.jobs.shared.uploads import FILE_ID, lies_in_uploads

CONTROL_CHARACTER: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Document(BaseModel):
    """One of `path`, relative to the input folder, `file_id` of a file sent before, `url`, and `text` with a `name`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    file_id: Annotated[str, Field(pattern=FILE_ID, description="of one of your own uploaded files")] | None = None
    url: Annotated[str, Field(min_length=1, max_length=LONGEST_URL), AfterValidator(canonical)] | None = Field(
        None, description="http or https, if the operator lets jobs fetch documents"
    )
    text: str | None = None
    name: Annotated[str, Field(min_length=1, max_length=255)] | None = None

    @field_validator("path", "name")
    @classmethod
    def _check_label(cls, value: str | None) -> str | None:
        if value is not None and CONTROL_CHARACTER.search(value):
            raise ValueError("must not contain NUL or other control characters")
        return value

    @field_validator("path")
    @classmethod
    def _check_relative(cls, value: str | None) -> str | None:
        if value is not None and PurePosixPath(value).is_absolute():
            raise ValueError("must be relative to the input folder")
        if value is not None and lies_in_uploads(value):
            raise ValueError("must not lead into 'uploads'; name an uploaded file by its 'file_id'")
        return None if value is None else str(PurePosixPath(value))

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        kinds = [value for value in (self.path, self.file_id, self.url, self.text) if value is not None]
        if len(kinds) != 1 or (self.text is None) != (self.name is None):
            raise ValueError("give either 'path', or 'text' with 'name', or 'file_id', or 'url'")
        return self

    @property
    def kind(self) -> Literal["path", "file_id", "url", "text"]:
        if self.path is not None:
            return "path"
        if self.url is not None:
            return "url"
        return "text" if self.file_id is None else "file_id"

    @property
    def label(self) -> str:
        """Unique among the documents of its kind."""
        return self.path or self.file_id or self.url or self.name or ""
