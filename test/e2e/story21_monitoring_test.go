// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/hack/dashboard/panels"
	"github.com/metricspipeline/operator/hack/dashboard/picture"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// pictureFile is the environment variable with the file to draw the dashboard to; see make dashboard-picture.
	pictureFile = "DASHBOARD_PICTURE"
)

// lookback is a range in PromQL that reaches into earlier stories.
var lookback = regexp.MustCompile(`\[(\d+m|1h)(:5m)?\]`)

// TestMonitoring: with nothing set, the real Prometheus scrapes the operator over TLS that it verifies, has loaded every alert, none of
// which has a cause in peace, and has data for every panel of the dashboard.
func TestMonitoring(t *testing.T) {
	g := story(t)
	givenRules(t)
	thenCondition(t, soon, v1alpha1.ConditionMonitoringReady, metav1.ConditionTrue, v1alpha1.ReasonInPlace)
	thenServed(t, podMetric("v1beta2", requestRate), rollout)
	thenServed(t, "/apis/metrics.k8s.io/v1beta1/nodes", soon)

	thenTheirMetricsAreScraped(t, kit.OperatorName, kit.OperatorReplicas) // The standby among them.

	thenPeace(t)
	thenDashboard(t)
	if file := os.Getenv(pictureFile); file != "" {
		drawDashboard(t, g, file)
	}
}

// thenPeace waits until Prometheus has evaluated each alert, and none has a cause. One that looks back further than this story would
// see the causes of earlier ones, so it is asked about the last half minute.
func thenPeace(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	rule := &monitoringv1.PrometheusRule{}
	key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: "metricspipeline"}
	g.Expect(cluster.Client.Get(t.Context(), key, rule)).To(Succeed())
	alerts := 0
	for _, group := range rule.Spec.Groups {
		for _, alert := range group.Rules {
			alerts++
			g.Eventually(func(g Gomega) {
				loaded, err := cluster.AlertRules(t.Context())
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(loaded).To(HaveKey(alert.Alert))
				found := loaded[alert.Alert]
				g.Expect(found.Health).To(Equal("ok"), "%s: %s", alert.Alert, found.Error)
				recent := lookback.ReplaceAllString(alert.Expr.String(), "[30s$2]")
				if recent == alert.Expr.String() {
					g.Expect(found.State).To(Equal("inactive"), alert.Alert)
				}
				causes, err := cluster.QueryAll(t.Context(), recent)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(causes).To(BeEmpty(), "%s: %s", alert.Alert, recent)
			}, scrape, often).Should(Succeed())
		}
	}
	t.Logf("%d alerts are loaded, and none has a cause", alerts)
}

// thenDashboard waits until every query of the dashboard returns data, with the labels that its legend shows.
func thenDashboard(t *testing.T) {
	t.Helper()
	label := regexp.MustCompile(`{{(\w+)}}`)
	queries := 0
	for _, panel := range panels.All() {
		for _, query := range panel.Queries {
			queries++
			NewWithT(t).Eventually(func(g Gomega) {
				found, err := cluster.QueryAll(t.Context(), query.Expr)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(found).NotTo(BeEmpty(), "panel %q: %s", panel.Title, query.Expr)
				for _, name := range label.FindAllStringSubmatch(query.Legend, -1) {
					g.Expect(found[0].Labels).To(HaveKey(name[1]), "panel %q: %s", panel.Title, query.Expr)
				}
			}, rollout, often).Should(Succeed())
		}
	}
	t.Logf("%d queries of the dashboard return data", queries)
}

// drawDashboard draws what the panels show of the last minutes.
func drawDashboard(t *testing.T, g *WithT, file string) {
	t.Helper()
	const step, points = 5 * time.Second, 36 // A graph of three minutes.
	g.Eventually(func(g Gomega) {
		found, err := cluster.QueryRange(t.Context(), "max(metricspipeline_condition)", points*step, step)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).To(HaveLen(1))
		g.Expect(len(found[0].Values)).To(BeNumerically(">=", points))
	}, 2*points*step, step).Should(Succeed())
	drawn := picture.Draw(func(query panels.Query) []picture.Series {
		answer, err := cluster.QueryRange(t.Context(), query.Expr, points*step, step)
		g.Expect(err).NotTo(HaveOccurred())
		var all []picture.Series
		for _, series := range answer {
			drawn := picture.Series{Labels: series.Labels}
			for _, value := range series.Values {
				text, _ := value[1].(string)
				number, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
				g.Expect(err).NotTo(HaveOccurred())
				at, _ := value[0].(float64)
				drawn.Times, drawn.Values = append(drawn.Times, at), append(drawn.Values, number)
			}
			all = append(all, drawn)
		}
		return all
	})
	g.Expect(os.WriteFile(file, drawn, 0o644)).To(Succeed())
	t.Logf("wrote %s", file)
}
