package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/tlog"
)

// set is a trust set in force: its files, and of a signed one what its roster says.
type set struct {
	files map[string][]byte
	says  roster
	putIn map[string][]string // who signed what the roster says of each person, when it said something new of them last
}

type roster struct {
	Type           string   `json:"type"`
	Meaning        string   `json:"meaning"`
	Origin         string   `json:"origin"`
	Number         int64    `json:"number"`
	Before         *string  `json:"before"`
	Signers        string   `json:"allowed_signers_sha256"`
	Roles          string   `json:"roles_sha256"`
	Administrators string   `json:"administrators"`
	Quorum         int64    `json:"quorum"`
	Approvers      []string `json:"approvers"`
	Expires        string   `json:"expires"`
	Reason         string   `json:"reason"`
	Identity       string   `json:"identity"`
}

const instant = "2006-01-02T15:04:05.000Z"

// rosters follows the trust sets that the key events name, from the trust root on, and holds approvals against them.
type rosters struct {
	store  string
	origin string
	force  *set
	signed *set   // the newest signed one
	root   string // the digest of the first signed roster.json
	early  string // the first event that counted somebody's signature before it
	trail  trail
}

// peoples are the events that count somebody's signature.
const peoples = "approval.signed override.signed request.rejected signoff.signed record.amended record.annotated deviation.accepted environment.released trail.reviewed"

// event looks at one event of the log; roots are those of the tree up to it.
func (r *rosters) event(e entry, name string, roots []tlog.Hash) error {
	if r.signed != nil && (e.kind == "approval.signed" || e.kind == "override.signed") && e.at.Format(instant) >= r.signed.says.Expires {
		return fmt.Errorf("counted after the roster in force expired")
	}
	if r.signed == nil && r.early == "" && words(peoples, e.kind) {
		r.early = name
	}
	if said, found := e.data["user_verification"]; found {
		if err := r.madeWith(e.data.text("file"), said); err != nil && !(e.kind == "request.rejected" && os.IsNotExist(err)) {
			return fmt.Errorf("%s.sig: %v", e.data.text("file"), err)
		}
	}
	if !strings.HasPrefix(e.kind, "key.") {
		if r.force == nil {
			return fmt.Errorf("the log does not begin with its key")
		}
		return r.trail.event(e, r, roots)
	}
	next, err := readSet(r.store, e.data)
	if err != nil {
		return err
	}
	r.force = next
	if next.files["roster.json"] == nil {
		if r.signed != nil {
			return fmt.Errorf("an unsigned set after a signed one")
		}
		return nil
	}
	if err := r.follows(next, e.kind, e.at); err != nil {
		return err
	}
	if r.signed == nil {
		r.root = digest(next.files["roster.json"])
	}
	r.signed = next
	return nil
}

// madeWith holds what an event says of the user verification of its signature against that signature.
func (r *rosters) madeWith(file string, said interface{}) error {
	place := filepath.Join(r.store, filepath.FromSlash(file))
	statement, err := os.ReadFile(place)
	if err != nil {
		return err
	}
	armored, err := os.ReadFile(place + ".sig")
	if err != nil {
		return err
	}
	signature, err := open(armored, statement)
	if err != nil {
		return err
	}
	if signature.userVerification != said {
		return fmt.Errorf("made with %s, not with %v", signature.userVerification, said)
	}
	return nil
}

// startsAt holds the trust root against what people kept elsewhere.
func (r *rosters) startsAt(root string) error {
	if !strings.EqualFold(r.root, root) {
		return fmt.Errorf("--trust-root: it is %q, not %s", r.root, root)
	}
	if r.early != "" {
		return fmt.Errorf("%s: counted before administrators signed a roster", r.early)
	}
	return nil
}

// readSet reads the set that a key event names.
func readSet(store string, data object) (*set, error) {
	whole := data.text("set_sha256")
	if !hexDigest.MatchString(whole) || data.text("set") != "trust/"+whole[:16] {
		return nil, fmt.Errorf("not the folder of the set: %q", data.text("set"))
	}
	names, err := filepath.Glob(filepath.Join(store, "trust", whole[:16], "[^.]*"))
	if err != nil {
		return nil, err
	}
	found := &set{files: map[string][]byte{}}
	sums := ""
	for _, name := range names { // Glob sorts as the C locale does
		base := filepath.Base(name)
		if found.files[base], err = os.ReadFile(name); err != nil {
			return nil, err
		}
		sums += digest(found.files[base]) + "  " + base + "\n"
	}
	if digest([]byte(sums)) != whole {
		return nil, fmt.Errorf("%s holds other files than the event says", data.text("set"))
	}
	return found, nil
}

