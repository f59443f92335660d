"""`train_many` with a training that takes no time, and with a process that ends slowly.

The first word of a run is what its training does: `ok`, `fail` or `exit`, which ends the process.
"""

import atexit
import os
import socket
import sys
import time

from minillm.commands import train_many
from minillm.errors import TrainingError


def train(config: list[str], make: object) -> None:
    if config[0] == "exit":
        os._exit(0)
    if config[0] == "fail":
        raise TrainingError(f"the run {config[1]} has failed")


train_many.load_config, train_many.train = list, train
atexit.register(time.sleep, 1)
train_many.main(socket.socket(fileno=int(sys.argv[1])), float(sys.argv[2]))
