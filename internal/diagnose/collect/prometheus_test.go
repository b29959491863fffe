// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/metricspipeline/operator/internal/prometheus"
)

// queryTime is when questions are answered. Each series was scraped once in scrapeInterval, for an hour.
var queryTime = time.Unix(1_800_000_000, 0)

const scrapeInterval = 30 * time.Second

// sample is a series: its value now, what it grows by in a second, and when it ended.
type sample struct {
	value, growth float64
	ended         time.Duration
}

// store is what Prometheus has: series in the form of the exposition format.
type store map[string]sample

func (s store) all(t *testing.T) []storage.Series {
	t.Helper()
	var all []storage.Series
	for metric, of := range s {
		set, err := parser.NewParser(parser.Options{}).ParseMetric(metric)
		if err != nil {
			t.Fatal(err)
		}
		one := promql.Series{Metric: set}
		for ago := time.Hour; ago >= of.ended; ago -= scrapeInterval {
			one.Floats = append(one.Floats, promql.FPoint{T: queryTime.Add(-ago).UnixMilli(), F: of.value - of.growth*ago.Seconds()})
		}
		all = append(all, promql.NewStorageSeries(one))
	}
	return all
}

// selected is a storage.SeriesSet.
type selected struct {
	all []storage.Series
	at  int
}

func (s *selected) Next() bool                      { s.at++; return s.at <= len(s.all) }
func (s *selected) At() storage.Series              { return s.all[s.at-1] }
func (*selected) Err() error                        { return nil }
func (*selected) Warnings() annotations.Annotations { return nil }

// server is a Prometheus with its own engine, behind its HTTP API.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func (s store) serve(t *testing.T) *server {
	t.Helper()
	stored := s.all(t)
	querier := &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		return &selected{all: slices.DeleteFunc(slices.Clone(stored), func(one storage.Series) bool {
			return slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(one.Labels().Get(m.Name)) })
		})}
	}}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1 << 20, Timeout: time.Minute})
	t.Cleanup(func() { _ = engine.Close() })
	served := &server{}
	served.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.mu.Lock()
		served.asked = append(served.asked, r.FormValue("query"))
		served.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		vector, err := evaluate(engine, &storage.MockQueryable{MockQuerier: querier}, r)
		if err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_ = json.NewEncoder(w).Encode(map[string]any{"status": "error", "errorType": "execution", "error": err.Error()})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "vector", "result": vector}})
	}))
	t.Cleanup(served.Close)
	return served
}

func evaluate(engine *promql.Engine, in storage.Queryable, r *http.Request) ([]map[string]any, error) {
	prepared, err := engine.NewInstantQuery(r.Context(), in, nil, r.FormValue("query"), queryTime)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	defer prepared.Close()
	vector, err := prepared.Exec(r.Context()).Vector()
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	samples := []map[string]any{}
	for _, one := range vector {
		samples = append(samples, map[string]any{"metric": one.Metric.Map(),
			"value": []any{queryTime.Unix(), strconv.FormatFloat(one.F, 'f', -1, 64)}})
	}
	return samples, nil
}

// asker asks the server as the operator does.
func (s *server) asker(t *testing.T) Asker {
	t.Helper()
	client, err := prometheus.NewClient(s.URL, prometheus.Access{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return Ask(client)
}

// recorder writes down what it is asked. It answers that there is nothing or, of each number of a question, that it is 1.
type recorder struct {
	something bool
	asked     []string
}

func (r *recorder) Query(_ context.Context, promql string) (model.Vector, error) {
	r.asked = append(r.asked, promql)
	if !r.something {
		return nil, nil
	}
	answer := model.Vector{{Metric: model.Metric{model.MetricNameLabel: "app_load"}, Value: 1}}
	for _, name := range []string{"total 0", "total 1", "total 2", "namespace", "objects", "selected"} {
		answer = append(answer, &model.Sample{Metric: model.Metric{termLabel: model.LabelValue(name)}, Value: 1})
	}
	return answer, nil
}

// unanswering is a Prometheus that does not answer.
type unanswering struct{ asked int }

func (u *unanswering) Query(context.Context, string) (model.Vector, error) {
	u.asked++
	return nil, &prometheus.UnusableError{Cause: prometheus.Unreachable}
}
