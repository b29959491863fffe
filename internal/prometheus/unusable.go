// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"bytes"
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
	// MethodRefused means that queries by the method of spec.prometheus.queryMethod are refused.
	MethodRefused
	// OwnPod means that the URL leads to the operator's own pod, where nothing answers.
	OwnPod
)

// UnusableError is why there is no answer to a query. Its text names the field to correct and is the same with every try.
type UnusableError struct {
	Cause Cause
	// Status of the answer; 0 where none says why.
	Status int

	text string
}

func (e *UnusableError) Error() string { return e.text }

// Stuck is true where a person must act. given is Target.Given: a host or path in spec.prometheus.url that does not exist is a
// mistake, that of a Prometheus object may still come with its Service.
func (e *UnusableError) Stuck(given bool) bool {
	switch e.Cause {
	case Unauthorized, Redirected, Untrusted, BadCredentials, MethodRefused, OwnPod:
		return true
	case HostUnknown, NotPrometheus:
		return given
	default:
		return false
	}
}

// answers explains what comes back from a URL.
type answers struct {
	// field that the URL comes from.
	field  string
	base   string
	access Access
}

// because leaves no doubt whose localhost it was.
func (a answers) because(cause Cause, status int, format string, args ...any) *UnusableError {
	text := fmt.Sprintf(format, args...)
	if Loopback(a.base) && (cause == NotPrometheus || cause == OwnPod) {
		text += fmt.Sprintf("; the operator's own pod sent the query, and %s leads nowhere else, so what the adapter's pod has there "+
			"cannot be judged: where a sidecar of the adapter answers, set spec.prometheus.adapterURL to %s, and spec.prometheus.url "+
			"to a URL of the same store that the operator's pod reaches", host(a.base), a.base)
	}
	return &UnusableError{Cause: cause, Status: status, text: "query " + a.base + ": " + text}
}

func (a answers) notPrometheus(status int) *UnusableError {
	// The parser's error quotes the answer, which may change every time.
	return a.because(NotPrometheus, status, "what answers there is not the Prometheus HTTP API; correct scheme, host, port and path of %s",
		a.field)
}

// refused explains an answer that is an error of whatever stands in front of Prometheus; nil for one that it may have sent itself.
func (a answers) refused(response *http.Response, body []byte) *UnusableError {
	status := response.StatusCode
	text := fmt.Sprintf("it answers %d %s", status, http.StatusText(status))
	page := strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
	switch {
	case status/100 == 3:
		return a.because(Redirected, status, "%s%s", text, a.elsewhere(response))
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return a.because(Unauthorized, status, "%s %s", text, a.access.remedy(response, body))
	case status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented || status == http.StatusRequestURITooLong:
		return a.because(MethodRefused, status, "%s to a query by %s; set spec.prometheus.queryMethod to %s", text, a.access.method(),
			a.access.otherMethod())
	case status == http.StatusNotFound:
		return a.because(NotPrometheus, status, "%s; correct the path of %s, or the Prometheus object's routePrefix: %s", text, a.field,
			paths)
	case status == http.StatusBadRequest && bytes.Contains(body, []byte("SSL certificate")):
		return a.because(Unauthorized, status, "%s and demands a client certificate; set spec.prometheus.tls.clientCert to one that it "+
			"accepts", text)
	case status == http.StatusBadRequest && bytes.Contains(body, []byte("HTTPS")):
		return a.because(NotPrometheus, status, "%s and demands TLS; set the scheme of %s to https", text, a.field)
	case page && (status/100 == 2 || status == http.StatusBadRequest):
		return a.because(NotPrometheus, status, "it answers with a web page, so what answers there is not the Prometheus HTTP API; "+
			"correct the path of %s, or its host and port: %s", a.field, paths)
	}
	return nil
}

// paths are what the path of a URL has to be for stores that have none of their API at the root.
const paths = "below it is /api/v1/query, so it ends in /prometheus for Mimir and in /select/0/prometheus for a VictoriaMetrics cluster"

