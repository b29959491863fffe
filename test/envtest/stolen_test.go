// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"context"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	system = metav1.NamespaceSystem
	// ofServer is a ClusterRole that the operator manages.
	ofServer = "metricspipeline:metrics-server"
)

// manifest returns an object with more fields than its name.
func manifest(apiVersion, kind, namespace, name string, fields map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	for field, value := range fields {
		object.Object[field] = value
	}
	object.SetAPIVersion(apiVersion)
	object.SetKind(kind)
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

// rules are those of a role.
func rules(resource string, verbs ...any) map[string]any {
	return map[string]any{"rules": []any{map[string]any{"apiGroups": []any{""}, "resources": []any{resource}, "verbs": verbs}}}
}

// TestStolenServiceAccount: with the operator's token a thief reaches the objects that the operator manages, by their names, and
// nothing beside them.
func TestStolenServiceAccount(t *testing.T) {
	w := begin(t)
	config, err := w.OperatorConfig()
	w.Expect(err).NotTo(HaveOccurred())
	thief, err := client.New(config, client.Options{Scheme: harness.Scheme})
	w.Expect(err).NotTo(HaveOccurred())
	ctx := t.Context()

	const rbac = "rbac.authorization.k8s.io/v1"
	apply := func(object *unstructured.Unstructured) error {
		return thief.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("thief"), client.ForceOwnership,
			client.DryRunAll)
	}
	remove := func(object *unstructured.Unstructured) error { return thief.Delete(ctx, object, client.DryRunAll) }
	list := func(of client.ObjectList, options ...client.ListOption) error { return thief.List(ctx, of, options...) }
	admins := map[string]any{"roleRef": map[string]any{"apiGroup": rbacv1.GroupName, "kind": "ClusterRole", "name": "cluster-admin"}}
	pods := map[string]any{"spec": map[string]any{"template": map[string]any{}}}

	// A server-side apply that creates is authorized as a create with the object's name, and a POST as one without.
	w.Expect(apply(manifest(rbac, "ClusterRole", "", ofServer, rules("nodes/metrics", "get")))).To(Succeed())
	w.Expect(list(&corev1.ConfigMapList{}, client.InNamespace(system),
		client.MatchingFields{"metadata.name": "extension-apiserver-authentication"})).To(Succeed())
	for attack, answer := range map[string]error{
		"a role by POST":            thief.Create(ctx, manifest(rbac, "ClusterRole", "", ofServer, rules("nodes/metrics", "get")), client.DryRunAll),
		"a role of another name":    apply(manifest(rbac, "ClusterRole", "", "metricspipeline:thief", rules("nodes/metrics", "get"))),
		"a right of no operand":     apply(manifest(rbac, "ClusterRole", "", ofServer, rules("secrets", "list"))),
		"a binding to another role": apply(manifest(rbac, "ClusterRoleBinding", "", ofServer, admins)),
		"cluster-admin":             remove(manifest(rbac, "ClusterRoleBinding", "", "cluster-admin", nil)),
		"the role cluster-admin":    apply(manifest(rbac, "ClusterRole", "", "cluster-admin", rules("pods", "get"))),
		"a binding in kube-system":  apply(manifest(rbac, "RoleBinding", system, "metricspipeline:metrics-server:auth-reader", admins)),
		"an API of Kubernetes": apply(manifest("apiregistration.k8s.io/v1", "APIService", "", "v1.apps",
			map[string]any{"spec": map[string]any{"insecureSkipTLSVerify": true}})),
		"the operator itself": apply(manifest("apps/v1", "Deployment", harness.OperatorNamespace, "metricspipeline-operator", pods)),
		"pods of its own":     apply(manifest("apps/v1", "Deployment", harness.OperatorNamespace, "thief", pods)),
		"pods elsewhere":      apply(manifest("apps/v1", "Deployment", system, metricsServer, pods)),
		"a Secret elsewhere":  remove(manifest("v1", "Secret", system, "metricspipeline-ca", nil)),
		"a user's Secret":     remove(manifest("v1", "Secret", harness.OperatorNamespace, "prometheus-token", nil)),
		"the CRD":             remove(manifest("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "metricspipelines.metricspipeline.io", nil)),
		"all Secrets":         list(&corev1.SecretList{}),
		"Secrets elsewhere":   list(&corev1.SecretList{}, client.InNamespace(system)),
		"other ConfigMaps":    list(&corev1.ConfigMapList{}, client.InNamespace(system)),
	} {
		w.Expect(apierrors.IsForbidden(answer)).To(BeTrue(), "%s: %v", attack, answer)
	}
}

// TestNoNameBeside: whatever the operator's roles grant by name, they do not grant by another name, and what they grant in its
// namespace, not in kube-system.
func TestNoNameBeside(t *testing.T) {
	w := begin(t)
	whole := &rbacv1.ClusterRole{}
	w.Expect(w.Client.Get(t.Context(), client.ObjectKey{Name: "metricspipeline-operator"}, whole)).To(Succeed())
	own := &rbacv1.RoleList{}
	w.Expect(w.Client.List(t.Context(), own, client.InNamespace(harness.OperatorNamespace))).To(Succeed())

	named := 0
	each(whole.Rules, func(group, resource, verb, name string) {
		if name == "" {
			return
		}
		named++
		w.Expect(w.allows(t.Context(), "", group, resource, verb, name)).To(BeTrue(), "%s %s %s", verb, resource, name)
		w.Expect(w.allows(t.Context(), "", group, resource, verb, name+"-beside")).To(BeFalse(), "%s %s beside %s", verb, resource, name)
		w.Expect(w.allows(t.Context(), "", group, resource, verb, "")).To(BeFalse(), "%s %s of any name", verb, resource)
	})
	for _, role := range own.Items {
		each(role.Rules, func(group, resource, verb, name string) {
			if name != "" {
				named++
				w.Expect(w.allows(t.Context(), role.Namespace, group, resource, verb, name+"-beside")).To(BeFalse(),
					"%s %s beside %s", verb, resource, name)
			}
			w.Expect(w.allows(t.Context(), system, group, resource, verb, name)).To(BeFalse(), "%s %s %s in %s", verb, resource, name, system)
		})
	}
	w.Expect(named).To(BeNumerically(">", 100), "names in its roles")
}

// each calls a function for each permission that rules grant.
func each(rules []rbacv1.PolicyRule, see func(group, resource, verb, name string)) {
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						see(group, resource, verb, name)
					}
				}
			}
		}
	}
}

// allows asks the API server whether the operator may do something.
func (w *world) allows(ctx context.Context, namespace, group, resource, verb, name string) bool {
	w.t.Helper()
	resource, subresource, _ := strings.Cut(resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: harness.OperatorUser, Groups: []string{"system:serviceaccounts", "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Group: group, Resource: resource, Subresource: subresource,
			Verb: verb, Name: name}}}
	w.Expect(w.Client.Create(ctx, review)).To(Succeed())
	return review.Status.Allowed
}
