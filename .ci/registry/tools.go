//go:build tools

// Names the program, so that go.mod and go.sum hold what it is built of.
package tools

import _ "github.com/distribution/distribution/v3/cmd/registry"
