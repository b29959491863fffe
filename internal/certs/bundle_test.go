// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"encoding/pem"
	"slices"
	"testing"
	"time"
)

func TestBundleKeepsPredecessorsUntilSettled(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	authority := func(at time.Time) []byte {
		t.Helper()
		pair, _, err := EnsureAuthority(Pair{}, at)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Cert
	}
	current, previous, expired := authority(now), authority(now), authority(now.Add(-2*authorityLifetime))
	many := slices.Concat(previous, authority(now), authority(now), authority(now))

	for name, c := range map[string]struct {
		known   []byte
		settled bool
		want    []byte
	}{
		"nothing known":                       {nil, false, current},
		"the current one is known":            {current, false, current},
		"a predecessor is kept, after itself": {previous, false, slices.Concat(current, previous)},
		"a second look changes nothing":       {slices.Concat(current, previous), false, slices.Concat(current, previous)},
		"settled drops the predecessor":       {slices.Concat(current, previous), true, current},
		"an expired one is of no use":         {expired, false, current},
		"what is no certificate is left out":  {[]byte("not PEM"), false, current},
		"no more than three predecessors":     {many, false, slices.Concat(current, first(many, 3))},
	} {
		t.Run(name, func(t *testing.T) {
			got := Bundle(current, c.known, c.settled, now)
			if len(blocks(got)) != len(blocks(c.want)) || !slices.EqualFunc(blocks(got), blocks(c.want), samePEM) {
				t.Errorf("got %d certificates, want %d:\n%s", len(blocks(got)), len(blocks(c.want)), got)
			}
		})
	}
}

func samePEM(a, b *pem.Block) bool { return bytes.Equal(a.Bytes, b.Bytes) }

// first returns the first n certificates.
func first(bundle []byte, n int) []byte {
	var kept []byte
	for _, block := range blocks(bundle)[:n] {
		kept = append(kept, pem.EncodeToMemory(block)...)
	}
	return kept
}
