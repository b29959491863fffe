// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"time"
)

// Capabilities are what the cluster offers and what was found out about the spec before it is turned into components.
type Capabilities struct {
	// Namespace of the operator, in which the components run.
	Namespace string
	// Images are the default images by component name.
	Images map[string]string
	// ServiceMonitors is true when the ServiceMonitor CRD is served.
	ServiceMonitors bool
	// MonitorLabels are demanded by the chosen Prometheus of the monitors it selects.
	MonitorLabels map[string]string
	// APIServerPorts are the ports of the API server's own endpoints.
	APIServerPorts []int32
	// Foreign are the API groups that somebody else serves, for which nothing is deployed unless they are to be taken over.
	Foreign map[string]bool
	// Prometheus is where application metrics come from.
	Prometheus Source
	// Rules are the accepted rules.
	Rules Rules
}

// Source is the Prometheus that the adapter asks. An empty URL means that there is none yet.
type Source struct {
	// URL of the Prometheus HTTP API.
	URL string
	// ScrapeInterval of that Prometheus; 0 where it cannot be known.
	ScrapeInterval time.Duration
	// CredentialsDigest changes with the content of whatever spec.prometheus.auth names; empty where it names nothing.
	CredentialsDigest string
}

// Rules are the accepted rules in the form that the adapter reads.
type Rules struct {
	// Custom and External are the numbers of accepted rules.
	Custom, External int
	// Config is the adapter's configuration file.
	Config string
}
