// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// The metrics about the pipeline. They say what its status says, so that an alert needs no exporter of custom resources.
var (
	apiServiceAvailable = prometheus.NewDesc("metricspipeline_apiservice_available",
		"1 when a metrics API that the pipeline demands answers, else 0. The owner of its APIService is ours, other or none.",
		[]string{"apiservice", "owner"}, nil)
	conditionStatus = prometheus.NewDesc("metricspipeline_condition",
		"1 for a condition of the pipeline that is True, 0 for False, -1 for Unknown.", []string{"condition"}, nil)
	certificateExpiry = prometheus.NewDesc("metricspipeline_certificate_expiry_timestamp_seconds",
		"When the certificate in a Secret ends, in seconds since 1970.", []string{"secret", "provider"}, nil)
)

// Exporter exports the last status as a whole: what is no longer in it has no series, and no scrape sees half a change.
type Exporter struct {
	samples atomic.Pointer[[]prometheus.Metric]
}

// Describe implements prometheus.Collector.
func (e *Exporter) Describe(descriptions chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{apiServiceAvailable, conditionStatus, certificateExpiry} {
		descriptions <- description
	}
}

// Collect implements prometheus.Collector.
func (e *Exporter) Collect(collected chan<- prometheus.Metric) {
	if samples := e.samples.Load(); samples != nil {
		for _, sample := range *samples {
			collected <- sample
		}
	}
}

// Clear exports nothing: there is no pipeline.
func (e *Exporter) Clear() { e.samples.Store(nil) }

// Set exports a status, which is that of an observation.
func (e *Exporter) Set(o Observation, status v1alpha1.MetricsPipelineStatus) {
	var samples []prometheus.Metric
	gauge := func(description *prometheus.Desc, value float64, labels ...string) {
		samples = append(samples, prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...))
	}
	for _, api := range status.APIServices {
		if o.demanded(api) {
			gauge(apiServiceAvailable, boolean(api.Available == metav1.ConditionTrue), api.Name, ownerOf(api))
		}
	}
	for _, condition := range status.Conditions {
		value := boolean(condition.Status == metav1.ConditionTrue)
		if condition.Status == metav1.ConditionUnknown {
			value = -1
		}
		gauge(conditionStatus, value, condition.Type)
	}
	for _, certificate := range status.Certificates {
		if certificate.Expires != nil {
			gauge(certificateExpiry, float64(certificate.Expires.Unix()), certificate.Name, string(certificate.Provider))
		}
	}
	e.samples.Store(&samples)
}

// ownerOf is ours, other or none: the owner's name is no label, which should have few values.
func ownerOf(api v1alpha1.APIServiceStatus) string {
	switch {
	case api.Owner == "":
		return "none"
	case api.Backend != "" || strings.HasPrefix(api.Owner, "MetricsPipeline "):
		return "ours"
	default:
		return "other"
	}
}

func boolean(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
