// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e tests the operator's main job on a real node: it runs as a pod from its own image under its own roles, a
// real kubelet and a real Prometheus give the numbers, and HorizontalPodAutoscalers add and remove pods. It needs
// KUBECONFIG, kubectl, and the images of the operator and of the sample application on the node: `make test-e2e` sees to
// all of it.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// soon bounds what the operator or the API server does by itself.
	soon = 30 * time.Second
	// counts bounds what the status says of annotated apps: it is written at most once a minute when they change all the time.
	counts = 90 * time.Second
	// rollout bounds what needs new pods: metrics-server alone serves only after its second scrape.
	rollout = 2 * time.Minute
	// scrape bounds what has to go through Prometheus, whose reloader may look for a new configuration only once in three
	// minutes.
	scrape = 4 * time.Minute

	often = 250 * time.Millisecond
)

// cluster is where the suite runs, the same for every story.
var cluster *kit.Cluster

// TestMain installs the operator and the sample applications, and removes them in the end. Between, the stories run
// in the order of their files: go runs them in that order. Each begins by applying the pipeline that it needs, so that
// each can be run alone: go test -tags e2e ./test/e2e -run TestKubectlTop.
func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}

// run installs the operator and the sample applications, runs the stories, and removes everything again.
func run(m *testing.M) (code int, err error) {
	if cluster, err = kit.Connect(); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	start := time.Now()
	// First of all: until Prometheus knows where to scrape, a minute goes by.
	if err := installSamples(ctx); err != nil {
		return 1, err
	}
	if err := cluster.InstallOperator(ctx); err != nil {
		cluster.Dump(ctx, os.Stderr)
		return 1, err
	}
	fmt.Printf("operator %s is ready after %.1f s\n", kit.OperatorImage(), time.Since(start).Seconds())
	// Stories that run side by side wait for the cluster, not for a core of this machine.
	if err := flag.Set("test.parallel", strconv.Itoa(len(samples))); err != nil {
		return 1, err
	}
	code = m.Run()

	ctx, cancel = context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	// Without the pipeline first, the operator would be deleted before what it deployed.
	if err := cluster.DeletePipeline(ctx); err != nil {
		return 1, err
	}
	if err := cluster.Delete(ctx, kit.SampleNamespaceObjects()[0]); err != nil {
		return 1, err
	}
	if err := cluster.UninstallOperator(ctx); err != nil || code != 0 {
		return code, err
	}
	return code, proveStack()
}

// story begins a story: when it fails, everything that one needs to see why is logged.
func story(t *testing.T) *WithT {
	t.Helper()
	stories = append(stories, t.Name())
	t.Cleanup(func() { logFailure(t) })
	return NewWithT(t)
}

// logFailure logs everything that one needs to see why a story failed. A clean-up of its own that takes the pipeline away calls it first.
func logFailure(t *testing.T) {
	t.Helper()
	if t.Failed() {
		var out strings.Builder
		cluster.Dump(t.Context(), &out)
		t.Log(out.String())
	}
}

// thenTheirMetricsAreScraped waits until Prometheus scrapes so many pods by the operator's ServiceMonitor of that name, and each answers.
func thenTheirMetricsAreScraped(t *testing.T, monitor string, pods int) {
	t.Helper()
	pool := fmt.Sprintf("serviceMonitor/%s/%s/0", kit.OperatorNamespace, monitor)
	NewWithT(t).Eventually(func(g Gomega) {
		targets, err := cluster.Targets(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		up := 0
		for _, target := range targets {
			if target.Pool == pool {
				g.Expect(target.Health).To(Equal("up"), "%s: %s", target.URL, target.Error)
				g.Expect(target.URL).To(HavePrefix("https://"))
				up++
			}
		}
		g.Expect(up).To(Equal(pods), "targets of %s", pool)
	}, scrape, often).Should(Succeed())
}

// needTestCluster leaves out what only the test cluster can do: no API of a cluster stops its etcd.
func needTestCluster(t *testing.T) {
	t.Helper()
	if !kit.HasTestCluster() {
		t.Skip(kit.ErrNoTestCluster)
	}
}

// within returns a context for requests that ends with the test or after a time.
func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// givenPipeline applies a pipeline and waits until it is Ready.
func givenPipeline(t *testing.T, pipeline *v1alpha1.MetricsPipeline) {
	t.Helper()
	whenApplied(t, pipeline)
	thenReady(t, scrape)
}

// givenRules applies the sample pipeline with rules, waits until it is Ready, and returns it for changes.
func givenRules(t *testing.T) *v1alpha1.MetricsPipeline {
	t.Helper()
	pipeline, err := cluster.QuickSample()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	givenPipeline(t, pipeline)
	return pipeline
}

func whenApplied(t *testing.T, pipeline *v1alpha1.MetricsPipeline) {
	t.Helper()
	NewWithT(t).Expect(cluster.ApplyPipeline(within(t, soon), pipeline)).To(Succeed())
}

func thenReady(t *testing.T, limit time.Duration) {
	t.Helper()
	thenCondition(t, limit, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// thenCondition waits until a condition of the pipeline says this about the spec of now, and returns it.
func thenCondition(t *testing.T, limit time.Duration, kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	t.Helper()
	var found metav1.Condition
	NewWithT(t).Eventually(func(g Gomega) {
		pipeline := thePipeline(t, g)
		condition := apimeta.FindStatusCondition(pipeline.Status.Conditions, kind)
		g.Expect(condition).NotTo(BeNil(), "condition %s is not there", kind)
		found = *condition
		g.Expect(condition.ObservedGeneration).To(Equal(pipeline.Generation), "condition %s is about an older spec", kind)
		g.Expect(condition.Status).To(Equal(status), "condition %s: %s: %s", kind, condition.Reason, condition.Message)
		g.Expect(condition.Reason).To(Equal(reason), "condition %s: %s", kind, condition.Message)
	}, limit, often).Should(Succeed())
	return found
}

func thePipeline(t *testing.T, g Gomega) *v1alpha1.MetricsPipeline {
	t.Helper()
	pipeline, err := cluster.Pipeline(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	return pipeline
}

// deployment reads a Deployment of the operator's namespace.
func deployment(t *testing.T, g Gomega, name string) *appsv1.Deployment {
	t.Helper()
	found := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: name}
	g.Expect(cluster.Client.Get(t.Context(), key, found)).To(Succeed())
	return found
}

// podsOf reads every pod of a Deployment, also those that are ending.
func podsOf(t *testing.T, g Gomega, owner *appsv1.Deployment) []corev1.Pod {
	t.Helper()
	list := &corev1.PodList{}
	g.Expect(cluster.Client.List(t.Context(), list, client.InNamespace(owner.Namespace),
		client.MatchingLabels(owner.Spec.Selector.MatchLabels))).To(Succeed())
	return list.Items
}
