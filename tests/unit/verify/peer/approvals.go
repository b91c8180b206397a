package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

type object map[string]interface{}

// text is a member's text, empty where it is none.
func (o object) text(key string) string {
	value, _ := o[key].(string)
	return value
}

func (o object) object(key string) object {
	value, _ := o[key].(map[string]interface{})
	return value
}

// number is a member's whole number, -1 where it is none.
func (o object) number(key string) int64 {
	value, _ := o[key].(json.Number)
	found, err := value.Int64()
	if err != nil {
		return -1
	}
	return found
}

// texts are the members of a list of texts; false where it is none.
func texts(value interface{}) (found []string, ok bool) {
	list, ok := value.([]interface{})
	for _, one := range list {
		text, is := one.(string)
		found, ok = append(found, text), ok && is
	}
	return found, ok
}

// canonical reads canonical JSON of an object.
func canonical(data []byte) (found object, err error) {
	if _, err := entries(data); err != nil {
		return nil, err
	}
	reader := json.NewDecoder(bytes.NewReader(data))
	reader.UseNumber()
	return found, reader.Decode(&found)
}

// when is an instant as the record writes it, and in no other way.
func when(text string) (time.Time, error) {
	at, err := time.Parse(instant, text)
	if err == nil && at.Format(instant) != text {
		err = fmt.Errorf("not a time: %q", text)
	}
	return at, err
}

// entry is an event of the log.
type entry struct {
	seq       int64
	kind, run string
	at        time.Time
	clock     time.Time // a rehearsal's own; else as `at`
	data      object
}

func read(line []byte) (e entry, err error) {
	said, err := canonical(line)
	if err != nil {
		return e, err
	}
	e = entry{seq: said.number("seq"), kind: said.text("type"), run: said.text("run"), data: said.object("data")}
	if e.at, err = when(said.text("time")); err != nil {
		return e, err
	}
	e.clock = e.at
	if own, shifted := e.data["clock"]; shifted {
		e.clock, err = when(fmt.Sprint(own))
	}
	return e, err
}

// statement is what somebody signed under a request.
type statement struct {
	kind, signer, role, gate, incident string
	signed, expires                    time.Time // expires: of an override
	madeWith                           int       // of levels
	text, signature                    []byte
}

const everySigned = "meaning printed_name request_sha256 role run signed_at signer"

// kinds: the closed set of what is signed under a request, with what it means and the keys that it has besides.
var kinds = map[string]struct{ meaning, keys string }{
	"approval.signed":  {"approves the deployment of this request", "comment"},
	"request.rejected": {"rejects this request: it must not be deployed", "reason"},
	"override.signed":  {"answers for passing over this gate, once, for this request", "expires gate incident reason"},
}

const tolerance, longestOverride = 60 * time.Second, 24 * time.Hour

// levels of user verification, the weakest first.
var levels = map[string]int{"none": 0, "touch": 1, "pin": 2}

// signed judges an event that counts a signature under the request of its run.
func (r *run) signed(e entry, store string, force *set) (s statement, err error) {
	if r.made == nil {
		return s, fmt.Errorf("a signature under no request")
	}
	said, text, signature, err := bound(e, store, "runs/"+e.run+"/approvals/")
	if e.kind == "request.rejected" && os.IsNotExist(err) { // the event of a rejection is enough
		signed, err := when(e.data.text("signed_at"))
		return statement{kind: e.kind, signer: e.data.text("signer"), signed: signed}, err
	}
	if err != nil {
		return s, err
	}
	if err := r.says(e, said); err != nil {
		return s, err
	}
	signer, role := said.text("signer"), said.text("role")
	if err := force.has(signer, said.text("printed_name"), role); err != nil {
		return s, err
	}
	judges := []*set{force}
	if e.kind != "request.rejected" {
		judges = append(judges, r.known)
	}
	for _, judge := range judges {
		if err := judge.signedBy(signer, text, signature, e.at); err != nil {
			return s, err
		}
	}
	s = statement{kind: e.kind, signer: signer, role: role, gate: said.text("gate"), incident: said.text("incident")}
	s.madeWith = levels[e.data.text("user_verification")] // what it says is true of the signature: rosters.go
	s.text, s.signature = text, signature
	if r.signers == nil {
		r.signers = force.files["allowed_signers"]
	}
	s.signed, s.expires, err = r.times(e, said)
	return s, err
}

