// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/prometheus-adapter/cmd/config-gen/utils"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/docs/walk"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// defaultRulesMetric is what the chart's default rules call the rate of http_requests_total.
	defaultRulesMetric = "http_requests"
	chartNamespace     = "monitoring"
	chartManifests     = "test/e2e/testdata/prometheus-adapter-chart.yaml"
)

// TestMigratesFromTheAdapterChart takes the steps of docs/migrate.md from the chart of prometheus-adapter with its default rules: an HPA
// on one of their metrics has its number all the time until the chart is removed, and then from a rule that is derived. The path from
// another metrics-server is shown by TestForeignMetricsServerIsTakenOverAndGivenBack, and that of rules of one's own by
// TestRulesServeMetrics.
func TestMigratesFromTheAdapterChart(t *testing.T) {
	g := story(t)
	needTestCluster(t)
	start := time.Now()
	givenChart(t)
	metric := kit.RequestsOfPods(20)
	metric.Pods.Metric.Name = defaultRulesMetric
	givenScaler(t, scaled{name: "pods", metric: metric})
	path := podMetric("v1beta1", defaultRulesMetric)
	t.Logf("the chart serves after %.0f s", time.Since(start).Seconds())

	poller := startPolling(t, path)
	scaling := watchScaling(t, "pods")
	dir := clone(t)
	steps := section(t, "docs/migrate.md", "From the prometheus-adapter chart")
	removal := -1
	for i, step := range steps {
		if strings.HasPrefix(step.Command, "helm uninstall") {
			removal = i
		}
	}
	g.Expect(removal).To(BeNumerically(">", 0), "a step that removes the chart")
	g.Expect(followSteps(t, dir, "docs/migrate.md", steps[:removal])).To(Succeed())
	poller.goOn(t, 50)
	poller.thenNoneFailed(t)
	g.Expect(scaling()).To(BeEmpty(), "what the HPA said meanwhile")
	g.Expect(apiService(t, g, kit.OldCustomMetrics).Spec.Service.Namespace).To(Equal(kit.OperatorNamespace))
	g.Eventually(func(g Gomega) {
		g.Expect(thePipeline(t, g).Status.Rules).To(ContainElement(SatisfyAll(HaveField("Origin", v1alpha1.RuleDerived),
			HaveField("Query", ContainSubstring("rate(http_requests_total{")))))
	}, counts, often).Should(Succeed())
	// What the plugin makes of the chart's rules is for the API server too.
	out, err := bash(t.Context(), dir, "kubectl apply --dry-run=server -f rules.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out).To(ContainSubstring("default configured (server dry run)"))
	content, err := os.ReadFile(filepath.Join(dir, "rules.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	imported := &v1alpha1.MetricsPipeline{}
	g.Expect(yaml.Unmarshal(content, imported)).To(Succeed())
	g.Expect(imported.Spec.CustomMetrics.Rules).To(HaveLen(len(utils.DefaultConfig(time.Minute, "").Rules)))

	// Helm deletes the APIService, which is made again at once.
	g.Expect(followSteps(t, dir, "docs/migrate.md", steps[removal:])).To(Succeed())
	thenServed(t, path, soon)
	thenReady(t, rollout)
	g.Eventually(func(g Gomega) {
		g.Expect(conditionOf(t, g, "pods", autoscalingv2.ScalingActive)).To(Equal("True ValidMetricFound"))
	}, soon, often).Should(Succeed())
}

// section returns the steps of one section of a document.
func section(t *testing.T, file, heading string) []walk.Step {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(cluster.Root, file))
	if err != nil {
		t.Fatal(err)
	}
	document, err := walk.ReadSection(string(content), heading)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return document.Steps
}

// watchScaling looks at an HPA every half second, and returns what it said other than that it has its metric.
func watchScaling(t *testing.T, name string) (said func() []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	var heard []string
	done.Go(func() {
		ticks := time.NewTicker(2 * often)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			hpa := &autoscalingv2.HorizontalPodAutoscaler{}
			if cluster.Client.Get(ctx, client.ObjectKey{Namespace: kit.SampleNamespace, Name: name}, hpa) != nil {
				continue
			}
			for _, condition := range hpa.Status.Conditions {
				if condition.Type == autoscalingv2.ScalingActive && condition.Status != corev1.ConditionTrue {
					heard = append(heard, condition.Reason+": "+condition.Message)
				}
			}
		}
	})
	stop := func() []string {
		cancel()
		done.Wait()
		return heard
	}
	t.Cleanup(func() { stop() })
	return stop
}

// givenChart is a cluster without a pipeline, in which prometheus-adapter serves custom metrics by the default rules of its chart, and a
// monitor that somebody wrote has the sample applications scraped. There is no Helm: a script takes its part.
func givenChart(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	ctx := within(t, scrape)
	g.Expect(cluster.DeletePipeline(ctx)).To(Succeed())
	givenSamplesWithoutMonitors(t)

	config, err := yaml.Marshal(utils.DefaultConfig(2*time.Minute, ""))
	g.Expect(err).NotTo(HaveOccurred())
	objects := []client.Object{
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: chartNamespace, Name: "prometheus-adapter"},
			Data: map[string]string{"config.yaml": string(config)}},
		&monitoringv1.ServiceMonitor{
			ObjectMeta: metav1.ObjectMeta{Namespace: kit.SampleNamespace, Name: "theirs", Labels: map[string]string{"prometheus": "k8s"}},
			Spec:       monitoringv1.ServiceMonitorSpec{Endpoints: []monitoringv1.Endpoint{{Port: "http", Interval: "5s"}}}},
	}
	manifests := filepath.Join(cluster.Root, chartManifests)
	t.Cleanup(func() {
		logFailure(t)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(cluster.DeletePipeline(ctx)).To(Succeed())
		_, err := cluster.Kubectl(ctx, "delete", "--ignore-not-found", "--wait", "-f", manifests)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(cluster.Delete(ctx, objects...)).To(Succeed())
	})
	g.Expect(cluster.Apply(ctx, objects...)).To(Succeed())
	g.Expect(cluster.Kubectl(ctx, "apply", "-f", manifests)).NotTo(BeEmpty())
	g.Expect(kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		config, err := cluster.PrometheusConfig(ctx)
		return strings.Contains(string(config), "serviceMonitor/"+kit.SampleNamespace+"/theirs"), err
	})).To(Succeed())
	g.Expect(cluster.RestartPrometheus(ctx)).To(Succeed()) // Instead of three minutes in which it takes up the monitor.

	helm := t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
case $1 in
get) printf 'prometheus: {url: http://prometheus-k8s.monitoring.svc, port: 9090}\nrules: {default: true}\n' ;;
uninstall) exec kubectl delete -f %s ;;
*) exit 1 ;;
esac
`, manifests)
	g.Expect(os.WriteFile(filepath.Join(helm, "helm"), []byte(script), 0o700)).To(Succeed())
	t.Setenv("PATH", helm+":"+os.Getenv("PATH"))
	thenServed(t, podMetric("v1beta1", defaultRulesMetric), scrape)
}
