// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"cmp"
	"context"
	"strconv"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/text"
)

// scaledObjects is the kind of KEDA above an HPA.
var scaledObjects = schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"}

const (
	// scaledObjectLabel names the ScaledObject on the HPA that KEDA makes of it.
	scaledObjectLabel = "scaledobject.keda.sh/name"
	// longestCondition bounds the message of a condition, in bytes.
	longestCondition = 300
	// annotationPrefix is that of those that KEDA acts on.
	annotationPrefix = "autoscaling.keda.sh/"
)

// ScaledObjectOf returns the name of the ScaledObject that made an HPA, as the HPA says itself; empty for none.
func ScaledObjectOf(hpa *autoscalingv2.HorizontalPodAutoscaler) string {
	for _, owner := range hpa.OwnerReferences {
		if owner.Kind == scaledObjects.Kind && groupOf(owner.APIVersion) == scaledObjects.Group {
			return owner.Name
		}
	}
	return hpa.Labels[scaledObjectLabel]
}

// ScaledObject reads one.
func ScaledObject(ctx context.Context, objects client.Reader, key client.ObjectKey) (*diagnose.ScaledObject, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(scaledObjects)
	if err := objects.Get(ctx, key, object); err != nil {
		return nil, err //nolint:wrapcheck // the caller says what it read
	}
	return scaledObjectOf(object), nil
}

// ScaledObjects lists those of a namespace, or of all for "", so many in an answer, and gives each to a function.
func ScaledObjects(
	ctx context.Context, objects client.Reader, namespace string, page int64, each func(namespace string, object *diagnose.ScaledObject),
) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(scaledObjects.GroupVersion().WithKind(scaledObjects.Kind + "List"))
	for next := ""; ; {
		if err := objects.List(ctx, list, client.InNamespace(namespace), client.Limit(page), client.Continue(next)); err != nil {
			return err //nolint:wrapcheck // the caller says what it listed
		}
		for i := range list.Items {
			each(list.Items[i].GetNamespace(), scaledObjectOf(&list.Items[i]))
		}
		if next = list.GetContinue(); next == "" {
			return nil
		}
	}
}

// readScaledObject reads the ScaledObject that made the HPA.
func (c *collection) readScaledObject(ctx context.Context) {
	name := ScaledObjectOf(c.hpa)
	if name == "" {
		return
	}
	object, err := ScaledObject(ctx, c.Objects, client.ObjectKey{Namespace: c.hpa.Namespace, Name: name})
	if absent(err) {
		return
	}
	if err != nil {
		object = &diagnose.ScaledObject{Name: name}
		c.unseen(diagnose.LinkAutoscaler, "read ScaledObject "+name, err)
	}
	c.evidence.ScaledObject = object
}

func scaledObjectOf(object *unstructured.Unstructured) *diagnose.ScaledObject {
	seen := &diagnose.ScaledObject{Name: object.GetName(), ToZero: toZero(object)}
	seen.HPA, _, _ = unstructured.NestedString(object.Object, "status", "hpaName") // Another form says nothing.
	// A number of replicas pauses whatever it is; the others are boolean, and true where they cannot be read as that.
	if value, stated := object.GetAnnotations()[annotationPrefix+"paused-replicas"]; stated {
		seen.Paused = annotation("paused-replicas", value)
	} else if value, set := flag(object, "paused"); set {
		seen.Paused = annotation("paused", value)
	}
	for _, name := range []string{"paused-scale-in", "paused-scale-out"} {
		if value, set := flag(object, name); set {
			seen.PausedScaling = append(seen.PausedScaling, annotation(name, value))
		}
	}
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		of := func(field string) string { value, _ := condition[field].(string); return value }
		message := text.Shorten(cmp.Or(of("message"), of("reason")), longestCondition)
		status := metav1.ConditionStatus(of("status"))
		switch of("type") {
		case "Ready": // Unknown with a reason is that one trigger of several fails, and without one that of a new ScaledObject.
			seen.Ready, seen.ReadyFalse = message, status == metav1.ConditionFalse || of("reason") == "PartialTriggerError"
			seen.Observed = status != metav1.ConditionUnknown || seen.ReadyFalse
		case "Fallback":
			seen.Fallback, seen.FallbackTrue = message, status == metav1.ConditionTrue
		}
	}
	return seen
}

// flag returns a boolean annotation, and whether it is set.
func flag(object *unstructured.Unstructured, name string) (value string, set bool) {
	value, stated := object.GetAnnotations()[annotationPrefix+name]
	if !stated {
		return "", false
	}
	parsed, err := strconv.ParseBool(value)
	return value, err != nil || parsed
}

func annotation(name, value string) string {
	return annotationPrefix + name + ": " + text.Shorten(value, longestCondition)
}

// toZero is true where KEDA scales the target to 0: idleReplicaCount says how many replicas it has while no trigger is active, or else
// minReplicaCount, which is 0 where it is not set.
func toZero(object *unstructured.Unstructured) bool {
	idle, stated, _ := unstructured.NestedInt64(object.Object, "spec", "idleReplicaCount")
	if !stated {
		idle, _, _ = unstructured.NestedInt64(object.Object, "spec", "minReplicaCount")
	}
	return idle == 0
}
