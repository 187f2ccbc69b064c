"""Is it an e-mail, and is it sealed? Told by its header: there is no signature at the beginning of a message."""

from __future__ import annotations

from email.message import Message
from email.parser import BytesHeaderParser
from typing import Final

from worker.jobs.document_processing.errors import DocumentError

_SAMPLE: Final = 65_536
_FIELDS: Final = frozenset({"from", "to", "subject", "date", "received", "message-id", "return-path", "mime-version"})
# A note may begin with one of them.
_FEWEST: Final = 2
_SEALED: Final = ("application/pkcs7-mime", "application/x-pkcs7-mime")


def is_mail(data: bytes) -> bool:
    return len(_FIELDS & {name.lower() for name in _header(data)}) >= _FEWEST


def refuse_sealed(data: bytes) -> None:
    """Raises DocumentError `encrypted`."""
    header = _header(data)
    kind = header.get_content_type()
    if kind == "multipart/encrypted" or (kind in _SEALED and header.get_param("smime-type") != "signed-data"):
        message = "The e-mail is encrypted; only PDFs are opened by 'password'. Save it without encryption."
        raise DocumentError("encrypted", message, stage="sniff")


def _header(data: bytes) -> Message:
    return BytesHeaderParser().parsebytes(data[:_SAMPLE])
