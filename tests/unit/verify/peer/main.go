// A third party's verifier of a store: golang.org/x/mod/sumdb, the code behind Go's checksum database, does all the work.
// What is ours here is cutting the objects into their parts, and, from the text of docs/record-format.md alone, following the
// rosters that administrators signed (rosters.go), what people signed under a request (approvals.go; sshsig.go, with
// golang.org/x/crypto/ssh) that was planned (plans.go), the verdicts that rest on it (verdicts.go, life.go), and the reviews of
// the trail (trail.go).
//
//	peer [-trust-root SHA256] STORE     prints "SIZE ROOT", then notes; or the first bad event and why, and exits 1
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// hashes is the peer's own tree over the events.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = h[index]
	}
	return found, nil
}

func main() {
	root := flag.String("trust-root", "", "SHA-256 of the first signed roster.json")
	flag.Parse()
	if err := verify(flag.Arg(0), *root); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func verify(store, root string) error {
	keys, err := verifiers(store)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(store, "log", "????????.event"))
	if err != nil {
		return err
	}
	var own hashes
	var roots []tlog.Hash
	trust, records := rosters{store: store}, records{store: store, runs: map[string]*run{}}
	for n := range files {
		name := fmt.Sprintf("log/%08d.event", n)
		data, err := os.ReadFile(filepath.Join(store, name))
		if err != nil {
			return fmt.Errorf("%s: %v", name, err)
		}
		signed, more, err := event(data, int64(n), own, keys)
		if err != nil {
			return fmt.Errorf("%s: %v", name, err)
		}
		own, roots = append(own, more...), append(roots, signed)
		if err := consistent(own, roots); err != nil {
			return fmt.Errorf("%s: %v", name, err)
		}
		if err := said(data, name, roots, &trust, &records); err != nil {
			return fmt.Errorf("%s: %v", name, err)
		}
	}
	if err := preimages(store); err != nil {
		return err
	}
	if root != "" {
		if err := trust.startsAt(root); err != nil {
			return err
		}
	}
	fmt.Println(len(roots), roots[len(roots)-1])
	if free := records.free; len(free) > 0 {
		fmt.Printf("note: %d runs went on under a policy that asks nobody to approve, the last is %s\n", len(free), free[len(free)-1])
	}
	return nil
}

// said judges what an authentic event says.
func said(data []byte, name string, roots []tlog.Hash, trust *rosters, records *records) error {
	line, rest, _ := strings.Cut(string(data), "\n")
	_, checkpoint, _ := strings.Cut(rest, "\n\n")
	origin, _, _ := strings.Cut(checkpoint, "\n")
	if trust.origin != "" && trust.origin != origin {
		return fmt.Errorf("of another log: %s", origin)
	}
	trust.origin = origin
	e, err := read([]byte(line + "\n"))
	if err != nil {
		return err
	}
	if err := trust.event(e, name, roots); err != nil {
		return err
	}
	return records.event(e, trust.force)
}

// event checks one object: its inclusion path and signed checkpoint, and the root against the peer's own tree.
func event(data []byte, n int64, own hashes, keys note.Verifiers) (root tlog.Hash, more []tlog.Hash, err error) {
	end := bytes.IndexByte(data, '\n') + 1
	line := data[:end]
	head, signed, found := strings.Cut(string(data[end:]), "\n\n")
	if !found {
		return root, nil, fmt.Errorf("no checkpoint")
	}
	words := strings.Split(head, "\n")
	if words[0] != "c2sp.org/tlog-proof@v1" || words[1] != fmt.Sprintf("index %d", n) {
		return root, nil, fmt.Errorf("not the proof of index %d", n)
	}
	var path tlog.RecordProof
	for _, word := range words[2:] {
		hash, err := tlog.ParseHash(word)
		if err != nil {
			return root, nil, err
		}
		path = append(path, hash)
	}
	opened, err := note.Open([]byte(signed), keys)
	if err != nil {
		return root, nil, err
	}
	checkpoint := strings.Split(opened.Text, "\n")
	if len(checkpoint) != 4 || checkpoint[1] != fmt.Sprint(n+1) || checkpoint[0] != opened.Sigs[0].Name {
		return root, nil, fmt.Errorf("not the checkpoint of size %d: %q", n+1, opened.Text)
	}
	if root, err = tlog.ParseHash(checkpoint[2]); err != nil {
		return root, nil, err
	}
	if err := tlog.CheckRecord(path, n+1, root, n, tlog.RecordHash(line)); err != nil {
		return root, nil, fmt.Errorf("inclusion: %v", err)
	}
	if more, err = tlog.StoredHashes(n, line, own); err != nil {
		return root, nil, err
	}
	tree, err := tlog.TreeHash(n+1, append(own, more...))
	if err != nil {
		return root, nil, err
	}
	if tree != root {
		return root, nil, fmt.Errorf("the root is %v, signed was %v", tree, root)
	}
	return root, more, nil
}

// consistent proves from the peer's own tree that the newest signed root continues every one before it.
func consistent(own hashes, roots []tlog.Hash) error {
	size := int64(len(roots))
	for old := int64(1); old < size; old++ {
		proof, err := tlog.ProveTree(size, old, own)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, size, roots[size-1], old, roots[old-1]); err != nil {
			return fmt.Errorf("consistency with size %d: %v", old, err)
		}
	}
	return nil
}

func verifiers(store string) (note.Verifiers, error) {
	files, err := filepath.Glob(filepath.Join(store, "trust", "*", "log.vkey"))
	if err != nil {
		return nil, err
	}
	var known []note.Verifier
	seen := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		vkey := strings.TrimSuffix(string(text), "\n")
		if seen[vkey] {
			continue
		}
		seen[vkey] = true
		key, err := note.NewVerifier(vkey)
		if err != nil {
			return nil, fmt.Errorf("%s: %v", file, err)
		}
		known = append(known, key)
	}
	return note.VerifierList(known...), nil
}
