// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
)

// NewClientOver returns a client of the Prometheus at a base URL that is reached by a transport of the caller, such as one to the API
// server, whose proxy leads to a Service. Queries are sent by GET, which takes the permission to read alone. Messages name the URL by
// the field that it comes from. The error is an UnusableError.
func NewClientOver(field, base string, transport http.RoundTripper) (*Client, error) {
	client := &http.Client{Transport: capped{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	next, err := api.NewClient(api.Config{Address: base, Client: client})
	if err != nil {
		return nil, &UnusableError{Cause: NotPrometheus, text: fmt.Sprintf("use %s: %v; correct %s", base, err, field)}
	}
	c := &caller{Client: next, answers: answers{field: field, base: base}}
	return &Client{API: promv1.NewAPI(c), caller: c}, nil
}

// NewClientAt returns a client of the Prometheus at a base URL to which what spec.prometheus names is presented. Messages name the URL by
// the field that it comes from. The error is an UnusableError.
func NewClientAt(field, base string, access Access) (*Client, error) {
	return newClient(field, base, access, mostBody)
}

// capped limits the bodies of answers.
type capped struct{ next http.RoundTripper }

func (c capped) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(request)
	if err != nil {
		return nil, err //nolint:wrapcheck // the client tells errors apart
	}
	response.Body = http.MaxBytesReader(nil, response.Body, mostBody)
	return response, nil
}
