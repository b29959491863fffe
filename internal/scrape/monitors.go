// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Limits of every monitor, whatever the spec says: anyone who may edit a Service can add targets by annotations.
const (
	labelLimit            = 64
	labelNameLengthLimit  = 256
	labelValueLengthLimit = 4096
)

// Config is what all monitors have in common.
type Config struct {
	// Prefix of the annotations, such as prometheus.io.
	Prefix string
	// Selectorless allows Services without a selector.
	Selectorless bool
	// Pods is true when annotations of Pods are honored too. A Pod's own then take precedence over its Services'.
	Pods bool
	// Interval and ScrapeTimeout of the scrapes; empty for those of the Prometheus.
	Interval, ScrapeTimeout string
	// SampleLimit is the most samples that a target may give at once; 0 for no limit.
	SampleLimit int64
	// BodySizeLimit is the most bytes of one answer of a target, such as 32MB; empty for no limit.
	BodySizeLimit string
	// TargetLimit is the most targets of an endpoint, and KeepDroppedTargets how many of those that the relabelings drop Prometheus
	// remembers; 0 for no limit.
	TargetLimit, KeepDroppedTargets int64
	// HostNetwork allows Pods in the network of their node.
	HostNetwork bool
	// InsecureTLS accepts any certificate of targets with the scheme https.
	InsecureTLS bool
	// Labels of the monitors.
	Labels map[string]string
}

// group is the apps that can share an endpoint of a monitor.
type group struct {
	params     string
	anyAddress bool
}

// entry is an app and how its port is found.
type entry struct {
	name   string
	choice choice
}

// ServiceMonitor returns the one monitor for the annotated Services of a namespace. apps must have the special ones, of which
// relabelings cannot see everything; every other one is scraped as well.
func ServiceMonitor(namespace, name string, apps []App, config Config) *monitoringv1.ServiceMonitor {
	groups := map[group][]entry{}
	for _, app := range apps {
		picked, rejection := classify(app, config.Prefix, config.Selectorless)
		if rejection != nil {
			continue
		}
		key := group{params: picked.params.Encode(), anyAddress: picked.anyAddress}
		groups[key] = append(groups[key], entry{app.Name, picked})
	}
	plain := group{}
	elsewhere := []string{}
	for key, entries := range groups {
		slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
		if key != plain {
			for _, e := range entries {
				elsewhere = append(elsewhere, e.name)
			}
		}
	}
	// The plain group takes every app that no other group has.
	endpoints := []monitoringv1.Endpoint{serviceEndpoint(config, plain, nil, groups[plain], elsewhere)}
	delete(groups, plain)
	for _, key := range slices.SortedFunc(maps.Keys(groups), compareGroups) {
		endpoints = append(endpoints, serviceEndpoint(config, key, groups[key], groups[key], nil))
	}
	return serviceMonitor(namespace, name, config, endpoints)
}

// ServiceMonitorFor returns the monitor for one Service alone, or nil where it is refused.
func ServiceMonitorFor(app App, name string, config Config) *monitoringv1.ServiceMonitor {
	picked, rejection := classify(app, config.Prefix, config.Selectorless)
	if rejection != nil {
		return nil
	}
	key := group{params: picked.params.Encode(), anyAddress: picked.anyAddress}
	only := []entry{{app.Name, picked}}
	return serviceMonitor(app.Namespace, name, config, []monitoringv1.Endpoint{serviceEndpoint(config, key, only, only, nil)})
}

