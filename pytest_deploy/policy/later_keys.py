"""Keys of a policy that came after the first: where one is not given, the policy has the digest that it had before there was the key."""

from __future__ import annotations

from typing import Final

LATER: Final = (
    *("administrators", "lease", "notify", "replaced_steps", "release", "requirements", "secrets", "secrets_from"),
    *("infrastructure", "database.trial", "database.seeds", "database.url_variable", "staging_smoke.soak_h"),
    *("platform.build_network", "platform.google.sql", "platform.google.loopback"),
    *("service.health_words", "health.of_last", "health.min_samples", "health.deadline_s", "health.max_body_bytes"),
)
"""Keys that policies of earlier versions lack, at the top or, dotted, in one of its sections."""
