// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscaler

import (
	"fmt"
	"hash/maphash"
	"strings"
	"time"
	"unique"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/metricspipeline/operator/internal/text"
)

// What is kept of an HPA is bounded, whatever its author writes. A metric that exceeds a bound is left out: no rule is derived for it.
const (
	// mostMetrics of one HPA are kept, and mostMetricsOfNamespace different ones of the HPAs of a namespace.
	mostMetrics, mostMetricsOfNamespace = 10, 100
	// longestName is the longest name of a metric or object, and longestSelector the longest selector, in bytes.
	longestName, longestSelector = 253, 512
)

// State is how an HPA stands.
type State byte

const (
	// Gone is the state of one that does not exist.
	Gone State = iota
	// Awaited is the state of one that the HPA controller has not looked at yet.
	Awaited
	// Working is the state of one that works, and of one that is disabled because its target has no replicas.
	Working
	// Fails is the state of one that fails.
	Fails
)

// compact is what is kept of an HPA. There is one for every HPA of the cluster, so its size counts, and nothing in it is as long as its
// author likes.
type compact struct {
	namespace, name string
	uid             types.UID
	// created is when it was made, in seconds.
	created int64
	// kind is that of its target, whose name is target.
	kind   unique.Handle[kind]
	target string
	// wants are the metrics that it asks for, in the order of its spec.
	wants []want
	// evidence changes with its spec and with why it fails.
	evidence uint64
	state    State
	// since is when it was first seen in its state, in nanoseconds.
	since int64
}

// kind of an object.
type kind struct{ apiVersion, kind string }

// want is a metric that an HPA asks for, and the name of the object that it is of, if it is of one.
type want struct {
	metric unique.Handle[Metric]
	object string
}

// Key is namespace/name.
func (c *compact) Key() string { return c.namespace + "/" + c.name }

// GetObjectMeta is for the stores of reflectors.
func (c *compact) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: c.namespace, Name: c.name}
}

// compactor is the transform of the reflector, which runs before an object is stored.
func compactor(object any) (any, error) {
	switch full := object.(type) {
	case *autoscalingv2.HorizontalPodAutoscaler:
		return newCompact(full), nil
	case *compact:
		return full, nil
	default:
		return nil, fmt.Errorf("unexpected %T among the HorizontalPodAutoscalers", object)
	}
}

// newCompact copies strings, so that the garbage collector can free the object.
func newCompact(hpa *autoscalingv2.HorizontalPodAutoscaler) *compact {
	target := hpa.Spec.ScaleTargetRef
	c := &compact{namespace: strings.Clone(hpa.Namespace), name: strings.Clone(hpa.Name), uid: types.UID(strings.Clone(string(hpa.UID))),
		created: hpa.CreationTimestamp.Unix(), evidence: Evidence(hpa), state: Working,
		kind: kindOf(target), target: bounded(target.Name)}
	switch {
	case Pending(hpa):
		c.state = Awaited
	case Failing(hpa):
		c.state = Fails
	}
	for _, spec := range hpa.Spec.Metrics {
		if metric, object, asked := metricOf(hpa.Namespace, spec); asked && len(c.wants) < mostMetrics {
			c.wants = append(c.wants, want{unique.Make(metric), object})
		}
	}
	return c
}

// bounded copies a name. One that is too long is that of no object.
func bounded(name string) string { return strings.Clone(text.Shorten(name, longestName)) }

func kindOf(of autoscalingv2.CrossVersionObjectReference) unique.Handle[kind] {
	return unique.Make(kind{bounded(of.APIVersion), bounded(of.Kind)})
}

// metricOf returns what an HPA asks a custom or external metrics API for, and of which object; false for a resource metric, and for one
// that is not kept.
func metricOf(namespace string, spec autoscalingv2.MetricSpec) (metric Metric, object string, asked bool) {
	metric = Metric{Namespace: strings.Clone(namespace), Type: spec.Type}
	var of autoscalingv2.MetricIdentifier
	switch {
	case spec.Pods != nil:
		of = spec.Pods.Metric
	case spec.Object != nil:
		of = spec.Object.Metric
		described := spec.Object.DescribedObject
		is := kindOf(described).Value()
		metric.APIVersion, metric.Kind, object = is.apiVersion, is.kind, bounded(described.Name)
	case spec.External != nil:
		of = spec.External.Metric
	default:
		return Metric{}, "", false
	}
	selector, err := metav1.LabelSelectorAsSelector(of.Selector)
	if err != nil || len(of.Name) > longestName {
		return Metric{}, "", false
	}
	metric.Name = strings.Clone(of.Name)
	if of.Selector != nil {
		metric.Selector = selector.String()
	}
	return metric, object, len(metric.Selector) <= longestSelector
}

var seed = maphash.MakeSeed()

// Evidence is a digest of what the cause of an HPA's failure follows from, as far as the HPA says it: its spec, which metrics have no
// value, and the conditions that are not True with their reason and message. Values and the number of replicas are no part of it, and
// neither is what changes while it scales. It is another after a restart.
func Evidence(hpa *autoscalingv2.HorizontalPodAutoscaler) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	add := func(parts ...string) {
		for _, part := range parts {
			maphash.WriteComparable(&h, len(part))
			_, _ = h.WriteString(part)
		}
	}
	spec, err := hpa.Spec.Marshal()
	if err != nil {
		add(err.Error())
	}
	add(string(hpa.UID), string(spec))
	for _, condition := range hpa.Status.Conditions {
		if condition.Type == autoscalingv2.ScalingLimited || condition.Status == corev1.ConditionTrue {
			continue
		}
		add(string(condition.Type), string(condition.Status), condition.Reason, condition.Message)
	}
	for _, place := range WithoutValue(hpa) {
		maphash.WriteComparable(&h, place)
	}
	return h.Sum64()
}

// Failure is an HPA that fails, or that the HPA controller has not looked at yet.
type Failure struct {
	Namespace, Name string
	UID             types.UID
	// Awaited is true for one that the HPA controller has not looked at yet, and Asks for one that asks a custom or external metrics API.
	Awaited, Asks bool
	// Created is when it was made, and Since when it was first seen in its state.
	Created, Since time.Time
	// Evidence is that of the function Evidence.
	Evidence uint64
}

// Key is namespace/name.
func (f Failure) Key() string { return f.Namespace + "/" + f.Name }

func (c *compact) failure() Failure {
	return Failure{Namespace: c.namespace, Name: c.name, UID: c.uid, Awaited: c.state == Awaited, Asks: len(c.wants) > 0,
		Created: time.Unix(c.created, 0), Since: time.Unix(0, c.since), Evidence: c.evidence}
}
