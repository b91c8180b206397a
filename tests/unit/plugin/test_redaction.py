"""Log lines help a person who debugs in the field: they go to standard error, without secrets, and nowhere else."""

from __future__ import annotations

import logging

import pytest

from pytest_deploy.plugin.redaction import log_lines

pytest_plugins = ["pytester"]


def asked(pytester: pytest.Pytester, *words: str) -> pytest.Config:
    """What pytest makes of these options; its own log options are those it would act on."""
    config = pytester.parseconfig(*words)
    log_lines(config, lambda text: text.replace("s3cr3t", "***"))
    return config


@pytest.mark.parametrize("word", ["--log-level=DEBUG", "--log-cli-level=info", "--log-cli-level=20"])
def test_a_line_is_shown_without_its_secrets_and_not_passed_on(
    pytester: pytest.Pytester, capfd: pytest.CaptureFixture[str], word: str
) -> None:
    config = asked(pytester, word)
    handler = config.pluginmanager.get_plugin("deploy-log-lines")
    assert handler is not None
    logger = logging.getLogger("pytest_deploy")
    try:
        logging.getLogger("pytest_deploy.pipeline.run").info("token is %s", "s3cr3t")
    finally:
        handler.pytest_unconfigure()

    shown = capfd.readouterr().err
    assert shown.endswith("INFO pytest_deploy.pipeline.run: token is ***\n")
    assert (config.option.log_level, config.option.log_cli_level) == (None, None), "pytest's own handlers show no more"
    assert logger.propagate
    assert handler not in logger.handlers


def test_nothing_is_shown_unasked(pytester: pytest.Pytester) -> None:
    assert asked(pytester).pluginmanager.get_plugin("deploy-log-lines") is None


def test_a_level_that_is_none_is_refused(pytester: pytest.Pytester) -> None:
    with pytest.raises(pytest.UsageError, match="--log-level=loud: right is DEBUG"):
        asked(pytester, "--log-level=loud")
