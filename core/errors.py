"""The error tree: one class per broken rule, its docstring the message, its attributes the facts.

    CounterfoilError
    ├── Rejected       the caller's fault: shown to the caller, nothing was written
    ├── Conflict       somebody was faster: read again, then decide
    ├── Unavailable    try again later, after `retry_after_seconds`
    └── Broken         our own invariant does not hold: page someone

An unknown outcome at a provider is none of these: it is a value, not an error.
"""

from typing import ClassVar


class CounterfoilError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The rule, in one sentence (the first line of the class's docstring)."""
        return (type(self).__doc__ or type(self).__name__).strip().splitlines()[0]

    def __str__(self) -> str:
        facts = ", ".join(f"{name}={value!r}" for name, value in self.facts.items())
        return f"{self.message} ({facts})" if facts else self.message


class Rejected(CounterfoilError):
    """The request breaks a rule."""

    code = "VALIDATION"


class Conflict(CounterfoilError):
    """Something changed meanwhile."""

    code = "CONFLICT"


class Unavailable(CounterfoilError):
    """Not available right now; try again later."""

    code = "UNAVAILABLE"
    retryable = True

    def __init__(self, *, retry_after_seconds: float = 1.0, **facts: object) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(**facts)


class Broken(CounterfoilError):
    """An invariant of our own does not hold."""

    code = "BROKEN"
