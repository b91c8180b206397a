//go:build tools

// Package pulumi names what `build` builds, so that go.mod and go.sum hold all that it needs.
package pulumi

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
