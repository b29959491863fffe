// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"
)

// mostPredecessors bounds how many earlier authorities stay in a bundle.
const mostPredecessors = 3

// Bundle returns the PEM certificates by which clients should trust a component: the current authority, which may be
// several certificates, and those of the bundle that clients have now, for as long as an endpoint may still present a
// certificate that one of them signed. settled is true once every endpoint presents one that the current authority signed.
// A kubelet takes a minute or more to update a Secret in a running pod; without the predecessors, no client would trust the
// pod meanwhile.
func Bundle(authority, known []byte, settled bool, now time.Time) []byte {
	current := blocks(authority)
	if settled || len(current) == 0 {
		return authority
	}
	bundle := slices.Clone(bytes.TrimSpace(authority))
	bundle = append(bundle, '\n')
	for _, block := range predecessors(current, known, now) {
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	return bundle
}

// Predecessors is the number of certificates in a bundle that Bundle would keep beside the current authority's.
func Predecessors(authority, known []byte, now time.Time) int {
	return len(predecessors(blocks(authority), known, now))
}

func predecessors(current []*pem.Block, known []byte, now time.Time) []*pem.Block {
	var kept []*pem.Block
	for _, block := range blocks(known) {
		isCurrent := slices.ContainsFunc(current, func(c *pem.Block) bool { return bytes.Equal(c.Bytes, block.Bytes) })
		cert, err := x509.ParseCertificate(block.Bytes)
		if err == nil && !isCurrent && !now.After(cert.NotAfter) && len(kept) < mostPredecessors {
			kept = append(kept, block)
		}
	}
	return kept
}

// blocks returns the PEM certificates in content.
func blocks(content []byte) []*pem.Block {
	var found []*pem.Block
	for {
		block, rest := pem.Decode(content)
		if block == nil {
			return found
		}
		if block.Type == "CERTIFICATE" {
			found = append(found, block)
		}
		content = rest
	}
}
