// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Bounds of an answer. That to the query of Ask has about 100 bytes, and a proxy's error page some kilobytes.
const (
	mostBody    = 1 << 20
	mostHeaders = 64 << 10
)

// mostIdle is how long a connection stays without a query: less than Prometheus lets it, which is five minutes by default.
const mostIdle = time.Minute

// The fields that a URL comes from, as messages name them.
const (
	fieldURL        = "spec.prometheus.url"
	fieldAdapterURL = "spec.prometheus.adapterURL"
)

// Client queries a Prometheus as spec.prometheus says, the only way in which the operator does so: with the credentials, the headers
// and the method that the adapter uses too. It follows no redirect, which would take the credentials to where nobody meant them to
// go, and falls back to no other method, by which a query would work that fails for the adapter. It may be used by several
// goroutines; each call needs a context with a deadline. Close it.
//
// An error is nearly always an UnusableError; Unusable makes one of any. Not every store has every endpoint: UnusableError.Status is
// 404 where one is not there.
type Client struct {
	promv1.API
	caller *caller
}

// NewClient returns a client of the Prometheus at a base URL. It reads mostBody bytes of an answer at most; a longer one is an error.
// The error is an UnusableError.
func NewClient(base string, access Access, mostBody int64) (*Client, error) {
	return newClient(fieldURL, base, access, mostBody)
}

func newClient(field, base string, access Access, mostBody int64) (*Client, error) {
	transport, err := access.transport(mostBody)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	next, err := api.NewClient(api.Config{Address: base, Client: client})
	if err != nil {
		return nil, &UnusableError{Cause: NotPrometheus, text: fmt.Sprintf("use %s: %v; correct %s", base, err, field)}
	}
	c := &caller{Client: next, answers: answers{field: field, base: base, access: access}}
	return &Client{API: promv1.NewAPI(c), caller: c}, nil
}

// Close closes its connections.
func (c *Client) Close() {
	if closer, ok := c.caller.Client.(api.CloseIdler); ok {
		closer.CloseIdleConnections()
	}
}

// Unusable explains an error of one of the client's calls.
func (c *Client) Unusable(err error) *UnusableError { return c.caller.unusable(err) }

// Ask sends the Prometheus at a URL a cheap query. The error is an UnusableError.
func Ask(ctx context.Context, base string, access Access) error {
	return ask(ctx, fieldURL, base, access)
}

// AskForAdapter does the same with the URL of spec.prometheus.adapterURL, which must answer before the adapter moves there.
func AskForAdapter(ctx context.Context, base string, access Access) error {
	return ask(ctx, fieldAdapterURL, base, access)
}

func ask(ctx context.Context, field, base string, access Access) error {
	client, err := newClient(field, base, access, mostBody)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, _, err := client.Query(ctx, "vector(1)", time.Now()); err != nil {
		return client.Unusable(err)
	}
	return nil
}

// caller sends requests by the method of spec.prometheus, and explains what comes back. An answer that is an error is returned as that
// alone: of some, the library above would take that the method is refused, and send the query again by another.
type caller struct {
	api.Client
	answers
}

// Do implements api.Client.
func (c *caller) Do(ctx context.Context, request *http.Request) (*http.Response, []byte, error) {
	if c.access.Method != v1alpha1.QueryPOST {
		var err error
		if request, err = byGET(request); err != nil {
			return nil, nil, err
		}
	}
	seen := &exchange{}
	response, body, err := c.Client.Do(seen.traced(ctx), request)
	if err != nil {
		return nil, nil, c.unanswered(seen, err)
	}
	if refused := c.refused(response, body); refused != nil {
		return nil, nil, refused
	}
	return response, body, nil
}

// byGET moves the form of a request into its URL. Requests without a body stay what they are.
func byGET(request *http.Request) (*http.Request, error) {
	if request.Method != http.MethodPost || request.Body == nil {
		return request, nil
	}
	form, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, fmt.Errorf("read the form of a query: %w", err)
	}
	moved := request.Clone(request.Context())
	moved.Method, moved.URL.RawQuery = http.MethodGet, string(form)
	moved.Body, moved.GetBody, moved.ContentLength = nil, nil, 0
	moved.Header.Del("Content-Type")
	return moved, nil
}

// exchange is how far an attempt to connect came. The client's errors have it only as text, or not at all.
type exchange struct {
	// dialed is true once a connection was begun, and connected once one was made. The attempt may outlive the request.
	dialed, connected atomic.Bool
}

func (x *exchange) traced(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectStart: func(string, string) { x.dialed.Store(true) },
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				x.connected.Store(true)
			}
		},
	})
}

// unusable explains an error of the library: what it says of an answer, or what came from caller as it is.
func (c *caller) unusable(err error) *UnusableError {
	var (
		unusable *UnusableError
		answer   *promv1.Error
	)
	switch {
	case errors.As(err, &unusable):
		return unusable
	case !errors.As(err, &answer), answer.Type == promv1.ErrBadResponse:
		return c.notPrometheus(0)
	default:
		return c.because(Unreachable, 0, "%v", err)
	}
}