// elsewhere says where a redirect leads to and what to do. Query and fragment are left out: they may differ each time, and may have
// the ticket of a login.
func (a answers) elsewhere(response *http.Response) string {
	const not = ", which is not followed: the credentials of spec.prometheus would go there too; "
	location, err := response.Location()
	if err != nil {
		return not + "set " + a.field + " to a URL that answers queries itself"
	}
	to := url.URL{Scheme: location.Scheme, Host: location.Host, Path: location.Path}
	if len(to.String()) > longestLocation {
		to.Path = ""
	}
	lead := fmt.Sprintf(", a redirect to %.*s", longestLocation, to.String())
	if path, queries := strings.CutSuffix(to.Path, queryPath); queries {
		to.Path = path
		return lead + not + "if that is the Prometheus that is meant, set " + a.field + " to " + to.String()
	}
	return lead + not + "set " + a.field + " to a URL that answers queries itself, without a login or another redirect"
}

// unanswered explains why there was no answer, or none that was read to its end.
func (a answers) unanswered(seen *exchange, err error) *UnusableError {
	var (
		network *url.Error
		tooLong *http.MaxBytesError
	)
	switch {
	case errors.As(err, &tooLong):
		return a.because(NotPrometheus, 0, "its answer is longer than %d KiB, and is not read further; correct scheme, host, port and "+
			"path of %s", tooLong.Limit>>10, a.field)
	case errors.As(err, &network):
		return a.unreached(seen, network.Err)
	default: // The client gives up on a body without saying of which request.
		return a.unreached(seen, err)
	}
}

// unreached leaves addresses out: the pod behind a Service and our own port change.
func (a answers) unreached(seen *exchange, err error) *UnusableError {
	var (
		name      *net.DNSError
		untrusted *tls.CertificateVerificationError
		operation *net.OpError
	)
	late := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
	because := func(cause Cause, format string, args ...any) *UnusableError {
		return a.because(cause, 0, format, args...)
	}
	switch {
	case Loopback(a.base) && errors.As(err, &operation) && operation.Op == "dial":
		return because(OwnPod, "%s: %v", operation.Op, operation.Err)
	case late && seen.dialed.Load() && !seen.connected.Load():
		return because(Silent, "it does not answer an attempt to connect")
	case late && seen.connected.Load():
		return because(Unreachable, "it accepts the connection and does not answer in time")
	case errors.As(err, &name) && name.IsNotFound && name.Name == host(a.base): // Else it is the host of a proxy.
		return because(HostUnknown, "DNS knows no host %s; correct the host in %s, or create the Service that it names", name.Name, a.field)
	case errors.As(err, &untrusted):
		return because(Untrusted, "its certificate does not verify: %s", a.distrust(untrusted.Err))
	case errors.As(err, &name):
		return because(Unreachable, "DNS does not resolve host %s", name.Name)
	case errors.Is(err, http.ErrSchemeMismatch):
		return because(NotPrometheus, "it does not speak TLS; correct the scheme or port of %s", a.field)
	case errors.As(err, &operation) && operation.Op == "remote error": // A TLS alert; crypto/tls does not export its type.
		return because(Unauthorized, "it refuses the TLS handshake: %v; set spec.prometheus.tls.clientCert to a certificate that it "+
			"accepts", operation.Err)
	case errors.As(err, &operation):
		return because(Unreachable, "%s: %v", operation.Op, operation.Err)
	default:
		return because(Unreachable, "%v", err)
	}
}

// distrust says why a certificate does not verify, and what to do. The present time is left out of the error about one that is not
// valid now.
func (a answers) distrust(err error) string {
	var (
		invalid x509.CertificateInvalidError
		other   x509.HostnameError
	)
	insecure := ", or accept any certificate with spec.prometheus.tls.verification: Insecure"
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return fmt.Sprintf("it is valid from %s to %s; renew the certificate of Prometheus, or set spec.prometheus.tls.ca to the "+
			"authority that signed it if that was replaced", invalid.Cert.NotBefore.UTC().Format(time.RFC3339),
			invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
	case errors.As(err, &other) && other.Certificate != nil && len(other.Certificate.DNSNames)+len(other.Certificate.IPAddresses) == 0:
		return fmt.Sprintf("%v; it has no subject alternative name, so no name verifies it: give Prometheus a certificate for host %s%s",
			err, host(a.base), insecure)
	case errors.As(err, &other):
		return fmt.Sprintf("%v; set spec.prometheus.tls.serverName to a name that it is valid for, or give Prometheus a certificate for "+
			"host %s", err, host(a.base))
	default:
		return fmt.Sprintf("%v; set spec.prometheus.tls.ca to the authority that signed it, which is the certificate itself if that is "+
			"self-signed%s", err, insecure)
	}
}
