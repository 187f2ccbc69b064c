"""document_processing: user files are read below the input folder and nowhere else."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from worker.jobs.shared import input_files
from worker.jobs.shared.errors import InputError
from worker.jobs.shared.input_files import read_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "input"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "a.txt").write_bytes(b"inside")
    (tmp_path / "secret.txt").write_bytes(b"outside")
    return root


def code_of(path: str, root: Path, max_bytes: int = 1000) -> str:
    with pytest.raises(InputError) as caught:
        read_file(path, root, max_bytes)
    assert str(root.parent) not in str(caught.value)
    return caught.value.code


def test_reads_a_file_in_a_folder(root: Path) -> None:
    assert read_file("deep/er/a.txt", root, 6) == b"inside"


def test_follows_links_that_stay_inside(root: Path) -> None:
    (root / "link").symlink_to("deep/er")
    (root / "deep" / "up.txt").symlink_to("../link/a.txt")
    assert read_file("deep/up.txt", root, 100) == b"inside"


def test_input_folder_may_be_a_link_itself(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert read_file("deep/er/a.txt", tmp_path / "alias", 100) == b"inside"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "../missing.txt",
        "deep/../../secret.txt",
        "../input/deep/er/a.txt",
        "/etc/passwd",
        "/no/such/file",
        "..",
    ],
)
def test_leading_out_is_refused_whatever_is_there(root: Path, path: str) -> None:
    assert code_of(path, root) == "outside_input_root"


@pytest.mark.parametrize("target", ["../secret.txt", "../missing.txt", "/etc/passwd", "/no/such/file"])
def test_links_out_are_refused_whatever_is_there(root: Path, target: str) -> None:
    (root / "link.txt").symlink_to(target)
    assert code_of("link.txt", root) == "outside_input_root"


def test_missing(root: Path) -> None:
    assert code_of("no.txt", root) == "file_not_found"
    assert code_of("deep/er/a.txt/b", root) == "file_not_found"
    assert code_of("a.txt", root / "no-root") == "file_not_found"


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "x" * 300, ".", "deep", "loop"])
def test_invalid(root: Path, path: str) -> None:
    (root / "loop").symlink_to("loop")
    assert code_of(path, root) == "invalid_path"


def test_special_files_are_refused_without_waiting(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(root, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{folder}/socket")
        finally:
            os.close(folder)
        assert code_of("pipe", root) == "invalid_path"
        assert code_of("socket", root) == "invalid_path"


def test_too_large(root: Path) -> None:
    assert code_of("deep/er/a.txt", root, max_bytes=5) == "document_too_large"


def test_folder_swapped_for_a_link_after_the_check(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = input_files.locate("deep/er/a.txt", root)
    (tmp_path / "er").mkdir()
    (tmp_path / "er" / "a.txt").write_bytes(b"outside")
    (root / "deep" / "er" / "a.txt").unlink()
    (root / "deep" / "er").rmdir()
    (root / "deep" / "er").symlink_to(tmp_path / "er")
    monkeypatch.setattr(input_files, "locate", lambda path, root: target)
    # What exactly the system calls it (a loop, not a folder) differs; it must not be read.
    assert code_of("deep/er/a.txt", root) in ("invalid_path", "file_not_found")


def test_file_swapped_for_something_else_after_the_check(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a link nor a pipe is opened, even when it comes between the last look and the opening."""
    file = root / "deep" / "er" / "a.txt"
    regular = os.stat(file)
    target = input_files.locate("deep/er/a.txt", root)
    monkeypatch.setattr(input_files, "locate", lambda path, root: target)
    for make in (lambda: file.symlink_to(tmp_path / "secret.txt"), lambda: os.mkfifo(file)):
        file.unlink()
        make()
        assert code_of("deep/er/a.txt", root) == "invalid_path"
        with monkeypatch.context() as patch:
            patch.setattr(input_files.os, "stat", lambda *arguments, **named: regular)
            assert code_of("deep/er/a.txt", root) == "invalid_path"


def test_devices_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    opening = os.open
    monkeypatch.setattr(
        input_files.os, "open", lambda path, *rest, **named: opened.append(path) or opening(path, *rest, **named)
    )
    with pytest.raises(InputError) as caught:
        read_file("null", Path("/dev"), 100)
    assert (caught.value.code, opened) == ("invalid_path", [Path("/dev")])


@pytest.mark.parametrize("written", [b"much longer than before", b"in"])
def test_file_that_changes_while_it_is_read(root: Path, monkeypatch: pytest.MonkeyPatch, written: bytes) -> None:
    looked = []
    look = os.fstat

    def look_and_write(file: int) -> os.stat_result:
        status = look(file)
        if not looked:
            (root / "deep" / "er" / "a.txt").write_bytes(written)
        looked.append(status)
        return status

    monkeypatch.setattr(input_files.os, "fstat", look_and_write)
    with pytest.raises(InputError) as caught:
        read_file("deep/er/a.txt", root, 1000)
    assert (caught.value.code, caught.value.retryable) == ("file_changed", True)


@pytest.mark.parametrize(("number", "retryable"), [(errno.EACCES, False), (errno.EIO, True)])
def test_unreadable(root: Path, monkeypatch: pytest.MonkeyPatch, number: int, retryable: bool) -> None:
    def fail(base: Path, target: Path) -> int:
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(input_files, "_open_below", fail)
    with pytest.raises(InputError) as caught:
        read_file("deep/er/a.txt", root, 100)
    assert (caught.value.code, caught.value.retryable) == ("unreadable_file", retryable)
    assert str(root) not in str(caught.value)


def test_file_that_grows_while_it_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = os.stat(root / "deep" / "er" / "a.txt")
    (root / "deep" / "er" / "a.txt").write_bytes(b"x" * 2000)
    monkeypatch.setattr(input_files.os, "fstat", lambda file: small)
    assert code_of("deep/er/a.txt", root) == "document_too_large"
