// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package olm

import (
	"slices"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/component-helpers/auth/rbac/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// ofOLM is what OLM grants to each operator: to write the OperatorCondition that is named as its ClusterServiceVersion.
var ofOLM = rbacv1.PolicyRule{
	APIGroups: []string{"operators.coreos.com"}, Resources: []string{"operatorconditions"}, Verbs: []string{"get", "update", "patch"},
}

// grantsNoMoreThanInstallation: what the API server lets the operator do, in its own namespace and in others, config/default lets
// it do as well; in particular it reads Secrets in its own namespace alone.
func (w *world) grantsNoMoreThanInstallation() {
	w.t.Helper()
	for _, namespace := range []string{harness.OperatorNamespace, metav1.NamespaceSystem, metav1.NamespaceDefault} {
		allowed := slices.Concat(w.installed(namespace), w.rulesOf("stranger", namespace), []rbacv1.PolicyRule{ofOLM})
		_, beyond := validation.Covers(allowed, w.rulesOf(operatorName, namespace))
		w.Expect(beyond).To(BeEmpty(), "what the operator may do in %s beyond config/default", namespace)
		w.Expect(w.mayListSecrets(namespace)).To(Equal(namespace == harness.OperatorNamespace), "list secrets in %s", namespace)
	}
	w.Expect(w.mayListSecrets(metav1.NamespaceAll)).To(BeFalse(), "list secrets in all namespaces")
}

func userOf(account string) string {
	return "system:serviceaccount:" + harness.OperatorNamespace + ":" + account
}

func groups() []string {
	return []string{"system:serviceaccounts", "system:serviceaccounts:" + harness.OperatorNamespace, "system:authenticated"}
}

func (w *world) mayListSecrets(namespace string) bool {
	w.t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: userOf(operatorName), Groups: groups(),
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "list", Resource: "secrets"},
	}}
	w.Expect(w.Client.Create(w.Ctx, review)).To(Succeed())
	return review.Status.Allowed
}

// rulesOf returns what a ServiceAccount of the operator's namespace may do in a namespace, by the API server's own account.
func (w *world) rulesOf(account, namespace string) []rbacv1.PolicyRule {
	w.t.Helper()
	config := rest.CopyConfig(w.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: userOf(account), Groups: groups()}
	as, err := client.New(config, client.Options{Scheme: harness.Scheme})
	w.Expect(err).NotTo(HaveOccurred())
	self := &authenticationv1.SelfSubjectReview{}
	w.Expect(as.Create(w.Ctx, self)).To(Succeed())
	w.Expect(self.Status.UserInfo.Username).To(Equal(userOf(account)))
	review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
	w.Expect(as.Create(w.Ctx, review)).To(Succeed())
	w.Expect(review.Status.Incomplete).To(BeFalse(), review.Status.EvaluationError)
	var rules []rbacv1.PolicyRule
	for _, r := range review.Status.ResourceRules {
		rules = append(rules, rbacv1.PolicyRule{Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources,
			ResourceNames: r.ResourceNames})
	}
	for _, r := range review.Status.NonResourceRules {
		rules = append(rules, rbacv1.PolicyRule{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
	}
	return rules
}

// installed returns what config/default lets the operator do in a namespace.
func (w *world) installed(namespace string) []rbacv1.PolicyRule {
	w.t.Helper()
	objects, err := harness.Installation()
	w.Expect(err).NotTo(HaveOccurred())
	roles := map[string][]rbacv1.PolicyRule{}
	for _, object := range objects {
		role := &rbacv1.ClusterRole{}
		w.convert(object, role, "ClusterRole", "Role")
		roles[harness.Identity(object)] = role.Rules
	}
	var rules []rbacv1.PolicyRule
	for _, object := range objects {
		binding := &rbacv1.ClusterRoleBinding{}
		isBinding := w.convert(object, binding, "ClusterRoleBinding", "RoleBinding")
		applies := object.GetNamespace() == "" || object.GetNamespace() == namespace
		bound := slices.ContainsFunc(binding.Subjects, func(s rbacv1.Subject) bool { return s.Name == operatorName })
		if isBinding && applies && bound {
			name := binding.RoleRef.Kind + " " + binding.RoleRef.Name
			if binding.RoleRef.Kind == "Role" {
				name = binding.RoleRef.Kind + " " + object.GetNamespace() + "/" + binding.RoleRef.Name
			}
			rules = append(rules, roles[name]...)
		}
	}
	w.Expect(rules).NotTo(BeEmpty())
	return rules
}

// convert reads an object of one of the kinds.
func (w *world) convert(from *unstructured.Unstructured, to any, kinds ...string) bool {
	w.t.Helper()
	if !slices.Contains(kinds, from.GetKind()) {
		return false
	}
	w.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, to)).To(Succeed())
	return true
}
