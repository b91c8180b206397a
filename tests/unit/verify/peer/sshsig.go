package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"sort"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// allowedKey is one line of allowed_signers: one key of one person.
type allowedKey struct {
	text, person, namespace string
	key                     []byte
	after, before           time.Time
}

// allowed reads an allowed_signers: `person options type base64 [comment]`.
func allowed(data []byte) (keys []allowedKey, err error) {
	owner := map[string]string{}
	for _, line := range strings.SplitAfter(string(data), "\n") {
		if line = strings.TrimSuffix(line, "\n"); line == "" {
			continue
		}
		words := fields(line)
		if len(words) < 4 {
			return nil, fmt.Errorf("allowed_signers: not a person's line: %q", line)
		}
		one := allowedKey{text: line, person: words[0]}
		if one.key, err = base64.StdEncoding.DecodeString(words[3]); err != nil {
			return nil, fmt.Errorf("allowed_signers: %v", err)
		}
		if other, found := owner[words[3]]; found && other != one.person || !address.MatchString(one.person) {
			return nil, fmt.Errorf("allowed_signers: not one person's key: %q", line)
		}
		owner[words[3]] = one.person
		for _, option := range strings.Split(words[1], ",") {
			name, value, _ := strings.Cut(option, "=")
			value = strings.Trim(value, `"`)
			switch name {
			case "namespaces":
				one.namespace = value
			case "valid-after":
				one.after, err = moment(value)
			case "valid-before":
				one.before, err = moment(value)
			default:
				err = fmt.Errorf("allowed_signers: option %s", name)
			}
			if err != nil {
				return nil, err
			}
		}
		keys = append(keys, one)
		if one.namespace == "" || one.namespace != keys[0].namespace {
			return nil, fmt.Errorf("allowed_signers: not exactly one namespace")
		}
	}
	return keys, nil
}

// lasts is whether a key goes on after a time.
func (k allowedKey) lasts(at time.Time) bool {
	return k.before.IsZero() || k.before.After(at)
}

// fields cuts a line at blanks that stand in no quotes.
func fields(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(c rune) bool {
		if c == '"' {
			quoted = !quoted
		}
		return !quoted && (c == ' ' || c == '\t')
	})
}

func moment(text string) (time.Time, error) {
	text = strings.TrimSuffix(text, "Z")
	for _, form := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(text) == len(form) {
			return time.Parse(form, text)
		}
	}
	return time.Time{}, fmt.Errorf("allowed_signers: no time: %q", text)
}

// text is what an allowed_signers says of one person.
func text(keys []allowedKey, person string) string {
	var lines []string
	for _, key := range keys {
		if key.person == person {
			lines = append(lines, key.text)
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// sshsig is a signature that is true of its message: by which key, in which namespace, and what a token said of its use.
type sshsig struct {
	key              []byte
	namespace        string
	userVerification string
}

// open checks a signature over a message: OpenSSH's PROTOCOL.sshsig, and PROTOCOL.u2f for the flags behind a token's.
func open(armored, message []byte) (*sshsig, error) {
	block, rest := pem.Decode(armored)
	if block == nil || block.Type != "SSH SIGNATURE" || len(rest) > 0 {
		return nil, fmt.Errorf("no SSH SIGNATURE")
	}
	blob := block.Bytes
	if !bytes.HasPrefix(blob, []byte("SSHSIG\x00\x00\x00\x01")) {
		return nil, fmt.Errorf("no SSHSIG, version 1")
	}
	blob = blob[10:]
	var part [5][]byte // public key, namespace, reserved, hash, signature
	for i := range part {
		if len(blob) < 4 || uint64(binary.BigEndian.Uint32(blob)) > uint64(len(blob)-4) {
			return nil, fmt.Errorf("it ends too early")
		}
		size := binary.BigEndian.Uint32(blob)
		part[i], blob = blob[4:4+size], blob[4+size:]
	}
	if len(blob) > 0 {
		return nil, fmt.Errorf("something follows the signature")
	}
	var hash []byte
	switch string(part[3]) {
	case "sha256":
		sum := sha256.Sum256(message)
		hash = sum[:]
	case "sha512":
		sum := sha512.Sum512(message)
		hash = sum[:]
	default:
		return nil, fmt.Errorf("hash %q", part[3])
	}
	signed := []byte("SSHSIG")
	for _, piece := range [][]byte{part[1], part[2], part[3], hash} {
		signed = append(binary.BigEndian.AppendUint32(signed, uint32(len(piece))), piece...)
	}
	key, err := ssh.ParsePublicKey(part[0])
	if err != nil {
		return nil, err
	}
	var signature ssh.Signature
	if err := ssh.Unmarshal(part[4], &signature); err != nil {
		return nil, err
	}
	if signature.Format == ssh.KeyAlgoRSA {
		return nil, fmt.Errorf("SHA-1")
	}
	if err := key.Verify(signed, &signature); err != nil {
		return nil, err
	}
	found := &sshsig{part[0], string(part[1]), "none"}
	if strings.HasPrefix(signature.Format, "sk-") && len(signature.Rest) > 0 {
		if flags := signature.Rest[0]; flags&4 != 0 {
			found.userVerification = "pin"
		} else if flags&1 != 0 {
			found.userVerification = "touch"
		}
	}
	return found, nil
}

// signerOf is whose signature it is, by a key that was valid at the time.
func signerOf(armored, message []byte, keys []allowedKey, at time.Time) (string, error) {
	signature, err := open(armored, message)
	if err != nil {
		return "", err
	}
	now := at.Truncate(time.Second)
	for _, one := range keys {
		begun := one.after.IsZero() || !now.Before(one.after)
		ended := !one.before.IsZero() && now.After(one.before)
		if bytes.Equal(one.key, signature.key) && one.namespace == signature.namespace && begun && !ended {
			return one.person, nil
		}
	}
	return "", fmt.Errorf("no key of allowed_signers that was valid at %s, in its namespace", now.Format(time.RFC3339))
}
