// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestRulesTest shows what a rule gives, also one that is not applied.
func TestRulesTest(t *testing.T) {
	server := newAPIServer(t)
	w := liveWorld(t, server, interceptor.Funcs{})
	w.run(t, ExitBroken, "rules", "test", "hpa/web", "-n", "shop")
	golden(t, "rules/test-nothing.txt", w.out.String())
	server.samples["sum(rate(http_requests_total"] = `{"metric":{"pod":"web-1"},"value":[1,"12.5"]}`
	w.run(t, ExitWorks, "rules", "test", "hpa/web", "-n", "shop")
	golden(t, "rules/test-works.txt", w.out.String())
	w.run(t, ExitBroken, "rules", "test", "hpa/web", "-n", "shop", "-f", "testdata/rules/configmap.out")
	golden(t, "rules/test-file.txt", w.out.String())
	server.refuse = true
	w.run(t, ExitUnseen, "rules", "test", "hpa/web", "-n", "shop")
	if !strings.Contains(w.out.String(), "services/proxy") {
		t.Errorf("without rights it prints %s", w.out)
	}
	w.run(t, ExitUsage, "rules", "test", "hpa/web", "-A")
	w.run(t, ExitError, "rules", "test", "hpa/web", "-n", "shop", "-f", "testdata/rules/configmap.yaml")
	w.run(t, ExitWorks, "rules", "test", "hpa", "-n", "bank")
	if w.errOut.String() != "there are no HorizontalPodAutoscalers in bank\n" {
		t.Errorf("of an empty namespace it says %q", w.errOut)
	}
}

// TestRulesTestBeforeATakeOver: as long as another program serves the API nothing is known of it, but what would be can be seen.
func TestRulesTestBeforeATakeOver(t *testing.T) {
	server := newAPIServer(t)
	w := liveWorld(t, server, interceptor.Funcs{})
	w.change(t, func(found *v1alpha1.MetricsPipeline) {
		for i := range found.Status.APIServices {
			if found.Status.APIServices[i].Group == customAPI.Group {
				found.Status.APIServices[i].Owner, found.Status.APIServices[i].Backend = "Service monitoring/prometheus-adapter", ""
			}
		}
		found.Spec.CustomMetrics.Rules = nil
	})
	w.run(t, ExitWorks, "rules", "test", "hpa", "-A")
	if !strings.Contains(w.out.String(), "custom.metrics.k8s.io is served by Service monitoring/prometheus-adapter") {
		t.Errorf("of an API of another it prints\n%s", w.out)
	}
	w.run(t, ExitBroken, "rules", "test", "hpa", "-A", "-f", "testdata/rules/take-over.yaml")
	if !strings.Contains(w.out.String(), "no rule makes it: Prometheus has no samples for the pods of Deployment web") {
		t.Errorf("without series it prints\n%s", w.out)
	}
	server.samples["count by (__name__"] = `{"metric":{"question":"0","__name__":"http_requests_total"},"value":[1,"1"]}`
	server.samples["sum(rate(http_requests_total"] = `{"metric":{"pod":"web-1"},"value":[1,"12.5"]}`
	w.run(t, ExitWorks, "rules", "test", "hpa", "-A", "-f", "testdata/rules/take-over.yaml")
	golden(t, "rules/test-take-over.txt", w.out.String())
}
