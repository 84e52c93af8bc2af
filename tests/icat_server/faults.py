"""What the server answers when it cannot do what it is asked: one exception with ICAT's eight types."""

from __future__ import annotations

BAD_PARAMETER = "BAD_PARAMETER"
INTERNAL = "INTERNAL"
INSUFFICIENT_PRIVILEGES = "INSUFFICIENT_PRIVILEGES"
NO_SUCH_OBJECT_FOUND = "NO_SUCH_OBJECT_FOUND"
OBJECT_ALREADY_EXISTS = "OBJECT_ALREADY_EXISTS"
SESSION = "SESSION"
VALIDATION = "VALIDATION"
NOT_IMPLEMENTED = "NOT_IMPLEMENTED"
TYPES = (
    BAD_PARAMETER,
    INTERNAL,
    INSUFFICIENT_PRIVILEGES,
    NO_SUCH_OBJECT_FOUND,
    OBJECT_ALREADY_EXISTS,
    SESSION,
    VALIDATION,
    NOT_IMPLEMENTED,
)


class IcatFault(Exception):  # noqa: N818 - what SOAP calls it
    """An ICAT exception; ``offset`` says which bean of many, -1 means none."""

    def __init__(self, kind: str, message: str, offset: int = -1):
        super().__init__(message)
        self.kind, self.message, self.offset = kind, message, offset
