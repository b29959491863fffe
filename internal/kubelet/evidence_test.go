// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/sets"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

func TestStatus(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	refused := &Fault{v1alpha1.NodeRefused, "Kubelet at 10.0.0.2:10250: connection refused."}
	three := []string{"a", "b", "c"}
	long := map[string]time.Time{"a": now.Add(-time.Hour), "b": now.Add(-time.Hour), "c": now.Add(-time.Hour)}
	many := make([]string, 50)
	for i := range many {
		many[i] = fmt.Sprintf("node-%02d", i)
	}
	for name, tc := range map[string]struct {
		evidence Evidence
		want     v1alpha1.NodesStatus
		wait     time.Duration
	}{
		"metrics of every node": {
			evidence: Evidence{Nodes: three, Served: true},
			want:     v1alpha1.NodesStatus{Total: 3, WithMetrics: 3},
		},
		"the API is not served yet": {
			evidence: Evidence{Nodes: three, Without: three, Answers: map[string]*Fault{"a": nil, "b": refused, "c": nil}, Since: long},
			want: v1alpha1.NodesStatus{Total: 3, Failing: []v1alpha1.NodeFailure{
				{Name: "b", Reason: v1alpha1.NodeRefused, Message: "Kubelet at 10.0.0.2:10250: connection refused."}}},
		},
		"a node that has just joined": {
			evidence: Evidence{Nodes: three, Without: []string{"c"}, Served: true, Answers: map[string]*Fault{"c": nil}, Patience: time.Minute,
				Since: map[string]time.Time{"c": now.Add(-20 * time.Second)}},
			want: v1alpha1.NodesStatus{Total: 3, WithMetrics: 2}, wait: 40 * time.Second,
		},
		"one that answers and has none for long, after one that does not answer": {
			evidence: Evidence{Nodes: three, Without: []string{"a", "b"}, Served: true, Answers: map[string]*Fault{"a": nil, "b": refused},
				Patience: time.Minute, Since: long, Log: "Look at the log."},
			want: v1alpha1.NodesStatus{Total: 3, WithMetrics: 1, Failing: []v1alpha1.NodeFailure{
				{Name: "b", Reason: v1alpha1.NodeRefused, Message: "Kubelet at 10.0.0.2:10250: connection refused."},
				{Name: "a", Reason: v1alpha1.NodeNoMetrics, Message: "metrics.k8s.io has no metrics of the node. Its kubelet answers, with a " +
					"certificate that is accepted. Look at the log."}}},
		},
		"one that was not asked": {
			evidence: Evidence{Nodes: three, Without: []string{"a"}, Served: true, Since: long},
			want: v1alpha1.NodesStatus{Total: 3, WithMetrics: 2, Failing: []v1alpha1.NodeFailure{
				{Name: "a", Reason: v1alpha1.NodeNoMetrics, Message: "metrics.k8s.io has no metrics of the node."}}},
		},
		"nodes that are left out on purpose": {
			evidence: Evidence{Nodes: three, Without: []string{"a"}, Served: true, Since: long, Selective: true},
			want:     v1alpha1.NodesStatus{Total: 3, WithMetrics: 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, wait := tc.evidence.Status(now)
			if diff := cmp.Diff(&tc.want, got); diff != "" || wait != tc.wait {
				t.Errorf("wait %s, want %s; status (-want +got):\n%s", wait, tc.wait, diff)
			}
		})
	}
	t.Run("many", func(t *testing.T) {
		got, _ := Evidence{Nodes: many, Without: many, Served: true, Since: map[string]time.Time{}}.Status(now)
		if got.Total != 50 || got.WithMetrics != 0 || len(got.Failing) != mostFailing {
			t.Errorf("total %d, with metrics %d, failing %d", got.Total, got.WithMetrics, len(got.Failing))
		}
	})
}

func TestUnread(t *testing.T) {
	fault := &Fault{v1alpha1.NodeRefused, ""}
	for name, tc := range map[string]struct {
		answers map[string]*Fault
		want    int
	}{
		"none was asked":  {nil, 0},
		"one can be read": {map[string]*Fault{"a": fault, "b": nil}, 0},
		"none can":        {map[string]*Fault{"a": fault, "b": fault}, 2},
	} {
		if got := (Evidence{Answers: tc.answers}).Unread(); len(got) != tc.want {
			t.Errorf("%s: %v, want %d", name, got, tc.want)
		}
	}
}

func TestSample(t *testing.T) {
	names := make([]string, 3*MostAsked)
	for i := range names {
		names[i] = fmt.Sprintf("pool-%d-node-%02d", i/MostAsked, i%MostAsked)
	}
	got := Sample(names)
	if len(got) != MostAsked || !slices.IsSorted(got) {
		t.Fatalf("sampled %q", got)
	}
	pools := sets.New[string]()
	for _, name := range got {
		pools.Insert(name[:len("pool-0")])
	}
	if len(pools) != 3 {
		t.Errorf("sampled %q, of %d of 3 pools", got, len(pools))
	}
	backwards := slices.Clone(names)
	slices.Reverse(backwards)
	if diff := cmp.Diff(got, Sample(backwards)); diff != "" {
		t.Errorf("another order gives another sample (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b"}, Sample([]string{"b", "a"})); diff != "" {
		t.Errorf("few names (-want +got):\n%s", diff)
	}
}

func TestWithMetrics(t *testing.T) {
	answer := `{"kind":"NodeMetricsList","items":[{"metadata":{"name":"a","labels":{"x":"y"}},"usage":{"cpu":"1"}},{"metadata":{"name":"b"}}]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/apis/metrics.k8s.io/v1beta1/nodes" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	client, err := rest.UnversionedRESTClientFor(&rest.Config{Host: server.URL,
		ContentConfig: rest.ContentConfig{NegotiatedSerializer: clientgoscheme.Codecs.WithoutConversion()}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := WithMetrics(t.Context(), client)
	if diff := cmp.Diff(sets.New("a", "b"), got); err != nil || diff != "" {
		t.Errorf("error %v, names (-want +got):\n%s", err, diff)
	}
	answer = `{"items":`
	if _, err := WithMetrics(t.Context(), client); err == nil || !strings.Contains(err.Error(), "decode the list of NodeMetrics") {
		t.Errorf("error %v for what is no list", err)
	}
}
