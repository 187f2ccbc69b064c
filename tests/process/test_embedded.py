"""The embedded Valkey under real processes that come, go and are killed."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobqueue.embedded import EmbeddedValkey
from jobqueue.embedded.locks import FileLock
from jobqueue.embedded.places import Places
from jobqueue.embedded.probe import PROGRAM, ping
from jobqueue.embedded.supervision import read_status
from jobqueue.errors import ConfigurationError, QueueUnavailable

pytestmark = pytest.mark.process

PARTICIPANT: Final = """
import signal
import sys
from pathlib import Path
from jobqueue.embedded import EmbeddedValkey

# A shell that starts the tests in the background has them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
valkey = EmbeddedValkey(Path(sys.argv[1]), maxmemory_mb=64)
print("loaded", flush=True)
for line in sys.stdin:
    if line == "leave\\n":
        valkey.release()
        break
    valkey.ensure(30)
    print("ready", valkey.pid(), flush=True)
"""

FORKING: Final = """
import os, signal, sys
from pathlib import Path
from jobqueue.embedded import EmbeddedValkey

valkey = EmbeddedValkey(Path(sys.argv[1]))
valkey.ensure(30)
child = os.fork()
if child:
    print(child, flush=True)
signal.pause()
"""

# Forks as many participants as each line says; each tells its own and Valkey's process id.
NURSERY: Final = """
import os, signal, sys
from pathlib import Path
from jobqueue.embedded import EmbeddedValkey

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    for _ in range(int(line)):
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            valkey = EmbeddedValkey(Path(sys.argv[1]))
            valkey.ensure(30)
            os.write(1, f"{os.getpid()} {valkey.pid()}\\n".encode())
            signal.pause()
"""


def wait_until(condition: Callable[[], object], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {seconds} s: {what}"
        time.sleep(0.02)


class Participant:
    """A process that takes part on request: `ask` and `answer`, or both at once as `ensure`."""

    def __init__(self, data: Path) -> None:
        command = [sys.executable, "-c", PARTICIPANT, str(data)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, start_new_session=True
        )

    @property
    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout

    def loaded(self) -> Participant:
        assert self._pipes[1].readline() == "loaded\n"
        return self

    def ask(self) -> None:
        self._pipes[0].write("ensure\n")

    def answer(self) -> int:
        """The process id of the Valkey that this participant uses."""
        word, pid = self._pipes[1].readline().split()
        assert word == "ready"
        return int(pid)

    def ensure(self) -> int:
        self.ask()
        return self.answer()

    def leave(self) -> None:
        self._pipes[0].write("leave\n")
        assert self.process.wait(20) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        for pipe in self._pipes:
            pipe.close()


class System:
    """One data folder and everything that the test started on it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.places = Places.of(data)
        self._participants: list[Participant] = []
        self._inside: list[EmbeddedValkey] = []

    def participant(self) -> Participant:
        (one,) = self.participants(1)
        return one

    def participants(self, count: int) -> list[Participant]:
        """Started at the same moment."""
        started = [Participant(self.data) for _ in range(count)]
        self._participants += started
        return [participant.loaded() for participant in started]

    def inside(self, **options: int) -> EmbeddedValkey:
        """A participant in this process."""
        valkey = EmbeddedValkey(self.data, **options)
        self._inside.append(valkey)
        return valkey

    def servers(self) -> list[int]:
        """Every Valkey process that has this folder as its own: by working directory, not by our locks."""
        found = []
        for process in psutil.process_iter(["name", "cwd", "status"]):
            if process.info["name"] == PROGRAM and process.info["cwd"] == str(self.places.data):
                found.append(process.pid)
        return found

    def watchdog(self) -> int:
        """Process id of the living watchdog, 0 if there is none."""
        return 0 if _is_free(self.places.watchdog_lock) else read_status(self.places).pid

    def kill_watchdog(self) -> int:
        pid = self.watchdog()
        assert pid
        os.kill(pid, signal.SIGKILL)
        return pid

    def all_gone(self) -> bool:
        return not self.servers() and _is_free(self.places.watchdog_lock)

    def wait_until_all_gone(self) -> None:
        wait_until(self.all_gone, "Valkey and its watchdog end")

    def close(self) -> None:
        for participant in self._participants:
            participant.close()
        for valkey in self._inside:
            valkey.release()
        wait_until(self._ended_without_orphans, "Valkey and its watchdog end")

    def _ended_without_orphans(self) -> bool:
        # Looked at each time: a watchdog that was killed a moment ago may still hold its lock.
        if self.servers() and _is_free(self.places.watchdog_lock):
            for pid in self.servers():
                os.kill(pid, signal.SIGKILL)
        return bool(self.all_gone())


