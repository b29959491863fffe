// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/util/cert"
)

// TestServing: the certificate of the folder is taken up when it comes and when it changes; half of one changes nothing.
func TestServing(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(0, 0)
	s, err := newServing(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return now }
	served := func() []byte {
		t.Helper()
		now = now.Add(reloadPeriod)
		pair, err := s.get(nil)
		if err != nil || pair == nil {
			t.Fatal(pair, err)
		}
		return pair.Certificate[0]
	}
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := served()
	for range 2 {
		certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("self", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		write("tls.crt", certPEM)
		if got := served(); !bytes.Equal(got, own) {
			t.Error("a certificate without its key is served")
		}
		write("tls.key", keyPEM)
		block, _ := pem.Decode(certPEM)
		if own = served(); !bytes.Equal(own, block.Bytes) {
			t.Error("the certificate of the folder is not served")
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if got := served(); !bytes.Equal(got, own) {
		t.Error("the certificate changed when the folder was gone")
	}
}
