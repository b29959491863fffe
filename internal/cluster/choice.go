// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// ChoiceChanged lets through the events of a pipeline whose status records another chosen Prometheus object than before. One
// controller makes the choice, and every other one has to come to the same.
var ChoiceChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, isBefore := e.ObjectOld.(*v1alpha1.MetricsPipeline)
	after, isAfter := e.ObjectNew.(*v1alpha1.MetricsPipeline)
	return isBefore && isAfter && !equality.Semantic.DeepEqual(prometheus.Chosen(before.Status), prometheus.Chosen(after.Status))
}}