def _is_free(path: Path) -> bool:
    if not path.exists():
        return True
    lock = FileLock.open(path)
    free = lock.try_shared()
    lock.close()
    return free


@pytest.fixture
def system() -> Iterator[System]:
    # Not pytest's tmp_path: its names are longer than a socket path may be.
    with tempfile.TemporaryDirectory(prefix="jq-") as folder:
        made = System(Path(folder) / "data" / "valkey")
        yield made
        made.close()


def client(valkey: EmbeddedValkey) -> redis.Redis:
    return redis.Redis.from_url(valkey.url, retry=Retry(NoBackoff(), 0), socket_timeout=5)


def test_two_participants_share_one_valkey_and_the_last_stops_it(system: System) -> None:
    first, second = system.participant(), system.participant()
    server = first.ensure()
    assert second.ensure() == server

    first.leave()
    assert second.ensure() == server
    assert system.servers() == [server]

    second.leave()
    system.wait_until_all_gone()
    assert "bye bye" in system.places.server_log.read_text()


def test_a_killed_participant_counts_as_gone(system: System) -> None:
    participant = system.participant()
    participant.ensure()
    participant.kill()
    system.wait_until_all_gone()


def test_the_folder_is_private_and_there_is_no_port(system: System) -> None:
    valkey = system.inside(maxmemory_mb=32)
    valkey.ensure()
    pid = valkey.pid()
    assert pid is not None
    assert stat.S_IMODE(system.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(system.places.socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(system.places.socket.stat().st_mode) == 0o700
    assert psutil.Process(pid).net_connections("inet") == []
    with client(valkey) as connection:
        assert connection.config_get("maxmemory")["maxmemory"] == str(32 * 1024 * 1024)
        settings = connection.config_get("appendfsync", "appendonly", "maxmemory-policy", "save", "port")
        with pytest.raises(redis.ResponseError):
            connection.execute_command("DEBUG", "JMAP")
    expected = {"appendfsync": "always", "appendonly": "yes", "maxmemory-policy": "noeviction", "save": "", "port": "0"}
    assert settings == expected


def test_acknowledged_writes_survive_a_killed_valkey_that_comes_back_by_itself(system: System) -> None:
    valkey = system.inside()
    valkey.ensure()
    killed = valkey.pid()
    assert killed is not None
    threading.Timer(0.3, os.kill, (killed, signal.SIGKILL)).start()
    acknowledged = 0
    with client(valkey) as connection, pytest.raises(redis.ConnectionError):
        while True:
            connection.set(f"key:{acknowledged}", acknowledged)
            acknowledged += 1

    # No call of ensure: the watchdog alone brings it back.
    wait_until(lambda: ping(system.places.socket) == "PONG", "Valkey answers again")
    assert acknowledged > 0
    assert valkey.pid() != killed
    with client(valkey) as connection:
        found = connection.mget([f"key:{number}" for number in range(acknowledged)])
    assert found == [str(number).encode() for number in range(acknowledged)]


def test_a_valkey_killed_while_it_rewrites_its_file_comes_back_soon(system: System) -> None:
    valkey = system.inside()
    valkey.ensure()
    killed = valkey.pid()
    assert killed is not None
    with client(valkey) as connection:
        connection.mset({f"key:{number}": number for number in range(3000)})
        connection.config_set("rdb-key-save-delay", 5000)
        connection.bgrewriteaof()
        wait_until(lambda: psutil.Process(killed).children(), "the fork that rewrites")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: ping(system.places.socket) == "PONG", "Valkey answers again", 3)
    wait_until(lambda: system.servers() == [valkey.pid()], "the fork has ended")
    with client(valkey) as connection:
        assert connection.dbsize() == 3000


def test_a_valkey_whose_watchdog_was_killed_is_adopted_and_still_stopped(system: System) -> None:
    participant = system.participant()
    server = participant.ensure()
    first = system.kill_watchdog()
    wait_until(lambda: system.watchdog() not in (0, first), "another watchdog takes over")
    assert participant.ensure() == server

    participant.kill()
    system.wait_until_all_gone()


def test_an_orphan_of_watchdog_and_participant_is_adopted_by_the_next_participant(system: System) -> None:
    participant = system.participant()
    orphan = participant.ensure()
    os.kill(participant.process.pid, signal.SIGSTOP)
    system.kill_watchdog()
    participant.kill()
    assert system.servers() == [orphan]

    successor = system.participant()
    assert successor.ensure() == orphan
    successor.leave()
    system.wait_until_all_gone()


def test_ensure_starts_both_again(system: System) -> None:
    valkey = system.inside()
    valkey.ensure()
    with client(valkey) as connection:
        connection.set("kept", "yes")
    killed = valkey.pid()
    assert killed is not None
    system.kill_watchdog()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: ping(system.places.socket) is None, "Valkey is dead")

    valkey.ensure()
    wait_until(lambda: ping(system.places.socket) == "PONG", "Valkey has loaded")
    assert system.servers() == [valkey.pid()] != [killed]
    with client(valkey) as connection:
        assert connection.get("kept") == b"yes"


