"""A node service without a database, as its authors have it."""

from __future__ import annotations

from tests.foreign.strangers_machine import Machine, last_run
from tests.required_programs import needs

SERVER = """\
const http = require("node:http");
const answer = (status, body) => (response) => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
};
const routes = {
  "/health": answer(200, { commit: process.env.COMMIT }),
  "/price?grams=250": answer(200, { cents: 390 }),
};
http.createServer((request, response) => (routes[request.url] ?? answer(404, {}))(response))
  .listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
"""
PRICE = '''\
"""The price of a parcel, as people are told it."""


def test_a_parcel_of_250_g_costs_390_cents(service, record):
    answer = service.call("GET", "/price?grams=250")

    record.expect({"cents": 390}, answer.body)
    assert answer.body == {"cents": 390}
'''
IGNORED = ".deploy/\nreports/\n__pycache__/\n"
DEPLOY = """\
organisation: {name: Parcels, domain: deploy.parcels.example}
service:
  name: parcels
  source: service
  command: [node, server.js]
  checks:
    tests: [node, --check, server.js]
database: null
sla_s: 600
health: {watch_s: 1, interval_s: 0.5}
environments:
  local:
    platform: {kind: embedded}
    phases: {leave_out: [approval, integration]}
    dirty_tree: true
"""
"""A policy that somebody wrote by hand."""


def assert_node_goes_all_the_way(machine: Machine) -> None:
    """Deployed without a database, failed and led back, rehearsed with two approvals, handed out."""
    needs("node")
    files = {
        "service/server.js": SERVER,
        "service/package.json": '{"name": "parcels", "private": true}\n',
        "suites/smoke/test_price.py": PRICE,
        "pytest.ini": "[pytest]\naddopts = --cov -k nothing\n",  # of their own tests
    }
    parcels = machine.repository("parcels é", files)
    parcels.does("pytest-deploy", "init", "--service", "service")
    parcels.replace("deploy.yaml", "  checks: {}", "  checks: {tests: [node, --check, server.js]}")
    for nobody_waits in ("health: {watch_s: 60, interval_s: 2}", "health: {watch_s: 2, interval_s: 0.5}"):
        parcels.replace("deploy.yaml", nobody_waits, "health: {watch_s: 1, interval_s: 0.5}")
    parcels.commit("Deployments")
    databases = set(machine.memory.rglob("PG_VERSION"))

    # 1. It is deployed, without a database and with what is missing recorded as such.
    parcels.does("pytest", "--deploy-env=local")
    ended = parcels.outcomes()
    assert ended["suites/smoke/test_price.py::test_a_parcel_of_250_g_costs_390_cents"] == "passed"
    assert ended["pytest_deploy/suites/build/test_checks.py::test_unit_tests_pass"] == "passed"
    assert ended["pytest_deploy/suites/build/test_checks.py::test_lint_finds_nothing"] == "not-applicable"
    assert ended["pytest_deploy/suites/backup/test_backup.py::test_database_is_backed_up"] == "not-applicable"
    assert set(machine.memory.rglob("PG_VERSION")) <= databases, "no database was started"

    # 2. A release that does wrong is rolled back, by -n 2 as well, and the one before serves.
    parcels.replace("service/server.js", "cents: 390", "cents: 39")
    parcels.commit("Cheaper")
    for workers in ((), ("-n2",)):
        failed = parcels.run("pytest", "--deploy-env=local", *workers)
        assert failed.code == 1, failed.said
        assert "rolled-back in" in failed.stdout, failed.said
        ended = parcels.outcomes()
        assert ended["suites/smoke/test_price.py::test_a_parcel_of_250_g_costs_390_cents"] == "failed"
        again = "pytest_deploy/suites/smoke/test_health.py::test_health_answers_200_for_this_release[rollback]"
        assert ended[again] == "passed"

    # 3. Mended, production is rehearsed by its own policy: two people sign, by keys made for it.
    parcels.replace("service/server.js", "cents: 39 ", "cents: 390 ")
    parcels.commit("As it was")
    parcels.does("pytest-deploy", "rehearse", "production")
    approvals = [e for e in parcels.events("reports/rehearsal/production") if e["type"] == "approval.signed"]
    assert len(approvals) == 2

    # 4. What is handed out verifies with stock tools, and the record by both verifiers.
    run = last_run(parcels.does("pytest", "--deploy-env=local"))
    parcels.assert_handed_out(run, "reports/local")
