"""The programs under comparison: how each is configured and started. Every one gets the scenario's number of workers, an
access log and kept connections to the origin, and otherwise its defaults. Configuration texts are in `templates/`."""

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
# Idle connections to the origin that a candidate keeps: more than any scenario has requests at a time.
KEPT_CONNECTIONS = 512
# nginx takes no longer text in its configuration; longer answers come from a file.
INLINE_BYTES = 2000


@dataclass
class Site:
    """Where a scenario happens: its scratch directory, the cores, the programs, the filter, the certificate and the origin."""

    directory: str
    cores: Any
    ports: Any
    programs: dict
    filter_wasm: str
    certificate: Any
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


def start_origin(site, processes, body):
    """Starts the common origin and notes its port in `site`."""
    directory = _directory(site, "origin")
    site.origin_port = next(site.ports)
    if len(body) <= INLINE_BYTES:
        text = body.replace("\n", "\\n")
        answer = f'return 200 "{text}";'
    else:
        _write(directory, "answer", body)
        answer = "try_files /answer =404;"
    config = _write(directory, "nginx.conf", render("origin.conf", directory=directory, port=site.origin_port, answer=answer))
    return processes.start(_nginx_argv(site, directory, config), directory, site.cores.load)


def start(key, site, processes, scenario):
    """Writes the candidate's configuration for the scenario and starts it."""
    directory = _directory(site, key)
    # Not beside the configuration: the gateway watches that directory, and every write would be an event.
    access_log = os.path.join(_directory(site, key + "-log"), "access.log")
    port = next(site.ports)
    values = {
        "directory": directory,
        "access_log": access_log,
        "port": port,
        "origin_port": site.origin_port,
        "workers": scenario.workers,
        "kept": KEPT_CONNECTIONS,
    }
    program = key.split("-")[0]
    values["tls"] = _tls(program, site.certificate) if scenario.tls else ""
    argv = {
        "nginx": _nginx,
        "haproxy": _haproxy,
        "envoy": _envoy,
        "gateway": _gateway,
    }[program](site, directory, values, key.endswith("-wasm"))
    return Candidate(key, port, processes.start(argv, directory, site.cores.candidate), access_log)


def envoy_config(values, wasm=None, configuration=""):
    """Envoy's configuration; with `wasm`, that module runs before the router, configured with the text given."""
    wasm_filter = ""
    if wasm:
        # A JSON string is a YAML string too.
        wasm_filter = render("envoy-wasm-filter.yaml", wasm_string=json.dumps(wasm), configuration_string=json.dumps(configuration))
    return render("envoy.yaml", **{"tls": "", **values}, wasm_filter=wasm_filter.rstrip("\n"))


def envoy_argv(binary, config, workers=1):
    return [binary, "--config-path", config, "--concurrency", str(workers), "--disable-hot-restart", "--log-level", "warn"]


def render(template, **values):
    """A template with each {{name}} replaced."""
    with open(os.path.join(TEMPLATES, template)) as file:
        text = file.read()
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", str(value))
    return text


def _tls(program, certificate):
    """What a listener's configuration has more when it is one of TLS."""
    if program == "haproxy":
        return f" ssl crt {certificate.both} alpn h2,http/1.1"
    template = {"nginx": "nginx-tls.conf", "envoy": "envoy-tls.yaml", "gateway": "gateway-tls.yaml"}[program]
    return render(template, cert=certificate.cert, key=certificate.key).rstrip("\n")


def _nginx(site, directory, values, _filtered):
    text = render("nginx.conf", **values, ssl=" ssl http2" if values["tls"] else "")
    return _nginx_argv(site, directory, _write(directory, "nginx.conf", text))


def _nginx_argv(site, directory, config):
    return [site.programs["nginx"], "-p", directory, "-c", config, "-e", os.path.join(directory, "error.log"), "-g", "daemon off;"]


def _haproxy(site, directory, values, _filtered):
    log_port = next(site.ports)
    LogReceiver(log_port, values["access_log"])
    config = _write(directory, "haproxy.cfg", render("haproxy.cfg", **values, log_port=log_port, scheme="https" if values["tls"] else "http"))
    return [site.programs["haproxy"], "-db", "-f", config]


def _envoy(site, directory, values, filtered):
    config = _write(directory, "envoy.yaml", envoy_config(values, site.filter_wasm if filtered else None))
    return envoy_argv(site.programs["envoy"], config, values["workers"])


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
