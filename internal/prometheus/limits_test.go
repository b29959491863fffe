// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"compress/gzip"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// counted counts the requests to a server, and those of them that present something.
type counted struct{ requests, presented atomic.Int32 }

func (c *counted) serve(w http.ResponseWriter, r *http.Request) {
	c.requests.Add(1)
	if r.Header.Get("Authorization") != "" {
		c.presented.Add(1)
	}
	answering(w, r)
}

// TestAskFollowsNoRedirect: what answers at the URL that a person wrote gets the token, and no other host.
func TestAskFollowsNoRedirect(t *testing.T) {
	var other counted
	elsewhere := serve(t, other.serve)
	for name, tc := range map[string]struct {
		status   int
		location string
		says     []string
	}{
		"to another Prometheus": {http.StatusFound, elsewhere + "/prefix/api/v1/query?time=1", []string{
			"302 Found", "a redirect to " + elsewhere + "/prefix/api/v1/query, which is not followed",
			"set spec.prometheus.url to " + elsewhere + "/prefix"}},
		"for ever":                        {http.StatusMovedPermanently, elsewhere + "/api/v1/query", []string{"301 Moved Permanently"}},
		"that keeps the method":           {http.StatusTemporaryRedirect, elsewhere + "/api/v1/query", []string{"307 Temporary Redirect"}},
		"that keeps the method, for ever": {http.StatusPermanentRedirect, elsewhere + "/api/v1/query", []string{"308 Permanent Redirect"}},
		"after which to get":              {http.StatusSeeOther, elsewhere + "/api/v1/query", []string{"303 See Other"}},
		"to a login": {http.StatusFound, "https://user:password@login.example.com/start?ticket=secret#top", []string{
			"a redirect to https://login.example.com/start, which", "answers queries itself, without a login"}},
		"to a path": {http.StatusFound, "/login", []string{"/login, which is not followed"}},
		"to what is no URL": {http.StatusFound, "http://[", []string{
			"302 Found, which is not followed", "set spec.prometheus.url to a URL that answers queries itself"}},
		"to nowhere": {http.StatusFound, "", []string{"302 Found, which is not followed"}},
		"that is very long": {http.StatusFound, elsewhere + "/" + strings.Repeat("a", 5000), []string{
			"a redirect to " + elsewhere + ", which is not followed"}},
	} {
		t.Run(name, func(t *testing.T) {
			from := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", tc.location)
				w.WriteHeader(tc.status)
			})
			err := Ask(t.Context(), from, Access{Token: []byte("secret")})
			var unusable *UnusableError
			if !errors.As(err, &unusable) || unusable.Cause != Redirected {
				t.Fatalf("error %v, want one that says Redirected", err)
			}
			for _, part := range append(tc.says, from) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			for _, part := range []string{"secret", "password", "time="} {
				if strings.Contains(err.Error(), part) {
					t.Errorf("%q repeats %q of the redirect", err, part)
				}
			}
			if requests, presented := other.requests.Load(), other.presented.Load(); requests > 0 {
				t.Errorf("the other host got %d requests, %d of them with the token", requests, presented)
			}
		})
	}
}

// TestAskBoundsTheAnswer: what answers decides neither how much memory the operator uses nor how long it waits.
func TestAskBoundsTheAnswer(t *testing.T) {
	endless := func(w http.ResponseWriter) {
		for block := []byte(strings.Repeat(" ", 64<<10)); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"a body without end": {func(w http.ResponseWriter, _ *http.Request) { endless(w) }, "longer than 1024 KiB"},
		"a body that is small only while it is compressed": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			compressed := gzip.NewWriter(w)
			_, _ = compressed.Write(make([]byte, 64<<20))
			_ = compressed.Close()
		}, "longer than 1024 KiB"},
		"an error page without end": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			endless(w)
		}, "longer than 1024 KiB"},
		"headers without end": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("a", 1<<20))
		}, "headers exceeded 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := Ask(ctx, serve(t, tc.answer), Access{})
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want one that says %q before the deadline", err, tc.says)
			}
		})
	}
}

// TestAskInTime says where the time went: a NetworkPolicy shows as an attempt to connect that nothing answers.
func TestAskInTime(t *testing.T) {
	hangs := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for name, tc := range map[string]struct {
		url   string
		dial  func(context.Context, string, string) (net.Conn, error)
		cause Cause
		says  string
	}{
		"nothing answers an attempt to connect": {"http://10.0.0.1:9090", func(ctx context.Context, _, _ string) (net.Conn, error) {
			trace := httptrace.ContextClientTrace(ctx)
			trace.ConnectStart("tcp", "10.0.0.1:9090")
			<-ctx.Done()
			return nil, ctx.Err()
		}, Silent, "does not answer an attempt to connect"},
		"a connection, and no answer": {hangs, (&net.Dialer{}).DialContext, Unreachable, "accepts the connection and does not answer in time"},
		"DNS does not answer": {"http://prometheus.monitoring.svc:9090", func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, Unreachable, "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			answers, seen := answers{field: fieldURL, base: tc.url}, &exchange{}
			request, err := http.NewRequestWithContext(seen.traced(ctx), http.MethodPost, tc.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := (&http.Client{Transport: &http.Transport{DialContext: tc.dial}}).Do(request)
			if err == nil {
				_ = response.Body.Close()
				t.Fatal("it answered")
			}
			unusable := answers.unanswered(seen, err)
			if unusable.Cause != tc.cause || !strings.Contains(unusable.Error(), tc.says) {
				t.Errorf("cause %d, want %d, with %q: %v", unusable.Cause, tc.cause, tc.says, unusable)
			}
		})
	}
}
