"""What the diary needs at Google Cloud, but for its revisions and its traffic, which each deployment makes and moves.

Unchanged in every environment: `Pulumi.<stack>.yaml` says what differs.
"""

from __future__ import annotations

from accounts import make_accounts
from alerts import make_alerts
from database import make_database
from registry import make_registry
from service import make_service
from settings import read_settings
from signing_key import make_signing_key
from storage import make_buckets

settings = read_settings()
accounts = make_accounts(settings)
make_registry(settings, accounts)
make_signing_key(settings, accounts)
buckets = make_buckets(settings, accounts)
database = make_database(settings, accounts, buckets)
service = make_service(settings, accounts)
make_alerts(settings, service, database)
