package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// run is what the log said of one run so far.
type run struct {
	made    *entry
	known   *set // the roster at request.made
	request object
	counted []statement
	signers []byte // allowed_signers by which what is counted was looked at last
	opened  *entry
	first   bool             // no run was closed before it opened
	answers map[string]entry // the newest of each gate
	changes bool             // it has announced a changing step
	weakest int              // what the signatures behind its verdicts before it opened were made with
	asks    string           // of a plan that passed: the run it asks for
	life
}

// records holds signatures and verdicts against what they rest on.
type records struct {
	store  string
	runs   map[string]*run
	closed int
	free   []string // runs that went on under a policy that asks nobody
}

// event judges one event under the trust set in force.
func (r *records) event(e entry, force *set) error {
	if e.run == "-" {
		return nil
	}
	it := r.runs[e.run]
	if it == nil {
		it = &run{answers: map[string]entry{}, weakest: levels["pin"], life: life{steps: map[string]bool{}}}
		r.runs[e.run] = it
	}
	if err := it.live(e); err != nil {
		return err
	}
	switch e.kind {
	case "request.made":
		return it.ask(e, r.store, force)
	case "approval.signed", "override.signed", "request.rejected":
		if e.kind != "request.rejected" && !r.planned(e.run, it) {
			return fmt.Errorf("under a request whose plan did not pass")
		}
		s, err := it.signed(e, r.store, force)
		it.counted = append(it.counted, s)
		return err
	case "run.opened":
		it.first = r.closed == 0
		if err := it.open(e, r.store); err != nil {
			return err
		}
		return kept(e, r.store)
	case "gate.passed", "gate.refused", "gate.not-applicable":
		return it.answer(e, r.store, force)
	case "step.started":
		changes, _ := e.data["changes"].(bool)
		if !changes || e.data.text("phase") == "rollback" || it.changes {
			return nil
		}
		it.changes = true
		return r.standsBehind(e.run, it, force, "change")
	case "rollback.started":
		if it.opened == nil || it.opened.data.text("pipeline") != "rollback" || it.changes {
			return nil
		}
		it.changes = true
		if it.made == nil {
			return fmt.Errorf("a rollback that nobody asked for")
		}
		return r.standsBehind(e.run, it, force, "change")
	case "revision.deployed", "migration.applied":
		return it.change(e)
	case "traffic.moved":
		return it.moved(e)
	case "run.decided":
		it.asks = it.asked(e)
		if it.decided == "deployed" && !it.changes {
			return r.standsBehind(e.run, it, force, "lease change")
		}
	case "run.closed":
		r.closed++
	}
	return nil
}

func (r *run) ask(e entry, store string, force *set) error {
	if r.made != nil {
		return fmt.Errorf("a second request of one run")
	}
	r.made, r.known = &e, force
	text, err := os.ReadFile(filepath.Join(store, "runs", e.run, "request.json"))
	if err == nil && digest(text) == e.data.text("request_sha256") {
		r.request, err = canonical(text)
	}
	if plan, signed := r.request["plan"]; err == nil && signed {
		of, _ := plan.(map[string]interface{})
		if object(of).text("run") != e.data.text("plan") {
			return fmt.Errorf("the plan is %q, and people sign another", e.data.text("plan"))
		}
	}
	if end, signed := r.request["expires"]; err == nil && signed && end != e.data["expires"] {
		return fmt.Errorf("it ends at %v, and people sign that it ends at %v", e.data["expires"], end)
	}
	return err
}

func (r *run) open(e entry, store string) error {
	switch {
	case r.opened != nil:
		return fmt.Errorf("opened twice")
	case r.voided:
		return fmt.Errorf("opened on a request that was voided")
	case r.made == nil && e.data["request_sha256"] != nil:
		return fmt.Errorf("opened on a request that nobody made")
	case r.made != nil && e.data.text("request_sha256") != r.made.data.text("request_sha256"):
		return fmt.Errorf("opened on another request than was made")
	}
	r.opened = &e
	if who := r.rejected(); who != "" {
		return fmt.Errorf("opened though %s rejects the request", who)
	}
	if r.made != nil && r.made.data["expires"] != nil {
		expires, err := when(r.made.data.text("expires"))
		if err != nil || !e.clock.Before(expires) {
			return fmt.Errorf("opened on a request that ran out at %v", r.made.data["expires"])
		}
	}
	return r.madeWell(r.weakest, store)
}

