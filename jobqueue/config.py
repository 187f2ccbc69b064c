"""The one configuration of all three packages: `config.toml`, then `JOBQUEUE_*` variables, every default in code.

An unknown key or variable is an error, relative paths count from the configuration file, and every mistake is reported
at once. Units are in the names.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobqueue.config_values import DottedName, EndpointUrl, Name, Origin, RedisUrl
from jobqueue.errors import ConfigurationError

ENVIRONMENT_PREFIX = "JOBQUEUE_"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RedisSettings(_Section):
    url: RedisUrl = Field("embedded", description="embedded, or redis://, rediss://, unix://")
    key_prefix: str = Field("rq", pattern=r"^[A-Za-z0-9_.:\-{}]{1,64}$", description="RQ's own rule for RQ_KEY_PREFIX")
    maxmemory_mb: int = Field(2048, ge=16, description="embedded server only; writes are refused beyond it")
    call_timeout_seconds: float = Field(1.5, gt=0, le=60)


class StorageSettings(_Section):
    data_dir: Path = Path("data")
    input_root: Path = Path("data/input")
    upload_max_bytes: int = Field(200_000_000, ge=1, description="of one uploaded file")
    upload_max_files: int = Field(100, ge=1, le=1000, description="in one request")
    upload_user_bytes: int = Field(2_000_000_000, ge=1, description="of all files that a user has uploaded")
    upload_retention_seconds: int = Field(86400, ge=1, description="after its last use by a job")

    @property
    def uploads_dir(self) -> Path:
        return self.input_root / "uploads"

    @property
    def valkey_dir(self) -> Path:
        return self.data_dir / "valkey"

    @property
    def jobs_dir(self) -> Path:
        return self.data_dir / "jobs"


class QueueSettings(_Section):
    name: Name = "default"
    lease_seconds: float = Field(15.0, ge=0.5, le=3600)
    serializer: Literal["json"] = "json"
    eager_executions: bool = Field(False, description="write RQ's execution records at claim instead of a second later")


class LimitSettings(_Section):
    total: int = Field(10, ge=1, le=1_000_000)
    per_user: int = Field(3, ge=1, le=1_000_000)


class RetentionSettings(_Section):
    completed_seconds: int = Field(86400, ge=1)
    failed_seconds: int = Field(7200, ge=1)
    cancelled_seconds: int = Field(7200, ge=1)
    cold_start_seconds: int = Field(3600, ge=0)
    interval_seconds: float = Field(600.0, gt=0)


class ServerSettings(_Section):
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    processes: int = Field(1, ge=1, le=64, description="that share the port")
    allowed_hosts: tuple[str, ...] = Field((), description="host names of this server besides its address")
    max_body_bytes: int = Field(1024 * 1024, ge=1024)
    max_parameters_bytes: int = Field(256 * 1024, ge=64)
    body_timeout_seconds: float = Field(15.0, gt=0)
    keep_alive_seconds: float = Field(15.0, gt=0, description="between comments on an idle stream")
    shutdown_seconds: float = Field(5.0, gt=0)
    tick_seconds: float = Field(1.0, gt=0, description="between two looks for expired leases and due jobs")
    worker_check_seconds: float = Field(300.0, gt=0)


class WorkerSettings(_Section):
    concurrency: int = Field(4, ge=1, le=10_000)
    queues: tuple[Name, ...] = Field(("default",), min_length=1)
    shutdown_grace_seconds: float = Field(30.0, ge=0)
    pickle: Literal["plain", "trusted"] = "plain"
    allowed_functions: tuple[str, ...] = ()
    function_mode: Literal["thread", "process"] = Field(
        "thread", description="where plain functions run; coroutine functions of mode thread run in the worker's loop"
    )
    default_result_ttl_seconds: int = Field(500, ge=-1, description="of stock jobs that name none; -1 = for ever")
    tick_seconds: float = Field(1.0, gt=0, description="between two looks for expired leases and due jobs")


class LlmSettings(_Section):
    base_urls: tuple[EndpointUrl, ...] = Field(
        (), description="OpenAI-compatible endpoints that jobs may use wherever they are, and with keys of the worker"
    )


class DocumentSettings(_Section):
    urls: Literal["off", "listed", "public"] = Field(
        "off", description="what jobs may fetch: nothing, what lies at url_origins, or that and every public address"
    )
    url_origins: tuple[Origin, ...] = Field((), description="places that jobs may fetch from wherever they are")
    url_max_bytes: int = Field(200_000_000, ge=1, description="of one document; the job's own limit holds too")
    url_timeout_seconds: float = Field(60.0, gt=0, le=3600, description="to fetch one document")


class LogSettings(_Section):
    format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, elsewhere json")
    level: Literal["debug", "info", "warning", "error"] = "info"


class JobTypeSettings(_Section):
    function: DottedName
    parameters: DottedName
    mode: Literal["async", "process"] = "process"
    timeout_seconds: int = Field(3600, ge=1, le=30 * 86400)
    max_attempts: int = Field(1, ge=1, le=100)
    backoff_seconds: float = Field(1.0, ge=0, le=86400, description="before the second attempt; then doubled each time")
    backoff_max_seconds: float = Field(300.0, ge=0, le=7 * 86400)
    max_lost_attempts: int = Field(3, ge=1, le=100)
    memory_limit_mb: int = Field(2048, ge=32)
    processes: int = Field(2, ge=1, le=64, description="that one job may let work side by side")
    cancel_grace_seconds: float = Field(5.0, ge=0, le=600)
    queue: Name | None = None


def _built_in(name: str) -> dict[str, Any]:
    package = f"worker.jobs.{name}"
    return {
        "function": f"{package}.run:run",
        "parameters": f"{package}.parameters:Parameters",
        "cancel_grace_seconds": 0.5,
    }


BUILT_IN_JOB_TYPES: dict[str, Any] = {
    name: _built_in(name) for name in ("document_processing", "taxonomy_processing", "extraction", "dataset_generation")
}


class Settings(_Section):
    redis: RedisSettings = RedisSettings()
    storage: StorageSettings = StorageSettings()
    queue: QueueSettings = QueueSettings()
    limits: LimitSettings = LimitSettings()
    retention: RetentionSettings = RetentionSettings()
    server: ServerSettings = ServerSettings()
    worker: WorkerSettings = WorkerSettings()
    llm: LlmSettings = LlmSettings()
    documents: DocumentSettings = DocumentSettings()
    log: LogSettings = LogSettings()
    job_types: dict[Name, JobTypeSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_across_sections(self) -> Settings:
        wrong = []
        if self.limits.per_user > self.limits.total:
            wrong.append("limits.per_user must not be larger than limits.total")
        if self.queue.lease_seconds < 2 * max(self.server.tick_seconds, self.worker.tick_seconds):
            wrong.append("queue.lease_seconds must be at least twice the tick_seconds of server and worker")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def queue_of(self, job_type: str) -> str:
        return self.job_types[job_type].queue or self.queue.name


def load_settings(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read, merge and check the configuration.

    `path`: the file to read; without it `config.toml` in the working directory if there is one. Raises
    ConfigurationError with one line per mistake, each naming its key or variable.
    """
    environment = os.environ if environment is None else environment
    file = path if path is not None else Path("config.toml")
    values = _read_toml(file) if path is not None or file.exists() else {}
    _check_tables(values, file)
    types = values.setdefault("job_types", {})
    for name, defaults in BUILT_IN_JOB_TYPES.items():
        types[name] = defaults | types.get(name, {})
    origins, mistakes = _apply_environment(values, environment)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError("\n".join(mistakes + _explain(error, file, origins))) from None
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return _with_absolute_paths(settings, file.parent)


