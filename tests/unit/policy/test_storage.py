"""Where the record lies, who signs it, how long it is kept, who else knows: bad values are named, and what a rehearsal makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_deploy.errors import ConfigurationError
from pytest_deploy.policy.load import load
from pytest_deploy.policy.policy import Administrators, Policy
from pytest_deploy.policy.storage import Anchors, Copies, GitHub, Record
from pytest_deploy.policy.types import EMAIL
from pytest_deploy.record.actor import SIGNER
from tests.unit.policy.sample_policy import BASE, PRODUCTION, written

KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/7"
KEPT = """\
    retention: {locked: true}
    anchors:
      required: true
      lines: outbox
      copies: {store: gcs, bucket: example-anchors}
      timestamp: {url: 'https://tsa.example.org', ca: ca.pem}
"""
CLOUD = BASE.replace("embedded}", "google, runtime: container, google: {project: p, region: r}}")


def faults(home: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(written(home, text), "local")
    return [str(fault).partition(" ")[2] for fault in caught.value.faults]


@pytest.mark.parametrize(
    "section, key, problem",
    [
        ("record: {store: disk}", "record.store", "'disk'"),
        ("record: {store: gcs}", "record.bucket", "has a bucket"),
        ("record: {bucket: some-bucket}", "record.bucket", "has a bucket"),
        ("record: {store: gcs, bucket: 'gs://x'}", "record.bucket", "not what may stand here"),
        ("record: {store: gcs, bucket: Big}", "record.bucket", "not what may stand here"),
        ("record: {store: gcs, bucket: abc, prefix: /a/}", "record.prefix", "not what may stand here"),
        ("record: {store: gcs, bucket: abc, prefix: a/../b}", "record.prefix", "not what may stand here"),
        ("record: {rehearsed: gcs}", "record", "there is no bucket to rehearse in"),
        ("retention: {days: 2556}", "retention.days", "not at least 2557"),
        ("retention: {locked: true}", "retention.locked", "no retention can be locked on a disk"),
        ("retention: {storage_class: COLD}", "retention.storage_class", "'COLD'"),
        ("anchors: {required: true}", "anchors.copies", "none can be read back"),
        ("anchors: {required: true, lines: outbox}", "anchors.copies", "none can be read back"),
        ("anchors: {copies: {store: folder}}", "anchors.copies", "has a path"),
        ("anchors: {copies: {store: gcs, bucket: abc, folder: x}}", "anchors.copies", "has a path"),
        ("anchors: {copies: {folder: x, bucket: abc}}", "anchors.copies.bucket", "has a bucket"),
        ("anchors: {copies: {folder: ../x}}", "anchors.copies.folder", "leads out of the folder of deploy.yaml"),
        ("anchors: {copies: {folder: reports}}", "anchors.copies.folder", "among the records themselves"),
        ("anchors: {copies: {folder: reports/local}}", "anchors.copies.folder", "among the records themselves"),
        ("anchors: {github: {}}", "anchors.github.repository", "missing"),
        (
            "anchors: {github: {repository: diary, api: 'http://localhost:9'}}",
            "anchors.github.repository",
            "not what may",
        ),
        (
            "anchors: {github: {repository: a/.., api: 'http://localhost:9'}}",
            "anchors.github.repository",
            "not what may",
        ),
        ("anchors: {github: {repository: a/b, api: 'http://ghe.example.org'}}", "anchors.github.api", "not what may"),
        ("anchors: {github: {repository: a/b, api: 'https://me:word@ghe.org'}}", "anchors.github.api", "not what may"),
        ("anchors: {github: {repository: a/b, api: 'https://ghe.org/api/v3/'}}", "anchors.github.api", "not what may"),
        ("anchors: {github: {repository: a/b, ref: ''}}", "anchors.github.ref", "not text that is not empty"),
        ("anchors: {github: {repository: a/b}}", "anchors.github.api", "the embedded platform stays on this machine"),
        ("anchors: {lines: /var/lines}", "anchors.lines", "leads out of the folder of deploy.yaml"),
        ("anchors: {timestamp: {url: 'https://x'}}", "anchors.timestamp.ca", "missing"),
        ("anchors: {timestamp: {url: 'ftp://x', ca: a.pem}}", "anchors.timestamp.url", "not what may stand here"),
    ],
)
def test_a_bad_value_is_named_with_its_key(tmp_path: Path, section: str, key: str, problem: str) -> None:
    (fault,) = faults(tmp_path, f"{BASE}    {section}\n")

    assert fault.startswith(f"environments.local.{key}: ")
    assert problem in fault


def test_the_records_own_bucket_is_no_place_for_its_anchors(tmp_path: Path) -> None:
    text = f"{BASE}    record: {{store: gcs, bucket: abc}}\n    anchors: {{copies: {{store: gcs, bucket: abc}}}}\n"
    (fault,) = faults(tmp_path, text)

    assert "anchors.copies.bucket: abc is the record's own bucket" in fault


@pytest.mark.parametrize("name", ["GITHUB_KEY", "github_token", "ghp_canaryTOKEN0123456789"])
def test_what_is_no_variables_name_is_not_shown_it_may_be_the_token(tmp_path: Path, name: str) -> None:
    (fault,) = faults(tmp_path, f"{BASE}    anchors: {{github: {{repository: a/b, token_variable: {name}}}}}\n")

    assert "anchors.github.token_variable: is no name of an environment variable with TOKEN in it" in fault
    assert name not in fault


AT_GITHUB = "    anchors: {required: true, github: {repository: example/diary}}\n"


def test_a_real_environment_asks_github_itself_or_a_server_of_its_own(tmp_path: Path) -> None:
    real = production(tmp_path, AT_GITHUB, rehearsal=False)
    own = production(tmp_path, AT_GITHUB.replace("y}", "y, api: 'https://ghe.example.org/api/v3'}"), rehearsal=False)

    assert real.anchors.github == GitHub(repository="example/diary", api="https://api.github.com", ref="main")
    assert own.anchors.github is not None
    assert own.anchors.github.api == "https://ghe.example.org/api/v3"
    with pytest.raises(ConfigurationError, match="is on this machine, and what it holds goes with it"):
        production(tmp_path, AT_GITHUB.replace("y}", "y, api: 'https://127.0.0.1:9'}"), rehearsal=False)


def test_a_rehearsals_anchors_lie_on_disk_in_place_of_githubs_unless_it_is_led_to_a_stand_in(tmp_path: Path) -> None:
    """Real GitHub is asked by no rehearsal."""
    led = 'anchors.github={"repository": "example/diary", "api": "API"}'
    rehearsed = production(tmp_path, AT_GITHUB)
    stand_in = production(tmp_path, AT_GITHUB, sets=(led.replace("API", "http://127.0.0.1:9"),))

    assert rehearsed.anchors == Anchors(required=True, copies=Copies(folder=".deploy/anchors"))
    assert stand_in.anchors.github is not None
    assert stand_in.anchors.github.loopback
    with pytest.raises(ConfigurationError, match=r"https://api.github.com is asked, and the embedded platform stays"):
        production(tmp_path, AT_GITHUB, sets=(led.replace("API", "https://api.github.com"),))


@pytest.mark.parametrize("over", [0, 1])
def test_a_line_that_github_would_not_keep_is_refused_here(tmp_path: Path, over: int) -> None:
    """`tlog ORIGIN SIZE ROOT`: 140 characters, with the origin of a rehearsal and a size of 8 digits."""
    domain = f"{'d' * (81 + over - len('.org/rehearsal/local'))}.org"
    text = BASE.replace("deploy.example.org", domain)
    github = "    anchors: {github: {repository: a/b, api: 'http://localhost:9'}}\n"
    assert load(written(tmp_path, text), "local").anchors.github is None
    if not over:
        assert load(written(tmp_path, text + github), "local").anchors.github is not None
        return
    (fault,) = faults(tmp_path, text + github)

    assert "anchors.github: the line `tlog ddd" in fault
    assert "is 1 characters longer than the 140 that GitHub keeps" in fault


def test_an_environment_in_the_cloud_keeps_its_record_in_a_bucket(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, CLOUD)

    assert "record.store: the record of an environment in the cloud would lie on this machine's disk" in fault
    assert load(written(tmp_path, f"{CLOUD}    record: {{store: gcs, bucket: abc}}\n"), "local").record.bucket == "abc"


def production(home: Path, more: str = KEPT, *, rehearsal: bool = True, sets: tuple[str, ...] = ()) -> Policy:
    return load(written(home, f"{BASE}{PRODUCTION}{more}"), "production", sets, rehearsal=rehearsal)


def test_a_rehearsals_record_lies_on_disk_its_anchors_too_and_nobody_is_asked_for_the_time(tmp_path: Path) -> None:
    rehearsed = production(tmp_path)

    assert rehearsed.record == Record()
    assert not rehearsed.retention.locked
    assert rehearsed.anchors == Anchors(required=True, lines="outbox", copies=Copies(folder=".deploy/anchors"))


def test_a_rehearsal_goes_to_the_bucket_where_policy_says_so(tmp_path: Path) -> None:
    text = KEPT.replace(
        "    retention", "    record: {store: gcs, bucket: example-record, rehearsed: gcs}\n    retention"
    )
    base = f"{BASE}{PRODUCTION}".replace("    record: {store: gcs, bucket: example-record}\n", "")
    rehearsed = load(written(tmp_path, f"{base}{text}"), "production", rehearsal=True)

    assert rehearsed.record.bucket == "example-record"
    assert rehearsed.retention.locked
    assert rehearsed.place(rehearsal=True) == "rehearsal/production"


def test_what_policy_does_not_name_a_rehearsal_does_not_add(tmp_path: Path) -> None:
    assert production(tmp_path, "").anchors == Anchors()
    assert production(tmp_path, "    anchors: {copies: null}\n").anchors == Anchors()


def test_the_real_policy_stays_as_it_is_written(tmp_path: Path) -> None:
    real = production(tmp_path, rehearsal=False)

    assert (real.record.bucket, real.retention.locked, real.place()) == ("example-record", True, "production")
    assert real.anchors.timestamp is not None


def test_a_file_signs_where_nothing_is_said(tmp_path: Path) -> None:
    assert (
        load(written(tmp_path), "local").record.signer,
        load(written(tmp_path), "local").record.key,
    ) == ("file", None)


def test_a_key_version_is_named_in_full_and_a_rehearsal_signs_with_a_file(tmp_path: Path) -> None:
    signed = PRODUCTION.replace("record: {", f"record: {{signer: kms, key: {KEY}, ")
    file = written(tmp_path, f"{BASE}{signed}")

    assert load(file, "production").record.key == KEY
    rehearsed = load(file, "production", rehearsal=True).record
    assert (rehearsed.signer, rehearsed.key) == ("file", None)


@pytest.mark.parametrize(
    "said, fault",
    [
        ("{signer: kms}", "needs to know which key signs"),
        (f"{{signer: file, key: {KEY}}}", "is named, and a file signs"),
        ("{signer: kms, key: projects/p/locations/l/keyRings/r/cryptoKeys/k}", "the key's version in full"),
        (
            "{signer: kms, key: projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/latest}",
            "the key's version",
        ),
        ("{signer: hsm}", "file"),
    ],
)
def test_what_names_no_key_or_two_is_refused(tmp_path: Path, said: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        load(written(tmp_path, f"{BASE}record: {said}\n"), "local")


# --- who administers what the record rests on

LISTED = (
    "    administrators: {database: {postgres: dana@example.org}, store: {'user:dana@example.org': dana@example.org}}\n"
)


def test_who_administers_is_listed_and_a_rehearsal_says_that_it_asks_nobody(tmp_path: Path) -> None:
    real, rehearsed = production(tmp_path, LISTED, rehearsal=False), production(tmp_path, LISTED)

    assert real.administrators == Administrators(
        store={"user:dana@example.org": "dana@example.org"}, database={"postgres": "dana@example.org"}
    )
    assert rehearsed.administrators is None
    replaced = "administrators.store.user:dana@example.org"
    assert rehearsed.substituted[replaced] == {"policy": "dana@example.org", "used": None}


def test_a_policy_that_lists_nobody_has_the_text_it_had_before_there_was_the_key(tmp_path: Path) -> None:
    without, listed = production(tmp_path, "", rehearsal=False), production(tmp_path, LISTED, rehearsal=False)

    assert "administrators" not in json.loads(without.canonical())
    assert "administrators" not in production(tmp_path, "", rehearsal=True).substituted
    assert json.loads(listed.canonical())["administrators"]["database"] == {"postgres": "dana@example.org"}


@pytest.mark.parametrize(
    "listed, key, problem",
    [
        ("{}", "administrators", "names no system"),
        (
            f"{{database: {{{', '.join(f'a{n}: dana@example.org' for n in range(26))}}}}}",
            "administrators.database",
            "26 accounts are listed, 25 at most",
        ),
        (
            "{store: {allUsers: dana@example.org}}",
            "administrators.store",
            "allUsers is everybody, for whom nobody answers",
        ),
        ("{key: {'domain:example.org': dana@example.org}}", "administrators.key", "domain:example.org is everybody"),
        ("{store: {a: dana@example.org}}", "administrators.store", "cannot be read back: the record lies on a disk"),
        ("{key: {}}", "administrators.key", "cannot be read back: the log's key is a file"),
        ("{github: {}}", "administrators.github", "cannot be read back: nothing says which repository"),
        ("{vault: {}}", "administrators.vault", "unknown key"),
        ("{database: {postgres: Dana@example.org}}", "administrators.database.postgres", "not what may stand here"),
        ("{database: {postgres: dana+pg@example.org}}", "administrators.database.postgres", "not what may stand here"),
    ],
)
def test_a_list_that_cannot_be_held_against_anything_is_refused(
    tmp_path: Path, listed: str, key: str, problem: str
) -> None:
    (fault,) = faults(tmp_path, f"{BASE}    administrators: {listed}\n")

    assert f"{key}: " in fault
    assert problem in fault


def test_a_person_is_written_as_the_roster_writes_one() -> None:
    assert SIGNER.pattern == EMAIL