def test_eight_at_the_same_moment_start_one(system: System) -> None:
    participants = system.participants(8)
    for participant in participants:
        participant.ask()
    answers = {participant.answer() for participant in participants}
    assert len(answers) == 1
    assert system.servers() == list(answers)


@contextlib.contextmanager
def most_servers(system: System) -> Iterator[Callable[[], int]]:
    """How many were alive at once at most, looked at all the time."""
    most = 0
    enough = threading.Event()

    def count() -> None:
        nonlocal most
        while not enough.wait(0.05):
            most = max(most, len(system.servers()))

    counter = threading.Thread(target=count)
    counter.start()
    try:
        yield lambda: most
    finally:
        enough.set()
        counter.join()


def test_rounds_of_kills_never_give_two_servers(system: System) -> None:
    valkey = system.inside()
    with most_servers(system) as most:
        for number in range(12):
            valkey.ensure()
            wait_until(lambda: ping(system.places.socket) == "PONG", "Valkey answers")
            with client(valkey) as connection:
                assert connection.incr("rounds") == number + 1
            victims = (["watchdog"], ["valkey", "watchdog"], ["watchdog", "valkey"])[number % 3]
            for victim in victims:
                pid = system.watchdog() if victim == "watchdog" else valkey.pid()
                if pid:
                    os.kill(pid, signal.SIGKILL)
    assert most() == 1


@contextlib.contextmanager
def nursery(data: Path) -> Iterator[Callable[[], list[list[str]]]]:
    """Each call starts two participants and answers their own and Valkey's process ids."""
    command = [sys.executable, "-c", NURSERY, str(data)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    told, said = process.stdin, process.stdout

    def start_two() -> list[list[str]]:
        told.write("2\n")
        return [said.readline().split() for _ in range(2)]

    with process:
        try:
            yield start_two
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_sec_D8_two_starts_on_one_folder_and_killed_parents(system: System) -> None:
    """Twenty times: two processes start at one moment, all parents of Valkey are killed, and the next two start."""
    outside = EmbeddedValkey(system.data)
    adopted, server = 0, "0"
    with nursery(system.data) as start_two, most_servers(system) as most:
        for number in range(20):
            pair = start_two()
            assert pair[0][1] == pair[1][1], "both use the same one"
            adopted += server == pair[0][1]
            server = pair[0][1]
            wait_until(lambda: ping(system.places.socket) == "PONG", "Valkey answers")
            with client(outside) as connection:
                assert connection.incr("rounds") == number + 1
            # The watchdog first, or it would stop Valkey in good order.
            if number % 2:
                system.kill_watchdog()
            for pid, _ in pair:
                os.kill(int(pid), signal.SIGKILL)
    assert most() == 1
    assert adopted, "a Valkey without parents was taken over"


def test_joining_while_the_last_one_leaves(system: System) -> None:
    """Each round ends with the stop of Valkey under way: the newcomer must get a server that stays."""
    for number in range(8):
        valkey = system.inside()
        valkey.ensure()
        wait_until(lambda: ping(system.places.socket) == "PONG", "Valkey answers")
        with client(valkey) as connection:
            assert connection.incr("rounds") == number + 1
        assert len(system.servers()) == 1
        valkey.release()
        if number % 2:
            wait_until(lambda: not _is_free(system.places.participants_lock) or system.all_gone(), "stopping", 5)


def test_ctrl_c_does_not_reach_valkey(system: System) -> None:
    stays = system.inside()
    participant = system.participant()
    server = participant.ensure()
    stays.ensure()
    watchdog = system.watchdog()
    assert len({os.getsid(server), os.getsid(participant.process.pid), os.getsid(watchdog)}) == 3

    os.killpg(participant.process.pid, signal.SIGINT)
    participant.process.wait(10)
    os.kill(watchdog, signal.SIGINT)
    stays.ensure()
    assert (system.servers(), system.watchdog()) == ([server], watchdog)


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((folder / "appendonlydir").iterdir())}


