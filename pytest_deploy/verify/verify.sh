#!/usr/bin/env bash
# A second opinion on a store of deployment records, from its files alone and with stock tools alone: bash, coreutils,
# findutils, awk, sed, openssl, ssh-keygen. Written from the description of the format, not from the software that
# wrote the store, so that neither inherits the other's mistakes.
#
#   verify.sh [STORE] [--anchor "tlog ORIGIN SIZE ROOT"]... [--trust-root SHA256] [--signatures all]
#
# STORE is the folder that holds log/, runs/ and trust/; without it, the folder this script lies in. It prints the number
# of events and the root of the log and exits 0, or names the first bad file and exits 1. It writes nothing into the store.
#
# What it cannot know: whether trust/ is genuine. A log that brings its own keys proves nothing; get trust/ by another way
# and compare it. Of who may sign it is enough to know the SHA-256 of the first roster that administrators signed.
# Nor does a log know that its tail was cut off: give an anchor that you were sent at the time.
set -eEu -o pipefail && shopt -s nullglob
export LC_ALL=C TZ=UTC
trap 'echo "NOT VERIFIED: a check could not be carried out (line $LINENO)"; exit 1' ERR

bad() { printf 'NOT VERIFIED: %q: %s\n' "$1" "$2"; exit 1; } # FILE REASON; %q: no name can steer a terminal
bad_first() { if IFS=$'\t' read -r name reason <"$work/first"; then bad "$name" "$reason"; fi; } # what a check left there, if anything
store='' signatures=newest given=() trust_root=''
while (($#)); do
  case $1 in
    --anchor) [[ ${2-} ]] || bad --anchor 'wants "tlog ORIGIN SIZE ROOT"'; given+=("$2"); shift 2 ;; # each is held against the log
    --trust-root) trust_root=${2-} trust_root=${trust_root,,} && [[ $trust_root =~ ^[0-9a-f]{64}$ ]] || bad --trust-root 'wants the SHA-256 of a roster.json, 64 hex digits'; shift 2 ;;
    --signatures) signatures=${2-} && [[ $signatures == @(all|newest) ]] || bad --signatures 'wants all or newest'; shift 2 ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    -*) bad "$1" 'is not an option of verify.sh (--anchor, --trust-root, --signatures)' ;;
    *) [[ ! $store ]] || bad "$1" 'is a second store; one at a time'; store=$1; shift ;;
  esac
done
[[ $store ]] || store=$(dirname -- "${BASH_SOURCE[0]}")
[[ -d $store/log ]] || bad "$store/log" 'is not a folder: this is no store'
CDPATH='' cd -- "$store"
work=$(mktemp -d) memory=''
(($(df --output=avail /dev/shm 2>/dev/null | sed 1d || true) + 0 < 1048576)) || memory=$(mktemp -d -p /dev/shm 2>/dev/null || true)
pieces=${memory:-$work}/pieces # thousands of small files: in memory where it has 1 GiB to spare
trap 'rm -rf -- "$work" "$memory"' EXIT

