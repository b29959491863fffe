// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"hash"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/prometheus/common/config"
	"golang.org/x/net/http/httpguts"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Access is how Prometheus is queried, by the adapter and by every query of the operator alike: what is presented to it, how it is
// verified, by which method. What spec.prometheus names is read into it.
type Access struct {
	// Method of queries; empty is GET.
	Method v1alpha1.QueryMethod
	// Token is a bearer token; empty for none. White space around it is not part of it.
	Token []byte
	// Username and Password are those of basic auth; both are empty for none. A line break at the end is not part of them.
	Username, Password []byte
	// Headers are sent with each request. They are in the order of their names.
	Headers []Header
	// CA is the PEM certificate authority of Prometheus; empty for the system's.
	CA []byte
	// ClientCert and ClientKey are a PEM client certificate; empty for none.
	ClientCert, ClientKey []byte
	// ServerName is the name that its certificate is for; empty for the host of the URL.
	ServerName string
	// Insecure accepts any certificate.
	Insecure bool
	// Dial makes the connections, whatever the address; nil for those of the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Header is a header with its value. A line break at the end of the value is not part of it.
type Header struct {
	Name  string
	Value []byte
}

// Text is a value from a Secret as it is sent: files and `echo` leave a line break at the end, which no header may have.
func Text(value []byte) string { return strings.TrimRight(string(value), "\r\n") }

// Digest changes with everything that the adapter reads at its start, and does not reveal it. What an earlier release did not
// know adds to it only where it is set, so that an upgrade changes no digest.
func (a Access) Digest() string {
	sum := sha256.New()
	for _, part := range [][]byte{a.Token, a.CA, a.ClientCert, a.ClientKey} {
		fmt.Fprintf(sum, "%d:", len(part))
		sum.Write(part)
	}
	addTo(sum, "username", a.Username)
	addTo(sum, "password", a.Password)
	for _, header := range a.Headers {
		addTo(sum, "header "+http.CanonicalHeaderKey(header.Name), header.Value)
	}
	addTo(sum, "server name", []byte(a.ServerName))
	if a.Insecure {
		addTo(sum, "insecure", []byte("true"))
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

func addTo(sum hash.Hash, name string, value []byte) {
	if len(value) > 0 {
		fmt.Fprintf(sum, "%s %d:", name, len(value))
		sum.Write(value)
	}
}

// presents is true where a server may know the client by something.
func (a Access) presents() bool {
	return len(a.Token)+len(a.Username)+len(a.Headers)+len(a.ClientCert) > 0
}

// transport verifies the server, presents what there is to present, and bounds the answers. A body is not read beyond mostBody bytes.
func (a Access) transport(mostBody int64) (http.RoundTripper, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	verified, err := a.tls()
	if err != nil {
		return nil, err
	}
	own := &http.Transport{TLSClientConfig: verified, Proxy: http.ProxyFromEnvironment, MaxResponseHeaderBytes: mostHeaders,
		IdleConnTimeout: mostIdle}
	if a.Dial != nil {
		own.Proxy, own.DialContext = nil, a.Dial
	}
	var next http.RoundTripper = &limiter{mostBody: mostBody, next: own}
	if token := strings.TrimSpace(string(a.Token)); token != "" {
		next = config.NewAuthorizationCredentialsRoundTripper("Bearer", config.NewInlineSecret(token), next)
	}
	if len(a.Username) > 0 {
		next = config.NewBasicAuthRoundTripper(config.NewInlineSecret(Text(a.Username)), config.NewInlineSecret(Text(a.Password)), next)
	}
	headers := map[string]config.Header{}
	for _, header := range a.Headers {
		headers[header.Name] = config.Header{Secrets: []config.Secret{config.Secret(Text(header.Value))}}
	}
	return config.NewHeadersRoundTripper(&config.Headers{Headers: headers}, next), nil
}

// check returns why something cannot be sent: each request would fail, with an error that names no field.
func (a Access) check() error {
	bad := func(field, what string) error {
		return &UnusableError{Cause: BadCredentials, text: "the value that spec.prometheus.auth." + field + " names " + what}
	}
	const breaks = "has a line break or a control character in it, which no header can have; store the value alone"
	if !httpguts.ValidHeaderFieldValue(strings.TrimSpace(string(a.Token))) {
		return bad("bearerToken", breaks)
	}
	if bytes.ContainsRune(a.Username, ':') {
		return bad("basicAuth.username", "has a colon, which basic auth ends the name of a user by; name another user")
	}
	for _, header := range a.Headers {
		if !httpguts.ValidHeaderFieldValue(Text(header.Value)) {
			return bad("headers["+header.Name+"]", breaks)
		}
	}
	return nil
}

// tls is how the server is verified. The library's errors do not say which of the two is wrong.
func (a Access) tls() (*tls.Config, error) {
	if _, err := config.NewTLSConfig(&config.TLSConfig{CA: string(a.CA)}); err != nil {
		return nil, &UnusableError{Cause: BadCredentials,
			text: "the value that spec.prometheus.tls.ca names has no PEM certificate; put the certificate of the authority there"}
	}
	if len(a.ClientCert) > 0 {
		if _, err := tls.X509KeyPair(a.ClientCert, a.ClientKey); err != nil {
			return nil, &UnusableError{Cause: BadCredentials, text: fmt.Sprintf(
				"the Secret of spec.prometheus.tls.clientCert is no usable pair of certificate and key: %v; correct it", err)}
		}
	}
	verified, err := config.NewTLSConfig(&config.TLSConfig{CA: string(a.CA), Cert: string(a.ClientCert), Key: config.Secret(a.ClientKey),
		ServerName: a.ServerName, InsecureSkipVerify: a.Insecure, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, &UnusableError{Cause: BadCredentials, text: fmt.Sprintf("spec.prometheus.tls: %v; correct what it names", err)}
	}
	return verified, nil
}

// limiter limits the bodies of answers.
type limiter struct {
	mostBody int64
	next     *http.Transport
}

func (l *limiter) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(request)
	if err != nil {
		return nil, err //nolint:wrapcheck // the client tells errors apart
	}
	if _, err := response.Location(); err != nil {
		response.Header.Del("Location") // The client would say no more than that it is no URL.
	}
	response.Body = http.MaxBytesReader(nil, response.Body, l.mostBody)
	return response, nil
}

// CloseIdleConnections is how a client closes those of the transport below.
func (l *limiter) CloseIdleConnections() { l.next.CloseIdleConnections() }

// Loopback is true of a URL that leads to the pod itself that uses it.
func Loopback(base string) bool {
	name := host(base)
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

func host(base string) string {
	if parsed, err := url.Parse(base); err == nil {
		return parsed.Hostname()
	}
	return base
}
