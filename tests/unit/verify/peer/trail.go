package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// trail follows the reviews of the audit trail: "Reviews of the trail" in docs/record-format.md.
type trail struct {
	until     int64             // the first event that nobody reviewed
	deployers map[string]string // run -> who deployed it
	turns     []turn            // openings and ends of runs, in order
	counted   map[string]bool   // files
}

type turn struct {
	at  int64
	run string
}

// runs takes in who deployed a run, and when it was opened, closed or abandoned.
func (t *trail) runs(at int64, kind, run, deployer string) {
	if t.deployers == nil {
		t.deployers, t.counted = map[string]string{}, map[string]bool{}
	}
	if kind == "run.opened" {
		t.deployers[run] = deployer
	}
	if kind == "run.opened" || kind == "run.closed" || kind == "run.abandoned" {
		t.turns = append(t.turns, turn{at, run})
	}
}

// review looks at one trail.reviewed, event `seq`, made at a time while the set `now` was in force.
func (t *trail) review(store, origin string, now *set, seq int64, run string, data json.RawMessage, at time.Time, roots []tlog.Hash) error {
	if run != "-" {
		return fmt.Errorf("a review names a run")
	}
	var says struct {
		First, Size           int64
		Root, Signer, Role    string
		File, Sha256, Meaning string
		Signature             string `json:"signature_sha256"`
		Name                  string `json:"printed_name"`
	}
	if err := json.Unmarshal(data, &says); err != nil {
		return err
	}
	if says.First != t.until || says.Size <= says.First || says.Size > seq {
		return fmt.Errorf("it reviews events %d to %d, and %d is the first that nobody reviewed", says.First, says.Size-1, t.until)
	}
	if roots[says.Size-1].String() != says.Root {
		return fmt.Errorf("it reviews another log")
	}
	if err := t.signed(store, origin, now, data, says.File, says.Sha256, says.Signature, says.Signer, at); err != nil {
		return fmt.Errorf("%s: %v", says.File, err)
	}
	people, err := entries(now.files["roles.json"])
	if err != nil {
		return err
	}
	var person struct {
		Name   string      `json:"printed_name"`
		Github json.Number `json:"github"`
		Local  *string     `json:"local"`
	}
	if json.Unmarshal(people[says.Signer], &person) != nil || person.Name != says.Name || !holding(people, says.Role)[says.Signer] {
		return fmt.Errorf("%s is not known by this name and in this role", says.Signer)
	}
	for _, one := range t.turns {
		if one.at < says.First || one.at >= says.Size {
			continue
		}
		actor := t.deployers[one.run]
		part := strings.SplitN(actor, ":", 3)
		local := len(part) == 3 && part[0] == "local" && person.Local != nil && strings.Split(part[2], "@")[0] == *person.Local
		github := len(part) == 3 && part[0] == "github" && person.Github != "" && part[1] == person.Github.String()
		if strings.ToLower(actor) == says.Signer || local || github {
			return fmt.Errorf("%s deployed %s and reviews it", says.Signer, one.run)
		}
	}
	t.until = says.Size
	return nil
}

// signed holds the file and its signature against the event that counts them.
func (t *trail) signed(store, origin string, now *set, data json.RawMessage, file, sum, signature, person string, at time.Time) error {
	if t.counted[file] || filepath.IsAbs(file) || strings.Contains(file, "..") {
		return fmt.Errorf("counted twice, or outside the record")
	}
	t.counted[file] = true
	text, err := os.ReadFile(filepath.Join(store, filepath.FromSlash(file)))
	if err != nil {
		return err
	}
	armored, err := os.ReadFile(filepath.Join(store, filepath.FromSlash(file+".sig")))
	if err != nil {
		return err
	}
	if digest(text) != sum || digest(armored) != signature {
		return fmt.Errorf("not the files that are counted")
	}
	said, err := entries(text)
	if err != nil {
		return err
	}
	var event map[string]json.RawMessage
	if err := json.Unmarshal(data, &event); err != nil {
		return err
	}
	for _, key := range strings.Fields("signer printed_name role meaning signed_at findings first size root") {
		if len(said[key]) == 0 || !bytes.Equal(said[key], event[key]) {
			return fmt.Errorf("says another %s", key)
		}
	}
	if string(said["meaning"]) != `"reviewed"` {
		return fmt.Errorf("means %s", said["meaning"])
	}
	if of, found := said["origin"]; found && string(of) != `"`+origin+`"` {
		return fmt.Errorf("of another log: %s", of)
	}
	keys, err := allowed(now.files["allowed_signers"])
	if err != nil {
		return err
	}
	whose, err := signer(armored, text, keys, at)
	if err != nil {
		return err
	}
	if whose != person {
		return fmt.Errorf("signed by %s", whose)
	}
	return nil
}
