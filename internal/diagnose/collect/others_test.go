// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/metricspipeline/operator/internal/diagnose"
)

// scaledObject is one with annotations of KEDA, as its type has them.
func scaledObject(annotations map[string]string, spec, status map[string]any) *unstructured.Unstructured {
	object := other(scaledObjects, "web", map[string]any{"spec": spec, "status": status})
	object.SetAnnotations(annotations)
	return object
}

// TestScaledObject has what apis/keda/v1alpha1 and controllers/keda of KEDA v2.21 read and write.
func TestScaledObject(t *testing.T) {
	const prefix = "autoscaling.keda.sh/"
	conditions := func(all ...any) map[string]any { return map[string]any{"hpaName": "keda-hpa-web", "conditions": all} }
	condition := func(kind, status, reason, message string) map[string]any {
		return map[string]any{"type": kind, "status": status, "reason": reason, "message": message}
	}
	for name, test := range map[string]struct {
		annotations  map[string]string
		spec, status map[string]any
		want         diagnose.ScaledObject
	}{
		"new":      {want: diagnose.ScaledObject{ToZero: true}},
		"paused":   {annotations: map[string]string{prefix + "paused": "true"}, want: diagnose.ScaledObject{ToZero: true, Paused: prefix + "paused: true"}},
		"not":      {annotations: map[string]string{prefix + "paused": "f"}, want: diagnose.ScaledObject{ToZero: true}},
		"no bool":  {annotations: map[string]string{prefix + "paused": "off"}, want: diagnose.ScaledObject{ToZero: true, Paused: prefix + "paused: off"}},
		"replicas": {annotations: map[string]string{prefix + "paused-replicas": "0"}, want: diagnose.ScaledObject{ToZero: true, Paused: prefix + "paused-replicas: 0"}},
		"replicas that are none": {annotations: map[string]string{prefix + "paused-replicas": "false", prefix + "paused": "false"},
			want: diagnose.ScaledObject{ToZero: true, Paused: prefix + "paused-replicas: false"}},
		"directions": {annotations: map[string]string{prefix + "paused-scale-in": "true", prefix + "paused-scale-out": "yes"},
			want: diagnose.ScaledObject{ToZero: true, PausedScaling: []string{prefix + "paused-scale-in: true", prefix + "paused-scale-out: yes"}}},
		"no direction": {annotations: map[string]string{prefix + "paused-scale-in": "false"}, want: diagnose.ScaledObject{ToZero: true}},

		"never to zero":     {spec: map[string]any{"minReplicaCount": int64(1)}},
		"minReplicaCount 0": {spec: map[string]any{"minReplicaCount": int64(0)}, want: diagnose.ScaledObject{ToZero: true}},
		"idle":              {spec: map[string]any{"minReplicaCount": int64(2), "idleReplicaCount": int64(0)}, want: diagnose.ScaledObject{ToZero: true}},

		"initialized": {status: conditions(condition("Ready", "Unknown", "", ""), condition("Fallback", "Unknown", "", "")),
			want: diagnose.ScaledObject{ToZero: true, HPA: "keda-hpa-web"}},
		"ready": {status: conditions(condition("Ready", "True", "ScaledObjectReady", "it is ready")),
			want: diagnose.ScaledObject{ToZero: true, HPA: "keda-hpa-web", Observed: true, Ready: "it is ready"}},
		"not ready, and falls back": {
			status: conditions(condition("Ready", "False", "TriggerError", "triggers are not working"), condition("Fallback", "True", "FallbackExists", "")),
			want: diagnose.ScaledObject{ToZero: true, HPA: "keda-hpa-web", Observed: true, ReadyFalse: true, Ready: "triggers are not working",
				FallbackTrue: true, Fallback: "FallbackExists"}},
		"one trigger of two fails": {status: conditions(condition("Ready", "Unknown", "PartialTriggerError", "some are not working")),
			want: diagnose.ScaledObject{ToZero: true, HPA: "keda-hpa-web", Observed: true, ReadyFalse: true, Ready: "some are not working"}},
		"a status of another form": {status: map[string]any{"hpaName": int64(1), "conditions": []any{"x", map[string]any{"type": int64(1)}}},
			want: diagnose.ScaledObject{ToZero: true}},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Name = "web"
			if diff := cmp.Diff(&test.want, scaledObjectOf(scaledObject(test.annotations, test.spec, test.status))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestVPA(t *testing.T) {
	both := []string{"cpu", "memory"}
	for name, test := range map[string]struct {
		spec map[string]any
		want diagnose.VPA
	}{
		"nothing stated": {want: diagnose.VPA{Mode: "Recreate", Containers: map[string][]string{}}},
		"a mode": {spec: map[string]any{"updatePolicy": map[string]any{"updateMode": "InPlaceOrRecreate"}},
			want: diagnose.VPA{Mode: "InPlaceOrRecreate", Containers: map[string][]string{}}},
		"policies": {spec: map[string]any{"resourcePolicy": map[string]any{"containerPolicies": []any{
			map[string]any{"containerName": "proxy", "mode": "Off", "controlledResources": []any{"cpu"}}, map[string]any{"containerName": "app", "mode": "Auto"},
			map[string]any{"containerName": "none", "controlledResources": []any{}}, map[string]any{"containerName": "none"},
			map[string]any{"containerName": "*", "controlledResources": []any{"memory"}}}}},
			want: diagnose.VPA{Mode: "Recreate", Containers: map[string][]string{"proxy": {}, "app": both, "none": {}, "*": {"memory"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Name = "web"
			object := other(vpas, "web", map[string]any{"spec": test.spec})
			if diff := cmp.Diff(test.want, vpaOf(object)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
