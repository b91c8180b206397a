"""How long the embedded platform lives: as long as somebody is connected, and not 2 s longer, however they went."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
import requests

from pytest_deploy.errors import PlatformUnavailable, Refused, RevisionFailed, UsageError
from pytest_deploy.platform.embedded import LocalPlatform, connect, reset
from pytest_deploy.platform.embedded.places import Places, Site
from pytest_deploy.platform.embedded.postgres import lives, postmaster
from pytest_deploy.platform.embedded.supervisor import lock, marked
from tests.unit.platform.conftest import COMMAND, Deployment, archive, get

_CLIENT = """
import sys, time
from pathlib import Path
from pytest_deploy.platform.embedded import connect
platform = connect(Path(sys.argv[1]), environment="local", service="tiny", command=("python", "app.py"))
image = platform.artefacts.push(Path(sys.argv[2]), tag="one")
made = platform.runtime.create(image=image, env=dict(word.split("=") for word in sys.argv[3:]), tag="candidate",
                               annotations={}, deadline_s=20)
print(platform.runtime.move({made.name: 100}, tags={}, deadline_s=10).url, flush=True)
time.sleep(120)
"""


@pytest.fixture
def checkouts(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Checkouts by name; whatever a failed test left of them is stopped and removed."""
    made: set[Path] = set()

    def checkout(name: str = "checkout") -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        made.add(folder)
        return folder

    yield checkout
    for folder in made:
        with contextlib.suppress(AssertionError):
            wait_until_gone(folder, patience_s=3)
        for process in marked(str(Places.of(folder).root)):
            with contextlib.suppress(psutil.Error):
                process.kill()
        wait_until_gone(folder)
        reset(folder)


def open_local(checkout: Path) -> LocalPlatform:
    return connect(checkout, environment="local", service="tiny", command=COMMAND)


@contextmanager
def client(checkout: Path, *env: str) -> Iterator[tuple[psutil.Process, str]]:
    """A client in a process of its own, with a deployed revision; the URL of the service."""
    words = [sys.executable, "-c", _CLIENT, str(checkout), str(archive(checkout, "one")), *env]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            yield psutil.Process(process.pid), process.stdout.readline().strip()
        finally:
            process.kill()


def left(checkout: Path) -> list[psutil.Process]:
    """What still runs of a checkout's platform."""
    places = Places.of(checkout)
    server = postmaster(places.postgres / "data")
    return [*marked(str(places.root)), *([server] if server else [])]


def wait_until_gone(checkout: Path, patience_s: float = 30) -> float:
    """Seconds until nothing of the platform runs."""
    start = time.monotonic()
    while left(checkout):
        assert time.monotonic() - start < patience_s, left(checkout)
        time.sleep(0.02)
    return time.monotonic() - start


def in_time() -> float:
    """The promised 2 s; on a machine with more to do than it has processors, longer in proportion."""
    return 2.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def supervisor(checkout: Path) -> psutil.Process:
    return next(process for process in marked(str(Places.of(checkout).root)) if "supervise" in process.cmdline())


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_client_that_is_killed(checkouts: Callable[[str], Path], signum: int) -> None:
    """Its revision ignores SIGTERM, too."""
    checkout = checkouts("one")
    with client(checkout, "STUBBORN=yes") as (process, url):
        assert get(url)["version"] == "one"
        process.send_signal(signum)
        assert wait_until_gone(checkout) < in_time()


def test_nothing_is_left_of_a_client_whose_whole_tree_is_killed(checkouts: Callable[[str], Path]) -> None:
    checkout = checkouts("one")
    with client(checkout) as (process, _):
        tree = process.children(recursive=True)
        assert supervisor(checkout) not in tree, "the supervisor is nobody's child"
        for member in [*tree, process]:
            member.kill()
        assert wait_until_gone(checkout) < in_time()


def test_nothing_is_left_of_a_supervisor_that_is_killed(checkouts: Callable[[str], Path]) -> None:
    checkout = checkouts("one")
    with client(checkout, "STUBBORN=yes") as (_, url):
        revision = psutil.Process(get(url)["pid"])
        supervisor(checkout).kill()
        assert wait_until_gone(checkout) < in_time()
        assert not lives(revision)


