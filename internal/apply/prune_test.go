// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
)

// required are the managed kinds that every cluster has.
func required() []kinds.Kind {
	return slices.DeleteFunc(slices.Clone(kinds.Managed), func(kind kinds.Kind) bool { return kind.CRD != "" })
}

func metaOf(name string, ours bool) metav1.ObjectMeta {
	object := metav1.ObjectMeta{Name: name, Namespace: "metrics", UID: types.UID("uid-" + name)}
	if ours {
		object.Labels = map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName}
	}
	return object
}

func TestPrune(t *testing.T) {
	leaving := metaOf("leaving", true)
	leaving.DeletionTimestamp, leaving.Finalizers = ptr.To(metav1.Now()), []string{"foregroundDeletion"}
	registration := metaOf("v1beta1.metrics.k8s.io", true)
	registration.Namespace = ""

	s, a := newServer(t,
		&corev1.ServiceAccount{ObjectMeta: metaOf("gone", true)},
		&appsv1.Deployment{ObjectMeta: metaOf("gone", true)},
		&appsv1.Deployment{ObjectMeta: metaOf("kept", true)},
		&appsv1.Deployment{ObjectMeta: metaOf("foreign", false)},
		&corev1.ConfigMap{ObjectMeta: leaving},
		&apiregv1.APIService{ObjectMeta: registration},
	)
	a.remember(content{id: "Deployment metrics/gone"}, record{uid: "uid-gone"})
	deleted, err := a.Prune(t.Context(), required(), func(object client.Object) bool {
		return ownership.Identity(object) == "Deployment metrics/kept"
	})
	if err != nil {
		t.Fatal(err)
	}
	// First what makes the API server send requests, then what answers them, then what that needs.
	want := []string{"APIService v1beta1.metrics.k8s.io", "Deployment metrics/gone", "ServiceAccount metrics/gone"}
	if diff := cmp.Diff(want, deleted); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	var left appsv1.DeploymentList
	if err := s.List(t.Context(), &left); err != nil || len(left.Items) != 2 {
		t.Errorf("%d Deployments are left, want 2 (%v)", len(left.Items), err)
	}
	if _, known := a.applied["Deployment metrics/gone"]; known {
		t.Error("what was deleted is remembered, so its return would count as a repair")
	}
	if deleted, err := a.Prune(t.Context(), required(), func(client.Object) bool { return true }); err != nil || deleted != nil {
		t.Errorf("deleted %q of what is kept, %v", deleted, err)
	}
}

// TestPruneGoesOn after an object that may not be deleted: the role has names, and anyone may give an object our label.
func TestPruneGoesOn(t *testing.T) {
	s, a := newServer(t, &appsv1.Deployment{ObjectMeta: metaOf("one", true)}, &appsv1.Deployment{ObjectMeta: metaOf("two", true)},
		&corev1.ServiceAccount{ObjectMeta: metaOf("three", true)})
	s.fail = apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "one", errors.New("no"))
	deleted, err := a.Prune(t.Context(), required(), func(client.Object) bool { return false })
	if !apierrors.IsForbidden(err) || len(deleted) > 0 || s.deleted != 3 {
		t.Errorf("deleted %q after %d tries of 3, error %v", deleted, s.deleted, err)
	}
}

func TestPruneOfWhatIsGone(t *testing.T) {
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	for name, tc := range map[string]struct {
		answer error
		fails  bool
	}{
		"gone already":        {apierrors.NewNotFound(deployments, "gone"), false},
		"recreated meanwhile": {apierrors.NewConflict(deployments, "gone", errors.New("the UID in the precondition differs")), true},
		"not allowed":         {apierrors.NewForbidden(deployments, "gone", errors.New("no")), true},
	} {
		t.Run(name, func(t *testing.T) {
			s, a := newServer(t, &appsv1.Deployment{ObjectMeta: metaOf("gone", true)})
			s.fail = tc.answer
			deleted, err := a.Prune(t.Context(), required(), func(client.Object) bool { return false })
			if (err != nil) != tc.fails || len(deleted) > 0 || s.deleted != 1 {
				t.Errorf("deleted %q after %d tries, error %v", deleted, s.deleted, err)
			}
		})
	}
}

// TestKinds pins the order of deletion, and that one kind is never listed twice.
func TestKinds(t *testing.T) {
	position := map[string]int{}
	for i, kind := range kinds.Managed {
		if _, twice := position[kind.Kind]; twice {
			t.Errorf("%s is listed twice", kind.Kind)
		}
		position[kind.Kind] = i
		if got := kind.New().GetObjectKind().GroupVersionKind(); !got.Empty() && got != kind.GroupVersionKind {
			t.Errorf("an empty %s says that it is %s", kind.Kind, got)
		}
	}
	for _, order := range [][2]string{
		{"APIService", "Deployment"}, {"APIService", "Service"}, {"Deployment", "Secret"}, {"Deployment", "ConfigMap"},
		{"Deployment", "ServiceAccount"}, {"Deployment", "ClusterRoleBinding"}, {"ClusterRoleBinding", "ClusterRole"},
	} {
		if position[order[0]] >= position[order[1]] {
			t.Errorf("%s is not deleted before %s, which it needs", order[0], order[1])
		}
	}
}
