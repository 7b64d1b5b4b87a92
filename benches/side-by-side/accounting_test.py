"""The accounting against a child that is known to have burnt processor time."""

import os
import socket
import subprocess
import sys
import unittest

import accounting

# Burns 0.3 s of its own processor time in a child of its own, says so, and stays until its input closes.
BURN = "import time\nwhile time.process_time() < 0.3: pass\nprint('burnt', flush=True)\nimport sys; sys.stdin.read()"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])"


class Accounting(unittest.TestCase):
    def test_time_of_a_grandchild_counts(self):
        with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
            self.assertEqual(parent.stdout.readline(), b"burnt\n")
            used = accounting.cpu_of_tree(parent.pid)
            memory = accounting.rss_bytes_of_tree(parent.pid)
            parent.stdin.close()
        self.assertGreaterEqual(used.total, 0.28)
        self.assertLess(used.total, 3.0)
        self.assertGreater(memory, 1 << 20)

    def test_a_process_that_has_ended_used_nothing(self):
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        self.assertEqual(accounting.cpu_of_tree(ended.pid), accounting.Cpu(0, 0))

    def test_the_machine_is_at_least_as_busy_as_we_are(self):
        self.assertGreater(accounting.busy_seconds_of_machine(), sum(os.times()[:2]))

    def test_every_accepted_connection_counts(self):
        before = accounting.connections_accepted()
        with socket.create_server(("127.0.0.1", 0)) as server:
            for _ in range(10):
                with socket.create_connection(server.getsockname()):
                    server.accept()[0].close()
        self.assertGreaterEqual(accounting.connections_accepted() - before, 10)


if __name__ == "__main__":
    unittest.main()
