"""A launcher's store, as torchrun keeps one: `python3 launcher.py KEY VALUE`, the value of an earlier attempt. Prints
the port."""
import datetime
import sys
import time

from torch.distributed import TCPStore

store = TCPStore("127.0.0.1", 0, None, True, datetime.timedelta(seconds=20), wait_for_workers=False)
store.set(sys.argv[1], sys.argv[2])
print(store.port, flush=True)
time.sleep(600)
