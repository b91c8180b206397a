"""What may differ from its default in a deployment: every option, plug-in and variable, with the reason.

It is a list of what is allowed: what does not stand here must be as pytest makes it. A test holds it against every option
that pytest and the installed plug-ins declare, so that a new one is classified before it can be used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OptionRule:
    """What values something may have, and why."""

    reason: str
    values: tuple[object, ...] | None = ()
    """None: any value. Empty: the default alone. Else these values alone, the default among them or not."""

    def allows(self, value: object, default: object) -> bool:
        """Whether this value is permitted where `default` is what pytest would have without anybody's word."""
        if self.values is None:
            return True
        return value in self.values if self.values else value == default


UNKNOWN = OptionRule("pytest-deploy does not know it, and allows only what it knows")


def table(*rows: tuple[OptionRule, str]) -> Mapping[str, OptionRule]:
    """One entry for each name of a row. Raises ValueError where a name stands twice: the later would silently win."""
    named = [(name, rule) for rule, names in rows for name in names.split()]
    if doubled := [name for name, count in Counter(name for name, _ in named).items() if count > 1]:
        raise ValueError(f"classified twice: {', '.join(doubled)}")
    return dict(named)


FIRST = "pytest_deploy.plugin.plugin"
"""This plug-in. Where `-p` names it, it comes before every other, and what it keeps out is not imported."""

OPTIONS: Mapping[str, OptionRule] = table(
    # --- permitted
    (OptionRule("the deployment itself: it goes into the record", None),
     "deploy_env deploy_config deploy_pipeline deploy_set deploy_reason deploy_run deploy_rehearse deploy_at deploy_ticket deploy_to"),
    (OptionRule("how many workers share the parallel phases; which steps run, and in what order, stays the lock's", None),
     "numprocesses"),
    (OptionRule("shows the steps and runs none; nothing is written", None), "collectonly"),
    (OptionRule("shows itself and ends; no deployment begins", None), "help version"),
    (OptionRule("what the terminal shows; reports and record stay whole", None),
     """verbose quiet reportchars tbstyle fulltrace xfail_tb color code_highlight durations durations_min no_header no_summary
     fold_skipped force_short_summary showcapture disable_warnings"""),
    (OptionRule("shows this package's own log lines on standard error, without secrets; reports and record stay whole", None),
     "log_level log_cli_level"),
    (OptionRule("fd keeps each step's output for the reports, no shows it at once; the others miss what child processes say",
             ("fd", "no")), "capture"),
    # --- as deployment.ini says
    (OptionRule("suites/ holds files of one name in several folders: only importlib keeps them apart", ("importlib",)),
     "importmode"),
    (OptionRule("a plug-in put in or taken out could change what a step is and what counts as passed",
             ([], ["no:allure_pytest_bdd"])), "plugins"),
    # --- which steps run
    (OptionRule("leaves steps out or picks them; a pipeline is run whole"),
     "file_or_dir keyword markexpr deselect ignore ignore_glob lf stepwise stepwise_skip"),
    (OptionRule("puts steps into another order; theirs is that of suites/steps.lock"), "failedfirst newfirst"),
    (OptionRule("ends the steps early; each phase says itself whether its first failure ends it"), "maxfail"),
    (OptionRule("changes what is collected; a deployment collects suites/ and holds it against suites/steps.lock"),
     """pyargs keepduplicates collect_in_virtualenv continue_on_collection_errors doctestmodules doctestglob doctestreport
     doctest_ignore_import_errors doctest_continue_on_failure inversion allure_severities allure_epics allure_features
     allure_stories allure_ids allure_labels"""),
    (OptionRule("sets steps up without running them, or runs none; give it without --deploy-env"),
     "setuponly setupplan setupshow markers showfixtures show_fixtures_per_test cacheshow"),
    # --- whether they pass, and when they end
    (OptionRule("stops in a debugger while users are served by what is half changed, and no time limit ends it"),
     "usepdb usepdb_cls trace"),
    (OptionRule("changes what counts as passed"), "runxfail assertmode"),
    (OptionRule("deployment.ini says which warnings are errors"), "pythonwarnings max_warnings"),
    (OptionRule("deployment.ini says strict = true, and that is the strictest"), "strict strict_config strict_markers"),
    # --- which files configure
    (OptionRule("a deployment has a configuration and a root of its own; --deploy-config=PATH names another deploy.yaml"),
     "inifilename rootdir confcutdir noconftest override_ini disable_plugin_autoload"),
    # --- how it is shared out
    (OptionRule("steps are shared out phase by phase on this machine; say how many workers with -n"),
     """dist distload tx px maxprocesses maxworkerrestart maxschedchunk loadscopereorder rsyncdir rsyncignore testrunuid
     looponfail"""),
    # --- what is written where
    (OptionRule("the run writes its reports itself, into its own folder"),
     """xmlpath junitprefix htmlpath self_contained_html css allure_report_dir clean_alluredir attach_capture
     allure_link_pattern"""),
    (OptionRule("puts statements into the report that nothing in the run shows"),
     "metadata metadata_from_json metadata_from_json_file"),
    (OptionRule("would carry what the run says out of its record, past the cutting of secrets and of subject data"),
     """pastebin showlocals debug traceconfig log_format log_date_format log_cli_format log_cli_date_format log_file log_file_mode log_file_level log_file_format log_file_date_format log_auto_indent
     logger_disable"""),
    (OptionRule("removes or reads what an earlier pytest left; a deployment depends on no earlier pytest"),
     "basetemp cacheclear last_failed_no_failures stepwise_reset"),
)  # fmt: skip
"""By the name on `config.option` (argparse's dest)."""