// madeWell holds what signatures were made with against what the policy of the run asks.
func (r *run) madeWell(weakest int, store string) error {
	if policy, _, err := r.policy(store); err == nil && weakest < policy.verification {
		return fmt.Errorf("a signature was made with less than policy asks")
	}
	return nil // under a text that is no policy nothing goes on
}

// kept holds what the run was judged by against the names that it lies under.
func kept(e entry, store string) error {
	texts := e.data.object("preimages")
	for what := range texts {
		sum := texts.text(what)
		if !hexDigest.MatchString(sum) {
			return fmt.Errorf("preimages: %s is no SHA-256: %q", what, sum)
		}
		text, err := os.ReadFile(filepath.Join(store, "preimages", "sha256", sum))
		if err != nil || digest(text) != sum {
			return fmt.Errorf("preimages/sha256/%s is not there as it was: %v", sum, err)
		}
	}
	return nil
}

// rejected is who rejected the request and has not approved it since.
func (r *run) rejected() string {
	for at, one := range r.counted {
		stands := one.kind == "request.rejected"
		for _, later := range r.counted[at:] {
			if later.kind == "approval.signed" && later.signer == one.signer && later.signed.After(one.signed) {
				stands = false
			}
		}
		if stands {
			return one.signer
		}
	}
	return ""
}

// answer judges what a gate says.
func (r *run) answer(e entry, store string, force *set) error {
	right := map[string]string{"passed": "gate.passed", "not-applicable": "gate.not-applicable", "refused": "gate.refused", "still-needed": "gate.refused"}
	if right[e.data.text("verdict")] != e.kind {
		return fmt.Errorf("%s with the verdict %v", e.kind, e.data["verdict"])
	}
	gate, point := e.data.text("gate"), e.data.text("point")
	r.answers[gate] = e
	if e.kind != "gate.passed" || point == "plan" {
		return nil
	}
	r.drop(e, force)
	inputs, weakest := e.data.object("inputs"), levels["pin"]
	if inputs["override"] != nil {
		if !words(overridable, gate) {
			return fmt.Errorf("%s was passed over, which nobody can", gate)
		}
		if weakest = r.overridden(e, inputs.object("override")); weakest < 0 {
			return fmt.Errorf("%s was passed over, and no two people answer for it", gate)
		}
	}
	if gate == "approvals" {
		var err error
		if weakest, err = r.approved(inputs.object("filled")); err != nil {
			return err
		}
	}
	if r.opened == nil {
		r.weakest = weaker(r.weakest, weakest)
		return nil
	}
	return r.madeWell(weakest, store)
}

// approved judges who fills which role; it says what the weakest of their signatures was made with.
func (r *run) approved(filled object) (int, error) {
	weakest := levels["pin"]
	if who := r.rejected(); who != "" {
		return weakest, fmt.Errorf("approved though %s rejects the request", who)
	}
	if len(filled) == 0 {
		return weakest, fmt.Errorf("approved by nobody")
	}
	used := map[string]bool{}
	for slot := range filled {
		person := filled.text(slot)
		level := r.approvedAs(person, slot)
		if level < 0 {
			level = r.approvedAs(person, again.ReplaceAllString(slot, ""))
		}
		if used[person] || level < 0 {
			return weakest, fmt.Errorf("%v fills %s", filled[slot], slot)
		}
		used[person] = true
		weakest = weaker(weakest, level)
	}
	return weakest, nil
}

func weaker(one, other int) int {
	if one < other {
		return one
	}
	return other
}

// again is what stands behind a role that is asked more than once.
var again = regexp.MustCompile(` \([1-9][0-9]*\)$`)

