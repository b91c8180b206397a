"""Every way we know to tamper with a record; what each verifier says of it stands in docs/tampering.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.stories import tampering_files as files
from tests.stories import tampering_log as log
from tests.stories.tampered import Tampered

UNSEEN: Mapping[str, Callable[[Tampered], None]] = {
    "the last event deleted, no anchor given": files.last_deleted,
    "the log rewritten with its own key, no anchor given": files.rewritten_unseen,
    "the whole record replaced by another one, keys included, no anchor given": files.replaced_whole,
    "`verify.sh` in the store replaced": files.script_altered,
    "a dot-file in the log": files.unfinished_write,
    "a file beside the record": files.file_beside,
    "a signed file that no event counts": files.approval_uncounted,
    "an empty folder in a sealed run": files.empty_folder,
    "a second name (hard link) for a file": files.hard_link,
    "times and rights of files changed": files.times_and_rights,
}
"""What both verifiers let pass, in the order of docs/tampering.md, which says why."""

KINDS: Mapping[str, Callable[[Tampered], None]] = {
    "an event edited": log.event_edited,
    "an event deleted": log.event_deleted,
    "the first event deleted": log.first_deleted,
    "an event deleted, the later ones renumbered": log.deleted_and_renumbered,
    "two events swapped": log.reordered,
    "an event renamed": log.renamed,
    "an event inserted": log.inserted,
    "an event appended, signed by a stranger": log.appended_by_a_stranger,
    "an event appended that enrols the stranger's key which signed it": log.going_on_with_a_strangers_key,
    "an event replaced by a forged one": log.forged_in_place,
    "an event emptied": log.emptied,
    "an event cut short": log.cut_short,
    "an event with a line more": log.lengthened,
    "line ends of another system (CRLF)": log.crlf,
    "a JSON key twice": log.key_twice,
    "the same JSON, written otherwise": log.rewritten_json,
    "an old signature spoilt": log.signature_flipped,
    "an event replaced by a link": log.event_linked,
    "an event replaced by a FIFO": log.event_a_fifo,
    "an event under a look-alike name": log.look_alike_name,
    "a foreign file in the log": log.foreign_file,
    "the log emptied": log.log_deleted,
    "the log replaced by a link": log.log_linked,
    "the tail cut off, an anchor held outside": log.truncated,
    "the log rewritten with its own key, an anchor held outside": log.rewritten_by_an_insider,
    "an event dated back, with the log's own key": log.backdated_by_an_insider,
    "an outcome changed afterwards, with the log's own key": log.closed_twice_by_an_insider,
    "an event of a type that does not exist, with the log's own key": log.unknown_type_by_an_insider,
    "another environment's log": log.another_environments_log,
    "another environment's whole record, an anchor held outside": log.another_environments_record,
    "a signer's key replaced in the trust set": log.signers_altered,
    "the log's key replaced in the trust set": log.key_replaced,
    "a file added to a trust set": log.file_added_to_a_set,
    "a trust set deleted": log.set_deleted,
    "all trust sets replaced by another environment's": log.trust_replaced,
    "a plain copy of a key altered": log.plain_copy_altered,
    "a report altered": files.report_altered,
    "a report swapped for another run's": files.report_swapped,
    "a report and SHA256SUMS swapped": files.report_and_list_swapped,
    "a report altered, and SHA256SUMS to match": files.list_mended,
    "SHA256SUMS deleted": files.list_deleted,
    "a file added to a sealed run": files.file_added,
    "a dot-file added to a sealed run": files.dot_file_added,
    "a file under a look-alike name added": files.look_alike_added,
    "a file with a line break in its name added": files.line_break_in_a_name,
    "a file of a sealed run deleted": files.file_deleted,
    "a file of a sealed run replaced by a link": files.file_linked,
    "a folder of a sealed run replaced by a link": files.folder_linked,
    "the folder of a run deleted": files.run_deleted,
    "the folder of a run renamed": files.run_renamed,
    "a folder for a run that never was": files.run_invented,
    "the request altered": files.request_altered,
    "an approval altered": files.approval_altered,
    "two approvals swapped": files.approvals_swapped,
    "a signature swapped for another person's": files.signature_swapped,
    "an approval deleted": files.approval_deleted,
    "an approval counted for another person, with the log's own key": files.approval_forged_by_an_insider,
    "an anchor of another log": files.anchor_of_another_log,
    "an anchor altered": files.anchor_altered,
    "an anchor deleted": files.anchor_deleted,
    "an anchor under another size": files.anchor_renamed,
    "the last event deleted, an anchor copied into the store": files.truncated_behind_an_anchor,
}
"""In the order of docs/tampering.md."""
