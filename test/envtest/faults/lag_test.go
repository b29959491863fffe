// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"hash/fnv"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// lag delays and cuts the watches of an operator. What it reads is as old as its watches are, each kind by another time, so
// that it sees the effects of its writes late and in a wrong order.
type lag struct {
	// longest is the most that a watch is late.
	longest time.Duration

	mutex sync.Mutex
	// stopped is closed when the watches go on; nil while they run.
	stopped chan struct{}
	// expired are the watches that have ended and may not be taken up where they ended.
	expired map[string]bool
}

// wrap is for world.wrap.
func (l *lag) wrap(next http.RoundTripper) http.RoundTripper {
	return harness.RoundTripper(func(request *http.Request) (*http.Response, error) {
		query := request.URL.Query()
		if query.Get("watch") == "" {
			return next.RoundTrip(request)
		}
		if query.Get("sendInitialEvents") != "true" && l.isExpired(key(request)) {
			return expired(request)
		}
		response, err := next.RoundTrip(request)
		if err != nil || response.StatusCode != http.StatusOK {
			return response, err
		}
		response.Body = l.delay(response.Body, key(request))
		return response, nil
	})
}

// key names a watch by what it watches.
func key(request *http.Request) string {
	query := request.URL.Query()
	return request.URL.Path + "?" + query.Get("labelSelector") + "&" + query.Get("fieldSelector")
}

func (l *lag) isExpired(key string) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	expired := l.expired[key]
	delete(l.expired, key)
	return expired
}

// expired answers that what happened since is not known any more, after which a client has to list everything.
func expired(request *http.Request) (*http.Response, error) {
	status := apierrors.NewResourceExpired("injected").Status()
	status.Kind, status.APIVersion = "Status", "v1"
	content, err := runtime.Encode(codecs, &status)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusGone, Status: "410 Gone", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": []string{"application/json"}}, Body: io.NopCloser(strings.NewReader(string(content))),
	}, nil
}

// hold stops all watches; the function that it returns ends them, and whatever happened between is missed.
func (l *lag) hold() (release func()) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	stopped := make(chan struct{})
	l.stopped = stopped
	return func() {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		l.stopped = nil
		close(stopped)
	}
}

func (l *lag) holding(key string) chan struct{} {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.stopped != nil {
		if l.expired == nil {
			l.expired = map[string]bool{}
		}
		l.expired[key] = true
	}
	return l.stopped
}

// part is what was read at once, and when it may be handed on.
type part struct {
	content []byte
	err     error
	due     time.Time
}

// delay hands on what it reads a while later.
func (l *lag) delay(body io.ReadCloser, key string) io.ReadCloser {
	late := time.Duration(0)
	if l.longest > 0 {
		hash := fnv.New32a()
		_, _ = hash.Write([]byte(key))
		late = time.Duration(hash.Sum32()) % l.longest
	}
	parts := make(chan part, 1024)
	go func() {
		for {
			buffer := make([]byte, 32<<10)
			n, err := body.Read(buffer)
			parts <- part{buffer[:n], err, time.Now().Add(late)}
			if err != nil {
				return
			}
		}
	}()
	return &delayed{lag: l, key: key, parts: parts, body: body}
}

// delayed is the body of a watch that is late.
type delayed struct {
	lag   *lag
	key   string
	parts chan part
	body  io.Closer
	now   part
}

// Read implements io.Reader.
func (d *delayed) Read(to []byte) (int, error) {
	if len(d.now.content) == 0 {
		if d.now.err != nil {
			return 0, d.now.err
		}
		d.now = <-d.parts
		time.Sleep(time.Until(d.now.due))
		if stopped := d.lag.holding(d.key); stopped != nil {
			<-stopped
			return 0, io.EOF
		}
	}
	n := copy(to, d.now.content)
	d.now.content = d.now.content[n:]
	if n == 0 && d.now.err != nil {
		return 0, d.now.err
	}
	return n, nil
}

// Close implements io.Closer.
func (d *delayed) Close() error { return d.body.Close() }
