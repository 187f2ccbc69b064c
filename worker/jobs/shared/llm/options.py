"""What a caller may ask of a language model. Light: the server checks it at submit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from worker.jobs.shared.errors import most_failures
from worker.jobs.shared.llm.addresses import form_problem, is_listed, problem_of
from worker.jobs.shared.refusals import refused_field
from worker.jobs.shared.source import Problem

FIELD: Final = "llm"
ResponseFormat = Literal["auto", "json_schema", "json_object", "none"]


def _check_url(url: str) -> str:
    problem = form_problem(url)
    if problem is not None:
        raise ValueError(problem)
    return url


def _check_variable(name: str) -> str:
    if name.startswith("JOBQUEUE_"):
        raise ValueError("must not name a setting of the service")
    return name


class LlmOptions(BaseModel):
    """An OpenAI-compatible endpoint, and how to use it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: Annotated[str, Field(max_length=1024), AfterValidator(_check_url)]
    model: str = Field(min_length=1, max_length=255)
    api_key_env: (
        Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"), AfterValidator(_check_variable)] | None
    ) = Field(None, description="the NAME of a variable in the worker's environment that holds the key, never the key")
    temperature: float = Field(0.0, ge=0, le=2)
    max_tokens: int = Field(1024, ge=16, le=1_000_000, description="of a reply; doubled once for one that is cut off")
    timeout: float = Field(120.0, gt=0, le=3600, description="seconds, of one attempt at a request")
    max_retries: int = Field(3, ge=0, le=10, description="after 429, 5xx, timeouts and lost connections")
    concurrency: int = Field(4, ge=1, le=64, description="requests at a time")
    requests_per_minute: int | None = Field(None, ge=1, le=1_000_000, description="retries count too")
    response_format: ResponseFormat = Field(
        "auto", description="auto: what the endpoint takes, from json_schema over json_object to none"
    )
    max_requests: int | None = Field(None, ge=1, description="of the job, without retries; then items fail")
    max_total_tokens: int | None = Field(
        None, ge=1, description="of the job, prompts and replies; items fail when less than a request may use is left"
    )


def _check_mode(options: LlmOptions | None, info: ValidationInfo) -> LlmOptions | None:
    mode = info.data.get("mode")
    if mode == "llm" and options is None:
        raise ValueError("mode 'llm' needs llm, with base_url and model")
    if mode == "offline" and options is not None:
        raise ValueError("llm is for mode 'llm'; offline no model is asked")
    return options


class LlmMode(BaseModel):
    """The part of a job type's parameters that is the same in all of them; a parameter model inherits it."""

    mode: Literal["offline", "llm"] = "offline"
    llm: Annotated[LlmOptions | None, Field(validate_default=True), AfterValidator(_check_mode)] = None

    def check_llm(self, base_urls: Sequence[str]) -> list[Problem]:
        """For the server, at submit: what is wrong with the address, given those that the operator lists."""
        return [] if self.llm is None else problems_of(self.llm, base_urls)


class LlmItems(LlmMode):
    """The same for job types that ask about many items, some of which may fail."""

    fail_fast: bool = Field(False, description="mode 'llm' only: stop at the first item about which asking has failed")
    max_error_rate: float = Field(
        1.0, ge=0, le=1, description="mode 'llm' only: stop when asking about a larger part of the items has failed"
    )

    @model_validator(mode="after")
    def _check_failures(self) -> Self:
        for name in ("fail_fast", "max_error_rate"):
            if self.mode == "offline" and name in self.model_fields_set:
                raise refused_field(name, f"{name} is for mode 'llm'; offline no item fails")
        return self

    def most_failures(self, items: int) -> int:
        """How many of them may fail, for `Llm.most_failures`."""
        return 0 if self.fail_fast else most_failures(self.max_error_rate, items)


def problems_of(options: LlmOptions, base_urls: Sequence[str], field: str = FIELD) -> list[Problem]:
    """Places in the parameters, and what is wrong there. `field`: which parameter has the options."""
    if is_listed(options.base_url, base_urls):
        return []
    problem = problem_of(options.base_url)
    found: list[Problem] = [] if problem is None else [((field, "base_url"), f"{field}.base_url {problem}")]
    if options.api_key_env is not None:
        # Else anybody could have any variable of the worker sent to a place of his own.
        text = f"{field}.api_key_env: keys go only to endpoints that the operator lists in llm.base_urls"
        found.append(((field, "api_key_env"), text))
    return found
