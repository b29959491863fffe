// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"cmp"
	"context"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/text"
)

// Kinds of others that move pods too.
var (
	scaledObjects = schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"}
	vpas          = schema.GroupVersionKind{Group: "autoscaling.k8s.io", Version: "v1", Kind: "VerticalPodAutoscaler"}
)

const (
	// scaledObjectLabel names the ScaledObject on the HPA that KEDA makes of it.
	scaledObjectLabel = "scaledobject.keda.sh/name"
	// longestCondition bounds the message of a condition, in bytes.
	longestCondition = 300
)

// readOthers reads what else moves the target: other HPAs, the ScaledObject above the HPA, VPAs.
func (c *collection) readOthers(ctx context.Context) {
	c.readHPAs(ctx)
	c.readScaledObject(ctx)
	c.readVPAs(ctx)
}

func (c *collection) readHPAs(ctx context.Context) {
	var list autoscalingv2.HorizontalPodAutoscalerList
	if err := c.Objects.List(ctx, &list, client.InNamespace(c.hpa.Namespace), client.Limit(mostListed)); err != nil {
		c.unseen(diagnose.LinkAutoscaler, "list the HorizontalPodAutoscalers of the namespace", err)
		return
	}
	for _, other := range list.Items {
		if other.Name != c.hpa.Name && c.targets(other.Spec.ScaleTargetRef.APIVersion, other.Spec.ScaleTargetRef.Kind,
			other.Spec.ScaleTargetRef.Name) && len(c.evidence.Others) < diagnose.MostPods {
			c.evidence.Others = append(c.evidence.Others, other.Name)
		}
	}
	slices.Sort(c.evidence.Others)
}

// targets is true for a reference to the HPA's own target, in whatever version.
func (c *collection) targets(version, kind, name string) bool {
	own := c.hpa.Spec.ScaleTargetRef
	return kind == own.Kind && name == own.Name && groupOf(version) == groupOf(own.APIVersion)
}

func groupOf(version string) string {
	parsed, err := schema.ParseGroupVersion(version)
	if err != nil {
		return version
	}
	return parsed.Group
}

// readScaledObject reads the ScaledObject that made the HPA. That there is one, the HPA says itself.
func (c *collection) readScaledObject(ctx context.Context) {
	name := c.hpa.Labels[scaledObjectLabel]
	for _, owner := range c.hpa.OwnerReferences {
		if owner.Kind == scaledObjects.Kind && groupOf(owner.APIVersion) == scaledObjects.Group {
			name = owner.Name
		}
	}
	if name == "" {
		return
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(scaledObjects)
	err := c.Objects.Get(ctx, client.ObjectKey{Namespace: c.hpa.Namespace, Name: name}, object)
	if absent(err) {
		return
	}
	c.evidence.ScaledObject = &diagnose.ScaledObject{Name: name}
	if err != nil {
		c.unseen(diagnose.LinkAutoscaler, "read ScaledObject "+name, err)
		return
	}
	c.evidence.ScaledObject = scaledObjectOf(object)
}

func scaledObjectOf(object *unstructured.Unstructured) *diagnose.ScaledObject {
	seen := &diagnose.ScaledObject{Name: object.GetName()}
	for _, key := range []string{"autoscaling.keda.sh/paused-replicas", "autoscaling.keda.sh/paused"} {
		if value, stated := object.GetAnnotations()[key]; stated && value != "false" && seen.Paused == "" {
			seen.Paused = key + ": " + text.Shorten(value, longestCondition)
		}
	}
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions") // Another form says nothing.
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		of := func(field string) string { value, _ := condition[field].(string); return value }
		message := text.Shorten(cmp.Or(of("message"), of("reason")), longestCondition)
		switch of("type") {
		case "Ready":
			seen.Ready, seen.ReadyFalse = message, of("status") == string(metav1.ConditionFalse)
		case "Fallback":
			seen.Fallback, seen.FallbackTrue = message, of("status") == string(metav1.ConditionTrue)
		}
	}
	return seen
}

// readVPAs reads the VerticalPodAutoscalers with the same target.
func (c *collection) readVPAs(ctx context.Context) {
	if _, err := c.Mapper.RESTMapping(vpas.GroupKind(), vpas.Version); err != nil {
		return // VPA is not installed.
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(vpas.GroupVersion().WithKind(vpas.Kind + "List"))
	if err := c.Objects.List(ctx, list, client.InNamespace(c.hpa.Namespace), client.Limit(mostListed)); err != nil {
		if !absent(err) {
			c.unseen(diagnose.LinkAutoscaler, "list the VerticalPodAutoscalers of the namespace", err)
		}
		return
	}
	for i := range list.Items {
		target, _, _ := unstructured.NestedStringMap(list.Items[i].Object, "spec", "targetRef")
		if c.targets(target["apiVersion"], target["kind"], target["name"]) && len(c.evidence.VPAs) < diagnose.MostPods {
			c.evidence.VPAs = append(c.evidence.VPAs, vpaOf(&list.Items[i]))
		}
	}
}

func vpaOf(object *unstructured.Unstructured) diagnose.VPA {
	seen := diagnose.VPA{Name: object.GetName()}
	mode, _, _ := unstructured.NestedString(object.Object, "spec", "updatePolicy", "updateMode")
	seen.Mode = cmp.Or(mode, "Auto")
	policies, _, _ := unstructured.NestedSlice(object.Object, "spec", "resourcePolicy", "containerPolicies")
	for _, item := range policies {
		policy, _ := item.(map[string]any)
		if policy["mode"] == "Off" {
			continue
		}
		controlled, stated, _ := unstructured.NestedStringSlice(policy, "controlledResources")
		if !stated {
			seen.Resources = nil // Of this container both.
			break
		}
		seen.Resources = append(seen.Resources, controlled...)
	}
	slices.Sort(seen.Resources)
	seen.Resources = slices.Compact(seen.Resources)
	return seen
}
