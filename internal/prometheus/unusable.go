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
	"os"
	"strings"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
)

// queryPath is the path of a query below the base URL.
const queryPath = "/api/v1/query"

// longestLocation bounds what is repeated of where a redirect leads to, in bytes.
const longestLocation = 300

// Cause is why a Prometheus cannot be queried.
type Cause int

// Causes.
const (
	// Unreachable is any failure that may pass by itself: a refused connection, a timeout, a server error.
	Unreachable Cause = iota
	// Silent means that nothing answers an attempt to connect, as where a NetworkPolicy drops the packets.
	Silent
	// Unauthorized is an answer 401 or 403, or a TLS handshake that it refuses.
	Unauthorized
	// HostUnknown means that DNS knows no such host.
	HostUnknown
	// Redirected is an answer that leads to another URL.
	Redirected
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
	case Unauthorized, Redirected, Untrusted, BadCredentials:
		return true
	case HostUnknown, NotPrometheus:
		return given
	default:
		return false
	}
}

// unusable explains an error of the client about a URL. last is what became of the last request.
func unusable(base string, credentials Credentials, last *exchange, err error) *UnusableError {
	because := func(cause Cause, format string, args ...any) *UnusableError {
		return &UnusableError{cause, "query " + base + ": " + fmt.Sprintf(format, args...)}
	}
	var (
		network *url.Error
		answer  *promv1.Error
		tooLong *http.MaxBytesError
	)
	switch status := last.status; {
	case status/100 == 3:
		return because(Redirected, "it answers %d %s%s", status, http.StatusText(status), last.elsewhere())
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return because(Unauthorized, "it answers %d %s %s", status, http.StatusText(status), credentials.remedy(status))
	case errors.As(err, &tooLong):
		return because(NotPrometheus, "its answer to vector(1) is longer than %d KiB, and is not read further; correct scheme, host, port "+
			"and path of spec.prometheus.url", tooLong.Limit>>10)
	case errors.As(err, &network):
		return unreached(because, base, last, network.Err)
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

// elsewhere says where a redirect leads to and what to do. Query and fragment are left out: they may differ each time, and may have
// the ticket of a login.
func (x *exchange) elsewhere() string {
	const not = ", which is not followed: the credentials of spec.prometheus would go there too; "
	if x.location == nil {
		return not + "set spec.prometheus.url to a URL that answers queries itself"
	}
	to := url.URL{Scheme: x.location.Scheme, Host: x.location.Host, Path: x.location.Path}
	if len(to.String()) > longestLocation {
		to.Path = ""
	}
	lead := fmt.Sprintf(", a redirect to %.*s", longestLocation, to.String())
	if path, queries := strings.CutSuffix(to.Path, queryPath); queries {
		to.Path = path
		return lead + not + "if that is the Prometheus that is meant, set spec.prometheus.url to " + to.String()
	}
	return lead + not + "set spec.prometheus.url to a URL that answers queries itself, without a login or another redirect"
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
func unreached(because func(Cause, string, ...any) *UnusableError, base string, last *exchange, err error) *UnusableError {
	var (
		name      *net.DNSError
		untrusted *tls.CertificateVerificationError
		operation *net.OpError
	)
	late := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case late && last.dialed.Load() && !last.connected.Load():
		return because(Silent, "it does not answer an attempt to connect")
	case late && last.connected.Load():
		return because(Unreachable, "it accepts the connection and does not answer in time")
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
	case errors.As(err, &operation):
		return because(Unreachable, "%s: %v", operation.Op, operation.Err)
	default:
		return because(Unreachable, "%v", err)
	}
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
