"""What holds threads, mapped files and addresses stays in the process that made it."""

from __future__ import annotations

from typing import NoReturn

from halfbyte.errors import RequestError


class ProcessBound:
    """A base of what cannot be pickled or copied; its errors say what to do instead."""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse, as pickle and copy expect, with a TypeError.

        Raises:
            RequestError: always.
        """
        raise RequestError(
            type(self).__name__,
            expected="to stay in its process: it cannot be pickled or copied",
            hint="call halfbyte.load in each process; threads can share one model",
        )
