// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// breakage is a mistake in the spec with which neither backend can start.
type breakage struct {
	field string
	make  func(*v1alpha1.MetricsPipelineSpec)
	// says matches the message in the status about each backend.
	says string
}

var breakages = []breakage{
	{"image", func(spec *v1alpha1.MetricsPipelineSpec) {
		each(spec, func(o *v1alpha1.ComponentOptions) { o.Image = "registry.invalid/backend:none" })
	}, "cannot be pulled"},
	{"resources", func(spec *v1alpha1.MetricsPipelineSpec) {
		each(spec, func(o *v1alpha1.ComponentOptions) {
			o.Resources = &corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Ti")},
			}
		})
	}, "Insufficient memory"},
	{"nodeSelector", func(spec *v1alpha1.MetricsPipelineSpec) {
		each(spec, func(o *v1alpha1.ComponentOptions) { o.NodeSelector = map[string]string{"example.com/node": "none"} })
	}, "node affinity/selector"},
	{"extraArgs", func(spec *v1alpha1.MetricsPipelineSpec) {
		spec.MetricsServer.ExtraArgs = []string{"--no-such-flag=true"}
		spec.PrometheusAdapter.ExtraArgs = []string{"--no-such-flag=true"}
	}, "CrashLoopBackOff|Error"},
	{"patches", func(spec *v1alpha1.MetricsPipelineSpec) {
		for _, name := range []string{resourceBackend, adapterName} {
			spec.Patches = append(spec.Patches, v1alpha1.Patch{
				Target: v1alpha1.PatchTarget{Kind: "Deployment", Name: name},
				Patch:  "spec: {template: {spec: {containers: [{name: " + name + ", command: [/no-such-program]}]}}}",
			})
		}
	}, "StartError|RunContainerError|CrashLoopBackOff"},
	{"priorityClassName", func(spec *v1alpha1.MetricsPipelineSpec) {
		each(spec, func(o *v1alpha1.ComponentOptions) { o.PriorityClassName = ptr.To("no-such-class") })
	}, "no-such-class"},
}

// each changes the common knobs of both backends.
func each(spec *v1alpha1.MetricsPipelineSpec, change func(*v1alpha1.ComponentOptions)) {
	change(&spec.MetricsServer.ComponentOptions)
	change(&spec.PrometheusAdapter.ComponentOptions)
}

// TestBrokenFieldsBreakNothingThatRuns makes one mistake after the other: each is reported for both backends, the pods that
// run keep running, and with the mistake taken back everything is Ready without help.
func TestBrokenFieldsBreakNothingThatRuns(t *testing.T) {
	story(t)
	pipeline := givenEveryAPI(t)
	poller := startPolling(t, everyAPI()...)
	for _, breakage := range breakages {
		t.Run(breakage.field, func(t *testing.T) {
			g := story(t)
			broken := pipeline.DeepCopy()
			breakage.make(&broken.Spec)
			start := time.Now()
			whenApplied(t, broken)
			g.Eventually(func(g Gomega) {
				for _, name := range []string{resourceBackend, adapterName} {
					state := kit.Component(thePipeline(t, g), name)
					g.Expect(state).NotTo(BeNil(), name)
					g.Expect(state.Message).To(MatchRegexp(breakage.says), name)
				}
			}, rollout, often).Should(Succeed())
			thenCondition(t, rollout, v1alpha1.ConditionComponentsReady, metav1.ConditionFalse, v1alpha1.ReasonWorkloadStuck)
			reported := time.Since(start)

			start = time.Now()
			whenApplied(t, pipeline)
			thenReady(t, rollout)
			t.Logf("reported after %.1f s, Ready %.1f s after it was taken back", reported.Seconds(), time.Since(start).Seconds())
		})
	}
	poller.goOn(t, 20)
	poller.thenNoneFailed(t)
}
