// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
)

// neverChanges makes the API server refuse to change a field, in the words that it has for it.
func (s *server) neverChanges(words, first string, rest ...string) {
	path := append([]string{first}, rest...)
	s.validate = func(ctx context.Context, object runtime.ApplyConfiguration) error {
		content, err := json.Marshal(object)
		if err != nil {
			return err
		}
		desired, stored := &unstructured.Unstructured{}, &unstructured.Unstructured{}
		if err := json.Unmarshal(content, &desired.Object); err != nil {
			return err
		}
		stored.SetGroupVersionKind(desired.GroupVersionKind())
		if err := s.Get(ctx, client.ObjectKeyFromObject(desired), stored); err != nil {
			return client.IgnoreNotFound(err)
		}
		was, _, _ := unstructured.NestedFieldNoCopy(stored.Object, path...)
		becomes, _, _ := unstructured.NestedFieldNoCopy(desired.Object, path...)
		if equality.Semantic.DeepEqual(was, becomes) {
			return nil
		}
		return apierrors.NewInvalid(desired.GroupVersionKind().GroupKind(), desired.GetName(),
			field.ErrorList{field.Invalid(field.NewPath(first, rest...), becomes, words)})
	}
}

// orphan is a deletion of a Deployment that leaves its ReplicaSets behind: it ends when the garbage collector has released them.
func (s *server) orphan(ctx context.Context, object client.Object) error {
	deployment := &appsv1.Deployment{}
	if err := s.Get(ctx, client.ObjectKeyFromObject(object), deployment); err != nil {
		return err
	}
	deployment.Finalizers = append(deployment.Finalizers, metav1.FinalizerOrphanDependents)
	if err := s.Update(ctx, deployment); err != nil {
		return err
	}
	return s.Delete(ctx, deployment)
}

// released is when the garbage collector has released the ReplicaSets.
func (s *server) released(t *testing.T) {
	t.Helper()
	deployment := s.deployment(t)
	deployment.Finalizers = nil
	if err := s.Update(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
}

func (s *server) deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	deployment := &appsv1.Deployment{}
	if err := s.Get(t.Context(), client.ObjectKey{Namespace: "metrics", Name: "metrics-server"}, deployment); err != nil {
		t.Fatal(err)
	}
	deployment.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	return deployment
}

// component is an object of metrics-server.
func component(apiVersion, kind string, content map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: content}
	object.SetAPIVersion(apiVersion)
	object.SetKind(kind)
	object.SetName("metrics-server")
	object.SetNamespace("metrics")
	object.SetLabels(map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName, v1alpha1.ComponentLabel: "metrics-server"})
	return object
}

// desiredDeployment is one whose pods have an instance label.
func desiredDeployment(instance string) *unstructured.Unstructured {
	return component("apps/v1", "Deployment", map[string]any{"spec": map[string]any{
		"selector": map[string]any{"matchLabels": map[string]any{"instance": instance}},
		"template": map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"instance": instance}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "metrics-server", "image": "metrics-server"}}},
		},
	}})
}

// ofImmutable is what the API server says of the data of a ConfigMap or Secret that is immutable as a whole.
const ofImmutable = "field is immutable when `immutable` is set"

// TestReplaceable: an object is deleted for nothing but a field that cannot be changed, as the API server says it.
func TestReplaceable(t *testing.T) {
	deployments, bindings := appsv1.SchemeGroupVersion.WithKind("Deployment"), rbacv1.SchemeGroupVersion.WithKind("ClusterRoleBinding")
	core := corev1.SchemeGroupVersion
	at := func(path string) *field.Path { return field.NewPath(path) }
	immutable := func(path string) field.ErrorList { return validation.ValidateImmutableField("new", "old", at(path)) }
	role := field.ErrorList{field.Invalid(at("roleRef"), "new", "cannot change roleRef")}
	const selector = "spec.selector"
	for name, tc := range map[string]struct {
		kind   schema.GroupVersionKind
		causes field.ErrorList
		want   bool
	}{
		"the selector of a Deployment": {deployments, immutable(selector), true},
		"it and an invalid field":      {deployments, append(immutable(selector), field.Required(at("spec.template"), "")), false},
		"an empty selector": {deployments,
			append(immutable(selector), field.Invalid(at(selector), "", "empty selector is invalid for deployment")), false},
		"nothing that is named":               {deployments, nil, false},
		"the role of a binding":               {bindings, role, true},
		"a role that cannot be at all":        {bindings, field.ErrorList{field.Required(at("roleRef.name"), "")}, false},
		"the type of a Secret":                {core.WithKind("Secret"), immutable("type"), true},
		"the data of an immutable ConfigMap":  {core.WithKind("ConfigMap"), field.ErrorList{field.Forbidden(at("data"), ofImmutable)}, true},
		"the address of a Service":            {core.WithKind("Service"), immutable("spec.clusterIPs[0]"), false},
		"what is to be kept by other reasons": {core.WithKind("ConfigMap"), field.ErrorList{field.Forbidden(at("data"), "")}, false},
	} {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(tc.kind)
		if got := replaceable(object, apierrors.NewInvalid(tc.kind.GroupKind(), "a", tc.causes)); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	if replaceable(desiredDeployment("a"), errors.New("refused")) {
		t.Error("an error without causes")
	}
}

// TestReplacesBinding by another in the same call: it serves nothing.
func TestReplacesBinding(t *testing.T) {
	s, a := newServer(t)
	s.neverChanges("cannot change roleRef", "roleRef")
	binding := func(role string) *unstructured.Unstructured {
		object := component("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", map[string]any{
			"roleRef": map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}})
		object.SetNamespace("")
		return object
	}
	s.expect(t, a, binding("one"), Created, 1)
	s.expect(t, a, binding("two"), Replaced, 3)
	s.expect(t, a, binding("two"), Unchanged, 3)
	stored := &rbacv1.ClusterRoleBinding{}
	if err := s.Get(t.Context(), client.ObjectKey{Name: "metrics-server"}, stored); err != nil || stored.RoleRef.Name != "two" {
		t.Errorf("stored role %q, error %v", stored.RoleRef.Name, err)
	}
	// Replacing is no loss, however often it happens.
	for range 3 {
		s.expect(t, a, binding("one"), Replaced, s.applied+2)
		s.expect(t, a, binding("two"), Replaced, s.applied+2)
	}
}

