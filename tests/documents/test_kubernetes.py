"""docs/how-to/kubernetes.md: the manifest's command lines are run, and its times are compared."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from cli.support import refusing
from documents.blocks import ROOT
from documents.containers import check, serve_and_stop
from documents.deployment import FILES

DEPLOYMENT, SERVICE = yaml.safe_load_all((FILES / "sums.yaml").read_text())

POD: dict[str, Any] = DEPLOYMENT["spec"]["template"]["spec"]

(CONTAINER,) = POD["containers"]


def test_the_server_and_its_probe() -> None:
    command = CONTAINER["command"] + CONTAINER["args"]
    assert serve_and_stop(command, CONTAINER["readinessProbe"]["exec"]["command"]).status == 0


def test_the_probe_fails_without_a_server() -> None:
    with refusing() as endpoint:
        assert check(CONTAINER["readinessProbe"]["exec"]["command"], endpoint).status == 1


def test_a_pod_has_the_time_to_stop() -> None:
    command = CONTAINER["command"]
    grace = int(command[command.index("--grace") + 1])
    name, before = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    assert name == "sleep"
    assert grace + int(before) < POD["terminationGracePeriodSeconds"]
    page = (ROOT / "docs/how-to/kubernetes.md").read_text()
    (draining,) = re.findall(r'draining\.py\]` and `args: \["tcp:\*:8000", "(\d+)"\]`', page)
    assert int(before) + int(draining) + 5 < POD["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("name", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_probe_has_time_enough(name: str) -> None:
    probe = CONTAINER[name]
    if "exec" not in probe:
        assert probe["tcpSocket"]["port"] == CONTAINER["ports"][0]["name"]
        return
    command = probe["exec"]["command"]
    most = sum(
        int(command[command.index(option) + 1]) for option in ("--timeout", "--half-close-timeout")
    )
    assert most < probe["timeoutSeconds"] < probe["periodSeconds"]


def test_the_service_finds_the_pods() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert SERVICE["spec"]["selector"] == labels
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    (port,) = SERVICE["spec"]["ports"]
    assert port["targetPort"] == CONTAINER["ports"][0]["name"]
    assert CONTAINER["args"][-1] == f"tcp:*:{CONTAINER['ports'][0]['containerPort']}"
