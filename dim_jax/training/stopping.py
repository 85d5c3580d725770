"""The ways in which a signal or the time limit stops a run, in the training and after it."""

import signal
import threading
import time

from dim_jax.processes import stop_signals

# EX_TEMPFAIL of sysexits.h, "try again later": job scripts can put such a run back in the queue.
TIME_IS_UP = 75


class Stopped(Exception):
    """A signal or the time limit ended the run; its progress is saved."""

    def __init__(self, where: str, exit_code: int):
        super().__init__(f"stopped {where}; run the same command to continue")
        self.exit_code = exit_code


class Signals:
    """Records SIGTERM, SIGINT and SIGHUP until the loop can stop."""

    def __enter__(self):
        self.number = 0
        # Python lets the main thread alone set handlers.
        main = threading.current_thread() is threading.main_thread()
        self._before = {
            number: signal.signal(number, self._remember)
            for number in stop_signals.numbers()
            if main
        }
        return self

    def _remember(self, number, frame):
        del frame
        self.number = number

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Ends(Signals):
    """A context for the evaluation, whose finished parts are on disk: a signal ends it at once.

    Call `check()` between the parts: it ends the evaluation when the deadline, a time of
    `time.monotonic`, has passed.
    """

    _WHERE = "in the evaluation; finished parts are kept"

    def __init__(self, deadline: float, patience: float | None = None):
        """`patience`: of `stop_signals.ending_process`."""
        self._deadline = deadline
        self._process = stop_signals.ending_process(patience, str(Stopped(self._WHERE, 0)))

    def __enter__(self):
        super().__enter__()
        self._process.__enter__()
        return self

    def __exit__(self, *exception):
        self._process.__exit__(None, None, None)
        super().__exit__(*exception)

    def check(self) -> None:
        """Raises Stopped after a signal or the deadline."""
        if self.number:  # an exception raised by the handler may have been lost, in a destructor
            raise Stopped(self._WHERE, 128 + self.number)
        if time.monotonic() >= self._deadline:
            raise Stopped(f"by train.max_minutes {self._WHERE}", TIME_IS_UP)

    def _remember(self, number, frame):
        super()._remember(number, frame)
        self.check()
