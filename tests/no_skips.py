"""`pytest -p tests.no_skips`: a run with a skipped test fails, and says which and why."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Failed, where all else passed and something was skipped."""
    passed = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if passed and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Each skipped test or file with its reason; nothing where there is none."""
    skipped = _skipped(config)
    if skipped:
        terminalreporter.section("skipped, which fails this run", red=True)
    for report in skipped:
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else where
        terminalreporter.line(f"{report.nodeid}: {reason}", red=True)


def _skipped(config: pytest.Config) -> list[pytest.TestReport | pytest.CollectReport]:
    """What the run's own summary counts as skipped; an expected failure is none of it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None, "without pytest's terminal plugin no skip is counted"
    found: list[pytest.TestReport | pytest.CollectReport] = reporter.stats.get("skipped", [])
    return found