# --- the canonical JSON of the record, and base64 of a digest, for the awk programs below -----------------------------
# canonical(line) gives "" or what is wrong with it, and fills v[".data.outcome"] = "\"deployed\"" (strings keep their quotes).
json='
function text(   t, rest) {
  rest = substr(s, p)
  if (!match(rest, /^"([^"\\]|\\(["\\bfnrt]|u[0-9a-f][0-9a-f][0-9a-f][0-9a-f]))*"/)) { fault = "a string is malformed"; return "" }
  t = substr(rest, 1, RLENGTH); p += RLENGTH
  rest = t; gsub(/\\\\/, "", rest)
  if (rest ~ /\\u00([2-6][0-9a-f]|7[0-9a-e]|0[89acd])/) fault = "a character is escaped that need not be"
  return t
}
function plain(key) { gsub(/[.]/, "\001", key); return key } # a dot of its own is no step of a path
function value(path,   t, c, n, key, last, from, start) {
  if (fault != "") return
  t = substr(s, p, 1); from = p
  if ((t == "{" || t == "[") && ++depth > 64) { fault = "objects and lists lie more than 64 deep in one another"; return }
  if (t == "\"") v[path] = text()
  else if (t == "{" || t == "[") {
    v[path] = t
    if (substr(s, ++p, 1) == (t == "{" ? "}" : "]")) { p++; depth--; if (keep) raw[path] = substr(s, from, p - from); return }
    do {
      if (t == "{") {
        key = text(); key = substr(key, 2, length(key) - 2)
        if (n++ && !index(last key, "\\") && !((last "") < (key ""))) fault = "its keys are not sorted, or one stands twice"
        if (substr(s, p++, 1) != ":") fault = "it is not JSON without spaces"
        last = key
      }
      start = p; value(path (t == "{" ? "." plain(key) : "[]"))
      if (keep && path == "" && t == "{") top[key] = substr(s, start, p - start) # what no path deeper down can be taken for
      c = substr(s, p++, 1)
    } while (fault == "" && c == ",")
    if (fault == "" && c != (t == "{" ? "}" : "]")) fault = "it is not JSON without spaces"
    depth--
  } else if (match(substr(s, p, 40), /^(-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[-+][0-9]+)?|true|false|null)/)) {
    v[path] = substr(s, p, RLENGTH); p += RLENGTH
  } else fault = "it is not JSON without spaces"
  if (keep) raw[path] = substr(s, from, p - from) # the whole value as it is written, where a check asks for it
}
function canonical(line) {
  s = line; p = 1; depth = 0; fault = ""; split("", v); split("", top)
  if (line ~ /[^ -~]/) return "it is not printable ASCII"
  value("")
  if (fault == "" && p != length(s) + 1) fault = "something follows the JSON"
  return fault
}
function got(path,   t) { t = v[path]; if (t ~ /^"/) t = substr(t, 2, length(t) - 2); return t == "" || t == "null" ? "-" : t }
'
people='
function members(list, into) { split("", into); return list == "" || list == "[]" ? 0 : split(substr(list, 3, length(list) - 4), into, "\",\"") }
function acts_as(email, actor,   person, user, number, own, n) { # whether a person of the roster that was read last is behind what an event says of who did something
  person = "." plain(email); user = number = actor
  sub(/^local:[^:]*:/, "", user); sub(/@[^@]*$/, "", user); sub(/^github:/, "", number); sub(/:.*/, "", number)
  for (n = members(raw[person ".emails"], own); n > 0; n--) if (tolower(own[n]) == tolower(actor)) return 1
  return tolower(actor) == email || (actor ~ /^github:/ && v[person ".github"] != "null" && number == got(person ".github")) || (actor ~ /^local:[^:]*:/ && v[person ".local"] ~ /^"/ && user == got(person ".local"))
}'
instants='
function ms(t,   y, m, d) { # of a time, in its quotes, since some day long ago; less than 0 for what is no time
  if (t !~ /^"[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9][0-9][0-9]Z"$/) return -1
  t = substr(t, 2, length(t) - 2); y = substr(t, 1, 4) + 0; m = substr(t, 6, 2) + 0; d = substr(t, 9, 2) + 0
  if (y < 1 || m < 1 || m > 12 || d < 1 || d > substr("312831303130313130313031", 2 * m - 1, 2) + (m == 2 && y % 4 == 0 && (y % 100 || y % 400 == 0))) return -1
  if (m < 3) { y--; m += 12 }
  d += 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * (m - 3) + 2) / 5)
  return (((d * 24 + substr(t, 12, 2)) * 60 + substr(t, 15, 2)) * 60 + substr(t, 18, 2)) * 1000 + substr(t, 21, 3)
}'
base64='
BEGIN {
  c = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  for (i = 0; i < 64; i++) for (j = 0; j < 64; j++) b64[sprintf("%03x", i * 64 + j)] = substr(c, i + 1, 1) substr(c, j + 1, 1)
}
function base64(hex,   i, t) {
  for (i = 1; i < 64; i += 3) t = t b64[substr(hex, i, 3)]
  return t substr(b64[substr(hex, 64) "00"], 1, 1) "="
}'

# --- hashing by the thousand: one sha256sum for many messages, each cut into a file of its own ------------------------
digests() { # the messages on stdin, cut as split's options say; digests in the same order on stdout
  rm -rf "$pieces" && mkdir "$pieces"
  (cd "$pieces" && split -a 5 -d "$@" - p && find . -type f | sort | xargs -r sha256sum | cut -c1-64)
}
by_thousands() { # FILE COMMAND: COMMAND for each 4,096 lines of FILE, on its stdin and by name
  rm -rf "$work/chunks" && mkdir "$work/chunks"
  split -l 4096 -a 5 -d "$1" "$work/chunks/c"
  local chunk
  for chunk in "$work/chunks/"*; do "$2" "$chunk" <"$chunk"; done
}
hash_line() { digests -l 1; }                                     # SHA-256(line 1): what `prev` says
hash_leaf() { sed 's/^/\x00/' | digests -l 1; }                   # SHA-256(0x00 || line 1)
hash_node() { tr a-f A-F | basenc -d --base16 | digests -b 65; }  # SHA-256(0x01 || left || right), from hex
# A finding about the log lowers `limit`; later checks look only below it, so that the lowest bad event is named.
lower() { local n why; if IFS=$'\t' read -r n why <"$work/first"; then limit=$((10#$n)) reason=$why; fi; }
below() { head -n "$limit" "$work/$1"; }
event() { printf 'log/%08d.event' "$((10#$1))"; }

# --- 1 names and positions --------------------------------------------------------------------------------------------
# Files in folders of the record's own: a link leads elsewhere, a FIFO never ends, a line break in a name deceives a list, and
# a sparse file of terabytes takes no room. Nothing is read before all of it was looked at.
deep=$(printf '/*%.0s' {1..17})
for folder in log trust runs preimages signoffs anchors; do
  [[ ! -L $folder && (-d $folder || ! -e $folder) ]] || bad "$folder/" 'is no folder of its own (a link, or a file)'
  [[ -d $folder ]] || continue
  [[ -r $folder && -x $folder ]] || bad "$folder/" 'cannot be listed'
  case $folder in log) most=128k ;; runs) most=64M ;; *) most=1M ;; esac
  find "$folder" -mindepth 1 -maxdepth 17 -path 'log/.*' -prune -o \( -name '*[[:cntrl:]\\]*' -printf '%p\thas a control character or a backslash in its name\0' -prune -o \
    ! -type f ! -type d -printf '%p\tis not a regular file\0' -o \( ! -readable -o -type d ! -executable \) -printf '%p\tcannot be read\0' -prune -o \
    -type d -path "$folder$deep" -printf '%p\tlies more than 16 folders deep\0' -o -type f -size "+$most" -printf "%p\thas more than ${most}iB\0" \) |
    sort -z | tr '\0\n' '\n?' >"$work/first"
  bad_first
done
# A name that starts with a dot is a write that never came about.
find log -mindepth 1 -maxdepth 1 ! -name '.*' -printf '%f\t%y\t%s\n' | sort >"$work/names"
awk -F '\t' '
  { want = sprintf("%08d.event", NR - 1) }
  $1 == want && $2 == "f" { next }
  $1 ~ /^[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]\.event$/ { print "log/" want "\tis missing"; exit }
  { print "log/" $1 "\tdoes not belong in the log"; exit }' "$work/names" >"$work/first"
bad_first
total=$(wc -l <"$work/names")
((total > 0)) || bad log/00000000.event 'is missing: the log is empty'
limit=$total reason=''

# --- 5a the form of each proof: c2sp.org/tlog-proof@v1, to the byte ---------------------------------------------------
# proofs: name, bytes counted, origin, root, path, signature, fault
cut -f1 "$work/names" | (cd log && xargs awk '
  function flush() { if (name != "") print name, bytes, origin, root, (path == "" ? "-" : path), signature, (fault == "" ? "-" : fault) }
  function wrong(what) { if (fault == "") fault = what }
  BEGIN { OFS = "\t" }
  FNR == 1 {
    flush(); name = FILENAME; n = substr(name, 1, 8) + 0; bits = 0; origin = root = path = signature = fault = ""
    for (m = n; m > 0; m = int(m / 2)) bits += m % 2
    if (length($0) >= 65535) wrong("line 1 has more than 65,535 bytes")
    bytes = length($0) + 1; next
  }
  { bytes += length($0) + 1; if (/\t/) wrong("line " FNR " holds a tab") }
  FNR == 2 { if ($0 != "c2sp.org/tlog-proof@v1") wrong("line 2 is not c2sp.org/tlog-proof@v1"); next }
  FNR == 3 { if ($0 != "index " n) wrong("line 3 does not say index " n); next }
  FNR < 4 + bits { path = path (path == "" ? "" : ",") $0; next }
  FNR == 5 + bits { origin = $0; next } FNR == 7 + bits { root = $0; next }
  FNR == 6 + bits { if ($0 != (n + 1) "") wrong("its checkpoint is not of size " n + 1); next }
  FNR == 9 + bits {
    signature = substr($0, length(origin) + 6)
    if (length(signature) == 92 && $0 == "\342\200\224 " origin " " signature && signature ~ /^[A-Za-z0-9+\/]*[AEIMQUYcgkosw048]=$/) next
  }
  FNR == 9 + bits { wrong("its checkpoint has no well-formed signature by " origin); next }
  $0 != "" || FNR > 9 + bits { wrong("line " FNR " does not belong in its proof") }
  END { flush() }') >"$work/proofs"
awk -F '\t' '
  NR == FNR { bytes[$1] = $2; origin[$1] = $3; signature[$1] = $6; fault[$1] = $7; next }
  !($1 in bytes) { why = "it is empty" }
  why == "" && fault[$1] != "-" { why = fault[$1] }
  why == "" && (signature[$1] == "" || bytes[$1] != $3) { why = "it ends too early, or has bytes that are no text" }
  why == "" && origin[$1] != origin["00000000.event"] { why = "it is of another log: " origin[$1] }
  why != "" { print substr($1, 1, 8) "\t" why; exit }' "$work/proofs" "$work/names" >"$work/first"
lower

# --- 2 canonical JSON, 4 time -----------------------------------------------------------------------------------------
# facts: 1 seq, 2 time, 3 type, 4 run, 5 prev, 6 fault; of data: 7 outcome, 8 record_sha256, 9 found_sha256, 10 request_sha256,
#        11 set, 12 set_sha256, 13 file, 14 sha256, 15 signature_sha256, 16 signer, 17 role, 18 meaning, 19 size, 20 root, 21 restart,
#        22 reply_sha256, 23 user_verification, 24 signed_at, 25 nodeid, 26 phase, 27 changes, 28 pipeline
below names | cut -f1 | (cd log && xargs -r head -q -n 1) >"$work/lines"
awk "$json"'
  BEGIN {
    split("actor data id prev run seq time type v", field, " ")
    wanted = split("outcome record_sha256 found_sha256 request_sha256 set set_sha256 file sha256 signature_sha256 signer role meaning size root restart reply_sha256 user_verification signed_at nodeid phase changes pipeline", want, " ")
    form["time"] = "####-##-##T##:##:##.###Z"; form["run"] = "(-|[A-Za-z0-9][-A-Za-z0-9_]*-########T######Z-@@@@)"
    form["id"] = "@@@@@@@@@@@@@@@@"; form["prev"] = form["id"] form["id"] form["id"] form["id"]; form["type"] = "[-a-z.]+"
    for (name in form) { gsub(/#/, "[0-9]", form[name]); gsub(/@/, "[0-9a-f]", form[name]); form[name] = "^\"" form[name] "\"$" }
  }
  { keep = /"type":"step\.finished"/; if (keep) split("", raw); why = canonical($0); n = NR - 1; keys = 0; time = got(".time"); type = got(".type"); restart = got(".data.restart") }
  why == "" {
    for (path in v) if (path ~ /^\.[^.\[]*$/) keys++
    for (i = 1; i <= 9; i++) if (!(("." field[i]) in v)) why = "it lacks the field " field[i]
    if (keys != 9 || v[".v"] != "2") why = "it has not exactly the nine fields of an event, v 2"
    for (name in form) if (v["." name] !~ form[name]) why = "its " name " is out of form"
    if (v[".seq"] != n "") why = "its seq is " v[".seq"]
    if (v[".data"] !~ /^\{/) why = "its data is no object"
  }
  why == "" && type ~ /^gate\.(passed|refused|not-applicable)$/ && !index(" passed:passed refused:refused refused:still-needed not-applicable:not-applicable ", " " substr(type, 6) ":" got(".data.verdict") " ") {
    why = "its verdict is another than its type says: " got(".data.verdict")
  }
  why == "" && keep && raw[".data.verifies"] != "[]" {
    if (got(".data.outcome") != "passed") why = "it credits assertions, and the step did not pass"
    credits = split(substr(raw[".data.verifies"], 2, length(raw[".data.verifies"]) - 2), credit, ",")
    for (i = 1; i <= credits; i++) if (!index(raw[".data.claims"], credit[i])) why = "it credits an assertion that the step does not claim"
  }
  why == "" && n > 0 && (time "") < (earliest "") { why = "its time is before that of the event before it" }
  {
    earliest = type == "clock.skewed" && restart != "-" ? restart : time
    printf "%s", n "\t" time "\t" type "\t" got(".run") "\t" got(".prev") "\t" (why == "" ? "-" : why)
    for (i = 1; i <= wanted; i++) printf "%s", "\t" got(".data." want[i])
    print ""; if (why != "") exit
  }' "$work/lines" >"$work/facts"
awk -F '\t' '$6 != "-" { print $1 "\t" $6; exit }' "$work/facts" >"$work/first"
lower

# --- 3 the chain ------------------------------------------------------------------------------------------------------
below lines >"$work/sound"
by_thousands "$work/sound" hash_line >"$work/digests"
below facts | paste - "$work/digests" | awk -F '\t' '
  BEGIN { before = sprintf("%064d", 0) }
  $5 != before && !n++ { print $1 "\tits prev is not the SHA-256 of line 1 of the event before it" }
  { before = $NF }' >"$work/first"
lower

# --- 5b inclusion paths and roots (RFC 6962) --------------------------------------------------------------------------
# level-K holds the hash of every perfect subtree of 2^K leaves. The inclusion path of leaf N in the tree of N+1 is the
# frontier of the tree of N: its perfect subtrees, smallest first. The root folds those of N+1, smallest first.
below lines >"$work/sound"
by_thousands "$work/sound" hash_leaf >"$work/level-0"
levels=("$work/level-0")
while (($(wc -l <"${levels[-1]}") > 1)); do
  awk 'NR % 2 { left = $0; next } { print "01" left $0 }' "${levels[-1]}" >"$work/messages"
  by_thousands "$work/messages" hash_node >"$work/level-${#levels[@]}"
  levels+=("$work/level-${#levels[@]}")
done
awk "$base64"'
  FNR == 1 { level = files++ } { h[level, FNR - 1] = $0; if (level == 0) size = FNR }
  END {
    for (n = 0; n < size; n++) {
      path = fold = ""
      for (k = 0; 2 ^ k <= n; k++) { m = int(n / 2 ^ k); if (m % 2) path = path (path == "" ? "" : ",") base64(h[k, m - 1]) }
      for (k = 0; 2 ^ k <= n + 1; k++) { m = int((n + 1) / 2 ^ k); if (m % 2) fold = fold " " h[k, m - 1] }
      printf "%s\t%08d%s\n", (path == "" ? "-" : path), n, fold
    }
  }' "${levels[@]}" >"$work/frontiers"
cut -f2 "$work/frontiers" >"$work/folds" && : >"$work/roots"
while [[ -s $work/folds ]]; do
  awk -v roots="$work/roots" -v rest="$work/rest" '
    BEGIN { printf "" >rest } NF == 2 { print >>roots; next }
    { print "01" $3 $2; line = $1; for (i = 4; i <= NF; i++) line = line " " $i; print line >rest }' "$work/folds" >"$work/messages"
  by_thousands "$work/messages" hash_node >"$work/hashed"
  paste -d ' ' "$work/rest" "$work/hashed" | awk '{ line = $1 " " $NF; for (i = 2; i < NF; i++) line = line " " $i; print line }' >"$work/folds"
done
sort "$work/roots" | awk "$base64"' { print base64($2) }' >"$work/roots64"
below proofs | paste - "$work/frontiers" "$work/roots64" | awk -F '\t' '
  $5 != $8 && !n++ { print substr($1, 1, 8) "\tits inclusion path does not follow from the events before it" }
  $4 != $10 && !n++ { print substr($1, 1, 8) "\tthe root of its checkpoint does not follow from the events" }' >"$work/first"
lower

# --- 7 what may follow what, as far as the format says it in words ----------------------------------------------------
# runs: closed, abandoned, open, requested or known; run; digest
types=' request.made request.voided lease.taken lease.renewed lease.released run.opened run.planned run.decided run.closed run.abandoned phase.started phase.finished
 step.started step.finished step.not-run gate.passed gate.refused gate.not-applicable approval.signed approval.refused request.rejected override.signed migration.applied migration.rolled-back backup.created
 revision.deployed traffic.moved rollback.started rollback.finished environment.frozen environment.released alert.raised clock.skewed notification.sent
 notification.failed anchor.made record.amended record.annotated record.read signoff.signed deviation.accepted trail.reviewed key.enrolled key.revoked key.rotated '
after='^(lease[.](renewed|released)|approval[.]refused|anchor[.]made|notification[.].*|record[.].*|signoff[.]signed|deviation[.]accepted|backup[.]created|environment[.].*|alert[.]raised|clock[.]skewed)$'
below facts >"$work/sound"
awk -F '\t' -v types="${types//$'\n'/}" -v after="$after" -v first="$work/first" '
  function wrong(what) { print $1 "\t" what >first; failed = 1; exit }
  # Of a run: the steps and phases that it had, and those that are open, each name between two SUBSEP.
  function without(list, name,   at) { at = index(list, name); return at ? substr(list, 1, at - 1) substr(list, at + length(name)) : list }
  BEGIN {
    OFS = "\t"; printf "" >first
    ends_as["deploy"] = " deployed refused failed rolled-back rollback-failed "; ends_as["rollback"] = " refused failed rolled-back rollback-failed "
    ends_as["smoke"] = ends_as["iq"] = ends_as["oq"] = ends_as["pq"] = " passed not-passed refused failed "; ends_as["plan"] = " passed still-needed not-passed refused failed "
  }
  !index(types, " " $3 " ") { wrong("its type is unknown: " $3) }
  $1 == 0 && $3 != "key.enrolled" { wrong("event 0 is not key.enrolled") }
  $3 ~ /^key\./ && ($4 != "-" || $11 == "-" || $12 == "-") { wrong("a key event names a trust set and no run") }
  $3 == "trail.reviewed" && $4 != "-" { wrong("a review of the trail names no run") }
  $4 == "-" && $3 !~ /^(key\..*|trail\.reviewed|environment\..*|clock\.skewed|alert\.raised|anchor\.made)$/ { wrong("a " $3 " has to name its run") }
  $4 == "-" { next }
  { known[$4] }
  ended[$4] && $3 !~ after { wrong("a " $3 " after the end of its run") }
  $3 == "request.made" && ($4 in asked) { wrong("its run has a request") }
  $3 == "request.made" { asked[$4] = $10 }
  $4 in voided && $3 ~ /^(request[.](voided|rejected)|(approval|override)[.]signed|lease[.]taken|run[.]opened)$/ { wrong("its request was voided") }
  $3 == "request.voided" { if (!($4 in asked) || opened[$4]) wrong("there is no request that waits"); voided[$4] }
  $3 ~ /^(approval[.]signed|request[.]rejected|override[.]signed)$/ && (($4 in asked) ? asked[$4] : "-") != $10 { wrong("it is about another request than was made") }
  $3 == "request.rejected" && !(($4, $16) in rejects) { rejects[$4, $16] = ""; rejected[$4]++ }
  $3 == "request.rejected" && rejects[$4, $16] "" < $24 "" { rejects[$4, $16] = $24 "" }
  $3 == "approval.signed" && ($4, $16) in rejects && rejects[$4, $16] "" < $24 "" { delete rejects[$4, $16]; rejected[$4]-- } # "-", where no time is said, is before each
  $3 == "run.opened" && rejected[$4] { wrong("it opens on a request that is rejected") }
  $3 ~ /^((phase|step|migration|rollback)[.].*|revision[.]deployed|traffic[.]moved)$/ && (!(planned[$4]) || ($4 in decided)) { wrong("a " $3 " before its run was planned, or after it was decided") }
  { step = SUBSEP $25 SUBSEP; phase = SUBSEP $26 SUBSEP }
  $3 == "phase.started" {
    if (in_phase[$4] != "" || index(phases[$4], phase)) wrong("a phase is open, or it was had before")
    if (($26 == "rollback") != rolling[$4] + 0) wrong("the phase rollback, and no other, stands in a rollback")
    in_phase[$4] = phase; phases[$4] = phases[$4] phase; ends[$4] = " "
  }
  $3 == "phase.finished" {
    if (in_phase[$4] != phase && ($7 != "not-run" || index(phases[$4], phase))) wrong("its phase is not open")
    if (in_steps[$4] != "") wrong("a step is open")
    if (in_phase[$4] != phase) { phases[$4] = phases[$4] phase; next }
    in_phase[$4] = ""
  }
  $3 ~ /^step[.](started|finished)$/ && in_phase[$4] != phase { wrong("the phase of its step is not open") }
  $3 ~ /^step[.](started|not-run)$/ { if (index(steps[$4], step)) wrong("its step was had before"); steps[$4] = steps[$4] step }
  $3 == "step.started" { in_steps[$4] = in_steps[$4] step }
  $3 == "step.started" && $27 == "true" {
    if (rejected[$4] && !announced[$4] && $26 != "rollback") wrong("it changes something first while its request is rejected")
    changing[$4] = changing[$4] step; announced[$4] = 1
  }
  $3 == "step.finished" { if (!index(in_steps[$4], step)) wrong("its step is not open"); in_steps[$4] = without(in_steps[$4], step); changing[$4] = without(changing[$4], step) }
  $3 ~ /^(migration[.](applied|rolled-back)|revision[.]deployed|traffic[.]moved)$/ { if (!rolling[$4] && changing[$4] == "") wrong("no step that changes anything is open, and no rollback"); changed[$4] = 1 }
  $3 == "rollback.started" { if (rolling[$4]) wrong("a rollback is open"); rolling[$4] = 1 }
  $3 == "rollback.finished" { if (!rolling[$4] || in_phase[$4] != "" || in_steps[$4] != "") wrong("no rollback is open, or a phase or a step of it is"); rolling[$4] = 0; undone[$4] = $7 }
  $3 == "step.finished" { ends[$4] = ends[$4] $7 " "; if ($7 == "still-needed") waits[$4]; if ($7 ~ /^(failed|error)$/) failed_in[$4] }
  $3 == "phase.finished" {
    of = ends[$4] == "" ? " " : ends[$4]; ends[$4] = " "
    if (($7 == "passed" && (!index(of, " passed ") || of !~ /^ ((passed|not-applicable) )*$/)) ||
        ($7 == "still-needed" && (!index(of, " still-needed ") || of !~ /^ ((passed|still-needed|not-applicable) )*$/)) ||
        ($7 == "not-applicable" && of !~ /^ (not-applicable )+$/) || ($7 == "not-run" && of != " ")) wrong("a phase is " $7 ", and its steps ended otherwise")
  }
  $3 == "run.decided" {
    if (!opened[$4] || $4 in decided) wrong("its run is not open")
    if (rolling[$4] || in_phase[$4] != "" || in_steps[$4] != "") wrong("a phase, a step or a rollback is open")
    if (!index(ends_as[pipeline[$4]], " " $7 " ")) wrong("a run of " pipeline[$4] " does not end as " $7)
    if ($7 ~ /^(failed|refused)$/ && changed[$4]) wrong("its outcome is " $7 ", and something was changed")
    if (($7 == "deployed" && undone[$4] != "") || ($7 == "rolled-back" && undone[$4] != "rolled-back")) wrong("its outcome is " $7 ", and its rollback ended otherwise")
    decided[$4] = $7
  }
  $3 == "run.decided" && $7 ~ /^(deployed|passed)$/ && ($4 in waits || $4 in failed_in) { wrong("its outcome is " $7 ", and its steps ended otherwise") }
  $3 == "run.decided" && $7 == "still-needed" && (!($4 in waits) || $4 in failed_in) { wrong("its outcome is " $7 ", and its steps ended otherwise") }
  $3 == "run.opened" && opened[$4]++ { wrong("its run was opened before") }
  $3 == "run.opened" { pipeline[$4] = $28 }
  $3 == "run.planned" { if (!opened[$4] || planned[$4]++ || $4 in decided) wrong("its run is not open, or was planned before") }
  $3 == "run.abandoned" && (announced[$4] || rolling[$4] || $4 in decided) { wrong("its run is decided, or something was to be changed: it is rolled back instead") }
  $3 == "run.opened" && (($4 in asked) ? asked[$4] : "-") != $10 { wrong("it opens on another request than was made") }
  $3 == "run.closed" && decided[$4] != $7 { wrong("its outcome is " $7 ", but \"" decided[$4] "\" was decided") }
  $3 == "run.closed" && $7 !~ /^(deployed|refused|failed|rolled-back|rollback-failed|passed|still-needed|not-passed)$/ { wrong("its outcome is unknown: " $7) }
  $3 ~ /^run\.(closed|abandoned)$/ { if (!opened[$4]) wrong("its run was not opened"); ended[$4] = substr($3, 5); digest[$4] = $3 == "run.closed" ? $8 : $9 }
  $3 ~ /^run\.(closed|abandoned)$/ { delete phases[$4]; delete steps[$4]; delete in_steps[$4]; delete changing[$4]; delete in_phase[$4]; delete ends[$4] } # a log holds a hundred thousand
  END {
    if (!failed) for (run in asked) print "requested", run, asked[run]
    if (!failed) for (run in known) if (!opened[run]) print "known", run, "-"; else if (ended[run]) print ended[run], run, digest[run]; else print "open", run, "-"
  }' "$work/sound" | sort >"$work/runs"
lower

# --- 6 trust sets and checkpoint signatures ---------------------------------------------------------------------------
# sets: first position it signs, the set. A rotation is signed by the old key; every other change is in force at once.
origin=$(head -n 1 "$work/proofs" | cut -f3)
set_fault() { # SET SHA256: what is wrong with a trust set; its SHA-256 is that of the list of its files
  local vkey name id key
  [[ $1 == "trust/${2:0:16}" && -d $1 && -z $(find "$1" -mindepth 1 ! -name '.*' -type d) && $(find "$1" -type f | wc -l) -le 64 ]] &&
    [[ $(cd "$1" && find . -type f ! -name '.*' -printf '%P\n' | sort | xargs -r -d '\n' sha256sum | sha256sum) == "$2  -" ]] || { echo "its trust set $1 is not the one it names: a file was changed, added or removed"; return; }
  { read -r vkey <"$1/log.vkey" && name=${vkey%%+*} key=${vkey#*+*+} && id=${vkey#*+} id=${id%%+*} && base64 -d <<<"$key" >"$work/key" && openssl pkey -pubin -in "$1/log.pem" -outform DER >"$work/der"; } 2>/dev/null &&
    { printf '\001' && tail -c 32 "$work/der"; } | cmp -s - "$work/key" || { echo "$1/log.pem is not the key in log.vkey"; return; }
  [[ $name == "$origin" && $({ printf '%s\n' "$name" && cat "$work/key"; } | sha256sum | cut -c1-8) == "$id" ]] || echo "$1/log.vkey is not a key of $origin"
}
# A set is signed where it holds roster.json: by administrators of the signed set before it, the first (the trust root) by its own.
namespace_of() { { grep -o 'namespaces="[^",*?!]*"' "$1" || true; } | sort -u | cut -d '"' -f 2; }
signatures_of() { (cd "$1" && for part in roster-*.sig pledge-*.sig; do sha256sum "$part"; done); }
address=$'^[a-z0-9$%&\'/=^_`{|}~.-]+@[a-z0-9]([a-z0-9.-]*[a-z0-9])?$'
pledge='what is signed with this key is signed by me, and binds me as my handwritten signature does'
roster_fault() { # SET JUDGE TYPE TIME: what is wrong with a signed set; JUDGE is the set before it, nothing for the trust root
  local set=$1 judge=$2 root='' by='the one before it' signers=() all=() file part person concerned whose namespace quorum key name
  : >"$work/put_in_here" # whose place in the roster these administrators sign
  [[ $judge ]] || root=1 judge=$set by='its own'
  for file in roster.json roles.json allowed_signers; do
    [[ -f $set/$file ]] || { echo "its trust set is signed, and has no $file"; return; }
    [[ $file == allowed_signers || $(wc -l <"$set/$file") == 1 && $(sed -n '$=' "$set/$file") == 1 ]] || { echo "its $file is not canonical JSON"; return; }
  done
  if [[ ! $root ]] && cmp -s "$set/roster.json" "$judge/roster.json"; then
    cmp -s "$set/allowed_signers" "$judge/allowed_signers" && cmp -s "$set/roles.json" "$judge/roles.json" && [[ $(signatures_of "$set") == "$(signatures_of "$judge")" ]] ||
      echo "its roster.json is the one before it, and its allowed_signers, roles.json or signatures are not"
    return
  fi
  [[ $3 != key.rotated ]] || { echo 'key.rotated changes no roster'; return; }
  # administrators: of those who may sign, each with 1 where the change is about them; before them the quorum
  { cat "$judge/roster.json" "$judge/roles.json" "$set/roster.json" "$set/roles.json"; awk '{ print "< " $0 }' "$judge/allowed_signers"; awk '{ print "> " $0 }' "$set/allowed_signers"; } |
    address=$address awk -v keep=1 -v root="$root" -v origin="\"$origin\"" -v time="\"$4\"" -v before="$(sha256sum <"$judge/roster.json" | cut -c1-64)" \
      -v signers="$(sha256sum <"$set/allowed_signers" | cut -c1-64)" -v roles="$(sha256sum <"$set/roles.json" | cut -c1-64)" -v out="$work/administrators" -v concerned="$work/concerned" -v new_keys="$work/new_keys" -v now="$(tr -d :TZ- <<<"${4%.*}")" -v asking="$work/roles_asked" "$json$instants"'
    function wrong(what) { print what; failed = 1; exit }
    function holds(entry, role,   list) {
      split("", raw); canonical(entry); list = raw[".roles"]
      while (match(list, /"([^"\\]|\\.)*"/)) { if (substr(list, RSTART, RLENGTH) == role) return 1; list = substr(list, RSTART + RLENGTH) }
      return 0
    }
    function is_name(t) { # a text in its quotes: words, one space between; no blanks, controls or characters that are not seen
      gsub(/\\\\/, "x", t)
      return t ~ /^"[^ ]/ && t !~ /  | "$|^""$/ && t !~ /\\([bfnrt]|u(00([01][0-9a-f]|7f|[89][0-9a-f]|a0|ad)|11(5f|60)|20(0[0-9a-f]|2[89a-f]|5f|6[0-9a-f])|2800|3000|3164|feff|ffa0))/
    }
    BEGIN {
      printf "" >out; printf "" >new_keys; printf "" >concerned
      forms = split("type meaning origin number before allowed_signers_sha256 roles_sha256 administrators quorum approvers expires reason identity", name, " ")
      form["number"] = form["quorum"] = "^(0|[1-9][0-9]*)$"; form["approvers"] = "^\\[(\"([^\"\\\\]|\\\\.)+\"(,\"([^\"\\\\]|\\\\.)+\")*)?]$"; form["administrators"] = form["expires"] = form["reason"] = form["identity"] = "^\""
    }
    NR <= 4 {
      split("", raw); if ((why = canonical($0)) != "" || v[""] != "{") wrong("its " (NR % 2 ? "roster" : "roles") ".json is not canonical JSON of an object" (why == "" ? "" : ": " why))
      for (key in top) if (NR == 1) old[key] = top[key]; else if (NR == 2) was[key] = top[key]; else if (NR == 3) new[key] = top[key]; else is[key] = top[key]
      next
    }
    {
      line = substr($0, 3); person_of[line] = $2; net[line] += $1 == ">" ? 1 : -1
      # Keys that go on after the event: which of them are new is told when every line is read.
      ends = match($0, /valid-before="([0-9]+)Z"/) ? substr($0, RSTART + 14, RLENGTH - 16) : ""
      if (length(ends) !~ /^(8|12|14)$/ || substr(ends "000000", 1, 14) > now)
        for (i = 3; i < NF; i++) if ($i ~ /^(ssh|ecdsa|sk)-[^"]*$/) if ($1 == ">") lasts[$2 " " $i " " $(i + 1)]; else if (!root) had[$2 " " $i " " $(i + 1)]
    }
    $1 == "<" { next }
    {
      if ($2 !~ ENVIRON["address"]) wrong("its allowed_signers has a line that is not one person and a key")
      for (i = 3; i < NF; i++) if ($i ~ /^(ssh|ecdsa|sk)-[^"]*$/) { if ($(i + 1) in owner && owner[$(i + 1)] != $2) wrong("its allowed_signers gives one key to two people"); owner[$(i + 1)] = $2 }
    }
    END {
      if (failed) exit
      for (key in new) keys++
      for (i = 1; i <= forms; i++) if (!(name[i] in new) || keys != forms) wrong("its roster.json has not exactly the keys of a roster")
      form["type"] = "\"roster\""; form["meaning"] = "\"puts this roster in force\""
      if (new["type"] != form["type"] || new["meaning"] != form["meaning"]) wrong("its roster.json is no roster that is put in force")
      for (i in form) if (i !~ /^(type|meaning)$/ && new[i] !~ form[i]) wrong("the " i " of its roster.json is out of form")
      if (new["origin"] != origin) wrong("its roster.json is of another log: " new["origin"])
      if (new["number"] != (root ? 1 : old["number"] + 1) "") wrong("the number of its roster.json is " new["number"] ", not " (root ? 1 : old["number"] + 1))
      if (new["before"] != (root ? "null" : "\"" before "\"")) wrong("its roster.json does not follow the one before it")
      if (new["allowed_signers_sha256"] != "\"" signers "\"" || new["roles_sha256"] != "\"" roles "\"") wrong("its roster.json is about another allowed_signers or roles.json than lies beside it")
      for (person in is) {
        if (person !~ ENVIRON["address"]) wrong("its roles.json has an address that is not one person and no other: " person)
        holders += holds(is[person], new["administrators"])
        if (!is_name(raw[".printed_name"])) wrong(person " of its roles.json has a printed_name that is not written as one")
      }
      if (new["quorum"] + 0 < 1 || (new["quorum"] + 0 < 2 && holders > 1)) wrong("the quorum of its roster.json is " new["quorum"] ", and " holders + 0 " people hold the role of its administrators")
      if (ms(new["expires"]) <= ms(time) || ms(new["expires"]) - ms(time) > 366 * 86400000) wrong("the expires of its roster.json is not within 366 days after the event")
      for (key in lasts) if (!(key in had)) {
        person = key; sub(/ .*/, "", person)
        if (!(person in is)) wrong("its allowed_signers has a key of " person ", who is not in its roles.json")
        holds(is[person]); print key "\t" raw[".printed_name"] >new_keys
      }
      for (line in net) if (net[line]) changed[person_of[line]]
      for (person in is) if (root || is[person] != was[person] || person in changed) print person >concerned
      print new["approvers"] >asking
      print old["quorum"] >out
      for (person in was) if (person ~ ENVIRON["address"] && holds(was[person], old["administrators"])) print person "\t" (was[person] != is[person] || person in changed) >out
    }' >"$work/fault"
  [[ ! -s $work/fault ]] || { cat "$work/fault"; return; }
  # A key that is new is written in one way: its base64, and an RSA key's numbers without zeros before them.
  while read -r key; do
    base64 -d <<<"$key" >"$work/key" 2>/dev/null && [[ $(base64 -w 0 "$work/key") == "$key" ]] && part=$(od -An -v -tx1 "$work/key" | tr -d ' \n') || part=''
    if [[ $part == 000000077373682d727361* ]]; then
      [[ ${part:30:4} != 00[0-7]* ]] || part=''
      [[ ! $part || ${part:30+2*16#${part:22:8}+8:4} != 00[0-7]* ]] || part=''
    fi
    [[ $part ]] || { echo 'its allowed_signers has a key that is not written as ssh-keygen writes it'; return; }
  done < <({ grep -oE ' (ssh|ecdsa|sk)-[^" ]+ [^" ]+' "$set/allowed_signers" || true; } | cut -d ' ' -f 3 | sort -u | { [[ $root ]] && cat || comm -23 - <(tr ' ' '\n' <"$judge/allowed_signers" | sort -u); })
  namespace=$(namespace_of "$judge/allowed_signers")
  [[ $namespace =~ ^[^[:space:]]+$ ]] || { echo "its roster cannot be checked: $judge/allowed_signers has not exactly one namespace"; return; }
  # Who has a new key pledged it: what they signed follows from the roster.
  while IFS=$'\t' read -r key name; do
    read -r person key <<<"$key"
    base64 -d <<<"${key#* }" >"$work/key" 2>/dev/null || { echo "its allowed_signers has a key of $person that is not in base64"; return; }
    part=pledge-$(sha256sum <"$work/key" | cut -c1-8).sig
    [[ -f $set/$part ]] || { echo "the new key of $person has no pledge: $part is missing"; return; }
    printf '%s %s\n' "$person" "$key" >"$work/keys_of"
    printf '{"key":"SHA256:%s","meaning":"%s","origin":"%s","printed_name":%s,"signer":"%s","type":"pledge"}\n' \
      "$(openssl dgst -sha256 -binary "$work/key" | base64 | tr -d =)" "$pledge" "$origin" "$name" "$person" |
      ssh-keygen -Y verify -f "$work/keys_of" -I "$person" -n "$namespace" -s "$set/$part" >/dev/null 2>&1 || { echo "$part is no pledge of $person for this key and this log, under the name they have"; return; }
  done <"$work/new_keys"
  for part in "$set"/roster-*.sig; do
    whose=''
    while IFS=$'\t' read -r person concerned; do
      person=$person awk '$1 == ENVIRON["person"]' "$judge/allowed_signers" >"$work/keys_of"
      ssh-keygen -Y verify -f "$work/keys_of" -I "$person" -n "$namespace" -s "$part" -O verify-time="$(tr -d :T- <<<"${4%.*}")" <"$set/roster.json" >/dev/null 2>&1 || continue
      whose=$person all+=("$person")
      ((concerned)) || signers+=("$person")
      break
    done < <(sed 1d "$work/administrators")
    [[ $whose ]] || { echo "${part##*/} is no signature over its roster by an administrator of $by, at $4"; return; }
  done
  quorum=$(head -n 1 "$work/administrators")
  ((${#quorum} < 9 && $(printf '%s\n' "${signers[@]}" | sort -u | awk 'NF' | wc -l) >= quorum)) ||
    { echo "its roster is not signed by $quorum administrators of $by, not counting those whom it concerns"; return; }
  by=${all[*]} awk '{ print $0 "\t" ENVIRON["by"] }' "$work/concerned" >"$work/put_in_here"
}
declare -A expires=()
signed='' root_at='' root=''
: >"$work/asking" && : >"$work/put_in"
below facts | awk -F '\t' '$3 ~ /^key\./ { print $1 + ($3 == "key.rotated") "\t" $11 "\t" $12 "\t" $1 }' >"$work/sets"
while IFS=$'\t' read -r since trust sha n; do
  fault=$(set_fault "$trust" "$sha")
  if [[ -z $fault ]]; then # or anybody's key.enrolled, signed with the key it brings, would go on with the log
    before=${vkey:-}
    read -r vkey <"$trust/log.vkey"
    if [[ -n $before ]]; then
      [[ $vkey == "$before" ]] && changed=0 || changed=1
      ((changed == (10#$since != 10#$n))) || fault="key.rotated, and nothing else, changes the log's key"
    fi
  fi
  if [[ -z $fault && -e $trust/roster.json ]]; then
    IFS=$'\t' read -r _ time type _ < <(sed -n "$((10#$n + 1))p" "$work/facts")
    fault=$(roster_fault "$trust" "$signed" "$type" "$time")
    [[ $fault || $signed ]] || root_at=$n root=$(sha256sum <"$trust/roster.json" | cut -c1-64)
    [[ $fault ]] || printf '%s\t%s\n' "$since" "$(<"$work/roles_asked")" >>"$work/asking"
    [[ $fault ]] || awk -v since="$since" '{ print since "\t" $0 }' "$work/put_in_here" >>"$work/put_in"
    [[ $fault ]] || signed=$trust expires[$trust]=$(sed 's/.*"expires":"\([^"]*\)".*/\1/' "$trust/roster.json")
  elif [[ $signed && -z $fault ]]; then
    fault='its trust set is not signed, and the one before it was'
  fi
  [[ -z $fault ]] || printf '%s\t%s\n' "$n" "$fault"
done <"$work/sets" >"$work/first"
lower
trust_at() { awk -F '\t' -v n="$((10#$1))" '$1 <= n { set = $2 } END { print set }' "$work/sets"; }

unsigned() { # CHUNK of checkpoints; prints position and set of those that the set's key did not sign
  rm -rf "$pieces" "$work/notes" && mkdir "$pieces" "$work/notes"
  awk -F '\t' -v notes="$work/notes/" -v wrong="$work/wrong" '
    BEGIN { c = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"; for (i = 0; i < 64; i++) six[substr(c, i + 1, 1)] = i; printf "" >wrong }
    {
      for (hex = i = ""; i < 92; i += 2) hex = hex sprintf("%03X", six[substr($7, i + 1, 1)] * 64 + six[substr($7, i + 2, 1)])
      if (tolower(substr(hex, 1, 8)) != $3) print $1 "\t" $2 >wrong
      print substr(hex, 9, 128)
      note = notes sprintf("%05d", NR - 1); printf "%s\n%s\n%s\n", $4, $5, $6 >note; close(note)
    }' "$1" | basenc -d --base16 | (cd "$pieces" && split -a 5 -d -b 64 - '')
  awk -F '\t' '{ printf "%05d\n%s\n%s\n", NR - 1, $1, $2 }' "$1" |
    work=$work pieces=$pieces xargs -d '\n' -n 192 -P "$(nproc)" bash -c '
      for ((; $#;)); do
        openssl pkeyutl -verify -pubin -inkey "$3/log.pem" -rawin -in "$work/notes/$1" -sigfile "$pieces/$1" >/dev/null 2>&1 || printf "%s\t%s\n" "$2" "$3"
        shift 3
      done' -
  cat "$work/wrong"
}
from=0 # the newest commits to all before it, so that the newest thousand are enough; every rotation besides
[[ $signatures == all ]] || ((total <= 1000)) || from=$((total - 1000))
awk -F '\t' -v from="$from" -v limit="$limit" '
  FILENAME ~ /sets$/ { since[++sets] = $1; set[sets] = $2; if ($1 != $4) rotated[$4]; getline vkey <($2 "/log.vkey"); split(vkey, part, "+"); id[$2] = part[2]; close($2 "/log.vkey"); next }
  FNR > limit { exit }
  { n = FNR - 1; while (at < sets && since[at + 1] <= n) at++ }
  n >= from || n == limit - 1 || n in rotated { print n, set[at], id[set[at]], $3, n + 1, $4, $6 }' OFS='\t' "$work/sets" "$work/proofs" >"$work/checkpoints"
by_thousands "$work/checkpoints" unsigned | sort -n | sed 's/\t\(.*\)/\tthe signature of its checkpoint is not by \1\/log.pem/' >"$work/first"
lower
((limit == total)) || bad "$(event "$limit")" "$reason"
trust=$(trust_at "$total")
for copy in trust/*; do
  [[ -d $copy || -e $trust/${copy##*/} ]] || bad "$copy" 'belongs to no trust set'
done
for copy in "$trust"/*; do # the plain copies are a convenience, but people check by them
  [[ ! -e trust/${copy##*/} ]] || cmp -s "trust/${copy##*/}" "$copy" || {
    cut -f2 "$work/sets" | while read -r set; do ! cmp -s "trust/${copy##*/}" "$set/${copy##*/}" || echo same; done | grep same >/dev/null || bad "trust/${copy##*/}" "is not the one in $trust"
    echo "note: trust/${copy##*/} is that of an earlier trust set; take $trust/${copy##*/}"
  }
done

# --- 8 and 9 runs: each is known to the log; SHA256SUMS of a finished one is bound by it, matching, complete ----------
{ [[ ! -d runs ]] || find runs -mindepth 1 -maxdepth 1 -printf '%f\t%y\n'; } | sort >"$work/folders"
{ [[ ! -d runs ]] || find runs -mindepth 2 -type f; } | sort >"$work/present"
awk -F '\t' '
  NR == FNR { known[$2]; next }
  $2 != "d" { print "runs/" $1 "\tis no folder of a run"; exit }
  !($1 in known) { print "runs/" $1 "\tno event names this run"; exit }' "$work/runs" "$work/folders" >"$work/first"
bad_first
awk -F '\t' '$1 ~ /^(closed|abandoned)$/ { print $3 "  runs/" $2 "/" ($1 == "closed" ? "" : "FOUND.") "SHA256SUMS" }' "$work/runs" >"$work/seals"
awk -F '\t' '$1 == "requested" { print $3 "  runs/" $2 "/request.json" }' "$work/runs" >"$work/requests"
match() { # LIST REASON: every file has the digest the list gives it; line by line, so that it ends with the first that has not
  [[ ! -s $1 ]] || stdbuf -oL sha256sum --strict --quiet -c "$1" 2>/dev/null | head -n 1 >"$work/failed" || bad "$(sed 's/: FAILED.*//' "$work/failed")" "$2"
}
match "$work/seals" 'is missing, or not the one that the log binds'
: >"$work/first"
cut -c67- "$work/seals" | xargs -r -d '\n' awk -v first="$work/first" '
  { folder = FILENAME; sub(/[^\/]*$/, "", folder); name = substr($0, 67) }
  $0 !~ /^[0-9a-f]+  [^\/]/ || index($0, "  ") != 65 || ("/" name "/") ~ /\/\.?\.?\// || (folder name in seen) { print FILENAME "\tline " FNR " is not a hash, two spaces and a path" >first; exit }
  { seen[folder name]; print substr($0, 1, 66) folder name }' >"$work/listed"
bad_first
awk -F '\t' '
  FILENAME ~ /seals$/ { file = substr($0, 67); sealed[substr(file, 1, match(file, /[^\/]*$/) - 1)]; listed[file]; next }
  FILENAME ~ /listed$/ { listed[substr($0, 67)]; next }
  { match($1, /^runs\/[^\/]*\//); if (!(substr($1, 1, RLENGTH) in sealed)) next }
  !($1 in listed) { print $1 "\twas added after its folder was sealed"; exit }' "$work/seals" "$work/listed" "$work/present" >"$work/first"
bad_first
match "$work/listed" 'is missing, or was changed after its folder was sealed'
# What a run was judged by lies in preimages/ by its content.
{ grep -F '"type":"run.opened"' "$work/lines" || true; } | awk "$json"'
  { canonical($0); for (path in v) if (path ~ /^\.data\.preimages\./) { sha = substr(v[path], 2, length(v[path]) - 2); print sha "  preimages/sha256/" sha } }' >"$work/named"
{ [[ ! -d preimages ]] || find preimages -type f ! -path '*/.*' -printf '%f  %p\n'; } | sort -u - "$work/named" >"$work/preimages"
awk '$2 != "preimages/sha256/" $1 || length($1) != 64 || $1 ~ /[^0-9a-f]/ { print $2 "\tis not the text whose SHA-256 is its name"; exit }' "$work/preimages" >"$work/first"
bad_first
match "$work/preimages" 'is missing, or not the text whose SHA-256 is its name'
match "$work/requests" 'is missing, or not the request that the log says was made'

# --- 10 approvals, overrides, amendments, sign-offs: signed by an enrolled person, at the log's time ------------------
awk -F '\t' '
  $3 ~ /^(approval\.signed|request\.rejected|signoff\.signed|override\.signed|record\.amended|record\.annotated|deviation\.accepted|environment\.released|trail\.reviewed)$/ {
    print $1, $2, $4, $13, $14, $15, $23, $16 "\t" $17 "\t" $18 "\t" $10 "\t" $8 "\t" $3 }' OFS='\t' "$work/facts" >"$work/signed"
# What a signature may mean, by the type of the event that counts it. Under a request it is made after that, at most a minute
# (of clocks that differ) before it was counted; an override ends within 24 hours.
meanings='
|approval.signed=approves the deployment of this request
|request.rejected=rejects this request: it must not be deployed
|override.signed=answers for passing over this gate, once, for this request
|signoff.signed=reviewed
|signoff.signed=rejected
|record.amended=corrects this value of the record
|record.amended=confirms this correction of the record
|record.annotated=adds this note to the record
|deviation.accepted=accepts this deviation
|environment.released=releases this environment from its freeze
|trail.reviewed=reviewed'
user_verification() { # SIGNATURE, which ssh-keygen verified: what its FIDO flags say; they stand behind the value of a signature of a kind sk-…
  local hex at=20 flags i
  hex=$(sed '/^-----END/Q;s/^-----BEGIN SSH SIGNATURE-----//' "$1" | base64 -di | od -An -v -tx1 | tr -d ' \n')
  for i in key namespace reserved hash; do at=$((at + 8 + 2 * 16#${hex:at:8})); done
  at=$((at + 8)) # into the signature, the last of the strings: its kind, its value
  [[ ${hex:at+8:6} == 736b2d ]] || { echo none; return; }
  for i in kind value; do at=$((at + 8 + 2 * 16#${hex:at:8})); done
  flags=$((16#${hex:at:2}))
  if ((flags & 4)); then echo pin; elif ((flags & 1)); then echo touch; else echo none; fi
}
declare -A made=() asked_at=()
while IFS=$'\t' read -r n run time; do [[ ${made[$run]-} ]] || made[$run]=$time asked_at[$run]=$n; done < <({ grep -F '"type":"request.made"' "$work/lines" || true; } | awk "$json"'
  { canonical($0); time = got(".data.clock"); if (got(".type") == "request.made") print got(".seq") "\t" got(".run") "\t" (time == "-" ? got(".time") : time) }')
while IFS=$'\t' read -r n time run file sha sig_sha made_with says; do
  [[ ${says%%$'\t'*} =~ $address ]] || bad "$file" "is signed by an address that no person signs under; event $n counts it"
  [[ "/$file/" != */../* && $file != /* ]] || bad "$file" "lies outside the record; event $n counts it"
  folder=signoffs/${run/#-/environment}/ # where what was signed for its run lies
  [[ $says != *$'\t'@(approval.signed|override.signed|request.rejected) ]] || folder=runs/$run/approvals/
  [[ $file == "$folder"* ]] || bad "$file" "lies not in $folder, and event $n counts it"
  for part in "$file" "$file.sig"; do
    [[ -f $part ]] || bad "$part" "is missing; event $n counts it"
    [[ $(sha256sum <"$part") == "$sha  -" ]] || bad "$part" "is not the file that event $n counts"
    sha=$sig_sha
  done
  { sed -n "$((10#$n + 1))p" "$work/lines"; cat "$file"; } | awk -v keep=1 -v origin="$origin" -v meanings="${meanings//$'\n'/}" -v made="${made[$run]-}" -v first="$work/first" "$json$instants"'
    function unfit(type,   i, n, line, fits, at, counted, keys, key) {
      n = split(meanings, line, "|")
      for (i = 1; i <= n; i++) if (line[i] == type "=" substr(raw[".meaning"], 2, length(raw[".meaning"]) - 2)) fits = 1
      if (!fits) return "means something else than a " type " stands for"
      if (type !~ /^(approval[.]signed|request[.]rejected|override[.]signed)$/) return ""
      keys = " printed_name signer role signed_at meaning request_sha256 run " (type ~ /^approval/ ? "comment " : type ~ /^request/ ? "reason " : "gate incident reason expires ")
      n = split(keys, line, " "); for (i = 1; i <= n; i++) if (!(line[i] in top)) return "lacks the key " line[i]
      for (key in top) n--
      if (n) return "has a key that is none of its kind"
      raw["made"] = "\"" made "\""; raw["counted"] = (".data.clock" in event) ? event[".data.clock"] : event[".time"]
      at = ms(raw[".signed_at"]); counted = ms(raw["counted"])
      if (at < 0) return "its signed_at is no UTC time"
      if (made != "" && ms(raw["made"]) - at > 60000) return "is back-dated: its request was made later"
      if (at - counted > 60000) return "is dated after it was counted"
      if (type != "override.signed") return ""
      if (ms(raw[".expires"]) < 0) return "its expires is no UTC time"
      return ms(raw[".expires"]) <= at ? "runs out before it is signed" : ms(raw[".expires"]) - at > 86400000 ? "lasts longer than 24 hours" : ""
    }
    BEGIN { printf "" >first }
    { why = canonical($0) }
    NR == 1 { for (i in raw) event[i] = raw[i]; split("", raw) }
    END {
      if (NR != 2 || why != "") exit 1
      signer = split("signer printed_name role meaning signed_at request_sha256 record_sha256", name, " ")
      both = split("reason gate incident expires amends event_sha256 key old new nodeid deviation frozen countersigns annotates note findings first size root", more, " ")
      for (i = 1; i <= signer; i++) if ((".data." name[i]) in event && event[".data." name[i]] != raw["." name[i]]) exit 1
      if (".data.comment" in event && event[".data.comment"] != (raw[".comment"] == "\"\"" ? "null" : raw[".comment"])) exit 1
      for (i = 1; i <= both; i++) if (event[".data." more[i]] != raw["." more[i]]) exit 1
      if (".run" in raw && raw[".run"] != event[".run"]) exit 1
      if (".origin" in raw && raw[".origin"] != "\"" origin "\"") exit 1
      printf "%s", unfit(substr(event[".type"], 2, length(event[".type"]) - 2)) >first
    }' || bad "$file" "is not canonical JSON that says what event $n says"
  [[ ! -s $work/first ]] || bad "$file" "$(<"$work/first")"
  keys=$(trust_at "$n")/allowed_signers
  until=${expires[${keys%/*}]-}
  [[ $until && $says == *$'\t'@(approval|override).signed && ! $time < $until ]] && bad "$(event "$n")" "counts a signature when the roster in force had expired, at $until"
  namespace=$(namespace_of "$keys")
  [[ $namespace =~ ^[^[:space:]]+$ ]] || bad "$keys" 'has not exactly one namespace'
  ssh-keygen -Y verify -f "$keys" -I "${says%%$'\t'*}" -n "$namespace" -s "$file.sig" \
    -O verify-time="$(tr -d :T- <<<"${time%.*}")" <"$file" >/dev/null 2>&1 || bad "$file.sig" "is no valid signature of ${says%%$'\t'*} at $time"
  [[ $made_with == - || $made_with == "$(user_verification "$file.sig")" ]] || bad "$file.sig" "has another user verification than $made_with, as event $n says"
  if [[ ${asked_at[$run]-} && $says == *$'\t'@(approval|override).signed ]]; then # nobody is enrolled for a request that waits
    asked_of=$(trust_at "${asked_at[$run]}")/allowed_signers
    [[ $asked_of == "$keys" ]] || ssh-keygen -Y verify -f "$asked_of" -I "${says%%$'\t'*}" -n "$namespace" -s "$file.sig" \
      -O verify-time="$(tr -d :T- <<<"${time%.*}")" <"$file" >/dev/null 2>&1 || bad "$file.sig" "is by a key that was no signer's when the request was made"
  fi
  cat "${keys%/*}/roles.json" "$file" | awk -v keep=1 "$json"'
    { why = canonical($0) }
    NR == 1 { for (i in raw) roster[i] = raw[i]; split("", raw) }
    END {
      person = "." plain(substr(raw[".signer"], 2, length(raw[".signer"]) - 2))
      if (NR != 2 || raw[".printed_name"] == "" || raw[".role"] == "") exit 1
      if (roster[person ".printed_name"] != raw[".printed_name"] || !index(roster[person ".roles"], raw[".role"])) exit 1
    }' || bad "$file" "says a name or role that the roster in force at event $n does not have"
done <"$work/signed"
if [[ $trust_root ]]; then
  [[ $root ]] || bad --trust-root 'was given, and nobody signed a roster: who may sign rests on the log'\''s key alone'
  [[ $root == "$trust_root" ]] || bad --trust-root "is another than that of this record, $root"
  n=$(head -n 1 "$work/signed" | cut -f1)
  [[ ! $n ]] || ((10#$n > 10#$root_at)) || bad "$(event "$n")" "counts a signature before the trust root, which event $root_at put in force"
fi
# What is signed after a run is counted once, is about a seal or an event of this log, and changes what stood there.
awk -F '\t' '$3 ~ /^(signoff\.signed|deviation\.accepted|record\.amended|record\.annotated|environment\.released|trail\.reviewed)$/' "$work/facts" >"$work/after"
not_an_actor() { # POSITION SIGNER: fails where the signer is one of $work/actors, by the roster in force
  signer=$2 awk -v keep=1 "$json$people"'
    FILENAME ~ /actors$/ { actors[$0]; next }
    { canonical($0) }
    END { for (actor in actors) if (acts_as(ENVIRON["signer"], actor)) exit 1 }' "$work/actors" "$(trust_at "$1")/roles.json"
}
if [[ -s $work/after ]]; then
  awk -F '\t' '
    FILENAME ~ /runs$/ { if ($1 == "closed") seal[$2] = $3; next }
    $13 in counted || ($8 != "-" && $8 != seal[$4]) { printf "log/%08d.event\tcounts a file again, or is about another record than its run was closed with\n", $1; exit }
    { counted[$13] }' "$work/runs" "$work/after" >"$work/first"
  bad_first
  cut -f1 "$work/after" | paste -sd ' ' >"$work/wanted"
  awk -v keep=1 "$json"'
    FILENAME ~ /wanted$/ { split($0, n, " "); for (i in n) wanted[n[i]]; next }
    FILENAME ~ /digests$/ { hash[FNR - 1] = $0; next }
    !((FNR - 1) in wanted) { next }
    { canonical($0); about = got(".data.amends"); if (about == "-") about = got(".data.frozen"); if (about == "-") about = got(".data.annotates") }
    about != "-" { print FNR - 1, about, hash[about] == got(".data.event_sha256") && about + 0 < FNR - 1 }' \
    "$work/wanted" "$work/digests" "$work/lines" >"$work/abouts"
  awk '!$3 { printf "log/%08d.event\tis about another event than one of this log before it\n", $1; exit }' "$work/abouts" >"$work/first"
  bad_first
  : >"$work/amended"
  awk -v keep=1 -v amended="$work/amended" "$json"'
    FILENAME ~ /abouts$/ { of[$1] = $2; target[$2]; next }
    !((FNR - 1) in of) && !((FNR - 1) in target) { next }
    { split("", raw); canonical($0) }
    (FNR - 1) in target { kind[FNR - 1] = got(".type"); actor[FNR - 1] = got(".actor") }
    (FNR - 1) in target { for (path in raw) if (sub(/^\.data\./, "", path)) stands[FNR - 1, path] = raw[".data." path] }
    got(".type") == "record.amended" {
      key = got(".data.key"); about = of[FNR - 1]; old = (about, key) in stands ? stands[about, key] : "null"
      if (raw[".data.old"] != old) { printf "log/%08d.event\tamends %s of event %d from a value it did not have\n", FNR - 1, key, about; exit }
      if (kind[about] !~ /^(request\.made|run\.opened)$/ || key !~ /^(reason|ticket)$/) { printf "log/%08d.event\tamends %s of event %d, which nobody stated\n", FNR - 1, key, about; exit }
      same = about SUBSEP key SUBSEP raw[".data.old"] SUBSEP raw[".data.new"]; first = got(".data.countersigns")
      if (first != "-" && (said[first] != same || by[first] == got(".data.signer"))) { printf "log/%08d.event\tconfirms no such amendment by another person\n", FNR - 1; exit }
      if (first != "-") stands[about, key] = raw[".data.new"]
      said[FNR - 1] = same; by[FNR - 1] = got(".data.signer")
      printf "%d\t%s\t%s\t%s\tamended\n", FNR - 1, got(".run"), got(".data.signer"), actor[about] >amended
    }' "$work/abouts" "$work/lines" >"$work/first"
  bad_first
  # Nobody amends the record of their own run, nor their own statement; nobody signs off their own deployment, or accepts how it deviated.
  awk -F '\t' '$3 ~ /^(signoff\.signed|deviation\.accepted)$/ { print $1, $4, $16, "-", "judged" }' OFS='\t' "$work/after" | sort -n - "$work/amended" >"$work/judging"
  { grep -E '"type":"(run[.]opened|request[.]made)"' "$work/lines" || true; } | awk "$json"'
    { canonical($0) }
    got(".type") == "run.opened" { print got(".run") "\t" got(".data.deployer") "\tdeployed" }
    got(".type") == "request.made" { print got(".run") "\t" got(".data.requested_by") "\tasked" }' >"$work/own"
  while IFS=$'\t' read -r n run signer actor how; do
    why='is signed by who deployed the run'
    [[ $how == judged ]] || why+=', asked for it or stated what it amends'
    { awk -F '\t' -v run="$run" -v how="$how" '$1 == run && (how == "amended" || $3 == "deployed") { print $2 }' "$work/own"; printf '%s\n' "$actor"; } >"$work/actors"
    not_an_actor "$n" "$signer" || bad "$(event "$n")" "$why"
  done <"$work/judging"
  # A review of the trail goes on where the one before it ended, ends before its own event, and saw the root that the log had there;
  # nobody reviews what they deployed.
  { grep -F '"type":"trail.reviewed"' "$work/lines" || true; } | awk "$json"'
    { canonical($0) }
    got(".type") == "trail.reviewed" { print got(".seq") "\t" got(".data.first") "\t" got(".data.size") "\t" got(".data.root") "\t" got(".data.signer") }' >"$work/reviews"
  awk -F '\t' '
    FILENAME ~ /roots64$/ { root[FNR] = $1; next }
    $2 !~ /^[0-9]+$/ || $2 + 0 != until + 0 { printf "log/%08d.event\treviews from another event on than the first that nobody reviewed\n", $1; exit }
    $3 !~ /^[0-9]+$/ || $3 + 0 <= $2 + 0 || $3 + 0 > $1 + 0 { printf "log/%08d.event\treviews no events before it\n", $1; exit }
    root[$3 + 0] != $4 { printf "log/%08d.event\treviews another log than this: its root at size %d is another\n", $1, $3; exit }
    { until = $3 }' "$work/roots64" "$work/reviews" >"$work/first"
  bad_first
  while IFS=$'\t' read -r n since size _ signer; do
    awk -F '\t' -v since="$since" -v size="$size" '
      FILENAME ~ /facts$/ { if ($3 ~ /^run[.](opened|closed|abandoned)$/ && $1 + 0 >= since + 0 && $1 + 0 < size + 0) covered[$4]; next }
      $3 == "deployed" && $1 in covered { print $2 }' "$work/facts" "$work/own" | sort -u >"$work/actors"
    not_an_actor "$n" "$signer" || bad "$(event "$n")" 'is signed by who deployed a run that it covers'
  done <"$work/reviews"
  # What is accepted is of a step that the run had, and that did not pass.
  awk -F '\t' '$3 == "deviation.accepted" { print $4 }' "$work/after" >"$work/deviated"
  [[ ! -s $work/deviated ]] || { grep -E '"type":"(step[.](finished|not-run)|deviation[.]accepted)"' "$work/lines" || true; } | awk "$json"'
    FILENAME != "-" { runs[$0]; next }
    { of = ""; for (run in runs) if (index($0, "\"run\":\"" run "\"")) of = 1 }
    of == "" { next }
    { canonical($0); run = got(".run"); step = got(".data.nodeid") }
    got(".type") != "deviation.accepted" { ended[run, step] = got(".type") == "step.not-run" ? "not-run" : got(".data.outcome"); next }
    step == "-" { next }
    !((run, step) in ended) || ended[run, step] == "passed" {
      printf "log/%08d.event\taccepts a deviation of %s, which %s\n", got(".seq"), step, (run, step) in ended ? "passed" : run " does not have"; exit
    }' "$work/deviated" - >"$work/first"
  bad_first
fi

# ended: a signature, and the verdict before which it counts no more: another roster is in force there, in which its key is not its signer's and valid.
: >"$work/ended"
awk -F '\t' '
  NR == FNR { since[NR] = $1; set[NR] = $2; sets = NR; next }
  FILENAME ~ /signed$/ { if ($NF ~ /^(approval|override)[.]signed$/) { of[$3] = of[$3] " " $1; file[$1] = $4; who[$1] = $8; if (!($3 in at)) at[$3] = in_force($1) }; next }
  function in_force(n,   i) { for (i = sets; i > 1 && since[i] + 0 > n + 0; i--); return set[i] }
  $3 == "gate.passed" && $4 in of {
    now = in_force($1); if (now == at[$4]) next
    count = split(of[$4], n, " "); for (i = 1; i <= count; i++) if (n[i] + 0 < $1 + 0) print n[i] "\t" $1 "\t" $2 "\t" file[n[i]] "\t" who[n[i]] "\t" at[$4] "\t" now
    at[$4] = now
  }' "$work/sets" "$work/signed" "$work/facts" >"$work/doubtful"
while IFS=$'\t' read -r n verdict time file signer was now; do
  cmp -s "$was/allowed_signers" "$now/allowed_signers" || ssh-keygen -Y verify -f "$now/allowed_signers" -I "$signer" -n "$(namespace_of "$now/allowed_signers")" -s "$file.sig" \
    -O verify-time="$(tr -d :T- <<<"${time%.*}")" <"$file" >/dev/null 2>&1 || printf '%s\t%s\n' "$n" "$verdict" >>"$work/ended"
done <"$work/doubtful"
# What a gate passed by was signed; and before a run changes something, or is `deployed`, every gate that its policy asks let it go.
# gates: each with the key of policy that its rule is; null, false or an empty list there is no rule. later: those that a policy
# without their key, or with no rule there, does not ask.
later=' administrators '
gates='deployer:deployer approvals:approval.roles window:window blackout:blackout rate-limit:rate_limit lease: staging-smoke:staging_smoke
 incidents:incidents build: retention:retention.locked anchors:anchors.required administrators:administrators freeze:freeze_after_rollback clock:'
{ grep -E '"type":"(request[.](made|rejected)|approval[.]signed|override[.]signed|gate[.][a-z-]*|run[.](opened|decided|closed|abandoned)|revision[.]deployed|migration[.]applied|traffic[.]moved|rollback[.](started|finished))"|"changes":true' "$work/lines" || true; } | awk -v keep=1 -v approvers="$work/approvers" -v gates="${gates//$'\n'/}" -v later="$later" -v unapproved="$work/unapproved" "$json$instants$people"'
  function wrong(what) { printf "log/%08d.event\t%s\n", n, what; failed = 1; exit }
  function line_of(file,   line, more) { line = ""; if ((getline line <file) < 0 || (getline more <file) > 0) line = ""; close(file); split("", raw); return line }
  function digest(image) { return index(image, "@") ? substr(image, index(image, "@") + 1) : "" }
  function lasting(signed,   i, part, of, best) { # the most that one of these overrides, each a level and an end, was made with; -1 where all ran out a minute ago
    best = -1; for (i = split(signed, part, " "); i > 0; i--) { split(part[i], of, ":"); if (of[2] + 60000 > now && of[1] > best) best = of[1] + 0 }
    return best
  }
  function read_request() { return canonical(line_of("runs/" run "/request.json")) == "" }
  function asks(gate, pipeline) {
    if (pipeline ~ /^(deploy|plan)$/) return 1
    return index(pipeline == "smoke" ? " lease clock " : pipeline == "rollback" ? " deployer approvals lease freeze clock " : "", " " gate " ")
  }
  function index_of(level) { return level == "pin" ? 2 : level == "touch" ? 1 : 0 }
  function note(counted, key) { if (!(key in counted) || counted[key] < made_with) counted[key] = made_with }
  function too_weak(found) {
    if (found < demand[policy[run]]) wrong("it rests on a signature that was made with less than the user verification that policy asks for")
  }
  function rests_on(found) { if (run in pipeline) too_weak(found); else if (!(run in weakest) || found < weakest[run]) weakest[run] = found }
  function read_policy(sha,   i, part, setting) { # 1: its text says what it asks
    if (sha in read) return read[sha]
    read[sha] = 0
    if (length(sha) != 64 || sha ~ /[^0-9a-f]/ || canonical(line_of("preimages/sha256/" sha)) != "") return 0
    roles[sha] = raw[".approval.roles"]; left_out[sha] = raw[".phases.leave_out"]; back[sha] = raw[".rollback.roles"]
    if (back[sha] == "") back[sha] = "[]"
    if (substr(roles[sha], 1, 1) != "[" || substr(left_out[sha], 1, 1) != "[" || substr(back[sha], 1, 1) != "[") return 0
    setting = raw[".approval.user_verification"]
    if (setting !~ /^("(none|touch|pin)")?$/) return 0
    demand[sha] = index_of(substr(setting, 2, length(setting) - 2))
    for (i = 1; i <= known; i++) {
      split(rule[i], part, ":"); setting = part[2] == "" ? "always" : v["." part[2]]
      if (setting == "" && index(later, " " part[1] " ")) setting = "null"
      if (setting == "") return 0
      ruled[sha, part[1]] = setting !~ /^(null|false)$/ && raw["." part[2]] != "[]"
    }
    return read[sha] = 1
  }
  function involved(person, authors, did) { # looked at below, by the roster in force now
    print n "\t" of_run[run, "deployer"] "\t" person "\t" authors "\t" did "\tdeploys it" >approvers
    if (requested[run] && asked_by[run] != of_run[run, "deployer"]) print n "\t" asked_by[run] "\t" person "\t[]\t" did "\tasked for it" >approvers
  }
  function held_against_policy(changes,   sha, approving, i, j, part, gate, count, role, number, slot, whose) {
    sha = policy[run]
    if (!read_policy(sha)) wrong("it goes on under a policy whose text is not in the record")
    authors = "[]"
    if (requested[run]) {
      if (!read_request() || got(".policy_sha256") != sha) wrong("it goes on under another policy than runs/" run "/request.json says")
      count = split("commit environment version", part, " ")
      for (i = 1; i <= count; i++) if (got("." part[i]) != of_run[run, part[i]]) wrong("it goes on with another " part[i] " than runs/" run "/request.json says")
      if (of_run[run, "image"] != "-" && artefact[run] != "" && digest(of_run[run, "image"]) != artefact[run]) wrong("it goes on with another image than runs/" run "/request.json says")
      if (raw[".authors"] ~ /^\[/) authors = raw[".authors"]
    }
    whose = pipeline[run] == "rollback" ? back[sha] : roles[sha]
    approving = asks("approvals", pipeline[run]) && !index(left_out[sha], "\"approval\"") && whose != "[]"
    if (!approving && pipeline[run] == "deploy") { count = ++unasked; last_unasked = run }
    if (pipeline[run] == "deploy") { # who approves by the roster in force is asked, as often
      for (i = asking; i > 0 && asks_from[i] + 0 > n + 0; i--);
      if (i) print n "\t" of_run[run, "deployer"] "\t-\t[]\t-\t-" >approvers
      count = members(i ? asks_whom[i] : "[]", role); split("", number)
      for (i = 1; i <= count; i++) number[role[i]]++
      count = approving ? members(roles[sha], role) : 0
      for (i = 1; i <= count; i++) number[role[i]]--
      for (each in number) if (number[each] > 0) wrong("it goes on under a policy that does not ask " each ", who approve by the roster in force")
    }
    if (!changes && !approving) return
    for (i = 1; i <= known; i++) {
      split(rule[i], part, ":"); gate = part[1]
      if (!asks(gate, pipeline[run]) || (gate == "approvals" && index(left_out[sha], "\"approval\"")) || (index(later, " " gate " ") && !ruled[sha, gate])) continue
      if (!((run, gate) in answer) || at_point[run, gate] !~ (changes ? "^change$" : "^(lease|change)$")) wrong("it goes on, and the gate " gate " was not asked right before")
      if (answer[run, gate] !~ /^gate[.](passed|not-applicable)$/) wrong("it goes on, though the gate " gate " did not let it")
      if (answer[run, gate] == "gate.not-applicable" && (gate == "approvals" ? whose != "[]" : ruled[sha, gate]) && !(gate == "anchors" && earliest[run])) wrong("it goes on, though the gate " gate " answered not-applicable and policy has a rule for it")
      count = members(overriders[run, gate], role)
      for (j = 1; j <= count; j++) involved(role[j], "[]", "overrode " gate)
    }
    if (!approving) return
    count = members(whose, role); split("", number)
    for (i = 1; i <= count; i++) {
      slot = role[i] (number[role[i]]++ ? " (" number[role[i]] ")" : "")
      if (!((run, verdicts[run], slot) in filled)) wrong("it goes on, and nobody approved as " slot)
    }
    for (each in filled) {
      split(each, part, SUBSEP)
      if (part[1] == run && part[2] == verdicts[run]) involved(filled[each], authors, "approved it")
    }
  }
  BEGIN { known = split(gates, rule, " ") }
  FILENAME ~ /ended$/ { ends[$2] = ends[$2] " " $1; next }
  FILENAME != "-" { asks_from[++asking] = $1; sub(/^[^\t]*\t/, ""); asks_whom[asking] = $0; next }
  { split("", raw); canonical($0); n = got(".seq"); run = got(".run"); type = got(".type"); gate = got(".data.gate"); point = got(".data.point") }
  { clock = got(".data.clock"); if (clock == "-") clock = got(".time") }
  type == "request.made" { requested[run] = 1; asked_by[run] = got(".data.requested_by"); until[run] = got(".data.expires"); plan[run] = got(".data.plan") }
  type ~ /^(approval|override)[.]signed$/ && !((plan[run], run) in planned) { wrong("it counts a signature under a request whose plan did not pass") }
  type == "request.rejected" && rejected[run, got(".data.signer")] "" < got(".data.signed_at") "" { rejected[run, got(".data.signer")] = got(".data.signed_at") }
  type ~ /^(approval|override)[.]signed$/ { made_with = index_of(got(".data.user_verification")) } # the signature was held against it above
  n in ends { # what is left of the signatures of a person who has signed with another key too
    count = split(ends[n], by, " ")
    for (i = 1; i <= count; i++) { each = stands_for[by[i]]; delete approved[each]; delete overrode[each]; delete stands_for[by[i]]; for (each_n in stands_for) if (stands_for[each_n] == each) { if (each_n in lasts) overrode[each] = overrode[each] lasts[each_n]; else { made_with = level[each_n]; note(approved, each) } } }
  }
  type == "approval.signed" { stands_for[n] = run SUBSEP got(".data.role") SUBSEP got(".data.signer"); level[n] = made_with; note(approved, stands_for[n]); if (rejected[run, got(".data.signer")] "" < got(".data.signed_at") "") delete rejected[run, got(".data.signer")] }
  type == "override.signed" { incident[run, gate, got(".data.incident")]; each = run SUBSEP gate SUBSEP got(".data.incident") SUBSEP got(".data.signer"); stands_for[n] = each; lasts[n] = " " made_with ":" sprintf("%.0f", ms(v[".data.expires"])); overrode[each] = overrode[each] lasts[n] }
  type ~ /^gate[.]/ { overriders[run, gate] = raw[".data.inputs.override.by"] }
  type == "gate.passed" && point != "plan" && ".data.inputs.override" in v && gate !~ /^(window|blackout|rate-limit|incidents)$/ { wrong("it says that " gate " was overridden, which nobody can") }
  type ~ /^gate[.]/ { refusing[run] += (got(".data.verdict") == "refused") - (said[run, gate] == "refused"); said[run, gate] = got(".data.verdict") }
  type == "run.decided" && pipeline[run] == "plan" && got(".data.outcome") ~ /^(passed|still-needed)$/ && !refusing[run] { planned[run, got(".data.request")] }
  type ~ /^gate[.]/ { answer[run, gate] = type; at_point[run, gate] = point; if (gate == "approvals") verdicts[run]++ }
  type ~ /^gate[.]/ && gate == "approvals" {
    split("", people); missed = ""; least = 2
    for (path in v) if (index(path, ".data.inputs.filled.") == 1) {
      slot = substr(path, 21); gsub(/\001/, ".", slot); as = slot; sub(/ [(][0-9]+[)]$/, "", as); person = got(path); filled[run, verdicts[run], slot] = person
      if (type != "gate.passed" || point == "plan") continue
      if (!((run, slot, person) in approved) && !((run, as, person) in approved) && (missed == "" || slot "" < missed "")) { missed = slot; whom = person }
      best = -1
      if ((run, slot, person) in approved) best = approved[run, slot, person]
      if ((run, as, person) in approved && approved[run, as, person] > best) best = approved[run, as, person]
      if (best >= 0 && best < least) least = best
      twice = person in people; people[person]; named = n
      if (twice) wrong("it says that one person approved in two roles")
    }
    if (type == "gate.passed" && point != "plan") for (each in rejected) if (index(each, run SUBSEP) == 1 && rejected[each] != "") wrong("it says that it was approved, and " substr(each, length(run) + 2) " rejected the request")
    if (missed != "") wrong("it says that " whom " approved as " missed ", and no signature counted before it does")
    if (type == "gate.passed" && point != "plan" && named != n) wrong("it says that it was approved, and by nobody")
    if (type == "gate.passed" && point != "plan") rests_on(least)
  }
  type == "gate.passed" && point != "plan" && ".data.inputs.override" in v {
    count = members(raw[".data.inputs.override.by"], by); split("", people); distinct = 0; signed = 0; best = 0; now = ms("\"" clock "\"")
    for (i = 1; i <= count; i++) if (!(tolower(by[i]) in people)) { people[tolower(by[i])]; distinct++ }
    for (each in incident) {
      split(each, part, SUBSEP); all = part[1] == run && part[2] == gate
      least = 2
      for (i = 1; i <= count; i++) if (all) { found = (each, by[i]) in overrode ? lasting(overrode[each, by[i]]) : -1; if (found < 0) all = 0; if (found < least) least = found }
      if (all && least > best) best = least
      signed += all
    }
    if (distinct < 2 || !signed) wrong("it says that " gate " was overridden, and no two signatures counted before it do")
    rests_on(best)
  }
  type == "run.opened" { pipeline[run] = got(".data.pipeline"); policy[run] = got(".data.preimages." plain("policy.json")); of_run[run, "commit"] = got(".data.commit"); of_run[run, "environment"] = got(".data.environment"); of_run[run, "version"] = got(".data.version"); of_run[run, "image"] = got(".data.image"); of_run[run, "deployer"] = got(".data.deployer"); earliest[run] = !closed }
  type == "run.opened" && requested[run] && until[run] != "-" && clock >= until[run] { wrong("it opens on a request that ran out at " until[run]) }
  type == "run.opened" { if (read_policy(policy[run]) && run in weakest) too_weak(weakest[run]) }
  type ~ /^run[.](closed|abandoned)$/ { closed = 1 }
  type ~ /^(revision[.]deployed|migration[.]applied)$/ && pipeline[run] !~ /^(deploy|rollback)$/ { wrong("it changes what serves in a run of " pipeline[run] ", which changes nothing") }
  type ~ /^(revision[.]deployed|migration[.]applied)$/ && !requested[run] { wrong("it changes what serves, and nobody asked for it: its run has no request") }
  type == "revision.deployed" && requested[run] {
    image = digest(got(".data.image")); split("", raw)
    if (image == "" || !read_request() || digest(got(".artefact.image")) != image) wrong("it deploys another artefact than runs/" run "/request.json says")
  }
  type == "rollback.started" && pipeline[run] == "rollback" && !held[run]++ { # one that somebody asked for
    if (!requested[run]) wrong("it leads back, and nobody asked for it: its run has no request")
    for (each in rejected) if (index(each, run SUBSEP) == 1 && rejected[each] != "") wrong("it leads back, and " substr(each, length(run) + 2) " rejected the request")
    held_against_policy(1)
  }
  type ~ /^rollback[.]/ { undoing[run] = type == "rollback.started" }
  type == "traffic.moved" && artefact[run] != "" && !undoing[run] && got(".data.digest") != "-" { # a digest alone, or with the repository before it
    image = got(".data.digest"); if (digest(image) != "") image = digest(image)
    if (image != artefact[run]) wrong("it moves traffic to another artefact than runs/" run "/request.json says")
  }
  type == "migration.applied" && requested[run] {
    migration = "\"sha256\":" raw[".data.sha256"] ",\"version\":" raw[".data.version"] "}"; split("", raw)
    if (!read_request() || !index(raw[".migrations"], migration)) wrong("it applies a migration that runs/" run "/request.json does not have")
  }
  type == "step.started" && got(".data.changes") == "true" && got(".data.phase") != "rollback" && !held[run]++ { held_against_policy(1) }
  type == "run.decided" && got(".data.outcome") == "deployed" && !held[run] { held_against_policy(0) }
  type == "request.made" && read_request() {
    artefact[run] = digest(got(".artefact.image"))
    if (".plan" in v && got(".plan.run") != plan[run]) wrong("it names the plan " plan[run] ", and runs/" run "/request.json says " got(".plan.run"))
    if (".expires" in v && got(".expires") != until[run]) wrong("it expires at " until[run] ", and runs/" run "/request.json says " got(".expires"))
  }
  END { if (!failed && unasked) print "note: " unasked " of its runs went on under a policy that asks nobody to approve, the last is " last_unasked >unapproved }' "$work/ended" "$work/asking" - >"$work/first"
bad_first
# Who deploys or asked for it lets nothing go, nor do those whose place in the roster they signed; nor who wrote it.
# approvers: position, who has a part, who signed, who wrote, what the signature did, which part; each by the roster in force then.
if [[ -s $work/approvers ]]; then
  awk -F '\t' 'NR == FNR { since[NR] = $1; set[NR] = $2; sets = NR; next } { while (k < sets && since[k + 1] <= $1) k++; print set[k] "\t" $0 }' "$work/sets" "$work/approvers" >"$work/approving"
  while read -r set; do
    awk -F '\t' -v keep=1 -v set="$set" "$json$people"'
      function wrong(what) { printf "log/%08d.event\tit goes on, and %s, %s, %s\n", $2, $4, what, $6; exit }
      FILENAME ~ /roster[.]json$/ { canonical($0); role = top["administrators"]; split("", raw); next }
      FILENAME ~ /roles[.]json$/ {
        canonical($0)
        for (person in top) {
          list = role == "" ? "[]" : raw["." plain(person) ".roles"]
          while (match(list, /"([^"\\]|\\.)*"/)) { if (substr(list, RSTART, RLENGTH) == role) administers[person]; list = substr(list, RSTART + RLENGTH) }
        }
        next
      }
      FILENAME ~ /put_in$/ { put[++puts] = $0; next }
      $1 != set { next }
      $4 == "-" { for (person in administers) if (acts_as(person, $3)) { printf "log/%08d.event\tit goes on, and %s, who deploys it, is an administrator of the roster in force\n", $2, person; exit }; next }
      acts_as($4, $3) { wrong("who " $7) }
      {
        split("", by); for (i = puts; i > 0; i--) { split(put[i], each, "\t"); if (each[2] == $4 && each[1] + 0 <= $2 + 0) { count = split(each[3], by, " "); break } }
        for (i in by) if (acts_as(by[i], $3)) wrong("in the roster by the signature of " by[i] ", who " $7)
        person = "." plain($4)
        split("", own); own[$4]; count = members(raw[person ".emails"], one); for (i = 1; i <= count; i++) own[tolower(one[i])]
        count = members($5, one); for (i = 1; i <= count; i++) if (one[i] in own) wrong("who wrote part of it")
      }' $([[ ! -f $set/roster.json ]] || echo "$set/roster.json") "$set/roles.json" "$work/put_in" "$work/approving" >"$work/first"
    bad_first
  done < <(cut -f1 "$work/approving" | awk '!seen[$0]++')
fi

# --- 11 anchors, 12 timestamps ----------------------------------------------------------------------------------------
awk -F '\t' '
  NR == FNR { root[NR] = $1; next }
  $3 == "anchor.made" && $19 != "-" && ($19 + 0 > $1 || root[$19 + 0] != $20) { printf "log/%08d.event\trecords an anchor that this log never had\n", $1; exit }' \
  "$work/roots64" "$work/facts" >"$work/first"
bad_first
if [[ -d anchors ]]; then
  find anchors -mindepth 1 ! -name '.*' \( -name '*.checkpoint' -o -name '*.tsr' \) | sort >"$work/anchors"
  while read -r file; do
    [[ $file =~ ^anchors/([0-9]{8})\.(checkpoint|tsr)$ ]] || bad "$file" 'is not <size, 8 digits>.checkpoint or .tsr'
    size=$((10#${BASH_REMATCH[1]}))
    ((size <= total)) || bad "$(event "$total")" "is missing: the log was truncated; $file knows $size events"
    if [[ $file == *.checkpoint ]]; then
      ((size > 0)) && tail -n 5 "$(event $((size - 1)))" | cmp -s - "$file" || bad "$file" 'is not the checkpoint that the log had at this size'
    else
      authority=$(cut -f2 "$work/sets" | while read -r set; do [[ ! -f $set/tsa-ca.pem ]] || echo "$set"; done | tail -n 1)
      openssl ts -verify -no_check_time -data "${file%.tsr}.checkpoint" -in "$file" -CAfile "${authority:-trust}/tsa-ca.pem" >/dev/null 2>&1 || bad "$file" 'is no timestamp of the checkpoint beside it by the authority of a trust set'
    fi
  done <"$work/anchors"
fi
for anchor in "${given[@]}"; do
  [[ $anchor =~ ^tlog\ ([^\ ]+)\ ([1-9][0-9]{0,7})\ ([A-Za-z0-9+/]{43}=)$ ]] || bad --anchor 'is not "tlog ORIGIN SIZE ROOT"'
  [[ ${BASH_REMATCH[1]} == "$origin" ]] || bad --anchor "is of the log ${BASH_REMATCH[1]}; this is $origin"
  size=${BASH_REMATCH[2]}
  ((size <= total)) || bad "$(event "$total")" "is missing: the log was truncated; --anchor knows $size events, $total are here"
  [[ $(sed -n "${size}p" "$work/roots64") == "${BASH_REMATCH[3]}" ]] || bad --anchor "saw another root at size $size: the log was rewritten"
done
# What a recorded anchor left in the store is still there.
awk -F '\t' -v first="$work/first" '
  BEGIN { printf "" >first }
  $3 != "anchor.made" { next }
  $13 != "-" && $13 !~ /^anchors\/[0-9]+\.checkpoint$/ { printf "log/%08d.event\tnames no file of an anchor\n", $1 >first; exit }
  $13 != "-" && $14 != "-" && !seen[$13, $14]++ { print $14 "  " $13 }
  $22 != "-" && !seen[$19, $22]++ { printf "%s  anchors/%08d.tsr\n", $22, $19 }' "$work/facts" >"$work/anchored"
bad_first
match "$work/anchored" 'is missing, or not the file that the log recorded as an anchor'

awk -F '\t' '$21 != "-" && $3 == "clock.skewed" { print "note: event " $1 " mended a clock: time restarts after it" }' "$work/facts"
awk -F '\t' '$1 == "open" { print "note: " $2 " is in progress: neither closed nor abandoned" }' "$work/runs"
find runs signoffs -mindepth 3 -path '*/approvals/*.json' -o -path 'signoffs/*/*.json' 2>/dev/null | sort |
  comm -23 - <(cut -f4 "$work/signed" | sort) | sed 's/\(.*\)/note: \1: no event counts it/' || true
[[ ! -f $work/unapproved ]] || cat "$work/unapproved"
((${#given[@]})) || echo 'note: no --anchor was given: truncation of the log shows only against one'
[[ $root ]] && echo "trust root $root" || echo "note: nobody signed a roster: who may sign rests on the log's key alone"
echo "note: the keys are those in $trust/ as found: compare them with a copy that came by another way"
echo "verified: $total events, root $(tail -n 1 "$work/roots64"), log $origin"
