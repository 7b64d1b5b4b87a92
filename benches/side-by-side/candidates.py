"""The programs under comparison: how each is configured and started. Every one gets one worker, an access log and kept
connections on both sides, and otherwise its defaults. Configuration texts are in `templates/`."""

import json
import os
import shutil
from dataclasses import dataclass
from typing import Any

import install
from log_receiver import LogReceiver

TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
# In the order in which they are measured and shown. The part before the dash is the program.
KEYS = ["nginx", "haproxy", "envoy", "envoy-wasm", "gateway", "gateway-wasm"]
TITLES = {
    "nginx": "nginx",
    "haproxy": "HAProxy",
    "envoy": "Envoy",
    "envoy-wasm": "Envoy + filter",
    "gateway": "gateway",
    "gateway-wasm": "gateway + filter",
}


@dataclass
class Site:
    """Where a run happens: its scratch directory, the origin, the programs and the filter."""

    directory: str
    ports: Any
    programs: dict
    filter_wasm: str
    origin_port: int = 0


@dataclass
class Candidate:
    """A started program, ready to be measured."""

    key: str
    port: int
    process: Any
    access_log: str

    @property
    def title(self):
        return TITLES[self.key]

    @property
    def filtered(self):
        return self.key.endswith("-wasm")

    def logged_requests(self):
        """Lines in the access log so far."""
        with open(self.access_log, "rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def start_origin(site, processes, core, body):
    """Starts the common origin and notes its port in `site`."""
    directory = _directory(site, "origin")
    site.origin_port = next(site.ports)
    config = _write(directory, "nginx.conf", render("origin.conf", directory=directory, port=site.origin_port, body=body))
    return processes.start(_nginx_argv(site, directory, config), directory, core)


def start(key, site, processes, core):
    """Writes the candidate's configuration and starts it on `core`."""
    directory = _directory(site, key)
    # Not beside the configuration: the gateway watches that directory, and every write would be an event.
    access_log = os.path.join(_directory(site, key + "-log"), "access.log")
    port = next(site.ports)
    values = {"directory": directory, "access_log": access_log, "port": port, "origin_port": site.origin_port}
    argv = {
        "nginx": _nginx,
        "haproxy": _haproxy,
        "envoy": _envoy,
        "gateway": _gateway,
    }[key.split("-")[0]](site, directory, values, key.endswith("-wasm"))
    return Candidate(key, port, processes.start(argv, directory, core), access_log)


def envoy_config(values, wasm=None, configuration=""):
    """Envoy's configuration; with `wasm`, that module runs before the router, configured with the text given."""
    wasm_filter = ""
    if wasm:
        # A JSON string is a YAML string too.
        wasm_filter = render("envoy-wasm-filter.yaml", wasm_string=json.dumps(wasm), configuration_string=json.dumps(configuration))
    return render("envoy.yaml", **values, wasm_filter=wasm_filter.rstrip("\n"))


def envoy_argv(binary, config):
    return [binary, "--config-path", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]


def render(template, **values):
    """A template with each {{name}} replaced."""
    with open(os.path.join(TEMPLATES, template)) as file:
        text = file.read()
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", str(value))
    return text


def _nginx(site, directory, values, _filtered):
    return _nginx_argv(site, directory, _write(directory, "nginx.conf", render("nginx.conf", **values)))


def _nginx_argv(site, directory, config):
    return [site.programs["nginx"], "-p", directory, "-c", config, "-e", os.path.join(directory, "error.log"), "-g", "daemon off;"]


def _haproxy(site, directory, values, _filtered):
    log_port = next(site.ports)
    LogReceiver(log_port, values["access_log"])
    config = _write(directory, "haproxy.cfg", render("haproxy.cfg", **values, log_port=log_port))
    return [site.programs["haproxy"], "-db", "-f", config]


def _envoy(site, directory, values, filtered):
    config = _write(directory, "envoy.yaml", envoy_config(values, site.filter_wasm if filtered else None))
    return envoy_argv(site.programs["envoy"], config)


def _gateway(site, directory, values, filtered):
    text = render("gateway.yaml", **values, admin_port=next(site.ports))
    if filtered:
        text += render("gateway-filters.yaml")
        os.mkdir(os.path.join(directory, "filters"))
        shutil.copyfile(site.filter_wasm, os.path.join(directory, "filters", "add-header.wasm"))
    return [site.programs["gateway"], "run", "-c", _write(directory, "gateway.yaml", text)]


def versions(programs):
    """One line per program: what it says it is."""
    asks = {"nginx": "-v", "haproxy": "-v", "envoy": "--version", "gateway": "--version"}
    return [install.first_line(path, asks[name]) for name, path in programs.items()]


def _directory(site, name):
    path = os.path.join(site.directory, name)
    os.mkdir(path)
    return path


def _write(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w") as file:
        file.write(text)
    return path
