"""Kinds of values in the configuration, each with its check."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import redis
from pydantic import AfterValidator, Field


def _dotted(value: str) -> str:
    module, colon, name = value.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), name]):
        raise ValueError("must look like 'package.module:name'")
    return value


def _usable_url(value: str) -> str:
    """redis-py's own judgement, without connecting: an address that it cannot use must not look like an outage."""
    if value == "embedded":
        return value
    if not value.partition("://")[2]:
        raise ValueError("must be embedded, or an address that begins with redis://, rediss:// or unix://")
    try:
        redis.ConnectionPool.from_url(value).make_connection()
    except (ValueError, TypeError) as error:
        raise ValueError(f"not a usable address: {error}") from None
    return value


def _endpoint_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or "?" in value:
        raise ValueError("must look like http://host:port/v1, without a user, a password or a query")
    return value


def _origin(value: str) -> str:
    value = value.removesuffix("/")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or value != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("must look like http://host:port, with nothing behind it")
    if "@" in parts.netloc or parts.port == 0:
        raise ValueError("must look like http://host:port, without a user or a password")
    return value


DottedName = Annotated[str, AfterValidator(_dotted)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]
RedisUrl = Annotated[str, AfterValidator(_usable_url)]
EndpointUrl = Annotated[str, AfterValidator(_endpoint_url)]
Origin = Annotated[str, AfterValidator(_origin)]