def test_a_supervisor_without_guardian_stops(checkouts: Callable[[str], Path]) -> None:
    checkout = checkouts("one")
    platform = open_local(checkout)
    next(process for process in marked(str(Places.of(checkout).root)) if "guard" in process.cmdline()).kill()
    assert wait_until_gone(checkout) < in_time() + 1
    platform.close()


def test_after_a_killed_supervisor_the_next_client_finds_everything_again(checkouts: Callable[[str], Path]) -> None:
    checkout = checkouts("one")
    first = open_local(checkout)
    deployment = Deployment(first, "local", checkout, checkout)
    revision = deployment.serve("one")
    url = deployment.url
    with psycopg.connect(first.database.owner) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS answer")
    supervisor(checkout).kill()
    second = open_local(checkout)
    first.close()
    try:
        assert second.runtime.state().sole_revision() == revision.name
        assert second.runtime.state().url == url
        assert get(url)["env"]["K_REVISION"] == revision.name
        with psycopg.connect(second.database.owner) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (7,)
    finally:
        second.close()


def test_it_runs_until_the_last_client_closes(checkouts: Callable[[str], Path]) -> None:
    checkout = checkouts("one")
    first, second = open_local(checkout), open_local(checkout)
    first.close()
    time.sleep(0.3)
    assert second.runtime.state().settled
    second.close()
    assert wait_until_gone(checkout) < in_time()


def test_two_clients_at_once_start_one_supervisor(checkouts: Callable[[str], Path]) -> None:
    checkout = checkouts("one")
    script = _CLIENT.split("image =", maxsplit=1)[0] + "print(1, flush=True); time.sleep(60)"
    words = [sys.executable, "-c", script, str(checkout)]
    with (
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as one,
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as two,
    ):
        for process in (one, two):
            assert process.stdout is not None
            assert process.stdout.readline() == "1\n"
        running = [process.cmdline() for process in left(checkout)]
        one.kill()
        two.kill()
    assert sum("supervise" in words for words in running) == 1
    assert wait_until_gone(checkout) < in_time()


def test_two_checkouts_do_not_meet(checkouts: Callable[[str], Path]) -> None:
    first, second = open_local(checkouts("one")), open_local(checkouts("two"))
    try:
        Deployment(first, "local", checkouts("one"), checkouts("one")).serve("one")
        assert requests.get(second.runtime.state().url, timeout=5).status_code == 503
        with psycopg.connect(first.database.owner) as connection:
            connection.execute("CREATE TABLE mine()")
        with psycopg.connect(second.database.owner) as connection:
            assert connection.execute("SELECT to_regclass('mine')").fetchone() == (None,)
    finally:
        first.close()
    assert wait_until_gone(checkouts("one")) < in_time()
    assert second.runtime.state().settled
    second.close()


def test_who_comes_as_the_last_client_goes_is_served(checkouts: Callable[[str], Path]) -> None:
    checkout = checkouts("one")
    for _ in range(4):
        platform = open_local(checkout)
        try:
            with psycopg.connect(platform.database.owner, connect_timeout=5) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        finally:
            platform.close()


def test_reset_forgets_everything_but_not_under_a_client(checkouts: Callable[[str], Path]) -> None:
    checkout = checkouts("one")
    reset(checkout)
    platform = open_local(checkout)
    Deployment(platform, "local", checkout, checkout).serve("one")
    with pytest.raises(Refused, match="in use"):
        reset(checkout)
    platform.close()
    reset(checkout)
    assert not Places.of(checkout).root.exists()
    platform = open_local(checkout)
    try:
        assert platform.artefacts.find("one") is None
        assert requests.get(platform.runtime.state().url, timeout=5).status_code == 503
    finally:
        platform.close()


def test_a_folder_that_somebody_else_made_is_not_used(checkouts: Callable[[str], Path]) -> None:
    places = Places.of(checkouts("one"))
    places.root.mkdir()
    places.root.chmod(0o777)
    with pytest.raises(PlatformUnavailable, match="not a private folder"):
        open_local(places.checkout)
    places.root.rmdir()


