// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

var requestInfo = request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// wire records what an operator requests of the API server, as the authorizer sees it, and what it is refused.
type wire struct {
	mutex   sync.Mutex
	sent    []*request.RequestInfo
	refused []string
	// refusedAt is when the first of refused came.
	refusedAt time.Time
	lastAt    time.Time
	lists     map[string]int
}

// Wrap is for rest.Config.Wrap.
func (w *wire) Wrap(next http.RoundTripper) http.RoundTripper {
	return harness.RoundTripper(func(r *http.Request) (*http.Response, error) {
		info, err := requestInfo.NewRequestInfo(r)
		if err != nil {
			return nil, err
		}
		w.note(info)
		response, err := next.RoundTrip(r)
		if err == nil && response.StatusCode == http.StatusForbidden {
			w.refuse(info)
		}
		return response, err
	})
}

func (w *wire) note(info *request.RequestInfo) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.sent, w.lastAt = append(w.sent, info), time.Now()
	if info.Verb == "list" {
		if w.lists == nil {
			w.lists = map[string]int{}
		}
		w.lists[fmt.Sprint(info.Path, " ", info.LabelSelector, " ", info.FieldSelector)]++
	}
}

func (w *wire) refuse(info *request.RequestInfo) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if len(w.refused) == 0 {
		w.refusedAt = time.Now()
	}
	if refusal := info.Verb + " " + info.Path; !slices.Contains(w.refused, refusal) {
		w.refused = append(w.refused, refusal)
	}
}

// refusals returns the requests that were refused, and when the first was.
func (w *wire) refusals() ([]string, time.Time) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return slices.Clone(w.refused), w.refusedAt
}

// uses is true when a request was sent that the permission allows.
func (w *wire) uses(p permission) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return slices.ContainsFunc(w.sent, p.covers)
}

// relisted returns what was listed more than once: a watch that works needs no second list.
func (w *wire) relisted() []string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var again []string
	for list, times := range w.lists {
		if times > 1 {
			again = append(again, list)
		}
	}
	return again
}

// quiet is how long nothing has been sent.
func (w *wire) quiet() time.Duration {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return time.Since(w.lastAt)
}
