// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
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

// Digest changes with any of the credentials and does not reveal them.
func (c Credentials) Digest() string {
	hash := sha256.New()
	for _, part := range [][]byte{c.Token, c.CA, c.ClientCert, c.ClientKey} {
		fmt.Fprintf(hash, "%d:", len(part))
		hash.Write(part)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// Ask sends Prometheus the cheapest query there is, as the adapter would. The error says what a person can look at.
func Ask(ctx context.Context, base string, credentials Credentials) error {
	transport, err := transport(credentials)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	client, err := api.NewClient(api.Config{Address: base, RoundTripper: bearer{string(credentials.Token), transport}})
	if err != nil {
		return fmt.Errorf("use %s: %w", base, err)
	}
	if _, _, err := promv1.NewAPI(client).Query(ctx, "vector(1)", time.Now()); err != nil {
		return fmt.Errorf("query %s: %w", base, explained(err))
	}
	return nil
}

// errNotPrometheus replaces the parser's words about an answer: they hold parts of it, which may change every time.
var errNotPrometheus = errors.New("what answers there is not the Prometheus HTTP API; check host, port and path of the URL")

// explained adds to an error of the client what a person can look at.
func explained(err error) error {
	var network *url.Error
	if errors.As(err, &network) {
		return err
	}
	var answer *promv1.Error
	if !errors.As(err, &answer) {
		return errNotPrometheus
	}
	switch answer.Type {
	case promv1.ErrBadResponse:
		return errNotPrometheus
	case promv1.ErrClient:
		return fmt.Errorf("%w; for a 401 or 403 check spec.prometheus.auth, for a 404 the path of the URL", err)
	default:
		return err
	}
}

// transport verifies and identifies itself as the adapter does.
func transport(credentials Credentials) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(credentials.CA) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(credentials.CA) {
			return nil, errors.New("the certificate authority in spec.prometheus.auth holds no PEM certificate")
		}
	}
	if len(credentials.ClientCert) > 0 {
		pair, err := tls.X509KeyPair(credentials.ClientCert, credentials.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("the client certificate in spec.prometheus.auth is unusable: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment}, nil
}

// bearer adds a token to every request.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	if token := strings.TrimSpace(b.token); token != "" {
		request = request.Clone(request.Context())
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return b.next.RoundTrip(request)
}
