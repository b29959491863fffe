// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// Credentials are what the adapter presents to Prometheus, read from what spec.prometheus.auth names.
type Credentials struct {
	// Token is a bearer token; empty for none.
	Token []byte
	// CA is the PEM certificate authority of Prometheus; empty for the system's.
	CA []byte
	// ClientCert and ClientKey are a PEM client certificate; empty for none.
	ClientCert, ClientKey []byte
}

// Digest changes with any of the credentials, and does not reveal them.
func (c Credentials) Digest() string {
	hash := sha256.New()
	for _, part := range [][]byte{c.Token, c.CA, c.ClientCert, c.ClientKey} {
		fmt.Fprintf(hash, "%d:", len(part))
		hash.Write(part)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// Bounds of an answer. That to the query has about 100 bytes, and a proxy's error page some kilobytes.
const (
	mostBody    = 1 << 20
	mostHeaders = 64 << 10
)

// Ask sends Prometheus a cheap query, with the adapter's credentials. It follows no redirect, which would take the credentials to
// where nobody meant them to go. The error is an UnusableError.
func Ask(ctx context.Context, base string, credentials Credentials) error {
	_, err := query(ctx, base, credentials, "vector(1)")
	return err
}

// query returns the value of a query at present.
func query(ctx context.Context, base string, credentials Credentials, promQL string) (model.Value, error) {
	transport, err := transport(credentials)
	if err != nil {
		return nil, err
	}
	defer transport.CloseIdleConnections()
	presented := &presenter{token: strings.TrimSpace(string(credentials.Token)), next: transport, last: &exchange{}}
	client, err := api.NewClient(api.Config{Address: base, Client: &http.Client{Transport: presented,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}})
	if err != nil {
		return nil, &UnusableError{NotPrometheus, fmt.Sprintf("use %s: %v; correct spec.prometheus.url", base, err)}
	}
	value, _, err := promv1.NewAPI(client).Query(ctx, promQL, time.Now())
	if err != nil {
		return nil, unusable(base, credentials, presented.last, err)
	}
	return value, nil
}

// transport verifies the server, and presents credentials, as the adapter does.
func transport(credentials Credentials) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(credentials.CA) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(credentials.CA) {
			return nil, &UnusableError{BadCredentials,
				"the value that spec.prometheus.tls.ca names has no PEM certificate; put the certificate of the authority there"}
		}
	}
	if len(credentials.ClientCert) > 0 {
		pair, err := tls.X509KeyPair(credentials.ClientCert, credentials.ClientKey)
		if err != nil {
			return nil, &UnusableError{BadCredentials, fmt.Sprintf(
				"the Secret of spec.prometheus.tls.clientCert is no usable pair of certificate and key: %v; correct it", err)}
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, MaxResponseHeaderBytes: mostHeaders}, nil
}

// exchange is what became of a request. The client's errors have it only as text, or not at all.
type exchange struct {
	// status of the answer, 0 for none, and where a redirect leads to; nil where it does not say.
	status   int
	location *url.URL
	// dialed is true once a connection was begun, and connected once one was made. The attempt may outlive the request.
	dialed, connected atomic.Bool
}

// presenter adds a token to every request, limits the answers, and keeps what became of the last one. It is for one caller at a
// time.
type presenter struct {
	token string
	next  http.RoundTripper
	last  *exchange
}

func (p *presenter) RoundTrip(request *http.Request) (*http.Response, error) {
	last := &exchange{}
	p.last = last
	request = request.Clone(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		ConnectStart: func(string, string) { last.dialed.Store(true) },
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				last.connected.Store(true)
			}
		},
	}))
	if p.token != "" {
		request.Header.Set("Authorization", "Bearer "+p.token)
	}
	response, err := p.next.RoundTrip(request)
	if err != nil {
		return nil, err //nolint:wrapcheck // the client tells errors apart
	}
	last.status = response.StatusCode
	if to, err := response.Location(); err == nil {
		last.location = to
	}
	response.Body = http.MaxBytesReader(nil, response.Body, mostBody)
	return response, nil
}