// bound reads a signed file and its signature as the event binds them.
func bound(e entry, store, beside string) (said object, text, signature []byte, err error) {
	name := e.data.text("file")
	folder, file := filepath.Split(name)
	if folder != beside || !strings.HasSuffix(file, ".json") {
		return nil, nil, nil, fmt.Errorf("%q does not lie in %s", name, beside)
	}
	if text, err = os.ReadFile(filepath.Join(store, name)); err != nil {
		return nil, nil, nil, err
	}
	if signature, err = os.ReadFile(filepath.Join(store, name+".sig")); err != nil {
		return nil, nil, nil, err
	}
	if digest(text) != e.data.text("sha256") || digest(signature) != e.data.text("signature_sha256") {
		return nil, nil, nil, fmt.Errorf("%s: it or its signature is another than was counted", name)
	}
	if said, err = canonical(text); err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %v", name, err)
	}
	return said, text, signature, nil
}

// says holds a statement against its kind, the request and the event.
func (r *run) says(e entry, said object) error {
	kind := kinds[e.kind]
	right := strings.Fields(everySigned + " " + kind.keys)
	for _, key := range right {
		if _, is := said[key].(string); !is && !(key == "comment" && said[key] == nil) {
			return fmt.Errorf("the statement has no text %s", key)
		}
		told, found := e.data[key]
		if found && told != said[key] && !(key == "comment" && told == nil && said[key] == "") {
			return fmt.Errorf("the event says %v as %s, signed was %v", told, key, said[key])
		}
	}
	if len(said) != len(right) {
		return fmt.Errorf("the statement has not exactly the keys %s", strings.Join(right, " "))
	}
	switch {
	case said.text("meaning") != kind.meaning:
		return fmt.Errorf("it means %q", said.text("meaning"))
	case said.text("run") != e.run || said.text("request_sha256") != r.made.data.text("request_sha256"):
		return fmt.Errorf("it is about another request")
	case !address.MatchString(said.text("signer")):
		return fmt.Errorf("%q is no address to sign under", said.text("signer"))
	}
	return nil
}

// times holds when it was signed, and until when an override lasts, by the request's own clock.
func (r *run) times(e entry, said object) (signed, expires time.Time, err error) {
	if signed, err = when(said.text("signed_at")); err != nil {
		return signed, expires, err
	}
	if signed.Before(r.made.clock.Add(-tolerance)) || signed.After(e.clock.Add(tolerance)) {
		return signed, expires, fmt.Errorf("signed at %s, not between request.made and this event", said.text("signed_at"))
	}
	if e.kind == "override.signed" {
		if expires, err = when(said.text("expires")); err != nil {
			return signed, expires, err
		}
		if !expires.After(signed) || expires.Sub(signed) > longestOverride {
			return signed, expires, fmt.Errorf("an override from %s until %s", said.text("signed_at"), said.text("expires"))
		}
	}
	return signed, expires, nil
}

// person is what roles.json says of somebody; nil of nobody.
func (s *set) person(signer string) object {
	roles, _ := canonical(s.files["roles.json"])
	return roles.object(signer)
}

// has holds a signer's name and role against roles.json.
func (s *set) has(signer, printed, role string) error {
	entry := s.person(signer)
	held, _ := texts(entry["roles"])
	for _, one := range held {
		if one == role && entry["printed_name"] == printed {
			return nil
		}
	}
	return fmt.Errorf("the roster has no %s, %s, as %s", signer, printed, role)
}

// signedBy holds a signature against allowed_signers.
func (s *set) signedBy(signer string, message, armored []byte, at time.Time) error {
	keys, err := allowed(s.files["allowed_signers"])
	if err != nil {
		return err
	}
	found, err := signerOf(armored, message, keys, at)
	if err == nil && found != signer {
		err = fmt.Errorf("signed by %s, not by %s", found, signer)
	}
	return err
}

// people are those whom an actor stands for: `github:<id>:<login>`, `local:<uid>:<user>@<host>`, or an e-mail.
func (s *set) people(actor string) (found []string) {
	roles, _ := canonical(s.files["roles.json"])
	kind, rest, _ := strings.Cut(actor, ":")
	first, second, _ := strings.Cut(rest, ":")
	for person := range roles {
		entry := roles.object(person)
		mails, _ := texts(entry["emails"])
		same := strings.EqualFold(person, actor)
		for _, mail := range mails {
			same = same || strings.EqualFold(mail, actor)
		}
		switch kind {
		case "github":
			same = same || entry["github"] != nil && fmt.Sprint(entry["github"]) == first
		case "local":
			user, whole := second, strings.Count(actor, ":") > 1
			if at := strings.LastIndex(second, "@"); at >= 0 {
				user = second[:at]
			}
			same = same || whole && entry["local"] == user
		}
		if same {
			found = append(found, person)
		}
	}
	sort.Strings(found)
	return found
}
