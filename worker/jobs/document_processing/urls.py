"""Addresses of documents: their form, where they may lead, and what a document there is called.

Light: the server checks them at submit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from worker.jobs.shared.addresses import has_form, host_of, origin_of, port_of, problem_of

LONGEST_URL: Final = 2048
DISABLED: Final = "url_sources_disabled"
FORBIDDEN: Final = "url_forbidden"
_PART: Final = "a-z0-9._~%!$&'()*+,;=:@/-"
_PATH_AND_QUERY: Final = rf"(?:/[{_PART}]*)?(?:\?[{_PART}?]*)?"
_LONGEST_NAME: Final = 255


class Refusal(NamedTuple):
    """`code` is a stable word for programs; the text goes on after "the address"."""

    code: str
    message: str


def canonical(url: str) -> str:
    """The address as it is fetched: without a fragment, which stays with the reader. Raises ValueError."""
    url = url.partition("#")[0]
    if not has_form(url, _PATH_AND_QUERY):
        raise ValueError(
            "must look like https://host/path?query, without a user or a password, in percent-encoded ASCII"
        )
    parts = urlsplit(url)
    host = parts.netloc.lower()
    if parts.port is not None:
        host = host.rpartition(":")[0]
    if port_of(f"{parts.scheme}://{host}") != port_of(url):
        host = f"{host}:{port_of(url)}"
    return parts._replace(netloc=host, path=parts.path or "/").geturl()


def refusal(url: str, access: str, origins: Iterable[str]) -> Refusal | None:
    """Why it is not fetched, as far as that is known without asking for its name; `access` as in `UrlRules`."""
    if access == "off":
        return Refusal(DISABLED, "is not fetched: the operator has not allowed it (documents.urls)")
    if is_listed(url, origins):
        return None
    if access == "listed":
        return Refusal(FORBIDDEN, "is none of those that the operator lists in documents.url_origins")
    problem = problem_of(url, "documents.url_origins")
    return None if problem is None else Refusal(FORBIDDEN, problem)


def is_listed(url: str, origins: Iterable[str]) -> bool:
    return origin_of(url) in map(origin_of, origins)


def url_problems(urls: Sequence[str | None], access: str, origins: Sequence[str]) -> list[tuple[int, str]]:
    """The number and what is wrong of each that is refused."""
    found = ((number, refusal(url, access, origins)) for number, url in enumerate(urls) if url is not None)
    return [(number, f"{problem.code}: {problem.message}") for number, problem in found if problem is not None]


def name_of(url: str) -> str:
    """The last part of the path, as people read it, or the host."""
    last = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    # Neither control characters nor those that turn the direction of writing.
    readable = "".join(character for character in last if character.isprintable()).strip(" .")
    return readable[-_LONGEST_NAME:] or host_of(url)
