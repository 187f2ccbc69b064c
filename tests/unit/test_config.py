"""The configuration: defaults in one voice, mistakes named, the environment, paths, checks across sections."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from jobqueue.config import JobTypeSettings, Settings, load_settings
from jobqueue.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
TRANSLATION = """
[job_types.translation]
function = "a.b:run"
parameters = "a.b:Params"
"""


def load(folder: Path, text: str = "", **environment: str) -> Settings:
    file = folder / "config.toml"
    file.write_text(text)
    return load_settings(file, environment)


def mistakes(folder: Path, text: str = "", **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text, **environment)
    return str(caught.value).splitlines()


def values(settings: Settings, base: Path) -> dict[str, Any]:
    """All of it, paths as they would be written in a file of this folder."""
    dump = settings.model_dump()
    for name in ("data_dir", "input_root"):
        dump["storage"][name] = str(dump["storage"][name].relative_to(base))
    return dump


def test_the_file_says_what_the_code_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    from_file = load_settings(ROOT / "config.toml", {})
    from_nothing = load_settings(None, {})
    assert values(from_file, ROOT) == values(from_nothing, tmp_path.resolve())


def test_the_file_shows_every_setting() -> None:
    written = tomllib.loads((ROOT / "config.toml").read_text())
    known = {name: set(section) for name, section in Settings().model_dump().items() if name != "job_types"}
    assert {name: set(keys) for name, keys in written.items() if name != "job_types"} == known
    # Not having a queue of its own cannot be said in TOML.
    assert set(written["job_types"]["document_processing"]) == set(JobTypeSettings.model_fields) - {"queue"}


def test_a_file_in_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text("[server]\nport = 81\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings(None, {}).server.port == 81


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nprot = 1", "server.prot"),
        ("[sever]\nport = 1", "sever"),
        ("port = 1", "port"),
        ("[job_types.document_processing]\ntimeout = 1", "job_types.document_processing.timeout"),
        (TRANSLATION + "retries = 1", "job_types.translation.retries"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_it(tmp_path: Path, text: str, named: str) -> None:
    (line,) = mistakes(tmp_path, text)
    assert line.startswith(f"{tmp_path / 'config.toml'}: {named}: ")


@pytest.mark.parametrize(
    "variable",
    [
        "JOBQUEUE_SERVER_PROT",
        "JOBQUEUE_PORT",
        "JOBQUEUE_",
        "JOBQUEUE_SERVER",
        "JOBQUEUE_JOB_TYPES_TRANSLATION_TIMEOUT_SECONDS",
        "JOBQUEUE_JOB_TYPES_DOCUMENT_PROCESSING",
    ],
)
def test_an_unknown_variable_is_an_error_that_names_it(tmp_path: Path, variable: str) -> None:
    assert mistakes(tmp_path, **{variable: "1"}) == [f"{variable}: no such setting"]


def test_variables_of_others_are_not_looked_at(tmp_path: Path) -> None:
    assert load(tmp_path, PATH="/bin", MY_JOBQUEUE_X="1", jobqueue_server_port="x").server.port == 8000


def test_all_mistakes_come_at_once_each_with_its_name(tmp_path: Path) -> None:
    text = """
    [server]
    port = -1
    prot = 1
    [worker]
    pickle = "all"
    queues = []
    [job_types.translation]
    function = "no colon"
    """
    found = {line.split(": ")[1] for line in mistakes(tmp_path, text, JOBQUEUE_LIMITS_TOTAL="many")}
    assert found == {
        "server.port",
        "server.prot",
        "worker.pickle",
        "worker.queues",
        "limits.total",
        "job_types.translation.function",
        "job_types.translation.parameters",
    }


def test_all_unknown_variables_come_at_once(tmp_path: Path) -> None:
    found = mistakes(tmp_path, JOBQUEUE_B="1", JOBQUEUE_A="1")
    assert found == ["JOBQUEUE_A: no such setting", "JOBQUEUE_B: no such setting"]


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        '[server]\nport = 81\nhost = "0.0.0.0"\n',
        JOBQUEUE_SERVER_PORT="82",
        JOBQUEUE_WORKER_QUEUES="fast, slow,",
        JOBQUEUE_WORKER_ALLOWED_FUNCTIONS="a.*,b.c",
        JOBQUEUE_QUEUE_EAGER_EXECUTIONS="true",
    )
    assert (settings.server.port, settings.server.host) == (82, "0.0.0.0")
    assert settings.worker.queues == ("fast", "slow")
    assert settings.worker.allowed_functions == ("a.*", "b.c")
    assert settings.queue.eager_executions is True


def test_the_environment_reaches_job_types(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        TRANSLATION + "timeout_seconds = 5",
        JOBQUEUE_JOB_TYPES_TRANSLATION_TIMEOUT_SECONDS="600",
        JOBQUEUE_JOB_TYPES_TRANSLATION_QUEUE="slow",
        JOBQUEUE_JOB_TYPES_DOCUMENT_PROCESSING_MEMORY_LIMIT_MB="64",
    )
    assert settings.job_types["translation"].timeout_seconds == 600
    assert (settings.queue_of("translation"), settings.queue_of("document_processing")) == ("slow", "default")
    document = settings.job_types["document_processing"]
    assert document.memory_limit_mb == 64
    assert document.function == "worker.jobs.document_processing.run:run", "the rest keeps its defaults"


def test_relative_paths_count_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "config.toml").write_text('[storage]\ndata_dir = "../var"\n')
    monkeypatch.chdir(elsewhere)
    storage = load_settings(Path("../etc/config.toml"), {"JOBQUEUE_STORAGE_INPUT_ROOT": "in"}).storage
    assert (storage.data_dir, storage.input_root) == (tmp_path / "var", folder / "in")
    assert (storage.valkey_dir, storage.jobs_dir) == (tmp_path / "var" / "valkey", tmp_path / "var" / "jobs")


def test_absolute_paths_stay(tmp_path: Path) -> None:
    assert load(tmp_path, '[storage]\ndata_dir = "/srv/jobs"\n').storage.data_dir == Path("/srv/jobs")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[limits]\ntotal = 2\nper_user = 3", "limits.per_user"),
        ("[queue]\nlease_seconds = 1.5", "queue.lease_seconds"),
        ("[server]\ntick_seconds = 8", "queue.lease_seconds"),
        ("[worker]\ntick_seconds = 8", "queue.lease_seconds"),
    ],
)
def test_settings_must_agree_with_each_other(tmp_path: Path, text: str, named: str) -> None:
    (line,) = mistakes(tmp_path, text)
    assert named in line


def test_settings_that_just_agree_are_taken(tmp_path: Path) -> None:
    settings = load(tmp_path, "[limits]\ntotal = 3\nper_user = 3\n[queue]\nlease_seconds = 2\n")
    assert (settings.limits.total, settings.queue.lease_seconds) == (3, 2)


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://x", "redis://", "rediss://", "unix://", "Embedded"])
def test_a_url_of_another_kind_is_refused(tmp_path: Path, url: str) -> None:
    (line,) = mistakes(tmp_path, JOBQUEUE_REDIS_URL=url)
    assert "redis.url" in line


@pytest.mark.parametrize("url", ["embedded", "redis://h:1/0", "rediss://u:p@h", "unix:///tmp/v.sock?db=0"])
def test_urls_of_all_kinds_are_taken(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, JOBQUEUE_REDIS_URL=url).redis.url == url


def test_endpoints_of_models_are_listed(tmp_path: Path) -> None:
    assert load(tmp_path).llm.base_urls == ()
    assert load(tmp_path, '[llm]\nbase_urls = ["http://127.0.0.1:1/v1"]').llm.base_urls == ("http://127.0.0.1:1/v1",)
    settings = load(tmp_path, JOBQUEUE_LLM_BASE_URLS="http://127.0.0.1:1/v1, https://h/v1")
    assert settings.llm.base_urls == ("http://127.0.0.1:1/v1", "https://h/v1")


@pytest.mark.parametrize("url", ["h/v1", "ftp://h/v1", "http:///v1", "http://u:w@h/v1", "http://h/v1?a=b", "http://["])
def test_an_endpoint_must_be_an_address(tmp_path: Path, url: str) -> None:
    (line,) = mistakes(tmp_path, JOBQUEUE_LLM_BASE_URLS=url)
    assert "llm.base_urls" in line


def test_documents_are_not_fetched_unless_the_operator_says_so(tmp_path: Path) -> None:
    documents = load(tmp_path).documents
    assert (documents.urls, documents.url_origins) == ("off", ())
    listed = load(tmp_path, '[documents]\nurls = "listed"\nurl_origins = ["http://wiki:8080/"]').documents
    assert (listed.urls, listed.url_origins) == ("listed", ("http://wiki:8080",))
    origins = load(tmp_path, JOBQUEUE_DOCUMENTS_URL_ORIGINS="http://[::1]:1, https://h").documents.url_origins
    assert origins == ("http://[::1]:1", "https://h")


@pytest.mark.parametrize(
    "origin",
    [
        "h",
        "ftp://h",
        "http://",
        "http://u:w@h",
        "http://h/wiki",
        "http://h?a",
        "http://h#a",
        "http://h:99999",
        "http://[",
    ],
)
def test_a_place_of_documents_has_nothing_behind_its_port(tmp_path: Path, origin: str) -> None:
    (line,) = mistakes(tmp_path, JOBQUEUE_DOCUMENTS_URL_ORIGINS=origin)
    assert "documents.url_origins" in line


@pytest.mark.parametrize("content", [b"[server", b"\xff", b"a = 1\na = 2"])
def test_an_unreadable_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=str(file)):
        load_settings(file, {})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.toml"):
        load_settings(tmp_path / "missing.toml", {})


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path).server.port = 1


def test_a_variable_with_a_bad_value_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[server]\nprot = 1\n")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(tmp_path / "config.toml", {"JOBQUEUE_SERVER_PORT": "q", "JOBQUEUE_NOPE": "1"})
    text = str(caught.value)
    assert "JOBQUEUE_SERVER_PORT: server.port: " in text
    assert "JOBQUEUE_NOPE: no such setting" in text
    assert "server.prot: " in text


@pytest.mark.parametrize("text", ["job_types = 5", "[job_types]\ndocument_processing = 5", "server = 5"])
def test_a_value_where_a_table_belongs_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigurationError, match="must be a table"):
        load_settings(tmp_path / "config.toml", {"JOBQUEUE_SERVER_PORT": "1"})


@pytest.mark.parametrize("url", ["redis://localhost:notaport/0", "redis://localhost/0?bogus=1", "http://localhost"])
def test_an_address_that_cannot_be_used_is_a_mistake_and_not_an_outage(tmp_path: Path, url: str) -> None:
    (tmp_path / "config.toml").touch()
    with pytest.raises(ConfigurationError, match=r"redis\.url"):
        load_settings(tmp_path / "config.toml", {"JOBQUEUE_REDIS_URL": url})
