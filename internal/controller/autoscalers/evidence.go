// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscalers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// summaries are conditions that repeat others, and the one that follows from examinations.
var summaries = []string{v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled, v1alpha1.ConditionMonitoringReady,
	v1alpha1.ConditionAutoscalersServed}

// digestOf is of what findings depend on of a pipeline: its spec, its metrics APIs and rules, and whether what it is made of works. Counts
// are no part of it: every app and series changes them.
func digestOf(pipeline *v1alpha1.MetricsPipeline) string {
	var parts []string
	for _, api := range pipeline.Status.APIServices {
		parts = append(parts, "api", api.Name, api.Owner, api.Backend, string(api.Available), api.Reason)
	}
	for _, rule := range pipeline.Status.Rules {
		parts = append(parts, "rule", rule.API, rule.ID, string(rule.State))
	}
	for _, condition := range pipeline.Status.Conditions {
		if !slices.Contains(summaries, condition.Type) {
			parts = append(parts, "condition", condition.Type, string(condition.Status), condition.Reason)
		}
	}
	if prometheus := pipeline.Status.Prometheus; prometheus != nil {
		parts = append(parts, "prometheus", prometheus.URL, prometheus.Origin)
	}
	text, err := json.Marshal(struct {
		Spec  v1alpha1.MetricsPipelineSpec
		Parts []string
	}{pipeline.Spec, parts})
	if err != nil {
		return "" // A spec that was read can be written.
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// comesUp is since when a new pipeline comes up; zero where it has.
func comesUp(pipeline *v1alpha1.MetricsPipeline) time.Time {
	if meta.IsStatusConditionFalse(pipeline.Status.Conditions, v1alpha1.ConditionReconciling) {
		return time.Time{}
	}
	return pipeline.CreationTimestamp.Time
}

// evidenceChanged passes an update of the pipeline by which findings may be others.
var evidenceChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, wasPipeline := e.ObjectOld.(*v1alpha1.MetricsPipeline)
	after, isPipeline := e.ObjectNew.(*v1alpha1.MetricsPipeline)
	return !wasPipeline || !isPipeline || before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
		!comesUp(before).Equal(comesUp(after)) || digestOf(before) != digestOf(after)
}}