def test_private_folders_stay_private(checkouts: Callable[[str], Path]) -> None:
    """As root the server runs as another user, and yet no folder that is not ours is opened to it."""
    checkout = checkouts("one")
    checkout.chmod(0o700)
    open_local(checkout).close()
    places = Places.of(checkout)
    modes = {path.name: oct(path.stat().st_mode)[-3:] for path in (checkout, places.deploy, places.postgres)}
    assert modes == {"one": "700", ".deploy": "700", "pg": "700"}
    assert places.root.stat().st_mode & 0o066 == 0


def test_a_supervisor_that_cannot_start_says_why(checkouts: Callable[[str], Path]) -> None:
    places = Places.of(checkouts("one"))
    places.make()
    places.control.mkdir()
    with pytest.raises(PlatformUnavailable, match=r"supervisor did not start; see .*supervisor\.log"):
        open_local(places.checkout)
    assert "Traceback" in places.log.read_text()
    places.control.rmdir()


def test_a_service_that_cannot_be_opened_is_answered_with_the_reason(checkouts: Callable[[str], Path]) -> None:
    places = Places.of(checkouts("one"))
    places.make()
    state = places.state(Site("local", "tiny"))
    state.mkdir(parents=True)
    (state / "service.json").write_text("{")
    with pytest.raises(PlatformUnavailable, match="the supervisor failed"):
        open_local(places.checkout)


@pytest.mark.parametrize("name", ["", "Local", "../x", "a" * 41, "a_b"])
def test_a_name_that_cannot_be_a_folder_or_database_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot take"):
        connect(tmp_path, environment=name, service="tiny", command=COMMAND)
    assert not list(tmp_path.iterdir())


def test_a_revision_that_was_starting_when_the_supervisor_died_is_started_by_the_next(
    checkouts: Callable[[str], Path],
) -> None:
    checkout = checkouts("one")
    first = open_local(checkout)
    deployment = Deployment(first, "local", checkout, checkout)
    with pytest.raises(RevisionFailed, match="not ready within") as failure:
        deployment.create("slow", deadline_s=0.2)
    supervisor(checkout).kill()
    second = open_local(checkout)
    first.close()
    try:
        until = time.monotonic() + 10
        while not second.runtime.revision(failure.value.revision).ready and time.monotonic() < until:
            time.sleep(0.05)
        assert get(Deployment(second, "local", checkout, checkout).candidate_url)["version"] == "slow"
    finally:
        second.close()


def test_a_platform_that_dies_while_a_revision_starts_is_unavailable(checkouts: Callable[[str], Path]) -> None:
    checkout = checkouts("one")
    platform = open_local(checkout)
    try:
        killer = threading.Timer(0.5, supervisor(checkout).kill)
        killer.start()
        with pytest.raises(PlatformUnavailable, match="try again when the platform answers"):
            Deployment(platform, "local", checkout, checkout).create("slow")
        killer.join()
    finally:
        platform.close()


def test_a_client_that_cannot_have_its_database_holds_nothing(checkouts: Callable[[str], Path], tmp_path: Path) -> None:
    checkout = checkouts("one")
    with pytest.raises(PlatformUnavailable, match="check PGHOST"):
        connect(checkout, environment="local", service="tiny", command=COMMAND, database_url=f"host={tmp_path}")
    assert wait_until_gone(checkout) < in_time()


def test_a_supervisor_that_always_goes_away_is_given_up(checkouts: Callable[[str], Path]) -> None:
    places = Places.of(checkouts("one"))
    places.make()

    def go_away() -> None:
        for _ in range(3):
            listener.accept()[0].close()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(places.control))
        listener.listen()
        thread = threading.Thread(target=go_away)
        thread.start()
        with pytest.raises(PlatformUnavailable, match="went away 3 times"):
            open_local(places.checkout)
        thread.join()
    places.control.unlink()


def test_a_second_supervisor_of_a_checkout_does_not_start(checkouts: Callable[[str], Path]) -> None:
    """Somebody holds the lock whose socket is elsewhere: started with another root, say."""
    places = Places.of(checkouts("one"))
    places.make()
    held = lock(places.running, 0)
    with pytest.raises(PlatformUnavailable, match="still held by another supervisor"):
        lock(places.running, 0.1)
    os.close(held)
    os.close(lock(places.running, 0))