// approvedAs is what the strongest signature of a person in a role was made with, -1 where there is none.
func (r *run) approvedAs(person, role string) int {
	strongest := -1
	for _, one := range r.counted {
		if one.kind == "approval.signed" && one.signer == person && one.role == role && one.madeWith > strongest {
			strongest = one.madeWith
		}
	}
	return strongest
}

// drop leaves out what was signed with a key that is its signer's no more in another roster. A rejection stands.
func (r *run) drop(e entry, force *set) {
	if r.signers == nil || bytes.Equal(r.signers, force.files["allowed_signers"]) {
		return
	}
	var lasting []statement
	for _, one := range r.counted {
		if one.kind == "request.rejected" || force.signedBy(one.signer, one.text, one.signature, e.at) == nil {
			lasting = append(lasting, one)
		}
	}
	r.counted, r.signers = lasting, force.files["allowed_signers"]
}

// overridable: what else a gate says, two people cannot answer for.
const overridable = "window blackout rate-limit incidents"

// overridden: two people or more answer for passing over a gate, over one incident, and did not say until an earlier time. It is
// what the weakest of their signatures was made with, -1 where they do not.
func (r *run) overridden(e entry, override object) int {
	by, ok := texts(override["by"])
	people := map[string]bool{}
	for _, one := range by {
		people[one] = true
	}
	answer := map[string]map[string]int{} // incident -> who -> their strongest
	for _, one := range r.counted {
		if one.kind == "override.signed" && one.gate == e.data.text("gate") && people[one.signer] && e.clock.Before(one.expires.Add(time.Minute)) {
			if answer[one.incident] == nil {
				answer[one.incident] = map[string]int{}
			}
			if one.madeWith >= answer[one.incident][one.signer] {
				answer[one.incident][one.signer] = one.madeWith
			}
		}
	}
	best := -1
	for _, who := range answer {
		if !ok || len(people) < 2 || len(who) < len(people) {
			continue
		}
		weakest := levels["pin"]
		for _, level := range who {
			weakest = weaker(weakest, level)
		}
		if weakest > best {
			best = weakest
		}
	}
	return best
}

// behindAt is the digest of an image.
func behindAt(image string) string {
	_, digest, _ := strings.Cut(image, "@")
	return digest
}

// moved holds traffic against the request, outside a rollback: its digest alone, or behind an @.
func (r *run) moved(e entry) error {
	digest := e.data.text("digest")
	if r.made == nil || r.rollback == "open" || digest == "" {
		return nil
	}
	if digest[strings.LastIndex(digest, "@")+1:] != behindAt(r.request.object("artefact").text("image")) {
		return fmt.Errorf("traffic to another artefact than the request's")
	}
	return nil
}

// change holds what is changed against the request.
func (r *run) change(e entry) error {
	if pipeline := r.opened.data.text("pipeline"); pipeline != "deploy" && pipeline != "rollback" {
		return fmt.Errorf("%s in a run of %s", e.kind, pipeline)
	}
	if r.made == nil {
		return fmt.Errorf("%s, and nobody asked for it: its run has no request", e.kind)
	}
	artefact := behindAt(r.request.object("artefact").text("image"))
	if e.kind == "revision.deployed" {
		if deployed := behindAt(e.data.text("image")); deployed == "" || deployed != artefact {
			return fmt.Errorf("another artefact than the request's")
		}
		return nil
	}
	asked, _ := r.request["migrations"].([]interface{})
	for _, one := range asked {
		migration, _ := one.(map[string]interface{})
		if object(migration).text("version") == e.data.text("version") && object(migration).text("sha256") == e.data.text("sha256") {
			return nil
		}
	}
	return fmt.Errorf("a migration that is none of the request's")
}

