// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
)

// Cause is why a Prometheus cannot be queried.
type Cause int

// Causes.
const (
	// Unreachable is any failure that may pass by itself: a refused connection, a timeout, a server error.
	Unreachable Cause = iota
	// Unauthorized is an answer 401 or 403, or a TLS handshake that it refuses.
	Unauthorized
	// HostUnknown means that DNS knows no such host.
	HostUnknown
	// Untrusted means that its certificate does not verify.
	Untrusted
	// NotPrometheus means that something else answers at the URL, or that its scheme or path is wrong.
	NotPrometheus
	// BadCredentials means that what spec.prometheus names as credentials cannot be used.
	BadCredentials
)

// UnusableError is why Ask has no answer. Its text names the field to correct and is the same with every try.
type UnusableError struct {
	Cause Cause
	text  string
}

func (e *UnusableError) Error() string { return e.text }

// Stuck is true where a person must act. given is Target.Given: a host or path in spec.prometheus.url that does not exist is a
// mistake, that of a Prometheus object may still come with its Service.
func (e *UnusableError) Stuck(given bool) bool {
	switch e.Cause {
	case Unauthorized, Untrusted, BadCredentials:
		return true
	case HostUnknown, NotPrometheus:
		return given
	default:
		return false
	}
}

// unusable explains an error of the client about a URL. status is that of the last answer, 0 for none.
func unusable(base string, credentials Credentials, status int, err error) *UnusableError {
	because := func(cause Cause, format string, args ...any) *UnusableError {
		return &UnusableError{cause, "query " + base + ": " + fmt.Sprintf(format, args...)}
	}
	var network *url.Error
	var answer *promv1.Error
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return because(Unauthorized, "it answers %d %s %s", status, http.StatusText(status), credentials.remedy(status))
	case errors.As(err, &network):
		return unreached(because, base, network.Err)
	case status == http.StatusNotFound:
		return because(NotPrometheus, "it answers 404 Not Found; correct the path of spec.prometheus.url, or the "+
			"Prometheus object's routePrefix")
	case !errors.As(err, &answer), answer.Type == promv1.ErrBadResponse:
		// The parser's error quotes the answer, which may change every time.
		return because(NotPrometheus, "what answers there is not the Prometheus HTTP API; correct scheme, host, port and "+
			"path of spec.prometheus.url")
	default:
		return because(Unreachable, "%v", err)
	}
}

// remedy says what to change about the credentials that were refused.
func (c Credentials) remedy(status int) string {
	presented := len(c.Token) > 0 || len(c.ClientCert) > 0
	switch {
	case !presented:
		return "and no credentials are presented; set spec.prometheus.auth.bearerToken or spec.prometheus.tls.clientCert"
	case status == http.StatusForbidden:
		return "to the credentials of spec.prometheus; allow their owner to query, or name others in spec.prometheus.auth.bearerToken or " +
			"spec.prometheus.tls.clientCert"
	default:
		return "to the credentials of spec.prometheus; put valid ones where spec.prometheus.auth.bearerToken or " +
			"spec.prometheus.tls.clientCert leads to"
	}
}

// unreached explains why there was no answer, without addresses: the pod behind a Service and our own port change.
func unreached(because func(Cause, string, ...any) *UnusableError, base string, err error) *UnusableError {
	var (
		name      *net.DNSError
		untrusted *tls.CertificateVerificationError
		operation *net.OpError
	)
	switch {
	case errors.As(err, &name) && name.IsNotFound && name.Name == host(base): // Else it is the host of a proxy or redirection.
		return because(HostUnknown, "DNS knows no host %s; correct the host in spec.prometheus.url, or create the Service that it "+
			"names", name.Name)
	case errors.As(err, &untrusted):
		return because(Untrusted, "its certificate does not verify: %s; set spec.prometheus.tls.ca to the authority that signed it, or "+
			"give Prometheus a certificate for host %s", verification(untrusted.Err), host(base))
	case errors.As(err, &name):
		return because(Unreachable, "DNS does not resolve host %s", name.Name)
	case errors.Is(err, http.ErrSchemeMismatch):
		return because(NotPrometheus, "it does not speak TLS; correct the scheme or port of spec.prometheus.url")
	case errors.As(err, &operation) && operation.Op == "remote error": // A TLS alert; crypto/tls does not export its type.
		return because(Unauthorized, "it refuses the TLS handshake: %v; set spec.prometheus.tls.clientCert to a certificate that it "+
			"accepts", operation.Err)
	case timedOut(err):
		return because(Unreachable, "it does not answer in time. If it runs, look for a NetworkPolicy in its namespace that keeps the "+
			"operator's out: that of kube-prometheus, prometheus-k8s, lets in pods of its own namespace only")
	case errors.As(err, &operation):
		return because(Unreachable, "%s: %v", operation.Op, operation.Err)
	default:
		return because(Unreachable, "%v", err)
	}
}

// timedOut is true where nothing was answered, as where packets are dropped.
func timedOut(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}

// verification leaves the present time out of the error about a certificate that is not valid now.
func verification(err error) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil {
		return fmt.Sprintf("it is valid from %s to %s", invalid.Cert.NotBefore.UTC().Format(time.RFC3339),
			invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return err.Error()
}

func host(base string) string {
	if parsed, err := url.Parse(base); err == nil {
		return parsed.Hostname()
	}
	return base
}