def _write_and_leave(system: System, keys: int = 20) -> Path:
    """Returns the file that holds what was written."""
    valkey = system.inside()
    valkey.ensure()
    with client(valkey) as connection, connection.pipeline(transaction=False) as pipeline:
        for number in range(keys):
            pipeline.set(f"key:{number}", "x" * 50)
        pipeline.execute()
    valkey.release()
    system.wait_until_all_gone()
    return next((system.data / "appendonlydir").glob("*.incr.aof"))


def _break_length(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"*3\r\n$3\r\nSET\r\n$5\r\nkey:7", b"*3\r\n$x\r\nSET\r\n$5\r\nkey:7"))


def test_damaged_data_is_refused_in_clear_words_and_left_alone(system: System) -> None:
    damaged = _write_and_leave(system)
    intact = damaged.read_bytes()
    _break_length(damaged)
    before = _contents(system.data)
    valkey = system.inside()
    with pytest.raises(QueueUnavailable) as caught:
        valkey.ensure()
    text = str(caught.value)
    for words in (str(damaged), "Nothing was changed", "valkey-check-aof --fix", str(system.places.server_log)):
        assert words in text
    assert "Bad file format" in text.splitlines()[-1]
    assert _contents(system.data) == before
    with pytest.raises(QueueUnavailable):
        valkey.ensure()

    # The folder of a copy put back is found by itself.
    damaged.write_bytes(intact)
    wait_until(lambda: ping(system.places.socket) == "PONG", "Valkey starts")
    valkey.ensure()


def test_the_advice_about_damaged_data_works(system: System) -> None:
    damaged = _write_and_leave(system)
    _break_length(damaged)
    valkey = system.inside()
    with pytest.raises(QueueUnavailable) as caught:
        valkey.ensure()
    valkey.release()
    system.wait_until_all_gone()
    advice = re.findall(r"^  (.*)$", str(caught.value), re.MULTILINE)
    assert len(advice) == 2
    subprocess.run(" && ".join(advice), shell=True, cwd=system.data, input=b"y\n", check=True, capture_output=True)

    repaired = system.inside()
    repaired.ensure()
    with client(repaired) as connection:
        assert connection.dbsize() == 7


@pytest.mark.parametrize("suffix", ["base.rdb", "manifest"])
def test_damage_that_no_tool_can_repair_is_named(system: System, suffix: str) -> None:
    _write_and_leave(system)
    (damaged,) = (system.data / "appendonlydir").glob(f"*.{suffix}")
    damaged.write_bytes(b"nonsense" * 10)
    before = _contents(system.data)
    valkey = system.inside()
    with pytest.raises(QueueUnavailable) as caught:
        valkey.ensure()
    assert str(damaged) in str(caught.value)
    assert "valkey-check-aof" not in str(caught.value).partition("Last lines")[0]
    assert _contents(system.data) == before


def test_a_torn_end_is_cut_off_with_a_warning(system: System, caplog: pytest.LogCaptureFixture) -> None:
    file = _write_and_leave(system)
    os.truncate(file, file.stat().st_size - 7)
    valkey = system.inside()
    with caplog.at_level(logging.WARNING, "jobqueue.embedded"):
        valkey.ensure()
        wait_until(lambda: "Truncating the AOF" in caplog.text, "the warning")
    assert file.name in caplog.text
    with client(valkey) as connection:
        assert connection.dbsize() == 19