// standsBehind holds a run that goes on against its policy, its request and what the gates answered at these points.
func (r *records) standsBehind(name string, it *run, force *set, points string) error {
	opened := it.opened.data
	if who := it.rejected(); who != "" {
		return fmt.Errorf("it goes on though %s rejects the request", who)
	}
	policy, sum, err := it.policy(r.store)
	if err != nil {
		return err
	}
	if it.made != nil {
		if it.request == nil {
			return fmt.Errorf("its request.json is not what was asked")
		}
		for _, key := range []string{"commit", "environment", "version"} {
			if opened.text(key) == "" || opened.text(key) != it.request.text(key) {
				return fmt.Errorf("another %s than the request's", key)
			}
		}
		if image := opened.text("image"); image != "" && behindAt(image) != behindAt(it.request.object("artefact").text("image")) {
			return fmt.Errorf("another artefact than the request's")
		}
		if it.request.text("policy_sha256") != sum {
			return fmt.Errorf("another policy than the request's")
		}
	}
	asked := policy.gates(opened.text("pipeline"))
	if opened.text("pipeline") == "rollback" {
		policy.roles, policy.rules["approvals"] = policy.back, len(policy.back) > 0
	}
	approved := asked["approvals"] && policy.rules["approvals"]
	if force.says.Administrators != "" && opened.text("pipeline") == "deploy" {
		people, err := entries(force.files["roles.json"])
		if err != nil {
			return err
		}
		for _, person := range force.people(opened.text("deployer")) {
			if holding(people, force.says.Administrators)[person] {
				return fmt.Errorf("%s deploys and is %s of the roster", person, force.says.Administrators)
			}
		}
	}
	if who := force.says.Approvers; opened.text("pipeline") == "deploy" && len(who) > 0 {
		if !asked["approvals"] || !policy.asks(who) {
			return fmt.Errorf("policy does not ask those who approve, by the roster in force: %q", who)
		}
	}
	if !approved {
		if opened.text("pipeline") == "deploy" {
			r.free = append(r.free, name)
		}
		if points != "change" {
			return nil
		}
	}
	for gate := range asked {
		last := it.answers[gate]
		none := last.kind == "gate.not-applicable" && (!policy.rules[gate] || gate == "anchors" && it.first)
		if !words(points, last.data.text("point")) || last.kind != "gate.passed" && !none {
			return fmt.Errorf("the gate %s did not let it go on: %s at %q", gate, last.kind, last.data.text("point"))
		}
	}
	involved := []string{opened.text("deployer")}
	if it.made != nil {
		involved = append(involved, it.made.data.text("requested_by"))
	}
	for gate, last := range it.answers {
		by, _ := texts(last.data.object("inputs").object("override")["by"])
		for _, person := range by {
			if why := force.takesPart(person, involved); last.kind == "gate.passed" && why != "" {
				return fmt.Errorf("%s answered for passing over %s: %s", person, gate, why)
			}
		}
	}
	if !approved {
		return nil
	}
	filled := it.answers["approvals"].data.object("inputs").object("filled")
	for slot, role := range policy.slots() {
		if it.approvedAs(filled.text(slot), role) < 0 {
			return fmt.Errorf("nobody approved as %s", slot)
		}
	}
	authors, _ := texts(it.request["authors"])
	for slot := range filled {
		person := filled.text(slot)
		if why := force.takesPart(person, involved); why != "" {
			return fmt.Errorf("%s approved as %s: %s", person, slot, why)
		}
		addresses, _ := texts(force.person(person)["emails"])
		for _, address := range append(addresses, person) {
			if contains(authors, strings.ToLower(address)) {
				return fmt.Errorf("%s wrote part of it and approved as %s", person, slot)
			}
		}
	}
	return nil
}

// takesPart: a person is one of those who deploy or asked for it, or is in the roster by the signature of one. It says how, empty where not.
func (s *set) takesPart(person string, involved []string) string {
	for _, actor := range involved {
		behind := s.people(actor)
		if contains(behind, person) {
			return person + " is " + actor
		}
		for _, administrator := range s.putIn[person] {
			if contains(behind, administrator) {
				return "in the roster by the signature of " + administrator + ", who is " + actor
			}
		}
	}
	return ""
}

func contains(list []string, text string) bool {
	for _, one := range list {
		if one == text {
			return true
		}
	}
	return false
}

