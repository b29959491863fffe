// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package derive works out which rules follow from the metrics that HorizontalPodAutoscalers ask for. It is pure: it returns the
// questions that Prometheus is to answer, and decides by the answers.
//
// What an HPA says is tenant input. Of it a valid metric name alone reaches a rule; the labels by which an object and its namespace
// are found are from a fixed table, and the values are those that the backend puts in for each request. In questions, names are checked
// and quoted too, and each question is limited to the namespace of the HPA.
package derive
