// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Requests counts what one client sends to the API server. Watches do not count: each is one request in a few minutes, and
// an idle client has them open.
type Requests struct {
	mutex sync.Mutex
	sent  []string
	total int
}

// Wrap is for rest.Config.Wrap.
func (r *Requests) Wrap(next http.RoundTripper) http.RoundTripper {
	return RoundTripper(func(request *http.Request) (*http.Response, error) {
		if query := request.URL.Query(); query.Get("watch") == "" {
			r.mutex.Lock()
			r.total++
			r.sent = append(r.sent, request.Method+" "+request.URL.RequestURI())
			r.mutex.Unlock()
		}
		return next.RoundTrip(request)
	})
}

// Take returns what was sent since the last Take, as method and address.
func (r *Requests) Take() []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	sent := slices.Clone(r.sent)
	r.sent = nil
	return sent
}

// Sent is how many there were since the beginning.
func (r *Requests) Sent() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.total
}

// Deletions returns the kinds and names of what the requests deleted, in their order.
func Deletions(requests []string) []string {
	var deleted []string
	for _, request := range requests {
		method, uri, _ := strings.Cut(request, " ")
		if method == http.MethodDelete {
			path, _, _ := strings.Cut(uri, "?")
			deleted = append(deleted, describe(path))
		}
	}
	return deleted
}

// describe turns the path of an object into its resource, namespace and name.
func describe(path string) string {
	parts := strings.Split(path, "/")
	resource, name := parts[len(parts)-2], parts[len(parts)-1]
	if namespace := slices.Index(parts, "namespaces"); namespace >= 0 && namespace+3 < len(parts) {
		name = parts[namespace+1] + "/" + name
	}
	return resource + " " + name
}

// RoundTripper is a function that sends requests.
type RoundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f RoundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }
