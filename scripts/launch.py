"""`accelerate launch` for scripts/launch.sh: the exit status is that of the process that failed, or
that of a `minillm train` which a signal has stopped.

Accelerate itself ends in a traceback of its own and status 1, whatever happened.
"""

import signal
import sys

from accelerate.commands.launch import main
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

try:
    main()
except ChildFailedError as error:
    rank, failure = error.get_first_failure()
    died_of_signal = failure.exitcode < 0
    what = failure.signal_name() if died_of_signal else f"exit status {failure.exitcode}"
    print(f"launch: process {rank} failed first ({what}); all were stopped.", file=sys.stderr)
    sys.exit(128 - failure.exitcode if died_of_signal else failure.exitcode)
except SignalException as error:
    sys.exit(130 if error.sigval == signal.SIGINT else 75)
