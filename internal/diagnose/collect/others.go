// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"cmp"
	"context"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/diagnose"
)

var vpas = schema.GroupVersionKind{Group: "autoscaling.k8s.io", Version: "v1", Kind: "VerticalPodAutoscaler"}

// mostPolicies is of how many containers the policies of a VPA are known.
const mostPolicies = 100

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
	seen := diagnose.VPA{Name: object.GetName(), Containers: map[string][]string{}}
	mode, _, _ := unstructured.NestedString(object.Object, "spec", "updatePolicy", "updateMode") // Another form says nothing.
	seen.Mode = cmp.Or(mode, "Recreate")
	policies, _, _ := unstructured.NestedSlice(object.Object, "spec", "resourcePolicy", "containerPolicies")
	for _, item := range policies {
		policy, _ := item.(map[string]any)
		container, _ := policy["containerName"].(string)
		controlled, stated, _ := unstructured.NestedStringSlice(policy, "controlledResources")
		_, before := seen.Containers[container]
		switch {
		case before, len(seen.Containers) == mostPolicies: // The VPA acts on the first of one name.
		case policy["mode"] == "Off":
			seen.Containers[container] = []string{}
		case !stated:
			seen.Containers[container] = []string{string(corev1.ResourceCPU), string(corev1.ResourceMemory)}
		default:
			seen.Containers[container] = controlled
		}
	}
	return seen
}
