// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/cert"
)

// reloadPeriod is how often the files of the serving certificate are looked at. A kubelet takes longer to update a mounted Secret.
const reloadPeriod = 10 * time.Second

// serving is the certificate of the metrics endpoint: that of a folder, into which the Secret is mounted that the operator itself
// issues, or a self-signed one as long as there is none. A standby serves it as well, without a request to the API server.
type serving struct {
	dir string
	now func() time.Time

	mu     sync.Mutex
	pair   *tls.Certificate
	looked time.Time
}

// newServing returns the certificate of a folder; an empty one has none.
func newServing(dir string) (*serving, error) {
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("localhost", nil, nil)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for the metrics endpoint: %w", err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for the metrics endpoint: %w", err)
	}
	return &serving{dir: dir, now: time.Now, pair: &pair}, nil
}

// use sets it in the configuration of a server.
func (s *serving) use(config *tls.Config) { config.GetCertificate = s.get }

// get returns the certificate in use. Files that cannot be read, as while the Secret does not exist, change nothing.
func (s *serving) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); s.dir != "" && now.Sub(s.looked) >= reloadPeriod {
		s.looked = now
		pair, err := tls.LoadX509KeyPair(filepath.Join(s.dir, corev1.TLSCertKey), filepath.Join(s.dir, corev1.TLSPrivateKeyKey))
		if err == nil {
			s.pair = &pair
		}
	}
	return s.pair, nil
}