// signatures are the names of a set's files that begin so and end in .sig, in order.
func (s *set) signatures(prefix string) (names []string) {
	for name := range s.files {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, ".sig") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// under are the files that one roster.json stands for.
func (s *set) under() string {
	text := fmt.Sprintf("%q %q", s.files["allowed_signers"], s.files["roles.json"])
	for _, name := range append(s.signatures("roster-"), s.signatures("pledge-")...) {
		text += fmt.Sprintf(" %s %q", name, s.files[name])
	}
	return text
}

func (r *rosters) follows(next *set, kind string, at time.Time) error {
	if r.signed != nil && bytes.Equal(next.files["roster.json"], r.signed.files["roster.json"]) {
		if next.under() != r.signed.under() {
			return fmt.Errorf("other files under the same roster")
		}
		next.says, next.putIn = r.signed.says, r.signed.putIn
		return nil
	}
	if kind == "key.rotated" {
		return fmt.Errorf("key.rotated changes the roster")
	}
	var err error
	if next.says, err = parse(next.files["roster.json"]); err != nil {
		return err
	}
	judge, number := next, int64(1)
	if r.signed != nil {
		judge, number = r.signed, r.signed.says.Number+1
	}
	says := next.says
	before := says.Before == nil
	if r.signed != nil {
		before = says.Before != nil && *says.Before == digest(judge.files["roster.json"])
	}
	expires, err := time.Parse(instant, says.Expires)
	switch {
	case err != nil || says.Expires != expires.Format(instant):
		return fmt.Errorf("expires is no time: %q", says.Expires)
	case says.Type != "roster" || says.Meaning != "puts this roster in force" || says.Origin != r.origin:
		return fmt.Errorf("not a roster of this log")
	case says.Number != number || !before:
		return fmt.Errorf("roster %d does not follow the one before it", says.Number)
	case says.Signers != digest(next.files["allowed_signers"]) || says.Roles != digest(next.files["roles.json"]):
		return fmt.Errorf("the roster is about other files")
	case !expires.After(at) || expires.Sub(at) > 366*24*time.Hour:
		return fmt.Errorf("expires is not within 366 days: %s", says.Expires)
	}
	roles, err := entries(next.files["roles.json"])
	if err != nil {
		return err
	}
	if err := people(roles); err != nil {
		return err
	}
	if err := next.writtenOnce(); err != nil {
		return err
	}
	if holders := len(holding(roles, says.Administrators)); says.Quorum < 1 || (says.Quorum < 2 && holders > 1) {
		return fmt.Errorf("quorum %d of %d", says.Quorum, holders)
	}
	if err := next.pledged(r.signed, roles, at); err != nil {
		return err
	}
	return next.judgedBy(judge, roles, at)
}

const pledges = "what is signed with this key is signed by me, and binds me as my handwritten signature does"

// pledged holds each key that is new against what its person signed with it.
func (s *set) pledged(before *set, roles map[string]json.RawMessage, at time.Time) error {
	lines, err := allowed(s.files["allowed_signers"])
	if err != nil {
		return err
	}
	had, namespace := map[string]bool{}, ""
	judging := lines
	if before != nil {
		if judging, err = allowed(before.files["allowed_signers"]); err != nil {
			return err
		}
		for _, one := range judging {
			had[one.person+" "+string(one.key)] = one.lasts(at) || had[one.person+" "+string(one.key)]
		}
	}
	if len(judging) > 0 {
		namespace = judging[0].namespace
	}
	for _, one := range lines {
		if !one.lasts(at) || had[one.person+" "+string(one.key)] {
			continue
		}
		name, err := printedName(roles[one.person])
		if err != nil {
			return fmt.Errorf("%s has a key and no name: %v", one.person, err)
		}
		sum := sha256.Sum256(one.key)
		var said strings.Builder
		write(&said, map[string]interface{}{
			"type": "pledge", "meaning": pledges, "origin": s.says.Origin, "signer": one.person, "printed_name": name,
			"key": "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]),
		})
		file := "pledge-" + hex.EncodeToString(sum[:4]) + ".sig"
		one.namespace, one.after, one.before = namespace, time.Time{}, time.Time{}
		if _, err := signerOf(s.files[file], []byte(said.String()+"\n"), []allowedKey{one}, at); err != nil {
			return fmt.Errorf("%s of %s: %v", file, one.person, err)
		}
	}
	return nil
}

// writtenOnce: each key is written as OpenSSH writes it, so that one does not look like two.
func (s *set) writtenOnce() error {
	keys, err := allowed(s.files["allowed_signers"])
	for _, one := range keys {
		words := strings.Fields(one.text)
		key, err := ssh.ParsePublicKey(one.key)
		if err != nil || !bytes.Equal(key.Marshal(), one.key) || base64.StdEncoding.EncodeToString(one.key) != words[3] {
			return fmt.Errorf("allowed_signers: a key of %s is not written as it is: %v", one.person, err)
		}
	}
	return err
}

// judgedBy counts different people of the judging set's administrators whom the change does not concern.
func (s *set) judgedBy(judge *set, roles map[string]json.RawMessage, at time.Time) error {
	was, err := entries(judge.files["roles.json"])
	if err != nil {
		return err
	}
	oldLines, err := allowed(judge.files["allowed_signers"])
	if err != nil {
		return err
	}
	newLines, err := allowed(s.files["allowed_signers"])
	if err != nil {
		return err
	}
	administrators, counted := holding(was, judge.says.Administrators), map[string]bool{}
	var all []string
	changed := func(person string) bool {
		return !bytes.Equal(was[person], roles[person]) || text(oldLines, person) != text(newLines, person)
	}
	for _, name := range s.signatures("roster-") {
		person, err := signerOf(s.files[name], s.files["roster.json"], oldLines, at)
		if err != nil {
			return fmt.Errorf("%s: %v", name, err)
		}
		if !administrators[person] {
			return fmt.Errorf("%s: %s is no administrator", name, person)
		}
		all = append(all, person)
		if !changed(person) {
			counted[person] = true
		}
	}
	if int64(len(counted)) < judge.says.Quorum {
		return fmt.Errorf("signed by %d administrators, not by %d", len(counted), judge.says.Quorum)
	}
	s.putIn = map[string][]string{}
	for person := range roles {
		if s.putIn[person] = judge.putIn[person]; judge == s || changed(person) {
			s.putIn[person] = all
		}
	}
	return nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// entries are the members of a canonical JSON object, as they are written.
func entries(data []byte) (map[string]json.RawMessage, error) {
	reader := json.NewDecoder(bytes.NewReader(data))
	reader.UseNumber()
	var any interface{}
	if err := reader.Decode(&any); err != nil {
		return nil, err
	}
	var again strings.Builder
	write(&again, any)
	if again.String()+"\n" != string(data) {
		return nil, fmt.Errorf("not canonical JSON")
	}
	var members map[string]json.RawMessage
	return members, json.Unmarshal(data, &members)
}

func parse(data []byte) (says roster, err error) {
	members, err := entries(data)
	if err != nil {
		return says, fmt.Errorf("roster.json: %v", err)
	}
	keys := "type meaning origin number before allowed_signers_sha256 roles_sha256 administrators quorum approvers expires reason identity"
	for _, key := range strings.Fields(keys) {
		value := string(members[key])
		if value == "" || (value == "null" && key != "before") {
			return says, fmt.Errorf("roster.json: %s is missing", key)
		}
		delete(members, key)
	}
	if len(members) > 0 {
		return says, fmt.Errorf("roster.json: it has a key more")
	}
	if err := json.Unmarshal(data, &says); err != nil {
		return says, err
	}
	for _, role := range says.Approvers {
		if role == "" {
			return says, fmt.Errorf("roster.json: approvers names no role")
		}
	}
	return says, nil
}

// people holds addresses and printed names to how they are written.
func people(roles map[string]json.RawMessage) error {
	for email, entry := range roles {
		if !address.MatchString(email) {
			return fmt.Errorf("roles.json: %q is no address of one person", email)
		}
		if name, err := printedName(entry); err != nil || !printed.MatchString(name) {
			return fmt.Errorf("roles.json: the printed_name of %s is not written as one: %q", email, name)
		}
	}
	return nil
}

var (
	address = regexp.MustCompile("^[a-z0-9$%&'/=^_`{|}~.-]+@[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
	letters = `[^\x{00}-\x{20}\x{7f}-\x{a0}\x{ad}\x{115f}\x{1160}\x{2000}-\x{200f}\x{2028}-\x{202f}\x{205f}-\x{206f}\x{2800}\x{3000}\x{3164}\x{feff}\x{ffa0}]+`
	printed = regexp.MustCompile(`^` + letters + `( ` + letters + `)*$`)
)

func printedName(entry json.RawMessage) (name string, err error) {
	var members map[string]json.RawMessage
	if err = json.Unmarshal(entry, &members); err == nil {
		err = json.Unmarshal(members["printed_name"], &name)
	}
	return name, err
}

// holding are the people who have a role.
func holding(entries map[string]json.RawMessage, role string) map[string]bool {
	people := map[string]bool{}
	for person, entry := range entries {
		var members map[string]json.RawMessage // a struct would take "ROLES" for "roles"
		var has []string
		if json.Unmarshal(entry, &members) != nil || json.Unmarshal(members["roles"], &has) != nil {
			continue
		}
		for _, one := range has {
			if one == role {
				people[person] = true
			}
		}
	}
	return people
}

// write is canonical JSON: keys sorted, no spaces, ASCII only.
func write(to *strings.Builder, value interface{}) {
	switch value := value.(type) {
	case map[string]interface{}:
		var keys []string
		for key := range value {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		to.WriteString("{")
		for i, key := range keys {
			if i > 0 {
				to.WriteString(",")
			}
			quote(to, key)
			to.WriteString(":")
			write(to, value[key])
		}
		to.WriteString("}")
	case []interface{}:
		to.WriteString("[")
		for i, one := range value {
			if i > 0 {
				to.WriteString(",")
			}
			write(to, one)
		}
		to.WriteString("]")
	case string:
		quote(to, value)
	case nil:
		to.WriteString("null")
	default:
		fmt.Fprint(to, value)
	}
}

func quote(to *strings.Builder, text string) {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	to.WriteString(`"`)
	for _, unit := range utf16.Encode([]rune(text)) {
		if escape, found := short[rune(unit)]; found {
			to.WriteString(escape)
		} else if unit < ' ' || unit > '~' {
			fmt.Fprintf(to, `\u%04x`, unit)
		} else {
			to.WriteByte(byte(unit))
		}
	}
	to.WriteString(`"`)
}
