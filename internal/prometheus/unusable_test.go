// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNoAnswerSaysWhyAndIsStable for errors that a test cannot have from a server of its own.
func TestNoAnswerSaysWhyAndIsStable(t *testing.T) {
	const base = "https://prometheus.shop.svc:9090"
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	read := func(port int) error {
		return &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 5), Port: port},
			Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 9090}, Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	expired := func(now string) error {
		return &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired, Detail: "current time " + now, Cert: &x509.Certificate{
			NotBefore: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}}
	}
	noHost := func(name, server string) error {
		return dial(&net.DNSError{Err: "no such host", Name: name, Server: server, IsNotFound: true})
	}
	for name, tc := range map[string]struct {
		first, later error
		cause        Cause
		says         []string
	}{
		"an unknown host": {noHost("prometheus.shop.svc", "10.96.0.10:53"), noHost("prometheus.shop.svc", "10.96.0.11:53"), HostUnknown,
			[]string{"no host prometheus.shop.svc", "spec.prometheus.url", "Service"}},
		"an unknown proxy": {noHost("proxy.example.com", "10.96.0.10:53"), noHost("proxy.example.com", "10.96.0.11:53"), Unreachable,
			[]string{"proxy.example.com"}},
		"a name server that is slow": {dial(&net.DNSError{Err: "i/o timeout", Name: "prometheus.shop.svc", IsTimeout: true}),
			dial(&net.DNSError{Err: "server misbehaving", Name: "prometheus.shop.svc", IsTemporary: true}), Unreachable,
			[]string{"does not resolve host prometheus.shop.svc"}},
		"a connection that is reset": {read(4711), read(815), Unreachable, []string{"read: read: connection reset by peer"}},
		"an expired certificate": {expired("12:00"), expired("12:01"), Untrusted,
			[]string{"valid from 2025-01-01T00:00:00Z to 2026-01-01T00:00:00Z", "spec.prometheus.tls.ca"}},
		"another name in the certificate": {
			&tls.CertificateVerificationError{Err: x509.HostnameError{Host: "prometheus.shop.svc", Certificate: &x509.Certificate{DNSNames: []string{"a"}}}},
			&tls.CertificateVerificationError{Err: x509.HostnameError{Host: "prometheus.shop.svc", Certificate: &x509.Certificate{DNSNames: []string{"a"}}}},
			Untrusted, []string{"valid for a, not prometheus.shop.svc", "spec.prometheus.tls.serverName", "certificate for host prometheus.shop.svc"}},
		"a refused connection": {dial(syscall.ECONNREFUSED), dial(syscall.ECONNREFUSED), Unreachable, []string{"dial: connection refused"}},
		"a demand for a client certificate": {
			&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")},
			&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, Unauthorized,
			[]string{"tls: certificate required", "spec.prometheus.tls.clientCert"}},
		"no time left": {context.DeadlineExceeded, context.DeadlineExceeded, Unreachable, []string{"deadline exceeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			answers := answers{field: fieldURL, base: base}
			// The URL of a GET has the time of the query.
			first := answers.unanswered(&exchange{}, &url.Error{Op: "Post", URL: base, Err: tc.first})
			later := answers.unanswered(&exchange{}, &url.Error{Op: "Get", URL: base + "?time=1700000000", Err: tc.later})
			if first.Cause != tc.cause || later.Cause != tc.cause {
				t.Errorf("cause %d, then %d, want %d: %v", first.Cause, later.Cause, tc.cause, first)
			}
			if first.Error() != later.Error() {
				t.Errorf("%q the first time, then %q", first, later)
			}
			for _, part := range append(tc.says, base) {
				if !strings.Contains(first.Error(), part) {
					t.Errorf("%q does not say %q", first, part)
				}
			}
		})
	}
}

// TestUnusableIsStuckWhereAPersonMustAct and depends on who wrote the URL where nothing is at its host or path.
func TestUnusableIsStuckWhereAPersonMustAct(t *testing.T) {
	for cause, want := range map[Cause]struct{ given, ofObject bool }{
		Unreachable:    {false, false},
		Silent:         {false, false},
		Unauthorized:   {true, true},
		Redirected:     {true, true},
		Untrusted:      {true, true},
		BadCredentials: {true, true},
		MethodRefused:  {true, true},
		OwnPod:         {true, true},
		HostUnknown:    {true, false},
		NotPrometheus:  {true, false},
	} {
		err := &UnusableError{Cause: cause}
		if err.Stuck(true) != want.given || err.Stuck(false) != want.ofObject {
			t.Errorf("cause %d: stuck %v with spec.prometheus.url, %v with an object, want %+v", cause, err.Stuck(true), err.Stuck(false), want)
		}
	}
}