// rules: every gate, and the key of policy that is its rule; where it is empty there is a rule always.
var rules = map[string]string{
	"deployer": "deployer", "approvals": "approval.roles", "window": "window", "blackout": "blackout",
	"rate-limit": "rate_limit", "lease": "", "staging-smoke": "staging_smoke", "incidents": "incidents", "build": "",
	"retention": "retention.locked", "anchors": "anchors.required", "freeze": "freeze_after_rollback", "clock": "",
	"administrators": "administrators",
}

// later are gates that a policy need not know: without a rule for them it does not ask them.
var later = map[string]bool{"administrators": true}

type policy struct {
	roles   []string
	back    []string // who has to approve a rollback by hand
	leftOut []string
	rules   map[string]bool // the gates that it has a rule for

	verification int // what signatures have to be made with, of levels
}

var hexDigest = regexp.MustCompile("^[0-9a-f]{64}$")

// policy reads the text that the run was judged by.
func (r *run) policy(store string) (p policy, sum string, err error) {
	sum = r.opened.data.object("preimages").text("policy.json")
	if sum == "" {
		return p, sum, fmt.Errorf("the record has not the text of its policy")
	}
	text, err := os.ReadFile(filepath.Join(store, "preimages", "sha256", sum))
	if err != nil {
		return p, sum, err
	}
	if bytes.HasSuffix(text, []byte("\n")) {
		return p, sum, fmt.Errorf("no policy: it ends in a line break")
	}
	said, err := canonical(append(text, '\n'))
	if err != nil {
		return p, sum, fmt.Errorf("no policy: %v", err)
	}
	p.rules = map[string]bool{}
	for gate, path := range rules {
		rule := interface{}(true)
		if path != "" {
			in, key := said, path
			if area, name, nested := strings.Cut(path, "."); nested {
				in, key = said.object(area), name
			}
			var found bool
			if rule, found = in[key]; !found && !later[gate] {
				return p, sum, fmt.Errorf("no policy: %s is missing", path)
			}
		}
		list, isList := rule.([]interface{})
		p.rules[gate] = rule != nil && rule != false && !(isList && len(list) == 0)
	}
	var roles, leftOut bool
	p.roles, roles = texts(said.object("approval")["roles"])
	p.leftOut, leftOut = texts(said.object("phases")["leave_out"])
	if !roles || !leftOut {
		return p, sum, fmt.Errorf("no policy: approval.roles or phases.leave_out is no list of texts")
	}
	if asked, found := said.object("rollback")["roles"]; found {
		var list bool
		if p.back, list = texts(asked); !list {
			return p, sum, fmt.Errorf("no policy: rollback.roles is no list of texts")
		}
	}
	if demand, found := said.object("approval")["user_verification"]; found {
		level, known := levels[said.object("approval").text("user_verification")]
		if !known {
			return p, sum, fmt.Errorf("no policy: it asks for user verification %v", demand)
		}
		p.verification = level
	}
	return p, sum, nil
}

// gates are those that a pipeline asks under the policy.
func (p policy) gates(pipeline string) map[string]bool {
	asked := map[string]bool{}
	switch pipeline {
	case "deploy", "plan":
		for gate := range rules {
			if !later[gate] || p.rules[gate] {
				asked[gate] = true
			}
		}
	case "smoke":
		asked["lease"], asked["clock"] = true, true
	case "rollback":
		for _, gate := range strings.Fields("deployer approvals lease freeze clock") {
			asked[gate] = true
		}
	}
	for _, phase := range p.leftOut {
		if phase == "approval" {
			delete(asked, "approvals")
		}
	}
	return asked
}

// asks is whether the policy asks each of these roles, as often.
func (p policy) asks(approvers []string) bool {
	left := map[string]int{}
	for _, role := range p.roles {
		left[role]++
	}
	for _, role := range approvers {
		if left[role]--; left[role] < 0 {
			return false
		}
	}
	return true
}

// slots are what signatures fill, each with its role.
func (p policy) slots() map[string]string {
	found, times := map[string]string{}, map[string]int{}
	for _, role := range p.roles {
		slot := role
		if times[role]++; times[role] > 1 {
			slot = fmt.Sprintf("%s (%d)", role, times[role])
		}
		found[slot] = role
	}
	return found
}
