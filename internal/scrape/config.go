// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"cmp"
	"slices"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// Limits of every monitor, whatever the spec says: anyone who may edit a Service can add targets by annotations.
const (
	labelLimit            = 64
	labelNameLengthLimit  = 256
	labelValueLengthLimit = 4096
)

// Schemes are the schemes of the apps of a monitor.
type Schemes int

// Where https needs an object of the namespace, whose absence has prometheus-operator reject the whole monitor, it has a monitor of
// its own.
const (
	AnyScheme Schemes = iota
	OnlyHTTP
	OnlyHTTPS
)

// Config is what monitors are made from, beside the apps.
type Config struct {
	// Prefix of the annotations, such as prometheus.io.
	Prefix string
	// Selectorless allows Services without a selector.
	Selectorless bool
	// Pods is true when annotations of Pods are honored too. A Pod's own then take precedence over its Services'.
	Pods bool
	// Interval and ScrapeTimeout of the scrapes; empty for those of the Prometheus.
	Interval, ScrapeTimeout string
	// SlowInterval and SlowTimeout are those of apps that are scraped less often; empty for the defaults.
	SlowInterval, SlowTimeout string
	// SampleLimit is the most samples that a target may give at once; 0 for no limit.
	SampleLimit int64
	// BodySizeLimit is the most bytes of one answer of a target, such as 32MB; empty for no limit.
	BodySizeLimit string
	// TargetLimit is the most targets of an endpoint, and KeepDroppedTargets how many of those that the relabelings drop Prometheus
	// remembers; 0 for no limit.
	TargetLimit, KeepDroppedTargets int64
	// PodTargetLabels are labels of Pods that the series get, and NativeSidecars the init containers whose ports count.
	PodTargetLabels, NativeSidecars []string
	// HostNetwork allows Pods in the network of their node, and HonorLabels targets to choose labels such as namespace.
	HostNetwork, HonorLabels bool
	// InsecureTLS accepts any certificate of targets with the scheme https; ServerName is what their certificates must be for, empty
	// for the address.
	InsecureTLS bool
	ServerName  string
	// CA verifies those certificates, and Token is sent to those targets; nil for none. Both are in the namespace, and need a monitor
	// of OnlyHTTPS.
	CA      *monitoringv1.SecretOrConfigMap
	Token   *corev1.SecretKeySelector
	Schemes Schemes
	// Labels of the monitors.
	Labels map[string]string
	// ServicesSeen and PodsSeen are what the namespace's annotated Services and Pods request, Queries the parameters of its Pods, and
	// Both is true where there are Pods that are scraped by their own annotations.
	ServicesSeen, PodsSeen Seen
	Queries                []PodQuery
	Both                   bool
}

// limit is nil for no limit.
func limit(most int64) *int64 {
	if most <= 0 {
		return nil
	}
	return &most
}

func (c Config) bodySizeLimit() *monitoringv1.ByteSize {
	if c.BodySizeLimit == "" {
		return nil
	}
	return ptr.To(monitoringv1.ByteSize(c.BodySizeLimit))
}

// pace returns interval and timeout of apps that are scraped less often, or of the others.
func (c Config) pace(slow bool) (interval, timeout monitoringv1.Duration) {
	if slow {
		return monitoringv1.Duration(cmp.Or(c.SlowInterval, "5m")), monitoringv1.Duration(cmp.Or(c.SlowTimeout, "30s"))
	}
	return monitoringv1.Duration(c.Interval), monitoringv1.Duration(c.ScrapeTimeout)
}

// tls returns how the certificates of targets are verified; nil for Prometheus' own way.
func (c Config) tls() *monitoringv1.SafeTLSConfig {
	if c.Schemes == OnlyHTTP || !c.InsecureTLS && c.ServerName == "" && !c.OwnHTTPS() {
		return nil
	}
	config := &monitoringv1.SafeTLSConfig{}
	if c.InsecureTLS {
		config.InsecureSkipVerify = ptr.To(true)
	}
	if c.ServerName != "" {
		config.ServerName = ptr.To(c.ServerName)
	}
	if c.CA != nil && c.Schemes == OnlyHTTPS {
		config.CA = *c.CA
	}
	return config
}

// authorization returns the credential of the targets. Over http none is sent.
func (c Config) authorization() *monitoringv1.SafeAuthorization {
	if c.Token == nil || c.Schemes != OnlyHTTPS {
		return nil
	}
	return &monitoringv1.SafeAuthorization{Credentials: c.Token.DeepCopy()}
}

// OwnHTTPS is true where apps with the scheme https need a monitor of their own.
func (c Config) OwnHTTPS() bool { return c.CA != nil || c.Token != nil }

// podTargetLabels returns those of a monitor.
func (c Config) podTargetLabels() []string { return slices.Clone(c.PodTargetLabels) }
