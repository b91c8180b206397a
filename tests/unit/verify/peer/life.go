package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// after is what may stand behind run.closed, besides key.*, notification.* and environment.*.
const after = "anchor.made record.amended record.annotated record.read signoff.signed deviation.accepted backup.created alert.raised clock.skewed lease.taken lease.renewed lease.released"

// outcomes are those that a pipeline has.
var outcomes = map[string]string{
	"deploy": "deployed refused failed rolled-back rollback-failed", "rollback": "refused failed rolled-back rollback-failed",
	"smoke": "passed not-passed refused failed", "iq": "passed not-passed refused failed", "oq": "passed not-passed refused failed",
	"pq": "passed not-passed refused failed", "plan": "passed still-needed not-passed refused failed",
}

// life is what happened in a run, for its outcome to be held against.
type life struct {
	voided, finished bool
	steps            map[string]bool // those that are open, and whether they may change the environment
	rollback         string          // "", "open", or how the newest ended
	bad, owed        bool            // a step failed, or is still needed
	changed          bool
	decided          string
}

func words(list, word string) bool {
	return strings.Contains(" "+list+" ", " "+word+" ")
}

// live judges whether an event may stand where it stands.
func (r *run) live(e entry) error {
	area, _, _ := strings.Cut(e.kind, ".")
	if r.finished && !words("key notification environment", area) && !words(after, e.kind) {
		return fmt.Errorf("%s after the run was closed", e.kind)
	}
	switch e.kind {
	case "request.voided":
		r.voided = true
	case "step.started":
		changes, _ := e.data["changes"].(bool)
		r.steps[e.data.text("nodeid")] = changes
		return r.begun()
	case "step.finished":
		if _, open := r.steps[e.data.text("nodeid")]; !open {
			return fmt.Errorf("the end of a step that is not open")
		}
		delete(r.steps, e.data.text("nodeid"))
		r.bad = r.bad || words("failed error", e.data.text("outcome"))
		r.owed = r.owed || e.data.text("outcome") == "still-needed"
		return r.begun()
	case "rollback.started":
		r.rollback = "open"
		return r.begun()
	case "rollback.finished":
		if r.rollback != "open" {
			return fmt.Errorf("the end of a rollback that is not open")
		}
		r.rollback = e.data.text("outcome")
		return r.begun()
	case "revision.deployed", "traffic.moved", "migration.applied", "migration.rolled-back":
		r.changed = true
		if !r.changing() && r.rollback != "open" {
			return fmt.Errorf("%s outside a step that announced a change", e.kind)
		}
		return r.begun()
	case "run.decided":
		return r.decide(e.data.text("outcome"))
	case "run.closed":
		if r.decided == "" || r.decided != e.data.text("outcome") {
			return fmt.Errorf("closed as %s, decided was %q", e.data.text("outcome"), r.decided)
		}
		r.finished = true
	case "run.abandoned":
		r.finished = true
	}
	return nil
}

// changing: a step that may change the environment is open.
func (r *run) changing() bool {
	for _, changes := range r.steps {
		if changes {
			return true
		}
	}
	return false
}

// begun: the run was opened, and nothing was decided.
func (r *run) begun() error {
	if r.opened == nil || r.decided != "" {
		return fmt.Errorf("not between run.opened and run.decided")
	}
	return nil
}

// decide holds an outcome against the pipeline and what happened.
func (r *run) decide(outcome string) error {
	if err := r.begun(); err != nil {
		return err
	}
	r.decided = outcome
	wrong := false
	switch outcome {
	case "deployed":
		wrong = r.bad || r.owed || r.rollback != ""
	case "passed":
		wrong = r.bad || r.owed
	case "still-needed":
		wrong = r.bad || !r.owed
	case "failed", "refused":
		wrong = r.changed
	case "rolled-back":
		wrong = r.rollback != "rolled-back"
	}
	if wrong || !words(outcomes[r.opened.data.text("pipeline")], outcome) {
		return fmt.Errorf("%s is not how this run of %s ended", outcome, r.opened.data.text("pipeline"))
	}
	return nil
}

// preimages holds each file against its name, whether a run names it or not.
func preimages(store string) error {
	top, err := os.ReadDir(filepath.Join(store, "preimages"))
	if os.IsNotExist(err) {
		return nil
	}
	for _, one := range top {
		if one.Name() != "sha256" || !one.IsDir() {
			return fmt.Errorf("preimages/%s: not a folder of digests", one.Name())
		}
	}
	if err != nil || len(top) == 0 {
		return err
	}
	files, err := os.ReadDir(filepath.Join(store, "preimages", "sha256"))
	for _, file := range files {
		name := "preimages/sha256/" + file.Name()
		if !file.Type().IsRegular() {
			return fmt.Errorf("%s: no regular file", name)
		}
		text, err := os.ReadFile(filepath.Join(store, name))
		if err != nil || digest(text) != file.Name() {
			return fmt.Errorf("%s: not the text of this digest", name)
		}
	}
	return err
}