// TestReplacesDeployment in two steps: its pods stay, and the next one is made when the garbage collector has released them.
func TestReplacesDeployment(t *testing.T) {
	for name, restart := range map[string]bool{"in one life": false, "with a restart between": true} {
		t.Run(name, func(t *testing.T) {
			s, a := newServer(t)
			s.neverChanges(validation.FieldImmutableErrorMsg, "spec", "selector")
			s.expect(t, a, desiredDeployment("one"), Created, 1)
			old := s.deployment(t)

			s.expect(t, a, desiredDeployment("two"), Replaced, 2)
			going := s.deployment(t)
			if going.UID != old.UID || going.DeletionTimestamp == nil || s.deleted != 1 {
				t.Fatalf("%d deletions, Deployment %+v; want it orphaned", s.deleted, going.ObjectMeta)
			}
			if restart {
				a = New(a.client, a.live, s.clock, time.Minute)
				s.expect(t, a, desiredDeployment("two"), Replaced, 3)
			}
			if !a.Behind(old, ownership.Identity(old)) || !a.Behind(going, ownership.Identity(going)) {
				t.Error("the one that goes counts as the desired one")
			}
			s.expect(t, a, desiredDeployment("two"), Unchanged, s.applied)
			if s.deleted != 1 {
				t.Errorf("%d deletions", s.deleted)
			}

			s.released(t)
			s.expect(t, a, desiredDeployment("two"), Created, s.applied+1)
			if found := s.deployment(t); found.Spec.Selector.MatchLabels["instance"] != "two" || a.Behind(found, ownership.Identity(found)) {
				t.Errorf("stored %+v", found.Spec.Selector)
			}
			s.expect(t, a, desiredDeployment("two"), Unchanged, s.applied)
		})
	}
}

// TestReplacementIsContested: others who make the object anew with every replacement have their way in the end.
func TestReplacementIsContested(t *testing.T) {
	s, a := newServer(t)
	s.neverChanges("cannot change roleRef", "roleRef")
	binding := func(role string) *unstructured.Unstructured {
		object := component("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", map[string]any{
			"roleRef": map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}})
		object.SetNamespace("")
		return object
	}
	s.expect(t, a, binding("ours"), Created, 1)
	stored := &rbacv1.ClusterRoleBinding{}
	for range 3 {
		s.rival(t, stored)
		s.expect(t, a, binding("ours"), Replaced, s.applied+2)
	}
	s.rival(t, stored)
	if contested := s.concedes(t, a, binding("ours")); len(contested.Managers) != 1 || contested.Managers[0] != "rival" {
		t.Errorf("contested by %q", contested.Managers)
	}
}

// rival makes a ClusterRoleBinding anew.
func (s *server) rival(t *testing.T, stored *rbacv1.ClusterRoleBinding) {
	t.Helper()
	if err := s.Get(t.Context(), client.ObjectKey{Name: "metrics-server"}, stored); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	theirs := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: stored.Name, Labels: stored.Labels},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "theirs"}}
	theirs.UID = stored.UID + "+"
	if err := s.Create(t.Context(), theirs, client.FieldOwner("rival")); err != nil {
		t.Fatal(err)
	}
}

// TestReplacementThatIsKept by a finalizer is waited for.
func TestReplacementThatIsKept(t *testing.T) {
	s, a := newServer(t)
	s.neverChanges(ofImmutable, "data")
	s.expect(t, a, wanted(map[string]any{"config.yaml": "one"}), Created, 1)
	kept := s.configMap(t)
	kept.Finalizers = []string{"example.com/keep"}
	if err := s.Update(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	s.expect(t, a, wanted(map[string]any{"config.yaml": "two"}), Replaced, 3)
	s.expect(t, a, wanted(map[string]any{"config.yaml": "two"}), Unchanged, 3)
	kept = s.configMap(t)
	kept.Finalizers = nil
	if err := s.Update(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	s.expect(t, a, wanted(map[string]any{"config.yaml": "two"}), Created, 4)
	if s.deleted != 1 {
		t.Errorf("%d deletions", s.deleted)
	}
}

// TestRefusedReplacement is an error like any other, and nothing is made.
func TestRefusedReplacement(t *testing.T) {
	s, a := newServer(t)
	s.neverChanges(validation.FieldImmutableErrorMsg, "data")
	s.expect(t, a, wanted(map[string]any{"config.yaml": "one"}), Created, 1)
	// It is another object by now than the cache shows.
	s.failDelete = apierrors.NewConflict(configMaps, "prometheus-adapter", errors.New("precondition"))
	if _, err := a.Apply(t.Context(), wanted(map[string]any{"config.yaml": "two"})); !apierrors.IsConflict(err) {
		t.Errorf("error %v, want the conflict", err)
	}
	if got := s.configMap(t).Data["config.yaml"]; got != "one" || s.applied != 2 {
		t.Errorf("stored %q after %d writes", got, s.applied)
	}
}