def _check_tables(values: dict[str, Any], file: Path) -> None:
    entries = [(name, value) for name, value in values.items() if name in Settings.model_fields]
    if isinstance(values.get("job_types"), dict):
        entries += [(f"job_types.{name}", value) for name, value in values["job_types"].items()]
    wrong = [f"{file}: {name}: must be a table" for name, value in entries if not isinstance(value, dict)]
    if wrong:
        raise ConfigurationError("\n".join(wrong))


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{file}: {error}") from None


def _apply_environment(
    values: dict[str, Any], environment: Mapping[str, str]
) -> tuple[dict[tuple[str, ...], str], list[str]]:
    """Answers which variable set which place, and the variables that name none."""
    origins: dict[tuple[str, ...], str] = {}
    unknown = []
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        place = _place_of(variable.removeprefix(ENVIRONMENT_PREFIX).lower(), values["job_types"])
        if place is None:
            unknown.append(f"{variable}: no such setting")
            continue
        *sections, key = place
        target = values
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = _parse(place, environment[variable])
        origins[place] = variable
    return origins, unknown


def _place_of(name: str, job_types: Mapping[str, Any]) -> tuple[str, ...] | None:
    """`server_port` -> (server, port); `job_types_extraction_queue` -> (job_types, extraction, queue)."""
    for section, field in Settings.model_fields.items():
        rest = name.removeprefix(section + "_")
        if rest == name:
            continue
        if section == "job_types":
            return next(
                (
                    (section, job_type, key)
                    for job_type in job_types
                    for key in JobTypeSettings.model_fields
                    if rest == f"{job_type.lower()}_{key}"
                ),
                None,
            )
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel) and rest in model.model_fields:
            return section, rest
    return None


_LISTS = {
    ("worker", "queues"),
    ("worker", "allowed_functions"),
    ("server", "allowed_hosts"),
    ("llm", "base_urls"),
    ("documents", "url_origins"),
}


def _parse(place: tuple[str, ...], text: str) -> Any:
    return [part.strip() for part in text.split(",") if part.strip()] if place in _LISTS else text


def _explain(error: ValidationError, file: Path, origins: Mapping[tuple[str, ...], str]) -> list[str]:
    lines = []
    for mistake in error.errors():
        place = tuple(str(part) for part in mistake["loc"])
        key = ".".join(place) or "configuration"
        lines.append(f"{origins.get(place, file)}: {key}: {mistake['msg'].removeprefix('Value error, ')}")
    return lines


def _with_absolute_paths(settings: Settings, base: Path) -> Settings:
    storage = settings.storage
    places = {"data_dir": (base / storage.data_dir).resolve(), "input_root": (base / storage.input_root).resolve()}
    absolute = storage.model_copy(update=places)
    return settings.model_copy(update={"storage": absolute})