PLUGINS: Mapping[str, OptionRule] = table(
    (OptionRule("this one", None), "pytest-deploy"),
    (OptionRule("the workers of -n", None), "pytest-xdist"),
    (OptionRule("the reports of a run", None), "pytest-html pytest-metadata allure-pytest"),
)  # fmt: skip
"""By distribution: those whose plug-ins take part without being listed in deploy.yaml."""

BUILTIN: Mapping[str, OptionRule] = table(
    (OptionRule("pytest loads it without being asked; what it could bend is judged by its options and ini values", None),
     """mark main runner fixtures helpconfig python terminal debugging unittest capture skipping legacypath tmpdir monkeypatch
     recwarn pastebin assertion junitxml doctest cacheprovider setuponly setupplan stepwise unraisableexception
     threadexception warnings logging reports faulthandler subtests"""),
)  # fmt: skip
"""Those of pytest's own plug-ins that may be active, by name."""

VARIABLE_PREFIX = "PYTEST_"

VARIABLES: Mapping[str, OptionRule] = table(
    (OptionRule("pytest sets it itself", None), "PYTEST_CURRENT_TEST PYTEST_VERSION"),
    (OptionRule("pytest-xdist sets it in its workers and asks nothing of it", None),
     "PYTEST_XDIST_WORKER PYTEST_XDIST_WORKER_COUNT PYTEST_XDIST_TESTRUNUID"),
    (OptionRule("how many workers -n auto means", None), "PYTEST_XDIST_AUTO_NUM_WORKERS"),
    (OptionRule("colours", None), "PYTEST_THEME PYTEST_THEME_MODE"),
    (OptionRule("where pytest puts temporary folders", None), "PYTEST_DEBUG_TEMPROOT"),
    (OptionRule("where the embedded platform keeps its database's files and its sockets", None), "PYTEST_DEPLOY_PGDATA_ROOT"),
    (OptionRule("adds options nobody typed: a shell profile or an image may set it, and the record is to show what was asked"),
     "PYTEST_ADDOPTS"),
    (OptionRule("puts plug-ins in, which could change what a step is and what counts as passed"), "PYTEST_PLUGINS"),
    (OptionRule("takes out the plug-ins that write the reports"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD"),
    (OptionRule("a step's time limit is its own mark's or deploy.yaml's step_timeout_s"), "PYTEST_TIMEOUT"),
    (OptionRule("would carry what the run says out of its record, past the cutting of secrets and of subject data"),
     "PYTEST_DEBUG"),
    (OptionRule("puts other modules in the place of those that were installed by hash, or of the checkout's own"),
     "PYTHONPATH PYTHONHOME PYTHONUSERBASE PYTHONPYCACHEPREFIX"),
)  # fmt: skip
"""Environment variables by name; one that begins with PYTEST_ and does not stand here must not be set."""
