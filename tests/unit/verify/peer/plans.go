package main

import (
	"encoding/json"
	"fmt"
)

// plans holds what people sign under a request against the plan that the request names, from docs/record-format.md, "Verdicts".
type plans struct {
	pipeline map[string]string            // of each run
	answers  map[string]map[string]string // of each run: gate -> its newest verdict
	passed   map[[2]string]bool           // plan and the request it passed with
	names    map[string]string            // of each request: its plan
}

func newPlans() *plans {
	return &plans{map[string]string{}, map[string]map[string]string{}, map[[2]string]bool{}, map[string]string{}}
}

func (p *plans) event(line []byte) error {
	var said struct {
		Type, Run string
		Data      json.RawMessage
	}
	if err := json.Unmarshal(line, &said); err != nil {
		return err
	}
	var data struct{ Pipeline, Plan, Request, Outcome, Gate, Verdict string }
	switch said.Type {
	case "run.opened", "gate.passed", "gate.refused", "gate.not-applicable", "request.made", "run.decided":
		if err := json.Unmarshal(said.Data, &data); err != nil {
			return err
		}
	}
	run := said.Run
	switch said.Type {
	case "run.opened":
		p.pipeline[run] = data.Pipeline
	case "gate.passed", "gate.refused", "gate.not-applicable":
		if p.answers[run] == nil {
			p.answers[run] = map[string]string{}
		}
		p.answers[run][data.Gate] = data.Verdict
	case "request.made":
		p.names[run] = data.Plan
	case "run.decided":
		well := p.pipeline[run] == "plan" && (data.Outcome == "passed" || data.Outcome == "still-needed")
		for _, verdict := range p.answers[run] {
			well = well && verdict != "refused"
		}
		if well {
			p.passed[[2]string{run, data.Request}] = true
		}
	case "approval.signed", "override.signed":
		if !p.passed[[2]string{p.names[run], run}] {
			return fmt.Errorf("under a request whose plan did not pass")
		}
	}
	return nil
}
