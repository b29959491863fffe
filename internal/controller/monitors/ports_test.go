// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestPodsWithoutThePort: where no container has the port that an app names, Prometheus can have no target, and that is what is said.
func TestPodsWithoutThePort(t *testing.T) {
	named := service("bank", "ledger", annotated("port", "metrics"))
	for name, tc := range map[string]struct {
		service *corev1.Service
		pods    []metav1.PartialObjectMetadata
		ports   map[string][]string
		want    string
		reads   int
	}{
		"no container has it": {named, []metav1.PartialObjectMetadata{*labeled("ledger-0"), *labeled("ledger-1")}, nil,
			`Prometheus monitoring/k8s has no target in namespace bank: Service ledger is scraped at the port "metrics" of its Pods, and no ` +
				`container of Pod ledger-0 has a TCP port of that name; correct the name in one of the two.`, 2},
		"one has it": {named, []metav1.PartialObjectMetadata{*labeled("ledger-0"), *labeled("ledger-1")},
			map[string][]string{"ledger-1": {"", "metrics"}}, "it may not list what is there", 2},
		"a number": {service("bank", "ledger", annotated("port", "9090")), []metav1.PartialObjectMetadata{*labeled("ledger-0")}, nil,
			"it may not list what is there", 0},
		"a Pod of its own": {nil, []metav1.PartialObjectMetadata{*pod("bank", "job-0", annotated("port", "metrics"))}, nil,
			`Pod job-0 is scraped at the port "metrics" of its Pods`, 1},
		"a Pod that declares no port": {nil, []metav1.PartialObjectMetadata{*pod("bank", "job-0", annotated())},
			map[string][]string{"job-0": nil}, "Pod job-0 is annotated without a port, and its containers declare no TCP port", 1},
		"a Pod that declares one": {nil, []metav1.PartialObjectMetadata{*pod("bank", "job-0", annotated())}, nil,
			"it may not list what is there", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := scraped(t)
			listed, _ := w.r.pieces.(*listed)
			delete(p.targets, "bank/ledger")
			listed.services = []corev1.Service{*service("shop", "web", annotated())}
			if tc.service != nil {
				listed.services = append(listed.services, *tc.service)
				must(t, w.services().Update(tc.service))
			}
			listed.pods, listed.ports = tc.pods, tc.ports
			var status v1alpha1.ScrapeStatus
			for range 10 {
				status = w.later(t, time.Minute)
			}
			if len(status.NotScraped) != 1 || !strings.Contains(status.NotScraped[0].Message, tc.want) {
				t.Errorf("it says %+v, want %q", status.NotScraped, tc.want)
			}
			if listed.portReads != tc.reads {
				t.Errorf("%d Pods were read, want %d", listed.portReads, tc.reads)
			}
		})
	}
}

// labeled is a Pod behind the Service bank/ledger.
func labeled(name string) *metav1.PartialObjectMetadata {
	behind := pod("bank", name, nil)
	behind.Labels = map[string]string{"app": "ledger"}
	return behind
}
