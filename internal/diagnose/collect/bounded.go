// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"fmt"
	"io"
	"net/http"
)

// longestAnswer is how many bytes of an answer of the API server are read. A list of 300 pods has 3 MiB as a rule; their owner can make
// each of them 1.5 MiB, and an aggregated API knows no limit of a list.
const longestAnswer = 16 << 20

// Bounded returns a client of the API server that reads no longer answer, for Sources.Objects: what is read there is of the size that a
// tenant chooses.
func Bounded(of *http.Client) *http.Client { return boundedTo(of, longestAnswer) }

func boundedTo(of *http.Client, most int64) *http.Client {
	bounded, next := *of, of.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	bounded.Transport = boundedTransport{next, most}
	return &bounded
}

type boundedTransport struct {
	next http.RoundTripper
	most int64
}

// RoundTrip implements http.RoundTripper.
func (t boundedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(request)
	if err != nil {
		return nil, err //nolint:wrapcheck // it only stands between
	}
	response.Body = &boundedBody{response.Body, t.most, t.most}
	return response, nil
}

type boundedBody struct {
	io.ReadCloser
	left, most int64
}

// Read implements io.Reader. One byte more than may be read shows that there is more.
func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		return int(b.left), fmt.Errorf("the answer is longer than %d MiB", b.most>>20)
	}
	b.left -= int64(n)
	return n, err //nolint:wrapcheck // io.EOF
}
