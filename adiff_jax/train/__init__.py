"""Training: one loop for every task."""

STOPPED = 75  # exit code of a training that saved and is to be run again: EX_TEMPFAIL, which not every system names
BUSY = 69  # of one that another run keeps out of its directory: EX_UNAVAILABLE
