package main

import (
	"fmt"
	"reflect"
	"strings"

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

// event takes in who deployed a run, and when it was opened, closed or abandoned; and judges reviews.
func (t *trail) event(e entry, trust *rosters, roots []tlog.Hash) error {
	if t.deployers == nil {
		t.deployers, t.counted = map[string]string{}, map[string]bool{}
	}
	switch e.kind {
	case "run.opened":
		t.deployers[e.run] = e.data.text("deployer")
		t.turns = append(t.turns, turn{e.seq, e.run})
	case "run.closed", "run.abandoned":
		t.turns = append(t.turns, turn{e.seq, e.run})
	case "trail.reviewed":
		return t.review(e, trust, roots)
	}
	return nil
}

func (t *trail) review(e entry, trust *rosters, roots []tlog.Hash) error {
	if e.run != "-" {
		return fmt.Errorf("a review names a run")
	}
	first, size := e.data.number("first"), e.data.number("size")
	if first != t.until || size <= first || size > e.seq {
		return fmt.Errorf("it reviews events %d to %d, and %d is the first that nobody reviewed", first, size-1, t.until)
	}
	if roots[size-1].String() != e.data.text("root") {
		return fmt.Errorf("it reviews another log")
	}
	if err := t.signed(e, trust); err != nil {
		return fmt.Errorf("%s: %v", e.data.text("file"), err)
	}
	for _, one := range t.turns {
		if one.at < first || one.at >= size {
			continue
		}
		for _, person := range trust.force.people(t.deployers[one.run]) {
			if person == e.data.text("signer") {
				return fmt.Errorf("%s deployed %s and reviews it", person, one.run)
			}
		}
	}
	t.until = size
	return nil
}

// signed holds the file and its signature against the event that counts them.
func (t *trail) signed(e entry, trust *rosters) error {
	file := e.data.text("file")
	if t.counted[file] {
		return fmt.Errorf("counted twice")
	}
	t.counted[file] = true
	said, text, signature, err := bound(e, trust.store, "signoffs/environment/")
	if err != nil {
		return err
	}
	for _, key := range strings.Fields("signer printed_name role meaning signed_at findings first size root") {
		value, found := said[key]
		if !found || !reflect.DeepEqual(value, e.data[key]) {
			return fmt.Errorf("says another %s", key)
		}
	}
	if said["meaning"] != "reviewed" || said["origin"] != trust.origin {
		return fmt.Errorf("means %v, of the log %v", said["meaning"], said["origin"])
	}
	signer := said.text("signer")
	if err := trust.force.has(signer, said.text("printed_name"), said.text("role")); err != nil {
		return err
	}
	return trust.force.signedBy(signer, text, signature, e.at)
}
