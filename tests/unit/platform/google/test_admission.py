"""What a call of a guarded service carries, and that the front end's own answers are told apart from the service's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.auth.credentials import AnonymousCredentials

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.clients import Service
from pytest_deploy.platform.google.admission import Front, IdTokens
from pytest_deploy.platform.google.sign_in import Identity
from tests.google_front_end import HEADER, FrontEnd, IamCredentials

WHO = "deployer@example.iam.gserviceaccount.com"
URL = "https://parcels-x.run.app"


def tokens(
    at: str, *, email: str = WHO, front: Callable[[], Front] = lambda: Front(URL, open=False), **more: object
) -> IdTokens:
    identity = Identity(AnonymousCredentials(), email)  # type: ignore[no-untyped-call]  # its gap
    return IdTokens(identity, front, at=at, **more)  # type: ignore[arg-type]  # the clock alone is given


def test_a_call_is_let_through_and_leaves_the_services_own_log_in_alone() -> None:
    front, iam = FrontEnd(URL), IamCredentials()
    with front.answering() as tag, iam.answering() as at:
        answer = Service(tag, admission=tokens(at)).call("GET", "/", token="a-session-of-the-service")

    assert answer.status == 200
    assert front.asked[0]["Authorization"] == "Bearer a-session-of-the-service"
    assert [said["aud"] for said in iam.minted] == [URL], "the service's, though a tag was called"


@pytest.mark.parametrize(
    "front, said",
    [
        (FrontEnd("https://candidate---parcels-x.run.app"), f"its audience must be the service's own URL ({URL}), not a tag's"),
        (FrontEnd(URL, may=frozenset()), f"{WHO} may not call the service: give it roles/run.invoker"),
        (FrontEnd(URL, ingress=False), "the service's ingress keeps calls from the internet out, or the tag is gone"),
    ],
    ids=["401 audience", "403 invoker", "404 ingress"],
)  # fmt: skip
def test_what_the_front_end_refuses_is_no_answer_of_the_service(front: FrontEnd, said: str) -> None:
    with front.answering() as tag, IamCredentials().answering() as at, pytest.raises(PlatformUnavailable) as caught:
        Service(tag, admission=tokens(at)).call("GET", "/health")

    assert f"GET {tag}/health: " in str(caught.value)
    assert said in str(caught.value)
    assert not front.asked


@pytest.mark.parametrize("status", [200, 401, 403, 404, 500])
def test_whatever_the_service_itself_answers_is_its_answer(status: int) -> None:
    with FrontEnd(URL, status=status).answering() as tag, IamCredentials().answering() as at:
        answer = Service(tag, admission=tokens(at)).call("GET", "/")

    assert answer.status == status
    assert answer.body == {"status": "ok"}


def test_a_token_serves_one_step_and_is_minted_anew_after_a_minute() -> None:
    now = [0.0]
    iam = IamCredentials()
    with iam.answering() as at:
        admission = tokens(at, clock=lambda: now[0])
        first = admission.headers()
        now[0] = 59
        assert admission.headers() == first
        now[0] = 61
        assert admission.headers() != first
    assert len(iam.minted) == 2


def test_a_service_that_is_open_to_everybody_is_asked_without_a_token() -> None:
    iam = IamCredentials()
    with iam.answering() as at:
        assert tokens(at, front=lambda: Front(URL, open=True)).headers() == {}
    assert not iam.minted


REFUSALS = [
    (403, "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource", f"give {WHO} roles/iam.serviceAccountOpenIdTokenCreator on itself"),
    (403, "IAM Service Account Credentials API has not been used in project 1 before or it is disabled.", "enable iamcredentials.googleapis.com"),
    (404, "Not found; Gaia id not found for email", f"there is no service account {WHO}"),
    (429, "Quota exceeded", "too many tokens in a minute"),
    (400, "Request contains an invalid argument.", "look at the audit log"),
]  # fmt: skip


@pytest.mark.parametrize("status, said, remedy", REFUSALS, ids=[f"{row[0]} {row[2][:30]}" for row in REFUSALS])
def test_a_token_that_is_refused_says_what_mends_it(status: int, said: str, remedy: str) -> None:
    iam = IamCredentials(refuse=(status, said))
    with iam.answering() as at, pytest.raises(PlatformUnavailable) as caught:
        tokens(at).headers()

    assert str(caught.value).startswith(f"minting an ID token for {URL}: {status} {said}; ")
    assert remedy in str(caught.value)


def test_a_sign_in_that_has_ended_is_told() -> None:
    """Google's client signs in anew at a 401, and here cannot."""
    iam = IamCredentials(refuse=(401, "Request had invalid authentication credentials."))
    with (
        iam.answering() as at,
        pytest.raises(PlatformUnavailable, match="the sign-in of this run has ended: sign in again"),
    ):
        tokens(at).headers()


def test_nobody_who_mints_is_told_as_such() -> None:
    with pytest.raises(PlatformUnavailable, match=r"IAM Credentials does not answer .*; run again when it does"):
        tokens("http://127.0.0.1:1").headers()


def test_a_person_is_told_to_act_as_the_service_account() -> None:
    with pytest.raises(PlatformUnavailable, match="--impersonate-service-account=EMAIL"):
        tokens("http://127.0.0.1:1", email="").headers()


@pytest.mark.parametrize(
    "front, said",
    [
        (Front(URL, open=False), ""),
        (Front(URL, open=False, ingress="INGRESS_TRAFFIC_INTERNAL_ONLY"), "inside the VPC; never open the ingress"),
        (Front(URL, open=False, ingress="INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"), "answered 404"),
        (Front("", open=False), "no run.app address (default_uri_disabled)"),
    ],
)
def test_a_service_that_cannot_be_called_from_outside_is_told_before(front: Front, said: str) -> None:
    assert said in front.fault
    assert bool(front.fault) == bool(said)


def test_the_header_is_not_the_one_that_the_service_reads() -> None:
    assert HEADER == "X-Serverless-Authorization"