def test_ensure_does_not_wait_for_the_end_of_loading(system: System) -> None:
    valkey = EmbeddedValkey(system.data, extra={"key-load-delay": "500"})
    _write_and_leave(system, keys=6000)
    try:
        valkey.ensure()
        assert ping(system.places.socket) == "LOADING"
        wait_until(lambda: ping(system.places.socket) == "PONG", "Valkey has loaded")
        with client(valkey) as connection:
            assert connection.dbsize() == 6000
    finally:
        valkey.release()


def test_a_path_too_long_for_a_socket_puts_it_elsewhere(system: System) -> None:
    system.data = system.data / ("long" * 30)
    system.places = Places.of(system.data)
    assert system.data not in system.places.socket.parents
    first, second = system.inside(), system.participant()
    first.ensure()
    assert second.ensure() == first.pid()
    assert stat.S_IMODE(system.places.socket.parent.stat().st_mode) == 0o700
    second.kill()
    system.close()
    system.places.socket.parent.rmdir()


def test_a_path_with_special_characters(system: System) -> None:
    system.data = system.data / 'a b%41?#"ü'
    system.places = Places.of(system.data)
    valkey = system.inside()
    valkey.ensure()
    with client(valkey) as connection:
        assert connection.ping()


def test_a_folder_that_cannot_be_made_is_a_configuration_error(system: System) -> None:
    system.data.parent.mkdir()
    (system.data.parent / "file").touch()
    valkey = EmbeddedValkey(system.data.parent / "file" / "valkey")
    with pytest.raises(ConfigurationError, match=r"storage\.data_dir: .*file/valkey"):
        valkey.ensure()
    valkey.release()


@pytest.mark.parametrize("trap", ["symlink", "open to others", "file"])
def test_a_socket_folder_that_is_not_ours_alone_is_refused(system: System, trap: str) -> None:
    base = system.data.parent
    base.mkdir()
    folder = base / "trap"
    if trap == "symlink":
        (base / "real").mkdir(mode=0o700)
        folder.symlink_to(base / "real")
    elif trap == "file":
        folder.touch(mode=0o700)
    else:
        folder.mkdir()
        folder.chmod(0o750)
    places = Places(system.data, folder / "private" / "valkey.sock")
    with pytest.raises(ConfigurationError, match="trap"):
        places.prepare()
    assert not (folder / "private").exists()


def test_options_that_valkey_refuses_are_reported_with_its_words(system: System) -> None:
    valkey = EmbeddedValkey(system.data, extra={"maxmemory-policy": "nonsense"})
    with pytest.raises(QueueUnavailable, match="maxmemory-policy"):
        valkey.ensure()
    valkey.release()


def test_release_ends_an_ensure_that_waits_and_is_final(system: System) -> None:
    system.data.mkdir(parents=True)
    stopping = FileLock.open(system.places.participants_lock)
    assert stopping.try_exclusive()
    valkey = system.inside()
    errors: list[QueueUnavailable] = []

    def ensure() -> None:
        try:
            valkey.ensure()
        except QueueUnavailable as error:
            errors.append(error)

    waiting = threading.Thread(target=ensure)
    waiting.start()
    with pytest.raises(QueueUnavailable, match="still stopping"):
        EmbeddedValkey(system.data).ensure(0.1)
    valkey.release()
    waiting.join(5)
    stopping.close()
    assert len(errors) == 1
    with pytest.raises(QueueUnavailable, match="released"):
        valkey.ensure()
    valkey.release()


def test_a_forked_child_does_not_keep_its_parents_part(system: System) -> None:
    command = [sys.executable, "-c", FORKING, str(system.data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        try:
            system.wait_until_all_gone()
            os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_removed_folder_leaves_no_orphan(system: System) -> None:
    valkey = system.inside()
    valkey.ensure()
    pid = valkey.pid()
    assert pid is not None
    shutil.rmtree(system.data)
    wait_until(lambda: not psutil.pid_exists(pid), "Valkey ends")
