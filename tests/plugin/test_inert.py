"""Without --deploy-env pytest is plain pytest: the plug-in declares its options, marks and hooks, and steps aside."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

PLAIN = "def test_plain(): assert 1 + 1 == 2"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project of somebody else's, in which the plug-in happens to be installed."""
    pytester.makepyprojecttoml("[tool.pytest]\nstrict = true\nfilterwarnings = ['error']\n")
    pytester.makepyfile(test_plain=PLAIN)
    return pytester


@pytest.mark.parametrize("words", [("-x", "-k", "plain"), ("-n", "2")], ids=" ".join)
def test_plain_run_is_plain(project: pytest.Pytester, words: tuple[str, ...]) -> None:
    ran = project.runpytest_subprocess(*words)

    assert ran.ret == 0
    ran.assert_outcomes(passed=1)
    assert not {".deploy", "reports"} & {path.name for path in project.path.iterdir()}


def test_plain_run_loads_none_of_what_a_deployment_needs(project: pytest.Pytester) -> None:
    """Starting pytest costs a project without deployments nothing."""
    project.makepyfile(
        test_loaded="""
        import sys

        def test_loaded():
            heavy = {"google", "grpc", "psycopg", "pydantic", "yaml", "cryptography", "pytest_deploy.plugin.session"}
            assert heavy & set(sys.modules) == set()
        """
    )

    ran = project.runpytest_subprocess("test_loaded.py")

    ran.assert_outcomes(passed=1)


def test_fixtures_are_the_projects_own(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_fixtures="""
        import pytest

        @pytest.fixture
        def database():
            return "mine"

        def test_own(database):
            assert database == "mine"

        def test_of_a_deployment(record):
            raise AssertionError("a plain run has no record")
        """
    )

    ran = project.runpytest_subprocess("test_fixtures.py")

    ran.assert_outcomes(passed=1, errors=1)
    ran.stdout.fnmatch_lines(["*fixture 'record' not found"])


def test_steps_of_a_deployment_are_no_tests_of_the_project(project: pytest.Pytester) -> None:
    """Their fixtures are those of a deployment. What is named is collected, and a suites/ of anything else is the project's own."""
    for folder in ("here", "elsewhere"):
        smoke = project.path / folder / "suites" / "smoke"
        smoke.mkdir(parents=True)
        (smoke / f"test_smoke_{folder}.py").write_text("def test_step(): pass")
        (smoke.parent / "steps.lock").touch()
    (project.path / "here" / "deploy.yaml").touch()

    project.runpytest_subprocess().assert_outcomes(passed=2)
    project.runpytest_subprocess("here/suites").assert_outcomes(passed=1)
    project.runpytest_subprocess("here/suites/smoke/test_smoke_here.py").assert_outcomes(passed=1)


def test_options_and_marks_are_declared(project: pytest.Pytester) -> None:
    shown = project.runpytest_subprocess("--help")

    assert shown.ret == 0
    shown.stdout.fnmatch_lines(["deployments (inert without --deploy-env):", "*--deploy-env=ENV*"])
    marks = project.runpytest_subprocess("--markers")
    marks.stdout.fnmatch_lines(
        ["@pytest.mark.requirement(assertion, environment=NAMES)*", "@pytest.mark.step(changes=False*"]
    )


@pytest.mark.parametrize("option", ["--deploy-set=health.watch_s=1", "--deploy-reason=why", "--deploy-pipeline=plan"])
def test_option_of_a_deployment_alone_is_refused(project: pytest.Pytester, option: str) -> None:
    ran = project.runpytest_subprocess(option)

    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines(["*add --deploy-env=ENV*"])


def test_hook_is_taken_and_a_misspelt_one_refused(project: pytest.Pytester) -> None:
    project.makeconftest("def pytest_deploy_phase_finished(phase): raise RuntimeError('no phase here')")
    assert project.runpytest_subprocess().ret == 0

    project.makeconftest("def pytest_deploy_phase_finshed(phase): pass")
    ran = project.runpytest_subprocess()

    assert ran.ret != 0
    ran.stdout.fnmatch_lines(["*unknown hook 'pytest_deploy_phase_finshed'*"])
