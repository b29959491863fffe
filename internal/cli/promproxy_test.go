// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
)

// secretWorld has a Prometheus that demands the token of a Secret in the operator's namespace.
func secretWorld(t *testing.T, server *apiServer, intercept interceptor.Funcs) *world {
	t.Helper()
	server.token = "sesame"
	w := liveWorld(t, server, intercept)
	c := w.change(t, func(found *v1alpha1.MetricsPipeline) {
		found.Spec.Prometheus.Auth = &v1alpha1.PrometheusAuth{BearerToken: &v1alpha1.KeyReference{Name: "thanos", Key: "token"}}
	})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: usualNamespace, Name: "thanos"},
		Data: map[string][]byte{"token": []byte("sesame\n")}}
	if err := c.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestWhyWithCredentials: who may read the Secrets of spec.prometheus asks with what is in them; who may not is told which right is
// missing, and nothing is called broken.
func TestWhyWithCredentials(t *testing.T) {
	noSecrets := interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object,
		options ...client.GetOption) error {
		if _, secret := object.(*corev1.Secret); secret {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, key.Name, nil)
		}
		return c.Get(ctx, key, object, options...)
	}}
	for name, tc := range map[string]struct {
		intercept interceptor.Funcs
		path      string
		code      int
		says      string
	}{
		"the Secret may be read":    {interceptor.Funcs{}, "/direct", ExitBroken, ""},
		"it may not be read":        {noSecrets, "/direct", ExitUnseen, "read Secret metricspipeline-system/thanos: secrets \"thanos\" is forbidden"},
		"through the API server":    {interceptor.Funcs{}, "", ExitUnseen, "spec.prometheus.auth has credentials, which the API server does not pass on"},
		"over http to another host": {interceptor.Funcs{}, "http://thanos.example", ExitUnseen, "anyone on the way could read it"},
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPIServer(t)
			w := secretWorld(t, server, tc.intercept)
			var flags []string
			if tc.path != "" {
				flags = []string{"--prometheus-url", tc.path}
			}
			if strings.HasPrefix(tc.path, "/") {
				flags[1] = server.URL + tc.path
			}
			link := verdictOf(t, w.explainWeb(t, tc.code, flags...), diagnose.LinkSeries)
			if unseen := link.Verdict == diagnose.Unseen; unseen != (tc.says != "") || !strings.Contains(link.Seen, tc.says) {
				t.Errorf("the link Series is %+v, want %q", link, tc.says)
			}
		})
	}
}

// TestWhyATargetIsDown: who may ask Prometheus sees why it cannot scrape the pod, where the status does not say so.
func TestWhyATargetIsDown(t *testing.T) {
	server := newAPIServer(t)
	server.samples["== 0"] = `{"metric":{"question":"up"},"value":[1,"0"]},{"metric":{"question":"down"},"value":[1,"1"]}`
	server.targets = map[string]string{"podMonitor/shop/web/0": `{"scrapePool":"podMonitor/shop/web/0","health":"down",` +
		`"scrapeUrl":"http://10.0.0.7:8080/metrics","lastError":"connection refused","labels":{"namespace":"shop","pod":"web-1"}}`}
	w := liveWorld(t, server, interceptor.Funcs{})
	c, err := w.client()
	if err != nil {
		t.Fatal(err)
	}
	monitor := &monitoringv1.PodMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: monitoringv1.PodMonitorSpec{Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			PodMetricsEndpoints: []monitoringv1.PodMetricsEndpoint{{}}}}
	if err := c.Create(t.Context(), monitor); err != nil {
		t.Fatal(err)
	}
	found := w.explainWeb(t, ExitBroken)
	if finding := found.first(); finding == nil || finding.Reason != v1alpha1.AutoscalerScrapeDown ||
		!strings.Contains(finding.Cause, "connection refused") {
		t.Errorf("the finding is %+v", finding)
	}
}