func compareGroups(a, b group) int {
	if a.anyAddress != b.anyAddress {
		if b.anyAddress {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.params, b.params)
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

func serviceMonitor(namespace, name string, config Config, endpoints []monitoringv1.Endpoint) *monitoringv1.ServiceMonitor {
	monitor := &monitoringv1.ServiceMonitor{
		TypeMeta:   metav1.TypeMeta{APIVersion: monitoringv1.SchemeGroupVersion.String(), Kind: monitoringv1.ServiceMonitorsKind},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: config.Labels},
		Spec: monitoringv1.ServiceMonitorSpec{
			Endpoints:             endpoints,
			BodySizeLimit:         config.bodySizeLimit(),
			TargetLimit:           limit(config.TargetLimit),
			KeepDroppedTargets:    limit(config.KeepDroppedTargets),
			SampleLimit:           limit(config.SampleLimit),
			LabelLimit:            ptr.To[int64](labelLimit),
			LabelNameLengthLimit:  ptr.To[int64](labelNameLengthLimit),
			LabelValueLengthLimit: ptr.To[int64](labelValueLengthLimit),
		},
	}
	return monitor
}

// serviceEndpoint returns an endpoint for the members only, or where members is nil for every app that is not elsewhere.
func serviceEndpoint(config Config, key group, members, entries []entry, elsewhere []string) monitoringv1.Endpoint {
	a := annotations{"service", config.Prefix}
	var r relabelings
	if members != nil {
		r.keep(alternatives(names(members)), metaServiceName)
	} else if len(elsewhere) > 0 {
		slices.Sort(elsewhere)
		r.drop(alternatives(elsewhere), metaServiceName)
	}
	if config.Pods {
		r.drop(patternYes, annotations{"pod", config.Prefix}.label(annotationScrape))
	}
	r.checks(a, key.params != "")
	r.splits()
	if !key.anyAddress {
		// The address must be that of the Pod behind the endpoint: hand-made endpoints may have any other.
		r.keep(".+", metaPodIP)
		r.keepEqual(tmpHost, metaPodIP)
		if !config.HostNetwork {
			r.dropEqual(metaPodIP, metaPodHostIP)
		}
	}
	r.jobs(metaServiceName)
	r.join(tmpName, metaPortName)
	r.join(tmpProto, metaPortProtocol)
	r.set(tmpWant, "$1", "(.+)", a.label(annotationPort))
	r.overrides(entries)
	// Targets without a protocol are not ports of the Service, but further ports of the Pods' containers.
	r.drop("[^/]*;(?:|UDP|SCTP)", tmpWant, tmpProto)
	r.set(tmpHave, "$1", "[0-9]+;([0-9]+)", tmpWant, tmpNumber)
	r.set(tmpHave, "$1", patternPortName+";(.+)", tmpWant, tmpName)
	r.set(tmpHave, wantContainerPort+"$1", wantContainerPort+".+;TCP;(.+)", tmpWant, metaContainerProtocol, metaContainerPortName)
	r.set(tmpHave, "$1", "("+wantRewrite+"[0-9]+)", tmpWant)
	r.keepEqual(tmpWant, tmpHave)
	r.end(a)
	endpoint := monitoringv1.Endpoint{
		Interval:       monitoringv1.Duration(config.Interval),
		ScrapeTimeout:  monitoringv1.Duration(config.ScrapeTimeout),
		HonorLabels:    false,
		RelabelConfigs: r,
	}
	// A target could send Prometheus anywhere, to its own API for one.
	endpoint.FollowRedirects = ptr.To(false)
	if key.params != "" {
		endpoint.Params = entries[0].choice.params
	}
	if config.InsecureTLS {
		endpoint.TLSConfig = &monitoringv1.TLSConfig{SafeTLSConfig: monitoringv1.SafeTLSConfig{InsecureSkipVerify: ptr.To(true)}}
	}
	return endpoint
}

// overrides writes what relabelings cannot see of apps: one relabeling for all the apps with the same choice.
func (r *relabelings) overrides(entries []entry) {
	byWant := map[string][]string{}
	for _, e := range entries {
		if e.choice.wanted != "" {
			byWant[e.choice.wanted] = append(byWant[e.choice.wanted], e.name)
		}
	}
	for _, want := range slices.Sorted(maps.Keys(byWant)) {
		r.set(tmpWant, want, alternatives(byWant[want]), metaServiceName)
	}
}

func names(entries []entry) []string {
	all := make([]string, 0, len(entries))
	for _, e := range entries {
		all = append(all, e.name)
	}
	return all
}

// alternatives matches exactly the given names.
func alternatives(all []string) string {
	quoted := make([]string, 0, len(all))
	for _, name := range all {
		quoted = append(quoted, regexp.QuoteMeta(name))
	}
	return strings.Join(quoted, "|")
}
