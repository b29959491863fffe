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
		pair, _, err := EnsureAuthority(Pair{}, nil, at)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Cert
	}
	current, previous, expired := authority(now), authority(now), authority(now.Add(-2*authorityLifetime))
	many := slices.Concat(previous, authority(now), authority(now), authority(now))

	two := slices.Concat(current, authority(now))

	for name, c := range map[string]struct {
		authority []byte
		known     []byte
		settled   bool
		want      []byte
	}{
		"nothing known":                       {nil, nil, false, current},
		"the current one is known":            {nil, current, false, current},
		"a predecessor is kept, after itself": {nil, previous, false, slices.Concat(current, previous)},
		"a second look changes nothing":       {nil, slices.Concat(current, previous), false, slices.Concat(current, previous)},
		"settled drops the predecessor":       {nil, slices.Concat(current, previous), true, current},
		"an expired one is of no use":         {nil, expired, false, current},
		"what is no certificate is left out":  {nil, []byte("not PEM"), false, current},
		"an authority of two certificates":    {two, slices.Concat(two, previous), false, slices.Concat(two, previous)},
		"no more than three predecessors":     {nil, many, false, slices.Concat(current, first(many, 3))},
	} {
		t.Run(name, func(t *testing.T) {
			if c.authority == nil {
				c.authority = current
			}
			got := Bundle(c.authority, c.known, c.settled, now)
			if len(blocks(got)) != len(blocks(c.want)) || !slices.EqualFunc(blocks(got), blocks(c.want), samePEM) {
				t.Errorf("got %d certificates, want %d:\n%s", len(blocks(got)), len(blocks(c.want)), got)
			}
			if kept := len(blocks(got)) - len(blocks(c.authority)); !c.settled && Predecessors(c.authority, c.known, now) != kept {
				t.Errorf("%d predecessors are counted, %d kept", Predecessors(c.authority, c.known, now), kept)
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
