"""Which endpoints a job may talk to: those that the operator lists, and public ones.

Light: the server looks at them at submit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from worker.context import PermanentError
from worker.jobs.shared import addresses

REFUSED: Final = "llm_base_url_refused"
_PATH: Final = "(?:/[a-z0-9._~/%:+-]*)?"
_SETTING: Final = "llm.base_urls"


def form_problem(url: str) -> str | None:
    """What is wrong with the address itself, wherever it leads."""
    if not addresses.has_form(url, _PATH):
        return "must look like https://host/v1, without a user, a password, a query or a fragment"
    return None


def is_listed(url: str, base_urls: Iterable[str]) -> bool:
    return _normal(url) in {_normal(listed) for listed in base_urls}


def problem_of(url: str) -> str | None:
    """Why an address that is not listed is refused, as far as that is known without asking for its name."""
    return addresses.problem_of(url, _SETTING)


async def public_address(url: str, field: str) -> str:
    """The one to connect to; all that the name stands for are looked at. `field`: the parameter that has the `url`.

    Raises PermanentError `llm_base_url_refused`, and OSError when there is no such name.
    """
    problem = problem_of(url)
    if problem is not None:
        raise PermanentError(REFUSED, f"{field}.base_url {problem}.")
    try:
        return (await addresses.public_addresses(url))[0]
    except addresses.NotPublicError as error:
        message = f"{field}.base_url: {error} is not a public address; the operator can list it in {_SETTING}."
        raise PermanentError(REFUSED, message) from None


def _normal(url: str) -> tuple[str, str, int, str]:
    return (*addresses.origin_of(url), urlsplit(url).path.rstrip("/"))
