"""What stories put into a checkout before they deploy it."""

from __future__ import annotations

MOODS = """\
-- deploy:compatible expand
-- migrate:up
create view diary.mood as select 1 as mood;

-- migrate:down
drop view diary.mood;
"""


HOOK_THAT_RAISES = '''

def pytest_deploy_phase_finished(phase):
    """Raises once the revision exists."""
    if phase == "deploy":
        raise RuntimeError("the hook's own fault")
'''


ASKED = """
  guarded:
    extends: local
    phases: {leave_out: []}
    approval: {roles: [QA Lead], expires_h: 24}
"""
"""An environment of deploy.yaml that asks for approval, on the embedded platform."""


PARCEL = """-- deploy:compatible expand
-- deploy:lossy parcels go with their table
-- migrate:up
create table diary.parcel (id bigint generated always as identity primary key, note text);

-- migrate:down
drop table diary.parcel;
"""
